"""Operations of migrations on PostgreSQL, and the native statements that do the same.

Calls of verbs are the same as on SQLite; what differs is which of them PostgreSQL can do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    Due,
    Fill,
    Operation,
    RenameColumn,
    RenameTable,
    SetNotNull,
    Statement,
    call,
    uses,
)
from tests.simulator.postgresql.draw import TEXTUAL, UNORDERED, VALUES, WHOLE, Draw
from tests.simulator.postgresql.schema import (
    Column,
    Schema,
    Trigger,
    plain_type,
    without_key,
)
from tests.simulator.schema import (
    Constraint,
    Reference,
    Style,
    Table,
    View,
    named,
    quote,
    speaks_of,
    text,
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
        if column.collate:
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


# The same by PostgreSQL's own statements.


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


# Drawing them.


def operation(draw: Draw, schema: schema.Schema) -> Operation | None:
    random = draw.random
    if not schema.tables:
        return None
    table = random.choice(schema.tables)
    column = random.choice(table.columns)
    made = random.choice(MAKERS)(draw, schema, table, column)
    return None if made is None else replace(made, joined=draw.chance(0.5))


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


def _set_not_null(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return SetNotNull(table.number, column.number)


def _drop_not_null(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation:
    return DropNotNull(table.number, column.number)


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


def _drop_index(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    if not table.indexes:
        return None
    return DropIndex(table.number, name=draw.random.choice(table.indexes).name)


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


def _drop_key(draw: Draw, schema: Schema, table: Table, column: Any) -> Operation | None:
    keyed = [(t, c) for t in schema.tables for c in t.columns if c.references]
    if not keyed:
        return None
    table, column = draw.random.choice(keyed)
    return DropKey(table.number, column.number)


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
    _add_column, _add_column, _drop_column, _drop_column, _rename_column, _rename_table, _set_not_null,
    _drop_not_null, _set_default, _set_default, _set_type, _set_type, _set_type, _fill, _drop_table, _create_table,
    _add_index, _drop_index, _add_constraint, _drop_constraint, _add_key, _drop_key, _statement, _create_object,
    _add_unique, _raw, _add_field, _add_field,
)  # fmt: skip
