"""An examination of a database: surroundings, content, migrations.  Reads only."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import version

from guarded import diff
from guarded.findings import Finding, Severity
from guarded.plan import State
from guarded.project import Project
from guarded.run import Runner
from guarded.status import read_state

REMEDIES = {
    State.PENDING: "{command}",
    State.CHANGED: "restore the file, and put the change into a new migration",
    State.MISSING: "restore the file",
    State.UNLISTED: "update the code, or restore a backup from before",
}


def examine(runner: Runner) -> Iterator[Finding]:
    """Yield findings from the outside in: files first, content and migrations last.

    Raises UnusableDatabase when there can't be a database.
    """
    project, backend = runner.project, runner.backend
    yield Finding(
        Severity.FINE,
        "versions",
        f"{project.name} {project.version}, Peewee {version('peewee')}, {backend.version}, Python "
        f"{platform.python_version()}",
    )
    if not backend.is_there:
        with backend.reading(runner.patience):  # raises if there can't be one
            pass
        sentence = f"there is no database at '{backend}' yet"
        yield Finding(Severity.NOTE, "file", sentence, project.command)
        return
    yield from backend.examine(project, runner.patience)
    yield from _standing(runner, project)


def _standing(runner: Runner, project: Project) -> Iterator[Finding]:
    with runner.backend.reading(runner.patience) as inspector:
        standings = read_state(project, inspector).standings()
        for standing in standings:
            if standing.state is not State.APPLIED:
                is_pending = standing.state is State.PENDING
                yield Finding(
                    Severity.NOTE if is_pending else Severity.PROBLEM,
                    "migrations",
                    f"'{standing.name}' is {standing.state.value}",
                    REMEDIES[standing.state].format(command=project.command),
                )
        if any(standing.state is not State.APPLIED for standing in standings):
            return
        yield Finding(Severity.FINE, "migrations", f"all {len(standings)} are applied")
        for difference in diff.with_models(project, runner.backend, inspector):
            if not difference.is_extra:
                severity = Severity.PROBLEM if difference.is_breaking else Severity.WARNING
                remedy = "write a migration that fixes it"
                yield Finding(severity, "drift", difference.sentence, remedy)
