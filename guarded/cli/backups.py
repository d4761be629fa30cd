"""The commands ``backups``, ``backups prune``, and ``restore`` without a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from guarded.backends.interface import Origin
from guarded.cli.advice import command_line, repeated
from guarded.cli.session import NeedsAnswer, Session, locate
from guarded.errors import MigrationError, RestoreRefused
from guarded.operate import backups
from guarded.operate.backups import Held, Use, Values
from guarded.run import Runner

# How the command line names what `prune` spares unless it is named.
VALUES, UNNEEDED = "dropped-values", "unneeded-values"
SPARED = {"by-hand": Origin.BY_HAND, "restore": Origin.RESTORE}
ORIGINS = {Origin.RUN: "by a run", Origin.BY_HAND: "by hand", Origin.RESTORE: "by restore"}
USES = {
    Use.DATABASE: "needed by its down",
    Use.COPY: "needed by the down of a backup",
    Use.NONE: "no down needs it",
    Use.UNKNOWN: "the database can't be read",
}
UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
INDENT = " " * 6


def show(session: Session) -> None:
    runner = session.open()
    held, dropped = backups.copies(runner), backups.values(runner)
    lines = copy_lines(held)
    for each in dropped:
        words = f"{'dropped':<10}  {_age(each.file.at):<14} {_size(each.file.size):>8}"
        lines += [f"{INDENT}{words}  {_described(each)}", f"{INDENT}{each.file.path}"]
    if lines:
        lines.append(f"total    {_total(held, dropped)}")
    if not lines:
        take = f"; take one with: {command_line(session, 'backup')}"
        lines = [f"there is none{take if runner.backend.is_there else ''}"]
    session.show(
        lines,
        backups=[_copy_document(each) for each in held],
        dropped=[_values_document(each) for each in dropped],
    )


def prune(session: Session, keep: int, kinds: Sequence[str], *, dry_run: bool, yes: bool) -> None:
    """Ask before deleting a file of a kind that was named."""
    runner = session.open()
    origins = {Origin.RUN, *(SPARED[kind] for kind in kinds if kind in SPARED)}
    copies = backups.surplus(reversed(runner.backend.copies()), origins, keep)
    dropped = backups.values_at_rest(runner) if {VALUES, UNNEEDED} & set(kinds) else []
    if VALUES not in kinds:
        dropped = [each for each in dropped if each.use is Use.NONE]
    paths = [str(each.path) for each in copies] + [str(each.file.path) for each in dropped]
    if not dry_run:
        precious = [
            f"'{c.path}': made {ORIGINS[c.origin]}" for c in copies if c.origin != Origin.RUN
        ]
        precious += [f"'{v.file.path}': {_described(v)}" for v in dropped]
        _ask(session, precious, yes)
        backups.remove(runner, copies, dropped)
    size = sum(each.size for each in copies) + sum(each.file.size for each in dropped)
    word = "would go" if dry_run else "removed"
    lines = [f"{word:<8} {path}" for path in paths]
    lines.append(
        f"total    {_many(len(paths), 'file')}, {_size(size)}" if paths else "nothing to do"
    )
    session.show(lines, removed=paths, dry_run=dry_run, size=size)


def choose(session: Session, runner: Runner) -> Path:
    """Show the copies and ask which to restore.

    Raises RestoreRefused where there is none, and UsageError where nobody can be asked.
    """
    if not runner.backend.copies():
        where = Path(str(runner.backend))
        raise RestoreRefused(where, "there is no backup of it", "name a file")
    if session.json or not sys.stdin.isatty():
        raise NeedsAnswer("name a backup of it", command_line(session, "backups"))
    held = backups.copies(runner)
    click.echo("\n".join(copy_lines(held)), err=True)
    number = click.prompt("Restore which number", type=click.IntRange(1, len(held)), err=True)
    return held[number - 1].copy.path


def copy_lines(held: Sequence[Held]) -> list[str]:
    """Two lines a copy, the newest first, with a number to choose it by."""
    lines = []
    for number, each in enumerate(held, start=1):
        copy, newest = each.copy, each.newest
        content = each.why or (f"at {newest}" if newest else "before the first migration")
        words = f"{ORIGINS[copy.origin]:<10}  {_age(copy.at):<14} {_size(copy.size):>8}"
        lines += [f"{number:>3}   {words}  {content}", f"{INDENT}{copy.path}"]
    return lines


def complete_copies(context: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
    """For a shell: the copies of the database, the newest first, and files besides."""
    from click.shell_completion import CompletionItem

    session = context.find_object(Session)
    found = []
    if session is not None:
        try:
            copies = locate(session.project, session.database).copies()
        except MigrationError:  # a completion must not print
            copies = []
        for copy in reversed(copies):
            if str(copy.path).startswith(incomplete):
                help = f"{ORIGINS[copy.origin]} {_age(copy.at)}"
                found.append(CompletionItem(str(copy.path), help=help))
    return found or [CompletionItem(incomplete, type="file")]


def _ask(session: Session, precious: Sequence[str], yes: bool) -> None:
    for line in [] if yes else precious:
        click.echo(f"lost for good: {line}", err=True)
    if precious and not yes:
        if not sys.stdin.isatty():
            raise NeedsAnswer("pass --yes to remove these", repeated(session, "--yes"))
        click.confirm("Go on?", abort=True, err=True)


def _described(values: Values) -> str:
    rows = "" if values.rows is None else f"{_many(values.rows, 'row')}, "
    return f"{rows}{USES[values.use]}"


def _total(held: Sequence[Held], dropped: Sequence[Values]) -> str:
    found = [(_many(len(held), "backup"), sum(each.copy.size for each in held))]
    if dropped:
        size = sum(each.file.size for each in dropped)
        found.append((f"{_many(len(dropped), 'file')} of dropped values", size))
    return "; ".join(f"{what}, {_size(size)}" for what, size in found)


def _many(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _age(at: datetime) -> str:
    seconds = max(int((datetime.now(timezone.utc) - at).total_seconds()), 0)
    length, unit = next((u for u in UNITS if seconds >= u[0]), UNITS[-1])
    return f"{_many(seconds // length, unit)} ago"


def _copy_document(held: Held) -> dict[str, Any]:
    return {
        "file": str(held.copy.path),
        "origin": held.copy.origin.value,
        "at": _utc(held.copy.at),
        "size": held.copy.size,
        "newest": held.newest,
        "unreadable": held.why or None,
    }


def _values_document(values: Values) -> dict[str, Any]:
    return {
        "file": str(values.file.path),
        "migration": values.file.migration,
        "at": _utc(values.file.at),
        "size": values.file.size,
        "rows": values.rows,
        "needed_by": values.use.value,
    }


def _utc(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
