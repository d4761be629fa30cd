"""Find changes that no step announced, and say so in sentences.

Pure: the facts of a ledger in, sentences out.
"""

from __future__ import annotations

from guarded.backends.interface import Left, Written

AND_NO_STEP = "and no step of it names that"


def about_rows(migration: str, written: Written) -> list[str]:
    """Describe tables that gained or lost rows, or were written outside of Peewee."""
    found = []
    for table, before, after, trigger in written.counts:
        by = f" (by trigger '{trigger}')" if trigger else ""
        found.append(
            f"'{migration}' left table '{table}' with {after} of {before} rows{by}, {AND_NO_STEP} "
            "table; if this is intended, use migrator.sql(…)"
        )
    for table in written.unseen:
        found.append(
            f"'{migration}' wrote table '{table}' past Peewee, where it can't be checked; use "
            "db.execute_sql(…) instead of the bare connection"
        )
    return found


def about_the_whole(left: Left) -> list[str]:
    """Describe changed or dropped objects, id marks that fell, and dangling foreign keys."""
    found = []
    for target, is_gone, migration in left.changed:
        found.append(
            f"{_by(migration)} {'dropped' if is_gone else 'changed'} {target.described}, "
            f"{AND_NO_STEP} {target.kind.value}; if this is intended, use a verb of the migrator"
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
