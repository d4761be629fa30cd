"""Changes of a schema as values: made by verbs, applied by a backend.

``table`` and ``column`` are names as they are stored.  SQL is in the backend's dialect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple


class CreateTable(NamedTuple):
    """The table of a Peewee model, without its indexes."""

    model: Any
    table: str


class DropTable(NamedTuple):
    table: str


class RenameTable(NamedTuple):
    table: str
    new_name: str


class RenameColumn(NamedTuple):
    table: str
    column: str
    new_name: str


class CreateIndex(NamedTuple):
    table: str
    name: str
    sql: str


class DropIndex(NamedTuple):
    table: str
    name: str


class Fill(NamedTuple):
    """An UPDATE of a column with the table's triggers off; ``where`` may be empty."""

    table: str
    column: str
    expression: str
    where: str


class FillEach(NamedTuple):
    """Give each row that has no value in the column one of its own, made by a Python function;
    ``make`` returns SQL.  The triggers of the table rest."""

    table: str
    column: str
    make: Callable[[], str]


class RawText(bytes):
    """A text whose bytes are not valid in the database's encoding."""


class Refill(NamedTuple):
    """Put back rows of a table, or with a ``key`` the columns of rows that are there.

    ``rows`` gives, for each, the key and the columns.  What does not fit any more is left out.  The
    triggers of the table rest.  ``mark`` is the highest id that the table had given out, if the
    database remembers it: the next one is higher.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: Iterable[tuple[Any, ...]]
    mark: int | None = None


class Statement(NamedTuple):
    """A statement that the migration wrote itself."""

    sql: str
    params: Sequence[Any]


# Alterations: a backend may collect several of one table and do them at once.


class AddColumn(NamedTuple):
    """``value`` is SQL for existing rows, or None for the column's default."""

    table: str
    column: str
    definition: str
    value: str | None


class DropColumn(NamedTuple):
    table: str
    column: str


class SetNotNull(NamedTuple):
    table: str
    column: str


class DropNotNull(NamedTuple):
    table: str
    column: str


class SetDefault(NamedTuple):
    table: str
    column: str
    default: str


class DropDefault(NamedTuple):
    table: str
    column: str


class SetType(NamedTuple):
    """``cast`` is SQL for the values, or None if they stay as they are."""

    table: str
    column: str
    type: str
    cast: str | None


class AddConstraint(NamedTuple):
    """``definition`` is the text after the constraint's name; ``name`` may be empty.

    ``checked`` are the columns of a foreign key whose rows all have a parent.
    """

    table: str
    name: str
    definition: str
    checked: tuple[str, ...] = ()


class DropConstraint(NamedTuple):
    """``name`` as in ``schema.Table.constraints``."""

    table: str
    name: str


class DropForeignKey(NamedTuple):
    """The key on this one column."""

    table: str
    column: str


Alteration = (
    AddColumn
    | DropColumn
    | SetNotNull
    | DropNotNull
    | SetDefault
    | DropDefault
    | SetType
    | AddConstraint
    | DropConstraint
    | DropForeignKey
)
Change = (
    CreateTable
    | DropTable
    | RenameTable
    | RenameColumn
    | CreateIndex
    | DropIndex
    | Fill
    | FillEach
    | Refill
    | Statement
    | Alteration
)
