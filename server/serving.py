"""The web server: its sockets, how many connections it holds, and for how long.

Hypercorn ends a connection that has not sent a whole head in time.  The number of connections is
limited here, where they are accepted: when there are too many, the oldest that has not asked for
anything yet has to go.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
import signal
import socket
from contextlib import suppress
from typing import Any

from hypercorn.asyncio import serve
from hypercorn.config import Config, Sockets

from server.app import create_app
from server.settings import Settings
from server.state import Server

log = logging.getLogger("server")
HEAD_PATIENCE = 10.0  # seconds for the head of a request, the first as the next
GRACE = 10.0  # seconds for the requests that are at work when the server stops
MOST_CONNECTIONS = 4096
OTHER_FILES = 256  # of the database, for each thread
SEND_PATIENCE = 20_000  # ms that a client may leave our answer lying


class CannotListen(Exception):
    """The address can't be taken; says why in one line."""


class Connections:
    """The open connections, the oldest first, and which of them have asked for something."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._open: dict[Any, socket.socket] = {}
        self._quiet: dict[Any, socket.socket] = {}

    def add(self, address: Any, connection: socket.socket) -> bool:
        """False if there is no room; the connection is not held then."""
        if len(self._open) >= self.most:
            self._drop_closed()
        if len(self._open) >= self.most and not self._end_oldest_quiet():
            return False
        self._open[address] = self._quiet[address] = connection
        return True

    def has_asked(self, address: Any) -> None:
        self._quiet.pop(address, None)

    def _drop_closed(self) -> None:
        for held in (self._open, self._quiet):
            for address in [a for a, connection in held.items() if connection.fileno() == -1]:
                del held[address]

    def _end_oldest_quiet(self) -> bool:
        for address, connection in self._quiet.items():
            del self._quiet[address], self._open[address]
            with suppress(OSError):  # it has gone by itself
                connection.shutdown(socket.SHUT_RDWR)
            return True
        return False


class Listener(socket.socket):
    """A listening socket with a limit on its connections."""

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        connection, address = super().accept()
        if not self.connections.add(tuple(address[:2]), connection):
            connection.close()
            raise ConnectionAbortedError("too many connections")
        return connection, address


class Listening(Config):
    """Hypercorn's configuration, with sockets that are open already."""

    def __init__(self, listeners: list[Listener]) -> None:
        super().__init__()
        self._listeners = listeners
        self.errorlog = logging.getLogger("hypercorn.error")
        self.accesslog = None
        self.keep_alive_timeout = HEAD_PATIENCE
        self.graceful_timeout = GRACE
        self.include_server_header = False
        self.backlog = 1024

    def create_sockets(self) -> Sockets:
        return Sockets([], [*self._listeners], [])


def run(server: Server) -> None:
    """Serve until SIGTERM, SIGINT, or ``server.on_failure``.  Raises CannotListen."""
    connections = Connections(_room())
    server.on_request = lambda client: connections.has_asked(tuple(client or ()))
    try:
        listeners = [
            listen(server.settings.host, port, connections) for port in _ports(server.settings)
        ]
    except CannotListen:
        server.stop()
        raise
    asyncio.run(_serve(server, Listening(listeners)))


async def _serve(server: Server, config: Config) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stopping.set)

    def end() -> None:
        loop.call_soon_threadsafe(server.stopping.set)

    server.on_failure = end
    if server.failed:
        return
    await serve(create_app(server), config, shutdown_trigger=server.stopping.wait)  # type: ignore[arg-type]


def listen(host: str, port: int, connections: Connections) -> Listener:
    """Raises CannotListen."""
    try:
        ((family, kind, proto, _, address), *_) = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = Listener(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # the connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SEND_PATIENCE)
        listener.connections = connections
        listener.bind(address)
        listener.listen(1024)
        listener.setblocking(False)
        return listener
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise CannotListen(
                f"port {port} of '{host}' is in use; stop what uses it, or set PORT to another"
            ) from exc
        raise CannotListen(f"can't listen on '{host}' port {port}: {exc.strerror}") from exc


def _ports(settings: Settings) -> list[int]:
    return [port for port in (settings.port, settings.metrics_port) if port is not None]


def _room() -> int:
    """Raise the limit of open files as far as this user may; gives the room for connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    files = wanted if most == resource.RLIM_INFINITY else min(most, wanted)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(64, files - OTHER_FILES)
