"""Operations as PostgreSQL's own statements, for the judge."""

from __future__ import annotations

from dataclasses import replace
from functools import singledispatch
from typing import Any

from tests.simulator import operations, schema
from tests.simulator.operations import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AddKey,
    DropConstraint,
    DropIndex,
    DropKey,
    DropNotNull,
    Fill,
    Operation,
    RenameColumn,
    RenameTable,
    SetNotNull,
    Statement,
)
from tests.simulator.postgresql.operations import (
    ROWS,
    AddField,
    AddUnique,
    CreateObject,
    Raw,
    SetDefault,
    SetType,
)
from tests.simulator.postgresql.schema import (
    Trigger,
    without_key,
)
from tests.simulator.schema import (
    Style,
    Table,
    named,
    quote,
)


@singledispatch
def native(one: Operation, schema: Any, rows: ROWS) -> list[str]:
    """Statements that do what the operation has to do."""
    raise NotImplementedError(type(one).__name__)


def _alter(one: Operation, schema: schema.Schema, action: str) -> list[str]:
    return [f"ALTER TABLE {quote(schema.names[one.table])} {action}"]


@native.register
def _(one: AddColumn, schema: Any, rows: ROWS) -> list[str]:
    after = one.after(schema)
    table = after.table(one.table)
    made = _alter(one, schema, f"ADD COLUMN {schema_column(after, table, one.new)}")
    if one.indexed:
        made.append(after.created_index(table, table.indexes[-1]))
    return made


@native.register
def _(one: AddField, schema: Any, rows: ROWS) -> list[str]:
    column = replace(one.new, default=one.value or one.new.default)
    made = _alter(
        one, schema, f"ADD COLUMN {schema_column(schema, schema.table(one.table), column)}"
    )
    if one.value:
        made += _alter(one, schema, f"ALTER COLUMN {quote(column.name)} DROP DEFAULT")
    return made


def schema_column(schema: Any, table: Table, column: schema.Column) -> str:
    return schema._column(without_key(table), column, Style(schema))


@native.register
def _(one: operations.DropColumn, schema: Any, rows: ROWS) -> list[str]:
    return _alter(one, schema, f"DROP COLUMN {quote(schema.names[one.column])}")


@native.register
def _(one: RenameColumn, schema: Any, rows: ROWS) -> list[str]:
    names = f"{quote(schema.names[one.column])} TO {quote(one.new)}"
    return _alter(one, schema, f"RENAME COLUMN {names}")


@native.register
def _(one: RenameTable, schema: Any, rows: ROWS) -> list[str]:
    return _alter(one, schema, f"RENAME TO {quote(one.new)}")


def _alter_column(one: Operation, schema: schema.Schema, action: str) -> list[str]:
    return _alter(one, schema, f"ALTER COLUMN {quote(schema.names[one.column])} {action}")


@native.register
def _(one: SetNotNull, schema: Any, rows: ROWS) -> list[str]:
    return _alter_column(one, schema, "SET NOT NULL")


@native.register
def _(one: DropNotNull, schema: Any, rows: ROWS) -> list[str]:
    return _alter_column(one, schema, "DROP NOT NULL")


@native.register
def _(one: SetDefault, schema: Any, rows: ROWS) -> list[str]:
    action = "DROP DEFAULT" if one.default is None else f"SET DEFAULT {one.default}"
    return _alter_column(one, schema, action)


@native.register
def _(one: SetType, schema: Any, rows: ROWS) -> list[str]:
    _, column = one.of(schema)
    if column.type == one.type:
        return []
    collate = one.of(one.after(schema))[1].collate
    collate = f" COLLATE {collate}" if collate else ""
    using = schema.sql(one.cast) if one.cast else f"{quote(column.name)}::{one.type}"
    return _alter_column(one, schema, f"TYPE {one.type}{collate} USING {using}")


@native.register
def _(one: Fill, schema: Any, rows: ROWS) -> list[str]:
    table, column = one.of(schema)
    where = f" WHERE {schema.sql(one.where)}" if one.where else ""
    update = f"UPDATE {quote(table.name)} SET {quote(column.name)} = {schema.sql(one.sql)}{where}"
    rest = [
        f"ALTER TABLE {quote(table.name)} %s TRIGGER {quote(t.name)}"
        for t in schema.triggers
        if t.table == table.number
    ]
    return [
        *(r % "DISABLE" for r in rest), update, "SET CONSTRAINTS ALL IMMEDIATE", *(r % "ENABLE" for r in rest),
    ]  # fmt: skip


@native.register
def _(one: operations.DropTable, schema: Any, rows: ROWS) -> list[str]:
    return [f"DROP TABLE {quote(schema.names[one.table])}"]


@native.register
def _(one: operations.CreateTable, schema: Any, rows: ROWS) -> list[str]:
    after = one.after(schema)
    table = after.table(one.table)
    return [after.created(table), after.created_index(table, table.indexes[0])]


@native.register
def _(one: AddIndex, schema: Any, rows: ROWS) -> list[str]:
    after = one.after(schema)
    table = after.table(one.table)
    return [] if after is schema else [after.created_index(table, table.indexes[-1])]


@native.register
def _(one: DropIndex, schema: Any, rows: ROWS) -> list[str]:
    return [f"DROP INDEX {quote(one.name)}"]


@native.register
def _(one: AddConstraint, schema: Any, rows: ROWS) -> list[str]:
    return _alter(one, schema, f"ADD CONSTRAINT {quote(one.new.name)} {schema.sql(one.new.sql)}")


@native.register
def _(one: AddUnique, schema: Any, rows: ROWS) -> list[str]:
    table, column = one.of(schema)
    if column.unique or any(
        c.sql.startswith(f"UNIQUE ({named(column.number)})") for c in table.constraints
    ):
        return []
    name = quote(f"uniq_{column.name}")
    return _alter(one, schema, f"ADD CONSTRAINT {name} UNIQUE ({quote(column.name)})")


@native.register
def _(one: DropConstraint, schema: Any, rows: ROWS) -> list[str]:
    return _alter(one, schema, f"DROP CONSTRAINT {quote(one.name)}")


@native.register
def _(one: AddKey, schema: Any, rows: ROWS) -> list[str]:
    new = one.after(schema).table(one.table).constraints[-1]
    return _alter(one, schema, f"ADD CONSTRAINT {quote(new.name)} {schema.sql(new.sql)}")


@native.register
def _(one: DropKey, schema: Any, rows: ROWS) -> list[str]:
    table, column = one.of(schema)
    name = rows.key_name(table.name, column.name)
    return _alter(one, schema, f"DROP CONSTRAINT {quote(name)}")


@native.register
def _(one: Statement, schema: Any, rows: ROWS) -> list[str]:
    return [schema.sql(one.sql)]


@native.register
def _(one: Raw, schema: Any, rows: ROWS) -> list[str]:
    return [schema.sql(one.there)]


@native.register
def _(one: CreateObject, schema: Any, rows: ROWS) -> list[str]:
    if isinstance(one.new, Trigger):
        return [schema.created_function(one.new), schema.created_trigger(one.new)]
    return [schema.created_view(one.new)]
