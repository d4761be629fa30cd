"""Verbs for constraints: CHECK, UNIQUE and foreign keys."""

from __future__ import annotations

from typing import Any

from guarded.changes import AddConstraint, DropConstraint, DropForeignKey
from guarded.errors import Refused
from guarded.schema import ForeignKey, Table
from guarded.steps import Action, Kind, Target
from guarded.steps import column as column_of
from guarded.verbs.columns import rows_have
from guarded.verbs.perform import Deed, Deeds, Look, Skip


def add_constraint(look: Look, table: str, name: str, constraint: Any) -> Deeds:
    found = look.existing(table)
    target = Target(Kind.CONSTRAINT, found.name, name)
    if _has(look, found, name):
        yield Skip(target, "already there")
        return
    change = AddConstraint(found.name, name, look.sql_of(constraint))
    yield Deed(Action.ADD, target, change)


def add_unique(look: Look, table: str, *column_names: str) -> Deeds:
    found = look.existing(table)
    name = f"uniq_{'_'.join(column_names)}"
    target = Target(Kind.CONSTRAINT, found.name, name)
    wanted = {look.names.fold(column) for column in column_names}
    for index in found.indexes:
        if index.origin == "u" and {look.names.fold(c or "") for c in index.columns} == wanted:
            yield Skip(target, "already there")
            return
    columns = ", ".join(map(look.names.quote, column_names))
    yield Deed(Action.ADD, target, AddConstraint(found.name, name, f"UNIQUE ({columns})"))


def drop_constraint(look: Look, table: str, name: str) -> Deeds:
    """By its name; a UNIQUE without one goes by what ``add_unique`` calls it, uniq_a_b."""
    found = look.existing(table)
    target = Target(Kind.CONSTRAINT, found.name, name)
    if not _has(look, found, name):
        yield Skip(target, "not there")
        return
    yield Deed(Action.DROP, target, DropConstraint(found.name, name))


def add_foreign_key_constraint(
    look: Look,
    table: str,
    column_name: str,
    rel: str,
    rel_column: str,
    on_delete: str | None = None,
    on_update: str | None = None,
    constraint_name: str | None = None,
    rel_schema: str | None = None,
) -> Deeds:
    found, column, stored = look.existing_column(table, column_name)
    target = Target(Kind.FOREIGN_KEY, found.name, column.name)
    if (key := _key_on(look, found, column.name)) is not None:
        actions = tuple((action or "NO ACTION").upper() for action in (on_delete, on_update))
        if look.is_same(key.parent, rel) and (key.on_delete, key.on_update) == actions:
            yield Skip(target, f"already refers to {key.parent}")
            return
        raise Refused(
            f"{stored} already refers to '{key.parent}' on delete {key.on_delete} on update "
            f"{key.on_update}; drop that key first"
        )
    quote = look.names.quote
    dangling = look.count(
        found,
        f"{quote(column.name)} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {quote(rel)} AS parent "
        f"WHERE parent.{quote(rel_column)} = {quote(found.name)}.{quote(column.name)})",
    )
    if dangling:
        raise Refused(
            f"{stored} can't refer to {rel}.{rel_column}: {rows_have(dangling)} a value that is "
            "not there; change those first"
        )
    text = f"FOREIGN KEY ({quote(column.name)}) REFERENCES {quote(rel)} ({quote(rel_column)})"
    text += f" ON DELETE {on_delete}" if on_delete else ""
    text += f" ON UPDATE {on_update}" if on_update else ""
    name = constraint_name or f"fk_{table}_{column_name}_refs_{rel}"
    yield Deed(Action.ADD, target, AddConstraint(found.name, name, text))


def drop_foreign_key_constraint(look: Look, table: str, column_name: str) -> Deeds:
    found = look.table(table)
    column = look.column(found, column_name) if found is not None else None
    if found is None or column is None:
        yield Skip(column_of(table, column_name), "not there")
        return
    target = Target(Kind.FOREIGN_KEY, found.name, column.name)
    if _key_on(look, found, column.name) is None:
        yield Skip(target, "not there")
        return
    yield Deed(Action.DROP, target, DropForeignKey(found.name, column.name))


def _has(look: Look, table: Table, name: str) -> bool:
    return any(look.is_same(known, name) for known in table.constraints)


def _key_on(look: Look, table: Table, column: str) -> ForeignKey | None:
    """The foreign key on this column alone."""
    for key in table.foreign_keys:
        if len(key.columns) == 1 and look.is_same(key.columns[0], column):
            return key
    return None
