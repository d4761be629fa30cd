"""Peewee's database for a run on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peewee import PostgresqlDatabase


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
        cursor: Any = super().execute_sql(sql, params)  # type: ignore[no-untyped-call]
        self._after(self.connection())  # type: ignore[no-untyped-call]
        return cursor
