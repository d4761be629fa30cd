"""Put back rows and values that a drop took, and leave out what does not fit any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.rebuild import set_id_marks
from guarded.backends.sqlite.text import parse, quote
from guarded.changes import RawText, Refill


def refill(connection: Any, change: Refill) -> int:
    """Give how many rows have their values back.  Wants the triggers of the table at rest."""
    size = len(change.key)
    plain = "?" * (size + len(change.columns))
    raw: list[tuple[Any, ...]] = []
    rows = _plain_rows(change.rows, size, raw)
    # By the cursors: total_changes() has what triggers write, too.
    filled = _changed(connection.executemany(_sql(change, plain), rows))
    for row in raw:
        marks = ["CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in row]
        filled += _changed(connection.execute(_sql(change, marks), tuple(map(_bytes, row))))
    filled -= _drop_what_dangles(connection.execute, change)
    if change.mark is not None:
        _raise_id_mark(connection.execute, change.table, change.mark)
    return filled


def _sql(change: Refill, marks: Sequence[str]) -> str:
    """``marks`` are those of the columns, and then of the key."""
    table, count = quote(change.table), len(change.columns)
    if not change.key:
        columns = ", ".join(map(quote, change.columns))
        return f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({', '.join(marks)})"
    pairs = zip(change.key, marks[count:])
    places = " AND ".join(f"{quote(name)} IS {mark}" for name, mark in pairs)
    sets = ", ".join(f"{quote(name)} = {mark}" for name, mark in zip(change.columns, marks))
    return f"UPDATE OR IGNORE {table} SET {sets} WHERE {places}"


def _plain_rows(
    rows: Iterable[tuple[Any, ...]], size: int, raw: list[tuple[Any, ...]]
) -> Iterator[tuple[Any, ...]]:
    """The columns and then the key of each; put those aside that the driver can't bind."""
    for row in rows:
        moved = row[size:] + row[:size]
        if any(isinstance(value, RawText) for value in moved):
            raw.append(moved)
        else:
            yield moved


def _bytes(value: Any) -> Any:
    return bytes(value) if isinstance(value, RawText) else value


def _drop_what_dangles(execute: Execute, change: Refill) -> int:
    """Rows whose parent is gone since, and values that point nowhere; gives how many."""
    table, dropped = quote(change.table), 0
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
            dropped += _changed(execute(f"UPDATE {table} SET {nothing} {where}"))
        else:
            dropped += _changed(execute(f"DELETE FROM {table} {where}"))
    return dropped


def _raise_id_mark(execute: Execute, name: str, mark: int) -> None:
    """Let no id be given out twice, where the table still remembers them."""
    stored = inspect.find(execute, name, "table")
    if stored is None or not parse(stored.sql or "").autoincrement:
        return
    if mark > (inspect.id_mark(execute, stored.name) or 0):
        set_id_marks(execute, stored.name, [mark])


def _changed(cursor: Any) -> int:
    """How many rows its statement changed itself; -1 says that it did not run."""
    return max(int(cursor.rowcount), 0)
