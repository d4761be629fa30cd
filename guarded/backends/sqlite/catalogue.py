"""Change the text of a table where it is stored, for a change that alters no stored value.

SQLite documents the way for constraints that go and for defaults
(https://www.sqlite.org/lang_altertable.html, "Making Other Kinds Of Table Schema Changes").
Constraints that come, and types of the same affinity, are ours: so the rows are checked before, the
new text is proven on an empty clone, and the definition is read back.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import describe, edits, inspect
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import CreateTable, literal, quote, tokens
from guarded.changes import (
    AddConstraint,
    Alteration,
    DropConstraint,
    DropDefault,
    DropForeignKey,
    DropNotNull,
    SetDefault,
    SetNotNull,
    SetType,
)
from guarded.errors import Refused
from guarded.schema import Table

CONSTRAINTS = ("CHECK", "FOREIGN", "REFERENCES")  # that have no index of their own
OLDER_ROWS = "temp.guarded_older_rows"


def can_edit(table: Table, definition: CreateTable, change: Alteration) -> bool:
    """Return True if the change leaves every stored value, key and index as it is."""
    if isinstance(change, (SetNotNull, DropNotNull, SetDefault, DropDefault, DropForeignKey)):
        return True
    if isinstance(change, AddConstraint):
        return tokens(change.definition)[0].keyword in CONSTRAINTS
    if isinstance(change, DropConstraint):
        return definition.constraint(change.name).kind in CONSTRAINTS
    if isinstance(change, SetType):
        column = next(c for c in table.columns if c.name == change.column)
        is_plain = not (column.primary_key or column.generated or "STRICT" in table.options)
        same = describe.affinity(change.type) == describe.affinity(column.type)
        return is_plain and same and change.cast is None
    return False


def edit(
    read: Execute,
    write: Execute,
    stored: SchemaObject,
    new: CreateTable,
    changes: Sequence[Alteration],
    rest: Callable[[Callable[[], None]], None],
) -> bool:
    """Put ``new`` in the place of the stored text; False where this build of SQLite forbids it.

    ``rest`` calls what it is given while the triggers of the table rest.  Wants a transaction.
    Raises Refused when the new text would not be the same table.
    """
    if not _is_allowed(read):
        return False
    _prove(read, stored, new)
    for change in changes:
        if isinstance(change, (SetDefault, DropDefault)):
            _write_older_rows(read, write, stored, change.column, rest)
    _put(read, write, stored, new.sql)
    return True


def _is_allowed(read: Execute) -> bool:
    """A build, or a connection, with the defensive flag keeps the pragma at 0."""
    read("PRAGMA writable_schema = ON")
    try:
        ((is_on,),) = read("PRAGMA writable_schema")
    finally:
        read("PRAGMA writable_schema = OFF")
    return bool(is_on)


def _put(read: Execute, write: Execute, stored: SchemaObject, sql: str) -> None:
    ((version,),) = read("PRAGMA schema_version")
    read("PRAGMA writable_schema = ON")
    try:
        write(
            f"UPDATE sqlite_master SET sql = {literal(sql)} "
            f"WHERE type = 'table' AND name = {literal(stored.name)}"
        )
        # So that this connection, and every other, reads the schema anew.
        read(f"PRAGMA schema_version = {int(version) + 1}")
    finally:
        read("PRAGMA writable_schema = OFF")  # a ROLLBACK would leave it on
    found = inspect.find(read, stored.name, "table")
    if found is None or found.sql != sql:
        raise Refused(f"the text of table '{stored.name}' was not taken by SQLite")
    list(read(f"PRAGMA table_xinfo({quote(stored.name)})"))  # compiles the new text


def _prove(read: Execute, stored: SchemaObject, new: CreateTable) -> None:
    """Raise Refused unless the new text makes the same columns, keys and indexes."""
    texts = (stored.sql or "", new.sql)
    before, after = (_shape(describe.table_of_text(read, stored.name, text)) for text in texts)
    if before != after:
        raise Refused(f"the text of table '{stored.name}' can't be changed in place: {new.sql}")


def _shape(table: Table) -> tuple[Any, ...]:
    columns = tuple(
        (c.name, c.primary_key, c.generated, c.expression, c.collation, c.storage)
        for c in table.columns
    )
    indexes = tuple((i.origin, i.unique, i.parts, i.where) for i in table.indexes)
    return columns, indexes, table.options, table.is_numbered


def _write_older_rows(
    read: Execute,
    write: Execute,
    stored: SchemaObject,
    column: str,
    rest: Callable[[Callable[[], None]], None],
) -> None:
    """Write out the value of each row that is older than the column.

    Such a row does not hold the column: SQLite reads the DEFAULT of the text in its place, and its
    value would change with that.  A default that no row can hold finds exactly these rows.
    """
    text = CreateTable(stored.sql or "")
    if any(c.name == column and c.generated for c in inspect.columns(read, stored.name)):
        return
    mark = f"X'{secrets.token_hex(16)}'"
    key = ", ".join(map(quote, _row_key(read, stored, text)))
    # An index still has the old values.
    marked = f"FROM {inspect.unindexed(read, stored.name)} WHERE {quote(column)} IS {mark}"
    _put(read, write, stored, edits.with_default(text, column, mark).sql)
    try:
        found = list(read(f"SELECT 1 {marked} LIMIT 1"))
        if found:
            write(f"CREATE TEMP TABLE {OLDER_ROWS.partition('.')[2]} AS SELECT {key} {marked}")
    finally:
        _put(read, write, stored, text.sql)
    if found:
        # With the old default in place again, the index entries of these rows are found.
        rest(
            lambda: write(
                f"UPDATE {quote(stored.name)} SET {quote(column)} = {quote(column)} "
                f"WHERE ({key}) IN (SELECT * FROM {OLDER_ROWS})"
            )
        )
        write(f"DROP TABLE {OLDER_ROWS}")


def _row_key(read: Execute, stored: SchemaObject, text: CreateTable) -> Sequence[str]:
    """Columns that tell a row from every other."""
    if text.without_rowid:
        return inspect.primary_key(read, stored.name)
    for name in ("rowid", "_rowid_", "oid"):
        if name not in text.names:
            return (name,)
    raise Refused(f"the columns of table '{stored.name}' hide its rowid")
