"""Peewee's database for a run on PostgreSQL."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from peewee import DatabaseError, PostgresqlDatabase

# How the server points into the statement, which makes no sense on one line.
POINTER = re.compile(r"\nLINE \d+: .*\n *\^ *(?=\n|$)")


class Database(PostgresqlDatabase):
    """Opens its connection as ``connect`` does, with psycopg 3 also where psycopg2 is installed."""

    # A point in time, whatever zone the session or the server is in.
    field_types = {**PostgresqlDatabase.field_types, "DATETIME": "TIMESTAMPTZ"}  # noqa: RUF012

    def __init__(
        self,
        name: str,
        connect: Callable[[], Any],
        after: Callable[[Any], None] = lambda connection: None,
    ) -> None:
        """``after`` is called with the connection after every statement."""
        self._open, self._after = connect, after
        super().__init__(name, prefer_psycopg3=True)

    def _connect(self) -> Any:
        return self._open()

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        if not params:  # psycopg would take a % for the mark of a value
            sql, params = sql.replace("%", "%%"), None
        try:
            cursor: Any = super().execute_sql(sql, params)  # type: ignore[no-untyped-call]
        except DatabaseError as exc:
            raise type(exc)(pointless(str(exc))) from (exc.__cause__ or exc.__context__)
        self._after(self.connection())  # type: ignore[no-untyped-call]
        return cursor


def pointless(message: str) -> str:
    """The message without a copy of the statement."""
    return POINTER.sub("", message)
