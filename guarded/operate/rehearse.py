"""Run on a full copy: measure the time, and what happens to the rows.

Only reads the database, and never holds its write lock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from guarded import plan
from guarded.backends.interface import Backend, OnProgress, Patience
from guarded.errors import MigrationError, NotSafeTwice
from guarded.forecast import weighed
from guarded.run import Runner
from guarded.steps import Action, Outcome, Step


@dataclass(frozen=True)
class Rehearsal:
    """``rows`` are before and after, None if there is no such table; ``size`` is in bytes.

    ``repeated`` are the steps that the second run of a migration did not skip.
    """

    outcomes: tuple[Outcome, ...]
    duration_ms: int
    locked_ms: int
    rows: Mapping[str, tuple[int | None, int | None]]
    size: tuple[int, int]
    repeated: tuple[tuple[str, Step], ...]


def rehearse(runner: Runner, target: str | None, on_progress: OnProgress) -> Rehearsal | None:
    """Run each pending migration twice on a copy; return None if there is no database.

    Removes the copy.  Raises what ``up`` raises, and NotSafeTwice.
    """
    with runner.backend.copy(runner.patience, on_progress) as copy:
        if copy is None:
            return None
        on_copy = Runner(runner.project, copy, backup=False, keep=False, weighs=True)
        before, size = _rows(copy), copy.size()
        with copy.reading(runner.patience) as inspector:
            schema = inspector.schema() if inspector is not None else {}
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
            repeated += again(on_copy, script.name)
        after = _rows(copy)
        steps = [step for outcome in outcomes for step in outcome.steps]
        outcomes = weighed(outcomes, copy.locks(steps, schema), lambda table: before.get(table, 0))
        return Rehearsal(
            tuple(outcomes),
            round(duration * 1000),
            locked,
            {t: (before.get(t), after.get(t)) for t in sorted({*before, *after})},
            (size, copy.size()),
            tuple(repeated),
        )


def again(runner: Runner, name: str) -> list[tuple[str, Step]]:
    """Return the steps that an applied migration does again when it is run once more.

    Raises NotSafeTwice.
    """
    try:
        done = runner.again(name)
    except MigrationError as exc:
        raise NotSafeTwice(name, exc) from exc
    steps = [step for outcome in done.outcomes for step in outcome.steps]
    return [(name, step) for step in steps if step.action is not Action.SKIP]


def _rows(backend: Backend) -> dict[str, int]:
    with backend.reading(Patience()) as inspector:
        if inspector is None:
            return {}
        tables = inspector.schema().values()
        return {t.name: inspector.count(t.name) for t in tables if not t.unreadable}
