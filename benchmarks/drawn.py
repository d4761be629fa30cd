"""Seconds of the processor for the migrations that seeds draw, each in a process that runs already:
``drawn.py SEEDS ROUNDS`` prints them for each way, as JSON.

The other way is the simulator's reference: it creates the new table and copies the rows, in memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from guarded.errors import MigrationError
from tests.simulator.reference import opened
from tests.simulator.trial import Case, Counts, Trial, Unusable, drawn
from tests.simulator.world import CALM


def trial(case: Case, folder: str) -> Trial:
    made = Trial(case, Path(folder), Counts())
    made.make()
    return made


def by_ours(made: Trial) -> float:
    started = time.process_time()
    made.runner().up()
    return time.process_time() - started


def by_reference(made: Trial) -> float:
    before = opened(made.path)
    started = time.process_time()
    made.expected(before)
    return time.process_time() - started


def seconds(case: Case, way: Callable[[Trial], float]) -> float | None:
    """None for a case that can't be made, or that is refused."""
    with tempfile.TemporaryDirectory(prefix="drawn-") as folder:
        try:
            return way(trial(case, folder))
        except (Unusable, MigrationError):
            return None


cases = [replace(drawn(seed), schedule=CALM) for seed in range(1, int(sys.argv[1]) + 1)]
cases = [case for case in cases if case.migrations and seconds(case, by_ours) is not None]
found: dict[str, list[float]] = {
    f"create and copy, {len(cases)} that are done": [],
    "migrate.py": [],
}
for _ in range(int(sys.argv[2])):
    for name, way in zip(found, (by_reference, by_ours)):
        found[name].append(sum(seconds(case, way) or 0.0 for case in cases))
print(json.dumps(found))  # noqa: T201
