"""Verbs that redefine a table: by native ALTER where SQLite has it, else by a rebuild."""

from __future__ import annotations

from typing import Any

from peewee import SQL, Field

from server.migrations.engine import introspection
from server.migrations.engine.alter.redefinition import Redefinitions, operation
from server.migrations.engine.errors import Refused
from server.migrations.engine.introspection import SchemaObject
from server.migrations.engine.sql import edits
from server.migrations.engine.sql.create_table import Constraint, CreateTable
from server.migrations.engine.sql.names import fold, literal, quote
from server.migrations.engine.sql.tokens import tokens


class Alterations(Redefinitions):
    """The verbs for nullability, defaults, types and constraints."""

    # Nullability.

    @operation
    def add_not_null(self, table: str, column: str, legacy: bool = False) -> None:
        stored, subject = self.existing_column(table, column)
        if self.definition(stored).column(column).constraint("NOT"):
            return self.record.skip(subject, "already not null")
        if not self.is_pending(stored.name, column):
            sql = f"SELECT count(*) FROM {quote(stored.name)} WHERE {quote(column)} IS NULL"
            if empty := self.read(sql).fetchone()[0]:
                raise Refused(
                    f"{subject} can't be made not null: {_rows(empty)} no value there; give them "
                    "one first, by migrator.fill(…)"
                )
        if self._is_native(stored):
            with self.record.step("alter", subject, "not null"):
                super().add_not_null(stored.name, column).run()
        else:
            self.edit(
                stored, lambda t: edits.with_not_null(t, column), "alter", subject, "not null"
            )
        return None

    @operation
    def drop_not_null(self, table: str, column: str, legacy: bool = False) -> None:
        if self.lacks(table, column):
            return None
        stored, subject = self.existing_column(table, column)
        definition = self.definition(stored)
        if not definition.column(column).constraint("NOT"):
            return self.record.skip(subject, "already nullable")
        found = introspection.column(self.read, stored.name, column)
        if found is not None and found.primary_key and definition.without_rowid:
            raise Refused(f"{subject} can't be made nullable: it is in the primary key")
        if self._is_native(stored):
            with self.record.step("alter", subject, "nullable"):
                super().drop_not_null(stored.name, column).run()
        else:
            self.edit(
                stored, lambda t: edits.without_not_null(t, column), "alter", subject, "nullable"
            )
        return None

    # Defaults.

    @operation
    def add_column_default(self, table: str, column: str, default: Any) -> None:
        """Set the default: a value, ``SQL('…')``, or, as in playhouse, text that ends in ``)``
        or ``'`` and is SQL already."""
        stored, subject = self.existing_column(table, column)
        wanted = _default_sql(default)
        if has_default(self.definition(stored), column, wanted):
            return self.record.skip(subject, f"default already {wanted}")
        self.edit(
            stored,
            lambda t: edits.with_default(t, column, wanted),
            "alter",
            subject,
            f"default {wanted}",
        )
        return None

    @operation
    def drop_column_default(self, table: str, column: str) -> None:
        if self.lacks(table, column):
            return None
        stored, subject = self.existing_column(table, column)
        if not self.definition(stored).column(column).constraint("DEFAULT"):
            return self.record.skip(subject, "has no default")
        self.edit(
            stored, lambda t: edits.without_default(t, column), "alter", subject, "no default"
        )
        return None

    # Types.

    @operation
    def alter_column_type(
        self, table: str, column: str, field: Field, cast: str | None = None
    ) -> None:
        """Give the column the field's type; ``cast`` is SQL for the values, where they change."""
        stored, subject = self.existing_column(table, column)
        context = self.make_context()
        wanted, _ = context.sql(field.ddl_datatype(context)).query()
        if _normal(self.definition(stored).column(column).type) == _normal(wanted):
            return self.record.skip(subject, f"already {wanted}")
        self.watch.suspect(stored.name, "update", column)
        values = {} if cast is None else {column: cast}
        self.edit(
            stored,
            lambda t: edits.with_type(t, column, wanted),
            "alter",
            subject,
            str(wanted),
            values,
        )
        return None

    # Constraints.

    @operation
    def add_constraint(self, table: str, name: str, constraint: Any) -> None:
        stored = self.existing(table)
        if self.definition(stored).named_constraint(name):
            return self.record.skip(f"{stored.name}.{name}", "already there")
        text, params = self.make_context().sql(constraint).query()
        assert not params, "a constraint has no parameters"
        if self._is_native(stored) and tokens(text)[0].keyword == "CHECK":
            with self.record.step("add", f"{stored.name}.{name}"):
                super().add_constraint(stored.name, name, constraint).run()
        else:
            self._add_constraint(stored, f"CONSTRAINT {quote(name)} {text}", name)
        return None

    @operation
    def add_unique(self, table: str, *column_names: str) -> None:
        stored = self.existing(table)
        name = f"uniq_{'_'.join(column_names)}"
        wanted = {fold(column) for column in column_names}
        definition = self.definition(stored)
        single = definition.column(column_names[0]) if len(wanted) == 1 else None
        if (single and single.constraint("UNIQUE")) or any(
            constraint.kind == "UNIQUE" and definition.subjects(constraint) == wanted
            for constraint in definition.constraints
        ):
            return self.record.skip(f"{stored.name}.{name}", "already there")
        columns = ", ".join(map(quote, column_names))
        self._add_constraint(stored, f"CONSTRAINT {quote(name)} UNIQUE ({columns})", name)
        return None

    @operation
    def drop_constraint(self, table: str, name: str) -> None:
        """By its name; a UNIQUE without one goes by what ``add_unique`` calls it, uniq_a_b."""
        stored = self.existing(table)
        found = _constraint(self.definition(stored), name)
        if found is None:
            return self.record.skip(f"{stored.name}.{name}", "not there")
        if self._is_native(stored) and found.kind == "CHECK":
            with self.record.step("drop", f"{stored.name}.{name}"):
                super().drop_constraint(stored.name, name).run()
            return None

        def without(table_now: CreateTable) -> CreateTable:
            found = _constraint(table_now, name)
            return edits.without_constraint(table_now, found) if found else table_now

        self.edit(stored, without, "drop", f"{stored.name}.{name}")
        return None

    @operation
    def add_foreign_key_constraint(
        self,
        table: str,
        column_name: str,
        rel: str,
        rel_column: str,
        on_delete: str | None = None,
        on_update: str | None = None,
        constraint_name: str | None = None,
        rel_schema: str | None = None,
    ) -> None:
        stored, subject = self.existing_column(table, column_name)
        if _foreign_key(self.definition(stored), column_name):
            for key in introspection.foreign_keys(self.read, stored.name):
                if [fold(c) for c in key.columns] != [fold(column_name)]:
                    continue
                actions = (on_delete or "NO ACTION", on_update or "NO ACTION")
                same = fold(key.parent) == fold(rel)
                if same and (key.on_delete, key.on_update) == tuple(map(str.upper, actions)):
                    return self.record.skip(subject, f"already refers to {key.parent}")
                raise Refused(
                    f"{subject} already refers to '{key.parent}' on delete {key.on_delete} on "
                    f"update {key.on_update}; drop that key first"
                )
            return self.record.skip(subject, "already refers to that")
        dangling = self.read(
            f"SELECT count(*) FROM {quote(stored.name)} AS child WHERE {quote(column_name)} IS NOT "
            f"NULL AND NOT EXISTS (SELECT 1 FROM {quote(rel)} AS parent WHERE "
            f"parent.{quote(rel_column)} = child.{quote(column_name)})"
        ).fetchone()[0]
        if dangling:
            raise Refused(
                f"{subject} can't refer to {rel}.{rel_column}: {_rows(dangling)} a value that is "
                "not there; change those first"
            )
        text = (
            f"CONSTRAINT {quote(constraint_name or f'fk_{table}_{column_name}_refs_{rel}')} "
            f"FOREIGN KEY ({quote(column_name)}) REFERENCES {quote(rel)} ({quote(rel_column)})"
        )
        text += f" ON DELETE {on_delete}" if on_delete else ""
        text += f" ON UPDATE {on_update}" if on_update else ""
        self._add_constraint(stored, text, f"foreign key on {column_name}")
        return None

    @operation
    def drop_foreign_key_constraint(self, table: str, column_name: str) -> None:
        if self.lacks(table, column_name):
            return None
        stored, subject = self.existing_column(table, column_name)
        if not _foreign_key(self.definition(stored), column_name):
            return self.record.skip(subject, "has no foreign key")

        def without(table_now: CreateTable) -> CreateTable:
            key = _foreign_key(table_now, column_name)
            return edits.without_constraint(table_now, key) if key else table_now

        self.edit(stored, without, "drop", f"foreign key on {subject}")
        return None

    def _add_constraint(self, stored: SchemaObject, text: str, name: str) -> None:
        subject = f"{stored.name}.{name}"
        self.edit(stored, lambda t: edits.with_constraint(t, text), "add", subject)

    def _is_native(self, stored: SchemaObject) -> bool:
        """Whether this SQLite can alter NOT NULL and CHECK itself, and no rebuild waits anyway."""
        return self.database.server_version >= (3, 53, 0) and not self.is_pending(stored.name)


def has_default(definition: CreateTable, column: str, wanted: str) -> bool:
    """Whether the column has this SQL as its default, in any spelling."""
    present = definition.column(column).constraint("DEFAULT")
    if present is None:
        return False
    return _normal(" ".join(token.text for token in present.tokens[1:])) == _normal(wanted)


def _normal(text: str) -> str:
    """Blanks and the case of words don't matter; a string does to the letter."""
    return " ".join(t.text if t.kind == "string" else t.text.upper() for t in tokens(text))


def _default_sql(default: Any) -> str:
    if default is None:
        raise Refused("a default must not be None; use drop_column_default")
    if callable(default) and not isinstance(default, SQL):
        default = default()
    if isinstance(default, SQL):
        return str(default.sql)
    if isinstance(default, str) and default.endswith((")", "'")):
        return default if default[0] in "'(" else f"({default})"
    return literal(default)


def _constraint(definition: CreateTable, name: str) -> Constraint | None:
    uniques = {
        fold(f"uniq_{column.name}"): constraint
        for column in definition.columns
        if (constraint := column.constraint("UNIQUE"))
    }
    for constraint in definition.constraints:
        if constraint.kind == "UNIQUE":
            uniques[fold(f"uniq_{'_'.join(constraint.columns)}")] = constraint
    return definition.named_constraint(name) or uniques.get(fold(name))


def _foreign_key(definition: CreateTable, column: str) -> Constraint | None:
    own = definition.column(column).constraint("REFERENCES")
    keys = [
        c
        for c in definition.constraints
        if c.kind == "FOREIGN" and definition.subjects(c) == {fold(column)}
    ]
    return own or (keys[0] if keys else None)


def _rows(count: int) -> str:
    return "1 row has" if count == 1 else f"{count} rows have"
