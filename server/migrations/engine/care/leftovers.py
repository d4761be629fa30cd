"""What an interrupted table rebuild of another tool left behind.

Such a rebuild copies a table, drops it and makes it anew, each by itself; a crash in between leaves
the rows in a table of another name, and the next run of that tool drops it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from server.migrations.engine import introspection
from server.migrations.engine.errors import OnlyCopy
from server.migrations.engine.introspection import Execute
from server.migrations.engine.project import Project
from server.migrations.engine.sql.names import fold, quote

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
    """Copies of these tables.  Counts rows, so its cost grows with the copies."""
    found = []
    for table in tables:
        for pattern, tool in NAMES.items():
            copy = introspection.find(execute, pattern.format(table), "table")
            if copy is not None:
                rows = _rows(execute, copy.name)
                only = bool(rows) and not _has_rows(execute, table)
                remedy = _remedy(execute, copy.name, table, only)
                found.append(Leftover(copy.name, table, tool, rows, only, remedy))
    return found


def refuse_only_copies(execute: Execute, project: Project) -> None:
    """Raise OnlyCopy: a run would go on without the rows, and move nothing of them along."""
    tables = [model._meta.table_name for model in project.models().persistent]
    for leftover in leftovers(execute, tables):
        if leftover.only_copy:
            raise OnlyCopy(leftover.story, leftover.remedy)


def _remedy(execute: Execute, copy: str, table: str, only_copy: bool) -> str:
    if not only_copy:
        return f"compare the two, then DROP TABLE {quote(copy)}"
    if not introspection.has_table(execute, table):
        return f"get them back with: ALTER TABLE {quote(copy)} RENAME TO {quote(table)}"
    has = {fold(c.name) for c in introspection.columns(execute, table) if not c.generated}
    names = [quote(c.name) for c in introspection.columns(execute, copy) if fold(c.name) in has]
    columns = ", ".join(names)
    return (
        f"get them back with: INSERT INTO {quote(table)} ({columns}) SELECT {columns} FROM "
        f"{quote(copy)}; then DROP TABLE {quote(copy)}"
    )


def _has_rows(execute: Execute, table: str) -> bool:
    if not introspection.has_table(execute, table):
        return False
    return any(True for _ in execute(f"SELECT 1 FROM {quote(table)} LIMIT 1"))


def _rows(execute: Execute, table: str) -> int:
    return int(next(iter(execute(f"SELECT count(*) FROM {quote(table)}")))[0])
