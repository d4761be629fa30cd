"""The tables that steps need locked, and how strongly, by what PostgreSQL takes for each.

https://www.postgresql.org/docs/current/explicit-locking.html, the locks of ALTER TABLE, and a
foreign key that goes: its triggers are on the parent, too, which is locked as the table is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from guarded.backends.interface import Locks, Waits
from guarded.backends.postgresql.text import name_of, names_in
from guarded.steps import Action, Kind, Step

if TYPE_CHECKING:
    from guarded.schema import Schema

NAME = r'(?:"(?:[^"]|"")+"|\w+)'
# Statements in which every table of the list is locked against readers.
ALL = re.compile(
    rf"\s*(?:ALTER\s+TABLE|DROP\s+TABLE|TRUNCATE(?:\s+TABLE)?|LOCK(?:\s+TABLE)?)\s+"
    rf"(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?(?P<names>{NAME}(?:\s*,\s*{NAME})*)",
    re.IGNORECASE,
)
# What is made or dropped ON a table: an index or a trigger that is made lets readers go on.
ON = re.compile(
    rf"\s*(?P<makes>CREATE\s+(?:UNIQUE\s+INDEX|INDEX|(?:OR\s+REPLACE\s+|CONSTRAINT\s+)*TRIGGER)\b)?"
    rf"(?:CREATE|ALTER|DROP)?\b.*?\bON\s+(?:ONLY\s+)?(?P<name>{NAME})",
    re.IGNORECASE | re.DOTALL,
)
CHANGES = re.compile(r"\s*(?:CREATE|ALTER|DROP|TRUNCATE|LOCK)\b", re.IGNORECASE)
PARENT = re.compile(rf"\bREFERENCES\s+(?P<name>{NAME})", re.IGNORECASE)


def locks(steps: Iterable[Step], schema: Schema) -> Locks:
    """Return what these steps lock of the tables in the schema."""
    found: dict[str, Waits] = {}
    for step in steps:
        if step.action is not Action.SKIP:
            for table, waits in _of_step(step, schema):
                if table in schema and found.get(table) is not Waits.READERS:
                    found[table] = waits
    return found


def around(statement: str, schema: Schema) -> frozenset[str]:
    """Return the tables that the statement names, and those that a foreign key ties to them."""
    named = names_in(statement) & schema.keys()
    parents = {key.parent for name in named for key in schema[name].foreign_keys}
    children = {
        name for name, table in schema.items() for key in table.foreign_keys if key.parent in named
    }
    return frozenset(named | children | parents & schema.keys())


def _of_step(step: Step, schema: Schema) -> Iterator[tuple[str, Waits]]:
    makes_index = step.action is Action.CREATE and step.target.kind is Kind.INDEX
    yield step.target.table, Waits.WRITERS if makes_index else Waits.READERS
    for target in (*step.takes, *step.sets):
        yield target.table, Waits.READERS
    if step.action is Action.DROP:
        for parent in _parents_of(step, schema):
            yield parent, Waits.READERS
    for statement in step.statements:
        yield from _of_statement(statement)


def _parents_of(step: Step, schema: Schema) -> Iterator[str]:
    """The parents of the foreign keys that go with what is dropped."""
    kind, name, table = step.target.kind, step.target.name, schema.get(step.target.table)
    if table is None:
        return
    if kind is Kind.CONSTRAINT:
        for found in PARENT.finditer(table.constraints.get(str(name), "")):
            yield name_of(found["name"])
    for key in table.foreign_keys:
        if kind is Kind.TABLE or (kind in (Kind.COLUMN, Kind.FOREIGN_KEY) and name in key.columns):
            yield key.parent


def _of_statement(sql: str) -> Iterator[tuple[str, Waits]]:
    if not CHANGES.match(sql):
        return
    for found in PARENT.finditer(sql):
        yield name_of(found["name"]), Waits.WRITERS
    if (whole := ALL.match(sql)) is not None:
        for name in re.findall(NAME, whole["names"]):
            yield name_of(name), Waits.READERS
    elif (on := ON.match(sql)) is not None:
        yield name_of(on["name"]), Waits.WRITERS if on["makes"] else Waits.READERS
