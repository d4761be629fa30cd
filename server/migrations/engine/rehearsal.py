"""A run on a full copy: how long it takes, and what it does to the rows.

The database is only read; its write lock is never held.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from server.migrations.engine import backup, history, introspection
from server.migrations.engine.execution import Outcome
from server.migrations.engine.introspection import Execute
from server.migrations.engine.names import quote
from server.migrations.engine.record import Step
from server.migrations.engine.runner import Runner


@dataclass(frozen=True)
class Rehearsal:
    """``rows`` are before and after, None where there is no such table; ``size`` is in bytes.

    ``repeated`` are the steps that a second pass, without the history, did not skip.
    """

    outcomes: tuple[Outcome, ...]
    duration_ms: int
    locked_ms: int
    rows: Mapping[str, tuple[int | None, int | None]]
    size: tuple[int, int]
    repeated: tuple[tuple[str, Step], ...]


def rehearse(
    runner: Runner, target: str | None, on_progress: Callable[[int, int], None]
) -> Rehearsal | None:
    """``up`` on a copy of the runner's database, twice; None while there is no database.

    The copy lies beside the database where that folder may be written, else where temporary files
    do, and is removed.  Raises as ``up`` does.
    """
    path = runner.file.path
    folder = path.parent if os.access(path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".rehearsal-", dir=folder) as name:
        copy = Path(name) / path.name
        with runner.file.reading() as connection:
            if connection is None:
                return None
            backup.copy(connection, copy, path, on_progress)
        on_copy = Runner(runner.project, runner.file.at(copy), backup=False)
        before, size = _rows(copy), copy.stat().st_size
        started = time.monotonic()
        done = on_copy.up(target)
        duration = round((time.monotonic() - started) * 1000)
        after, grown = _rows(copy), copy.stat().st_size
        _forget(copy)
        again = on_copy.up(target).outcomes if done.outcomes else ()
        return Rehearsal(
            done.outcomes,
            duration,
            done.locked_ms,
            {t: (before.get(t), after.get(t)) for t in sorted({*before, *after})},
            (size, grown),
            tuple((o.name, s) for o in again for s in o.steps if s.action != "skip"),
        )


def _rows(path: Path) -> dict[str, int]:
    with closing(backup.open_read_only(path)) as connection:
        execute: Execute = connection.execute
        return {
            o.name: next(iter(execute(f"SELECT count(*) FROM {quote(o.name)}")))[0]
            for o in introspection.objects(execute)
            if o.kind == "table" and o.name != history.TABLE
        }


def _forget(path: Path) -> None:
    """Take the history out of the copy, so that every migration runs again."""
    import sqlite3

    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"DROP TABLE IF EXISTS {history.TABLE}")
