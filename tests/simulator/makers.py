"""Migrations drawn from a seed: operations, each about one table and column of a schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.simulator.draw import Draw
from tests.simulator.operations import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AddKey,
    CreateObject,
    CreateTable,
    DropColumn,
    DropConstraint,
    DropIndex,
    DropKey,
    DropNotNull,
    DropTable,
    Fill,
    Operation,
    RenameColumn,
    RenameTable,
    SetDefault,
    SetNotNull,
    SetType,
    Statement,
)
from tests.simulator.schema import Column, Constraint, Reference, Schema, Table, named

Maker = Callable[[Any, Any, Any, Any], Operation | None]  # of a draw, schema, table and column


def migrations(
    draw: Any, schema: Schema, makers: Sequence[Maker], lengths: Sequence[int]
) -> tuple[tuple[tuple[Operation, ...], ...], Schema]:
    """Some migrations, and the schema after them; ``lengths`` are those to choose from."""
    found = []
    now, is_over = schema, False
    for _ in range(draw.random.choice((1, 1, 2))):
        operations = []
        for _ in range(draw.random.choice(lengths)):
            made = _operation(draw, now, makers)
            if made is None or (not made.is_possible(now) and draw.chance(0.7)):
                continue
            operations.append(made)
            is_over = not made.is_possible(now)
            if is_over:
                break
            then = made.after(now)
            draw.free = sorted({*draw.free, *now.names.values()} - {*then.names.values()})
            now = then
        if operations:
            found.append(tuple(operations))
        if is_over:
            break
    return tuple(found), now


def _operation(draw: Any, schema: Schema, makers: Sequence[Maker]) -> Operation | None:
    random = draw.random
    if not schema.tables:
        return None
    table = random.choice(schema.tables)
    column = random.choice(table.columns)
    made = random.choice(makers)(draw, schema, table, column)
    return None if made is None else replace(made, joined=draw.chance(0.5))


def _add_column(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    types = (
        ("TEXT", "INTEGER", "REAL", "BLOB")
        if table.strict
        else ("TEXT", "INTEGER", "VARCHAR(80)", "REAL", "NUMERIC")
    )
    new = Column(draw.number(), draw.plain_name(), draw.random.choice(types))
    if draw.chance(0.6):
        new = replace(
            new, default=draw.default(new.type, strict=table.strict), not_null=draw.chance(0.6)
        )
    if draw.chance(0.2):
        new = replace(new, check=f"{named(new.number)} IS NOT 'never'")
    if draw.chance(0.1):
        new = replace(new, collate="NOCASE")
    indexed = draw.random.choice(("", "", "", "index", "unique" if new.default is None else ""))
    if draw.chance(0.3) and not indexed:
        new = replace(new, name=draw.name_again())
    return AddColumn(table.number, new=new, indexed=indexed)


def _drop_column(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    return DropColumn(table.number, column.number)


def _rename_column(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    new = draw.name_again() if draw.chance(0.3) else draw.name()
    return RenameColumn(table.number, column.number, new=new)


def _rename_table(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    new = draw.name_again() if draw.chance(0.3) else draw.name()
    return RenameTable(table.number, new=new)


def set_not_null(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    return SetNotNull(table.number, column.number)


def drop_not_null(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    return DropNotNull(table.number, column.number)


def _set_default(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    default = draw.default(column.type, strict=table.strict) if draw.chance(0.7) else None
    if draw.chance(0.2):
        default = column.default
    return SetDefault(table.number, column.number, default=default)


def _set_type(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    types = (
        ("TEXT", "INT", "REAL", "ANY")
        if table.strict
        else ("TEXT", "BIGINT", "VARCHAR(80)", "REAL", "NUMERIC", "BLOB")
    )
    type_ = column.type if draw.chance(0.1) else draw.random.choice(types)
    return SetType(table.number, column.number, type=type_)


def _fill(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    value = draw.random.choice((draw.value(column.type, strict=table.strict), named(column.number)))
    where = f"{named(column.number)} IS NULL" if draw.chance(0.6) else ""
    return Fill(table.number, column.number, sql=value, where=where)


def _drop_table(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    return DropTable(table.number)


def _create_table(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    numbers = draw.number(), draw.number(), draw.number()
    return CreateTable(numbers[0], name=draw.plain_name(), key=numbers[1], other=numbers[2])


def _add_index(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    unique, partial = draw.chance(0.3), draw.chance(0.3)
    return AddIndex(
        table.number, column.number, name=draw.plain_name(), unique=unique, partial=partial
    )


def drop_index(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    if not table.indexes:
        return None
    return DropIndex(table.number, name=draw.random.choice(table.indexes).name)


def _add_constraint(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation:
    mine = named(column.number)
    sql = (f"CHECK ({mine} IS NOT 'never')", f"CHECK (length({mine}) < 8000 OR {mine} IS NULL)", f"UNIQUE ({mine})",
           f"CHECK ({mine} IS NOT 'a')", f"CHECK ({mine} IS NOT NULL)")  # fmt: skip
    return AddConstraint(
        table.number, column.number, new=Constraint(draw.plain_name(), draw.random.choice(sql))
    )


def _drop_constraint(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    named_ones = [c for c in table.constraints if c.name]
    if not named_ones:
        return None
    return DropConstraint(table.number, name=draw.random.choice(named_ones).name)


def _add_key(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    parents = [(t, c) for t in schema.tables for c in t.columns if t.key == (c.number,)]
    if not parents or column.references or column.generated:
        return None
    parent, to = draw.random.choice(parents)
    actions = draw.random.choice(("", " ON DELETE CASCADE"))
    return AddKey(table.number, column.number, parent=Reference(parent.number, to.number, actions))


def drop_key(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    keyed = [(t, c) for t in schema.tables for c in t.columns if c.references]
    if not keyed:
        return None
    table, column = draw.random.choice(keyed)
    return DropKey(table.number, column.number)


def _statement(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    if column.generated or column.references:
        return None
    value = draw.value(column.type, strict=table.strict)
    here, name = named(table.number), named(column.number)
    sql = (
        f"INSERT OR IGNORE INTO {here} ({name}) VALUES ({value})",
        f"UPDATE OR IGNORE {here} SET {name} = {value} WHERE {name} IS NOT NULL",
        f"DELETE FROM {here} WHERE {name} = {value}",
    )
    kind = draw.random.randrange(3)
    return Statement(
        table.number, column.number, sql=sql[kind], past=kind == 0 and draw.chance(0.5)
    )


def _create_object(draw: Draw, schema: Schema, table: Table, column: Column) -> Operation | None:
    new = draw.view(schema) if draw.chance(0.5) else draw.trigger(schema)
    return None if new is None else CreateObject(table.number, new=new)


MAKERS: tuple[Maker, ...] = (
    _add_column, _add_column, _drop_column, _drop_column, _rename_column, _rename_table, set_not_null,
    drop_not_null, _set_default, _set_default, _set_type, _set_type, _set_type, _fill, _drop_table, _create_table,
    _add_index, drop_index, _add_constraint, _drop_constraint, _add_key, drop_key, _statement, _create_object,
)  # fmt: skip
