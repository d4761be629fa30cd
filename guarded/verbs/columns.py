"""Verbs for columns.  They write no row where the database does not need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from peewee import SQL, Field, ForeignKeyField

from guarded.changes import (
    AddColumn,
    DropColumn,
    DropDefault,
    DropIndex,
    DropNotNull,
    Fill,
    FillEach,
    RenameColumn,
    SetDefault,
    SetNotNull,
    SetType,
)
from guarded.errors import Refused, RowsDoNotFit, nearest
from guarded.schema import Column, ForeignKey, Table
from guarded.steps import Action, Kind, Target
from guarded.steps import column as column_of
from guarded.verbs import fields, tables
from guarded.verbs.deeds import Deed, Deeds, Skip, So, unique_name
from guarded.verbs.perform import Look


def add_column(
    look: Look, table: str, column_name: str, field: Field, allow_not_null: bool = False
) -> Deeds:
    """Add the column, without writing a row where possible: also NOT NULL with a constant.

    The Python default of a NOT NULL field becomes the column's default, so that existing rows have
    a value.  A callable is called once for all of them, or once for each if the field is unique.
    """
    found = look.existing(table)
    target = column_of(found.name, column_name)
    field = fields.with_parent(field.clone())
    field.name = field.column_name = column_name
    present = look.column(found, column_name)
    if present is not None:
        _refuse_other(look, found, present, field)
        yield Skip(target, "already there", is_so=True)
        yield from _all_found(found, present)
        yield from _missing_index(look, found, present, field)
        return
    if field.primary_key:
        raise Refused(f"{target} is a primary key, which only a new table gets")
    value, each = None, None
    if not field.null and tables.declared_default(field) is None and not allow_not_null:
        if field.default is None:
            if look.has_rows(found):
                raise RowsDoNotFit(f"{target} is not null but has no default; give the field one")
        elif not callable(field.default):
            default = SQL(f"DEFAULT {fields.value_of(look, field, field.default)}")
            field.constraints = [*(field.constraints or []), default]
        elif field.unique:
            each = field.default
        else:
            value = fields.value_of(look, field, field.default())
    if field.unique and each is None and not field.null:
        _refuse_shared(look, found, target)
    field.null = field.null or each is not None
    definition = fields.column_definition(look, field)
    change = AddColumn(found.name, column_name, definition, value)
    yield Deed(Action.ADD, target, change, makes=True)
    if each is not None:
        yield _fill_each(look, target, field, each)
        yield Deed(Action.ALTER, target, SetNotNull(found.name, column_name), "not null")
    if field.index or field.unique:
        yield from tables.add_index(
            look, found.name, (column_name,), field.unique, field.index_type
        )


def _missing_index(look: Look, table: Table, present: Column, field: Field) -> Deeds:
    """Create the index that the field asks for, where no index has its place."""
    parts = (look.names.fold(present.name),)
    has_one = any(
        index.parts == parts and not index.where and (index.unique or not field.unique)
        for index in table.indexes
    )
    if (field.index or field.unique) and not has_one and table.key != (present.name,):
        yield from tables.add_index(
            look, table.name, (present.name,), field.unique, field.index_type
        )


def _refuse_shared(look: Look, table: Table, target: Target) -> None:
    """Raise RowsDoNotFit where all rows would have one value in a column that is to be unique."""
    if (rows := look.rows.count(table.name)) > 1:
        raise RowsDoNotFit(
            f"{target} can't be unique: {rows} rows would share its default; give the field a "
            "default that is called, or add the column first and make it unique later"
        )


def _all_found(table: Table, column: Column) -> Iterator[So]:
    """Everything about a column that is there already is older than the migration."""
    target = column_of(table.name, column.name)
    yield So("drop_not_null" if column.nullable else "add_not_null", target)
    yield So("alter_column_type", target)
    if column.default is not None:
        yield So("add_column_default", target)
    if any(key.columns == (column.name,) for key in table.foreign_keys):
        yield So("add_foreign_key_constraint", target)
    if any(i.origin == "u" and i.columns == (column.name,) for i in table.indexes):
        yield So("add_unique", Target(Kind.CONSTRAINT, table.name, unique_name([column.name])))


def drop_column(
    look: Look, table: str, column_name: str, cascade: bool = True, legacy: bool = False
) -> Deeds:
    """Drop the column with the indexes and constraints that are about it alone."""
    found = look.table(table)
    column = look.column(found, column_name) if found is not None else None
    if found is None or column is None:
        yield look.absent(column_of(table, column_name), names_of(found))
        return
    target = column_of(found.name, column.name)
    change = DropColumn(found.name, column.name)
    if why := look.kept(target):
        yield Skip(target, why)
        return
    if obstacles := look.ddl.obstacles(change):
        raise Refused(
            f"column {target} can't be dropped: {', '.join(obstacles)} needs it; drop or change "
            "that first"
        )
    for own in look.ddl.affected(change):
        if own.kind is Kind.INDEX and own.name is not None:
            yield Deed(Action.DROP, own, DropIndex(own.table, own.name))
    yield Deed(Action.DROP, target, change, loses=True)


def rename_column(
    look: Look, table: str, old_name: str, new_name: str, legacy: bool = False
) -> Deeds:
    found = look.existing(table)
    old, new = look.column(found, old_name), look.column(found, new_name)
    if new is not None and (old is None or old.name == new_name):
        why = f"already renamed from {old_name}"
        yield Skip(column_of(found.name, new_name), why, is_so=True)
        return
    if old is None:
        known = nearest(old_name, [c.name for c in found.columns])
        raise Refused(f"table '{found.name}' has no column '{old_name}' to rename{known}")
    if new is not None and not look.is_same(old_name, new_name):
        raise Refused(
            f"{found.name}.{old_name} can't be renamed: there is a column '{new_name}' too"
        )
    yield Deed(
        Action.RENAME,
        column_of(found.name, old.name),
        RenameColumn(found.name, old.name, new_name),
        f"to {new_name}",
        renamed_to=new_name,
    )


def fill(
    look: Look, table: str, column_name: str, expression: str, where: str | None = None
) -> Deeds:
    """Set a column of many rows by one SQL expression, with the table's triggers off.

    Triggers are for what users do, not for moving data into a new shape.
    """
    found, column, target = look.existing_column(table, column_name)
    change = Fill(found.name, column.name, expression, where or "")
    note = look.ddl.resting(change)
    is_emptied = look.names.spelling(expression).strip("( )") == "null"
    yield Deed(Action.FILL, target, change, note, counts=True, empties=is_emptied)


def apply_default(look: Look, table: str, column_name: str, field: Field) -> Deeds:
    """Give the field's default to the rows without a value.

    A callable is called once for all of them, or once for each if the column is unique.
    """
    found, column, target = look.existing_column(table, column_name)
    unique = any(i.unique and i.columns == (column.name,) for i in found.indexes)
    if callable(field.default) and (unique or field.unique):
        yield _fill_each(look, target, field, field.default)
        return
    default = field.default() if callable(field.default) else field.default
    empty = f"{look.names.quote(column_name)} IS NULL"
    yield from fill(look, table, column_name, fields.value_of(look, field, default), empty)


def _fill_each(look: Look, target: Target, field: Field, make: Callable[[], Any]) -> Deed:
    change = FillEach(target.table, str(target.name), lambda: fields.value_of(look, field, make()))
    return Deed(Action.FILL, target, change, counts=True)


def _refuse_other(look: Look, table: Table, present: Column, field: Field) -> None:
    """Raise Refused when the column that is there is not the one that is asked for."""
    wanted = look.ddl.column(table.name, fields.column_definition(look, field))
    if wanted is None:
        return
    differs = (
        wanted.storage != present.storage
        or (wanted.generated, wanted.expression) != (present.generated, present.expression)
        or (not wanted.nullable and present.nullable and not wanted.primary_key)
        or wanted.collation not in ("", "binary", present.collation)
    )
    if differs:
        raise Refused(
            f"table '{table.name}' has another column '{present.name}': {_words(present)}; wanted "
            f"is {_words(wanted)}; alter or drop that first"
        )
    checks = [text for text in wanted.constraints if "CHECK" in text.upper()]
    for check in checks:
        spelled = look.names.spelling(check)
        if not any(spelled.endswith(text) for text in table.constraints.values()):
            raise Refused(
                f"table '{table.name}' has a column '{present.name}' without {check}; add that by "
                "add_constraint, or drop the column first"
            )
    _refuse_other_key(look, table, present, field)


def _refuse_other_key(look: Look, table: Table, present: Column, field: Field) -> None:
    if not isinstance(field, ForeignKeyField) or not isinstance(field.rel_field, Field):
        return
    fold = look.names.fold
    parent, column = field.rel_model._meta.table_name, field.rel_field.column_name
    actions = tuple(
        (action or "NO ACTION").upper() for action in (field.on_delete, field.on_update)
    )
    wanted = fold(parent), (fold(column),), *actions, is_deferred(field)
    keys = [key for key in table.foreign_keys if key.columns == (present.name,)]
    found = [
        (
            fold(k.parent),
            tuple(map(fold, k.parent_columns)),
            k.on_delete,
            k.on_update,
            is_deferred(k),
        )
        for k in keys
    ]
    if wanted not in found:
        words = " and ".join(str(key) for key in keys) or "no foreign key"
        raise Refused(
            f"column {table.name}.{present.name} is there with {words}, and should refer to "
            f"{parent} ({column}) on delete {actions[0]} on update {actions[1]}"
            f"{' deferrable initially deferred' * is_deferred(field)}; change that by "
            "drop_foreign_key_constraint and add_foreign_key_constraint"
        )


def is_deferred(key: ForeignKey | ForeignKeyField) -> bool:
    """Return True if the key is checked at the end of a transaction only."""
    return "DEFERRED" in (key.deferrable or "").upper()


def _words(column: Column) -> str:
    words = [column.type or "no type", "NULL" if column.nullable else "NOT NULL"]
    words += [f"DEFAULT {column.default}"] if column.default is not None else []
    words += [f"generated as ({column.expression})"] if column.generated else []
    words += [f"COLLATE {column.collation}"] if column.collation not in ("", "binary") else []
    return " ".join(words)


# Properties of a column.


def add_not_null(look: Look, table: str, column: str, legacy: bool = False) -> Deeds:
    found, present, target = look.existing_column(table, column)
    if not present.nullable:
        yield Skip(target, "already not null", is_so=True)
        return
    is_empty = f"{look.names.quote(present.name)} IS NULL"
    empty = look.rows.count(found.name, is_empty) if _is_stored(look, target) else 0
    if empty:
        raise RowsDoNotFit(
            f"{target} can't be made not null: {rows_have(empty)} no value there; give them one "
            "first, by migrator.fill(…)"
        )
    yield Deed(Action.ALTER, target, SetNotNull(found.name, present.name), "not null")


def drop_not_null(look: Look, table: str, column: str, legacy: bool = False) -> Deeds:
    found = look.existing(table)
    present = look.column(found, column)
    if present is None:
        yield look.absent(column_of(found.name, column), names_of(found))
        return
    target = column_of(found.name, present.name)
    if present.nullable:
        yield Skip(target, "already nullable", is_so=True)
        return
    if present.primary_key and not found.options.isdisjoint(("WITHOUT ROWID", "STRICT")):
        raise Refused(f"{target} can't be made nullable: it is in the primary key")
    yield Deed(Action.ALTER, target, DropNotNull(found.name, present.name), "nullable")


def add_column_default(look: Look, table: str, column: str, default: Any) -> Deeds:
    """Set the default: a value, ``SQL('…')``, or, as in playhouse, text that ends in ``)`` or
    ``'`` and is SQL already."""
    found, present, target = look.existing_column(table, column)
    wanted = fields.default_sql(look, default)
    if present.default is not None and present.meaning == look.ddl.default(
        found.name, present, wanted
    ):
        yield Skip(target, f"default already {wanted}", is_so=True)
        return
    change = SetDefault(found.name, present.name, wanted)
    yield Deed(Action.ALTER, target, change, f"default {wanted}")


def drop_column_default(look: Look, table: str, column: str) -> Deeds:
    found = look.existing(table)
    present = look.column(found, column)
    if present is None:
        yield look.absent(column_of(found.name, column), names_of(found))
        return
    target = column_of(found.name, present.name)
    if present.default is None:
        yield Skip(target, "has no default", is_so=True)
        return
    yield Deed(Action.ALTER, target, DropDefault(found.name, present.name), "no default")


def alter_column_type(
    look: Look, table: str, column: str, field: Field, cast: str | None = None
) -> Deeds:
    """Give the column the field's type; ``cast`` is SQL for the values, where they change."""
    found, present, target = look.existing_column(table, column)
    wanted = fields.type_of(look, field)
    said = wanted or "without type"
    if look.names.spelling(present.type) == look.names.spelling(wanted):
        yield Skip(target, f"already {said}", is_so=True)
        return
    if why := look.ddl.refusal_of_type(found, present, wanted):
        raise Refused(f"{target} can't become {said}: {why}")
    if cast is not None:
        look.foresee_value(found, f"CAST({cast} AS {wanted})")
    altered = look.ddl.altered_by_type(found, present, wanted) if cast is None else {}
    for condition, would in altered.items():
        if rows := look.rows.count(found.name, condition):
            raise Refused(
                f"{target} can't become {said}: {rows} row{'s' * (rows != 1)} {would}; give a "
                "cast, or change them first: "
                f"SELECT * FROM {look.names.quote(found.name)} WHERE {condition}"
            )
    if altered or cast is not None:
        look.rows.doubt(found.name, look.names.quote(present.name))
    look.rows.retype(found.name)
    change = SetType(found.name, present.name, wanted, cast)
    yield Deed(Action.ALTER, target, change, said)


def names_of(table: Table | None) -> list[str] | None:
    return [column.name for column in table.columns] if table is not None else None


def rows_have(count: int) -> str:
    return "1 row has" if count == 1 else f"{count} rows have"


def _is_stored(look: Look, target: Target) -> bool:
    """Return True if the column is in the table already, and not only waiting."""
    stored = look.inspector.table(target.table)
    return stored is not None and look.column(stored, str(target.name)) is not None
