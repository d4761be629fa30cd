"""How PostgreSQL makes each change: by one statement, in the transaction of the run.

playhouse's operation where it is safe and cheap, and the same SQL where it would write every row
or follow a dot in a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, ClassVar

import peewee
import psycopg

from guarded.backends.interface import Ledger, Passed
from guarded.backends.postgresql import dependents, describe, sequences
from guarded.backends.postgresql.connection import Connection
from guarded.backends.postgresql.declare import ported
from guarded.backends.postgresql.inspect import Inspector, target_of
from guarded.backends.postgresql.text import TYPES, meaning, names_in, portable, quote
from guarded.changes import (
    AddColumn,
    AddConstraint,
    Change,
    CreateIndex,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropDefault,
    DropForeignKey,
    DropIndex,
    DropNotNull,
    DropTable,
    Fill,
    FillEach,
    Refill,
    RenameColumn,
    RenameTable,
    SetDefault,
    SetNotNull,
    SetType,
    Statement,
)
from guarded.errors import Refused
from guarded.schema import Column, ForeignKey, Index, Table
from guarded.steps import Action, Kind, Target

PLAIN_DEFAULT = re.compile(r"-?[\w.]+|'(?:[^']|'')*'")
BATCH = 500  # rows put back together
# Changes before which deferred checks can stay deferred.
AS_THEY_ARE = (CreateTable, CreateIndex, Fill, FillEach, Refill, Statement)
PASSED = """
SELECT relname, pg_stat_get_xact_numscans(oid), relfilenode FROM pg_class
WHERE relkind = 'r' AND relnamespace = quote_ident(current_schema())::regnamespace"""
# Changes of a type in which every value stays what it is.
WIDENING = {
    "smallint": ("integer", "bigint", "numeric", "double precision", "real"),
    "integer": ("bigint", "numeric", "double precision"),
    "bigint": ("numeric",),
    "real": ("double precision",),
    "date": ("timestamp without time zone", "timestamp with time zone"),
}


class PostgresqlDdl:
    """See ``guarded.backends.interface.Ddl``.  Nothing waits: each change is one statement."""

    def __init__(self, database: Any, playhouse: Any, ledger: Ledger) -> None:
        self.database, self.playhouse, self.ledger = database, playhouse, ledger
        self._connection: Connection = database.connection()
        self._inspector = Inspector(self._connection)
        self.refilled = 0

    # Looks.

    def table(self, name: str) -> Table | None:
        return self._inspector.table(name)

    def children(self, table: str) -> Sequence[tuple[str, ForeignKey]]:
        return [
            (other.name, key)
            for other in self._inspector.schema().values()
            if other.name != table
            for key in other.foreign_keys
            if key.parent == table
        ]

    def index(self, table: str, sql: str) -> Index | None:
        with self._copied(table) as copy:
            self._connection.execute(sql)
            return next(iter(copy().indexes), None)
        return None

    def constraint(self, table: str, definition: str) -> str:
        with self._copied(table) as copy:
            self._connection.execute(f"ALTER TABLE {quote(table)} ADD {definition}")
            return next(iter(copy().constraints.values()))
        return definition

    def default(self, table: str, column: Column, sql: str) -> str | None:
        """An expression is spelled by PostgreSQL itself."""
        spelled = meaning(sql, column.storage.partition("(")[0])
        if spelled is None or spelled == column.meaning or PLAIN_DEFAULT.fullmatch(spelled):
            return spelled
        name = quote(column.name)
        with self._undone():
            self._connection.execute(
                f"CREATE TEMPORARY TABLE one ({name} {column.storage} DEFAULT {sql})"
            )
            made = describe.table(self._connection.ask, "one", where=describe.TEMPORARY)
            return made.columns[0].meaning if made is not None else spelled
        return spelled

    def column(self, table: str, definition: str) -> Column | None:
        with self._undone():
            self._connection.execute(f"CREATE TEMPORARY TABLE one ({portable(definition)})")
            made = describe.table(self._connection.ask, "one", where=describe.TEMPORARY)
            return made.columns[0] if made is not None else None
        return None

    def refusal_of_type(self, table: Table, column: Column, type_: str) -> str | None:
        return None

    def altered_by_type(self, table: Table, column: Column, type_: str) -> dict[str, str]:
        """PostgreSQL refuses what it can't convert; what it would round or cut is looked for."""
        old, new = column.storage, _spelled(type_)
        bare = new.partition("(")[0]
        if new in WIDENING.get(old.partition("(")[0], ()) or bare in ("text", "character varying"):
            return {}
        name = quote(column.name)
        differs = f"{name} IS NOT NULL AND {name}::{type_}::text IS DISTINCT FROM {name}::text"
        return {differs: "would get another value, which can't be changed back"}

    def passed(self) -> Mapping[str, Passed]:
        rows = self._connection.execute(PASSED)
        return {name: Passed(reads, file) for name, reads, file in rows}

    def resting(self, change: Fill) -> str:
        triggers = self._triggers(change.table)
        return f"while {', '.join(triggers)} rest" if triggers else ""

    def obstacles(self, change: Change) -> list[str]:
        if isinstance(change, DropTable):
            return [f"table '{child}'" for child in dict.fromkeys(self._child_names(change.table))]
        if isinstance(change, DropColumn):
            needing = dependents.dependents(self._connection.ask, change.table, change.column)
            return list(dict.fromkeys(dependents.obstacles(needing)))
        return []

    def _child_names(self, table: str) -> Iterator[str]:
        return (child for child, _ in self.children(table))

    def affected(self, change: Change) -> Iterable[Target]:
        if not isinstance(change, (DropTable, DropColumn, RenameTable, RenameColumn)):
            return []
        if isinstance(change, DropColumn):
            needing = dependents.dependents(self._connection.ask, change.table, change.column)
            return dependents.indexes_alone(needing, change.table)
        found = []
        for definition in self._inspector.definitions():
            target = target_of(definition)
            if definition.kind.startswith("foreign key"):
                target = Target(Kind.CONSTRAINT, definition.table, definition.name)
            is_about = definition.table == change.table or (
                not isinstance(change, DropTable) and change.table in names_in(definition.sql)
            )
            if target is not None and is_about:
                found.append(target)
        return found

    # Changes.

    def waits(self, change: Change) -> bool:
        return False

    def must_settle(self, change: Change) -> bool:
        return False

    def waiting(self) -> Sequence[tuple[str, Action]]:
        return ()

    def settle(self, table: str) -> int | None:
        """Nothing waits."""
        return None

    def apply(self, change: Change) -> None:
        what = _what(change)
        try:
            if not isinstance(change, AS_THEY_ARE):
                # A deferred check of an earlier statement would be in the way of any ALTER TABLE.
                self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            self._APPLY[type(change)](self, change)
        except (peewee.DatabaseError, psycopg.Error) as exc:
            cause, is_own = _cause(exc), isinstance(change, Statement)
            if isinstance(cause, psycopg.errors.DependentObjectsStillExist):
                detail = " ".join((cause.diag.message_detail or str(cause)).split())
                raise Refused(f"{what}: {detail}; drop or change that first") from exc
            if isinstance(cause, psycopg.errors.FeatureNotSupported) and not is_own:
                detail = " ".join((cause.diag.message_detail or "").split())
                said = "; ".join(filter(None, [cause.diag.message_primary, detail]))
                raise Refused(f"{what}: {said}; drop or change that first") from exc
            if isinstance(cause, psycopg.errors.UnsafeNewEnumValueUsage):
                raise Refused(
                    f"{what}: {cause.diag.message_primary}, which works only after COMMIT; add the "
                    "value in a migration before this one, and apply that in a run of its own"
                ) from exc
            if isinstance(cause, psycopg.errors.InsufficientPrivilege):
                raise Refused(f"{what}: {cause.diag.message_primary}; use its owner") from exc
            raise

    def _create_table(self, change: CreateTable) -> None:
        model = change.model
        with model.bind_ctx(self.database, bind_refs=False, bind_backrefs=False), ported([model]):
            model._schema.create_table(safe=False)

    def _drop_table(self, change: DropTable) -> None:
        self._execute(f"DROP TABLE {quote(change.table)}")

    def _rename_table(self, change: RenameTable) -> None:
        self._alter(change.table, f"RENAME TO {quote(change.new_name)}")

    def _rename_column(self, change: RenameColumn) -> None:
        names = f"{quote(change.column)} TO {quote(change.new_name)}"
        self._alter(change.table, f"RENAME COLUMN {names}")

    def _create_index(self, change: CreateIndex) -> None:
        self._execute(change.sql)

    def _drop_index(self, change: DropIndex) -> None:
        self._execute(f"DROP INDEX {quote(change.name)}")

    def _fill(self, change: Fill) -> None:
        condition = f" WHERE {change.where}" if change.where else ""
        update = f"UPDATE {quote(change.table)} SET {quote(change.column)} = {change.expression}"
        self._while_triggers_rest(change.table, lambda: self._execute(f"{update}{condition}"))

    def _fill_each(self, change: FillEach) -> None:
        """One statement for a batch: each row is found by its place and gets its own value."""
        found = self.table(change.table)
        types = {c.name: c.storage for c in (found.columns if found else ())}
        table, column, type_ = quote(change.table), quote(change.column), types[change.column]
        query = f"SELECT ctid::text FROM {table} WHERE {column} IS NULL"
        places = [place for (place,) in self._connection.execute(query)]

        def run() -> None:
            rest = iter(places)
            while batch := list(islice(rest, BATCH)):
                values = ", ".join(f"('{place}'::tid, {change.make()})" for place in batch)
                self._execute(
                    f"UPDATE {table} SET {column} = new.value::{type_} FROM (VALUES {values}) "
                    f"AS new (place, value) WHERE {table}.ctid = new.place"
                )

        self._while_triggers_rest(change.table, run)

    def _refill(self, change: Refill) -> None:
        columns = [quote(name) for name in change.columns]
        table = quote(change.table)
        if change.key:
            key = " AND ".join(f"{quote(name)} = %s" for name in change.key)
            sets = ", ".join(f"{name} = %s" for name in columns)
            sql = f"UPDATE {table} SET {sets} WHERE {key}"
            cut = len(change.key)
            rows: Iterator[tuple[Any, ...]] = ((*row[cut:], *row[:cut]) for row in change.rows)
        else:
            marks = ", ".join(["%s"] * len(columns))
            names = ", ".join(columns)
            sql = (
                f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks}) "
                "ON CONFLICT DO NOTHING"
            )
            rows = iter(change.rows)
        self.refilled = 0
        self._while_triggers_rest(change.table, lambda: self._put(sql, rows))
        if not change.key:  # new rows have ids
            sequences.raise_behind(self._connection, {change.table}, change.mark or 0)

    def _put(self, sql: str, rows: Iterator[tuple[Any, ...]]) -> None:
        while batch := list(islice(rows, BATCH)):
            if (count := self._put_all(sql, batch)) is not None:
                self.refilled += count
            else:
                self.refilled += sum(self._put_all(sql, [row]) or 0 for row in batch)

    def _put_all(self, sql: str, rows: Sequence[tuple[Any, ...]]) -> int | None:
        """The number of rows that were put; None, and nothing is done, when one does not fit."""
        try:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany(sql, rows)
                return cursor.rowcount
        except (psycopg.IntegrityError, psycopg.DataError):
            return None

    def _while_triggers_rest(self, table: str, run: Callable[[], Any]) -> None:
        triggers = self._triggers(table)
        if triggers:
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in triggers:
            self._connection.execute(f"ALTER TABLE {quote(table)} DISABLE TRIGGER {quote(name)}")
        run()
        if triggers:
            self._connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for name in triggers:
            self._connection.execute(f"ALTER TABLE {quote(table)} ENABLE TRIGGER {quote(name)}")

    def _triggers(self, table: str) -> list[str]:
        """Those that people made and that are on."""
        rows = self._connection.execute(
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O' "
            "AND tgrelid = to_regclass(%s) ORDER BY tgname",
            (quote(table),),
        )
        return [name for (name,) in rows]

    def _statement(self, change: Statement) -> None:
        self._execute(change.sql, change.params)

    def _add_column(self, change: AddColumn) -> None:
        value = f" DEFAULT {change.value}" if change.value is not None else ""
        self._alter(change.table, f"ADD COLUMN {portable(change.definition)}{value}")
        if value:
            self._alter(change.table, f"ALTER COLUMN {quote(change.column)} DROP DEFAULT")

    def _drop_column(self, change: DropColumn) -> None:
        self._alter(change.table, f"DROP COLUMN {quote(change.column)}")

    def _set_not_null(self, change: SetNotNull) -> None:
        self._alter(change.table, f"ALTER COLUMN {quote(change.column)} SET NOT NULL")

    def _drop_not_null(self, change: DropNotNull) -> None:
        self._alter(change.table, f"ALTER COLUMN {quote(change.column)} DROP NOT NULL")

    def _set_default(self, change: SetDefault) -> None:
        table = self.table(change.table)
        columns = table.columns if table else ()
        storage = next((c.storage for c in columns if c.name == change.column), "")
        default = change.default
        if storage == "boolean":
            default = meaning(default, storage) or "NULL"
        self._alter(change.table, f"ALTER COLUMN {quote(change.column)} SET DEFAULT {default}")

    def _drop_default(self, change: DropDefault) -> None:
        self._alter(change.table, f"ALTER COLUMN {quote(change.column)} DROP DEFAULT")

    def _set_type(self, change: SetType) -> None:
        column, type_ = quote(change.column), change.type
        collation = self._collation(change.table, change.column, type_)
        using = f" USING {change.cast or f'{column}::{type_}'}"
        self._alter(change.table, f"ALTER COLUMN {column} TYPE {type_}{collation}{using}")

    def _collation(self, table: str, column: str, type_: str) -> str:
        """The column's own collation, which ALTER TABLE takes away with the type, as SQL."""
        found = self.table(table)
        own = next((c.collation for c in (found.columns if found else ()) if c.name == column), "")
        takes = "SELECT 1 FROM pg_type WHERE oid = to_regtype(%s) AND typcollation <> 0"
        is_kept = own and self._connection.execute(takes, (type_,)).fetchall()
        return f" COLLATE {own}" if is_kept else ""

    def _add_constraint(self, change: AddConstraint) -> None:
        name = f"CONSTRAINT {quote(change.name)} " if change.name else ""
        self._alter(change.table, f"ADD {name}{change.definition}")

    def _drop_constraint(self, change: DropConstraint) -> None:
        self._alter(change.table, f"DROP CONSTRAINT {quote(change.name)}")

    def _drop_foreign_key(self, change: DropForeignKey) -> None:
        rows = self._connection.execute(
            "SELECT c.conname FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = "
            "c.conrelid AND c.conkey = ARRAY[a.attnum] WHERE c.contype = 'f' AND c.conrelid = "
            "to_regclass(%s) AND a.attname = %s",
            (quote(change.table), change.column),
        )
        for (name,) in rows.fetchall():
            self._drop_constraint(DropConstraint(change.table, name))

    _APPLY: ClassVar[dict[type, Callable[..., None]]] = {
        CreateTable: _create_table,
        DropTable: _drop_table,
        RenameTable: _rename_table,
        RenameColumn: _rename_column,
        CreateIndex: _create_index,
        DropIndex: _drop_index,
        Fill: _fill,
        FillEach: _fill_each,
        Refill: _refill,
        Statement: _statement,
        AddColumn: _add_column,
        DropColumn: _drop_column,
        SetNotNull: _set_not_null,
        DropNotNull: _drop_not_null,
        SetDefault: _set_default,
        DropDefault: _drop_default,
        SetType: _set_type,
        AddConstraint: _add_constraint,
        DropConstraint: _drop_constraint,
        DropForeignKey: _drop_foreign_key,
    }

    # What these share.

    def _alter(self, table: str, action: str) -> None:
        self._execute(f"ALTER TABLE {quote(table)} {action}")

    def _execute(self, sql: str, params: Any = None) -> Any:
        return self.database.execute_sql(sql, params or None)

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Undo all that the block makes.  An error of the database ends the block: then the answer
        is not known."""
        try:
            with self._connection.transaction(force_rollback=True):
                yield
        except psycopg.Error:
            return

    @contextmanager
    def _copied(self, table: str) -> Iterator[Callable[[], Table]]:
        """An empty temporary copy without indexes and constraints, before the table of its name."""

        def copy() -> Table:
            found = describe.table(self._connection.ask, table, where=describe.TEMPORARY)
            assert found is not None
            return found

        with self._undone():
            self._connection.execute(f"CREATE TEMPORARY TABLE {quote(table)} (LIKE {quote(table)})")
            yield copy


def _spelled(type_: str) -> str:
    name, bracket, rest = type_.lower().partition("(")
    return TYPES.get(name.strip(), name.strip()) + bracket + rest


def _cause(exc: BaseException) -> BaseException:
    """The driver's error behind Peewee's."""
    for cause in (exc, exc.__cause__, exc.__context__):
        if isinstance(cause, psycopg.Error):
            return cause
    return exc


def _what(change: Change) -> str:
    table = getattr(change, "table", "")
    if isinstance(change, DropTable):
        return f"table '{table}' can't be dropped"
    if isinstance(change, DropColumn):
        return f"column {table}.{change.column} can't be dropped"
    if isinstance(change, Statement):
        return "the statement can't be run"
    return f"table '{table}' can't be altered"
