"""SQLite's table rebuild, for what its ALTER TABLE can't do.

The procedure of https://www.sqlite.org/lang_altertable.html, "making other kinds of table schema
changes", with one difference: the old table steps aside first and the new one is created under its
own name, so that the stored text stays as it was written.  That is safe here because the rename
touches no other object while legacy_alter_table is on and foreign keys are off, and because a run
is one transaction: a crash between any two statements leaves the old table where it was.
"""

from __future__ import annotations

from collections.abc import Mapping

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.text import CreateTable, fold, quote
from guarded.errors import Refused
from guarded.schema import Column


def rebuild(
    read: Execute, write: Execute, table: str, new: CreateTable, values: Mapping[str, str]
) -> None:
    """Give ``table`` the definition ``new``, keeping its rows, rowids, id mark, indexes, triggers.

    ``values`` has SQL, over the old columns, for columns that don't just take the old value; a new
    column without one gets its default.  ``read`` looks, ``write`` changes.  Wants a transaction
    with foreign keys off.  Raises Refused when rows would be lost.
    """
    if next(iter(read("PRAGMA foreign_keys")))[0]:
        raise Refused(
            f"'{table}' can't be rebuilt while foreign keys are on: dropping the old table would "
            "delete the rows that refer to it"
        )
    dependents = inspect.dependents(read, table)
    old_columns = inspect.columns(read, table)
    mark = _mark(read, table)
    aside = _free_name(read, table)
    rows = inspect.Inspector(read).count(table)

    write("PRAGMA legacy_alter_table = ON")
    try:
        write(f"ALTER TABLE {quote(table)} RENAME TO {quote(aside)}")
    finally:
        write("PRAGMA legacy_alter_table = OFF")
    write(new.sql)
    write(_copy(read, table, aside, old_columns, new, values))
    if (copied := inspect.Inspector(read).count(table)) != rows:
        raise Refused(f"'{table}' would keep {copied} of its {rows} rows")
    write(f"DROP TABLE {quote(aside)}")
    if mark is not None and new.autoincrement:
        write("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
        write("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, mark))
    for dependent in dependents:
        assert dependent.sql is not None
        write(dependent.sql)


def _copy(
    read: Execute,
    table: str,
    aside: str,
    old_columns: tuple[Column, ...],
    new: CreateTable,
    values: Mapping[str, str],
) -> str:
    expressions = {fold(c.name): quote(c.name) for c in old_columns}
    expressions.update((fold(name), value) for name, value in values.items())
    targets = [
        column.name
        for column in inspect.columns(read, table)
        if not column.generated and fold(column.name) in expressions
    ]
    into = [quote(name) for name in targets]
    out = [expressions[fold(name)] for name in targets]
    if rowid := _rowid(new, old_columns):
        into.insert(0, rowid)
        out.insert(0, rowid)
    return (
        f"INSERT INTO {quote(table)} ({', '.join(into)}) "
        f"SELECT {', '.join(out)} FROM {quote(aside)}"
    )


def _rowid(new: CreateTable, old_columns: tuple[Column, ...]) -> str | None:
    """A name that reaches the rowid of both tables, where there is one that no column took."""
    taken = {
        fold(name) for name in (*(c.name for c in old_columns), *(c.name for c in new.columns))
    }
    free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
    key = [c for c in old_columns if c.primary_key]
    is_alias = len(key) == 1 and key[0].type.upper() == "INTEGER"
    return free[0] if free and not new.without_rowid and not is_alias else None


def _mark(read: Execute, table: str) -> int | None:
    """The largest id that AUTOINCREMENT has given out in this table."""
    if not inspect.has_table(read, "sqlite_sequence"):
        return None
    rows = read("SELECT seq FROM sqlite_sequence WHERE name = ? COLLATE NOCASE", (table,))
    return next((int(row[0]) for row in rows), None)


def _free_name(read: Execute, table: str) -> str:
    """A name that nothing has: a leftover of that name may hold the only copy of some rows."""
    name, number = f"{table}__old", 1
    while inspect.find(read, name) is not None:
        number += 1
        name = f"{table}__old{number}"
    return name
