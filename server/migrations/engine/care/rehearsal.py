"""A run on a full copy: how long it takes, and what it does to the rows.

The database is only read; its write lock is never held.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.migrations.engine import history, introspection, plan
from server.migrations.engine.care import backup
from server.migrations.engine.execution import Outcome
from server.migrations.engine.introspection import Execute
from server.migrations.engine.record import Step
from server.migrations.engine.runner import Run, Runner
from server.migrations.engine.sql.names import quote


@dataclass(frozen=True)
class Rehearsal:
    """``rows`` are before and after, None where there is no such table; ``size`` is in bytes.

    ``repeated`` are the steps that a migration did not skip when it was run again right away, as if
    the history did not know it.
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
    """Each pending migration, twice, on a copy of the database; None while there is no database.

    The copy lies beside the database where that folder may be written, else where temporary files
    do, and is removed.  Raises as ``up`` does.
    """
    path = runner.file.path
    folder = path.parent if os.access(path.parent, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=".rehearsal-", dir=folder) as name:
        copy = Path(name) / path.name
        runner.read(lambda c: backup.copy(c, copy, path, on_progress) if c else None)
        if not copy.exists():
            return None
        on_copy = Runner(runner.project, runner.file.at(copy), backup=False)
        before, size = _rows(copy), copy.stat().st_size
        outcomes: list[Outcome] = []
        repeated: list[tuple[str, Step]] = []
        duration, locked = 0.0, 0
        state = on_copy.state()
        for script in plan.plan_up(state.scripts, state.applied, target):
            started = time.monotonic()
            done = on_copy.up(script.name)
            duration += time.monotonic() - started
            locked += done.locked_ms
            outcomes += done.outcomes
            repeated += _again(on_copy, copy, script.name)
        after = _rows(copy)
        return Rehearsal(
            tuple(outcomes),
            round(duration * 1000),
            locked,
            {t: (before.get(t), after.get(t)) for t in sorted({*before, *after})},
            (size, copy.stat().st_size),
            tuple(repeated),
        )


def _rows(path: Path) -> dict[str, int]:
    with closing(backup.open_read_only(path)) as connection:
        execute: Execute = connection.execute
        return {
            o.name: next(iter(execute(f"SELECT count(*) FROM {quote(o.name)}")))[0]
            for o in introspection.objects(execute)
            if o.kind == "table" and o.name != history.TABLE
        }


class _Undone(Exception):
    """Ends a run that was only to be looked at."""

    def __init__(self, done: Run) -> None:
        self.done = done


class _Unkept(Runner):
    """A runner whose runs are rolled back when they are through."""

    def _change(self, *arguments: Any) -> Run:
        raise _Undone(super()._change(*arguments))


def _again(runner: Runner, path: Path, name: str) -> list[tuple[str, Step]]:
    """What a migration that is applied would do again, if the history did not know it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        row = connection.execute(
            f"DELETE FROM {history.TABLE} WHERE migration = ? RETURNING *", (name,)
        ).fetchone()
    try:
        _Unkept(runner.project, runner.file, backup=False).up(name)
    except _Undone as undone:
        steps = [step for outcome in undone.done.outcomes for step in outcome.steps]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO {history.TABLE} VALUES ({marks})", row)
    return [(name, step) for step in steps if step.action != "skip"]
