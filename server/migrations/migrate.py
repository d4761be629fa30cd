"""Change the schema of the meeting server's database: ``python migrations/migrate.py``.

Says which migrations there are, in which order they run, and which commands there are.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: find the package, whatever the working directory is
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    # A short life: the collector would look through all that is being loaded, again and again.
    gc.set_threshold(100_000)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command runs: end without a traceback

try:
    import click
except ModuleNotFoundError:
    sys.stderr.write("error: this Python has no click; `make migrate` sets up one that has\n")
    sys.exit(2)

from server import __version__
from server.migrations.cli import console, report
from server.migrations.cli.console import Function, Session, to_argument
from server.migrations.engine import history, plan
from server.migrations.engine.project import Models, Project
from server.migrations.engine.runner import Run, Runner

# In the order in which they run.  A new one goes to the end; an applied one is never edited.
MIGRATIONS = [
    "add_hmac_auth",
    "add_meetings_system",
    "add_server_settings",
    "update_meetings_hybrid_storage",
    "add_user_links",
]

# Files of the former server's time that are never run, and why.
EXCLUDED = {
    "001_external_session_boolean_admitted": "ExternalSession is in memory only",
    "add_device_id_to_sessions": "add_hmac_auth does it",
    "add_meeting_invitations": "duplicates add_meetings_system",
    "run_hybrid_storage_migration.py.standalone": "standalone test script",
    "index": "the old automatic runner, deprecated",
}


def models() -> Models:
    from server.db.model import IN_MEMORY, PERSISTENT

    return Models(PERSISTENT, IN_MEMORY)


HERE = Path(__file__)
PROJECT = Project(HERE.parent, MIGRATIONS, EXCLUDED, models, __version__, listing=HERE)


# The commands that are not in this file, imported when they are called.
ELSEWHERE = {
    "rehearse": "server.migrations.cli.care:rehearse",
    "check": "server.migrations.cli.develop:check",
    "verify": "server.migrations.cli.develop:verify",
    "new": "server.migrations.cli.develop:new",
    "schema": "server.migrations.cli.develop:schema",
    "backup": "server.migrations.cli.care:backup",
    "restore": "server.migrations.cli.care:restore",
    "doctor": "server.migrations.cli.care:doctor",
}


@click.group(
    cls=console.Commands,
    elsewhere=ELSEWHERE,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@console.with_options
@click.version_option(__version__)
@click.pass_context
def cli(context: click.Context) -> None:
    """Change the schema of the meeting server's database.

    Without a command: apply what is pending, like `up`.
    """
    if context.invoked_subcommand is None:
        context.invoke(up)


def command(function: Function) -> click.Command:
    made = console.command(function)
    cli.add_command(made)
    return made


no_backup = click.option("--no-backup", is_flag=True, help="Don't take a backup first.")


@command
@to_argument
@click.option("--dry-run", is_flag=True, help="Only show what would run, like `plan`.")
@no_backup
def up(
    session: Session, to: str | None = None, dry_run: bool = False, no_backup: bool = False
) -> None:
    """Apply what is pending, in order, through TO.

    Example: migrate.py up add_server_settings
    """
    runner = session.open(backup=not no_backup)
    if dry_run:
        _show_plan(session, runner, to)
    else:
        _show_run(session, runner, runner.up(to))


@command
@to_argument
@click.option("--yes", is_flag=True, help="Don't ask.")
@no_backup
def down(session: Session, to: str | None, yes: bool, no_backup: bool) -> None:
    """Undo the newest migration, or all back through TO.

    Says which rows go and asks first.

    Example: migrate.py down update_meetings_hybrid_storage
    """
    runner = session.open(backup=not no_backup)
    if not yes:
        losses = runner.losses(to)
        for line in losses:
            click.echo(f"lost for good: {line}", err=True)
        if losses and not sys.stdin.isatty():
            raise click.UsageError("say --yes to lose that")
        if losses:
            click.confirm("Go on?", abort=True, err=True)
    _show_run(session, runner, runner.down(to))


@command
@to_argument
@no_backup
def fake(session: Session, to: str | None, no_backup: bool) -> None:
    """Record what is pending as applied, through TO, without running it.

    What was edited after it was applied is recorded anew.

    Example: migrate.py fake add_hmac_auth
    """
    runner = session.open(backup=not no_backup)
    _show_run(session, runner, runner.fake(to))


@command
@to_argument
def plan_(session: Session, to: str | None) -> None:
    """Show the steps and the SQL that `up` would run; change nothing.

    Example: migrate.py plan
    """
    _show_plan(session, session.open(), to)


@command
def status(session: Session) -> int:
    """Show where every migration stands; exit 1 unless all are applied.

    Example: migrate.py status --json
    """
    runner = session.open()
    standings = runner.status()
    session.show(
        report.status_lines(standings, EXCLUDED),
        migrations=[{"name": s.name, "state": s.state, "at": s.at} for s in standings],
        excluded=EXCLUDED,
    )
    return int(any(standing.state != plan.APPLIED for standing in standings))


@command
def history_(session: Session) -> None:
    """Show every row of the history, the oldest first.

    Example: migrate.py history
    """
    entries = session.open().state().entries
    session.show(report.history_lines(entries), history=[report.entry_document(e) for e in entries])


def _show_plan(session: Session, runner: Runner, to: str | None) -> None:
    forecast = runner.forecast(history.UP, to)
    lines = report.outcome_lines(forecast.outcomes, report.FUTURE, sql=True)
    session.show(
        lines or [_nothing_to_do(runner, list(runner.state().applied))],
        plan=[report.outcome_document(outcome) for outcome in forecast.outcomes],
        findings=list(forecast.findings),
        unforeseen=forecast.unforeseen,
    )
    for text in (*forecast.findings, *filter(None, [forecast.unforeseen])):
        console.warn(text)


def _show_run(session: Session, runner: Runner, done: Run) -> None:
    lines = report.outcome_lines(done.outcomes, report.PAST, session.verbose)
    if done.backup:
        lines.append(f"backup   {done.backup}")
    session.show(
        lines or [_nothing_to_do(runner, done.applied)],
        direction=done.direction,
        done=[report.outcome_document(outcome) for outcome in done.outcomes],
        differences=list(done.differences),
        backup=str(done.backup) if done.backup else None,
        locked_ms=done.locked_ms,
    )
    for text in done.differences:
        console.warn(text)


def _nothing_to_do(runner: Runner, applied: Sequence[str]) -> str:
    newest = f", the newest is {applied[-1]}" if applied else ""
    return f"nothing to do: {len(applied)} of {len(runner.project.listed)} applied{newest}"


def main() -> None:
    console.run(cli, PROJECT)


if __name__ == "__main__":
    main()
