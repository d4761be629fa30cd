"""The table schema_history: what has been applied, undone or recorded.  Append-only.

A migration is applied when its newest row is not a ``down``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from server.migrations.engine import introspection
from server.migrations.engine.introspection import Execute

TABLE = "schema_history"
UP, DOWN, FAKE = "up", "down", "fake"
COLUMNS = "id, migration, direction, checksum, at, duration_ms, versions, backup, made"
CREATE = f"""CREATE TABLE {TABLE} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    migration VARCHAR(255) NOT NULL,
    direction VARCHAR(4) NOT NULL,
    checksum CHAR(64) NOT NULL,
    at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP,
    duration_ms INTEGER NOT NULL,
    versions VARCHAR(255) NOT NULL,
    backup TEXT,
    made TEXT NOT NULL
)"""


class Entry(NamedTuple):
    """One row.  ``at`` is UTC; ``made_json`` is the list of what an ``up`` really created in this
    database, as ``table meetings`` or ``column meetings.title``: all that its ``down`` may drop."""

    id: int
    migration: str
    direction: str
    checksum: str
    at: str
    duration_ms: int
    versions: str
    backup: str | None
    made_json: str

    @property
    def made(self) -> frozenset[str]:
        return frozenset(json.loads(self.made_json))


def read(execute: Execute) -> tuple[Entry, ...]:
    """Oldest first; empty where the table does not exist.  Never writes, not even the table."""
    if not introspection.has_table(execute, TABLE):
        return ()
    return tuple(map(Entry._make, execute(f"SELECT {COLUMNS} FROM {TABLE} ORDER BY id")))


def applied(entries: Iterable[Entry]) -> dict[str, Entry]:
    """The newest row of each applied migration, in the order in which they were applied."""
    standing: dict[str, Entry] = {}
    for entry in entries:
        if entry.direction == DOWN:
            standing.pop(entry.migration, None)
        else:
            standing[entry.migration] = entry
    return standing


def create(execute: Execute) -> None:
    """Make the table; safe twice."""
    if not introspection.has_table(execute, TABLE):
        execute(CREATE)


def append(
    execute: Execute,
    migration: str,
    direction: str,
    checksum: str,
    *,
    duration_ms: int,
    versions: str,
    backup: str | None,
    made: Iterable[str],
) -> None:
    """Add a row, at this moment."""
    execute(
        f"INSERT INTO {TABLE} (migration, direction, checksum, duration_ms, versions, backup, made)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (migration, direction, checksum, duration_ms, versions, backup, json.dumps(sorted(made))),
    )
