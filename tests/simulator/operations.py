"""Operations of migrations: as calls of verbs, and as what they have to do to the schema and rows.

An operation knows its subjects by number, so it still makes sense when others are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from tests.simulator.reference import Reference as Rows
from tests.simulator.schema import (
    NAMED,
    Column,
    Constraint,
    Index,
    Reference,
    Schema,
    Table,
    Trigger,
    View,
    named,
    quote,
    speaks_of,
)

HEAD = '''"""A step."""

from peewee import *


class Of(Field):
    def __init__(self, type_, **options):
        self.type_ = type_
        super().__init__(**options)

    def ddl_datatype(self, ctx):
        return SQL(self.type_)
'''

# Stand for a part that is still to be given.
NO_COLUMN, NO_CONSTRAINT = Column(0, ""), Constraint("", "")
NO_PARENT, NO_VIEW = Reference(0, 0), View("", "")


class Due(Enum):
    """What the engine owes to an operation."""

    DOES = "does it"
    MAY = "does it or refuses"
    REFUSES = "refuses"


def call(verb: str, *arguments: object, raw: str = "") -> str:
    inner = ", ".join([*map(repr, arguments), *([raw] if raw else [])])
    return f"migrator.{verb}({inner})"


@dataclass(frozen=True)
class Operation:
    """``table`` and ``column`` are numbers.  ``joined``: in one call of migrate with the one before."""

    table: int
    column: int = 0
    joined: bool = False

    def fits(self, schema: Schema) -> bool:
        is_table = any(t.number == self.table for t in schema.tables)
        return is_table and (not self.column or schema.table(self.table).has(self.column))

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.DOES

    def is_possible(self, schema: Schema) -> bool:
        """False for what no rows would make possible."""
        return True

    def after(self, schema: Schema) -> Schema:
        return schema

    def change(self, rows: Rows) -> None:
        rows.become(self.after(rows.schema))

    def up(self, schema: Schema) -> list[str]:
        raise NotImplementedError

    def down(self, before: Schema, after: Schema) -> list[str]:
        raise NotImplementedError

    def lost(self, before: Schema) -> set[str]:
        """Parts of the sight that ``down`` does not bring back."""
        return set()

    def of(self, schema: Schema) -> tuple[Table, Column]:
        table = schema.table(self.table)
        return table, table.column(self.column)


def uses(schema: Schema, number: int, *, but: str = "") -> list[str]:
    """The kinds of objects that speak of a table or column in their texts."""
    found = ["view" for v in schema.views if speaks_of(v.sql, number)]
    found += ["trigger" for t in schema.triggers if speaks_of(t.sql, number)]
    for table in schema.tables:
        found += ["key" for n in table.key if n == number]
        for column in table.columns:
            if column.number != number and column.check and speaks_of(column.check, number):
                found.append("check")
            if column.generated and speaks_of(column.generated, number):
                found.append("generated")
            if column.references and number in (column.references.column,):
                found.append("child")
        for index in table.indexes:
            if speaks_of(index.parts + index.where, number):
                others = set(NAMED.findall(index.parts + index.where)) - {str(number)}
                found.append("others' index" if others else "index")
        for constraint in table.constraints:
            if speaks_of(constraint.sql, number):
                head = constraint.sql.partition("REFERENCES")[0]
                others = set(NAMED.findall(head)) - {str(number)}
                is_child = not speaks_of(head, number)
                found.append(
                    "child" if is_child else "others' constraint" if others else "constraint"
                )
    return [f for f in found if f != but]


# Columns.


@dataclass(frozen=True)
class AddColumn(Operation):
    new: Column = NO_COLUMN
    indexed: str = ""

    def fits(self, schema: Schema) -> bool:
        return any(t.number == self.table for t in schema.tables)

    def due(self, schema: Schema, rows: Rows) -> Due:
        if self.indexed == "unique" and self.new.default is not None:
            return Due.MAY
        return Due.DOES

    def after(self, schema: Schema) -> Schema:
        table = schema.table(self.table).with_column(self.new)
        if self.indexed:
            name = f"{table.name}_{self.new.name}"
            index = Index(_index_name(name), named(self.new.number), self.indexed == "unique")
            table = replace(table, indexes=(*table.indexes, index))
        return schema.with_table(table)

    def up(self, schema: Schema) -> list[str]:
        options = {"index": "index=True", "unique": "unique=True", "": ""}[self.indexed]
        field = field_of(self.after(schema), self.new, options)
        return [call("add_column", schema.names[self.table], self.new.name, raw=field)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return [call("drop_column", after.names[self.table], self.new.name)]


def _index_name(name: str) -> str:
    from playhouse.migrate import make_index_name

    table, _, column = name.rpartition("_")
    return str(make_index_name(table, [column]))


def field_of(schema: Schema, column: Column, more: str = "", *, nullable: bool = False) -> str:
    """A field that makes the column."""
    parts = []
    if column.default is not None:
        parts.append(f"DEFAULT {column.default}")
    if column.check is not None:
        parts.append(f"CHECK ({schema.sql(column.check)})")
    if column.collate:
        parts.append(f"COLLATE {column.collate}")
    options = [f"null={nullable or not column.not_null}"]
    if parts:
        options.append(f"constraints=[{', '.join(f'SQL({p!r})' for p in parts)}]")
    if more:
        options.append(more)
    return f"Of({column.type!r}, {', '.join(options)})"


@dataclass(frozen=True)
class DropColumn(Operation):
    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.DOES if self.is_possible(schema) else Due.REFUSES

    def is_possible(self, schema: Schema) -> bool:
        table, column = self.of(schema)
        plain = [c for c in table.columns if not c.generated]
        if column.number in table.key or plain == [column]:
            return False
        return not set(uses(schema, column.number)) - {"index", "constraint"}

    def after(self, schema: Schema) -> Schema:
        return schema.with_table(schema.table(self.table).without_column(self.column))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("drop_column", table.name, column.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(before)
        name = after.names[self.table]
        if column.generated is not None:
            kind = "STORED" if column.stored else "VIRTUAL"
            sql = f"AS ({before.sql(column.generated)}) {kind}"
            field = f"Of({column.type!r}, null=True, constraints=[SQL({sql!r})])"
            return [call("add_column", name, column.name, raw=field)]
        made = replace(column, check=None)
        lines = [call("add_column", name, column.name, raw=field_of(before, made, nullable=True))]
        if column.not_null:
            lines.append(call("add_not_null", name, column.name))
        if column.check is not None:
            lines.append(
                call(
                    "add_constraint",
                    name,
                    f"again_{self.column}",
                    raw=f"Check({before.sql(column.check)!r})",
                )
            )
        if column.unique:
            lines.append(call("add_unique", name, column.name))
        if (parent := column.references) is not None:
            lines.append(_key_call(before, name, column, parent))
        for constraint in table.constraints:
            if speaks_of(constraint.sql.partition("REFERENCES")[0], self.column):
                if constraint.kind == "FOREIGN":
                    numbers = [int(n) for n in NAMED.findall(constraint.sql)]
                    actions = constraint.sql.rpartition(")")[2]
                    lines.append(
                        _key_call(before, name, column, Reference(numbers[1], numbers[2], actions))
                    )
                else:
                    sql = before.sql(constraint.sql)
                    lines.append(
                        call(
                            "add_constraint",
                            name,
                            constraint.name or f"again_{self.column}_2",
                            raw=f"SQL({sql!r})",
                        )
                    )
        for index in table.indexes:
            if speaks_of(index.parts + index.where, self.column):
                lines.append(call("sql", before.created_index(replace(table, name=name), index)))
        return lines

    def lost(self, before: Schema) -> set[str]:
        table, column = self.of(before)
        # A key that takes NULL does not tell every row, and a deferred key comes back at once.
        lost = set()
        if column.references or any(c.kind == "FOREIGN" for c in table.constraints):
            lost.add(f"keys of {table.name}")
        if not table.key and not column.generated:
            lost.add(f"rows of {table.name}")
            lost.add("views")
        elif table.alias is None and not table.without_rowid:
            lost.add(f"null keys of {table.name}")
        if column.conflict:
            lost.add(f"conflicts of {table.name}")
        return lost


def _key_call(schema: Schema, table: str, column: Column, parent: Reference) -> str:
    words = parent.actions
    delete = next((w for w in ("CASCADE", "SET NULL") if f"ON DELETE {w}" in words), None)
    update = "CASCADE" if "ON UPDATE CASCADE" in words else None
    return call(
        "add_foreign_key_constraint", table, column.name, schema.names[parent.table],
        schema.names[parent.column], delete, update,
    )  # fmt: skip


@dataclass(frozen=True)
class RenameColumn(Operation):
    new: str = ""

    def after(self, schema: Schema) -> Schema:
        _, column = self.of(schema)
        return schema.with_column(self.table, replace(column, name=self.new))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("rename_column", table.name, column.name, self.new)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        _, column = self.of(before)
        return [call("rename_column", after.names[self.table], self.new, column.name)]


@dataclass(frozen=True)
class SetNotNull(Operation):
    def due(self, schema: Schema, rows: Rows) -> Due:
        table, column = self.of(schema)
        if column.not_null:
            return Due.DOES
        sql = f"SELECT count(*) FROM {quote(table.name)} WHERE {quote(column.name)} IS NULL"
        if rows.connection.execute(sql).fetchone()[0]:
            return Due.REFUSES
        return Due.MAY if column.generated or column.number in table.key else Due.DOES

    def after(self, schema: Schema) -> Schema:
        return schema.with_column(self.table, replace(self.of(schema)[1], not_null=True))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("add_not_null", table.name, column.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        return [call("drop_not_null", table.name, column.name)]


@dataclass(frozen=True)
class DropNotNull(Operation):
    def due(self, schema: Schema, rows: Rows) -> Due:
        table, column = self.of(schema)
        if column.number in table.key:
            is_never_null = table.without_rowid or (table.strict and not table.alias)
            return Due.REFUSES if is_never_null else Due.MAY
        return Due.DOES

    def after(self, schema: Schema) -> Schema:
        _, column = self.of(schema)
        return schema.with_column(self.table, replace(column, not_null=False, conflict=""))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("drop_not_null", table.name, column.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        return [call("add_not_null", table.name, column.name)]

    def lost(self, before: Schema) -> set[str]:
        table, column = self.of(before)
        return {f"conflicts of {table.name}"} if column.conflict else set()


@dataclass(frozen=True)
class SetDefault(Operation):
    """``default`` is SQL; None drops it."""

    default: str | None = None

    def due(self, schema: Schema, rows: Rows) -> Due:
        table, column = self.of(schema)
        return Due.MAY if column.generated or column.number in table.key else Due.DOES

    def after(self, schema: Schema) -> Schema:
        return schema.with_column(self.table, replace(self.of(schema)[1], default=self.default))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [_default_call(table.name, column.name, self.default)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        old = self.of(before)[1].default
        if old == self.default:  # it was so before, and stays
            old = "'other'" if old is None else None
        return [_default_call(table.name, column.name, old)]


def _default_call(table: str, column: str, default: str | None) -> str:
    if default is None:
        return call("drop_column_default", table, column)
    return call("add_column_default", table, column, raw=f"SQL({default!r})")


@dataclass(frozen=True)
class SetType(Operation):
    type: str = "TEXT"

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.MAY

    def after(self, schema: Schema) -> Schema:
        return schema.with_column(self.table, replace(self.of(schema)[1], type=self.type))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("alter_column_type", table.name, column.name, raw=f"Of({self.type!r})")]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        old = self.of(before)[1].type
        if old == self.type:  # it was so before, and stays
            old = "TEXT" if old != "TEXT" else "INT"
        return [call("alter_column_type", table.name, column.name, raw=f"Of({old!r})")]


@dataclass(frozen=True)
class Fill(Operation):
    """``sql`` and ``where`` are of this column."""

    sql: str = "NULL"
    where: str = ""

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.MAY

    def change(self, rows: Rows) -> None:
        table, column = self.of(rows.schema)
        where = f" WHERE {rows.schema.sql(self.where)}" if self.where else ""
        value = rows.schema.sql(self.sql)
        rows.without_triggers(
            f"UPDATE {quote(table.name)} SET {quote(column.name)} = {value}{where}"
        )

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        where = f", where={schema.sql(self.where)!r}" if self.where else ""
        return [call("fill", table.name, column.name, raw=f"{schema.sql(self.sql)!r}{where}")]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return []

    def lost(self, before: Schema) -> set[str]:
        return {f"rows of {before.names[self.table]}", "views"}


# Tables.


@dataclass(frozen=True)
class RenameTable(Operation):
    new: str = ""

    def after(self, schema: Schema) -> Schema:
        return schema.with_table(replace(schema.table(self.table), name=self.new))

    def up(self, schema: Schema) -> list[str]:
        return [call("rename_table", schema.names[self.table], self.new)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return [call("rename_table", self.new, before.names[self.table])]


@dataclass(frozen=True)
class DropTable(Operation):
    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.DOES if self.is_possible(schema) else Due.REFUSES

    def is_possible(self, schema: Schema) -> bool:
        if any(t.number != self.table for t, _ in schema.children(self.table)):
            return False
        others = [
            t for t in schema.triggers if t.table != self.table and speaks_of(t.sql, self.table)
        ]
        return not others and not any(speaks_of(v.sql, self.table) for v in schema.views)

    def after(self, schema: Schema) -> Schema:
        return schema.without_table(self.table)

    def up(self, schema: Schema) -> list[str]:
        return [call("drop_table", schema.names[self.table])]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table = before.table(self.table)
        lines = [before.created(table), *(before.created_index(table, i) for i in table.indexes)]
        lines += [before.created_trigger(t) for t in before.triggers if t.table == self.table]
        return [call("sql", sql) for sql in lines]

    def lost(self, before: Schema) -> set[str]:
        table = before.table(self.table)
        lost = {f"id mark of {table.name}"}
        if table.alias is None and not table.without_rowid:
            lost |= {f"rowids of {table.name}"}
        return lost


@dataclass(frozen=True)
class CreateTable(Operation):
    """A table of a model's: an id and one more column."""

    name: str = ""
    key: int = 0
    other: int = 0

    def fits(self, schema: Schema) -> bool:
        return True

    def after(self, schema: Schema) -> Schema:
        columns = (
            Column(self.key, "id", "INTEGER", not_null=True),
            Column(self.other, "word", "TEXT"),
        )
        index = Index(f"ix_{self.name}", named(self.other))
        table = Table(self.table, self.name, columns, (self.key,), indexes=(index,))
        return schema.with_table(table)

    def up(self, schema: Schema) -> list[str]:
        meta = f"type('Meta', (), {{'table_name': {self.name!r}}})"
        model = f"type('M', (Model,), {{'word': TextField(null=True), 'Meta': {meta}}})"
        index = call("add_index", self.name, raw=f"('word',), name='ix_{self.name}'")
        return [call("create_table", raw=model), index]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return [call("drop_table", after.names[self.table])]


# Indexes and constraints.


@dataclass(frozen=True)
class AddIndex(Operation):
    name: str = ""
    unique: bool = False
    partial: bool = False

    def due(self, schema: Schema, rows: Rows) -> Due:
        table, column = self.of(schema)
        # One that does the same may be there under another name.
        return Due.MAY if self.unique or table.indexes or column.unique else Due.DOES

    def after(self, schema: Schema) -> Schema:
        table, column = self.of(schema)
        new = Index(self.name, named(column.number), self.unique, self._where(column))
        if any(self._does(index, table) == self._does(new, table) for index in table.indexes):
            return schema
        return schema.with_table(replace(table, indexes=(*table.indexes, new)))

    def _does(self, index: Index, table: Table) -> tuple[str, bool, str]:
        """All but its name.  An index has its column's collation without being told."""
        parts = index.parts
        for column in table.columns:
            mine = named(column.number)
            parts = parts.replace(f"{mine} COLLATE {column.collate or 'BINARY'}", mine)
        return parts, index.unique, index.where

    def _where(self, column: Column) -> str:
        return f"{named(column.number)} IS NOT NULL" if self.partial else ""

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        raw = f"({column.name!r},), unique={self.unique}, name={self.name!r}"
        if self.partial:
            raw += f", where=SQL({schema.sql(self._where(column))!r})"
        return [call("add_index", table.name, raw=raw)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return [call("drop_index", after.names[self.table], self.name)]


@dataclass(frozen=True)
class DropIndex(Operation):
    name: str = ""

    def fits(self, schema: Schema) -> bool:
        return super().fits(schema) and any(
            i.name == self.name for i in schema.table(self.table).indexes
        )

    def due(self, schema: Schema, rows: Rows) -> Due:
        # A foreign key can refer to what a UNIQUE index makes unique.
        index = next(i for i in schema.table(self.table).indexes if i.name == self.name)
        return Due.MAY if index.unique else Due.DOES

    def after(self, schema: Schema) -> Schema:
        table = schema.table(self.table)
        return schema.with_table(
            replace(table, indexes=tuple(i for i in table.indexes if i.name != self.name))
        )

    def up(self, schema: Schema) -> list[str]:
        return [call("drop_index", schema.names[self.table], self.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table = before.table(self.table)
        index = next(i for i in table.indexes if i.name == self.name)
        return [call("sql", after.created_index(after.table(self.table), index))]


@dataclass(frozen=True)
class AddConstraint(Operation):
    new: Constraint = NO_CONSTRAINT

    def due(self, schema: Schema, rows: Rows) -> Due:
        table = schema.table(self.table)
        if self.new.kind == "UNIQUE":
            return Due.MAY
        sql = f"SELECT count(*) FROM {quote(table.name)} WHERE NOT {schema.sql(self.new.sql[6:])}"
        return Due.REFUSES if rows.connection.execute(sql).fetchone()[0] else Due.DOES

    def after(self, schema: Schema) -> Schema:
        table = schema.table(self.table)
        return schema.with_table(replace(table, constraints=(*table.constraints, self.new)))

    def up(self, schema: Schema) -> list[str]:
        raw = f"SQL({schema.sql(self.new.sql)!r})"
        return [call("add_constraint", schema.names[self.table], self.new.name, raw=raw)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return [call("drop_constraint", after.names[self.table], self.new.name)]


@dataclass(frozen=True)
class DropConstraint(Operation):
    name: str = ""

    def fits(self, schema: Schema) -> bool:
        return super().fits(schema) and any(
            c.name == self.name for c in schema.table(self.table).constraints
        )

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.MAY if self._constraint(schema).kind == "UNIQUE" else Due.DOES

    def _constraint(self, schema: Schema) -> Constraint:
        return next(c for c in schema.table(self.table).constraints if c.name == self.name)

    def after(self, schema: Schema) -> Schema:
        table = schema.table(self.table)
        kept = tuple(c for c in table.constraints if c.name != self.name)
        return schema.with_table(replace(table, constraints=kept))

    def up(self, schema: Schema) -> list[str]:
        return [call("drop_constraint", schema.names[self.table], self.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        sql = after.sql(self._constraint(before).sql)
        return [call("add_constraint", after.names[self.table], self.name, raw=f"SQL({sql!r})")]


@dataclass(frozen=True)
class AddKey(Operation):
    parent: Reference = NO_PARENT

    def fits(self, schema: Schema) -> bool:
        parent = self.parent
        if not (super().fits(schema) and schema.has(parent.table) and schema.has(parent.column)):
            return False
        keys = (c for c in schema.table(self.table).constraints if c.kind == "FOREIGN")
        return not any(speaks_of(k.sql.partition("REFERENCES")[0], self.column) for k in keys)

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.MAY

    def after(self, schema: Schema) -> Schema:
        table, column = self.of(schema)
        parent = self.parent
        name = f"fk_{table.name}_{column.name}_refs_{schema.names[parent.table]}"
        sql = f"FOREIGN KEY ({named(column.number)}) REFERENCES {named(parent.table)} ({named(parent.column)}){parent.actions}"
        return schema.with_table(
            replace(table, constraints=(*table.constraints, Constraint(name, sql)))
        )

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [_key_call(schema, table.name, column, self.parent)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        return [call("drop_foreign_key_constraint", table.name, column.name)]


@dataclass(frozen=True)
class DropKey(Operation):
    def fits(self, schema: Schema) -> bool:
        return super().fits(schema) and self.of(schema)[1].references is not None

    def after(self, schema: Schema) -> Schema:
        return schema.with_column(self.table, replace(self.of(schema)[1], references=None))

    def up(self, schema: Schema) -> list[str]:
        table, column = self.of(schema)
        return [call("drop_foreign_key_constraint", table.name, column.name)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        table, column = self.of(after)
        parent = self.of(before)[1].references
        assert parent is not None
        return [_key_call(before, table.name, column, parent)]

    def lost(self, before: Schema) -> set[str]:
        return {f"keys of {before.names[self.table]}"}  # DEFERRABLE


# Statements of the migration's own.


@dataclass(frozen=True)
class Statement(Operation):
    """A row written with all triggers, by ``migrator.sql`` or past the migrator."""

    sql: str = ""
    past: bool = False

    def due(self, schema: Schema, rows: Rows) -> Due:
        return Due.MAY

    def change(self, rows: Rows) -> None:
        rows.execute(rows.schema.sql(self.sql))

    def up(self, schema: Schema) -> list[str]:
        sql = schema.sql(self.sql)
        return [f"!db.execute_sql({sql!r})" if self.past else call("sql", sql)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        return []

    def lost(self, before: Schema) -> set[str]:
        return {"all rows"}


@dataclass(frozen=True)
class CreateObject(Operation):
    """A view or trigger."""

    new: View | Trigger = NO_VIEW

    def fits(self, schema: Schema) -> bool:
        return all(schema.has(int(n)) for n in NAMED.findall(self.new.sql))

    def after(self, schema: Schema) -> Schema:
        if isinstance(self.new, View):
            return replace(schema, views=(*schema.views, self.new))
        return replace(schema, triggers=(*schema.triggers, self.new))

    def up(self, schema: Schema) -> list[str]:
        new = self.new
        sql = schema.created_view(new) if isinstance(new, View) else schema.created_trigger(new)
        return [call("sql", sql)]

    def down(self, before: Schema, after: Schema) -> list[str]:
        kind = "VIEW" if isinstance(self.new, View) else "TRIGGER"
        return [call("sql", f"DROP {kind} {quote(self.new.name)}")]
