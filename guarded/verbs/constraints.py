"""Verbs for constraints: CHECK, UNIQUE and foreign keys."""

from __future__ import annotations

import re
from typing import Any

from peewee import Node

from guarded.changes import AddConstraint, DropConstraint, DropForeignKey
from guarded.errors import Refused, RowsDoNotFit
from guarded.schema import ForeignKey, Table
from guarded.steps import Action, Kind, Target
from guarded.steps import column as column_of
from guarded.verbs.columns import is_deferred, names_of, rows_have
from guarded.verbs.deeds import Deed, Deeds, Skip, So, constraint_name, unique_name
from guarded.verbs.perform import Look

# In one spelling, which has blanks around a bracket or not.
FOREIGN_KEY = re.compile(r"foreign key ?\( ?(.+?) ?\) ?references (.+?) ?\( ?(.+?) ?\)")
UNIQUE = re.compile(r"unique ?\( ?(.+?) ?\)")


def add_constraint(look: Look, table: str, name: str | None, constraint: Node) -> Deeds:
    found = look.existing(table)
    target = Target(Kind.CONSTRAINT, found.name, constraint_name(name, constraint))
    wanted = look.sql_of(constraint)
    text = look.ddl.constraint(found.name, wanted)
    if name is None and text in found.constraints.values():
        yield Skip(target, "already there", is_so=True)
        return
    if name is not None and (present := _text_of(look, found, name)) is not None:
        if present != text:
            raise Refused(
                f"table '{found.name}' has another constraint '{name}': {present}; wanted is "
                f"{wanted}; drop that first, or take another name"
            )
        yield Skip(target, "already there", is_so=True)
        return
    condition = re.fullmatch(r"\s*CHECK\s*(\(.*\))\s*", wanted, re.IGNORECASE | re.DOTALL)
    if condition and (rows := look.rows.count(found.name, f"NOT {condition[1]}")):
        raise RowsDoNotFit(f"{target} can't be added: {rows_have(rows)} a value that it forbids")
    spelled = look.names.spelling(wanted)
    _refuse_key(look, found, spelled)
    if (unique := UNIQUE.match(spelled)) is not None:
        names = _columns(look, found, unique[1])
        if names:
            look.refuse_doubles(found, names)
    yield Deed(Action.ADD, target, AddConstraint(found.name, name or "", wanted))


def add_unique(look: Look, table: str, *column_names: str) -> Deeds:
    found = look.existing(table)
    if not column_names:
        raise Refused(f"add_unique('{table}') names no column")
    name = unique_name(column_names)
    target = Target(Kind.CONSTRAINT, found.name, name)
    names = [look.existing_column(table, column)[1].name for column in column_names]
    definition = f"UNIQUE ({', '.join(map(look.names.quote, names))})"
    wanted = {look.names.fold(column) for column in column_names}
    for index in found.indexes:
        if index.origin == "u" and {look.names.fold(c or "") for c in index.columns} == wanted:
            spelled = look.ddl.constraint(found.name, definition)
            _refuse_conflict_clause(look, found, names, spelled)
            yield Skip(target, "already there", is_so=True)
            for other, text in found.constraints.items():
                if text.startswith(spelled):
                    yield So("add_unique", target._replace(name=other))
            return
    look.refuse_doubles(found, names)
    yield Deed(Action.ADD, target, AddConstraint(found.name, name, definition))


def _refuse_conflict_clause(look: Look, table: Table, columns: list[str], spelled: str) -> None:
    """Raise Refused where the UNIQUE on these columns does more with a second row than refuse it,
    https://www.sqlite.org/lang_conflict.html."""
    texts = [text for text in table.constraints.values() if text.startswith(spelled)]
    if len(columns) == 1:
        (column,) = (c for c in table.columns if c.name == columns[0])
        texts += map(look.names.spelling, column.constraints)
    for text in texts:
        if " on conflict " in text and not text.endswith((" abort", " fail", " rollback")):
            raise Refused(
                f"table '{table.name}' has another UNIQUE: {text}; wanted is {spelled}; drop that "
                "first, with drop_constraint"
            )


def drop_constraint(look: Look, table: str, name: Any) -> Deeds:
    """Drop a constraint by its name, or a CHECK by its text.

    A UNIQUE without a name is called uniq_a_b.
    """
    found = look.existing(table)
    wanted = constraint_name(name)
    target = Target(Kind.CONSTRAINT, found.name, wanted)
    names = [
        known
        for known, text in found.constraints.items()
        if look.is_same(known, wanted) or text == look.names.spelling(wanted)
    ]
    if not names:
        yield Skip(target, "not there", is_so=True)
    for known in names:
        yield Deed(Action.DROP, target, DropConstraint(found.name, known))


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
        given = (action or "NO ACTION" for action in (on_delete, on_update))
        actions = [" ".join(action.upper().split()) for action in given]
        parent = [look.names.fold(c) for c in key.parent_columns]
        same = look.is_same(key.parent, rel) and parent == [look.names.fold(rel_column)]
        if same and [key.on_delete, key.on_update] == actions and not is_deferred(key):
            yield Skip(target, f"already refers to {key.parent}", is_so=True)
            for name in _names_of_keys(look, found, column.name):
                yield So("add_constraint", Target(Kind.CONSTRAINT, found.name, name))
            return
        raise Refused(
            f"{stored} already refers to '{key.parent}' on delete {key.on_delete} on update "
            f"{key.on_update}: {key}; wanted is "
            f"{ForeignKey((column.name,), rel, (rel_column,), *actions)}; drop that key first"
        )
    rel_table, rel_key, _ = look.existing_column(rel, rel_column)
    _refuse_dangling(look, found, [column.name], rel_table, [rel_key.name])
    quote = look.names.quote
    text = f"FOREIGN KEY ({quote(column.name)}) REFERENCES {quote(rel)} ({quote(rel_column)})"
    text += f" ON DELETE {on_delete}" if on_delete else ""
    text += f" ON UPDATE {on_update}" if on_update else ""
    name = constraint_name or f"fk_{table}_{column_name}_refs_{rel}"
    yield Deed(Action.ADD, target, AddConstraint(found.name, name, text, (column.name,)))


def _refuse_dangling(
    look: Look, child: Table, columns: list[str], parent: Table, parent_columns: list[str]
) -> None:
    """Raise RowsDoNotFit for rows that would refer to no row, and Refused where the parent's
    columns don't tell its rows apart."""
    unique = (i.columns for i in parent.indexes if i.unique and not i.partial)
    if not any(set(parent_columns) == set(columns) for columns in (parent.key, *unique)):
        names = ", ".join(map(repr, (parent.name, *parent_columns)))
        raise Refused(
            f"the foreign key of table '{child.name}' ({', '.join(columns)}) can't refer to "
            f"{parent.name} ({', '.join(parent_columns)}), which is not unique; make it so first, "
            f"by migrator.add_unique({names})"
        )
    quote = look.names.quote
    own = [f"{quote(child.name)}.{quote(name)}" for name in columns]
    same = [f"parent.{quote(name)} = {value}" for name, value in zip(parent_columns, own)]
    rows = look.rows.count(
        child.name,
        f"{' AND '.join(f'{value} IS NOT NULL' for value in own)} AND NOT EXISTS "
        f"(SELECT 1 FROM {quote(parent.name)} AS parent WHERE {' AND '.join(same)})",
    )
    if rows:
        raise RowsDoNotFit(
            f"{child.name}.{', '.join(columns)} can't refer to {parent.name}."
            f"{', '.join(parent_columns)}: {rows_have(rows)} a value that is not there; change "
            "those first"
        )


def _refuse_key(look: Look, child: Table, spelled: str) -> None:
    """The same for a key that is written as SQL, as far as it can be read here."""
    key = FOREIGN_KEY.match(spelled)
    if key is None:
        return
    name, quote = look.names.spelling, look.names.quote
    parents = [t for t in look.inspector.schema() if name(quote(t)) == key[2]]
    parent = look.table(parents[0]) if parents else None
    if parent is None:
        return
    names, wanted = _columns(look, child, key[1]), _columns(look, parent, key[3])
    if names and len(names) == len(wanted):
        _refuse_dangling(look, child, names, parent, wanted)


def _columns(look: Look, table: Table, spelled: str) -> list[str]:
    """The columns of a list in one spelling; none where one of them is not read here."""
    known = {look.names.spelling(look.names.quote(c.name)): c.name for c in table.columns}
    found, rest = list[str](), spelled
    while rest:
        # The longest first: a name may have a comma in it.
        names = (
            n
            for n in sorted(known, key=len, reverse=True)
            if f"{rest},".startswith((f"{n},", f"{n} ,"))
        )
        if (name := next(names, None)) is None:
            return []
        found.append(known[name])
        rest = rest[len(name) :].lstrip(" ,")
    return found


def drop_foreign_key_constraint(look: Look, table: str, column_name: str) -> Deeds:
    found = look.table(table)
    column = look.column(found, column_name) if found is not None else None
    if found is None or column is None:
        yield look.absent(column_of(table, column_name), names_of(found))
        return
    target = Target(Kind.FOREIGN_KEY, found.name, column.name)
    keys = [key for key in found.foreign_keys if column.name in key.columns]
    alone = [key for key in keys if len(key.columns) == 1]
    if len(alone) > 1:
        names = _names_of_keys(look, found, column.name)
        raise Refused(
            f"{target} is one of {len(alone)}: {'; '.join(map(str, alone))}; drop the one that is "
            f"meant with drop_constraint, by its name: {', '.join(names)}"
        )
    keys = alone or keys
    if keys and len(keys[0].columns) > 1:
        raise Refused(
            f"{column_of(found.name, column.name)} is a part of the foreign key {keys[0]}; drop "
            "that by its name, with drop_constraint"
        )
    if not keys:
        yield Skip(target, "not there", is_so=True)
        return
    yield Deed(Action.DROP, target, DropForeignKey(found.name, column.name))


def _names_of_keys(look: Look, table: Table, column: str) -> list[str]:
    """The names by which ``drop_constraint`` knows the foreign keys on this column alone."""
    starts = (
        f"fk_{table.name}_{column}_refs_",
        look.names.spelling(f"FOREIGN KEY ({look.names.quote(column)})"),
    )
    return [
        name
        for name, text in table.constraints.items()
        if name.startswith(starts[0]) or text.startswith(starts[1])
    ]


def _text_of(look: Look, table: Table, name: str) -> str | None:
    """The text of the constraint of that name, in one spelling."""
    for known, text in table.constraints.items():
        if look.is_same(known, name):
            return text
    return None


def _key_on(look: Look, table: Table, column: str) -> ForeignKey | None:
    """The foreign key on this column alone."""
    for key in table.foreign_keys:
        if len(key.columns) == 1 and look.is_same(key.columns[0], column):
            return key
    return None
