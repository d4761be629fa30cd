"""The table schema_history: a row each time a migration was applied, undone or recorded.

Append-only.  A migration is applied when its newest row is not a ``down``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from guarded.errors import ForeignHistory
from guarded.steps import Direction, Found, Kept, Kind, Made, Target

if TYPE_CHECKING:
    from guarded.backends.interface import Execute, Inspector

# The first word of an item of ``made`` that is no target.
FOUND, KEPT = "found", "kept"
TABLE = "schema_history"
COLUMNS = "id, migration, direction, checksum, at, duration_ms, versions, backup, made"
CREATE = f"""CREATE TABLE {TABLE} (
    id {{id}},
    migration VARCHAR(255) NOT NULL,
    direction VARCHAR(4) NOT NULL,
    checksum CHAR(64) NOT NULL,
    at {{at}},
    duration_ms INTEGER NOT NULL,
    versions VARCHAR(255) NOT NULL,
    backup TEXT,
    made TEXT NOT NULL
)"""


class Entry(NamedTuple):
    """One row.  ``at`` is UTC; ``made_json`` lists what ``up`` really created in this database."""

    id: int
    migration: str
    direction: Direction
    checksum: str
    at: str
    duration_ms: int
    versions: str
    backup: str | None
    made_json: str

    @property
    def made(self) -> Made:
        """The changes that the migration's ``down`` may undo."""
        import json

        items = json.loads(self.made_json)
        found = frozenset(Found(*item[1:]) for item in items if item[0] == FOUND)
        kept = next((item[1:] for item in items if item[0] == KEPT), None)
        targets = (t for item in items if item[0] not in (FOUND, KEPT) for t in _targets(item))
        if kept is not None:
            path, sha256, rows, unkept = kept
            return Made(frozenset(targets), found, Kept(path, sha256, rows, tuple(unkept)))
        return Made(frozenset(targets), found)


def read(inspector: Inspector) -> tuple[Entry, ...]:
    """Return the rows, oldest first; none if there is no table.  Never creates the table.

    Raises ForeignHistory.
    """
    if not inspector.has_table(TABLE):
        return ()
    try:
        rows = inspector.execute(f"SELECT {COLUMNS} FROM {TABLE} ORDER BY id")
    except Exception as exc:  # whatever the driver raises
        present = inspector.table(TABLE)
        columns = [column.name for column in present.columns] if present else []
        if set(COLUMNS.split(", ")) <= set(columns):
            raise
        raise ForeignHistory(TABLE, columns) from exc
    return tuple(Entry(id, name, _DIRECTIONS[way], *rest) for id, name, way, *rest in rows)


_DIRECTIONS = {direction.value: direction for direction in Direction}


def applied(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Return the newest row of each applied migration, in the order of application."""
    standing: dict[str, Entry] = {}
    for entry in entries:
        if entry.direction is Direction.DOWN:
            standing.pop(entry.migration, None)
        else:
            standing[entry.migration] = entry
    return standing


def create(inspector: Inspector) -> None:
    """Create the table; safe twice."""
    if not inspector.has_table(TABLE):
        inspector.execute(CREATE.format(**inspector.own_types))


def rename(execute: Execute, old: str, new: str) -> None:
    """Give every row of a migration its new name."""
    execute(f"UPDATE {TABLE} SET migration = ? WHERE migration = ?", (new, old))


def append(
    execute: Execute,
    migration: str,
    direction: Direction,
    checksum: str,
    *,
    duration_ms: int,
    versions: str,
    backup: str | None,
    made: Made,
) -> None:
    """Add a row, dated now."""
    import json

    items: list[Any] = sorted([t.kind.value, t.table, t.name or ""] for t in made.targets)
    facts = sorted(made.found, key=lambda fact: fact[:3])
    items += [[FOUND, *fact] if fact.value is not None else [FOUND, *fact[:3]] for fact in facts]
    items += [[KEPT, *made.kept]] if made.kept else []
    execute(
        f"INSERT INTO {TABLE} (migration, direction, checksum, duration_ms, versions, backup, made)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            migration,
            direction.value,
            checksum,
            duration_ms,
            versions,
            backup,
            json.dumps(items, ensure_ascii=False),
        ),
    )


def _targets(item: Any) -> Iterable[Target]:
    """Read one item of ``made``, also in the earlier format ``column meetings.title``."""
    if isinstance(item, list):
        kind, table, name = item
        return [Target(Kind(kind), table, name or None)]
    word, _, rest = item.partition(" ")
    kind = Kind(word)
    if kind in (Kind.TABLE, Kind.VIEW):
        return [Target(kind, rest)]
    if kind is not Kind.COLUMN:
        return [Target(kind, "", rest)]
    # Either name may contain a dot, so every way to split the text is a target.
    parts = rest.split(".")
    return [
        Target(kind, ".".join(parts[:place]), ".".join(parts[place:]))
        for place in range(1, len(parts))
    ]
