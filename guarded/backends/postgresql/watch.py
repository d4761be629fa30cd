"""The statements of a migration, seen before they are sent, whoever sends them.

A migration may not end the run's transaction, do what can't be in one, or write the history.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg

from guarded import history
from guarded.backends.postgresql.connection import Cursor
from guarded.backends.postgresql.text import names_in, pieces
from guarded.errors import InMemoryTable, MigrationError, Refused

FORBIDDEN = re.compile(
    r"\s*(?P<word>COMMIT|END|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b)|ABORT|BEGIN|"
    r"START\s+TRANSACTION|PREPARE\s+TRANSACTION|VACUUM|REINDEX\s.*\bCONCURRENTLY|"
    r"REFRESH\s+MATERIALIZED\s+VIEW\s+CONCURRENTLY|ALTER\s+SYSTEM|"
    r"(CREATE|DROP)\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|(CREATE|DROP)\s+(DATABASE|TABLESPACE))\b",
    re.IGNORECASE,
)
ENDS = ("COMMIT", "END", "ROLLBACK", "ABORT", "BEGIN", "START TRANSACTION", "PREPARE TRANSACTION")
CHANGES = re.compile(
    r"\s*(CREATE|ALTER|DROP|COMMENT|GRANT|REVOKE|DO|CALL|WITH|SELECT\s.*\bINTO)\b",
    re.IGNORECASE | re.DOTALL,
)
READS = re.compile(r"\s*(SELECT|EXPLAIN|SHOW|TABLE|VALUES)\b", re.IGNORECASE)


class Watch:
    """Looks at what one connection sends, inside of ``watching()``."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        in_memory: Mapping[str, str],
        on_own_change: Callable[[], None],
    ) -> None:
        """``on_own_change`` is called before a statement of the migration's own changes the schema:
        before one that is not ``announced`` as the engine's."""
        self._connection, self._in_memory = connection, in_memory
        self._on_own_change = on_own_change
        self.announced = ""
        self._migration = ""
        self._refusal: MigrationError | None = None

    @contextmanager
    def watching(self, migration: str) -> Iterator[None]:
        """Raise the refusal also where the migration caught it and went on."""
        connection: Any = self._connection
        self._migration, self._refusal = migration, None
        before = connection.cursor_factory
        connection.cursor_factory = self._cursor
        # psycopg's own ways to the same, which send no text.
        connection.commit = lambda: self.look("COMMIT")
        connection.rollback = lambda: self.look("ROLLBACK")
        try:
            yield
        except Exception as exc:
            if self._refusal is not None and self._refusal is not exc:
                raise self._refusal from exc
            raise
        finally:
            connection.cursor_factory = before
            del connection.commit, connection.rollback
        if self._refusal is not None:
            raise self._refusal

    def look(self, sql: str) -> None:
        """Raise Refused for what a migration may not do."""
        for piece in pieces(sql):
            if found := FORBIDDEN.match(piece):
                self._refuse(_refusal(self._migration, " ".join(found["word"].upper().split())))
            if READS.match(piece):
                continue
            if sql != self.announced and CHANGES.match(piece):
                self._on_own_change()
            for table in (history.TABLE, *self._in_memory):
                if table in piece and table in names_in(piece):
                    self._refuse(self._out_of_reach(table))

    def _out_of_reach(self, table: str) -> MigrationError:
        if table in self._in_memory:
            return InMemoryTable(table, self._in_memory[table])
        return Refused(
            f"'{self._migration}' may not change {table}, which says what was applied; use fake or "
            "down"
        )

    def _refuse(self, refusal: MigrationError) -> None:
        self._refusal = refusal
        raise refusal

    def _cursor(self, connection: Any, **options: Any) -> psycopg.Cursor[Any]:
        return _Cursor(self, connection, **options)


class _Cursor(Cursor):
    def __init__(self, watch: Watch, connection: Any, **options: Any) -> None:
        super().__init__(connection, **options)
        self._watch = watch

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        self._watch.look(_text(query, self.connection))
        return super().execute(query, params, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:
        self._watch.look(_text(query, self.connection))
        super().executemany(query, params_seq, **options)


def _text(query: Any, connection: Any) -> str:
    if isinstance(query, bytes):
        return query.decode("utf-8", "replace")
    return query if isinstance(query, str) else str(query.as_string(connection))


def _refusal(migration: str, word: str) -> Refused:
    if "CONCURRENTLY" in word:
        return Refused(
            f"'{migration}' uses CONCURRENTLY, which PostgreSQL does not do in a transaction, and "
            "a run is one; use migrator.add_index(…), or make the index by hand first: the "
            "migration then finds it"
        )
    if word in ENDS:
        return Refused(
            f"'{migration}' may not {word} the transaction: a run is one transaction, so that it "
            "can be undone as a whole; leave that out"
        )
    return Refused(
        f"'{migration}' may not {word}, which can't run inside of a transaction, and a run is one; "
        "do it by hand"
    )
