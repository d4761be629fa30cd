"""Operations of migrations on PostgreSQL.

Calls of verbs are the same as on SQLite; what differs is which of them PostgreSQL can do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.simulator import operations, schema
from tests.simulator.operations import (
    AddColumn,
    Due,
    Operation,
    call,
    uses,
)
from tests.simulator.postgresql.draw import TEXTUAL, WHOLE
from tests.simulator.postgresql.schema import (
    Column,
    Schema,
    Trigger,
)
from tests.simulator.schema import (
    Constraint,
    View,
    named,
    quote,
    speaks_of,
)

ROWS = Any  # tests.simulator.postgresql.reference.Reference


@dataclass(frozen=True)
class DropColumn(operations.DropColumn):
    def is_possible(self, schema: schema.Schema) -> bool:
        table, column = self.of(schema)
        if column.number in table.key:
            return False
        return not set(uses(schema, column.number)) - {"index", "constraint"}

    def lost(self, before: schema.Schema) -> set[str]:
        table, column = self.of(before)
        lost = {"names", "comments"}
        if column.references or any(c.kind == "FOREIGN" for c in table.constraints):
            lost.add(f"keys of {table.name}")
        if column.generated:  # without what is about it
            lost |= {f"constraints of {table.name}", f"indexes of {table.name}"}
        elif not table.key:
            lost.add(f"rows of {table.name}")
        return lost

    def down(self, before: schema.Schema, after: schema.Schema) -> list[str]:
        _, column = self.of(before)
        lines = super().down(before, after)
        return [line.replace(" VIRTUAL", " STORED").replace("AS (", "GENERATED ALWAYS AS (", 1)
                if column.generated else line for line in lines]  # fmt: skip


@dataclass(frozen=True)
class DropTable(operations.DropTable):
    def is_possible(self, schema: schema.Schema) -> bool:
        if any(t.number != self.table for t, _ in schema.children(self.table)):
            return False
        return not any(speaks_of(v.sql, self.table) for v in schema.views)

    def down(self, before: schema.Schema, after: schema.Schema) -> list[str]:
        table = before.table(self.table)
        assert isinstance(before, Schema)
        return super().down(before, after) + [call("sql", sql) for sql in before.comments(table)]

    def lost(self, before: schema.Schema) -> set[str]:
        table = before.table(self.table)
        lost = {"names", "marks"}  # ids that rows have are given out no more
        if any(getattr(c, "identity", "") and c.type not in WHOLE for c in table.columns):
            lost.add(f"columns of {table.name}")
        return lost


@dataclass(frozen=True)
class CreateTable(operations.CreateTable):
    def after(self, schema: schema.Schema) -> schema.Schema:
        made = super().after(schema)
        table = made.table(self.table)
        key = Column(self.key, "id", "INTEGER", not_null=True, identity="SERIAL")
        return made.with_table(replace(table, columns=(key, *table.columns[1:]), spelling=-1))


@dataclass(frozen=True)
class SetType(operations.SetType):
    """``cast`` is SQL for the values; it stays empty where the type takes them as they are."""

    cast: str = ""

    def up(self, schema: schema.Schema) -> list[str]:
        table, column = self.of(schema)
        cast = f", {schema.sql(self.cast)!r}" if self.cast else ""
        return [call("alter_column_type", table.name, column.name, raw=f"Of({self.type!r}){cast}")]

    def after(self, schema: schema.Schema) -> schema.Schema:
        _, column = self.of(schema)
        collate = column.collate if self.type.partition("(")[0] in TEXTUAL else ""
        return schema.with_column(self.table, replace(column, type=self.type, collate=collate))

    def lost(self, before: schema.Schema) -> set[str]:
        table, column = self.of(before)
        lost = {"names"} | ({f"rows of {table.name}"} if self.cast else set())
        if column.collate or column.default:  # whose casts tell the types that it had
            lost.add(f"columns of {table.name}")
        return lost


@dataclass(frozen=True)
class SetDefault(operations.SetDefault):
    def lost(self, before: schema.Schema) -> set[str]:
        table, column = self.of(before)
        return {f"columns of {table.name}"} if getattr(column, "identity", "") else set()


@dataclass(frozen=True)
class AddField(AddColumn):
    """A field of Peewee's; ``value`` is SQL for the rows that are there, if it has one for them."""

    source: str = ""
    value: str = ""

    def up(self, schema: schema.Schema) -> list[str]:
        return [call("add_column", schema.names[self.table], self.new.name, raw=self.source)]

    def due(self, schema: schema.Schema, rows: ROWS) -> Due:
        return Due.DOES


@dataclass(frozen=True)
class AddUnique(Operation):
    def due(self, schema: schema.Schema, rows: ROWS) -> Due:
        return Due.MAY

    def after(self, schema: schema.Schema) -> schema.Schema:
        table, column = self.of(schema)
        new = Constraint(f"uniq_{column.name}", f"UNIQUE ({named(column.number)})")
        return schema.with_table(replace(table, constraints=(*table.constraints, new)))

    def up(self, schema: schema.Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("add_unique", table.name, column.name)]

    def down(self, before: schema.Schema, after: schema.Schema) -> list[str]:
        _, column = self.of(before)
        return [call("drop_constraint", after.names[self.table], f"uniq_{column.name}")]


@dataclass(frozen=True)
class CreateObject(operations.CreateObject):
    """A trigger comes with its function."""

    def up(self, schema: schema.Schema) -> list[str]:
        assert isinstance(schema, Schema)
        made = super().up(schema)
        if isinstance(self.new, Trigger):
            made.insert(0, call("sql", schema.created_function(self.new)))
        return made

    def down(self, before: schema.Schema, after: schema.Schema) -> list[str]:
        if isinstance(self.new, View):
            return super().down(before, after)
        name = quote(self.new.name)
        drop = f"DROP TRIGGER {name} ON {quote(after.names[self.new.table])}"
        return [call("sql", drop), call("sql", f"DROP FUNCTION {name}()")]


@dataclass(frozen=True)
class Raw(Operation):
    """A statement of PostgreSQL's own, and the one that undoes it; ``past`` the migrator."""

    there: str = ""
    back: str = ""
    past: bool = False

    def up(self, schema: schema.Schema) -> list[str]:
        sql = schema.sql(self.there)
        return [f"!db.execute_sql({sql!r})" if self.past else call("sql", sql)]

    def down(self, before: schema.Schema, after: schema.Schema) -> list[str]:
        return [call("sql", after.sql(self.back))]

    def due(self, schema: schema.Schema, rows: ROWS) -> Due:
        return Due.MAY if self.past else Due.DOES
