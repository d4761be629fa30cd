"""Make a failing case smaller, and write it as a test that needs no seed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.simulator.schema import Schema
from tests.simulator.trial import Case, Counts, Finding, Trial, Unusable
from tests.simulator.world import CALM

ROOM = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def finding_of(case: Case, counts: Counts | None = None) -> Finding | None:
    """Run the case in a folder of its own; None where nothing is wrong, or it can't be made."""
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=ROOM) as folder:
        try:
            Trial(case, Path(folder), counts or Counts()).run()
        except Unusable:
            return None
        except Finding as found:
            return found
        except Exception as exc:
            return Finding("the simulator", f"{type(exc).__name__}: {exc}")
    return None


def shrunk(case: Case, oracle: str) -> Case:
    """A case in which no part can be left out and the same oracle still speaks."""
    for smaller in _smaller(case):
        found = finding_of(smaller)
        if found is not None and found.oracle == oracle:
            return shrunk(smaller, oracle)
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """The case without a part of it, large parts first.  A table stays, with its rows left out."""
    for migrations in _without_one(case.migrations):
        if migrations:
            yield replace(case, migrations=migrations)
    for number, operations in enumerate(case.migrations):
        for fewer in _without_one(operations):
            if fewer:
                before, after = case.migrations[:number], case.migrations[number + 1 :]
                yield replace(case, migrations=(*before, fewer, *after))
    if case.work:
        yield replace(case, work=())
    if case.settings:
        yield replace(case, settings=())
    schedule = case.schedule
    for less in (CALM, replace(schedule, fault=""), replace(schedule, runners=1), replace(schedule, readers=0),
                 replace(schedule, jumps=False)):  # fmt: skip
        if less != schedule:
            yield replace(case, schedule=less)
    for writes in _without_one(schedule.writes):
        yield replace(case, schedule=replace(schedule, writes=writes))
    schema = case.schema
    for triggers in _without_one(schema.triggers):
        yield _started(case, replace(schema, triggers=triggers))
    for views in _without_one(schema.views):
        yield _started(case, replace(schema, views=views))
    for number, sql in enumerate(case.start):
        if sql.startswith(("INSERT", "DELETE")):
            yield replace(case, start=case.start[:number] + case.start[number + 1 :])


def _without_one(parts: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for number in range(len(parts)):
        yield parts[:number] + parts[number + 1 :]


def _started(case: Case, schema: Schema) -> Case:
    """The case with fewer triggers and views."""
    old = case.schema
    were = {*map(old.created_view, old.views), *map(old.created_trigger, old.triggers)}
    stay = {*map(schema.created_view, schema.views), *map(schema.created_trigger, schema.triggers)}
    start = tuple(sql for sql in case.start if sql not in were - stay)
    return replace(case, schema=schema, start=start)


def as_test(case: Case, seed: int, found: Finding) -> str:
    """The source of a test that fails as the seed does, whatever the drawing becomes later."""
    return f'''"""Seed {seed}: {found.oracle}."""

from tests.simulator.operations import *
from tests.simulator.schema import *
from tests.simulator.trial import Case, Counts, Trial
from tests.simulator.world import Schedule

CASE = {case!r}


def test_seed_{seed}(tmp_path):
    Trial(CASE, tmp_path, Counts()).run()
'''
