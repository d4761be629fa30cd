"""Broken promises in sentences: what a run did that none of its steps says.

Pure: the facts of a ledger in, sentences out.
"""

from __future__ import annotations

from guarded.backends.interface import Left, Written

AND_NO_STEP = "and no step of it names that"


def about_rows(migration: str, written: Written) -> list[str]:
    """Tables that gained or lost rows, or were written where nobody could look."""
    found = []
    for table, before, after, trigger in written.counts:
        by = f" (by trigger '{trigger}')" if trigger else ""
        found.append(
            f"'{migration}' left table '{table}' with {after} of {before} rows{by}, {AND_NO_STEP} "
            "table; if that is meant, say so with migrator.sql(…)"
        )
    for table in written.unseen:
        found.append(
            f"'{migration}' wrote table '{table}' past Peewee, where it can't be checked; use "
            "db.execute_sql(…) in place of the bare connection"
        )
    return found


def about_the_whole(left: Left) -> list[str]:
    """Objects that changed or vanished, ids that would be given out again, keys that dangle."""
    found = []
    for target, is_gone, migration in left.changed:
        found.append(
            f"{_by(migration)} {'dropped' if is_gone else 'changed'} {target.described}, "
            f"{AND_NO_STEP} {target.kind.value}; if that is meant, say so with a verb of the "
            "migrator"
        )
    for table, before, after in left.fallen:
        found.append(
            f"the id mark of table '{table}' fell from {before} to {after}: old ids would be given "
            "out again"
        )
    for child, parent, rows, migration in left.dangling:
        found.append(
            f"{_by(migration)} left {rows} row{'s' * (rows != 1)} of '{child}' that refer to no "
            f"row of '{parent}'"
        )
    for target, why in left.broken:
        found.append(
            f"{target.described} can't be used any more: {why}; change or drop it in the same "
            "migration"
        )
    return found


def _by(migration: str | None) -> str:
    return f"'{migration}'" if migration else "a migration"
