"""Commands for whoever looks after a database: rehearse, backup, restore, doctor."""

from __future__ import annotations

from pathlib import Path

import click

from server.migrations.cli import report
from server.migrations.cli.console import Session, command, show_progress, to_argument
from server.migrations.engine.care import backup as backups
from server.migrations.engine.errors import BackupFailed


@command
@to_argument
def rehearse(session: Session, to: str | None) -> int:
    """Run `up` on a full copy: how long it takes, and what it does to the rows.

    Each migration is run twice, to show that every step looks before it acts; exit 1 when one does
    not.

    Example: migrate.py rehearse
    """
    from server.migrations.engine.care.rehearsal import rehearse

    runner = session.open()
    done = rehearse(runner, to, show_progress)
    if done is None or not done.outcomes:
        session.show(["nothing to rehearse"], rehearsal=None)
        return 0
    lines = report.outcome_lines(done.outcomes, report.REHEARSED, session.verbose)
    size = [backups.megabytes(size) for size in done.size]
    lines += [
        f"took     {done.duration_ms} ms, {done.locked_ms} ms of them with the write lock",
        f"size     {size[0]} before, {size[1]} after",
    ]
    for table, (before, after) in done.rows.items():
        was, now = ("no table" if rows is None else str(rows) for rows in (before, after))
        lines.append(f"rows     {table}: {was}" + (f" before, {now} after" if was != now else ""))
    for name, step in done.repeated:
        lines.append(f"repeated {name}: {step.action} {step.subject}")
    if not done.repeated:
        lines.append("again    every step was skipped")
    session.show(
        lines,
        rehearsal={
            "done": [report.outcome_document(outcome) for outcome in done.outcomes],
            "duration_ms": done.duration_ms,
            "locked_ms": done.locked_ms,
            "rows": {table: list(counts) for table, counts in done.rows.items()},
            "size": list(done.size),
            "repeated": [f"{name}: {step.action} {step.subject}" for name, step in done.repeated],
        },
    )
    return int(bool(done.repeated))


@command
def backup(session: Session) -> None:
    """Take a backup: whole, checked, and for the owner of the database alone.

    Example: migrate.py backup
    """
    runner = session.open()
    path = runner.file.path
    taken = runner.read(lambda c: backups.take(c, path, show_progress) if c else None)
    if taken is None:
        raise BackupFailed(path, "there is no database yet")
    backups.prune(path)
    session.show([f"backup   {taken}"], backup=str(taken))


@command
@click.argument("file", type=click.Path(path_type=Path))
def restore(session: Session, file: Path) -> None:
    """Put a backup in the place of the database, and keep what was there.

    Example: migrate.py restore data/backups/meetings.sqlite.20261122T101500Z
    """
    from server.migrations.engine.care.restore import restore

    runner = session.open()
    aside = restore(
        session.project,
        file,
        runner.file.path,
        wait=runner.wait,
        on_wait=runner.on_wait,
        on_progress=show_progress,
    )
    lines = [f"restored {runner.file} from {file}"]
    if aside is not None:
        lines.append(f"kept     {aside}")
    session.show(lines, restored=str(file), kept=str(aside) if aside else None)


@command
def doctor(session: Session) -> int:
    """Look at the database, its files and its surroundings; exit 1 when something is wrong.

    Example: migrate.py doctor
    """
    from server.migrations.engine.care.doctor import PROBLEM, examine

    runner = session.open()
    findings = examine(runner)
    session.show(
        report.finding_lines(findings),
        findings=[
            {
                "severity": f.severity,
                "subject": f.subject,
                "sentence": f.sentence,
                "remedy": f.remedy,
            }
            for f in findings
        ],
    )
    return int(any(finding.severity == PROBLEM for finding in findings))
