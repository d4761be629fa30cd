"""Find renames among the differences.

A missing table or column and a new one like it are most likely a rename, not a drop and an add.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from guarded import diff
from guarded.author.calls import verb
from guarded.author.operations import RENAME, Ask, Operation
from guarded.backends.interface import Names, Session
from guarded.diff import Difference
from guarded.schema import Schema, Table

LIKELY = 0.5


def renames(made: Session, names: Names, declared: Schema, ask: Ask) -> Iterator[Operation]:
    """Each likely rename that is not denied: it is done in ``made``, so that no index or key on it
    looks different any more.

    Tables come first, for the columns of one that was renamed may be renamed, too.
    """
    for kind in ("table", "column"):
        live = made.inspector.schema()
        found = [d for d in diff.compare(declared, live, names.fold) if d.kind == kind]
        gone = [d for d in found if d.found is not None]
        come = [d for d in found if d.wanted is not None]
        pairs = [(_likeness(new, old, live, names), new, old) for new in come for old in gone]
        for likeness, new, old in sorted(pairs, key=lambda pair: -pair[0]):
            if not likeness or new not in come or old not in gone:
                continue
            where = "table" if kind == "table" else f"{new.table}:"
            answer = ask(f"{where} was '{old.subject}' renamed to '{new.subject}'")
            if answer or (answer is None and likeness >= LIKELY):
                gone.remove(old)
                come.remove(new)
                yield _rename(made, names, new, old, sure=bool(answer))
            elif answer is None:
                yield _doubt(new, old)


def _likeness(new: Difference, old: Difference, live: Schema, names: Names) -> float:
    """From 0, for what is no rename."""
    if new.kind == "table":
        return _likeness_of_tables(new.wanted, old.found, names)
    table = live[names.fold(new.table)]
    is_generated = new.wanted.generated or old.found.generated
    is_key = bool(new.wanted.primary_key), bool(old.found.primary_key)
    if new.table != old.table or table.kind == "virtual" or is_generated or is_key[0] != is_key[1]:
        return 0
    same_type = new.wanted.storage == old.found.storage
    if is_key[0] and not same_type:
        return 0
    is_alike = same_type and new.wanted.nullable == old.found.nullable
    # Renamed and changed at once: better asked than that a column's values are dropped.
    similar = difflib.SequenceMatcher(None, old.subject.lower(), new.subject.lower()).ratio()
    return float(LIKELY + is_alike + similar / 2)


def _likeness_of_tables(new: Table, old: Table, names: Names) -> float:
    """The part of the columns that both have, without the ids that most tables have."""
    if new.kind != old.kind:
        return 0
    mine, yours = _columns(new, names), _columns(old, names)
    shared = mine.keys() & yours.keys()
    likeness = len(shared) / max(len(mine), len(yours), 1)
    if mine and not likeness and list(mine.values()) == list(yours.values()):
        return LIKELY  # every column may be renamed, too
    return likeness


def _columns(table: Table, names: Names) -> dict[str, str]:
    has_id = table.is_numbered
    found = [c for c in table.columns if not (has_id and c.primary_key)]
    return {names.fold(c.name): c.storage for c in found or table.columns}


def _doubt(new: Difference, old: Difference) -> Operation:
    before, after = old.subject, new.subject
    doubt = f"was '{before}' renamed to '{after}'? If so, rename it; its rows are lost below"
    return Operation(RENAME, decide_up=doubt)


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
