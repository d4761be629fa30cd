"""Verbs for tables and indexes, and for the migration's own statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from peewee import SQL, Field, Model, Node, ValueLiterals
from peewee import Index as PeeweeIndex
from peewee import Table as PeeweeTable

from guarded.changes import (
    CreateIndex,
    CreateTable,
    DropIndex,
    DropTable,
    RenameTable,
    Statement,
)
from guarded.diff import compare_tables
from guarded.errors import Refused
from guarded.schema import Index, Table
from guarded.steps import Action, Kind, Target, statement
from guarded.steps import column as column_of
from guarded.steps import index as index_of
from guarded.steps import table as table_of
from guarded.verbs import columns
from guarded.verbs.deeds import Deed, Deeds, Skip, So
from guarded.verbs.perform import Look


def create_table(look: Look, model: type[Model]) -> Deeds:
    """Create the model's table and indexes; only missing indexes if there is a table."""
    name = model._meta.table_name
    target = table_of(name)
    if (present := look.table(name)) is not None:
        look.existing(name)
        _refuse_other_table(look, model, present)
        yield Skip(target, "already there", is_so=True)
    else:
        if (taken := look.inspector.relation(name)) is not None:
            raise Refused(
                f"table '{name}' can't be created: the name belongs to {taken.described}; rename "
                "or drop that first"
            )
        yield Deed(Action.CREATE, target, CreateTable(model, name), makes=True)
    for index in _indexes(model):
        sql, doubles = _sql(look, model, index), _doubles(look, index)
        yield from _create_index(look, name, index._name, sql, _of(index), doubles)


def complete_table(look: Look, model: type[Model]) -> Deeds:
    """Give an existing table the columns, defaults and indexes that the model has.

    Drops nothing and changes no other property of a column.
    """
    table = look.existing(model._meta.table_name)
    name, is_complete = table.name, True
    for field in model._meta.sorted_fields:
        column = look.column(table, field.column_name)
        wanted = declared_default(field)
        if column is None:
            is_complete = False
            yield from columns.add_column(look, name, field.column_name, field)
        elif wanted is not None and column.meaning != look.ddl.default(name, column, wanted):
            is_complete = False
            yield from columns.add_column_default(look, name, field.column_name, SQL(wanted))
        elif wanted is not None:
            yield So("add_column_default", column_of(name, column.name))
    for index in _indexes(model):
        sql = _sql(look, model, index)
        doubles = _doubles(look, index)
        for item in _create_index(look, name, index._name, sql, _of(index), doubles):
            if isinstance(item, Deed):
                is_complete = False
                yield item
    if is_complete:
        yield Skip(table_of(name), "complete")


def declared_default(field: Field) -> str | None:
    """The SQL after DEFAULT among the field's constraints."""
    for constraint in field.constraints or ():
        text = getattr(constraint, "sql", "")
        if isinstance(text, str) and text.strip().upper().startswith("DEFAULT"):
            return text.strip()[len("DEFAULT") :].strip()
    return None


def drop_table(
    look: Look, table: str, safe: bool = False, cascade: bool = False, schema: str | None = None
) -> Deeds:
    """Drop the table with its indexes and triggers; refused while anything refers to it."""
    if schema not in (None, "main"):
        raise Refused(f"table '{table}' of schema '{schema}' is out of reach; a run has one schema")
    if cascade:
        raise Refused(
            f"table '{table}': cascade=True is not done; drop what refers to it by a verb"
        )
    found = look.existing(table) if look.table(table) is not None else None
    if found is None:
        look.refuse_view(table)
        yield look.absent(table_of(table))
        return
    change, target = DropTable(found.name), table_of(found.name)
    if why := look.kept(target):
        yield Skip(target, why)
        for index in found.indexes:  # which create_table added to the table that it found
            target = index_of(found.name, index.name)
            if index.sql is not None and look.kept(target) is None:
                yield Deed(Action.DROP, target, DropIndex(found.name, index.name))
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
    if new is not None and (old is None or old.name == new_name):
        yield Skip(table_of(new_name), f"already renamed from {old_name}", is_so=True)
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
    where: Node | None = None,
    nulls_distinct: bool | None = None,
    name: str | None = None,
) -> Deeds:
    from playhouse.migrate import make_index_name

    found = look.existing(table)
    if not columns:
        raise Refused(f"add_index('{table}', …) names no column")
    index_name = name or make_index_name(table, columns)
    names = [look.existing_column(table, column)[1].name for column in columns]
    if "." in found.name:  # playhouse takes it for a schema's name
        parts = [getattr(PeeweeTable(found.name).c, column) for column in names]
        index = PeeweeIndex(index_name, PeeweeTable(found.name), parts, unique, where=where)
        sql = look.sql_of(ValueLiterals(index))
    else:
        described = look.playhouse.add_index(
            table, columns, unique, using, where, nulls_distinct, name=index_name
        )
        context = described.fn(look.playhouse, *described.args, **described.kwargs)
        sql = look.sql_of(context)
    doubles = None
    if unique:
        doubles = look.sql_of(ValueLiterals(where)) if where is not None else ""
    yield from _create_index(look, found.name, index_name, sql, names, doubles, refuses=True)


def drop_index(look: Look, table: str, index_name: str) -> Deeds:
    found = look.existing(table)
    index = next((i for i in found.indexes if look.is_same(i.name, index_name)), None)
    if index is None:
        taken = look.inspector.relation(index_name)
        if taken is not None and taken.kind is Kind.INDEX:
            raise Refused(f"{taken.described} is not of table '{found.name}'; name its own")
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
    look: Look,
    table: str,
    name: str,
    sql: str,
    columns: Sequence[str | None],
    doubles: str | None,
    *,
    refuses: bool = False,
) -> Deeds:
    """``doubles`` is which rows have to differ, None of an index that is not unique; ``refuses``:
    another index of that name is an error, and not only noted."""
    target = index_of(table, name)
    skip = None
    if (found := look.table(table)) is not None:
        skip = _skip(look, look.readable(found), target, sql, columns, refuses)
    if skip is None and found is not None and doubles is not None and None not in columns:
        look.refuse_doubles(found, [str(column) for column in columns], doubles)
    yield skip or Deed(Action.CREATE, target, CreateIndex(table, name, sql), makes=True)


def _skip(
    look: Look,
    table: Table,
    target: Target,
    sql: str,
    columns: Sequence[str | None],
    refuses: bool,
) -> Skip | None:
    """Return a Skip with the reason if the index is not to be created, else None."""
    for column in columns:
        if column is not None and look.column(table, column) is None:
            # SQLite would take the name of a column that is gone for a string.
            return Skip(target, f"{table.name} has no column {column}")
    name = str(target.name)
    by_name = sorted(table.indexes, key=lambda index: not look.is_same(index.name, name))
    for index in by_name:
        is_named = look.is_same(index.name, name)
        # A UNIQUE of the table serves a model; add_index is asked for an index that stays when
        # the constraint goes.
        serves = index.origin == "c" or (index.origin == "u" and not refuses)
        if not is_named and not (serves and _has_columns(look, index, columns)):
            continue
        same = _is_made_by(look, index, table.name, sql)
        if is_named:
            if same:
                return Skip(target, "already there", is_so=True)
            if refuses:
                raise Refused(
                    f"table '{table.name}' has another index '{name}': {index.sql or index}; "
                    f"wanted is {sql}; drop that first, or take another name"
                )
            return Skip(target, f"already there: {index.sql}", is_so=True)
        if same:
            return Skip(target, f"already there as {index.name}", is_so=True)
    if (taken := look.inspector.relation(name)) is not None:
        raise Refused(
            f"index '{name}' can't be created: the name belongs to {taken.described}; rename "
            "or drop that first"
        )
    return None


def _refuse_other_table(look: Look, model: Any, present: Table) -> None:
    """Raise Refused when the model can't work on the table, whatever is added to it later."""
    wanted = look.declared(model)
    broken = [
        difference.sentence
        for difference in compare_tables(wanted, present, look.names.fold)
        if difference.is_breaking and difference.kind != "column"
    ]
    if broken:
        raise Refused(f"{'; '.join(broken)}; change that table first, or take another name")


def _has_columns(look: Look, index: Index, columns: Sequence[str | None]) -> bool:
    """Return True if it is on these columns in this order; None is an expression."""
    names = [
        [look.names.fold(name or "") for name in all_of] for all_of in (index.columns, columns)
    ]
    return names[0] == names[1]


def _is_made_by(look: Look, index: Index, table: str, sql: str) -> bool:
    """Return True if the statement would make the same index, under any name."""
    if index.sql == sql:
        return True
    wanted = look.ddl.index(table, sql)
    return wanted is not None and _shape(index) == _shape(wanted)


def _shape(index: Index) -> tuple[object, ...]:
    return index.unique, index.parts, index.where


def _indexes(model: Any) -> Iterable[Any]:
    return [index for index in model._meta.fields_to_index() if isinstance(index, PeeweeIndex)]


def _doubles(look: Look, index: Any) -> str | None:
    """A condition for the rows that have to differ, empty for all; None where none has to."""
    if not index._unique:
        return None
    return look.sql_of(ValueLiterals(index._where)) if index._where is not None else ""


def _of(index: Any) -> list[str | None]:
    """The columns of the index; None for an expression."""
    return [getattr(part, "column_name", None) for part in index._expressions]


def _sql(look: Look, model: Any, index: Any) -> str:
    with model.bind_ctx(look.playhouse.database, bind_refs=False, bind_backrefs=False):
        return look.sql_of(model._schema._create_index(index, safe=False))
