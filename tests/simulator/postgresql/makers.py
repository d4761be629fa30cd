"""Operations drawn from a seed, each about one table and column of a schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from tests.simulator.makers import drop_index, drop_key, drop_not_null, set_not_null
from tests.simulator.operations import (
    AddColumn,
    AddConstraint,
    AddIndex,
    AddKey,
    DropConstraint,
    Fill,
    Operation,
    RenameColumn,
    RenameTable,
    Statement,
)
from tests.simulator.postgresql.draw import TEXTUAL, UNORDERED, VALUES, Draw
from tests.simulator.postgresql.operations import (
    AddField,
    AddUnique,
    CreateObject,
    CreateTable,
    DropColumn,
    DropTable,
    Raw,
    SetDefault,
    SetType,
)
from tests.simulator.postgresql.schema import (
    Column,
    Schema,
    plain_type,
)
from tests.simulator.schema import (
    Constraint,
    Reference,
    Table,
    named,
    quote,
    text,
)


def _add_column(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    new = Column(draw.number(), draw.plain_name(), draw.type())
    if draw.chance(0.6):
        new = replace(new, default=draw.default(new.type), not_null=draw.chance(0.6))
    if draw.chance(0.2):
        new = replace(new, check=draw.check(new))
    if draw.chance(0.1) and plain_type(new) in TEXTUAL:
        new = replace(new, collate='"C"')
    indexed = draw.random.choice(("", "", "", "index", "unique" if new.default is None else ""))
    return AddColumn(table.number, new=new, indexed="" if plain_type(new) in UNORDERED else indexed)


def _add_field(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    source, type_, default, value = draw.random.choice(FIELDS)
    new = Column(draw.number(), draw.plain_name(), type_, bool(default or value), default or None)
    return AddField(table.number, new=new, source=source, value=value)


def _drop_column(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return DropColumn(table.number, column.number)


def _rename_column(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return RenameColumn(table.number, column.number, new=draw.name())


def _rename_table(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return RenameTable(table.number, new=draw.name())


def _set_default(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    identity = getattr(column, "identity", "")
    if column.generated or identity not in ("", "SERIAL"):
        return None
    default = draw.default(column.type) if draw.chance(0.7) or identity else None
    return SetDefault(table.number, column.number, default=default)


def _set_type(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    bare = plain_type(column)
    near = next((family for family in FAMILIES if bare in family), ("TEXT", "VARCHAR(255)"))
    type_ = draw.random.choice(near if draw.chance(0.8) else tuple(VALUES))
    cast = ""
    if draw.chance(0.2) and not column.generated:
        cast = f"NULLIF({named(column.number)}::text, '')::{type_}"
    return SetType(table.number, column.number, type=type_, cast=cast)


def _fill(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    value = draw.random.choice((draw.value(column.type), named(column.number)))
    where = f"{named(column.number)} IS NULL" if draw.chance(0.6) else ""
    return Fill(table.number, column.number, sql=value, where=where)


def _drop_table(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return DropTable(table.number)


def _create_table(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    numbers = draw.number(), draw.number(), draw.number()
    return CreateTable(numbers[0], name=draw.plain_name(), key=numbers[1], other=numbers[2])


def _add_index(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    if plain_type(column) in UNORDERED:
        return None
    unique, partial = draw.chance(0.3), draw.chance(0.3)
    return AddIndex(
        table.number, column.number, name=draw.plain_name(), unique=unique, partial=partial
    )


def _add_constraint(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    sql = f"CHECK ({draw.check(column)})"
    if draw.chance(0.25) and plain_type(column) not in UNORDERED:
        sql = f"UNIQUE ({named(column.number)})"
    return AddConstraint(table.number, column.number, new=Constraint(draw.plain_name(), sql))


def _add_unique(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    return None if plain_type(column) in UNORDERED else AddUnique(table.number, column.number)


def _drop_constraint(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    if not table.constraints:
        return None
    return DropConstraint(table.number, name=draw.random.choice(table.constraints).name)


def _add_key(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    parents = [(t, c) for t in schema.tables for c in t.columns if t.key == (c.number,)]
    same = [(t, c) for t, c in parents if c.type == column.type]
    parents = same or (parents if draw.chance(0.1) else [])
    if not parents or column.references or column.generated:
        return None
    parent, to = draw.random.choice(parents)
    actions = draw.random.choice(("", " ON DELETE CASCADE"))
    return AddKey(table.number, column.number, parent=Reference(parent.number, to.number, actions))


def _statement(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    if column.generated or column.references:
        return None
    value, here, name = draw.value(column.type), named(table.number), named(column.number)
    sql = (
        f"INSERT INTO {here} ({name}) VALUES ({value}) ON CONFLICT DO NOTHING",
        f"UPDATE {here} SET {name} = {value} WHERE {name} IS NOT NULL",
        f"DELETE FROM {here} WHERE {name}::text = {value}::text",
    )
    kind = draw.random.randrange(3)
    return Statement(
        table.number, column.number, sql=sql[kind], past=kind == 0 and draw.chance(0.5)
    )


def _create_object(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    new = draw.view(schema) if draw.chance(0.5) else draw.trigger(schema)
    return None if new is None else CreateObject(table.number, new=new)


def _raw(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    here, mine, new = named(table.number), named(column.number), quote(draw.name())
    old = "NULL" if not column.comment else text(column.comment)
    ways = (
        (f"COMMENT ON COLUMN {here}.{mine} IS 'new'", f"COMMENT ON COLUMN {here}.{mine} IS {old}"),
        (f"COMMENT ON TABLE {here} IS 'about'", f"COMMENT ON TABLE {here} IS NULL"),
        (f"ALTER TABLE {here} SET (fillfactor = 70)", f"ALTER TABLE {here} RESET (fillfactor)"),
        (f"CREATE SEQUENCE {new} START 7", f"DROP SEQUENCE {new}"),
        (f"CREATE TYPE {new} AS ENUM ('a', 'b')", f"DROP TYPE {new}"),
        (
            f"CREATE STATISTICS {new} ON {mine}, ({mine}::text || 'x') FROM {here}",
            f"DROP STATISTICS {new}",
        ),
        (
            f"CREATE MATERIALIZED VIEW {new} AS SELECT count(*) AS n FROM {here}",
            f"DROP MATERIALIZED VIEW {new}",
        ),
        (
            f"ALTER TABLE {here} REPLICA IDENTITY FULL",
            f"ALTER TABLE {here} REPLICA IDENTITY DEFAULT",
        ),
        (
            f"CREATE RULE {new} AS ON DELETE TO {here} DO ALSO SELECT 1",
            f"DROP RULE {new} ON {here}",
        ),
        (f"CREATE TABLE {new} (id serial PRIMARY KEY, a text)", f"DROP TABLE {new}"),
    )
    there, back = draw.random.choice(ways)
    return Raw(
        table.number,
        column.number,
        there=there,
        back=back,
        past=draw.chance(0.2) and there.startswith("CREATE"),
    )


# A field, its type, its default, and what rows that are older get.
FIELDS = (
    ("CharField(default='x')", "VARCHAR(255)", "'x'", ""),
    ("TextField(null=True, default='only new')", "TEXT", "", ""),
    ("BooleanField(default=False)", "BOOLEAN", "FALSE", ""),
    ("BooleanField(constraints=[Default(1)])", "BOOLEAN", "TRUE", ""),
    ("IntegerField(default=-5)", "INTEGER", "-5", ""),
    ("BigIntegerField(default=lambda: 9223372036854775807)", "BIGINT", "", "9223372036854775807"),
    ("FloatField(default=0.1)", "REAL", "0.1", ""),
    ("DecimalField(max_digits=8, decimal_places=2, null=True)", "NUMERIC(8, 2)", "", ""),
    ("DateTimeField(null=True)", "TIMESTAMPTZ", "", ""),
    ("DateTimeField(constraints=[SQL('DEFAULT CURRENT_TIMESTAMP')])", "TIMESTAMPTZ", "CURRENT_TIMESTAMP", ""),
    ("UUIDField(null=True)", "UUID", "", ""),
    ("BlobField(default=lambda: b'a')", "BYTEA", "", "'\\x61'"),
    ("CharField(max_length=10, default=lambda: \"it's\")", "VARCHAR(10)", "", "'it''s'"),
)  # fmt: skip
# Types that take most values of each other.
FAMILIES = (
    ("SMALLINT", "INTEGER", "BIGINT", "NUMERIC", "NUMERIC(8, 2)", "REAL", "DOUBLE PRECISION", "TEXT"),
    ("TEXT", "VARCHAR", "VARCHAR(255)", "VARCHAR(10)", "CHAR(5)", "CHAR"),
    ("TIMESTAMPTZ", "TIMESTAMP", "DATE", "TEXT"),
    ("JSON", "JSONB", "TEXT"),
)  # fmt: skip
MAKERS: tuple[Callable[[Draw, Any, Table, Any], Operation | None], ...] = (
    _add_column, _add_column, _drop_column, _drop_column, _rename_column, _rename_table, set_not_null,
    drop_not_null, _set_default, _set_default, _set_type, _set_type, _set_type, _fill, _drop_table, _create_table,
    _add_index, drop_index, _add_constraint, _drop_constraint, _add_key, drop_key, _statement, _create_object,
    _add_unique, _raw, _add_field, _add_field,
)  # fmt: skip
