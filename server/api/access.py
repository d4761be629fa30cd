"""Three kinds of routes: for everybody, for a session that signs, and for a guest.

Each kind of route checks what needs no body before it reads the body.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response, Security
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader, HTTPBearer
from starlette.concurrency import run_in_threadpool

from server import accounts, bodies, rates, signing
from server.answers import Refusal, errors
from server.db.model import ExternalSession, utc_now
from server.signing import Caller
from server.state import Server

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
READS = ("GET", "HEAD", "OPTIONS")


def server_of(request: Request) -> Server:
    return request.app.state.server  # type: ignore[no-any-return]


def origin_of(request: Request) -> str:
    return rates.origin(request, server_of(request).settings.trusted_proxies)


class PublicRoute(APIRoute):
    """For everybody: at a limited rate, with a limited body."""

    def get_route_handler(self) -> Handler:
        work = super().get_route_handler()

        async def handle(request: Request) -> Response:
            server = server_of(request)
            server.rates.require(rates.PUBLIC, origin_of(request))
            server.require_ready()
            body = await bodies.read(request, server.stopping)
            return await work(bodies.with_body(request, body))

        return handle


class SignedRoute(APIRoute):
    """For a session that signed the request; in the order that ``signing`` gives."""

    def get_route_handler(self) -> Handler:
        work = super().get_route_handler()

        async def handle(request: Request) -> Response:
            server = server_of(request)
            server.require_ready()
            message = signing.message_of(request, server.settings.public_url)
            claim = signing.claim_of(message)
            try:
                caller, result = await run_in_threadpool(_verified, server, message, claim)
            except Refusal as exc:
                _count_wrong(server, origin_of(request))
                raise exc
            body = await bodies.read(request, server.stopping)
            signing.check_digest(message, result, body)
            is_write = request.method not in READS
            is_new = await run_in_threadpool(
                server.use_nonce, claim.nonce, claim.created, is_write=is_write
            )
            if not is_new:
                raise Refusal(401, "duplicate_request", "this nonce was used before; sign anew")
            server.seen[caller.client_id] = utc_now()
            request.state.caller = caller
            return await work(bodies.with_body(request, body))

        return handle


def _verified(server: Server, message: signing.Message, claim: signing.Claim) -> tuple[Caller, Any]:
    with server.reading():
        session = signing.session_of(claim)
    result = signing.verify(message, session.session_secret)
    return Caller(session.client_id, session.user_id), result


def _count_wrong(server: Server, origin: str) -> None:
    if not server.rates.hit(rates.WRONG_SIGNATURE, origin):
        raise server.rates.refusal(rates.WRONG_SIGNATURE, origin)


class GuestRoute(APIRoute):
    """For the guest in the path, who shows the secret that came with the registration."""

    def get_route_handler(self) -> Handler:
        work = super().get_route_handler()

        async def handle(request: Request) -> Response:
            server = server_of(request)
            server.rates.require(rates.GUEST, origin_of(request))
            server.require_ready()
            scheme, _, secret = request.headers.get("authorization", "").partition(" ")
            session_id = request.path_params["session_id"]
            if scheme.lower() != "bearer" or not secret:
                raise _no_guest()
            await run_in_threadpool(_check_guest, session_id, secret.strip())
            body = await bodies.read(request, server.stopping)
            return await work(bodies.with_body(request, body))

        return handle


def _check_guest(session_id: str, secret: str) -> None:
    guest = ExternalSession.get_or_none(ExternalSession.session_id == session_id)
    known = guest.secret_digest if guest is not None else ""
    is_right = secrets.compare_digest(known, digest_of(secret))
    if guest is None or not is_right or guest.expires_at <= utc_now():
        raise _no_guest()


def _no_guest() -> Refusal:
    return Refusal(
        401,
        "no_guest",
        "there is no such guest with this secret; join again",
        headers={"WWW-Authenticate": "Bearer"},
    )


def digest_of(secret: str) -> str:
    """The form in which a guest's secret is kept."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


async def _caller(request: Request) -> Caller:
    return request.state.caller  # type: ignore[no-any-return]


async def _server(request: Request) -> Server:
    return server_of(request)


ServerHere = Annotated[Server, Depends(_server)]
CallerHere = Annotated[Caller, Depends(_caller)]


def is_admin(server: Server, caller: Caller) -> bool:
    """Needs an open connection."""
    database = server.require_ready().database
    return accounts.is_admin(database, server.settings.admins, caller.user_id)


def require_admin(server: Server, caller: Caller) -> None:
    """Raises Refusal (403)."""
    if not is_admin(server, caller):
        raise Refusal(403, "no_admin", "this is for the addresses in ADMINS")


SIGNATURE = APIKeyHeader(
    name="Signature",
    scheme_name="signature",
    description="An HTTP Message Signature (RFC 9421, hmac-sha256) in Signature and "
    "Signature-Input, over @method, @authority, @path, @query and content-digest (RFC 9530), with "
    "created, nonce, and the client_id as keyid. docs/client.py shows how.",
    auto_error=False,
)
BEARER = HTTPBearer(scheme_name="guest", description="The guest's own secret.", auto_error=False)


def public(tag: str) -> APIRouter:
    return APIRouter(route_class=PublicRoute, tags=[tag], responses=errors(408, 413, 422, 429, 503))


def signed(tag: str) -> APIRouter:
    return APIRouter(
        route_class=SignedRoute,
        tags=[tag],
        dependencies=[Security(SIGNATURE)],
        responses=errors(401, 408, 413, 422, 429, 503),
    )


def guest(tag: str) -> APIRouter:
    return APIRouter(
        route_class=GuestRoute,
        tags=[tag],
        dependencies=[Security(BEARER)],
        responses=errors(401, 408, 413, 422, 429, 503),
    )
