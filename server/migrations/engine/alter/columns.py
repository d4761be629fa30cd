"""Verbs for columns: each looks first, and touches no row where SQLite can do without."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from peewee import SQL, Field, ForeignKeyField, SqliteDatabase

from server.migrations.engine import introspection
from server.migrations.engine.alter.alterations import Alterations
from server.migrations.engine.alter.compiling import trigger_event
from server.migrations.engine.alter.redefinition import operation
from server.migrations.engine.errors import Refused
from server.migrations.engine.introspection import SchemaObject
from server.migrations.engine.record import Record
from server.migrations.engine.sql import edits
from server.migrations.engine.sql.create_table import CreateTable
from server.migrations.engine.sql.names import fold, literal, quote
from server.migrations.engine.sql.tokens import mentions, mentions_any
from server.migrations.engine.watch import Watch


class Columns(Alterations):
    """The verbs for columns, and the limit of what ``down`` may drop.

    ``made``: on the way down, what the ``up`` of this migration created in this database.  Only
    that is dropped: tables and columns that were there before stay, with their rows.
    """

    def __init__(
        self, database: SqliteDatabase, record: Record, watch: Watch, made: Iterable[str] | None
    ) -> None:
        super().__init__(database, record, watch)
        self._may_drop = None if made is None else {fold(item) for item in made}

    def has_column(self, table: str, name: str) -> bool:
        return introspection.has_column(self.read, table, name)

    @operation
    def add_column(
        self, table: str, column_name: str, field: Field, allow_not_null: bool = False
    ) -> Any:
        """Add the column without touching a row where SQLite can: also NOT NULL with a constant.

        The Python default of a NOT NULL field becomes the column's default, so that the rows that
        are there have a value; a callable is called once for them.
        """
        self._settle_about(table, column_name)
        stored = self.existing(table)
        subject = f"{stored.name}.{column_name}"
        if self.has_column(stored.name, column_name) or self.is_pending(stored.name, column_name):
            return self.record.skip(subject, "already there")
        field = field.clone()
        field.name = field.column_name = column_name
        value = None
        if not field.null and declared_default(field) is None and not allow_not_null:
            if field.default is None:
                if self.read(f"SELECT 1 FROM {quote(stored.name)} LIMIT 1").fetchone():
                    raise Refused(f"{subject} is not null but has no default; give the field one")
            elif callable(field.default):
                value = _stored(field, field.default())
            else:
                default = SQL(f"DEFAULT {_stored(field, field.default)}")
                field.constraints = [*(field.constraints or []), default]
        definition = self._column_definition(field)
        self.record.made.add(f"column {subject}")
        if value is not None or self.is_pending(stored.name) or not _is_native(definition):
            values = {} if value is None else {column_name: value}
            self.edit(
                stored, lambda t: edits.with_column(t, definition), "add", subject, values=values
            )
        else:
            self.settle()
            with self.record.step("add", subject):
                self.execute_sql(f"ALTER TABLE {quote(stored.name)} ADD COLUMN {definition}")
        if field.index or field.unique:
            return self.add_index(stored.name, (column_name,), field.unique, field.index_type)
        return None

    @operation
    def drop_column(
        self, table: str, column_name: str, cascade: bool = True, legacy: bool = False
    ) -> None:
        """Drop the column with the indexes and constraints that are about it alone."""
        self.watch.refuse_in_memory(table)
        self._settle_about(table, column_name)
        if not self.has_column(table, column_name):
            return self.record.skip(f"{table}.{column_name}", "not there")
        stored = self.existing(table)
        subject = f"{stored.name}.{column_name}"
        if self.is_kept(f"column {subject}"):
            return None
        obstacles, own_indexes = self._uses(stored, column_name)
        if obstacles:
            raise Refused(
                f"column {subject} can't be dropped: {', '.join(obstacles)} needs it; drop or "
                "change that first"
            )
        for index in own_indexes:
            self.drop_own_index(index)
        definition = self.definition(stored)
        column = definition.column(column_name)
        own = [c for c in definition.constraints if definition.subjects(c) == {fold(column_name)}]
        own += [c for c in column.constraints if c.kind in ("UNIQUE", "REFERENCES")]
        if own or self.is_pending(stored.name):
            self.edit(stored, lambda t: edits.without_column(t, column_name), "drop", subject)
            return None
        self.settle()
        what = f"column {subject} can't be dropped"
        with self.refusing_broken(what), self.record.step("drop", subject):
            super().drop_column(stored.name, column.name).run()
        return None

    @operation
    def rename_column(self, table: str, old_name: str, new_name: str, legacy: bool = False) -> None:
        stored = self.existing(table)
        self.settle()
        has_old = self.has_column(table, old_name)
        has_new = self.has_column(table, new_name)
        if not has_old and has_new:
            return self.record.skip(f"{stored.name}.{new_name}", f"already renamed from {old_name}")
        if not has_old:
            raise Refused(f"table '{stored.name}' has no column '{old_name}' to rename")
        if has_new and fold(old_name) != fold(new_name):
            raise Refused(
                f"{stored.name}.{old_name} can't be renamed: there is a column '{new_name}' too"
            )
        self.name_all_that_mention(old_name)
        with self.record.step("rename", f"{stored.name}.{old_name}", f"to {new_name}"):
            super().rename_column(stored.name, old_name, new_name).run()
        return None

    @operation
    def fill(self, table: str, column_name: str, expression: str, where: str | None = None) -> None:
        """Set a column of many rows by one SQL expression, while the table's triggers rest.

        They are meant for what users do, not for moving data into a new shape.
        """
        stored = self.existing(table)
        self.settle()
        self.watch.suspect(stored.name, "update", column_name)
        condition = "" if where is None else f" WHERE {where}"
        update = f"UPDATE {quote(stored.name)} SET {quote(column_name)} = {expression}{condition}"
        triggers = [
            t for t in introspection.dependents(self.read, stored.name) if t.kind == "trigger"
        ]
        step = self.record.changing_rows("fill", f"{stored.name}.{column_name}")
        with step, self.watch.trusting():
            for trigger in triggers:
                self.execute_sql(f"DROP TRIGGER {quote(trigger.name)}")
            self.execute_sql(update)
            for trigger in triggers:
                self.execute_sql(trigger.sql)

    @operation
    def apply_default(self, table: str, column_name: str, field: Field) -> Any:
        """Give the field's default to the rows that have no value yet."""
        default = field.default() if callable(field.default) else field.default
        empty = f"{quote(column_name)} IS NULL"
        return self.fill(table, column_name, _stored(field, default), where=empty)

    # What the verbs share.

    def is_kept(self, item: str) -> bool:
        if self._may_drop is None or fold(item) in self._may_drop:
            return False
        name = item.partition(" ")[2]
        self.record.skip(name, "kept, for it was there before this migration")
        return True

    def drop_own_index(self, name: str) -> None:
        self.watch.name(("index", name))
        with self.record.step("drop", name):
            self.execute_sql(f"DROP INDEX {quote(name)}")

    def name_all_that_mention(self, name: str) -> None:
        """A rename rewrites the text of every object that speaks of the old name."""
        self.watch.name(
            *((o.kind, o.name) for o in introspection.objects(self.read) if mentions(o.sql, name))
        )

    def _settle_about(self, table: str, column: str) -> None:
        """Do a rebuild first that adds the column or drops it: what comes now counts on it."""
        is_pending = self.is_pending(table, column)
        if self.is_pending(table) and is_pending != self.has_column(table, column):
            self.settle()

    def _column_definition(self, field: Field) -> str:
        context = self.make_context()
        context.sql(field.ddl(context))
        if isinstance(field, ForeignKeyField):
            self.add_inline_fk_sql(context, field)
        sql, params = context.query()
        assert not params, "a column definition has no parameters"
        return str(sql)

    def _uses(self, stored: SchemaObject, column: str) -> tuple[list[str], list[str]]:
        """What else needs the column, and the indexes that are about it alone."""
        obstacles, own = [], []
        others = [
            c.name
            for c in introspection.columns(self.read, stored.name)
            if fold(c.name) != fold(column)
        ]
        for index in introspection.indexes(self.read, stored.name):
            if index.origin != "c":
                continue
            body = (index.sql or "").partition("(")[2]
            if not mentions(body, column):
                continue
            if mentions_any(body, others):
                obstacles.append(f"index '{index.name}'")
            else:
                own.append(index.name)
        obstacles += self.definition(stored).obstacles(column)
        for child in introspection.children(self.read, stored.name):
            for key in introspection.foreign_keys(self.read, child):
                if fold(key.parent) == fold(stored.name) and fold(column) in map(
                    fold, key.parent_columns
                ):
                    obstacles.append(f"the foreign key of table '{child}'")
        for trigger in introspection.dependents(self.read, stored.name):
            if trigger.kind == "trigger" and fold(column) in map(fold, trigger_event(trigger)[1]):
                obstacles.append(str(trigger))
        return obstacles, own


def declared_default(field: Field) -> str | None:
    """The SQL after DEFAULT among the field's constraints."""
    for constraint in field.constraints or ():
        text = getattr(constraint, "sql", "")
        if isinstance(text, str) and text.strip().upper().startswith("DEFAULT"):
            return text.strip()[len("DEFAULT") :].strip()
    return None


def _stored(field: Field, value: Any) -> str:
    """As SQL.  A BlobField knows how to store bytes only once it has a model."""
    return literal(value if isinstance(value, bytes) else field.db_value(value))


def _is_native(definition: str) -> bool:
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
