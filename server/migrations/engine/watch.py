"""What a migration may not do without saying so; found before COMMIT.

A verb of the migrator names what it changes.  Of everything else, no row appears or vanishes, no
object of the schema changes a byte, no id mark falls, and no foreign key is left dangling.
Counting waits for the first statement that writes a table, so that an untouched table costs
nothing however large it is.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from server.migrations.engine import history, introspection
from server.migrations.engine.authorizer import Authorizer, Write
from server.migrations.engine.errors import Refused
from server.migrations.engine.introspection import SchemaObject
from server.migrations.engine.sql.names import fold, quote

Key = tuple[str, str]  # kind and folded name


class Watch:
    """Sees every statement of a run before SQLite executes it; one for a run and connection."""

    def __init__(self, connection: sqlite3.Connection, in_memory: Mapping[str, str]) -> None:
        """``in_memory``: table name to the model that has it."""
        self._connection = connection
        self._execute = connection.execute
        self._authorizer = Authorizer(connection, in_memory)
        self._objects = _by_key(introspection.objects(self._execute))
        self._marks = _marks(connection)
        self._dangling: dict[str, set[tuple[Any, ...]]] = {}
        self._culprits: dict[Key, str] = {}
        self._all_named: set[Key] = set()
        self._begin("")

    @contextmanager
    def migration(self, name: str) -> Iterator[None]:
        """While the block runs, it is watched, and can neither end the transaction nor reach a
        table of the in-memory database."""
        self._begin(name)
        try:
            with self._authorizer.watching(name):
                yield
        finally:
            self._all_named |= self._named

    def _begin(self, name: str) -> None:
        self._migration = name
        self._named: set[Key] = {("table", history.TABLE)}
        self._counts: dict[str, tuple[str, int, str | None]] = {}
        self._known: set[str] = set()
        self._columns: dict[str, set[str]] = {}
        self._written: set[Write] = set()

    # What a verb says.

    def name(self, *objects: Key) -> None:
        """These, by kind and name, are meant to change.  Raises InMemoryTable."""
        for kind, name in objects:
            self._named.add((kind, fold(name)))
            if kind == "table":
                self.refuse_in_memory(name)

    def refuse_in_memory(self, table: str) -> None:
        self._authorizer.refuse_in_memory(table)

    def trusting(self) -> AbstractContextManager[None]:
        """While the block runs, the statements are the engine's own and need no watching."""
        return self._authorizer.trusting()

    # What a statement will do.

    def before(self, sql: str, params: Sequence[Any], *, names: bool = False) -> set[str]:
        """Look at a statement that is about to run; ``names``: all that it says is meant.

        Returns what it would create, as ``table meetings``.
        """
        if not self._authorizer.armed or (sql in self._known and not names):
            return set()
        if not self._connection.in_transaction:
            raise Refused(
                f"the transaction ended before '{self._migration}' did, as it does on a full disk; "
                "this statement would not be undone with the rest"
            )
        self._written |= self._authorizer.seen().writes
        effects = self._authorizer.effects(sql, params)
        if effects.objects:  # another trigger may fire from now on
            self._known.clear()
        self._known.add(sql)
        if names:
            self.name(*(("table", w.table) for w in effects.writes if w.trigger is None))
            self.name(*effects.objects)
        created = set()
        for kind, name in effects.objects:
            self._culprits.setdefault((kind, fold(name)), self._migration)
            existing = introspection.find(self._execute, name)
            if existing is not None and kind == "table":
                self._columns.setdefault(existing.name, self._columns_of(existing.name))
            if existing is None:
                created.add(f"{kind} {name}")
                self._named.add((kind, fold(name)))
        for write in effects.writes:
            self._count(write)
            self.suspect(write.table, write.kind, write.column)
        return created

    def _count(self, write: Write) -> None:
        key = fold(write.table)
        if key in self._counts or ("table", key) in self._named:
            return
        if introspection.has_table(self._execute, write.table):
            self._counts[key] = (write.table, self._rows(write.table), write.trigger)

    def suspect(self, table: str, kind: str, column: str | None = None) -> None:
        """Note the foreign keys that dangle already, before a write that could leave more."""
        suspects = []
        if kind != "delete":
            keys = introspection.foreign_keys(self._execute, table)
            if any(column is None or fold(column) in map(fold, key.columns) for key in keys):
                suspects.append(table)
        if kind != "insert":
            suspects += [
                child
                for child in introspection.children(self._execute, table)
                if column is None or self._refers(child, table, column)
            ]
        for child in suspects:
            if fold(child) not in self._dangling:
                self._dangling[fold(child)] = dangling(self._connection, child)
                self._culprits.setdefault(("key", fold(child)), self._migration)

    def _refers(self, child: str, parent: str, column: str) -> bool:
        return any(
            fold(key.parent) == fold(parent) and fold(column) in map(fold, key.parent_columns)
            for key in introspection.foreign_keys(self._execute, child)
        )

    def _rows(self, table: str) -> int:
        return int(self._execute(f"SELECT count(*) FROM {quote(table)}").fetchone()[0])

    def _columns_of(self, table: str) -> set[str]:
        return {c.name for c in introspection.columns(self._execute, table)}

    def new_columns(self) -> set[str]:
        """What the migration that just ran added past the verbs, as ``column meetings.title``."""
        return {
            f"column {table}.{name}"
            for table, before in self._columns.items()
            for name in self._columns_of(table) - before
        }

    # What was broken.

    def lost_rows(self) -> list[str]:
        """Of the migration that just ran: tables that gained or lost rows unnamed by a verb."""
        findings = []
        for key, (table, before, trigger) in self._counts.items():
            if ("table", key) in self._named or not introspection.has_table(self._execute, table):
                continue  # a table that is gone is among the lost objects
            if (after := self._rows(table)) != before:
                by = f" (by trigger '{trigger}')" if trigger else ""
                findings.append(
                    f"'{self._migration}' left table '{table}' with {after} of {before} rows{by}, "
                    "and no step of it names that table; if that is meant, say so with "
                    "migrator.sql(…)"
                )
        for table in sorted({w.table for w in self._written | self._authorizer.seen().writes}):
            known = fold(table) in self._counts or ("table", fold(table)) in self._named
            if not known and introspection.has_table(self._execute, table):
                findings.append(
                    f"'{self._migration}' wrote table '{table}' past Peewee, where it can't be "
                    "checked; use db.execute_sql(…) in place of the bare connection"
                )
        return findings

    def lost_objects(self) -> list[str]:
        """Of the whole run: what vanished or changed, and no verb names it."""
        now = _by_key(introspection.objects(self._execute))
        findings = []
        for key, old in self._objects.items():
            new = now.get(key)
            if key in self._all_named or (new is not None and new.sql == old.sql):
                continue
            of = "" if old.kind in ("table", "view") else f" of table '{old.table}'"
            culprit = self._culprits.get(key) or self._culprits.get(("table", fold(old.table)))
            findings.append(
                f"{_by(culprit)} {'dropped' if new is None else 'changed'} {old}{of}, and no step "
                f"of it names that {old.kind}; if that is meant, say so with a verb of the migrator"
            )
        marks = _marks(self._connection)
        for table, seq in self._marks.items():
            if ("mark", fold(table)) not in self._all_named and marks.get(table, 0) < seq:
                findings.append(
                    f"the id mark of table '{table}' fell from {seq} to {marks.get(table, 0)}: "
                    "old ids would be given out again"
                )
        return findings

    def dangling_keys(self) -> list[str]:
        """Of the whole run: foreign keys that point nowhere now and did not before."""
        findings = []
        for child, before in self._dangling.items():
            found = introspection.find(self._execute, child, "table")
            new = dangling(self._connection, found.name) - before if found else set()
            for parent in sorted({str(row[2]) for row in new}):
                count = sum(row[2] == parent for row in new)
                findings.append(
                    f"{_by(self._culprits.get(('key', child)))} left {count} "
                    f"row{'s' * (count != 1)} of '{child}' that refer to no row of '{parent}'"
                )
        return findings


def dangling(connection: sqlite3.Connection, table: str) -> set[tuple[Any, ...]]:
    """Rows of the table whose foreign key points nowhere: table, rowid, parent, number of the key.

    A key that SQLite can't check, because the parent's columns are not unique, is one such row.
    """
    try:
        return set(connection.execute(f"PRAGMA foreign_key_check({quote(table)})"))
    except sqlite3.OperationalError as exc:
        return {(table, None, str(exc), None)}


def _by(culprit: str | None) -> str:
    return f"'{culprit}'" if culprit else "a migration"


def _by_key(objects: Sequence[SchemaObject]) -> dict[Key, SchemaObject]:
    return {(o.kind, fold(o.name)): o for o in objects}


def _marks(connection: sqlite3.Connection) -> dict[str, int]:
    if not introspection.has_table(connection.execute, "sqlite_sequence"):
        return {}
    return dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
