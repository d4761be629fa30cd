"""Find copies that an interrupted table rebuild of another tool left behind.

Such a rebuild copies a table, drops it and creates it again, in separate transactions.  A crash in
between leaves the rows in a table of another name, and the next run of that tool drops it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.text import fold, quote
from guarded.findings import Finding, Severity
from guarded.steps import Kind, Target

# How each tool names the copy while it rebuilds a table.
NAMES = {
    "{}_backup": "the former server's ORM",
    "{}__tmp__": "playhouse's migrator",
    "_alembic_tmp_{}": "Alembic",
    "new__{}": "Django",
    "{}__old": "this tool",
}


class Leftover(NamedTuple):
    """A copy of ``table``; ``only_copy`` when the table has no row, or is not there."""

    name: str
    table: str
    tool: str
    rows: int
    only_copy: bool
    remedy: str

    @property
    def story(self) -> str:
        state = f"'{self.table}' has none" if self.only_copy else f"'{self.table}' has rows too"
        return (
            f"table '{self.name}' has {self.rows} rows and {state}: {self.tool} was interrupted "
            f"while it rebuilt '{self.table}'"
        )


def leftovers(execute: Execute, tables: Iterable[str]) -> list[Leftover]:
    """Return copies of these tables.  Counts rows, so the cost grows with the copies."""
    found = []
    for table in tables:
        for pattern, tool in NAMES.items():
            copy = inspect.find(execute, pattern.format(table), "table")
            if copy is not None:
                rows = inspect.Inspector(execute).count(copy.name)
                only = bool(rows) and not _has_rows(execute, table)
                remedy = _remedy(execute, copy.name, table, only)
                found.append(Leftover(copy.name, table, tool, rows, only, remedy))
    return found


def findings(execute: Execute, tables: Iterable[str]) -> Iterator[Finding]:
    """Yield a PROBLEM for the only copy of a table's rows, a WARNING for any other copy."""
    for leftover in leftovers(execute, tables):
        severity = Severity.PROBLEM if leftover.only_copy else Severity.WARNING
        target = Target(Kind.TABLE, leftover.name)
        yield Finding(severity, "leftover", leftover.story, leftover.remedy, target)


def only_copies(execute: Execute, tables: Iterable[str]) -> Iterator[Finding]:
    return (f for f in findings(execute, tables) if f.severity is Severity.PROBLEM)


def _remedy(execute: Execute, copy: str, table: str, only_copy: bool) -> str:
    if not only_copy:
        return f"compare the two, then DROP TABLE {quote(copy)}"
    if not inspect.has_table(execute, table):
        return f"get them back with: ALTER TABLE {quote(copy)} RENAME TO {quote(table)}"
    has = {fold(c.name) for c in inspect.columns(execute, table) if not c.generated}
    names = [quote(c.name) for c in inspect.columns(execute, copy) if fold(c.name) in has]
    columns = ", ".join(names)
    return (
        f"get them back with: INSERT INTO {quote(table)} ({columns}) SELECT {columns} FROM "
        f"{quote(copy)}; then DROP TABLE {quote(copy)}"
    )


def _has_rows(execute: Execute, table: str) -> bool:
    if not inspect.has_table(execute, table):
        return False
    return any(True for _ in execute(f"SELECT 1 FROM {quote(table)} LIMIT 1"))
