"""The migrations of a project as a story: what each changes, and when it was applied here."""

from __future__ import annotations

import ast
from typing import NamedTuple

from guarded.errors import MigrationError
from guarded.forecast import forecast
from guarded.plan import Standing
from guarded.project import Project
from guarded.run import Runner
from guarded.scripts import Script
from guarded.status import State
from guarded.steps import Action, Direction, Made, Step, Target


class Chapter(NamedTuple):
    """A migration.  ``steps`` are those on a new database; ``there`` are those of them that found
    it done in this database, and ``more`` is what it made here and not in a new one.
    ``duration_ms`` is None for one that did not run here."""

    standing: Standing
    summary: str
    steps: tuple[Step, ...]
    there: frozenset[Step]
    more: tuple[Target, ...]
    duration_ms: int | None


class Story(NamedTuple):
    """``why`` says why the steps of the last chapters are not known."""

    chapters: tuple[Chapter, ...]
    why: str | None


def story(runner: Runner) -> Story:
    """Run all on an empty database in memory.  Changes nothing."""
    state = runner.state()
    steps, why = _steps(runner, state)
    scripts = {script.name: script for script in state.scripts}
    chapters = []
    for standing in state.standings():
        entry = state.applied.get(standing.name)
        own = steps.get(standing.name, ())
        ran = entry is not None and entry.direction is Direction.UP
        there, more = _here(own, entry.made) if entry is not None and ran else (frozenset(), ())
        chapters.append(
            Chapter(
                standing,
                _summary(scripts[standing.name]) if standing.name in scripts else "",
                own,
                there,
                more,
                entry.duration_ms if entry is not None and ran else None,
            )
        )
    return Story(tuple(chapters), why)


def _steps(runner: Runner, state: State) -> tuple[dict[str, tuple[Step, ...]], str | None]:
    project: Project = runner.project
    try:
        foreseen = forecast(
            project, runner.backend, None, state.scripts, Direction.UP, lambda script: None
        )
    except MigrationError as exc:
        return {}, str(exc)
    return {outcome.name: outcome.steps for outcome in foreseen.outcomes}, foreseen.unforeseen


def _here(steps: tuple[Step, ...], made: Made) -> tuple[frozenset[Step], tuple[Target, ...]]:
    """The history has names as they are in the end, so a renaming leaves both unknown."""
    if any(step.action is Action.RENAME for step in steps):
        return frozenset(), ()
    created = [step for step in steps if step.action in (Action.CREATE, Action.ADD)]
    more = made.targets - {step.target for step in created}
    there = frozenset(step for step in created if step.target not in made.targets)
    return there, tuple(sorted(more, key=str))


def _summary(script: Script) -> str:
    """The first line of the file's docstring; the file is not run."""
    try:
        text = ast.get_docstring(ast.parse(script.path.read_bytes())) or ""
    except (OSError, SyntaxError, ValueError):
        return ""
    return text.partition("\n")[0]
