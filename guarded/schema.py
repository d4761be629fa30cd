"""A schema as values in one spelling, so that two can be compared.

A backend makes them, of a database or of models.  What is compared is in the fields that say so;
names, SQL texts and the rest are for people and for writing a migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Column(NamedTuple):
    """``default`` is SQL text; ``primary_key`` the place in the key, from 1, or 0; ``generated`` is
    VIRTUAL, STORED or empty.  Compared are ``storage`` in place of the type, ``meaning`` in place
    of the default, ``expression`` of a generated column, and ``collation``.  ``constraints`` are
    its CHECK, UNIQUE, GENERATED and AUTOINCREMENT clauses as they were written."""

    name: str
    type: str
    nullable: bool
    default: str | None
    primary_key: int
    generated: str
    storage: str = ""
    meaning: str | None = None
    expression: str = ""
    collation: str = ""
    constraints: tuple[str, ...] = ()


class Index(NamedTuple):
    """``columns`` has None for an expression; ``origin`` is c (CREATE INDEX), u (a UNIQUE
    constraint) or pk.  Compared are ``unique``, ``parts`` and ``where``."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    partial: bool
    origin: str
    sql: str | None
    parts: tuple[str, ...] = ()
    where: str = ""

    def __str__(self) -> str:
        unique = "unique index" if self.unique else "index"
        where = f" where {self.where}" if self.where else ""
        return f"{unique} on ({', '.join(self.parts)}){where}"


class ForeignKey(NamedTuple):
    """``parent_columns`` are the parent's primary key where the declaration names none;
    ``deferrable`` is its DEFERRABLE clause in capitals, or empty."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str
    deferrable: str = ""

    def __str__(self) -> str:
        text = (
            f"({', '.join(self.columns)}) to {self.parent} ({', '.join(self.parent_columns)}) "
            f"on delete {self.on_delete} on update {self.on_update}"
        )
        return f"{text} {self.deferrable.lower()}" if self.deferrable else text


class Check(NamedTuple):
    """``text`` as it was written, without the outer parentheses; ``spelling`` is compared.

    ``columns`` are those of its table that it is about, folded."""

    text: str
    name: str | None
    spelling: str
    columns: frozenset[str] = frozenset()


class Table(NamedTuple):
    """``kind`` is table, virtual, shadow (a part of a virtual table), or unreadable: then
    ``unreadable`` is what this process does not know, such as ``module vec0``.

    ``options`` are words like STRICT.  ``is_numbered``: the database gives out the ids.
    ``constraints`` has the text of each constraint by its name, in one spelling; a CHECK without a
    name goes by its text.
    ``python_defaults`` are those that a model gives in Python, as column name to meaning.
    """

    name: str
    sql: str
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[Check, ...] = ()
    options: frozenset[str] = frozenset()
    is_numbered: bool = False
    kind: str = "table"
    constraints: Mapping[str, str] = {}
    python_defaults: Mapping[str, str | None] = {}
    unreadable: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key, in its order."""
        found = [column for column in self.columns if column.primary_key]
        return tuple(c.name for c in sorted(found, key=lambda c: c.primary_key))


Schema = Mapping[str, Table]  # by folded name
