"""What to do about the differences, in parts: first of all, which of them are renames.

A column that is gone and one of the same kind that is new look like a drop and an add, and are most
likely neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from server.migrations.engine import drift, shape
from server.migrations.engine.develop.source import Call
from server.migrations.engine.develop.verbs import verb
from server.migrations.engine.drift import Difference
from server.migrations.engine.sql.names import fold, quote

# Shall this be taken for a rename?  None: nobody there to ask.
Ask = Callable[[str], "bool | None"]


class Operation(NamedTuple):
    """``stage`` orders what must come before what; no call where only a person can say."""

    stage: int
    up: Sequence[Call] = ()
    down: Sequence[Call] = ()
    decide_up: str = ""
    decide_down: str = ""


RENAME, CREATE, DROP_INDEX, ADD, ALTER, CONSTRAIN, INDEX, DROP = range(8)


def renames(made: sqlite3.Connection, declared: shape.Schema, ask: Ask) -> Iterator[Operation]:
    """Each likely rename that is not denied: it is done in ``made``, so that no index or key on it
    looks different any more."""
    found = drift.compare(declared, shape.live_schema(made.execute))
    gone = [d for d in found if d.kind in ("table", "column") and d.found is not None]
    come = [d for d in found if d.kind in ("table", "column") and d.wanted is not None]
    for is_likely in (_is_alike, _is_of_the_same_table):
        for new in list(come):
            for old in gone:
                if new.kind != old.kind or not is_likely(new, old):
                    continue
                old_name, new_name = old.subject, new.subject
                where = "table" if new.kind == "table" else f"{new.table}:"
                answer = ask(f"{where} was '{old_name}' renamed to '{new_name}'")
                if answer is not False:
                    gone.remove(old)
                    come.remove(new)
                    yield _rename(made, new, old, sure=bool(answer))
                    break


def _is_alike(new: Difference, old: Difference) -> bool:
    if new.kind == "table":
        wanted, found = ([fold(c.name) for c in d.columns] for d in (new.wanted, old.found))
        return wanted == found
    same_type = drift.affinity(new.wanted.type) == drift.affinity(old.found.type)
    return new.table == old.table and same_type and new.wanted.nullable == old.found.nullable


def _is_of_the_same_table(new: Difference, old: Difference) -> bool:
    """Renamed and changed at once: better asked than that a column's values are dropped."""
    is_generated = old.kind == "column" and (new.wanted.generated or old.found.generated)
    return new.kind == "column" and new.table == old.table and not is_generated


def _rename(made: sqlite3.Connection, new: Difference, old: Difference, sure: bool) -> Operation:
    before, after = old.subject, new.subject
    if new.kind == "table":
        made.execute(f"ALTER TABLE {quote(before)} RENAME TO {quote(after)}")
        name, on = "rename_table", []
    else:
        table, column = quote(new.table), quote(before)
        made.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO {quote(after)}")
        name, on = "rename_column", [new.table]
    doubt = "" if sure else f"is this a rename? If not, drop '{before}' and add '{after}' instead"
    up, down = verb(name, *on, before, after), verb(name, *on, after, before)
    return Operation(RENAME, [up], [down], doubt)
