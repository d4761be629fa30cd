"""The engine's connections, which break or let others act before their n-th message to the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import psycopg

from guarded.backends.postgresql import lock
from guarded.backends.postgresql.connect import PostgresqlServer

CUT, LOST, FAIL = "is cut", "loses an answer", "fails once"
AT_COMMIT = -1
KINDS = (CUT, LOST, FAIL)


class Wire:
    """``point`` is the message at which it breaks, from 1, or the one of COMMIT; 0: never.  ``others`` act before theirs."""

    def __init__(self, admin: psycopg.Connection[Any], kind: str = "", point: int = 0) -> None:
        self.admin, self.kind, self.point = admin, kind, point
        self.sent = 0
        self.others: dict[int, list[Callable[[], None]]] = {}

    def after(self, messages: int, act: Callable[[], None]) -> None:
        """Let ``act`` happen before the message that is so many further."""
        self.others.setdefault(self.sent + messages, []).append(act)

    def watch(self, connection: Any) -> None:
        """psycopg sends every message of a connection through its ``wait``."""
        wait, execute = connection.wait, connection.execute

        def executed(query: Any, *arguments: Any, **options: Any) -> Any:
            if query == "COMMIT" and self.point == AT_COMMIT:
                self.point = self.sent + 1
            return execute(query, *arguments, **options)

        def watched(*arguments: Any, **options: Any) -> Any:
            self.sent += 1
            is_here = self.sent == self.point
            for act in self.others.pop(self.sent, ()):
                act()
            if is_here and self.kind == FAIL:
                if not connection.closed:
                    connection.pgconn.exec_(b"SELECT 1 / 0")  # a transaction ends by it
                raise psycopg.errors.DiskFull("could not extend file: No space left on device")
            if is_here and self.kind == CUT:
                self.end(connection)
            answer = wait(*arguments, **options)
            if is_here and self.kind == LOST:
                self.end(connection)
                connection.close()
                raise psycopg.OperationalError("the connection is lost")
            return answer

        connection.wait, connection.execute = watched, executed

    def end(self, connection: Any) -> None:
        pid = connection.info.backend_pid
        self.admin.execute("SELECT pg_terminate_backend(%s, 60000)", (pid,))


class Wired(PostgresqlServer):
    """The backend over a wire."""

    wire: Wire

    def connect(self, **parameters: Any) -> Any:
        connection = super().connect(**parameters)
        self.wire.watch(connection)
        return connection


@contextmanager
def hasty() -> Iterator[None]:
    """Whoever waits for a lock in the block does so for a moment; a message is its clock."""
    with (
        patch.object(lock, "LOCK_TIMEOUT", "20ms"),
        patch.object(lock, "PAUSE", 0.0),
        patch.object(lock, "POLL", 0.0),
    ):
        yield
