"""Findings of SQLite's own check, told apart: damage, indexes that lack entries, and values that a
constraint forbids.

What the check can't do here, for it needs something that only the application registers, is no
damage.
"""

from __future__ import annotations

import re
import sqlite3
from typing import NamedTuple

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect, unknown
from guarded.backends.sqlite.text import quote
from guarded.findings import Finding, Severity

# The words of sqlite3.c, "integrity_check".
OF_INDEX = re.compile(
    r"(?:row \S+ missing from|wrong # of entries in) index (.+)"
    r"|row \S+ values differ from index (.+)|rowid not at end-of-record for row \S+ of index (.+)"
)
SHARED = re.compile(r"non-unique entry in index (.+)")
OF_VALUE = re.compile(r"(?:NULL|NUMERIC|CHECK|non-\w+|\w+) (?:value|constraint failed) in (.+)")
FAULTS = 100  # that are asked for


class Integrity(NamedTuple):
    """``damage`` is SQLite's words; ``indexes`` are names; ``values`` are SQLite's words;
    ``unchecked`` is what could not be checked here, and why; ``shared`` are unique indexes over
    rows that share a value."""

    damage: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def is_whole(self) -> bool:
        return not (self.damage or self.indexes or self.values or self.shared)


def check(execute: Execute, *, deep: bool) -> Integrity:
    """Read all of the database, change nothing.  Only a ``deep`` check compares indexes."""
    pragma = "integrity_check" if deep else "quick_check"
    try:
        return _sorted([str(row[0]) for row in execute(f"PRAGMA {pragma}({FAULTS})")])
    except sqlite3.DatabaseError as exc:
        if unknown.named_in(str(exc)) is None:
            return Integrity(damage=(str(exc),))
    parts = [_check_table(execute, pragma, name) for name in inspect.kinds_of_tables(execute)]
    return Integrity(*(tuple(dict.fromkeys(sum(part, ()))) for part in zip(*parts)))


def findings(integrity: Integrity, restore: str) -> list[Finding]:
    """``restore``: the command that brings a backup back."""
    found = []
    if integrity.damage:
        words = "; ".join(integrity.damage[:3])
        found.append(
            Finding(Severity.PROBLEM, "integrity", f"the file is damaged: {words}", restore)
        )
    for index in integrity.indexes:
        found.append(
            Finding(
                Severity.PROBLEM,
                "integrity",
                f"index '{index}' lacks entries, so that queries miss rows; no row is lost",
                f"REINDEX {quote(index)}",
            )
        )
    for index in integrity.shared:
        sentence = f"index '{index}' is unique, and rows share a value; no row is lost"
        remedy = f"change or delete all but one of them, then REINDEX {quote(index)}"
        found.append(Finding(Severity.PROBLEM, "integrity", sentence, remedy))
    for words in integrity.values[:3]:
        remedy = "change the rows that have it; a migration with fill can do that"
        found.append(Finding(Severity.WARNING, "integrity", words, remedy))
    for words in integrity.unchecked:
        found.append(Finding(Severity.NOTE, "integrity", f"not checked: {words}"))
    if integrity.is_whole:
        found.append(Finding(Severity.FINE, "integrity", "ok"))
    return found


def _check_table(execute: Execute, pragma: str, table: str) -> Integrity:
    try:
        return _sorted([str(row[0]) for row in execute(f"PRAGMA {pragma}({quote(table)})")])
    except sqlite3.DatabaseError as exc:
        thing = unknown.named_in(str(exc))
        if thing is None:
            return Integrity(damage=(str(exc),))
        return Integrity(unchecked=(f"table '{table}', for {thing} is not known here",))


def _sorted(lines: list[str]) -> Integrity:
    damage, indexes, values, unchecked, shared = [], [], [], [], []
    for line in lines:
        if line == "ok":
            continue
        if thing := unknown.named_in(line):
            unchecked.append(f"{thing} is not known here")
        elif found := OF_INDEX.fullmatch(line):
            indexes.append(next(name for name in found.groups() if name))
        elif found := SHARED.fullmatch(line):
            shared.append(found[1])
        elif OF_VALUE.fullmatch(line):
            values.append(line)
        else:
            damage.append(line)
    # Such an index may lack entries, too, and REINDEX alone would fail.
    indexes = [index for index in indexes if index not in shared]
    parts = (damage, indexes, values, unchecked, shared)
    return Integrity(*(tuple(dict.fromkeys(part)) for part in parts))
