"""Rows of every kind for the tables of a scratch database.

Each column gets its edge values: NULL where it may, empty, quotes, emoji, large numbers, dates in
every spelling that old rows have; and foreign keys point at rows that are there.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from server.migrations.engine import history, introspection
from server.migrations.engine.drift import affinity
from server.migrations.engine.introspection import Column, ForeignKey
from server.migrations.engine.sql.names import fold, quote

TEXTS = ("plain", 'it\'s "quoted"', "emoji 😀 é", "", "['not', json", '["a", "b@example.com"]')
DATES = (
    "2025-12-12 10:00:00.000 +00:00",
    "2025-12-12 10:00:00",
    "2025-12-12T10:00:00.000Z",
    "CURRENT_TIMESTAMP",
)
VALUES: dict[str, Sequence[Any]] = {
    "TEXT": TEXTS,
    "INTEGER": (0, 1, -1, 2**40),
    "REAL": (0.0, -2.5, 1e300),
    "NUMERIC": (*DATES, 7),
    "BLOB": (b"\x00\xff", b""),
}
ROWS = 6
TRIES = 40


def fill(connection: sqlite3.Connection) -> list[str]:
    """Add rows to every table that is a table; gives those that take none of them.

    Parents come first; a table of a circle of keys may get rows without a parent.
    """
    refused = []
    for table in _parents_first(connection):
        if not sum(_insert(connection, table, number) for number in range(ROWS)):
            refused.append(table)
    return refused


def keep_what_fits(connection: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Delete the rows that the same tables of ``target`` refuse, with their children; how many."""
    connection.execute("PRAGMA foreign_keys = ON")
    gone = 0
    for table in _parents_first(connection):
        shared = {fold(c.name) for c in introspection.columns(target.execute, table)}
        columns = [
            c
            for c in introspection.columns(connection.execute, table)
            if not c.generated and fold(c.name) in shared
        ]
        names = [quote(column.name) for column in columns]
        marks = ", ".join("?" * len(names))
        insert = f"INSERT INTO {quote(table)} ({', '.join(names)}) VALUES ({marks})"
        delete = f"DELETE FROM {quote(table)} WHERE {' AND '.join(f'{n} IS ?' for n in names)}"
        rows = f"SELECT {', '.join(names)} FROM {quote(table)}"
        for row in connection.execute(rows).fetchall() if names else ():
            try:
                target.execute(insert, row)
            except sqlite3.IntegrityError:
                with suppress(sqlite3.IntegrityError):  # a child that restricts it keeps it
                    gone += connection.execute(delete, row).rowcount
    return gone


def _parents_first(connection: sqlite3.Connection) -> list[str]:
    kinds = {row[1]: row[2] for row in connection.execute("PRAGMA table_list")}
    waiting = [
        o.name
        for o in introspection.objects(connection.execute)
        if o.kind == "table" and o.name != history.TABLE and kinds.get(o.name) == "table"
    ]
    ordered: list[str] = []
    while waiting:
        known = {fold(name) for name in ordered}
        free = [
            name
            for name in waiting
            if all(
                fold(key.parent) in known | {fold(name)}
                for key in introspection.foreign_keys(connection.execute, name)
            )
        ]
        ordered += free or waiting[:1]
        waiting = [name for name in waiting if name not in ordered]
    return ordered


def _insert(connection: sqlite3.Connection, table: str, number: int) -> bool:
    """One row, with other values as long as a constraint refuses them."""
    columns = [c for c in introspection.columns(connection.execute, table) if not c.generated]
    keys = introspection.foreign_keys(connection.execute, table)
    for attempt in range(TRIES):
        values = _values(connection, columns, keys, number, attempt)
        names = ", ".join(quote(name) for name in values)
        marks = ", ".join("?" * len(values))
        sql = f"INSERT INTO {quote(table)} ({names}) VALUES ({marks})"
        try:
            connection.execute(sql, list(values.values()))
        except (sqlite3.IntegrityError, sqlite3.OperationalError, sqlite3.DataError):
            continue
        return True
    return False


def _values(
    connection: sqlite3.Connection,
    columns: Sequence[Column],
    keys: Sequence[ForeignKey],
    number: int,
    attempt: int,
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for place, column in enumerate(columns):
        if column.primary_key and column.type.upper() == "INTEGER":
            continue  # SQLite gives the next one
        values[column.name] = _value(column, number + attempt * (place + 1), attempt)
    for key in keys:
        parents = _parents(connection, key)
        for name, value in zip(key.columns, next(itertools.islice(parents, number, None), ())):
            values[name] = value
    return values


def _value(column: Column, number: int, attempt: int) -> Any:
    """The ``number``-th value for the column; distinct ones once a constraint has refused some."""
    kind = affinity(column.type)
    choices = VALUES[kind]
    if column.nullable and not column.primary_key and number % 3 == 2:
        return None
    value = choices[number % len(choices)]
    if attempt or column.primary_key:
        if kind == "TEXT":
            return f"{value}{number}"
        if kind == "INTEGER":
            return number
    return value


def _parents(connection: sqlite3.Connection, key: ForeignKey) -> Iterator[tuple[Any, ...]]:
    names = ", ".join(quote(name) for name in key.parent_columns)
    rows = connection.execute(f"SELECT {names} FROM {quote(key.parent)} LIMIT 100").fetchall()
    return itertools.cycle(rows) if rows else iter(())
