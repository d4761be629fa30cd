"""Requests that a session signed by RFC 9421, with ``hmac-sha256``.

A signature covers method, host, path, query and the digest of the body (RFC 9530), and says when it
was made, by which session, and a nonce.  The order never changes: shape and time, the session, the
signature, then the body, then the nonce.  So nothing is written, locked or read from the network
for a request that was not signed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.structures import VerifyResult
from starlette.requests import Request

from server.answers import Refusal
from server.db.model import ClientSession, utc_now
from server.nonces import TOLERANCE

COVERED = ("@method", "@authority", "@path", "@query", "content-digest")
LONGEST_NONCE = 200
SIGNED_HEADERS = (b"signature", b"signature-input", b"content-digest", b"host")


@dataclass(frozen=True)
class Claim:
    """The session that a request names as its signer; nothing is proved yet."""

    client_id: str
    nonce: str
    created: int


@dataclass(frozen=True)
class Caller:
    """The session that signed a request."""

    client_id: str
    user_id: str


@dataclass(frozen=True)
class Message:
    """A request as the library wants it.

    It holds only the headers that can be covered, each once: a second line of one of them is a
    message that two readers may understand in two ways.
    """

    method: str
    url: str
    headers: dict[str, str]


class Verifier(HTTPMessageVerifier):
    """For one request; times are checked by ``claim_of``, with our tolerance."""

    def validate_created_and_expires(self, sig_input: object, max_age: object = None) -> None:
        pass

    def inputs(self, message: Message) -> Iterator[Any]:
        """Label, parameters and value of each signature, before any of them is verified."""
        return self._get_sig_inputs_and_signatures(message)  # type: ignore[no-any-return, no-untyped-call]


class OneKey(HTTPSignatureKeyResolver):
    def __init__(self, secret: str) -> None:
        self.secret = secret.encode()

    def resolve_public_key(self, key_id: str) -> bytes:
        return self.secret


def message_of(request: Request, public_url: str | None) -> Message:
    """Raises Refusal.  Without PUBLIC_URL the host is the one that the request names."""
    headers: dict[str, str] = {}
    for name, value in request.headers.raw:
        if name in SIGNED_HEADERS:
            key = name.decode()
            if key in headers:
                raise unsigned(f"there are two headers {key}")
            headers[key] = value.decode("latin-1")
    origin = public_url or f"http://{headers.get('host', '')}"
    path = request.scope["raw_path"].decode("latin-1")
    query = request.scope["query_string"].decode("latin-1")
    return Message(request.method, f"{origin}{path}{'?' + query if query else ''}", headers)


def claim_of(message: Message) -> Claim:
    """The claim of a request of the right shape and time.  Raises Refusal."""
    try:
        inputs = list(_verifier("").inputs(message))
    except HTTPMessageSignaturesException as exc:
        raise unsigned(str(exc)) from exc
    except ValueError as exc:  # a character that no header of this kind holds
        raise unsigned("its headers can't be read") from exc
    (_, given, _), *_ = inputs
    created, nonce, keyid = (given.params.get(name) for name in ("created", "nonce", "keyid"))
    if not isinstance(keyid, str) or not keyid:
        raise unsigned("keyid is missing: it is the client_id")
    if not isinstance(nonce, str) or not 1 <= len(nonce) <= LONGEST_NONCE:
        raise unsigned(f"nonce is missing, or longer than {LONGEST_NONCE}")
    if type(created) is not int:
        raise unsigned("created is missing")
    if "content-digest" not in message.headers:
        raise unsigned("Content-Digest is missing")
    expires = given.params.get("expires")
    now = time.time()
    if abs(now - created) > TOLERANCE or (isinstance(expires, int) and expires < now):
        raise Refusal(401, "request_expired", "the signature is too old, or a clock is wrong")
    return Claim(keyid, nonce, created)


def session_of(claim: Claim) -> ClientSession:
    """The session that a claim names.  Raises Refusal."""
    session = ClientSession.get_or_none(ClientSession.client_id == claim.client_id)
    if session is None or not session.session_secret:
        raise Refusal(401, "no_session", "there is no such session; sign in")
    if has_expired(session):
        raise Refusal(401, "session_expired", "the session has expired; sign in again")
    return session


def has_expired(session: ClientSession) -> bool:
    """A date that can't be read has passed; none at all, of an old session, has not."""
    until = session.expires_at
    return until is not None and not (isinstance(until, datetime) and until > utc_now())


def verify(message: Message, secret: str) -> VerifyResult:
    """Raises Refusal unless all that has to be covered is, and the signature is right."""
    try:
        (result,) = _verifier(secret).verify(message, max_age=None, require_components=COVERED)
    except (HTTPMessageSignaturesException, ValueError) as exc:
        raise Refusal(401, "invalid_signature", "the signature does not fit") from exc
    return result


def check_digest(message: Message, result: VerifyResult, body: bytes) -> None:
    """Raises Refusal unless the body is the one that was signed."""
    try:
        _verifier("").verify_body(message, [result], body)
    except InvalidSignature as exc:
        raise Refusal(401, "invalid_digest", "the body is not the one that was signed") from exc


def unsigned(why: str) -> Refusal:
    return Refusal(401, "unsigned", f"sign the request by RFC 9421: {why}")


def _verifier(secret: str) -> Verifier:
    return Verifier(
        signature_algorithm=algorithms.HMAC_SHA256,
        key_resolver=OneKey(secret),
    )
