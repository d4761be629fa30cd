"""A CREATE TABLE statement with one thing changed.

An edit replaces only the span that it touches: comments, spelling and everything else stay as they
were written.  Every function returns another statement, and raises KeyError for a column that the
table does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from guarded.backends.sqlite.text import (
    ColumnDefinition,
    Constraint,
    CreateTable,
    fold,
    quote,
    spelling,
)
from guarded.changes import (
    AddColumn,
    AddConstraint,
    Alteration,
    DropColumn,
    DropConstraint,
    DropDefault,
    DropForeignKey,
    DropNotNull,
    SetDefault,
    SetNotNull,
    SetType,
)

Span = tuple[int, int, str]  # from, to, and what stands there instead


def edited(table: CreateTable, change: Alteration) -> CreateTable:
    """Return the statement of the table as the change makes it."""
    return _EDITS[type(change)](table, change)


def with_not_null(table: CreateTable, name: str) -> CreateTable:
    column = table.column(name)
    if null := column.constraint("NULL"):
        return _replace(table, (null.start, null.end, "NOT NULL"))
    end = (column.type_tokens or column.tokens[:1])[-1].end
    return _replace(table, (end, end, " NOT NULL"))


def without_not_null(table: CreateTable, name: str) -> CreateTable:
    return _without(table, table.column(name), "NOT")


def with_type(table: CreateTable, name: str, type_: str) -> CreateTable:
    column = table.column(name)
    if column.type_tokens and not type_:
        return _replace(table, (column.tokens[0].end, column.type_tokens[-1].end, ""))
    if column.type_tokens:
        start, end = column.type_tokens[0].start, column.type_tokens[-1].end
        return _replace(table, (start, end, type_))
    end = column.tokens[0].end
    return _replace(table, (end, end, f" {type_}"))


def with_default(table: CreateTable, name: str, default: str) -> CreateTable:
    """``default`` is SQL: a literal, or an expression in parentheses."""
    column = table.column(name)
    if old := column.constraint("DEFAULT"):
        return _replace(table, (old.start, old.end, f"DEFAULT {default}"))
    return _replace(table, (column.end, column.end, f" DEFAULT {default}"))


def without_default(table: CreateTable, name: str) -> CreateTable:
    return _without(table, table.column(name), "DEFAULT")


def with_column(table: CreateTable, definition: str) -> CreateTable:
    return _appended(table, table.columns[-1].end, definition)


def has_comment_before(table: CreateTable, column: ColumnDefinition) -> bool:
    """Return True if a comment stands between the last column and the one before it.

    SQLite's own DROP COLUMN takes a comma in it for the one between the two, or loses it.
    """
    before = max((t for t in table.tokens if t.end <= column.start), key=lambda t: t.end)
    gap = table.sql[before.end : column.start]
    return column == table.columns[-1] and before.text == "," and bool(gap.strip())


def has_comment_beside(table: CreateTable, constraint: Constraint) -> bool:
    """Return True if a comment stands before or after the constraint: SQLite's own ALTER TABLE
    would take it along."""
    before = max(t.end for t in table.tokens if t.end <= constraint.start)
    after = min(t.start for t in table.tokens if t.start >= constraint.end)
    gaps = table.sql[before : constraint.start] + table.sql[constraint.end : after]
    return bool(gaps.strip())


def without_column(table: CreateTable, name: str) -> CreateTable:
    """Without the column and the table constraints that are about this column alone."""
    column = table.column(name)
    own = [c for c in table.constraints if table.subjects(c) == {fold(name)}]
    doomed = [(column.start, column.end), *((c.start, c.end) for c in own)]
    return _replace(table, *(edit for span in doomed for edit in _cut(table, *span)))


def with_constraint(table: CreateTable, definition: str) -> CreateTable:
    return _appended(table, (table.constraints or table.columns)[-1].end, definition)


def without_constraint(table: CreateTable, constraint: Constraint) -> CreateTable:
    if constraint in table.constraints:
        return _replace(table, *_cut(table, constraint.start, constraint.end))
    return _replace(table, _trimmed(table, constraint))


def without_named(table: CreateTable, name: str) -> CreateTable:
    """Without the constraint of this name, as ``names_of_constraints`` has it; a CHECK may be
    there more than once."""
    doomed = table.constraint(name)
    if doomed.kind != "CHECK":
        return without_constraint(table, doomed)
    wanted = doomed.name, spelling(doomed.definition)
    same = [c for c in table.all_constraints if (c.name, spelling(c.definition)) == wanted]
    for constraint in sorted(same, key=lambda c: c.start, reverse=True):
        present = next(c for c in table.all_constraints if c.start == constraint.start)
        table = without_constraint(table, present)
    return table


def foreign_key(definition: CreateTable, column: str) -> Constraint:
    """The constraint that makes this column alone a foreign key."""
    own = definition.column(column).constraint("REFERENCES")
    keys = [
        c
        for c in definition.constraints
        if c.kind == "FOREIGN" and definition.subjects(c) == {fold(column)}
    ]
    return own or keys[0]


def _without(table: CreateTable, column: ColumnDefinition, kind: str) -> CreateTable:
    doomed = [constraint for constraint in column.constraints if constraint.kind == kind]
    return _replace(table, *(_trimmed(table, constraint) for constraint in doomed))


def _trimmed(table: CreateTable, constraint: Constraint) -> Span:
    """The span with the blanks before it, unless they end a ``--`` comment."""
    before = max(t.end for t in table.tokens if t.end <= constraint.start)
    between = table.sql[before : constraint.start]
    return before if between.isspace() else constraint.start, constraint.end, ""


def _appended(table: CreateTable, end: int, definition: str) -> CreateTable:
    """With one more part after the one that ends here, and after the comments that belong to it."""
    after = min(t.start for t in table.tokens if t.start >= end)
    place = end if table.sql[end:after].isspace() else after
    return _replace(table, (place, place, f", {definition}"))


def _cut(table: CreateTable, start: int, end: int) -> list[Span]:
    """The span and the comma that it leaves over, if there is one.

    Between two table constraints there may be none, and then the one before stays.
    """
    before = max((t for t in table.tokens if t.end <= start), key=lambda t: t.end)
    after = min((t for t in table.tokens if t.start >= end), key=lambda t: t.start)
    comma = None
    if before.text == "," and after.text in (",", ")"):
        comma = before
    elif before.text == "(" and after.text == ",":
        comma = after
    return [(start, end, ""), *([(comma.start, comma.end, "")] if comma else [])]


def _replace(table: CreateTable, *spans: Span) -> CreateTable:
    sql = table.sql
    for start, end, text in sorted(spans, reverse=True):
        sql = sql[:start] + text + sql[end:]
    return CreateTable(sql)


_EDITS: dict[type, Callable[[CreateTable, Any], CreateTable]] = {
    AddColumn: lambda table, change: with_column(table, change.definition),
    DropColumn: lambda table, change: without_column(table, change.column),
    SetNotNull: lambda table, change: with_not_null(table, change.column),
    DropNotNull: lambda table, change: without_not_null(table, change.column),
    SetDefault: lambda table, change: with_default(table, change.column, change.default),
    DropDefault: lambda table, change: without_default(table, change.column),
    SetType: lambda table, change: with_type(table, change.column, change.type),
    AddConstraint: lambda table, change: with_constraint(
        table, (f"CONSTRAINT {quote(change.name)} " if change.name else "") + change.definition
    ),
    DropConstraint: lambda table, change: without_named(table, change.name),
    DropForeignKey: lambda table, change: without_constraint(
        table, foreign_key(table, change.column)
    ),
}
