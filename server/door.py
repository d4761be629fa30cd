"""Between the network and the application: which port is for what, and how a connection ends.

A client whose body nobody wants gets its answer and a moment to read it.  Without that moment the
system would reset the connection, and the answer would be lost on the way.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import logs, pages, rates
from server.answers import Refusal, answer
from server.state import Server

log = logging.getLogger("server")
DEFAULTS = ((b"x-content-type-options", b"nosniff"),)
LINGER = 1.0  # seconds that the rest of an unwanted body is read and thrown away


class Door:
    def __init__(self, app: ASGIApp, server: Server) -> None:
        self.app, self.server = app, server

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.server.on_request(scope.get("client"))
        started = time.monotonic()
        exchange = Exchange(scope, receive, send, logs.begin_request(self._given_id(scope)))
        app = self._refusal(scope) or self.app
        if pages.is_page_wanted(scope):
            scope = {**scope, "path": "/", "raw_path": b"/"}
        try:
            await app(scope, exchange.receive, exchange.send)
        finally:
            seconds = time.monotonic() - started
            # The route and not the path: that may hold the token of a meeting.
            route = getattr(scope.get("route"), "path", "-")
            self.server.metrics.count(scope["method"], route, exchange.status, seconds)
            level = _level(scope["method"], exchange.status)
            said = (scope["method"], route, exchange.status, seconds * 1000)
            log.log(level, "%s %s %d %.0f ms", *said)

    def _given_id(self, scope: Scope) -> str | None:
        """The id of a request that a trusted proxy gave it."""
        connection = HTTPConnection(scope)
        if not rates.is_trusted(connection, self.server.settings.trusted_proxies):
            return None
        return connection.headers.get("x-request-id")

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        """HTTP/2 is the proxy's work: one connection of it holds many requests."""
        if scope["http_version"] not in ("1.0", "1.1"):
            return answer(Refusal(505, "http_version", "only HTTP/1.1 is served here"))
        here = (scope.get("server") or ("", None))[1]
        is_metrics_port = here is not None and here == self.server.settings.metrics_port
        if (scope["path"] == "/metrics") != is_metrics_port:
            return answer(Refusal(404, "not_found", "Not Found"))
        return None


def _level(method: str, status: int) -> int:
    """Tell failures and changes; a flood of refused requests fills no disk."""
    if status == 500:
        return logging.ERROR
    is_change = method in ("POST", "PUT", "PATCH", "DELETE") and status < 400
    return logging.INFO if is_change else logging.DEBUG


class Exchange:
    """One request and its answer, which carries the id of the request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.status = 0
        self._id = (b"x-request-id", request_id.encode())
        self._receive, self._send = receive, send
        names = dict(scope["headers"])
        self._is_read = (
            b"transfer-encoding" not in names and names.get(b"content-length", b"0") == b"0"
        )

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            self._is_read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers: list[Any] = [*message.get("headers", ()), self._id, *DEFAULTS]
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            if not self._is_read:
                headers.append((b"connection", b"close"))
            message = {**message, "headers": headers}
        is_last = message["type"] == "http.response.body" and not message.get("more_body")
        if is_last and not self._is_read:
            await self._linger(message)
        else:
            await self._send(message)

    async def _linger(self, message: Message) -> None:
        await self._send({**message, "more_body": True})
        rest = asyncio.ensure_future(self._throw_away())
        await asyncio.wait({rest}, timeout=LINGER)
        # Still reading: Hypercorn can end a request only while somebody takes what it has read.
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        await asyncio.wait({rest}, timeout=LINGER)
        rest.cancel()

    async def _throw_away(self) -> None:
        while (message := await self._receive())["type"] != "http.disconnect":
            self._is_read = not message.get("more_body")
            if self._is_read:
                return
