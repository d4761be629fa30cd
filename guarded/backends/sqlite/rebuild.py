"""SQLite's table rebuild, for what its ALTER TABLE can't do.

The procedure of https://www.sqlite.org/lang_altertable.html, "making other kinds of table schema
changes", with one difference: the old table steps aside first and the new one is created under its
own name, so that the stored text stays as it was written.  That is safe here because the rename
touches no other object while legacy_alter_table is on and foreign keys are off, and because a run
is one transaction: a crash between any two statements leaves the old table where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import describe, inspect
from guarded.backends.sqlite.text import CreateTable, fold, quote
from guarded.errors import Refused
from guarded.schema import Column

ROWID_NAMES = ("rowid", "_rowid_", "oid")


def rebuild(
    read: Execute,
    write: Execute,
    natively: Callable[[Callable[[], Any]], None],
    table: str,
    new: CreateTable,
    values: Mapping[str, str],
) -> int:
    """Give ``table`` the definition ``new``, keeping its rows, rowids, id mark, indexes, triggers.

    ``values`` has SQL, over the old columns, for columns that don't just take the old value; a new
    column without one gets its default.  ``read`` looks, ``write`` changes, ``natively`` runs an
    ALTER TABLE although it compiles what has nothing to do with it.  Wants a transaction with
    foreign keys off, and gives the number of rows.  Raises Refused when rows would be lost.
    """
    if next(iter(read("PRAGMA foreign_keys")))[0]:
        raise Refused(
            f"'{table}' can't be rebuilt while foreign keys are on: dropping the old table would "
            "delete the rows that refer to it"
        )
    dependents = inspect.dependents(read, table)
    old_columns = inspect.columns(read, table)
    marks = _id_marks(read, table)
    aside = free_name(read, table)
    alias = describe.rowid_alias(read, table)

    write("PRAGMA legacy_alter_table = ON")
    try:
        natively(lambda: write(f"ALTER TABLE {quote(table)} RENAME TO {quote(aside)}"))
    finally:
        write("PRAGMA legacy_alter_table = OFF")
    write(new.sql)
    new_alias = describe.rowid_alias(read, table)
    if new_alias is not None and alias is None:
        _refuse_null_ids(read, table, aside, new_alias)
    write(_copy(read, table, aside, old_columns, new, values))
    # Not by an index, for one may lack entries.
    old, kept = (_count(read, name) for name in (aside, table))
    if kept != old:
        raise Refused(f"'{table}' would keep {kept} of its {old} rows")
    write(f"DROP TABLE {quote(aside)}")
    if marks and new.autoincrement:
        set_id_marks(write, table, marks)
    for dependent in dependents:
        assert dependent.sql is not None
        write(dependent.sql)
    return kept


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
    if not new.without_rowid and describe.rowid_alias(read, table) is None:
        into.insert(0, _rowid_name(table, new.names))
        out.insert(0, _rowid_name(table, frozenset(fold(c.name) for c in old_columns)))
    return (
        f"INSERT INTO {quote(table)} ({', '.join(into)}) "
        f"SELECT {', '.join(out)} FROM {quote(aside)}"
    )


def _rowid_name(table: str, columns: frozenset[str]) -> str:
    """A name that reaches the rowid.  Raises Refused where columns took them all."""
    for name in ROWID_NAMES:
        if name not in columns:
            return name
    taken = ", ".join(ROWID_NAMES)
    raise Refused(f"'{table}' can't be rebuilt with its rowids: its columns are named {taken}")


def set_id_marks(write: Execute, table: str, marks: Iterable[object]) -> None:
    """Let the next id be higher than the first.  The table, named as it is stored, has
    AUTOINCREMENT."""
    write("DELETE FROM sqlite_sequence WHERE name = ?", (table,))
    for mark in marks:
        write("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, mark))


def _id_marks(read: Execute, table: str) -> list[object]:
    """Every number that is kept for the table, though SQLite reads only the first; empty where
    that is no number."""
    if inspect.id_mark(read, table) is None:
        return []
    rows = read("SELECT seq FROM sqlite_sequence WHERE name = ? ORDER BY rowid", (table,))
    return [mark for (mark,) in rows]


def free_name(read: Execute, table: str) -> str:
    """A name that nothing has: a leftover of that name may hold the only copy of some rows."""
    # SQLite keeps names that begin with sqlite_ for itself.
    stem = f"_{table}__old" if fold(table).startswith("sqlite") else f"{table}__old"
    name, number = stem, 1
    while inspect.find(read, name) is not None:
        number += 1
        name = f"{stem}{number}"
    return name


def _refuse_null_ids(read: Execute, table: str, aside: str, key: str) -> None:
    """Raise Refused for rows that SQLite would give a new id."""
    rows = _count(read, aside, f" WHERE {quote(key)} IS NULL")
    if rows:
        have = "1 row has" if rows == 1 else f"{rows} rows have"
        raise Refused(f"'{table}': {have} no {key}, and would get one; give them one first")


def _count(read: Execute, table: str, where: str = "") -> int:
    return int(next(iter(read(f"SELECT count(*) FROM {inspect.unindexed(read, table)}{where}")))[0])
