"""Put back rows and values that a drop took, and leave out what does not fit any more."""

from __future__ import annotations

from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.text import quote
from guarded.changes import Refill


def refill(connection: Any, change: Refill) -> int:
    """Give how many rows have their values back.  Wants the triggers of the table at rest."""
    table, size = quote(change.table), len(change.key)
    if size:
        places = " AND ".join(f"{quote(name)} IS ?" for name in change.key)
        sets = ", ".join(f"{quote(name)} = ?" for name in change.columns)
        sql = f"UPDATE OR IGNORE {table} SET {sets} WHERE {places}"
    else:
        columns = ", ".join(map(quote, change.columns))
        marks = ", ".join("?" * len(change.columns))
        sql = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"
    before = _changes(connection.execute)
    # A row has its key first, and the statement last.
    connection.executemany(sql, (row[size:] + row[:size] for row in change.rows))
    filled = _changes(connection.execute) - before
    return filled - _drop_what_dangles(connection.execute, change)


def _drop_what_dangles(execute: Execute, change: Refill) -> int:
    """Rows whose parent is gone since, and values that point nowhere; gives how many."""
    table, before = quote(change.table), _changes(execute)
    for key in inspect.foreign_keys(execute, change.table):
        if change.key and not set(key.columns) <= set(change.columns):
            continue
        own = [f"{table}.{quote(name)}" for name in key.columns]
        pairs = zip(key.parent_columns, own)
        meets = " AND ".join(f"parent.{quote(name)} = {value}" for name, value in pairs)
        present = " AND ".join(f"{value} IS NOT NULL" for value in own)
        where = (
            f"WHERE {present} AND NOT EXISTS "
            f"(SELECT 1 FROM {quote(key.parent)} AS parent WHERE {meets})"
        )
        if change.key:
            nothing = ", ".join(f"{quote(name)} = NULL" for name in key.columns)
            execute(f"UPDATE {table} SET {nothing} {where}")
        else:
            execute(f"DELETE FROM {table} {where}")
    return _changes(execute) - before


def _changes(execute: Execute) -> int:
    ((count,),) = execute("SELECT total_changes()")
    return int(count)
