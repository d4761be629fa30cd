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
FOUND, KEPT, GONE, GONE_FOUND = "found", "kept", "gone", "gone found"
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
        parts: dict[str, list[Any]] = {}
        for item in items:
            is_marked = isinstance(item, list) and item[0] in (FOUND, KEPT, GONE, GONE_FOUND)
            word, rest = (item[0], item[1:]) if is_marked else ("", item)
            parts.setdefault(word, []).append(rest)
        kept = None
        for path, sha256, rows, unkept in parts.get(KEPT, ()):
            kept = Kept(path, sha256, rows, tuple(unkept))
        return Made(
            frozenset(t for item in parts.get("", ()) for t in _targets(item)),
            frozenset(Found(*fact) for fact in parts.get(FOUND, ())),
            kept,
            frozenset(t for item in parts.get(GONE, ()) for t in _targets(item)),
            frozenset(Found(*fact) for fact in parts.get(GONE_FOUND, ())),
        )


def read(inspector: Inspector) -> tuple[Entry, ...]:
    """Return the rows, oldest first; none if there is no table.  Never creates the table.

    Raises ForeignHistory.
    """
    if not inspector.has_table(TABLE):
        taken = inspector.relation(TABLE)
        if taken is not None:
            raise ForeignHistory(taken.described, ())
        return ()
    try:
        rows = inspector.execute(f"SELECT {COLUMNS} FROM {TABLE} ORDER BY id")
    except Exception as exc:  # whatever the driver raises
        present = inspector.table(TABLE)
        columns = [column.name for column in present.columns] if present else []
        if set(COLUMNS.split(", ")) <= set(columns):
            raise
        raise ForeignHistory(f"table '{TABLE}'", columns) from exc
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

    items: list[Any] = _sorted(made.targets)
    items += [[FOUND, *fact] for fact in _facts(made.found)]
    items += [[GONE, *target] for target in _sorted(made.gone)]
    items += [[GONE_FOUND, *fact] for fact in _facts(made.gone_found)]
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


def _sorted(targets: Iterable[Target]) -> list[list[str]]:
    return sorted([t.kind.value, t.table, t.name or ""] for t in targets)


def _facts(found: Iterable[Found]) -> list[list[str]]:
    return sorted([part for part in fact if part is not None] for fact in found)


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
