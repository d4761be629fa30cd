"""How SQLite makes each change: by its own ALTER TABLE, or by a rebuild of the table.

Changes that need a rebuild wait, so that several of one table are one rebuild.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from peewee import OperationalError, SqliteDatabase

from guarded.backends.interface import Ledger
from guarded.backends.sqlite import compiling, describe, edits, inspect
from guarded.backends.sqlite.compiling import trigger_event
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.rebuild import rebuild
from guarded.backends.sqlite.text import (
    Constraint,
    CreateTable,
    UnreadableTable,
    fold,
    mentions,
    mentions_any,
    parse,
    quote,
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
from guarded.errors import Refused
from guarded.schema import ForeignKey, Index, Table
from guarded.steps import Kind, Target

NATIVE_CONSTRAINTS = (3, 53, 0)  # from here on ALTER TABLE has NOT NULL and named CHECKs


class Waiting:
    """A table that waits for its rebuild; ``values`` as in rebuild()."""

    def __init__(self, stored: SchemaObject, definition: CreateTable) -> None:
        self.stored, self.definition = stored, definition
        self.values: dict[str, str] = {}


class SqliteDdl:
    """See ``guarded.backends.interface.Ddl``."""

    def __init__(self, database: SqliteDatabase, playhouse: Any, ledger: Ledger) -> None:
        self.database, self.playhouse, self.ledger = database, playhouse, ledger
        self.read = database.connection().execute
        self._waiting: dict[str, Waiting] = {}

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
        return describe.index_of_text(self.read, stored, sql)

    def obstacles(self, change: Change) -> list[str]:
        if isinstance(change, DropTable):
            children = dict.fromkeys(child for child, _ in self.children(change.table))
            return [f"table '{child}'" for child in children]
        if isinstance(change, DropColumn):
            return self._obstacles_to_drop(change)
        return []

    def affected(self, change: Change) -> Iterable[Target]:
        if isinstance(change, DropTable):
            own = inspect.dependents(self.read, change.table)
            return [Target(Kind.ID_MARK, change.table), *(o.target for o in own)]
        if isinstance(change, DropColumn):
            return [i for i in self._indexes_of(change) if not self._others_in(i, change)]
        if isinstance(change, RenameTable):
            moved = [Target(Kind.TABLE, change.new_name), Target(Kind.ID_MARK, change.table)]
            return moved + self._mentioning(change.table)
        if isinstance(change, RenameColumn):
            return self._mentioning(change.column)
        return []

    # Changes.

    def waits(self, change: Change) -> bool:
        if not isinstance(change, WAITING):
            return False
        return fold(change.table) in self._waiting or not self._is_native(change)

    def apply(self, change: Change) -> None:
        if self.waits(change):
            assert isinstance(change, WAITING)
            return self._wait(change)
        self._APPLY[type(change)](self, change)
        return None

    def waiting(self) -> Sequence[str]:
        return [waiting.stored.name for waiting in self._waiting.values()]

    def settle(self, table: str) -> None:
        waiting = self._waiting.pop(fold(table))
        what = f"table '{table}' can't be rebuilt"
        with self._refusing_broken(what), self.ledger.trusting():
            rebuild(self.read, self._execute, table, waiting.definition, waiting.values)

    def _wait(self, change: Alteration) -> None:
        stored = self._stored(change.table)
        definition = _EDITS[type(change)](self._definition(stored), change)
        waiting = self._waiting.setdefault(fold(stored.name), Waiting(stored, definition))
        waiting.definition = definition
        if isinstance(change, AddColumn) and change.value is not None:
            waiting.values[change.column] = change.value
        if isinstance(change, SetType) and change.cast is not None:
            waiting.values[change.column] = change.cast

    def _is_native(self, change: Alteration) -> bool:
        """Whether this SQLite's ALTER TABLE can do it."""
        definition = self._definition(self._stored(change.table))
        if isinstance(change, AddColumn):
            return change.value is None and _is_addable(change.definition)
        if isinstance(change, DropColumn):
            name = fold(change.column)
            column = definition.column(change.column)
            own = [c for c in definition.constraints if definition.subjects(c) == {name}]
            return not own and not any(
                c.kind in ("UNIQUE", "REFERENCES") for c in column.constraints
            )
        if self.database.server_version < NATIVE_CONSTRAINTS:
            return False
        if isinstance(change, AddConstraint):
            return tokens(change.definition)[0].keyword == "CHECK"
        if isinstance(change, DropConstraint):
            return definition.constraint(change.name).kind == "CHECK"
        return isinstance(change, (SetNotNull, DropNotNull))

    def _create_table(self, change: NewTable) -> None:
        model = change.model
        with model.bind_ctx(self.database, bind_refs=False, bind_backrefs=False):
            model._schema.create_table(safe=False)

    def _drop_table(self, change: DropTable) -> None:
        with self._refusing_broken(f"table '{change.table}' can't be dropped"):
            self.playhouse.drop_table(change.table).run()

    def _rename_table(self, change: RenameTable) -> None:
        self.playhouse.rename_table(change.table, change.new_name).run()

    def _rename_column(self, change: RenameColumn) -> None:
        self.playhouse.rename_column(change.table, change.column, change.new_name).run()

    def _create_index(self, change: CreateIndex) -> None:
        self._execute(change.sql)

    def _drop_index(self, change: DropIndex) -> None:
        self.playhouse.drop_index(change.table, change.name).run()

    def _fill(self, change: Fill) -> None:
        condition = f" WHERE {change.where}" if change.where else ""
        triggers = [
            item for item in inspect.dependents(self.read, change.table) if item.kind == "trigger"
        ]
        with self.ledger.trusting():
            for trigger in triggers:
                self._execute(f"DROP TRIGGER {quote(trigger.name)}")
            self._execute(
                f"UPDATE {quote(change.table)} SET {quote(change.column)} = {change.expression}"
                f"{condition}"
            )
            for trigger in triggers:
                self._execute(trigger.sql)

    def _statement(self, change: Statement) -> None:
        self._execute(change.sql, change.params)

    def _add_column(self, change: AddColumn) -> None:
        self._execute(f"ALTER TABLE {quote(change.table)} ADD COLUMN {change.definition}")

    def _drop_column(self, change: DropColumn) -> None:
        with self._refusing_broken(f"column {change.table}.{change.column} can't be dropped"):
            self.playhouse.drop_column(change.table, change.column).run()

    def _set_not_null(self, change: SetNotNull) -> None:
        self.playhouse.add_not_null(change.table, change.column).run()

    def _drop_not_null(self, change: DropNotNull) -> None:
        self.playhouse.drop_not_null(change.table, change.column).run()

    def _add_constraint(self, change: AddConstraint) -> None:
        self._execute(
            f"ALTER TABLE {quote(change.table)} ADD CONSTRAINT {quote(change.name)} "
            f"{change.definition}"
        )

    def _drop_constraint(self, change: DropConstraint) -> None:
        self.playhouse.drop_constraint(change.table, change.name).run()

    _APPLY: ClassVar[dict[type, Callable[..., None]]] = {
        NewTable: _create_table,
        DropTable: _drop_table,
        RenameTable: _rename_table,
        RenameColumn: _rename_column,
        CreateIndex: _create_index,
        DropIndex: _drop_index,
        Fill: _fill,
        Statement: _statement,
        AddColumn: _add_column,
        DropColumn: _drop_column,
        SetNotNull: _set_not_null,
        DropNotNull: _drop_not_null,
        AddConstraint: _add_constraint,
        DropConstraint: _drop_constraint,
    }

    # What these share.

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

    def _indexes_of(self, change: DropColumn) -> list[Target]:
        return [
            Target(Kind.INDEX, o.table, o.name)
            for o in inspect.dependents(self.read, change.table)
            if o.kind == "index" and mentions(_body(o), change.column)
        ]

    def _others_in(self, index: Target, change: DropColumn) -> bool:
        """Whether the index is about other columns, too."""
        stored = inspect.find(self.read, str(index.name), "index")
        columns = inspect.columns(self.read, change.table)
        others = [c.name for c in columns if fold(c.name) != fold(change.column)]
        return stored is not None and mentions_any(_body(stored), others)

    def _obstacles_to_drop(self, change: DropColumn) -> list[str]:
        found = [
            f"index '{index.name}'"
            for index in self._indexes_of(change)
            if self._others_in(index, change)
        ]
        found += self._definition(self._stored(change.table)).obstacles(change.column)
        for child, key in self.children(change.table):
            if fold(change.column) in map(fold, key.parent_columns):
                found.append(f"the foreign key of table '{child}'")
        for trigger in inspect.dependents(self.read, change.table):
            if trigger.kind == "trigger" and fold(change.column) in map(
                fold, trigger_event(trigger)[1]
            ):
                found.append(str(trigger))
        return found

    def _mentioning(self, name: str) -> list[Target]:
        """A rename rewrites the text of every object that speaks of the old name."""
        return [o.target for o in inspect.objects(self.read) if mentions(o.sql, name)]

    @contextmanager
    def _refusing_broken(self, what: str) -> Iterator[None]:
        """Raise Refused when the block leaves a view or trigger that SQLite can't compile."""
        with self.ledger.trusting():
            before = compiling.broken(self.read)
        try:
            yield
        except (OperationalError, sqlite3.OperationalError) as exc:
            if str(exc).startswith("error in "):  # SQLite's own words for the same
                raise Refused(f"{what}: {exc}; drop or change that first") from exc
            raise
        with self.ledger.trusting():
            after = compiling.broken(self.read)
        if new := [f"{o} ({why})" for o, why in after.items() if o not in before]:
            raise Refused(f"{what}: {', '.join(new)} needs it; drop or change that first")


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

_EDITS: dict[type, Callable[[CreateTable, Any], CreateTable]] = {
    AddColumn: lambda table, change: edits.with_column(table, change.definition),
    DropColumn: lambda table, change: edits.without_column(table, change.column),
    SetNotNull: lambda table, change: edits.with_not_null(table, change.column),
    DropNotNull: lambda table, change: edits.without_not_null(table, change.column),
    SetDefault: lambda table, change: edits.with_default(table, change.column, change.default),
    DropDefault: lambda table, change: edits.without_default(table, change.column),
    SetType: lambda table, change: edits.with_type(table, change.column, change.type),
    AddConstraint: lambda table, change: edits.with_constraint(
        table, f"CONSTRAINT {quote(change.name)} {change.definition}"
    ),
    DropConstraint: lambda table, change: edits.without_constraint(
        table, table.constraint(change.name)
    ),
    DropForeignKey: lambda table, change: edits.without_constraint(
        table, _foreign_key(table, change.column)
    ),
}


def _body(index: SchemaObject) -> str:
    """The text of a CREATE INDEX from its columns on."""
    return (index.sql or "").partition("(")[2]


def _is_addable(definition: str) -> bool:
    """Whether SQLite's ADD COLUMN takes it, https://www.sqlite.org/lang_altertable.html."""
    column = CreateTable(f"CREATE TABLE t ({definition})").columns[0]
    if column.constraint("PRIMARY") or column.constraint("UNIQUE"):
        return False
    if generated := column.constraint("GENERATED"):
        return generated.tokens[-1].keyword != "STORED"
    default = column.constraint("DEFAULT")
    if default is None:
        return column.constraint("NOT") is None
    return not (default.tokens[1].text == "(" or default.tokens[1].keyword.startswith("CURRENT_"))


def _foreign_key(definition: CreateTable, column: str) -> Constraint:
    own = definition.column(column).constraint("REFERENCES")
    keys = [
        c
        for c in definition.constraints
        if c.kind == "FOREIGN" and definition.subjects(c) == {fold(column)}
    ]
    return own or keys[0]
