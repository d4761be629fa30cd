"""SQL that the two kinds of database spell differently."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from peewee import SQL, Database, PostgresqlDatabase, fn

from server.db.fields import UtcDateTimeField
from server.db.model import database


def is_postgresql(of: Database | None = None) -> bool:
    """``of``: another database than the one that is served."""
    return isinstance(database.obj if of is None else of, PostgresqlDatabase)


def moment(value: Any, of: Database | None = None) -> Any:
    """A column or a datetime, for comparing with another.

    Old rows of SQLite have dates in every spelling.  Its datetime() reads them all, and is NULL for
    what is no date.
    """
    if isinstance(value, datetime):
        value = UtcDateTimeField().db_value(value)
    return value if is_postgresql(of) else fn.datetime(value)


def row() -> Any:
    """The place of a row in its table, whatever its key is."""
    return SQL("ctid" if is_postgresql() else "rowid")


def columns_of(table: str) -> str:
    """The query for the names of a table's columns; no row where there is no such table."""
    if is_postgresql():
        return (
            f"SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('\"{table}\"') "
            "AND attnum > 0 AND NOT attisdropped"
        )
    return f"SELECT name FROM pragma_table_info('{table}')"
