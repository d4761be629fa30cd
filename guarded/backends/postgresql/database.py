"""Peewee's database for a run on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from peewee import PostgresqlDatabase


class Database(PostgresqlDatabase):
    """Opens its connection as ``connect`` does, with psycopg 3 also where psycopg2 is installed."""

    # A point in time, whatever zone the session or the server is in.
    field_types = {"DATETIME": "TIMESTAMPTZ"}  # noqa: RUF012

    def __init__(self, name: str, connect: Callable[[], Any]) -> None:
        self._open = connect
        super().__init__(name, prefer_psycopg3=True)

    def _connect(self) -> Any:
        return self._open()
