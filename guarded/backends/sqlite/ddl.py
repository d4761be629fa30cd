"""How SQLite makes each change, the cheapest way first: its own ALTER TABLE, an edit of the stored
text, a rebuild of the table.

What SQLite's ALTER TABLE can't do waits, so that several changes of one table are one edit, or one
rebuild if any of them needs it.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from peewee import OperationalError, SqliteDatabase

from guarded.backends.interface import Ledger
from guarded.backends.sqlite import catalogue, describe, edits, inspect, unknown
from guarded.backends.sqlite.health import Ailments, ailments, mentioned, trigger_event
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.rebuild import free_name, rebuild
from guarded.backends.sqlite.text import (
    Constraint,
    CreateTable,
    UnreadableTable,
    fold,
    mentions,
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
from guarded.errors import Refused
from guarded.schema import Column, ForeignKey, Index, Table
from guarded.steps import Action, Kind, Target

NATIVE_CONSTRAINTS = (3, 53, 0)  # from here on ALTER TABLE has NOT NULL and named CHECKs


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
    def _stand_ins(self) -> unknown.StandIns:
        return unknown.StandIns(self.database.connection())

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

    def column(self, table: str, definition: str) -> Column | None:
        try:
            made = describe.table_of_text(self.read, "t", f"CREATE TABLE t ({definition})")
        except sqlite3.OperationalError:  # it speaks of other columns
            return None
        return made.columns[0]

    def refusal_of_type(self, table: Table, column: Column, type_: str) -> str | None:
        alias = describe.rowid_alias(self.read, table.name)
        if alias != column.name or type_.upper() == "INTEGER":
            return None
        return f"it is the rowid, and SQLite would not assign ids to {type_}; keep INTEGER"

    def altered_by_type(self, table: Table, column: Column, type_: str) -> str | None:
        """By the affinities, https://www.sqlite.org/datatype3.html section 3."""
        name = quote(column.name)
        number = f"CAST({name} AS NUMERIC)"
        # A text that looks like a number becomes one, and would come back in another spelling.
        as_number = (
            f"(typeof({name}) = 'text' AND +{name} = {number} AND CAST({number} AS TEXT) <> {name})"
        )
        as_real = (
            f"(typeof({name}) = 'integer' AND CAST(CAST({name} AS REAL) AS INTEGER) <> {name})"
        )
        as_text = f"(typeof({name}) = 'real' AND CAST(CAST({name} AS TEXT) AS REAL) <> {name})"
        storage = type_.upper() if "STRICT" in table.options else describe.affinity(type_)
        found = {
            "INTEGER": as_number,
            "INT": as_number,
            "NUMERIC": as_number,
            "REAL": f"({as_number} OR {as_real})",
            "TEXT": as_text,
        }
        if column.storage in ("BLOB", "ANY"):  # they take each value as it comes
            found["TEXT"] = f"(typeof({name}) IN ('integer', 'real'))"
            found |= dict.fromkeys(
                ("INTEGER", "INT", "NUMERIC", "REAL"),
                f"(typeof({name}) = 'text' AND +{name} = {number})",
            )
        return None if storage == column.storage else found.get(storage)

    def resting(self, change: Fill) -> str:
        triggers = [
            t.name
            for t in inspect.dependents(self.read, change.table)
            if t.kind == "trigger" and _fires_on(t, change.column)
        ]
        return f"while {', '.join(triggers)} rest" if triggers else ""

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

    def waiting(self) -> Sequence[tuple[str, Action]]:
        return [
            (w.stored.name, Action.EDIT if w.is_edit else Action.REBUILD)
            for w in self._waiting.values()
        ]

    def settle(self, table: str) -> None:
        waiting = self._waiting.pop(fold(table))
        what = f"table '{table}' can't be rebuilt"
        guards = self._refusing_broken(what, table), self._refusing_errors(what)
        with guards[0], guards[1], self.ledger.trusting():
            if not self._edit(waiting):
                rebuild(
                    self.read,
                    self._execute,
                    self._run_natively,
                    table,
                    waiting.definition,
                    waiting.values,
                )

    def _edit(self, waiting: Waiting) -> bool:
        if not waiting.is_edit:
            return False
        stored, definition = waiting.stored, waiting.definition
        rest = functools.partial(self._while_triggers_rest, stored.name)
        return catalogue.edit(self.read, self._execute, stored, definition, waiting.changes, rest)

    def _wait(self, change: Alteration) -> None:
        stored = self._stored(change.table)
        before = self._definition(stored)
        definition = _EDITS[type(change)](before, change)
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
        """Return True if this SQLite's ALTER TABLE can do it."""
        definition = self._definition(self._stored(change.table))
        if isinstance(change, AddColumn):
            return change.value is None and _is_addable(change.definition)
        if isinstance(change, DropColumn):
            name = fold(change.column)
            column = definition.column(change.column)
            own = [c for c in definition.constraints if definition.subjects(c) == {name}]
            own += [c for c in column.constraints if c.kind in ("UNIQUE", "REFERENCES")]
            return not own and not edits.has_comment_before(definition, column)
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
        condition = f" WHERE {change.where}" if change.where else ""
        update = f"UPDATE {quote(change.table)} SET {quote(change.column)} = {change.expression}"
        with self.ledger.trusting():
            run = functools.partial(self._execute, f"{update}{condition}")
            self._while_triggers_rest(change.table, run)

    def _while_triggers_rest(self, table: str, run: Callable[[], Any]) -> None:
        triggers = [o for o in inspect.dependents(self.read, table) if o.kind == "trigger"]
        for trigger in triggers:
            self._execute(f"DROP TRIGGER {quote(trigger.name)}")
        run()
        for trigger in triggers:
            self._execute(trigger.sql)

    def _statement(self, change: Statement) -> None:
        self._execute(change.sql, change.params)

    def _add_column(self, change: AddColumn) -> None:
        sql = f"ALTER TABLE {quote(change.table)} ADD COLUMN {change.definition}"
        self._run_natively(lambda: self._execute(sql))

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
        """By playhouse's operation; by the same SQL where playhouse takes a dot for a schema."""
        renamed = (table, arguments[0]) if verb == "rename_table" else ("", "")
        if "." in table:
            self._run_natively(lambda: self._execute(sql), renamed)
        else:
            run = getattr(self.playhouse, verb)(table, *arguments).run
            self._run_natively(run, renamed)

    def _run_natively(self, run: Callable[[], Any], renamed: tuple[str, str] = ("", "")) -> None:
        """SQLite's ALTER TABLE compiles every view and trigger of the whole schema.

        What only the application registers gets stand-ins meanwhile; what was broken before steps
        aside, and comes back as it was.
        """
        stand_ins = self._stand_ins
        try:
            stand_ins.run(run)
        except (OperationalError, sqlite3.OperationalError) as exc:
            if not str(exc).startswith("error in "):
                raise
            with self.ledger.trusting():
                broken = [t for t in ailments(self.read) if t.kind in (Kind.VIEW, Kind.TRIGGER)]
            if not broken:
                raise
            with self._aside(broken, renamed):
                stand_ins.run(run)
        finally:
            stand_ins.remove()

    @contextmanager
    def _aside(self, broken: Sequence[Target], renamed: tuple[str, str]) -> Iterator[None]:
        """Without these views and triggers; they come back in their places.

        What is sound around them is made anew for that, and is there in the block: a rename
        rewrites it.  ``renamed``: a table's name before and after the block.
        """
        lame = {(t.kind.value, fold(t.name or t.table)) for t in broken}
        views = {fold(t.table) for t in broken if t.kind is Kind.VIEW}
        tables = views | {fold(t.table) for t in broken if t.kind is Kind.TRIGGER}
        doomed = [
            o
            for o in inspect.objects(self.read, "view", "trigger")
            if (fold(o.name) if o.kind == "view" else fold(o.table))
            in (views if o.kind == "view" else tables)
        ]
        doomed.sort(key=lambda o: o.kind, reverse=True)  # triggers go first, and come last
        sound = [
            o for o in doomed if (o.kind, fold(o.name)) not in lame and fold(o.table) not in views
        ]
        with self.ledger.trusting():
            self._drop_all(doomed)
            for item in sound:
                self._execute(item.sql)
        yield
        with self.ledger.trusting():
            texts = {(o.kind, o.name): o.sql for o in inspect.objects(self.read)}
            self._drop_all(sound)
            for item in doomed:
                text = texts.get((item.kind, item.name)) or _moved(item, *renamed)
                self._execute(text)

    def _drop_all(self, items: Sequence[SchemaObject]) -> None:
        for item in reversed(items):
            self._execute(f"DROP {item.kind.upper()} {quote(item.name)}")

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
            if o.kind == "index" and fold(change.column) in self._columns_in(o)
        ]

    def _columns_in(self, index: SchemaObject) -> set[str]:
        """The columns that the index needs, folded; a string is none, whatever it spells."""
        rows = self.read(f"PRAGMA index_xinfo({quote(index.name)})")
        plain = {fold(row[2]) for row in rows if row[5] and row[2] is not None}
        all_columns = {fold(c.name) for c in inspect.columns(self.read, index.table)}
        return plain | (mentioned(_body(index)) & all_columns)

    def _others_in(self, index: Target, change: DropColumn) -> bool:
        """Return True if the index is about other columns, too."""
        stored = inspect.find(self.read, str(index.name), "index")
        return stored is not None and self._columns_in(stored) != {fold(change.column)}

    def _obstacles_to_drop(self, change: DropColumn) -> list[str]:
        found = [
            f"index '{index.name}'"
            for index in self._indexes_of(change)
            if self._others_in(index, change)
        ]
        definition = self._definition(self._stored(change.table))
        found += definition.obstacles(change.column)
        others = [c for c in definition.columns if fold(c.name) != fold(change.column)]
        if all(c.constraint("GENERATED") for c in others):
            found.append(f"table '{change.table}', which has no other column,")
        for child, key in self.children(change.table):
            if fold(change.column) in map(fold, key.parent_columns):
                found.append(f"the foreign key of table '{child}'")
        for trigger in inspect.dependents(self.read, change.table):
            if trigger.kind == "trigger" and fold(change.column) in map(
                fold, trigger_event(trigger.sql or "")[1]
            ):
                found.append(str(trigger))
        return found

    def _mentioning(self, name: str) -> list[Target]:
        """A rename rewrites the text of every object that speaks of the old name."""
        return [o.target for o in inspect.objects(self.read) if mentions(o.sql, name)]

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
                raise Refused(f"{what}: {words}") from exc
            raise

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
                self._known_ailments = key, ailments(self.read, tables)
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

# Errors of SQLite's that say nothing about the change.
NOT_OF_THE_CHANGE = ("interrupted", "database or disk is full", "disk I/O error")

# Changes that leave every view, trigger and key as it is.
HARMLESS = (NewTable, CreateIndex, Fill, FillEach, Refill, Statement)

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


def _moved(item: SchemaObject, old: str, new: str) -> str:
    """The text of a trigger whose table was renamed; nothing else in it can be told apart."""
    sql = item.sql or ""
    if item.kind != "trigger" or fold(item.table) != fold(old):
        return sql
    words = tokens(sql)
    on = next(i for i, word in enumerate(words) if word.keyword == "ON")
    while words[on + 2].text == ".":  # ON main.table
        on += 2
    name = words[on + 1]
    return f"{sql[: name.start]}{quote(new)}{sql[name.end :]}"


def _fires_on(trigger: SchemaObject, column: str) -> bool:
    event, names = trigger_event(trigger.sql or "")
    return event == "UPDATE" and (not names or fold(column) in map(fold, names))


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


def _body(index: SchemaObject) -> str:
    """The text of a CREATE INDEX from its columns on."""
    return (index.sql or "").partition("(")[2]


def _is_addable(definition: str) -> bool:
    """Return True if SQLite's ADD COLUMN takes it, https://www.sqlite.org/lang_altertable.html."""
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
