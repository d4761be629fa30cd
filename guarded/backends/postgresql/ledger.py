"""Record what each migration of a run does, as PostgreSQL counts it.

The server counts the rows that a transaction adds and removes, triggers and cascades included, so
that an untouched table costs nothing however large it is.  It does not say which statement did it:
a table is named when its name stands in a statement.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import psycopg

from guarded import history
from guarded.backends.interface import ChangedObject, Effects, FallenMark, Left, RowCount, Written
from guarded.backends.postgresql import sequences
from guarded.backends.postgresql.describe import results
from guarded.backends.postgresql.inspect import Inspector
from guarded.backends.postgresql.objects import Objects, objects
from guarded.backends.postgresql.text import name_of, names_in
from guarded.backends.postgresql.watch import Watch
from guarded.changes import Change
from guarded.errors import InMemoryTable, Refused
from guarded.steps import Kind, Target

# An extension's tables are its own matter.
TABLES = """
SELECT t.oid, t.relname, t.relfilenode, pg_stat_get_xact_tuples_inserted(t.oid),
    pg_stat_get_xact_tuples_deleted(t.oid) FROM pg_class AS t
WHERE t.relnamespace = quote_ident(current_schema())::regnamespace AND t.relkind IN ('r', 'p', 'f')
    AND NOT EXISTS (
        SELECT 1 FROM pg_depend AS d
        WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')"""
TRUNCATE = re.compile(r"\s*TRUNCATE\b", re.IGNORECASE)
SAVEPOINT = re.compile(
    r"""\s*(?P<back>ROLLBACK\s+(?:(?:WORK|TRANSACTION)\s+)?TO\s+(?:SAVEPOINT\s+)?|SAVEPOINT\s+)
    (?P<name>"(?:[^"]|"")+"|\w+)""",
    re.IGNORECASE | re.VERBOSE,
)
MAKES = re.compile(r"\s*CREATE\b", re.IGNORECASE)  # a function does nothing when it is made
COLUMN = re.compile(r'^    ("(?:[^"]|"")+"|\S+) ', re.MULTILINE)  # of a definition of a table
EXPLAINED = re.compile(r"\s*(INSERT|UPDATE|DELETE|MERGE|WITH|SELECT)\b", re.IGNORECASE)
PARTS = """
SELECT p.relname, c.relname FROM pg_inherits AS h
JOIN pg_class AS p ON p.oid = h.inhparent JOIN pg_class AS c ON c.oid = h.inhrelid
WHERE c.relkind IN ('r', 'p', 'f')
    AND p.relnamespace = quote_ident(current_schema())::regnamespace"""
# What a statement of the migration's own loses or sets: its table, and the rest of its text.
LOSES = re.compile(
    r"""\s*(?P<what>DELETE\s+FROM|TRUNCATE(\s+TABLE)?|DROP\s+TABLE(\s+IF\s+EXISTS)?|UPDATE)\s+
    (ONLY\s+)?(?P<name>"(?:[^"]|"")+"|\w+)(?P<rest>.*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
RENAMES = re.compile(
    r"""\s*ALTER\s+TABLE\s+(IF\s+EXISTS\s+)?(ONLY\s+)?(?P<table>"(?:[^"]|"")+"|\w+)\s*\*?\s+RENAME\s+
    (?:(?:COLUMN\s+)?(?P<column>"(?:[^"]|"")+"|(?!TO\b|CONSTRAINT\b)\w+)\s+)?
    TO\s+(?P<new>"(?:[^"]|"")+"|\w+)""",
    re.IGNORECASE | re.VERBOSE,
)
SET = re.compile(r"""(?:\bSET|,)\s*(?P<name>"(?:[^"]|"")+"|\w+)\s*=""", re.IGNORECASE)


class Count(NamedTuple):
    """Rows that this transaction has added to a table and removed so far."""

    added: int
    removed: int


NONE = Count(0, 0)


class Seen(NamedTuple):
    """A table at one moment; TRUNCATE gives it another file."""

    name: str
    file: int
    rows: Count


Tables = Mapping[int, Seen]  # by oid


class PostgresqlLedger:
    """See ``guarded.backends.interface.Ledger``; one for a run and its connection."""

    def __init__(self, database: Any, in_memory: Mapping[str, str]) -> None:
        self._connection = database.connection()
        self._inspector = Inspector(self._connection)
        self._in_memory = in_memory
        self._parts: set[tuple[str, str]] = set()  # a table, and one that is a part of it
        self._watch = Watch(self._connection, in_memory, self._look_first)
        if self._connection.execute("SHOW track_counts").fetchone()[0] == "off":
            raise Refused(
                "the server does not count rows, so that a loss could not be told: "
                "ALTER DATABASE … SET track_counts = on"
            )
        self._objects = objects(self._inspector)
        self._marks = self._id_marks()
        self._culprits: dict[Target, str] = {}
        self._all_meant: set[Target] = set()
        self._now = self._tables()
        self._begin("")

    @contextmanager
    def migration(self, name: str) -> Iterator[None]:
        self._begin(name)
        try:
            with self._watch.watching(name):
                yield
            self._now = self._tables()
            self._raise_marks()
        finally:
            self._all_meant |= self._meant

    def _begin(self, name: str) -> None:
        self._migration = name
        self._meant: set[Target] = {Target(Kind.TABLE, history.TABLE)}
        self._named: set[str] = set()
        self._truncated: dict[str, int] = {}
        self._undone: dict[int, Count] = {}  # by going back to a savepoint; the server counts on
        self._savepoints: dict[str, dict[int, Count]] = {}
        self._before = self._now  # nothing that counts comes between two migrations
        self._has_own_changes = False
        self._objects_before: Objects = {}

    def _look_first(self) -> None:
        """Look at all objects before the migration's first change of its own; verbs tell what they
        do, and a run of verbs alone looks at the objects twice, however long it is."""
        if not self._has_own_changes:
            self._has_own_changes = True
            self._objects_before = self._known()

    def mean(self, *targets: Target) -> None:
        for target in targets:
            self._meant.add(target)
            if target.kind is Kind.TABLE:
                self.refuse_in_memory(target.table)

    def refuse_in_memory(self, table: str) -> None:
        if table in self._in_memory:
            raise InMemoryTable(table, self._in_memory[table])

    @contextmanager
    def trusting(self) -> Iterator[None]:
        yield

    def advancing(
        self, sql: str, params: Sequence[Any], tell: Callable[[float], None]
    ) -> AbstractContextManager[None]:
        """Nothing: PostgreSQL tells it to other connections only, and only of some statements."""
        return nullcontext()

    def suspect(self, change: Change) -> None:
        """Nothing: PostgreSQL checks every foreign key itself."""

    # What a statement will do.

    def before(
        self, sql: str, params: Sequence[Any], *, meant: bool = False, is_own: bool = False
    ) -> Effects:
        if point := SAVEPOINT.match(sql):
            self._note_savepoint(name_of(point["name"]), point["back"].upper().startswith("ROLL"))
            return Effects()
        self._watch.announced = sql if is_own else ""
        words = names_in(sql, bodies=not MAKES.match(sql))
        named = self._targets(sql, params) if EXPLAINED.match(sql) and not is_own else None
        named = words if named is None else named
        self._named |= named
        if TRUNCATE.match(sql):
            for table in self._with_children(named):
                self._truncated.setdefault(table, self._inspector.count(table))
        if meant:
            known = {seen.name for seen in self._tables().values()}
            self.mean(*(Target(Kind.TABLE, name) for name in named & known))
            if not EXPLAINED.match(sql):
                known_here = self._known()
                self.mean(*(t for t in known_here if (t.name or t.table) in words))
        return _effects(sql) if not is_own else Effects()

    def _targets(self, sql: str, params: Sequence[Any]) -> set[str] | None:
        """The tables that the statement itself writes, by its plan; None where it has none."""
        try:
            with self._connection.transaction():
                plan = f"EXPLAIN (FORMAT JSON) {sql}"
                ((found,),) = self._connection.execute(plan, params or None).fetchall()
        except psycopg.Error:  # running it will say what is wrong with it
            return None
        return set(_written_in(found))

    def _note_savepoint(self, name: str, is_back: bool) -> None:
        now = self._tables()
        if not is_back:
            self._savepoints[name] = {oid: self._rows_of(oid, seen) for oid, seen in now.items()}
            return
        saved = self._savepoints.get(name, {})
        for oid, seen in now.items():
            was = saved.get(oid, NONE)
            self._undone[oid] = Count(seen.rows.added - was.added, seen.rows.removed - was.removed)

    def _rows_of(self, oid: int, seen: Seen) -> Count:
        """As the transaction stands, without what was undone."""
        undone = self._undone.get(oid, NONE)
        return Count(seen.rows.added - undone.added, seen.rows.removed - undone.removed)

    def _with_children(self, tables: set[str]) -> set[str]:
        """The tables, and those that a TRUNCATE … CASCADE of them would empty."""
        schema = self._inspector.schema()
        found = tables & schema.keys()
        while more := {
            name
            for name, table in schema.items()
            if name not in found and any(key.parent in found for key in table.foreign_keys)
        }:
            found |= more
        return found

    def new_columns(self) -> set[Target]:
        """Also the tables, indexes and other objects that its statements made."""
        if not self._has_own_changes:
            return set()
        now = self._inspector.schema()
        known = {target.table for target in self._objects_before if target.kind is Kind.TABLE}
        found = {target for target in self._known() if target not in self._objects_before}
        found = {target for target in found if target.kind is not Kind.CONSTRAINT}
        for name, before in self._columns_before().items():
            if name in known and name in now:
                new = {column.name for column in now[name].columns} - before
                found |= {Target(Kind.COLUMN, name, column) for column in new}
        return {target for target in found if target.table != history.TABLE}

    def _columns_before(self) -> dict[str, set[str]]:
        return {
            target.table: set(map(name_of, COLUMN.findall(sql or "")))
            for target, sql in self._objects_before.items()
            if target.kind is Kind.TABLE and target.name is None
        }

    # What was done.

    def written(self) -> Written:
        counts = []
        meant = self._with_parts({t.table for t in self._meant if t.kind is Kind.TABLE})
        truncated = self._with_parts(set(self._truncated))
        unseen = []
        for oid, now in self._now.items():
            before = self._before.get(oid)
            if before is None or {now.name, before.name} & meant:
                continue
            rows = self._rows_of(oid, now)
            added, removed = rows.added - before.rows.added, rows.removed - before.rows.removed
            if (count := self._row_count(now.name, added, removed)) is not None:
                counts.append(count)
            elif now.name not in truncated and now.file != before.file:
                unseen.append(now.name)  # a function or trigger emptied it, or it was written anew
        return Written(counts, unseen)

    def _with_parts(self, tables: set[str]) -> set[str]:
        """The tables with their partitions, and those that inherit from them."""
        found = set(tables)
        while more := {part for table, part in self._parts if table in found} - found:
            found |= more
        return found

    def _row_count(self, name: str, added: int, removed: int) -> RowCount | None:
        is_named = name in self._named
        if name in self._truncated:
            before, after = self._truncated[name], self._inspector.count(name)
        elif added == removed or (added > removed and is_named):
            return None
        else:
            after = self._inspector.count(name)
            before = after - added + removed
        if before == after:
            return None
        trigger = None if is_named else self._trigger()
        return RowCount(name, before, after, trigger)

    def _trigger(self) -> str | None:
        """The trigger of a table that was named, if there is one alone."""
        triggers = [t for t in self._known() if t.kind is Kind.TRIGGER and t.table in self._named]
        return triggers[0].name if len(triggers) == 1 else None

    def left(self) -> Left:
        return Left(self._changed(), self._fallen(), [], [])

    def _changed(self) -> list[ChangedObject]:
        now = self._known()
        meant = self._with_parts({t.table for t in self._all_meant if t.kind is Kind.TABLE})
        tables = {target.table for target in self._objects if target.kind is Kind.TABLE}
        gone = tables - {target.table for target in now if target.kind is Kind.TABLE}
        parts = {part for table, part in self._parts if table in meant}
        changed = []
        for target, sql in self._objects.items():
            if target in self._all_meant or now.get(target, "") == sql:
                continue
            # A constraint, and what a table has for its partitions, is named with its table; with
            # a table goes what belongs to it.
            is_part = target.kind in (Kind.TABLE, Kind.CONSTRAINT) or target.table in gone
            is_part = is_part or (target.kind is Kind.INDEX and target.table in parts)
            if is_part and target.table in meant:
                continue
            changed.append(ChangedObject(target, target not in now, self._culprits.get(target)))
        return changed

    def _known(self) -> Objects:
        found = objects(self._inspector)
        for target, sql in self._objects.items():
            if found.get(target, "") != sql:
                self._culprits.setdefault(target, self._migration)
        return found

    def _tables(self) -> Tables:
        """The tables as the server counts them, also what was undone since."""
        rows, parts = results(self._connection.ask, TABLES, PARTS)
        self._parts |= set(parts)
        return {oid: Seen(name, file, Count(*count)) for oid, name, file, *count in rows}

    def _id_marks(self) -> dict[str, int]:
        return {one.table: one.last for one in sequences.numbered(self._connection)}

    def _fallen(self) -> list[FallenMark]:
        now = self._id_marks()
        return [
            FallenMark(table, mark, now[table])
            for table, mark in self._marks.items()
            if table in now
            and now[table] < mark
            and Target(Kind.ID_MARK, table) not in self._all_meant
        ]

    def _raise_marks(self) -> None:
        before = self._before
        written = {
            now.name
            for oid, now in self._now.items()
            if now.name != history.TABLE
            and now.rows.added > (before[oid].rows.added if oid in before else 0)
        }
        sequences.raise_behind(self._connection, written)


def _written_in(plan: Any) -> Iterator[str]:
    """The tables of the nodes that write, anywhere in the plan."""
    if isinstance(plan, list):
        for part in plan:
            yield from _written_in(part)
    elif isinstance(plan, dict):
        if plan.get("Node Type") == "ModifyTable" and "Relation Name" in plan:
            yield plan["Relation Name"]
        for part in plan.values():
            yield from _written_in(part)


def _effects(sql: str) -> Effects:
    if renames := RENAMES.match(sql):
        table, column = name_of(renames["table"]), renames["column"]
        target = (
            Target(Kind.COLUMN, table, name_of(column)) if column else Target(Kind.TABLE, table)
        )
        return Effects(renames=((target, name_of(renames["new"])),))
    match = LOSES.match(sql)
    if match is None:
        return Effects()
    what, table = match["what"].upper(), name_of(match["name"])
    if what == "UPDATE":
        columns = [name_of(found["name"]) for found in SET.finditer(match["rest"])]
        return Effects(sets=tuple(Target(Kind.COLUMN, table, column) for column in columns))
    kind = Kind.TABLE if what.startswith("DROP") else Kind.ROWS
    return Effects(takes=(Target(kind, table),))
