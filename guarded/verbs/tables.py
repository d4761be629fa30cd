"""Verbs for tables and indexes, and for the migration's own statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from peewee import SQL
from peewee import Index as PeeweeIndex

from guarded.changes import (
    CreateIndex,
    CreateTable,
    DropIndex,
    DropTable,
    RenameTable,
    Statement,
)
from guarded.errors import Refused
from guarded.schema import Index, Table
from guarded.steps import Action, Kind, statement
from guarded.steps import index as index_of
from guarded.steps import table as table_of
from guarded.verbs import columns
from guarded.verbs.perform import Deed, Deeds, Look, Skip, declared_default


def create_table(look: Look, model: Any) -> Deeds:
    """Create the model's table and indexes; only missing indexes if there is a table."""
    name = model._meta.table_name
    target = table_of(name)
    if look.table(name) is not None:
        yield Skip(target, "already there")
    else:
        yield Deed(Action.CREATE, target, CreateTable(model, name), makes=True)
    for index in _indexes(model):
        yield from _create_index(look, name, index._name, _sql(look, model, index), _of(index))


def complete_table(look: Look, model: Any) -> Deeds:
    """Give an existing table the columns, defaults and indexes that the model has.

    Drops nothing and changes no other property of a column.
    """
    name = look.existing(model._meta.table_name).name
    is_complete = True
    for field in model._meta.sorted_fields:
        column = look.column(look.existing(name), field.column_name)
        wanted = declared_default(field)
        if column is None:
            is_complete = False
            yield from columns.add_column(look, name, field.column_name, field)
        elif wanted is not None and column.meaning != look.names.meaning(wanted):
            is_complete = False
            yield from columns.add_column_default(look, name, field.column_name, SQL(wanted))
    for index in _indexes(model):
        sql = _sql(look, model, index)
        for item in _create_index(look, name, index._name, sql, _of(index)):
            if isinstance(item, Deed):
                is_complete = False
                yield item
    if is_complete:
        yield Skip(table_of(name), "complete")


def drop_table(
    look: Look, table: str, safe: bool = False, cascade: bool = False, schema: str | None = None
) -> Deeds:
    """Drop the table with its indexes and triggers; refused while anything refers to it."""
    found = look.table(table)
    if found is None:
        yield Skip(table_of(table), "not there")
        return
    change, target = DropTable(found.name), table_of(found.name)
    if why := look.kept(target):
        yield Skip(target, why)
        return
    if obstacles := look.ddl.obstacles(change):
        raise Refused(
            f"table '{table}' can't be dropped: {', '.join(obstacles)} refers to it; drop that "
            "foreign key or table first"
        )
    triggers = [t for t in look.ddl.affected(change) if t.kind is Kind.TRIGGER]
    along = f"with {', '.join(f'trigger {t.name!r}' for t in triggers)}" if triggers else ""
    yield Deed(Action.DROP, target, change, along, loses=True)


def rename_table(look: Look, old_name: str, new_name: str) -> Deeds:
    old, new = look.table(old_name), look.table(new_name)
    if old is None and new is not None:
        yield Skip(table_of(new_name), f"already renamed from {old_name}")
        return
    if new is not None and not look.is_same(old_name, new_name):
        raise Refused(f"'{old_name}' can't be renamed: there is a table '{new_name}' too")
    old = look.existing(old_name)
    change = RenameTable(old.name, new_name)
    yield Deed(Action.RENAME, table_of(old.name), change, f"to {new_name}", renamed_to=new_name)


def add_index(
    look: Look,
    table: str,
    columns: Sequence[str],
    unique: bool = False,
    using: str | None = None,
    where: Any = None,
    nulls_distinct: bool | None = None,
    name: str | None = None,
) -> Deeds:
    from playhouse.migrate import make_index_name

    found = look.existing(table)
    index_name = name or make_index_name(table, columns)
    described = look.playhouse.add_index(
        table, columns, unique, using, where, nulls_distinct, name=index_name
    )
    context = described.fn(look.playhouse, *described.args, **described.kwargs)
    yield from _create_index(look, found.name, index_name, look.sql_of(context), columns)


def drop_index(look: Look, table: str, index_name: str) -> Deeds:
    found = look.existing(table)
    index = next((i for i in found.indexes if look.is_same(i.name, index_name)), None)
    if index is None:
        yield Skip(index_of(found.name, index_name), "not there")
        return
    if index.sql is None:
        raise Refused(
            f"index '{index_name}' belongs to a constraint of '{table}'; drop the constraint"
        )
    target = index_of(found.name, index.name)
    if why := look.kept(target):
        yield Skip(target, why)
        return
    yield Deed(Action.DROP, target, DropIndex(found.name, index.name))


def sql(look: Look, sql: str, params: Sequence[Any] | None = None) -> Deeds:
    """Run a statement of your own; what it writes, drops or alters counts as announced."""
    change = Statement(sql, params or ())
    yield Deed(Action.RUN, statement(sql), change, counts=True, is_raw=True)


def _create_index(
    look: Look, table: str, name: str, sql: str, columns: Iterable[str | None]
) -> Deeds:
    target = index_of(table, name)
    found = look.table(table)
    if found is not None and (why_not := _why_not(look, found, name, sql, columns)):
        yield Skip(target, why_not)
    else:
        yield Deed(Action.CREATE, target, CreateIndex(table, name, sql), makes=True)


def _why_not(
    look: Look, table: Table, name: str, sql: str, columns: Iterable[str | None]
) -> str | None:
    """Return why the index is not created; None if it is."""
    for column in columns:
        if column is not None and look.column(table, column) is None:
            # SQLite would take the name of a column that is gone for a string.
            return f"{table.name} has no column {column}"
    wanted = look.ddl.index(table.name, sql)
    for index in table.indexes:
        same = wanted is not None and _shape(index) == _shape(wanted)
        if look.is_same(index.name, name):
            return "already there" if same else f"already there: {index.sql}"
        if same and index.origin == "c":
            return f"already there as {index.name}"
    for target in look.inspector.objects():
        if look.is_same(target.name or target.table, name):
            raise Refused(
                f"index '{name}' can't be created: the name belongs to {target.described}; rename "
                "or drop that first"
            )
    return None


def _shape(index: Index) -> tuple[object, ...]:
    return index.unique, index.parts, index.where


def _indexes(model: Any) -> Iterable[Any]:
    return [index for index in model._meta.fields_to_index() if isinstance(index, PeeweeIndex)]


def _of(index: Any) -> list[str | None]:
    """The columns of the index; None for an expression."""
    return [getattr(part, "column_name", None) for part in index._expressions]


def _sql(look: Look, model: Any, index: Any) -> str:
    with model.bind_ctx(look.playhouse.database, bind_refs=False, bind_backrefs=False):
        return look.sql_of(model._schema._create_index(index, safe=False))
