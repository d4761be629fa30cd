"""The body of a request, up to a limit in size and time."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect, Request

from server.answers import Refusal, not_now

LIMIT = 64 * 1024  # bytes
PATIENCE = 20.0  # seconds for a whole body


async def read(request: Request, stopping: asyncio.Event, limit: int = LIMIT) -> bytes:
    """Raises Refusal as soon as the body is known to be too large (413) or comes too slowly (408).

    A server that stops does not wait for the rest of a body.
    """
    declared = request.headers.get("content-length", "0")
    if not declared.isdigit() or len(declared) > 18 or int(declared) > limit:
        raise too_large(limit)
    reading = asyncio.ensure_future(_all_of(request, limit))
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait({reading, stop}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if reading.done():
            return reading.result()
        if stop.done():
            raise not_now("stopping", "the server stops; send the request again")
        raise Refusal(408, "too_slow", f"the body has to arrive within {PATIENCE:.0f} s")
    finally:
        reading.cancel()
        stop.cancel()


async def _all_of(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > limit:
                raise too_large(limit)
    except ClientDisconnect:  # nobody reads this answer, and it is no error of ours
        raise Refusal(408, "incomplete", "the connection ended before the body did") from None
    return bytes(body)


def with_body(request: Request, body: bytes) -> Request:
    """The same request, whose body is read already."""
    is_given = False

    async def receive() -> Any:
        nonlocal is_given
        if is_given:
            return await request.receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(request.scope, receive)


def too_large(limit: int) -> Refusal:
    return Refusal(413, "too_large", f"a body has {limit} bytes at most")
