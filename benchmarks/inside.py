"""Seconds of the processor for one change in one process, up to COMMIT, start-up aside:
``inside.py DATABASE CHANGE ROUNDS`` prints them for each way, as JSON.  Nothing is kept.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw

sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import tools
from guarded.backends.sqlite import catalogue
from guarded.backends.sqlite.connect import SqliteFile
from guarded.project import Models
from guarded.run import Runner
from server.migrations.migrate import PROJECT

path = Path(sys.argv[1])
change = next(c for c in tools.cheap_changes() if c.title == sys.argv[2])


class NotKept(Exception):
    """Ends a run before it commits."""


class Timed(Runner):
    took = 0.0

    def _change(self, *arguments: object) -> object:  # type: ignore[override]
        started = time.process_time()
        super()._change(*arguments)  # type: ignore[arg-type]
        self.took = time.process_time() - started
        raise NotKept


def by_ours() -> float:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.py").write_text(change.ours)
        project = PROJECT._replace(
            directory=Path(folder), listed=["m"], excluded={}, models=lambda: Models(())
        )
        runner = Timed(project, SqliteFile(path), backup=False)
        try:
            runner.up()
        except NotKept:
            return runner.took
    raise AssertionError("the run did nothing")


def by_rebuild() -> float:
    edit = catalogue.edit
    catalogue.edit = lambda *arguments: False  # as a build that forbids it
    try:
        return by_ours()
    finally:
        catalogue.edit = edit


def by_sql(connect: Callable[[str], Any], statement: str) -> Callable[[], float]:
    def run() -> float:
        with closing(connect(str(path))) as connection:
            started = time.process_time()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(statement).fetchall()
            took = time.process_time() - started
            connection.execute("ROLLBACK")
        return took

    return run


def plain(name: str) -> sqlite3.Connection:
    return sqlite3.connect(name, isolation_level=None)


ways = {"the SELECT that checks": by_sql(plain, change.look), "migrate.py": by_ours}
if change.native:
    version = apsw.sqlite_lib_version()
    ways[f"ALTER TABLE of SQLite {version}"] = by_sql(apsw.Connection, change.native)
ways["migrate.py, rebuilding"] = by_rebuild
seconds: dict[str, list[float]] = {name: [] for name in ways}
for number in range(int(sys.argv[3])):
    for name, run in ways.items():
        if number == 0 or run is not by_rebuild:
            seconds[name].append(run())
print(json.dumps(seconds))  # noqa: T201
