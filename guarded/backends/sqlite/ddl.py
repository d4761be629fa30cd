"""How SQLite makes each change, the cheapest way first: its own ALTER TABLE, an edit of the stored
text, a rebuild of the table.

What SQLite's ALTER TABLE can't do waits, so that several changes of one table are one edit, or one
rebuild if any of them needs it.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from peewee import OperationalError, SqliteDatabase

from guarded.backends.interface import Ledger, Passed
from guarded.backends.sqlite import (
    catalogue,
    conversion,
    dependencies,
    describe,
    edits,
    inspect,
    native,
    unknown,
)
from guarded.backends.sqlite.health import (
    Ailments,
    ailments,
    external_content,
    is_contentless,
)
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.rebuild import free_name, rebuild
from guarded.backends.sqlite.text import (
    CreateTable,
    UnreadableTable,
    fold,
    parse,
    quote,
    spelling,
    tokens,
)
from guarded.changes import (
    AddColumn,
    AddConstraint,
    Alteration,
    Change,
    CreateIndex,
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
from guarded.changes import (
    CreateTable as NewTable,
)
from guarded.errors import Refused, RowsDoNotFit, nearest
from guarded.schema import Column, ForeignKey, Index, Table
from guarded.steps import Action, Kind, Target


class Waiting:
    """A table that waits for its changes; ``values`` as in rebuild().  ``is_edit``: they alter no
    stored value, so that an edit of the stored text will do."""

    def __init__(self, stored: SchemaObject, definition: CreateTable) -> None:
        self.stored, self.definition = stored, definition
        self.changes: list[Alteration] = []
        self.values: dict[str, str] = {}
        self.is_edit = True


class SqliteDdl:
    """See ``guarded.backends.interface.Ddl``."""

    def __init__(self, database: SqliteDatabase, playhouse: Any, ledger: Ledger) -> None:
        self.database, self.playhouse, self.ledger = database, playhouse, ledger
        self.read = database.connection().execute
        self._waiting: dict[str, Waiting] = {}
        self._known_ailments: tuple[object, Ailments] = (None, {})
        self.refilled = 0

    @functools.cached_property
    def _alter(self) -> native.Alter:
        return native.Alter(self.database.connection(), self._execute, self.ledger)

    # Looks.

    def table(self, name: str) -> Table | None:
        waiting = self._waiting.get(fold(name))
        if waiting is not None:
            return describe.table_of_text(self.read, waiting.stored.name, waiting.definition.sql)
        return inspect.Inspector(self.read).table(name)

    def children(self, table: str) -> Sequence[tuple[str, ForeignKey]]:
        stored = [c for c in inspect.children(self.read, table) if fold(c) not in self._waiting]
        found = [(child, key) for child in stored for key in inspect.foreign_keys(self.read, child)]
        for waiting in self._waiting.values():
            name = waiting.stored.name
            described = self.table(name)
            if described is not None and fold(name) != fold(table):
                found += [(name, key) for key in described.foreign_keys]
        return [(child, key) for child, key in found if fold(key.parent) == fold(table)]

    def index(self, table: str, sql: str) -> Index | None:
        stored = self._stored(table)
        waiting = self._waiting.get(fold(table))
        if waiting is not None:
            stored = stored._replace(sql=waiting.definition.sql)
        return describe.index_of_text(stored, sql)

    def constraint(self, table: str, definition: str) -> str:
        return spelling(tokens(definition))

    def default(self, table: str, column: Column, sql: str) -> str | None:
        return describe.meaning(sql, column.storage)

    def column(self, table: str, definition: str) -> Column | None:
        name = CreateTable(f"CREATE TABLE t ({definition})").columns[0].name
        others = [c.name for c in inspect.columns(self.read, table) if fold(c.name) != fold(name)]
        text = ", ".join([definition, *map(quote, others)])  # it may speak of them
        try:
            made = describe.table_of_text(self.read, "t", f"CREATE TABLE t ({text})")
        except sqlite3.OperationalError:
            return None
        return made.columns[0]

    def refusal_of_type(self, table: Table, column: Column, type_: str) -> str | None:
        alias = describe.rowid_alias(self.read, table.name)
        if alias != column.name or type_.upper() == "INTEGER":
            return None
        return f"it is the rowid, and SQLite would not assign ids to {type_}; keep INTEGER"

    def altered_by_type(self, table: Table, column: Column, type_: str) -> dict[str, str]:
        return conversion.altered(table, column, type_)

    def passed(self) -> Mapping[str, Passed]:
        return {}

    def resting(self, change: Fill) -> str:
        from guarded.backends.sqlite.mirrors import fires_on

        triggers = [t.name for t in self._resting(change.table) if fires_on(t, change.column)]
        return f"while {', '.join(triggers)} rest" if triggers else ""

    def obstacles(self, change: Change) -> list[str]:
        if isinstance(change, DropTable):
            children = dict.fromkeys(child for child, _ in self.children(change.table))
            return [f"table '{child}'" for child in children]
        if isinstance(change, DropColumn):
            definition = self._definition(self._stored(change.table))
            keys = self.children(change.table)
            return dependencies.obstacles(self.read, change, definition, keys)
        return []

    def affected(self, change: Change) -> Iterable[Target]:
        if isinstance(change, (DropTable, DropColumn, RenameTable, RenameColumn)):
            return dependencies.affected(self.read, change)
        return []

    # Changes.

    def waits(self, change: Change) -> bool:
        if not isinstance(change, WAITING):
            return False
        return fold(change.table) in self._waiting or not self._is_native(change)

    def must_settle(self, change: Change) -> bool:
        if not isinstance(change, (AddColumn, SetType, SetDefault, DropDefault)):
            return False
        waiting = self._waiting.get(fold(change.table))
        return waiting is not None and any(
            isinstance(earlier, FIRST[type(change)]) and fold(earlier.column) == fold(change.column)
            for earlier in waiting.changes
        )

    def apply(self, change: Change) -> None:
        is_plain = isinstance(change, CreateIndex) and " WHERE " not in change.sql
        if isinstance(change, WITH_SQL) and not is_plain:
            self._refuse_strings(change)
        if isinstance(change, (AddColumn, SetType)):
            self._refuse_type(change)
        if self.waits(change):
            assert isinstance(change, WAITING)
            with self._refusing_errors(_what(change), change):
                return self._wait(change)
        table = getattr(change, "table", None)
        if table is not None:
            self._refuse_hidden(table)
        what = _what(change)
        with self._refusing_errors(what, change):
            if isinstance(change, HARMLESS):
                self._APPLY[type(change)](self, change)
            else:
                with self._refusing_broken(
                    what, table, change.new_name if isinstance(change, RenameTable) else None
                ):
                    self._APPLY[type(change)](self, change)
        return None

    def _refuse_strings(self, change: Fill | SetType | CreateIndex | AddConstraint) -> None:
        from guarded.backends.sqlite.misspelled import refuse_strings

        if (table := self.table(change.table)) is not None:
            refuse_strings(self.read, change, [column.name for column in table.columns])

    def _refuse_type(self, change: AddColumn | SetType) -> None:
        if isinstance(change, AddColumn):
            wanted = CreateTable(f"CREATE TABLE t ({change.definition})").columns[0].type
        else:
            wanted = change.type
        is_strict = self._definition(self._stored(change.table)).strict
        if is_strict and wanted.upper() not in conversion.STRICT_TYPES:
            raise Refused(
                f"{_what(change)}: a STRICT table takes {', '.join(conversion.STRICT_TYPES)}, and "
                f"not {wanted or 'no type'}; give the field one of these types"
            )

    def waiting(self) -> Sequence[tuple[str, Action]]:
        return [
            (w.stored.name, Action.EDIT if w.is_edit else Action.REBUILD)
            for w in self._waiting.values()
        ]

    def settle(self, table: str) -> int | None:
        waiting = self._waiting.pop(fold(table))
        what = f"table '{table}' can't be rebuilt"
        guards = self._refusing_broken(what, table), self._refusing_errors(what)
        with guards[0], guards[1], self.ledger.trusting():
            return None if self._edit(waiting) else self._rebuild(table, waiting)

    def _rebuild(self, table: str, waiting: Waiting) -> int:
        from guarded.backends.sqlite import mirrors

        retyped = [c for c in waiting.changes if isinstance(c, SetType)]
        casts = {c.column: c.cast for c in retyped if c.cast is not None}
        columns = [c.column for c in retyped]
        new, values = waiting.definition, waiting.values
        with mirrors.followed(self.read, self._execute, table, columns, casts):
            return rebuild(self.read, self._execute, self._alter.run, table, new, values)

    def _edit(self, waiting: Waiting) -> bool:
        if not waiting.is_edit:
            return False
        stored, definition = waiting.stored, waiting.definition
        rest = functools.partial(self._while_triggers_rest, stored.name)
        return catalogue.edit(self.read, self._execute, stored, definition, waiting.changes, rest)

    def _wait(self, change: Alteration) -> None:
        stored = self._stored(change.table)
        before = self._definition(stored)
        definition = edits.edited(before, change)
        if isinstance(change, (AddConstraint, SetDefault)):  # in a person's words
            describe.table_of_text(self.read, stored.name, definition.sql)
        table = self.table(stored.name)
        assert table is not None
        waiting = self._waiting.setdefault(fold(stored.name), Waiting(stored, definition))
        waiting.definition = definition
        waiting.changes.append(change)
        waiting.is_edit = waiting.is_edit and catalogue.can_edit(table, before, change)
        if isinstance(change, AddColumn) and change.value is not None:
            waiting.values[change.column] = change.value
        if isinstance(change, SetType) and change.cast is not None:
            waiting.values[change.column] = change.cast

    def _is_native(self, change: Alteration) -> bool:
        definition = self._definition(self._stored(change.table))
        return native.can_alter(definition, change, self.database.server_version)

    def _create_table(self, change: NewTable) -> None:
        model = change.model
        with model.bind_ctx(self.database, bind_refs=False, bind_backrefs=False):
            model._schema.create_table(safe=False)

    def _drop_table(self, change: DropTable) -> None:
        self._native(change.table, "drop_table", f"DROP TABLE {quote(change.table)}")

    def _rename_table(self, change: RenameTable) -> None:
        steps = [(change.table, change.new_name)]
        if fold(change.table) == fold(change.new_name):  # SQLite takes it for a taken name
            between = free_name(self.read, f"{change.table}__renamed")
            steps = [(change.table, between), (between, change.new_name)]
        for old, new in steps:
            sql = f"ALTER TABLE {quote(old)} RENAME TO {quote(new)}"
            self._native(old, "rename_table", sql, new)

    def _rename_column(self, change: RenameColumn) -> None:
        names = f"{quote(change.column)} TO {quote(change.new_name)}"
        sql = f"ALTER TABLE {quote(change.table)} RENAME COLUMN {names}"
        self._native(change.table, "rename_column", sql, change.column, change.new_name)

    def _create_index(self, change: CreateIndex) -> None:
        self._execute(change.sql)

    def _drop_index(self, change: DropIndex) -> None:
        if "." in change.name:
            self._execute(f"DROP INDEX {quote(change.name)}")
        else:
            self.playhouse.drop_index(change.table, change.name).run()

    def _refill(self, change: Refill) -> None:
        from guarded.backends.sqlite.refill import refill

        def run() -> None:
            self.refilled = refill(self.database.connection(), change)

        with self.ledger.trusting():
            self._while_triggers_rest(change.table, run)

    def _fill_each(self, change: FillEach) -> None:
        """SQLite calls a function of Python's for each row; what it gives is a value, not SQL."""
        connection = self.database.connection()
        name = "guarded_next_value"
        connection.create_function(name, 0, lambda: self._value(change.make()))
        try:
            empty = f"{quote(change.column)} IS NULL"
            self._fill(Fill(change.table, change.column, f"{name}()", empty))
        finally:
            connection.create_function(name, 0, None)

    def _value(self, sql: str) -> Any:
        ((value,),) = self.read(f"SELECT {sql}")
        return value

    def _fill(self, change: Fill) -> None:
        if (content := external_content(self._stored(change.table))) is not None:
            raise Refused(
                f"table '{change.table}' is an index over '{content[0]}', and has no values of its "
                "own; fill that"
            )
        if is_contentless(self._stored(change.table)):
            raise Refused(
                f"table '{change.table}' is an index without values, which can't be changed; drop "
                "it, and fill a new one by INSERT"
            )
        condition = f" WHERE {change.where}" if change.where else ""
        update = f"UPDATE {quote(change.table)} SET {quote(change.column)} = {change.expression}"
        with self.ledger.trusting():
            run = functools.partial(self._execute, f"{update}{condition}")
            self._while_triggers_rest(change.table, run)

    def _while_triggers_rest(self, table: str, run: Callable[[], Any]) -> None:
        triggers = self._resting(table)
        for trigger in triggers:
            self._execute(f"DROP TRIGGER {quote(trigger.name)}")
        run()
        for trigger in triggers:
            self._execute(trigger.sql)

    def _resting(self, table: str) -> list[SchemaObject]:
        """The triggers that rest; not those that keep a search index in step with the table."""
        from guarded.backends.sqlite.mirrors import is_mirror

        triggers = [o for o in inspect.dependents(self.read, table) if o.kind == "trigger"]
        return [trigger for trigger in triggers if not is_mirror(self.read, trigger)]

    def _statement(self, change: Statement) -> None:
        self._execute(change.sql, change.params)

    def _add_column(self, change: AddColumn) -> None:
        sql = f"ALTER TABLE {quote(change.table)} ADD COLUMN {change.definition}"
        self._alter.run(lambda: self._execute(sql))
        self._refuse_unfit(change)

    def _refuse_unfit(self, change: AddColumn) -> None:
        """SQLite 3.40 gives the rows of a STRICT table any default, which then is damage."""
        definition = self._definition(self._stored(change.table))
        column = definition.column(change.column)
        if not definition.strict or column.constraint("DEFAULT") is None:
            return
        # One row tells, because the default is the same in all of them.
        name, type_ = quote(column.name), column.type.upper()
        for (kind,) in self.read(f"SELECT typeof({name}) FROM {quote(change.table)} LIMIT 1"):
            if type_ in conversion.UNFIT and kind not in ("null", *conversion.FITS[type_]):
                raise RowsDoNotFit(
                    f"column '{change.table}.{column.name}' can't be added: its default would be "
                    f"{conversion.UNFIT[type_]}, which a STRICT table refuses; give it another"
                )

    def _drop_column(self, change: DropColumn) -> None:
        # It writes every row anew, by the key; a stand-in must not compare keys.
        list(self.read(f"SELECT 1 FROM {inspect.unindexed(self.read, change.table)} LIMIT 0"))
        sql = f"ALTER TABLE {quote(change.table)} DROP COLUMN {quote(change.column)}"
        self._native(change.table, "drop_column", sql, change.column)

    def _set_not_null(self, change: SetNotNull) -> None:
        self._native(change.table, "add_not_null", self._altered(change, "SET"), change.column)

    def _drop_not_null(self, change: DropNotNull) -> None:
        self._native(change.table, "drop_not_null", self._altered(change, "DROP"), change.column)

    def _altered(self, change: SetNotNull | DropNotNull, word: str) -> str:
        table, column = quote(change.table), quote(change.column)
        return f"ALTER TABLE {table} ALTER COLUMN {column} {word} NOT NULL"

    def _add_constraint(self, change: AddConstraint) -> None:
        self._execute(
            f"ALTER TABLE {quote(change.table)} ADD CONSTRAINT {quote(change.name)} "
            f"{change.definition}"
        )

    def _drop_constraint(self, change: DropConstraint) -> None:
        sql = f"ALTER TABLE {quote(change.table)} DROP CONSTRAINT {quote(change.name)}"
        self._native(change.table, "drop_constraint", sql, change.name)

    _APPLY: ClassVar[dict[type, Callable[..., None]]] = {
        NewTable: _create_table,
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
        AddConstraint: _add_constraint,
        DropConstraint: _drop_constraint,
    }

    # What these share.

    def _native(self, table: str, verb: str, sql: str, *arguments: str) -> None:
        """By playhouse's operation; by the same SQL where playhouse takes a dot for a schema, or an
        empty name for none."""
        renamed = (table, arguments[0]) if verb == "rename_table" else ("", "")
        if "." in table or "" in (table, *arguments):
            self._alter.run(lambda: self._execute(sql), renamed)
        else:
            run = getattr(self.playhouse, verb)(table, *arguments).run
            self._alter.run(run, renamed)

    def _execute(self, sql: str | None, params: Any = None) -> Any:
        return self.database.execute_sql(sql, params)

    def _stored(self, table: str) -> SchemaObject:
        found = inspect.find(self.read, table, "table")
        assert found is not None, f"a verb looks for '{table}' first"
        return found

    def _definition(self, stored: SchemaObject) -> CreateTable:
        """The table's text, or the one that it will have after its rebuild."""
        if waiting := self._waiting.get(fold(stored.name)):
            return waiting.definition
        try:
            return parse(stored.sql or "")
        except UnreadableTable:
            raise Refused(
                f"table '{stored.name}' can't be altered: it is no ordinary table"
            ) from None

    def _refuse_hidden(self, table: str) -> None:
        """Raise Refused for a name that SQLite would take for a temporary object."""
        sql = "SELECT type FROM sqlite_temp_master WHERE name = ? COLLATE NOCASE"
        for (kind,) in self.read(sql, (table,)):
            raise Refused(
                f"a temporary {kind} '{table}' hides the table of that name; drop it first"
            )

    @contextmanager
    def _refusing_errors(self, what: str, change: Change | None = None) -> Iterator[None]:
        """Raise Refused for what SQLite can't do, and where this process does not know what only
        the application registers; the words of a statement's own error stay as they are."""
        try:
            yield
        except UnreadableTable as exc:
            raise Refused(f"{what}: its text would be no CREATE TABLE any more: {exc}") from exc
        except (OperationalError, sqlite3.OperationalError) as exc:
            words, is_own = str(exc), not isinstance(change, Statement)
            found = unknown.named_in(words)
            if found and (is_own or unknown.NO_WAY_IN not in words):
                raise Refused(
                    f"{what} here: this process does not know {found}; register it in the project "
                    "(Project.register)"
                ) from exc
            if is_own and words not in NOT_OF_THE_CHANGE:
                raise Refused(f"{what}: {words}{self._nearest(words, change)}") from exc
            raise

    def _nearest(self, words: str, change: Change | None) -> str:
        missing, table = MISSING.fullmatch(words), getattr(change, "table", None)
        if missing is None or table is None:
            return ""
        known = inspect.columns(self.read, table)
        return nearest(missing[1].split(".")[-1], [column.name for column in known])

    @contextmanager
    def _refusing_broken(self, what: str, *tables: str | None) -> Iterator[None]:
        """Raise Refused when the block leaves something that SQLite can't use any more."""
        names = [table for table in tables if table is not None]
        before = self._ailments(names)
        try:
            yield
        except (OperationalError, sqlite3.OperationalError) as exc:
            if str(exc).startswith("error in "):  # SQLite's own words for the same
                raise Refused(f"{what}: {exc}; drop or change that first") from exc
            raise
        after = self._ailments(names)
        if len(names) > 1:  # a trigger's table has its new name
            before = {target.moved(*names): why for target, why in before.items()}
        if new := [f"{_named(t)} ({why})" for t, why in after.items() if before.get(t) != why]:
            raise Refused(f"{what}: {', '.join(new)} needs it; drop or change that first")

    def _ailments(self, tables: Sequence[str]) -> Ailments:
        """As long as the schema is the same, the same."""
        with self.ledger.trusting():
            ((version,),) = self.read("PRAGMA schema_version")
            key = version, frozenset(map(fold, tables))
            if self._known_ailments[0] != key:
                self._known_ailments = key, ailments(self.read, tables, takes_strings=False)
        return self._known_ailments[1]


WAITING = (
    AddColumn,
    DropColumn,
    SetNotNull,
    DropNotNull,
    SetDefault,
    DropDefault,
    SetType,
    AddConstraint,
    DropConstraint,
    DropForeignKey,
)

MISSING = re.compile(r"no such column: (\S+)")

# Errors of SQLite's that say nothing about the change.
NOT_OF_THE_CHANGE = ("interrupted", "database or disk is full", "disk I/O error")

# What has to be done before another change of the same column: rows get the first default, are
# converted to each type in turn, and leave their values with the column that is dropped.
FIRST: dict[type[Any], tuple[type[Any], ...]] = {
    AddColumn: (DropColumn,),
    SetType: (AddColumn, SetType),
    SetDefault: (AddColumn,),
    DropDefault: (AddColumn,),
}

# Changes with SQL that a person wrote.
WITH_SQL = (Fill, SetType, CreateIndex, AddConstraint)

# Changes that leave every view, trigger and key as it is.
HARMLESS = (NewTable, CreateIndex, Fill, FillEach, Refill, Statement)


def _what(change: Change) -> str:
    table = getattr(change, "table", "")
    if isinstance(change, DropTable):
        return f"table '{table}' can't be dropped"
    if isinstance(change, RenameTable):
        return f"table '{table}' can't be renamed"
    if isinstance(change, DropColumn):
        return f"column {table}.{change.column} can't be dropped"
    if isinstance(change, RenameColumn):
        return f"column {table}.{change.column} can't be renamed"
    if isinstance(change, DropIndex):
        return f"index '{change.name}' can't be dropped"
    if isinstance(change, CreateIndex):
        return f"index '{change.name}' can't be made"
    if isinstance(change, Statement):
        return "the statement can't be run"
    if isinstance(change, (Fill, FillEach, Refill)):
        return f"table '{table}' can't be filled"
    return f"table '{table}' can't be altered"


def _named(target: Target) -> str:
    if target.kind is Kind.FOREIGN_KEY:
        return f"the foreign key of table '{target.table}'"
    return f"{target.kind.value} '{target.name or target.table}'"
