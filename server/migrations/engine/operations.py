"""The guarded migrator: playhouse's verbs, each of which looks before it acts.

What is so already is a noted skip; what can't be done without losing something is refused with the
names of what stands in the way.  Verbs are used as in playhouse: they describe an operation, and
``migrator.migrate(…)`` runs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import SQL, Index
from playhouse.migrate import make_index_name

from server.migrations.engine import introspection
from server.migrations.engine.alter.alterations import has_default
from server.migrations.engine.alter.columns import Columns, declared_default
from server.migrations.engine.alter.redefinition import operation
from server.migrations.engine.errors import Refused
from server.migrations.engine.introspection import SchemaObject
from server.migrations.engine.record import summary
from server.migrations.engine.sql.names import fold


class GuardedMigrator(Columns):
    """playhouse's SqliteMigrator with guards; one for each run of a migration.

    Here are the verbs for tables and indexes; columns.py and alterations.py have the others.
    """

    # Questions.

    def has_table(self, name: str) -> bool:
        return introspection.has_table(self.read, name)

    def has_index(self, table: str, name: str) -> bool:
        return introspection.has_index(self.read, table, name)

    # Tables.

    @operation
    def create_table(self, model: Any) -> None:
        """Create the model's table and indexes; where the table is there, the missing indexes."""
        table = model._meta.table_name
        self.watch.name(("table", table))
        with model.bind_ctx(self.database, bind_refs=False, bind_backrefs=False):
            if self.has_table(table):
                self.record.skip(table, "already there")
            else:
                with self.creating("table", table):
                    model._schema.create_table(safe=False)
            for index in _indexes(model):
                if why_not := self._why_not(model, index):
                    self.record.skip(index._name, why_not)
                else:
                    self._create_index(model, index)

    @operation
    def complete_table(self, model: Any) -> None:
        """Give an existing table the columns, defaults and indexes that the model has.

        Drops nothing and changes no other property of a column.
        """
        stored = self.existing(model._meta.table_name)
        definition = self.definition(stored)
        lacks: list[Any] = []
        for field in model._meta.sorted_fields:
            name, wanted = field.column_name, declared_default(field)
            if not self.has_column(stored.name, name):
                lacks.append(self.add_column(stored.name, name, field))
            elif wanted is not None and not has_default(definition, name, wanted):
                lacks.append(self.add_column_default(stored.name, name, SQL(wanted)))
        for item in lacks:
            item.run()
        self.settle()
        missing = [index for index in _indexes(model) if self._why_not(model, index) is None]
        with model.bind_ctx(self.database, bind_refs=False, bind_backrefs=False):
            for index in missing:
                self._create_index(model, index)
        if not lacks and not missing:
            self.record.skip(stored.name, "complete")

    @operation
    def drop_table(
        self, table: str, safe: bool = False, cascade: bool = False, schema: str | None = None
    ) -> None:
        """Drop the table with its indexes and triggers; refused while anything refers to it."""
        self.watch.refuse_in_memory(table)
        if not self.has_table(table):
            return self.record.skip(table, "not there")
        if self.is_kept(f"table {table}"):
            return None
        self.settle()
        if children := introspection.children(self.read, table):
            raise Refused(
                f"table '{table}' can't be dropped: {_names('table', children)} refers to it; "
                "drop that foreign key or table first"
            )
        own = introspection.dependents(self.read, table)
        self.watch.name(("table", table), ("mark", table), *((o.kind, o.name) for o in own))
        along = _along([o for o in own if o.kind == "trigger"])
        what = f"table '{table}' can't be dropped"
        with self.refusing_broken(what), self.record.step("drop", table, along):
            super().drop_table(table).run()
        return None

    @operation
    def rename_table(self, old_name: str, new_name: str) -> None:
        self.watch.refuse_in_memory(old_name)
        has_old, has_new = self.has_table(old_name), self.has_table(new_name)
        if not has_old and has_new:
            return self.record.skip(new_name, f"already renamed from {old_name}")
        if has_new and fold(old_name) != fold(new_name):
            raise Refused(f"'{old_name}' can't be renamed: there is a table '{new_name}' too")
        self.existing(old_name)
        self.settle()
        self.name_all_that_mention(old_name)
        self.watch.name(("table", new_name), ("mark", old_name))
        with self.record.step("rename", old_name, f"to {new_name}"):
            super().rename_table(old_name, new_name).run()
        return None

    # Indexes.

    @operation
    def add_index(
        self,
        table: str,
        columns: Sequence[str],
        unique: bool = False,
        using: str | None = None,
        where: Any = None,
        nulls_distinct: bool | None = None,
        name: str | None = None,
    ) -> None:
        index_name = name or make_index_name(table, columns)
        self.settle()
        if why_not := self._has_index(table, index_name, columns, unique, where is not None):
            return self.record.skip(index_name, why_not)
        with self.creating("index", index_name):
            super().add_index(
                table, columns, unique, using, where, nulls_distinct, name=index_name
            ).run()
        return None

    @operation
    def drop_index(self, table: str, index_name: str) -> None:
        self.existing(table)
        found = introspection.find(self.read, index_name, "index")
        if found is None or fold(found.table) != fold(table):
            return self.record.skip(index_name, "not there")
        if found.sql is None:
            raise Refused(
                f"index '{index_name}' belongs to a constraint of '{table}'; drop the constraint"
            )
        if self.is_kept(f"index {index_name}"):
            return None
        self.settle()
        self.drop_own_index(found.name)
        return None

    # Anything else.

    @operation
    def sql(self, sql: str, params: Sequence[Any] | None = None) -> None:
        """One statement of one's own; what it says it writes, drops or alters is meant."""
        self.settle()
        with self.record.changing_rows("run", summary(sql)):
            self.record.made |= self.watch.before(sql, params or (), names=True)
            self.execute_sql(sql, params)

    # Private.

    def _create_index(self, model: Any, index: Any) -> None:
        with self.creating("index", index._name):
            self.database.execute(model._schema._create_index(index, safe=False))

    def _why_not(self, model: Any, index: Any) -> str | None:
        return self._has_index(
            model._meta.table_name,
            index._name,
            [getattr(part, "column_name", None) for part in index._expressions],
            index._unique,
            index._where is not None,
        )

    def _has_index(
        self,
        table: str,
        name: str,
        columns: Sequence[str | None],
        unique: bool,
        partial: bool,
    ) -> str | None:
        """Why there is no use in creating the index; None when there is."""
        stored = self.existing(table)
        for column in columns:
            if column is not None and not self.has_column(table, column):
                # SQLite would take the name of a column that is gone for a string.
                return f"{stored.name} has no column {column}"
        wanted = [column and fold(column) for column in columns]
        for index in introspection.indexes(self.read, stored.name):
            found = [column and fold(column) for column in index.columns]
            is_plain = None not in found and not index.partial and not partial
            same = is_plain and found == wanted and index.unique == bool(unique)
            if fold(index.name) == fold(name):
                return "already there" if same or not is_plain else f"already there: {index.sql}"
            if same and index.origin == "c":
                return f"already there as {index.name}"
        if taken := introspection.find(self.read, name):
            of = f" of table '{taken.table}'" if taken.kind == "index" else ""
            raise Refused(
                f"index '{name}' can't be created: the name belongs to {taken}{of}; rename or drop "
                "that first"
            )
        return None


def _indexes(model: Any) -> list[Any]:
    return [index for index in model._meta.fields_to_index() if isinstance(index, Index)]


def _names(kind: str, names: Sequence[str]) -> str:
    return f"{kind} " + ", ".join(f"'{name}'" for name in names)


def _along(triggers: Sequence[SchemaObject]) -> str:
    return f"with {', '.join(map(str, triggers))}" if triggers else ""
