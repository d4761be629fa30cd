"""Generate rows for the tables of a scratch database.

Each column gets edge values: NULL where allowed, empty, quotes, emoji, large numbers, dates in
every spelling of old rows.  Foreign keys point at existing rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from peewee import DatabaseError, IntegrityError

from guarded.backends.interface import Inspector, Names, Session
from guarded.schema import Column, ForeignKey, Table

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
    "BOOLEAN": (False, True),
    "DATETIME": DATES[:3],
}
ROWS = 6
TRIES = 40


def fill(session: Session, names: Names) -> list[str]:
    """Add rows to every ordinary table; return the tables that refused all of them.

    Fills parents first.  In a circle of keys, rows may lack a parent.
    """
    refused = []
    for table in _parents_first(session.inspector, names):
        if not sum(_insert(session, names, table, number) for number in range(ROWS)):
            refused.append(table.name)
    return refused


def keep_what_fits(session: Session, target: Session, names: Names) -> int:
    """Delete the rows that the same tables of ``target`` refuse, with their children; return how
    many."""
    gone = 0
    quote, fold = names.quote, names.fold
    for table in _parents_first(session.inspector, names):
        other = target.inspector.table(table.name)
        shared = {fold(c.name) for c in other.columns} if other else set()
        columns = [c for c in table.columns if not c.generated and fold(c.name) in shared]
        quoted = [quote(column.name) for column in columns]
        rows = f"SELECT {', '.join(quoted)} FROM {quote(table.name)}"
        for row in list(session.inspector.execute(rows)) if columns else ():
            if not _add(target, names, table, dict(zip([c.name for c in columns], row))):
                gone += _delete(session, names, table, dict(zip(quoted, row)))
    return gone


def delete_orphans(session: Session, target: Session, names: Names) -> int:
    """Delete the rows that refer to no row by the foreign keys that ``target`` has; how many."""
    gone, before = 0, -1
    while gone != before:
        before = gone
        for table in target.inspector.schema().values():
            gone += sum(_delete_orphans(session, names, table, key) for key in table.foreign_keys)
    return gone


def _delete_orphans(session: Session, names: Names, table: Table, key: ForeignKey) -> int:
    for name, columns in ((table.name, key.columns), (key.parent, key.parent_columns)):
        present = session.inspector.table(name)
        known = {names.fold(column.name) for column in present.columns} if present else set()
        if not known.issuperset(map(names.fold, columns)):
            return 0
    child, quote = names.quote(table.name), names.quote
    own = [f"{child}.{quote(name)}" for name in key.columns]
    same = [f"parent.{quote(p)} = {o}" for p, o in zip(key.parent_columns, own)]
    sql = (
        f"DELETE FROM {child} WHERE {' AND '.join(f'{name} IS NOT NULL' for name in own)} AND NOT "
        f"EXISTS (SELECT 1 FROM {quote(key.parent)} AS parent WHERE {' AND '.join(same)})"
    )
    return int(session.database.execute_sql(sql).rowcount)


def _delete(session: Session, names: Names, table: Table, row: dict[str, Any]) -> int:
    """Delete the row and the rows that refer to it: a scratch database has foreign keys off."""
    quote = names.quote
    gone = 0
    for child in session.inspector.schema().values():
        for key in child.foreign_keys:
            if names.fold(key.parent) != names.fold(table.name):
                continue
            values = {
                quote(own): row[quote(parent)]
                for own, parent in zip(key.columns, key.parent_columns)
                if row.get(quote(parent)) is not None
            }
            if len(values) == len(key.columns) and child.name != table.name:
                for found in _rows(session, names, child, values):
                    gone += _delete(session, names, child, found)
    where = " AND ".join(f"{name} IS {session.database.param}" for name in row)
    sql = f"DELETE FROM {quote(table.name)} WHERE {where}"
    with suppress(IntegrityError), session.database.atomic():
        gone += session.database.execute_sql(sql, tuple(row.values())).rowcount
    return gone


def _rows(
    session: Session, names: Names, table: Table, values: dict[str, Any]
) -> list[dict[str, Any]]:
    quoted = [names.quote(c.name) for c in table.columns if not c.generated]
    where = " AND ".join(f"{name} = {session.database.param}" for name in values)
    sql = f"SELECT {', '.join(quoted)} FROM {names.quote(table.name)} WHERE {where}"
    found = session.database.execute_sql(sql, tuple(values.values())).fetchall()
    return [dict(zip(quoted, row)) for row in found]


def _parents_first(inspector: Inspector, names: Names) -> list[Table]:
    waiting = [table for table in inspector.schema().values() if table.kind == "table"]
    ordered: list[Table] = []
    while waiting:
        known = {names.fold(table.name) for table in ordered}
        free = [
            table
            for table in waiting
            if all(
                names.fold(key.parent) in known | {names.fold(table.name)}
                for key in table.foreign_keys
            )
        ]
        ordered += free or waiting[:1]
        waiting = [table for table in waiting if table not in ordered]
    return ordered


def _insert(session: Session, names: Names, table: Table, number: int) -> bool:
    """Insert a row; try other values as long as a constraint refuses them."""
    return any(
        _add(session, names, table, _values(session.inspector, names, table, number, attempt))
        for attempt in range(TRIES)
    )


def _add(session: Session, names: Names, table: Table, values: dict[str, Any]) -> bool:
    database = session.database
    columns = ", ".join(map(names.quote, values))
    marks = ", ".join([database.param] * len(values))
    sql = f"INSERT INTO {names.quote(table.name)} ({columns}) VALUES ({marks})"
    try:
        with database.atomic():
            database.execute_sql(sql, tuple(values.values()))
    except DatabaseError:
        return False
    return True


def _values(
    inspector: Inspector, names: Names, table: Table, number: int, attempt: int
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for place, column in enumerate(c for c in table.columns if not c.generated):
        if column.primary_key and table.is_numbered:
            continue  # the database gives the next one
        values[column.name] = _value(names, column, number + attempt * (place + 1), attempt)
    for key in table.foreign_keys:
        parents = _parents(inspector, names, key)
        found = next(itertools.islice(parents, number, None), None)
        nullable = {names.fold(c.name) for c in table.columns if c.nullable}
        if found is None and nullable.issuperset(map(names.fold, key.columns)):
            found = (None,) * len(key.columns)
        values.update(zip(key.columns, found or ()))
    return values


def _value(names: Names, column: Column, number: int, attempt: int) -> Any:
    """Return the ``number``-th value for the column; distinct values after the first refusal."""
    affinity = names.affinity(column.storage)
    choices = VALUES.get(affinity, TEXTS)
    if column.nullable and not column.primary_key and number % 3 == 2:
        return None
    value = choices[number % len(choices)]
    if attempt or column.primary_key:
        if choices is TEXTS:
            return f"{value}{number}"
        if affinity == "INTEGER":
            return number
    return value


def _parents(inspector: Inspector, names: Names, key: ForeignKey) -> Iterator[tuple[Any, ...]]:
    columns = ", ".join(names.quote(name) for name in key.parent_columns)
    sql = f"SELECT {columns} FROM {names.quote(key.parent)} LIMIT 100"
    rows = list(inspector.execute(sql)) if inspector.has_table(key.parent) else []
    return itertools.cycle(rows) if rows else iter(())
