"""Record what each statement of a run does, as SQLite tells before it runs.

SQLite calls an authorizer for everything that a statement touches while it compiles it
(https://www.sqlite.org/c3ref/set_authorizer.html), triggers included.  Counting waits for the first
statement that writes a table, so that an untouched table costs nothing however large it is.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from guarded import history
from guarded.backends.interface import (
    ChangedObject,
    Dangling,
    Effects,
    FallenMark,
    Left,
    RowCount,
    Written,
)
from guarded.backends.sqlite import forbidden, health, inspect, taken
from guarded.backends.sqlite.actions import CREATES, DROPS, WRITES
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import fold, spelling, tokens
from guarded.changes import (
    AddConstraint,
    Change,
    DropTable,
    Fill,
    RenameColumn,
    RenameTable,
    SetType,
)
from guarded.errors import InMemoryTable, MigrationError
from guarded.schema import Column
from guarded.steps import Kind, Target

if TYPE_CHECKING:
    from guarded.backends.sqlite.orphans import Orphans

# A statement without these words takes nothing that the authorizer does not tell.
MAY_TAKE = re.compile(r"\b(REPLACE|NULL)\b", re.IGNORECASE)
MAKES_OR_DROPS = re.compile(r"\s*(CREATE\s+(?!TEMP)|(?P<drop>DROP\b))", re.IGNORECASE)
VACUUM = re.compile(r"\s*VACUUM\b", re.IGNORECASE)

Key = tuple[Kind, str]  # of an object, by its folded name


class Write(NamedTuple):
    """A table that a statement writes; with the column of an update, and the trigger if any."""

    table: str
    kind: str
    column: str | None
    trigger: str | None


class Touched(NamedTuple):
    """All that a statement would write, create, drop and alter."""

    writes: frozenset[Write] = frozenset()
    creates: frozenset[Target] = frozenset()
    drops: frozenset[Target] = frozenset()
    alters: frozenset[Target] = frozenset()

    @property
    def objects(self) -> frozenset[Target]:
        return self.creates | self.drops | self.alters


class SqliteLedger:
    """See ``guarded.backends.interface.Ledger``; one for a run and its connection."""

    def __init__(self, connection: sqlite3.Connection, in_memory: Mapping[str, str]) -> None:
        self._connection = connection
        self._execute = connection.execute
        self._authorizer = _Authorizer(connection, in_memory)
        self._objects = {_key(o.target): o for o in inspect.objects(self._execute)}
        self._marks = inspect.id_marks(self._execute)
        self._shadows = inspect.shadows(self._execute)
        self._noted: Orphans | None = None
        # Of before the first statement of a migration's own that changes the schema.
        self._ailments: health.Ailments | None = None
        self._changes: list[Change] = []
        self._culprits: dict[Key, str] = {}
        self._all_meant: set[Key] = set()
        self._begin("")

    @contextmanager
    def migration(self, name: str) -> Iterator[None]:
        self._begin(name)
        try:
            with self._authorizer.watching(name):
                yield
        finally:
            self._all_meant |= self._meant

    def _begin(self, name: str) -> None:
        self._migration = name
        self._meant: set[Key] = {(Kind.TABLE, history.TABLE)}
        self._counts: dict[str, tuple[str, int]] = {}  # a table and its rows before
        # Virtual tables that triggers keep in step, such as search indexes.
        self._in_step: set[str] = set()
        self._inserted: set[str] = set()  # by a statement that names them
        self._triggers: dict[str, str] = {}
        self._known: set[str] = set()
        self._columns: dict[str, set[str]] = {}
        self._written: set[Write] = set()

    def mean(self, *targets: Target) -> None:
        for target in targets:
            self._meant.add(_key(target))
            if target.kind is Kind.TABLE:
                self._authorizer.refuse_in_memory(target.table)

    def refuse_in_memory(self, table: str) -> None:
        self._authorizer.refuse_in_memory(table)
        if fold(table) == history.TABLE:
            raise forbidden.history(self._migration)
        if fold(table).startswith("sqlite_"):
            raise forbidden.internal(self._migration, table)

    @contextmanager
    def trusting(self) -> Iterator[None]:
        with self._authorizer.trusting():
            yield

    @contextmanager
    def advancing(
        self, sql: str, params: Sequence[Any], tell: Callable[[float], None]
    ) -> Iterator[None]:
        from guarded.backends.sqlite import progress

        with self.trusting():
            steps = progress.expected(self._execute, sql, params)
        with progress.told(self._connection, steps, tell):
            yield

    # What a statement will do.

    def before(
        self, sql: str, params: Sequence[Any], *, meant: bool = False, is_own: bool = False
    ) -> Effects:
        self._follow_renames()
        if not self._authorizer.armed or (sql in self._known and not meant):
            return Effects()
        if VACUUM.match(sql):
            raise forbidden.vacuum(self._migration)
        if not self._connection.in_transaction:
            raise forbidden.outside_of_transaction(self._migration)
        self._written |= self._authorizer.seen().writes
        touched = self._authorizer.compile(sql, params)
        if not is_own:
            self._refuse_parts(touched)
        if touched.objects and self._ailments is None and not is_own:
            with self.trusting():
                self._ailments = health.ailments(self._execute, takes_strings=False)
        if touched.objects:  # another trigger may fire from now on
            self._known.clear()
        self._known.add(sql)
        if meant:
            self.mean(*(_table(w.table) for w in touched.writes if w.trigger is None))
            self.mean(*touched.objects)
        makes = set()
        for target in touched.objects:
            self._culprits.setdefault(_key(target), self._migration)
            # Triggers have names of their own.
            kinds = ("trigger",) if target.kind is Kind.TRIGGER else ("table", "view", "index")
            existing = inspect.find(self._execute, target.name or target.table, *kinds)
            is_new = target in touched.creates
            if is_new and existing is not None and existing.target.kind is not target.kind:
                raise forbidden.taken(self._migration, target, existing.target)
            if existing is not None and target.kind is Kind.TABLE:
                self._columns.setdefault(existing.name, self._columns_of(existing.name))
            if existing is None and is_new:
                makes.add(target)
                self._meant.add(_key(target))
        for write in touched.writes:
            self._count(write)
            self._suspect(write.table, write.kind, write.column)
        own = [w for w in touched.writes if w.trigger is None]
        sets = {Target(Kind.COLUMN, w.table, w.column) for w in own if w.column is not None}
        verb = MAKES_OR_DROPS.match(sql)
        if verb is not None and not makes | touched.drops | touched.writes:
            return Effects(idle="not there" if verb["drop"] else "already there")
        renames = () if is_own else tuple(self._renamed(sql, touched))
        for target, new_name in renames:  # so that nothing is new for its name alone
            self._orphans.expect(target, new_name)
            if target.kind is Kind.TABLE:
                self._columns[new_name] = self._columns.pop(target.table)
            else:
                self._columns[target.table].add(new_name)
        takes = _taken(sql, params, touched, own)
        if touched.alters and (column := taken.dropped_column(sql)) is not None:
            takes |= {self._column(table, column) for table in touched.alters}
        return Effects(frozenset(makes), _sorted(takes), _sorted(sets), renames)

    def _renamed(self, sql: str, touched: Touched) -> Iterator[tuple[Target, str]]:
        """The table or column that an ALTER TABLE renames, as it is stored, and its new name."""
        if touched.alters and (found := taken.renamed(sql)) is not None:
            old, new = found
            for table in touched.alters:
                yield (table if old is None else self._column(table, old)), new

    def _column(self, table: Target, name: str) -> Target:
        """The column as it is stored."""
        stored = (c for c in self._columns_of(table.table) if fold(c) == fold(name))
        return Target(Kind.COLUMN, table.table, next(stored, name))

    def _refuse_parts(self, touched: Touched) -> None:
        """Raise Refused for a statement that names a part of a virtual table."""
        own = {write.table for write in touched.writes if write.trigger is None}
        for table in sorted(own | {t.table for t in touched.drops | touched.alters}):
            if (owner := self._owner(table)) != table:
                raise forbidden.part(self._migration, table, owner)

    def _count(self, write: Write) -> None:
        owner = self._owner(write.table)
        key = fold(owner)
        if write.trigger is not None and inspect.kind_of(self._execute, owner)[0] == "virtual":
            self._in_step.add(key)
            return
        if key not in self._counts:
            is_meant = (Kind.TABLE, key) in self._meant
            if is_meant or not inspect.has_table(self._execute, owner):
                return
            self._counts[key] = owner, self._rows(owner)
        if write.trigger is None and write.kind == "insert":
            self._inserted.add(key)
        if write.trigger is not None and write.kind != "update":
            self._triggers.setdefault(key, write.trigger)

    def _owner(self, table: str) -> str:
        """Return the virtual table that this is a part of, or the table itself."""
        return self._shadows.get(fold(table), table)

    def suspect(self, change: Change) -> None:
        self._follow_renames()
        self._changes.append(change)
        if isinstance(change, RenameTable):
            self._orphans.expect(_table(change.table), change.new_name)
        elif isinstance(change, RenameColumn):
            column = Target(Kind.COLUMN, change.table, change.column)
            self._orphans.expect(column, change.new_name)
        elif isinstance(change, (Fill, SetType)):
            self._suspect(change.table, "update", change.column)
        elif isinstance(change, AddConstraint):
            self._culprits.setdefault((Kind.FOREIGN_KEY, fold(change.table)), self._migration)
        elif isinstance(change, DropTable):
            self._suspect(change.table, "delete", None)

    def _suspect(self, table: str, kind: str, column: str | None) -> None:
        suspects = []
        if kind != "delete":
            keys = inspect.foreign_keys(self._execute, table)
            if any(column is None or fold(column) in map(fold, key.columns) for key in keys):
                suspects.append(table)
        if kind != "insert":
            suspects += [
                child
                for child in inspect.children(self._execute, table)
                if column is None or self._refers(child, table, column)
            ]
        for child in suspects:
            if self._orphans.note(child):
                self._culprits.setdefault((Kind.FOREIGN_KEY, fold(child)), self._migration)

    @property
    def _orphans(self) -> Orphans:
        if self._noted is None:
            from guarded.backends.sqlite.orphans import Orphans

            tables = (o.name for o in self._objects.values() if o.kind == "table")
            self._noted = Orphans(self._execute, tables)
        return self._noted

    def _follow_renames(self) -> None:
        for old, new in self._noted.follow() if self._noted else ():
            if culprit := self._culprits.pop((Kind.FOREIGN_KEY, fold(old)), None):
                self._culprits[Kind.FOREIGN_KEY, fold(new)] = culprit
            if mark := self._marks.pop(old, None):
                self._marks[new] = mark

    def _refers(self, child: str, parent: str, column: str) -> bool:
        return any(
            fold(key.parent) == fold(parent) and fold(column) in map(fold, key.parent_columns)
            for key in inspect.foreign_keys(self._execute, child)
        )

    def _rows(self, table: str) -> int:
        return inspect.Inspector(self._execute).count(table)

    def _columns_of(self, table: str) -> set[str]:
        return {c.name for c in inspect.columns(self._execute, table)}

    def new_columns(self) -> set[Target]:
        return {
            Target(Kind.COLUMN, table, name)
            for table, before in self._columns.items()
            for name in self._columns_of(table) - before
        }

    # What was done.

    def written(self) -> Written:
        counts = []
        for key, (table, before) in self._counts.items():
            is_meant = (Kind.TABLE, key) in self._meant
            # A table that is gone is among the changed objects.
            if is_meant or not inspect.has_table(self._execute, table):
                continue
            after, trigger = self._rows(table), self._triggers.get(key)
            is_added = after > before and key in self._inserted and trigger is None
            if after != before and not is_added:
                counts.append(RowCount(table, before, after, trigger))
        return Written(counts, self._unseen())

    def _unseen(self) -> list[str]:
        written = self._written | self._authorizer.seen().writes
        if written:  # a list of all tables, for each of many small migrations, would take long
            self._shadows.update(inspect.shadows(self._execute))
        # A module compiles its own statements for its parts whenever it is connected.
        owners = {write.table for write in written if self._owner(write.table) == write.table}
        return [
            table
            for table in sorted(owners)
            if fold(table) not in self._counts.keys() | self._in_step
            and (Kind.TABLE, fold(table)) not in self._meant
            and inspect.has_table(self._execute, table)
        ]

    def left(self) -> Left:
        self._follow_renames()
        return Left(self._changed(), self._fallen(), self._newly_dangling(), self._newly_broken())

    def _newly_broken(self) -> list[tuple[Target, str]]:
        before = self._ailments
        if before is None:
            return []
        after = health.ailments(self._execute, takes_strings=False)
        return [
            (target, why)
            for target, why in after.items()
            if before.get(target) != why and not self._wants_arguments(target, why)
        ]

    def _wants_arguments(self, target: Target, why: str) -> bool:
        """Return True for a new virtual table that lacks nothing, and can't be read as a whole."""
        is_new = target.kind is Kind.TABLE and _key(target) not in self._objects
        return is_new and "no such" not in why

    def _changed(self) -> list[ChangedObject]:
        now = {_key(o.target): o for o in inspect.objects(self._execute)}
        changed = []
        for key, old in self._objects.items():
            new = now.get(key)
            owner = (Kind.TABLE, fold(self._owner(old.table)))
            is_meant = key in self._all_meant or (old.kind == "table" and owner in self._all_meant)
            if is_meant or (new is not None and self._is_same(old, new)):
                continue
            culprit = self._culprits.get(key) or self._culprits.get((Kind.TABLE, fold(old.table)))
            changed.append(ChangedObject(old.target, new is None, culprit))
        return changed

    def _is_same(self, old: SchemaObject, new: SchemaObject) -> bool:
        """Return True if the text is as it was, but for strings in double quotes.

        SQLite's RENAME COLUMN and DROP COLUMN put them into single ones, wherever they are.
        """
        if old.sql == new.sql or old.sql is None or new.sql is None:
            return old.sql == new.sql
        tables = inspect.objects(self._execute, "table", "view")
        names = frozenset(fold(c.name) for t in tables for c in self._plain_columns(t.name))
        names |= {fold(table.name) for table in tables}
        texts = (spelling(tokens(item.sql or ""), names) for item in (old, new))
        return len(set(texts)) == 1

    def _plain_columns(self, table: str) -> Iterable[Column]:
        try:
            return inspect.columns(self._execute, table)
        except sqlite3.OperationalError:  # a view that is broken, or an unknown module
            return ()

    def _fallen(self) -> list[FallenMark]:
        now = inspect.id_marks(self._execute)
        return [
            FallenMark(table, mark, now.get(table, 0))
            for table, mark in self._marks.items()
            if (Kind.ID_MARK, fold(table)) not in self._all_meant and now.get(table, 0) < mark
        ]

    def _newly_dangling(self) -> list[Dangling]:
        found = self._noted.new() if self._noted else {}
        for table, rows in self._dangling_under_new_keys():
            found.setdefault(fold(table), set()).update(rows)
        return [
            Dangling(child, parent, sum(row[2] == parent for row in rows), self._culprit_of(child))
            for child, rows in found.items()
            for parent in sorted({str(row[2]) for row in rows})
        ]

    def _dangling_under_new_keys(self) -> Iterable[tuple[str, set[tuple[Any, ...]]]]:
        old = {o.sql for o in self._objects.values() if o.kind == "table"}
        now = inspect.objects(self._execute, "table")
        if not any("REFERENCES" in str(o.sql).upper() for o in now if o.sql not in old):
            return ()
        from guarded.backends.sqlite.keys import dangling_under_new

        tables = [o for o in self._objects.values() if o.kind == "table"]
        return dangling_under_new(self._execute, tables, self._changes)

    def _culprit_of(self, child: str) -> str | None:
        own = self._culprits.get((Kind.FOREIGN_KEY, child))
        return own or self._culprits.get((Kind.TABLE, child))


class _Authorizer:
    """The authorizer of one connection; looks on only inside of ``watching()``.

    A migration may not end the run's transaction, attach another file, reach a table that lives in
    memory only, or write the history.
    """

    def __init__(self, connection: sqlite3.Connection, in_memory: Mapping[str, str]) -> None:
        self._connection = connection
        self._in_memory = {fold(table): (table, model) for table, model in in_memory.items()}
        self._migration = ""
        self.armed = False
        self._refusal: MigrationError | None = None
        self._writes: set[Write] = set()
        self._creates: set[Target] = set()
        self._drops: set[Target] = set()
        self._alters: set[Target] = set()
        connection.set_authorizer(self._authorize)

    @contextmanager
    def watching(self, migration: str) -> Iterator[None]:
        """Raise the refusal in place of SQLite's "not authorized" and of later errors."""
        self._migration, self._refusal, self.armed = migration, None, True
        try:
            yield
        except Exception as exc:
            if self._refusal is not None and self._refusal is not exc:
                raise self._refusal from exc
            raise
        finally:
            self.armed = False
        if self._refusal is not None:  # the migration caught the error and went on
            raise self._refusal

    @contextmanager
    def trusting(self) -> Iterator[None]:
        armed, self.armed = self.armed, False
        try:
            yield
        finally:
            self.armed = armed

    def compile(self, sql: str, params: Sequence[Any]) -> Touched:
        """Compile the statement and return what it would do; nothing if it does not compile.

        Raises the refusal for what is denied.
        """
        self.seen()
        try:
            inspect.compile_only(self._connection.execute, sql, params)
        except sqlite3.Error as exc:
            if self._refusal is not None:
                raise self._refusal from exc
            return Touched()  # running it will say what is wrong with it
        return self.seen()

    def seen(self) -> Touched:
        """Return the effects of all that was compiled since the last call."""
        touched = Touched(
            frozenset(self._writes),
            frozenset(self._creates),
            frozenset(self._drops),
            frozenset(self._alters),
        )
        self._writes.clear()
        self._creates.clear()
        self._drops.clear()
        self._alters.clear()
        return touched

    def refuse_in_memory(self, table: str) -> None:
        if fold(table) in self._in_memory:
            raise InMemoryTable(*self._in_memory[fold(table)])

    def _authorize(
        self, action: int, one: str | None, two: str | None, _schema: str | None, by: str | None
    ) -> int:
        if not self.armed:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_TRANSACTION:
            self._refusal = forbidden.transaction(self._migration, one)
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_ATTACH:
            self._refusal = forbidden.attach(self._migration)
            return sqlite3.SQLITE_DENY
        is_setting = action == sqlite3.SQLITE_PRAGMA and two is not None
        if is_setting and fold(one or "") in forbidden.PRAGMAS:
            self._refusal = forbidden.pragma(self._migration, str(one))
            return sqlite3.SQLITE_DENY
        table = None
        if action in WRITES and one is not None and not one.startswith("sqlite_"):
            column = two if action == sqlite3.SQLITE_UPDATE else None
            self._writes.add(Write(one, WRITES[action], column, by))
            table = one
        elif action in CREATES and one is not None:
            target = _object(CREATES[action], one, two)
            self._creates.add(target)
            table = target.table
        elif action in DROPS and one is not None:
            target = _object(DROPS[action], one, two)
            self._drops.add(target)
            table = target.table
        elif action == sqlite3.SQLITE_ALTER_TABLE and two is not None:
            self._alters.add(_table(two))
            table = two
        if table is not None and fold(table) in self._in_memory:
            self._refusal = InMemoryTable(*self._in_memory[fold(table)])
            return sqlite3.SQLITE_DENY
        if table is not None and fold(table) == history.TABLE:
            self._refusal = forbidden.history(self._migration)
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK


def _taken(sql: str, params: Sequence[Any], touched: Touched, own: Sequence[Write]) -> set[Target]:
    """Tables, columns and rows whose values go with the statement."""
    takes = {target for target in touched.drops if target.kind is Kind.TABLE}
    is_text_telling = bool(own) and MAY_TAKE.search(sql) is not None
    replaces = is_text_telling and taken.replaces_rows(sql)
    is_update = any(write.column is not None for write in own)
    emptied = taken.emptied_columns(sql, params) if is_update else frozenset()
    for write in own:
        if (write.kind == "delete" or replaces) and _table(write.table) not in takes:
            takes.add(Target(Kind.ROWS, write.table))
        if write.column is not None and fold(write.column) in emptied:
            takes.add(Target(Kind.COLUMN, write.table, write.column))
    return takes


def _object(kind: Kind, name: str, table: str | None) -> Target:
    if kind in (Kind.TABLE, Kind.VIEW):
        return Target(kind, name)
    return Target(kind, table or "", name)


def _sorted(targets: Iterable[Target]) -> tuple[Target, ...]:
    return tuple(sorted(targets, key=str))


def _table(name: str) -> Target:
    return Target(Kind.TABLE, name)


def _key(target: Target) -> Key:
    """Return kind and folded name: names of a kind are unique, whatever the table."""
    return target.kind, fold(target.name if target.name is not None else target.table)
