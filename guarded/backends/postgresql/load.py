"""Fill tables that a run has just made, inside of its transaction.

Foreign keys and triggers rest meanwhile: the rows are whole, and come in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier

from guarded.backends.interface import Session
from guarded.backends.postgresql import sequences
from guarded.backends.postgresql.definitions import definitions
from guarded.backends.postgresql.fit import fit
from guarded.errors import Refused

if TYPE_CHECKING:
    from guarded.schema import Column

FETCHED = 2000  # rows at once
JSON = ("json", "jsonb")
# A new table is read from its first page to its last, in the order in which it was written.
IN_ORDER = (
    "SET LOCAL enable_indexscan = off",
    "SET LOCAL enable_indexonlyscan = off",
    "SET LOCAL enable_bitmapscan = off",
    "SET LOCAL synchronize_seqscans = off",
    # A moment without a zone is in UTC, as it is in SQLite.
    "SET LOCAL TimeZone = 'UTC'",
)


class Load:
    """See ``guarded.backends.interface.Load``."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def fitting(self, column: Column) -> Callable[[Any], Any]:
        return fit(column.storage)

    def is_json(self, column: Column) -> bool:
        return column.storage in JSON

    def empty(self, *tables: str) -> None:
        if tables:
            self._connection.execute(SQL("TRUNCATE {}").format(_names(tables)))

    def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        into = SQL("COPY {} ({}) FROM STDIN").format(Identifier(table), _names(columns))
        try:
            with self._connection.cursor() as cursor, cursor.copy(into) as copy:
                for row in rows:
                    copy.write_row(row)
        except (psycopg.DataError, psycopg.IntegrityError) as exc:
            raise Refused(f"table '{table}' does not take a row: {_reason(exc)}") from exc

    def rows(self, table: str, columns: Sequence[Column]) -> Iterator[Sequence[Any]]:
        # Its text is what every reader of JSON reads alike.
        values = [
            SQL("{}::text" if self.is_json(column) else "{}").format(Identifier(column.name))
            for column in columns
        ]
        query = SQL("SELECT {} FROM {}").format(SQL(", ").join(values), Identifier(table))
        with self._connection.cursor(name="guarded_load") as cursor:
            cursor.itersize = FETCHED
            yield from cursor.execute(query)


@contextmanager
def loading(session: Session, marks: Mapping[str, int]) -> Iterator[Load]:
    """Empty these tables, and let the block fill them.

    ``marks``: the highest id that each table has given out, or 0.  Raises Refused for rows that
    break a foreign key or another constraint.
    """
    connection: psycopg.Connection[Any] = session.database.connection()
    made = definitions(connection.execute)
    keys = [one for one in made if one.kind == "foreign key"]
    for setting in (*IN_ORDER, "SET CONSTRAINTS ALL IMMEDIATE"):
        connection.execute(setting)
    for key in keys:
        _alter(connection, key.table, SQL("DROP CONSTRAINT {}").format(Identifier(key.name)))
    for table in marks:
        _alter(connection, table, SQL("DISABLE TRIGGER USER"))
    load = Load(connection)
    load.empty(*marks)
    yield load
    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    for table in marks:
        _alter(connection, table, SQL("ENABLE TRIGGER USER"))
    for one in made:
        if one.kind == "trigger state":
            connection.execute(one.sql)
    for key in keys:
        try:
            connection.execute(key.sql)
        except psycopg.IntegrityError as exc:
            raise Refused(f"table '{key.table}': {_reason(exc)}") from exc
    for table, mark in marks.items():
        sequences.raise_behind(connection, [table], mark)
        connection.execute(SQL("ANALYZE {}").format(Identifier(table)))


def _alter(connection: psycopg.Connection[Any], table: str, what: SQL | Any) -> None:
    connection.execute(SQL("ALTER TABLE {} {}").format(Identifier(table), what))


def _names(names: Iterable[str]) -> Any:
    return SQL(", ").join(map(Identifier, names))


def _reason(exc: psycopg.Error) -> str:
    diagnosis = exc.diag
    parts = (diagnosis.message_primary or str(exc), diagnosis.message_detail)
    return " ".join("; ".join(part for part in parts if part).split())
