"""Examine an SQLite database from the outside in, for doctor.

Reads only, and looks at the files before SQLite opens them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from guarded.backends.interface import Patience
from guarded.backends.sqlite import backup, inspect, leftovers, processes
from guarded.backends.sqlite.connect import SqliteFile, companions
from guarded.backends.sqlite.files import look_around
from guarded.findings import Finding, Severity
from guarded.project import Project
from guarded.status import tables_of


def examine(file: SqliteFile, project: Project, patience: Patience) -> Iterator[Finding]:
    path = file.path
    yield from look_around(path)
    yield from _users(path)
    yield from _backups(path, project)
    with file.reading(patience) as inspector:
        if inspector is None:
            return
        try:
            yield from _content(inspector, project)
            yield from leftovers.findings(inspector.execute, tables_of(project))
            yield from _empty_keys(inspector, project)
        except sqlite3.DatabaseError as exc:
            yield _damaged(str(exc), project)


def _users(path: Path) -> Iterator[Finding]:
    for user in processes.openers([path, *companions(path)]):
        yield Finding(Severity.NOTE, "in use", f"{user} has it open")
    for holder in processes.holders(path):
        yield Finding(
            Severity.WARNING,
            "lock",
            f"{holder} holds a write lock",
            "wait for it, or stop that process",
        )


def _backups(path: Path, project: Project) -> Iterator[Finding]:
    if taken := backup.backups_of(path):
        yield Finding(Severity.FINE, "backups", f"{len(taken)}, the newest is '{taken[-1]}'")
    else:
        yield Finding(Severity.NOTE, "backups", "there is none", f"{project.command} backup")


def _content(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    execute = inspector.execute
    ((mode,),) = execute("PRAGMA journal_mode")
    yield Finding(Severity.FINE, "journal mode", mode)
    faults = [str(row[0]) for row in execute("PRAGMA integrity_check(3)")]
    if faults == ["ok"]:
        yield Finding(Severity.FINE, "integrity", "ok")
    else:
        yield _damaged("; ".join(faults), project)
    dangling: dict[tuple[str, str], int] = {}
    for child, _, parent, _ in execute("PRAGMA foreign_key_check"):
        dangling[child, parent] = dangling.get((child, parent), 0) + 1
    for (child, parent), rows in dangling.items():
        yield Finding(
            Severity.WARNING,
            "foreign keys",
            f"{rows} rows of '{child}' refer to no row of '{parent}'",
            f"PRAGMA foreign_key_check('{child}') lists them: correct or delete them",
        )


def _damaged(why: str, project: Project) -> Finding:
    remedy = f"{project.command} restore BACKUP"
    return Finding(Severity.PROBLEM, "integrity", f"the file is damaged: {why}", remedy)


def _empty_keys(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    """SQLite lets NULL into a primary key that is no integer, https://sqlite.org/quirks.html."""
    for table in tables_of(project):
        for column in inspect.primary_key(inspector.execute, table):
            if rows := inspector.count(table, f"{SqliteFile.names.quote(column)} IS NULL"):
                yield Finding(
                    Severity.WARNING,
                    "keys",
                    f"{rows} rows of '{table}' have no {column}, which is their primary key",
                    f"give them one, or delete them: {column} IS NULL",
                )
