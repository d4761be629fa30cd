"""Findings of SQLite's own check, told apart: damage, indexes that lack entries, and values that a
constraint forbids.

What the check can't do here, for it needs something that only the application registers, is no
damage.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect, unknown
from guarded.backends.sqlite.text import fold, quote
from guarded.findings import Finding, Severity
from guarded.steps import Target

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


def dangling(execute: Execute, table: str) -> set[tuple[Any, ...]]:
    """Rows of the table whose foreign key points nowhere: table, rowid, parent, the key's columns.

    A key that SQLite can't check, because the parent's columns are not unique, is one such row.
    """
    columns: dict[int, list[str]] = {}  # by the number of the key, which another key can change
    for number, _, _, name, *_ in execute(f"PRAGMA foreign_key_list({quote(table)})"):
        columns.setdefault(number, []).append(fold(name))
    try:
        rows = list(execute(f"PRAGMA foreign_key_check({quote(table)})"))
    except sqlite3.OperationalError as exc:
        return {(table, None, str(exc), None)}
    return {(*row[:3], tuple(columns.get(row[3], ()))) for row in rows}


class Orphans:
    """The rows of tables that pointed nowhere when each was noted, under the names of now.

    ``tables`` are those of the start.
    """

    def __init__(self, execute: Execute, tables: Iterable[str]) -> None:
        self._execute, self._at_start = execute, set(map(fold, tables))
        self._before: dict[str, set[tuple[Any, ...]]] = {}
        self._renames: list[tuple[Target, str]] = []

    def note(self, table: str) -> bool:
        """False if the table was noted before."""
        if fold(table) in self._before:
            return False
        self._before[fold(table)] = dangling(self._execute, table)
        return True

    def expect(self, target: Target, new_name: str) -> None:
        """A statement is about to rename a table or column; it may fail."""
        if fold(target.name or target.table) != fold(new_name):
            self._renames.append((target, new_name))

    def follow(self) -> list[tuple[str, str]]:
        """Take over the renames that were done; gives the tables, old name and new."""
        done = [item for item in self._renames if self._is_done(*item)]
        self._renames = [item for item in self._renames if item not in done]
        for target, new_name in done:
            self._rename(target, new_name)
        return [(target.table, new) for target, new in done if target.name is None]

    def _is_done(self, target: Target, new_name: str) -> bool:
        if target.name is None:
            names = list(inspect.kinds_of_tables(self._execute))
        else:
            names = [c.name for c in inspect.columns(self._execute, target.table)]
        there = set(map(fold, names))
        return fold(new_name) in there and fold(target.name or target.table) not in there

    def _rename(self, target: Target, new_name: str) -> None:
        of = fold(target.table)
        if target.name is not None:
            self._change(of, lambda row: _with_column(row, fold(str(target.name)), fold(new_name)))
            return
        new = fold(new_name)
        rows = self._before.pop(of, None)
        if new in self._at_start and of not in self._at_start:
            return  # a copy takes the place of its original, which had these rows, too
        self._at_start.add(new)
        if rows is not None:
            self._before[new] = {(new_name, *row[1:]) for row in rows}
        for child in self._before:
            self._change(child, lambda row: _with_table(row, target.table, new_name))

    def _change(self, child: str, change: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
        if child in self._before:
            self._before[child] = set(map(change, self._before[child]))

    def new(self) -> dict[str, set[tuple[Any, ...]]]:
        """Those that came since, by the folded names of their tables."""
        found = {}
        for child, before in self._before.items():
            stored = inspect.find(self._execute, child, "table")
            if stored and (rows := dangling(self._execute, stored.name) - before):
                found[child] = rows
        return found


def _with_column(row: tuple[Any, ...], old: str, new: str) -> tuple[Any, ...]:
    *where, names = row
    return (*where, names and tuple(new if name == old else name for name in names))


def _with_table(row: tuple[Any, ...], old: str, new: str) -> tuple[Any, ...]:
    table, rowid, parent, names = row
    if names is None:  # SQLite's words in place of a parent
        return table, rowid, parent.replace(quote(old), quote(new)), names
    return table, rowid, new if fold(parent) == fold(old) else parent, names


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
