"""Record what each migration of a run does, as PostgreSQL counts it.

The server counts the rows that a transaction adds and removes, triggers and cascades included, so
that an untouched table costs nothing however large it is.  It does not say which statement did it:
a table is named when its name stands in a statement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from guarded import history
from guarded.backends.interface import ChangedObject, Effects, FallenMark, Left, RowCount, Written
from guarded.backends.postgresql import describe, sequences
from guarded.backends.postgresql.definitions import Definition
from guarded.backends.postgresql.inspect import Inspector, target_of
from guarded.backends.postgresql.text import TOKEN
from guarded.changes import Change
from guarded.errors import InMemoryTable, Refused
from guarded.steps import Kind, Target

COUNTS = """
SELECT relid, n_tup_ins, n_tup_del FROM pg_stat_xact_user_tables
WHERE n_tup_ins + n_tup_del + n_tup_upd > 0"""
# By their first words; the first group is the remedy's key.
FORBIDDEN = re.compile(
    r"\s*(?P<word>COMMIT|END|ROLLBACK(?!\s+(WORK\s+|TRANSACTION\s+)?TO\b)|ABORT|BEGIN|"
    r"START\s+TRANSACTION|PREPARE\s+TRANSACTION|VACUUM|REINDEX\s+\w+\s+CONCURRENTLY|"
    r"(CREATE|DROP)\s+(UNIQUE\s+)?INDEX\s+CONCURRENTLY|(CREATE|DROP)\s+DATABASE)\b",
    re.IGNORECASE,
)
TRUNCATE = re.compile(r"\s*TRUNCATE\b", re.IGNORECASE)
# What a statement of the migration's own loses or sets: its table, and the rest of its text.
LOSES = re.compile(
    r"""\s*(?P<what>DELETE\s+FROM|TRUNCATE(\s+TABLE)?|DROP\s+TABLE(\s+IF\s+EXISTS)?|UPDATE)\s+
    (ONLY\s+)?(?P<name>"(?:[^"]|"")+"|\w+)(?P<rest>.*)""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
SET = re.compile(r"""(?:\bSET|,)\s*(?P<name>"(?:[^"]|"")+"|\w+)\s*=""", re.IGNORECASE)


class Count(NamedTuple):
    """Rows that this transaction has added to a table and removed so far."""

    added: int
    removed: int


class PostgresqlLedger:
    """See ``guarded.backends.interface.Ledger``; one for a run and its connection."""

    def __init__(self, database: Any, in_memory: Mapping[str, str]) -> None:
        self._connection = database.connection()
        self._inspector = Inspector(self._connection)
        self._in_memory = in_memory
        if self._connection.execute("SHOW track_counts").fetchone()[0] == "off":
            raise Refused(
                "the server does not count rows, so that a loss could not be told: "
                "ALTER DATABASE … SET track_counts = on"
            )
        self._objects = self._known()
        self._marks = self._id_marks()
        self._culprits: dict[Target, str] = {}
        self._all_meant: set[Target] = set()
        self._begin("")

    @contextmanager
    def migration(self, name: str) -> Iterator[None]:
        self._begin(name)
        try:
            yield
            self._raise_marks()
        finally:
            self._all_meant |= self._meant

    def _begin(self, name: str) -> None:
        self._migration = name
        self._meant: set[Target] = {Target(Kind.TABLE, history.TABLE)}
        self._named: set[str] = set()
        self._truncated: dict[str, int] = {}
        self._before = self._counts()
        self._tables = describe.names_by_oid(self._connection.execute)
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

    def suspect(self, change: Change) -> None:
        """Nothing: PostgreSQL checks every foreign key itself."""

    # What a statement will do.

    def before(
        self, sql: str, params: Sequence[Any], *, meant: bool = False, is_own: bool = False
    ) -> Effects:
        if found := FORBIDDEN.match(sql):
            raise Refused(_refusal(self._migration, " ".join(found["word"].upper().split())))
        words = _words(sql)
        if history.TABLE in words and not is_own:
            raise Refused(f"'{self._migration}' reaches for {history.TABLE}, which only runs write")
        named = words & set(describe.names_by_oid(self._connection.execute).values())
        for name in named & self._in_memory.keys():
            self.refuse_in_memory(name)
        self._named |= words
        if TRUNCATE.match(sql):
            for table in self._with_children(named):
                self._truncated.setdefault(table, self._inspector.count(table))
        if meant:
            self.mean(*(Target(Kind.TABLE, name) for name in named))
            self.mean(*(target for target in self._known() if (target.name or "") in words))
        return _effects(sql) if not is_own else Effects()

    def _with_children(self, tables: set[str]) -> set[str]:
        """The tables, and those that a TRUNCATE … CASCADE of them would empty."""
        found, schema = set(tables), self._inspector.schema()
        while more := {
            name
            for name, table in schema.items()
            if name not in found and any(key.parent in found for key in table.foreign_keys)
        }:
            found |= more
        return found

    def new_columns(self) -> set[Target]:
        """Also the tables, indexes and other objects that its statements made."""
        now = self._inspector.schema()
        known = {target.table for target in self._objects_before if target.kind is Kind.TABLE}
        found = {target for target in self._known() if target not in self._objects_before}
        for name, before in self._columns_before().items():
            if name in known and name in now:
                new = {column.name for column in now[name].columns} - before
                found |= {Target(Kind.COLUMN, name, column) for column in new}
        return {target for target in found if target.table != history.TABLE}

    def _columns_before(self) -> dict[str, set[str]]:
        return {
            target.table: set(re.findall(r'^    ("(?:[^"]|"")+"|\S+) ', sql or "", re.MULTILINE))
            for target, sql in self._objects_before.items()
            if target.kind is Kind.TABLE and target.name is None
        }

    # What was done.

    def written(self) -> Written:
        counts = []
        now = self._counts()
        names = describe.names_by_oid(self._connection.execute)
        for oid, name in names.items():
            is_new = oid not in self._tables
            if is_new or {Target(Kind.TABLE, name), Target(Kind.TABLE, self._tables[oid])} & (
                self._meant
            ):
                continue
            if (count := self._row_count(oid, name, now)) is not None:
                counts.append(count)
        return Written(counts, [])

    def _row_count(self, oid: int, name: str, now: Mapping[int, Count]) -> RowCount | None:
        was, is_ = self._before.get(oid, Count(0, 0)), now.get(oid, Count(0, 0))
        added, removed = is_.added - was.added, is_.removed - was.removed
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
        gone = {target.table for target in self._objects if target.kind is Kind.TABLE}
        gone -= {target.table for target in now if target.kind is Kind.TABLE}
        changed = []
        for target, sql in self._objects.items():
            if target in self._all_meant or now.get(target, "") == sql:
                continue
            owner = Target(Kind.TABLE, target.table)
            # With its table goes what belongs to it.
            if target.name is not None and target.table in gone and owner in self._all_meant:
                continue
            changed.append(ChangedObject(target, target not in now, self._culprit(target)))
        return changed

    def _culprit(self, target: Target) -> str | None:
        return self._culprits.get(target)

    def _known(self) -> dict[Target, str | None]:
        found: dict[Target, str | None] = {}
        for definition in self._inspector.definitions():
            if (target := target_of(definition)) is not None and not _is_part(definition):
                found[target] = definition.sql
        migration = getattr(self, "_migration", "")
        for target, sql in getattr(self, "_objects", {}).items():
            if found.get(target, "") != sql:
                self._culprits.setdefault(target, migration)
        return found

    def _counts(self) -> dict[int, Count]:
        return {oid: Count(added, gone) for oid, added, gone in self._connection.execute(COUNTS)}

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
        before, now = self._before, self._counts()
        names = describe.names_by_oid(self._connection.execute)
        written = {
            names[oid]
            for oid, count in now.items()
            if oid in names and count.added > before.get(oid, Count(0, 0)).added
        }
        sequences.raise_behind(self._connection, written)


def _is_part(definition: Definition) -> bool:
    """Return True for a sequence that a column owns: it comes and goes with its table."""
    return definition.kind == "sequence" and bool(definition.table)


def _words(sql: str) -> set[str]:
    """The names that stand in a statement, as PostgreSQL understands them."""
    found = set()
    for token in TOKEN.finditer(sql):
        if token["name"]:
            found.add(token["name"][1:-1].replace('""', '"'))
        elif token["word"]:
            found.add(token["word"].lower())
        elif token["body"]:
            found |= _words(token["body"].strip("$"))
    return found


def _effects(sql: str) -> Effects:
    match = LOSES.match(sql)
    if match is None:
        return Effects()
    what, table = match["what"].upper(), _name(match["name"])
    if what == "UPDATE":
        columns = [_name(found["name"]) for found in SET.finditer(match["rest"])]
        return Effects(sets=tuple(Target(Kind.COLUMN, table, column) for column in columns))
    kind = Kind.TABLE if what.startswith("DROP") else Kind.ROWS
    return Effects(takes=(Target(kind, table),))


def _name(text: str) -> str:
    return text[1:-1].replace('""', '"') if text.startswith('"') else text.lower()


def _refusal(migration: str, word: str) -> str:
    if "CONCURRENTLY" in word:
        return (
            f"'{migration}' uses CONCURRENTLY, which PostgreSQL does not do in a transaction, and "
            "a run is one; use migrator.add_index(…), or make the index by hand: the migration "
            "then finds it"
        )
    if word in ("VACUUM", "CREATE DATABASE", "DROP DATABASE"):
        return f"'{migration}' uses {word}, which is not done in a transaction, and a run is one"
    return f"'{migration}' would end or begin a transaction by {word}; a run is one: leave it out"
