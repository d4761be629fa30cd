"""Requests that are signed by a client's session: who asks, and that nobody repeats it.

A signature is HMAC-SHA256 over method, path, time, nonce and the SHA-256 of the body, a line each,
with the session's secret (RFC 2104).
"""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import datetime

from fastapi import Request
from peewee import IntegrityError

from server.answers import Refusal
from server.db.model import ClientSession, NonceCache, utc_now

CLOCK = 300  # seconds that a request's time may differ from ours; less than a nonce is kept


def sign(secret: str, method: str, path: str, at: str, nonce: str, body: bytes) -> str:
    """The signature, in hexadecimal; ``at`` is seconds since 1970."""
    lines = [method.upper(), path, at, nonce, hashlib.sha256(body).hexdigest()]
    return hmac.new(secret.encode(), "\n".join(lines).encode(), hashlib.sha256).hexdigest()


async def body_of(request: Request) -> bytes:
    return await request.body()


def signed_by(request: Request, body: bytes) -> ClientSession:
    """The session that signed the request; its nonce is used up.  Raises Refusal (401)."""
    headers = request.headers
    client, at, nonce, signature = (
        headers.get(f"x-{name}", "") for name in ("client-id", "timestamp", "nonce", "signature")
    )
    session = ClientSession.get_or_none(ClientSession.client_id == client)
    if session is None or not (at.isdigit() and nonce and signature):
        raise _unsigned()
    path = request.url.path
    wanted = sign(session.session_secret, request.method, path, at, nonce, body)
    if not hmac.compare_digest(wanted, signature) or abs(time.time() - int(at)) > CLOCK:
        raise _unsigned()
    if isinstance(session.expires_at, datetime) and session.expires_at < utc_now():
        raise Refusal(401, "expired", "the session has expired; sign in again")
    try:
        NonceCache.insert(nonce=nonce).execute()
    except IntegrityError:
        raise Refusal(401, "repeated", "this nonce was used before") from None
    return session


def _unsigned() -> Refusal:
    return Refusal(401, "unsigned", "sign the request with a session: X-Client-Id, X-Timestamp, …")
