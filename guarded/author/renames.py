"""Find renames among the differences, and keep the parts of a written migration.

A missing column and a new one of the same kind are most likely a rename, not a drop and an add.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from guarded import diff
from guarded.author.calls import verb
from guarded.author.source import Call
from guarded.backends.interface import Names, Session
from guarded.diff import Difference
from guarded.schema import Schema

# Asks whether this is a rename.  None: there is nobody to ask.
Ask = Callable[[str], "bool | None"]


class Operation(NamedTuple):
    """``stage`` orders operations.  There are no calls if only a person can decide."""

    stage: int
    up: Sequence[Call] = ()
    down: Sequence[Call] = ()
    decide_up: str = ""
    decide_down: str = ""


RENAME, CREATE, DROP_INDEX, ADD, ALTER, CONSTRAIN, INDEX, DROP = range(8)


def renames(made: Session, names: Names, declared: Schema, ask: Ask) -> Iterator[Operation]:
    """Yield each likely rename that is not denied.  Also does it in ``made``, so that indexes and
    keys on it are no differences any more."""
    found = diff.compare(declared, made.inspector.schema(), names.fold)
    gone = [d for d in found if d.kind in ("table", "column") and d.found is not None]
    come = [d for d in found if d.kind in ("table", "column") and d.wanted is not None]
    for is_likely in (_is_alike, _is_of_the_same_table):
        for new in list(come):
            for old in gone:
                if new.kind != old.kind or not is_likely(new, old, names):
                    continue
                old_name, new_name = old.subject, new.subject
                where = "table" if new.kind == "table" else f"{new.table}:"
                answer = ask(f"{where} was '{old_name}' renamed to '{new_name}'")
                if answer is not False:
                    gone.remove(old)
                    come.remove(new)
                    yield _rename(made, names, new, old, sure=bool(answer))
                    break


def _is_alike(new: Difference, old: Difference, names: Names) -> bool:
    if new.kind == "table":
        wanted, found = ([names.fold(c.name) for c in d.columns] for d in (new.wanted, old.found))
        return wanted == found
    same_type = new.wanted.storage == old.found.storage
    return new.table == old.table and same_type and new.wanted.nullable == old.found.nullable


def _is_of_the_same_table(new: Difference, old: Difference, names: Names) -> bool:
    """Return True if it may be renamed and changed at once: asking is better than a drop."""
    is_generated = old.kind == "column" and (new.wanted.generated or old.found.generated)
    return new.kind == "column" and new.table == old.table and not is_generated


def _rename(made: Session, names: Names, new: Difference, old: Difference, sure: bool) -> Operation:
    before, after = old.subject, new.subject
    if new.kind == "table":
        made.inspector.execute(f"ALTER TABLE {names.quote(before)} RENAME TO {names.quote(after)}")
        name, on = "rename_table", []
    else:
        table, column = names.quote(new.table), names.quote(before)
        made.inspector.execute(
            f"ALTER TABLE {table} RENAME COLUMN {column} TO {names.quote(after)}"
        )
        name, on = "rename_column", [new.table]
    doubt = "" if sure else f"is this a rename? If not, drop '{before}' and add '{after}' instead"
    up, down = verb(name, *on, before, after), verb(name, *on, after, before)
    return Operation(RENAME, [up], [down], doubt)
