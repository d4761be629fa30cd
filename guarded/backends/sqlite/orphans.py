"""Rows whose foreign key points nowhere, and those that came since, whatever was renamed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.text import fold, quote
from guarded.steps import Target


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
