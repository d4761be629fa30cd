"""A connection that keeps what the catalogue said, until it sends anything else.

Only in a transaction, where nobody else's DDL on what it has locked can come between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

# A connection that is lost is told by an exception, and not by a warning beside it.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

Rows = list[tuple[Any, ...]]


class Answer:
    """The rows of one or more statements, to be read as those of a cursor."""

    def __init__(self, results: list[Rows]) -> None:
        self._results, self._place = results, 0

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self._results[self._place])

    def fetchall(self) -> Rows:
        return self._results[self._place]

    def nextset(self) -> bool | None:
        self._place += 1
        return True if self._place < len(self._results) else None


class Cursor(psycopg.Cursor[Any]):
    """Sends a statement of which nobody knows what it does to the catalogue."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        _forget(self.connection)
        return super().execute(query, params, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        _forget(self.connection)
        super().executemany(query, params_seq, **options)

    def copy(self, statement: Any, params: Any = None, **options: Any) -> Any:
        _forget(self.connection)
        return super().copy(statement, params, **options)


class Connection(psycopg.Connection[Any]):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cursor_factory = Cursor
        self._known: dict[str, list[Rows]] = {}

    def ask(self, sql: str) -> Answer:
        """Answer statements that only read the catalogue; each sent once, as long as nothing
        else is."""
        if self.info.transaction_status is not TransactionStatus.INTRANS:
            self.forget()
        if sql not in self._known:
            # Past the factory: this is not for whoever watches a migration.
            cursor = psycopg.Cursor(self)
            cursor.execute(sql)
            results = [cursor.fetchall()]
            while cursor.nextset():
                results.append(cursor.fetchall())
            self._known[sql] = results
        return Answer(self._known[sql])

    def forget(self) -> None:
        self._known.clear()

    @contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[psycopg.Transaction]:
        """Its end may bring back what was before, and is sent without a cursor."""
        self.forget()
        try:
            with super().transaction(*arguments, **options) as transaction:
                yield transaction
        finally:
            self.forget()


def _forget(connection: psycopg.Connection[Any]) -> None:
    if isinstance(connection, Connection):
        connection.forget()
