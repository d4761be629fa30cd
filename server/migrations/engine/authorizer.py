"""What a statement would do, told by SQLite itself before it does it.

SQLite calls an authorizer for everything that a statement touches while it compiles it
(https://www.sqlite.org/c3ref/set_authorizer.html), triggers included.  Denied to a migration
there is to end the run's transaction, to attach another file, to reach a table that lives in memory
only, and to write the history.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from server.migrations.engine import history
from server.migrations.engine.alter import compiling
from server.migrations.engine.errors import InMemoryTable, MigrationError, Refused
from server.migrations.engine.sql.names import fold

WRITES = {
    sqlite3.SQLITE_INSERT: "insert",
    sqlite3.SQLITE_UPDATE: "update",
    sqlite3.SQLITE_DELETE: "delete",
}
# Which of the two arguments has the name of what is created, dropped or altered,
# https://www.sqlite.org/c3ref/c_alter_table.html.
OBJECTS = {
    sqlite3.SQLITE_CREATE_TABLE: ("table", 0),
    sqlite3.SQLITE_CREATE_INDEX: ("index", 0),
    sqlite3.SQLITE_CREATE_TRIGGER: ("trigger", 0),
    sqlite3.SQLITE_CREATE_VIEW: ("view", 0),
    sqlite3.SQLITE_CREATE_VTABLE: ("table", 0),
    sqlite3.SQLITE_DROP_TABLE: ("table", 0),
    sqlite3.SQLITE_DROP_INDEX: ("index", 0),
    sqlite3.SQLITE_DROP_TRIGGER: ("trigger", 0),
    sqlite3.SQLITE_DROP_VIEW: ("view", 0),
    sqlite3.SQLITE_DROP_VTABLE: ("table", 0),
    sqlite3.SQLITE_ALTER_TABLE: ("table", 1),
}


class Write(NamedTuple):
    """A table that a statement writes; ``column`` for an update, ``trigger`` when one does it."""

    table: str
    kind: str
    column: str | None
    trigger: str | None


class Effects(NamedTuple):
    """What a statement would write, and which objects it would create, drop or alter."""

    writes: frozenset[Write] = frozenset()
    objects: frozenset[tuple[str, str]] = frozenset()


class Authorizer:
    """The authorizer of one connection; looks on only inside of ``watching()``."""

    def __init__(self, connection: sqlite3.Connection, in_memory: Mapping[str, str]) -> None:
        """``in_memory``: table name to the model that has it."""
        self._connection = connection
        self._in_memory = {fold(table): (table, model) for table, model in in_memory.items()}
        self._migration = ""
        self._armed = False
        self._refusal: MigrationError | None = None
        self._writes: set[Write] = set()
        self._objects: set[tuple[str, str]] = set()
        connection.set_authorizer(self._authorize)

    @property
    def armed(self) -> bool:
        return self._armed

    @contextmanager
    def watching(self, migration: str) -> Iterator[None]:
        """While the block runs, deny what a migration must not do.

        Raises what was denied, in place of SQLite's "not authorized" and of what came of it.
        """
        self._migration, self._refusal, self._armed = migration, None, True
        try:
            yield
        except Exception as exc:
            if self._refusal is not None and self._refusal is not exc:
                raise self._refusal from exc
            raise
        finally:
            self._armed = False
        if self._refusal is not None:  # the migration caught the error and went on
            raise self._refusal

    @contextmanager
    def trusting(self) -> Iterator[None]:
        """While the block runs, the statements are the engine's own."""
        armed, self._armed = self._armed, False
        try:
            yield
        finally:
            self._armed = armed

    def effects(self, sql: str, params: Sequence[Any]) -> Effects:
        """Compile the statement and say what it would do; nothing for one that does not compile.

        Raises what is denied.
        """
        self.seen()
        try:
            compiling.compile_only(self._connection.execute, sql, params)
        except sqlite3.Error as exc:
            if self._refusal is not None:
                raise self._refusal from exc
            return Effects()  # running it will say what is wrong with it
        return self.seen()

    def seen(self) -> Effects:
        """What was compiled since the last call."""
        effects = Effects(frozenset(self._writes), frozenset(self._objects))
        self._writes.clear()
        self._objects.clear()
        return effects

    def refuse_in_memory(self, table: str) -> None:
        if fold(table) in self._in_memory:
            raise InMemoryTable(*self._in_memory[fold(table)])

    def _authorize(
        self, action: int, one: str | None, two: str | None, _schema: str | None, by: str | None
    ) -> int:
        if not self._armed:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_TRANSACTION:
            self._refusal = Refused(
                f"'{self._migration}' may not {one} the transaction: a run is one transaction, so "
                "that it can be undone as a whole; leave that out (executescript commits, too)"
            )
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_ATTACH:
            self._refusal = Refused(
                f"'{self._migration}' may not attach another file; it would not be undone with the "
                "rest, and is in no backup"
            )
            return sqlite3.SQLITE_DENY
        table = None
        if action in WRITES and one is not None and not one.startswith("sqlite_"):
            column = two if action == sqlite3.SQLITE_UPDATE else None
            self._writes.add(Write(one, WRITES[action], column, by))
            table = one
        elif action in OBJECTS:
            kind, position = OBJECTS[action]
            if name := (one, two)[position]:
                self._objects.add((kind, name))
                table = name if kind == "table" else two
        if table is not None and fold(table) in self._in_memory:
            self._refusal = InMemoryTable(*self._in_memory[fold(table)])
            return sqlite3.SQLITE_DENY
        if table is not None and fold(table) == history.TABLE:
            self._refusal = Refused(
                f"'{self._migration}' may not change {history.TABLE}, which says what was applied; "
                "use fake or down"
            )
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK
