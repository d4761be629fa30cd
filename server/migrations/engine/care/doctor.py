"""An examination of a database: its files, its content, who uses it, and where it stands.

Reads only, and looks at the files before SQLite opens them.
"""

from __future__ import annotations

import platform
import sqlite3
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from server.migrations.engine import drift, introspection, plan, processes, shape
from server.migrations.engine.care import backup
from server.migrations.engine.care.leftovers import leftovers
from server.migrations.engine.care.surroundings import look_around
from server.migrations.engine.findings import FINE, NOTE, PROBLEM, WARNING, Finding
from server.migrations.engine.introspection import Execute
from server.migrations.engine.project import Project
from server.migrations.engine.runner import Runner
from server.migrations.engine.sql.names import quote
from server.migrations.engine.state import read_state

__all__ = ["FINE", "NOTE", "PROBLEM", "WARNING", "Finding", "examine"]

STANDING_REMEDIES = {
    plan.PENDING: "python migrations/migrate.py",
    plan.CHANGED: "restore the file, and put the change into a new migration",
    plan.MISSING: "restore the file",
    plan.UNLISTED: "update the code, or restore a backup from before",
}


def examine(runner: Runner) -> list[Finding]:
    """Every finding in the order of a patient's way in: outside first.

    Raises what opening the file raises, such as that it is no database.
    """
    path = runner.file.path
    found = list(_versions(runner.project))
    if not path.exists():
        runner.read(lambda connection: None)  # raises where there can't be one
        return [*found, Finding(NOTE, "file", f"there is no database at '{path}' yet", "migrate")]
    found += look_around(path)
    found += _users(path)
    found += _backups(path)
    return found + runner.read(lambda c: list(_inside(c, runner.project)) if c else [])


def _inside(connection: sqlite3.Connection, project: Project) -> Iterator[Finding]:
    try:
        yield from _content(connection)
        yield from _leftovers(connection.execute, project)
        yield from _empty_keys(connection.execute, project)
        yield from _standing(connection.execute, project)
    except sqlite3.DatabaseError as exc:
        yield Finding(
            PROBLEM,
            "integrity",
            f"the file is damaged: {exc}",
            "python migrations/migrate.py restore BACKUP",
        )


def _versions(project: Project) -> Iterator[Finding]:
    yield Finding(
        FINE,
        "versions",
        f"meeting-server {project.version}, Peewee {version('peewee')}, SQLite "
        f"{sqlite3.sqlite_version}, Python {platform.python_version()}",
    )


def _users(path: Path) -> Iterator[Finding]:
    companions = [Path(f"{path}{suffix}") for suffix in ("-wal", "-shm", "-journal")]
    for user in processes.openers([path, *companions]):
        yield Finding(NOTE, "in use", f"{user} has it open")
    for holder in processes.holders(path):
        yield Finding(
            WARNING, "lock", f"{holder} holds a write lock", "wait for it, or stop that process"
        )


def _backups(path: Path) -> Iterator[Finding]:
    if taken := backup.backups_of(path):
        yield Finding(FINE, "backups", f"{len(taken)}, the newest is '{taken[-1]}'")
    else:
        yield Finding(NOTE, "backups", "there is none", "python migrations/migrate.py backup")


def _content(connection: sqlite3.Connection) -> Iterator[Finding]:
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    yield Finding(FINE, "journal mode", mode)
    faults = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
    if faults == ["ok"]:
        yield Finding(FINE, "integrity", "ok")
    else:
        yield Finding(
            PROBLEM,
            "integrity",
            f"the file is damaged: {'; '.join(faults)}",
            "python migrations/migrate.py restore BACKUP",
        )
    dangling: dict[tuple[str, str], int] = {}
    for child, _, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        dangling[child, parent] = dangling.get((child, parent), 0) + 1
    for (child, parent), rows in dangling.items():
        yield Finding(
            WARNING,
            "foreign keys",
            f"{rows} rows of '{child}' refer to no row of '{parent}'",
            f"PRAGMA foreign_key_check('{child}') lists them: mend or delete them",
        )


def _leftovers(execute: Execute, project: Project) -> Iterator[Finding]:
    tables = [model._meta.table_name for model in project.models().persistent]
    for leftover in leftovers(execute, tables):
        severity = PROBLEM if leftover.only_copy else WARNING
        yield Finding(severity, "leftover", leftover.story, leftover.remedy)


def _empty_keys(execute: Execute, project: Project) -> Iterator[Finding]:
    """SQLite lets NULL into a primary key that is no integer, https://sqlite.org/quirks.html."""
    for model in project.models().persistent:
        table = model._meta.table_name
        for column in introspection.primary_key(execute, table):
            sql = f"SELECT count(*) FROM {quote(table)} WHERE {quote(column)} IS NULL"
            if rows := next(iter(execute(sql)))[0]:
                yield Finding(
                    WARNING,
                    "keys",
                    f"{rows} rows of '{table}' have no {column}, which is their primary key",
                    f"give them one, or delete them: {column} IS NULL",
                )


def _standing(execute: Execute, project: Project) -> Iterator[Finding]:
    state = read_state(project, execute)
    standings = plan.standings(state.scripts, state.applied)
    for standing in standings:
        if standing.state != plan.APPLIED:
            severity = NOTE if standing.state == plan.PENDING else PROBLEM
            sentence = f"'{standing.name}' is {standing.state}"
            remedy = STANDING_REMEDIES[standing.state]
            yield Finding(severity, "migrations", sentence, remedy)
    if any(standing.state != plan.APPLIED for standing in standings):
        return
    yield Finding(FINE, "migrations", f"all {len(standings)} are applied")
    declared = shape.declared_schema(project.models().persistent)
    severities = {drift.BREAKS: PROBLEM, drift.DIFFERS: WARNING}
    for difference in drift.compare(declared, shape.live_schema(execute)):
        if difference.severity in severities:
            severity = severities[difference.severity]
            yield Finding(severity, "drift", difference.sentence, "write a migration that mends it")
