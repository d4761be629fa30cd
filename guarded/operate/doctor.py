"""An examination of a database: surroundings, content, migrations.  Reads only."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from guarded import diff, kept
from guarded.backends.interface import KeptFile
from guarded.errors import ForeignHistory, MigrationError, UnusableDatabase
from guarded.findings import Finding, Severity
from guarded.operate import backups
from guarded.operate.backups import Use
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
        yield Finding(Severity.PROBLEM, "file", sentence, project.command)
        return
    said: set[str] = set()
    try:
        yield from backend.examine(project, runner.patience)
        for part in (_dropped, _standing):
            try:
                yield from part(runner, project)
            except UnusableDatabase:
                raise
            except MigrationError as exc:
                why, remedy = str(exc), f"{project.command} status"
                if isinstance(exc, ForeignHistory):
                    why, remedy = exc.why, exc.remedy
                if why not in said:
                    said.add(why)
                    yield Finding(Severity.PROBLEM, "migrations", why, remedy)
    except UnusableDatabase as exc:  # its surroundings have been looked at
        yield Finding(Severity.PROBLEM, "content", f"'{exc.where}' {exc.why}", exc.remedy)


def _dropped(runner: Runner, project: Project) -> Iterator[Finding]:
    subject = "dropped values"
    found = backups.values(runner)
    if needed := [each.file for each in found if each.use is not Use.NONE]:
        size = sum(file.size for file in needed)
        sentence = f"{_files(needed)}, {size / 1e6:.1f} MB, for the down of their migrations"
        yield Finding(Severity.FINE, subject, sentence)
    if rest := [each.file for each in found if each.use is Use.NONE]:
        sentence = (
            f"{_files(rest)}, {sum(file.size for file in rest) / 1e6:.1f} MB, that no down needs"
        )
        remedy = f"{project.command} backups prune --include unneeded-values"
        yield Finding(Severity.NOTE, subject, sentence, remedy)
    for name, entry in runner.state().applied.items():
        file = entry.made.kept
        if file is not None and file.path and (why := kept.missing(file)):
            remedy = f"put it back; without it, the down of '{name}' can't bring them back"
            yield Finding(Severity.WARNING, subject, why, remedy)


def _files(files: Sequence[KeptFile]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _standing(runner: Runner, project: Project) -> Iterator[Finding]:
    with runner.backend.reading(runner.patience) as inspector:
        state = read_state(project, inspector)
        standings = state.standings()
        for standing in standings:
            if standing.state is not State.APPLIED:
                is_pending = standing.state is State.PENDING
                yield Finding(
                    Severity.NOTE if is_pending else Severity.PROBLEM,
                    "migrations",
                    f"'{standing.name}' is {standing.state.value}",
                    REMEDIES[standing.state].format(command=project.command),
                )
        if (disorder := state.disorder()) is not None:
            yield Finding(Severity.PROBLEM, "migrations", disorder.why, disorder.remedy)
        if disorder or any(standing.state is not State.APPLIED for standing in standings):
            return
        yield Finding(Severity.FINE, "migrations", f"all {len(standings)} are applied")
        for difference in diff.with_models(project, runner.backend, inspector):
            if not difference.is_extra:
                severity = Severity.PROBLEM if difference.is_breaking else Severity.WARNING
                remedy = "write a migration that fixes it"
                yield Finding(severity, "drift", difference.sentence, remedy)
