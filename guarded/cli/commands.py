"""The commands.  What a no-op does not need is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from guarded.cli import output
from guarded.cli.session import (
    Session,
    command,
    run_and_exit,
    show_progress,
    to_argument,
    warn,
    with_options,
)
from guarded.errors import BackupFailed, UnusableDatabase
from guarded.plan import State
from guarded.project import Project
from guarded.run import Run, Runner
from guarded.steps import Direction


def run(project: Project, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 the answer is no, 2 could not or wrong usage."""
    run_and_exit(cli, Session(project), arguments)


def _show_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        project = context.find_object(Session).project  # type: ignore[union-attr]
        click.echo(f"{project.name} {project.version}")
        context.exit()


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@with_options
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@click.pass_context
def cli(context: click.Context) -> None:
    """Change the schema of the application's database.

    Without a command: apply what is pending, like `up`.
    """
    if context.invoked_subcommand is None:
        context.invoke(up)


no_backup = click.option("--no-backup", is_flag=True, help="Don't take a backup first.")


@command(cli)
@to_argument
@click.option("--dry-run", is_flag=True, help="Only show what would run, like `plan`.")
@no_backup
def up(
    session: Session, to: str | None = None, dry_run: bool = False, no_backup: bool = False
) -> None:
    """Apply what is pending, in order, through TO.

    Example: migrate.py up add_server_settings
    """
    if dry_run:
        return _show_plan(session, session.open(), to)
    runner = session.open_to_change(backup=not no_backup)
    _show_run(session, runner, runner.up(to))
    return None


@command(cli)
@to_argument
@click.option("--yes", is_flag=True, help="Don't ask.")
@no_backup
def down(session: Session, to: str | None, yes: bool, no_backup: bool) -> None:
    """Undo the newest migration, or all back through TO.

    Says which rows go and asks first.

    Example: migrate.py down update_meetings_hybrid_storage
    """
    runner = session.open_to_change(backup=not no_backup)
    if not yes:
        losses = runner.losses(to)
        for loss in losses:
            click.echo(f"lost for good: {loss}", err=True)
        if losses and not sys.stdin.isatty():
            raise click.UsageError("pass --yes to lose that")
        if losses:
            click.confirm("Go on?", abort=True, err=True)
    _show_run(session, runner, runner.down(to))


@command(cli)
@to_argument
@no_backup
def fake(session: Session, to: str | None, no_backup: bool) -> None:
    """Record what is pending as applied, through TO, without running it.

    What was edited after it was applied is recorded anew.

    Example: migrate.py fake add_hmac_auth
    """
    runner = session.open_to_change(backup=not no_backup)
    _show_run(session, runner, runner.fake(to))


@command(cli)
@to_argument
def plan_(session: Session, to: str | None) -> None:
    """Show the steps and the SQL that `up` would run; change nothing.

    Example: migrate.py plan
    """
    _show_plan(session, session.open(), to)


@command(cli)
def status(session: Session) -> int:
    """Show where every migration stands; exit 1 unless all are applied.

    Example: migrate.py status --json
    """
    standings = session.open().state().standings()
    excluded = session.project.excluded
    session.show(
        output.status_lines(standings, excluded),
        migrations=[output.standing_document(standing) for standing in standings],
        excluded=dict(excluded),
    )
    return int(any(standing.state is not State.APPLIED for standing in standings))


@command(cli)
def history_(session: Session) -> None:
    """Show every row of the history, the oldest first.

    Example: migrate.py history
    """
    entries = session.open().state().entries
    documents = [output.entry_document(entry) for entry in entries]
    session.show(output.history_lines(entries), history=documents)


# For whoever looks after a database.


@command(cli)
@to_argument
def rehearse(session: Session, to: str | None) -> int:
    """Run `up` on a full copy: how long it takes, and what it does to the rows.

    Each migration is run twice, to show that every step looks before it acts; exit 1 when one does
    not.

    Example: migrate.py rehearse
    """
    from guarded.operate.rehearse import rehearse

    done = rehearse(session.open(), to, show_progress)
    if done is None or not done.outcomes:
        session.show(["nothing to rehearse"], rehearsal=None)
        return 0
    lines = output.outcome_lines(done.outcomes, output.REHEARSED, session.verbose)
    size = [output.megabytes(size) for size in done.size]
    lines += [
        f"took     {done.duration_ms} ms, {done.locked_ms} ms of them with the write lock",
        f"size     {size[0]} before, {size[1]} after",
    ]
    for table, (before, after) in done.rows.items():
        was, now = ("no table" if rows is None else str(rows) for rows in (before, after))
        lines.append(f"rows     {table}: {was}" + (f" before, {now} after" if was != now else ""))
    repeated = [f"{name}: {step.action.value} {step.target}" for name, step in done.repeated]
    lines += [f"repeated {text}" for text in repeated] or ["again    every step was skipped"]
    session.show(
        lines,
        rehearsal={
            "done": [output.outcome_document(outcome) for outcome in done.outcomes],
            "duration_ms": done.duration_ms,
            "locked_ms": done.locked_ms,
            "rows": {table: list(counts) for table, counts in done.rows.items()},
            "size": list(done.size),
            "repeated": repeated,
        },
    )
    return int(bool(repeated))


@command(cli)
def backup(session: Session) -> None:
    """Take a backup: whole, checked, and for the owner of the database alone.

    Example: migrate.py backup
    """
    runner = session.open()
    backend = runner.backend
    taken = backend.back_up(runner.patience, show_progress)
    if taken is None:
        raise BackupFailed(Path(str(backend)), "there is no database yet")
    backend.prune_backups()
    session.show([f"backup   {taken}"], backup=str(taken))


@command(cli)
@click.argument("file", type=click.Path(path_type=Path))
def restore(session: Session, file: Path) -> None:
    """Put a backup in the place of the database, and keep what was there.

    Example: migrate.py restore data/backups/meetings.sqlite.20261122T101500Z
    """
    runner = session.open()
    aside = runner.backend.restore(session.project, file, runner.patience, show_progress)
    lines = [f"restored {runner.backend} from {file}"]
    if aside is not None:
        lines.append(f"kept     {aside}")
    session.show(lines, restored=str(file), kept=str(aside) if aside else None)


@command(cli)
def doctor(session: Session) -> int:
    """Look at the database, its files and its surroundings; exit 1 when something is wrong.

    Example: migrate.py doctor
    """
    from guarded.findings import Severity
    from guarded.operate.doctor import examine

    findings = list(examine(session.open()))
    documents = [output.finding_document(finding) for finding in findings]
    session.show(output.finding_lines(findings), findings=documents)
    return int(any(finding.severity is Severity.PROBLEM for finding in findings))


# For whoever edits the models.


@command(cli)
@click.option("--strict", is_flag=True, help="What nobody declared counts, too.")
def check(session: Session, strict: bool) -> int:
    """Compare models, files, list, history and live schema; exit 1 when they disagree.

    Extras (tables, nullable columns and indexes that no model declares) are listed, and count only
    with --strict.  Takes no lock.

    Example: migrate.py check --strict
    """
    from guarded.operate.check import check

    found = check(session.open())
    session.show(
        output.difference_lines(found) or ["no difference"],
        differences=[output.difference_document(difference) for difference in found],
    )
    return int(any(strict or not difference.is_extra for difference in found))


@command(cli)
@click.argument("name")
@click.option("--from-models", is_flag=True, help="Fill it in from the models.")
def new(session: Session, name: str, from_models: bool) -> None:
    """Write a migration file and add its name to the list in migrate.py.

    With --from-models, it makes what the models declare of what the listed migrations make.

    Example: migrate.py new add_meeting_color --from-models
    """
    from guarded.author import new
    from guarded.author.from_models import DECIDE

    runner = session.open()
    text = None
    if from_models:
        ask = _ask if sys.stdin.isatty() else lambda question: None
        text = new.from_models(session.project, runner.backend, name, ask)
        if text is None:
            session.show(["nothing to write: the migrations make what the models declare"])
            return
    path = new.create(session.project, name, text)
    lines = [f"wrote    {path}", f"listed   {name} in {session.project.listing}"]
    undecided = (text or "").count(DECIDE)
    if undecided:
        lines.append(f"decide   {undecided} of its lines, which begin with {DECIDE}")
    lines.append("next     read it, then migrate.py verify")
    session.show(lines, path=str(path), name=name, undecided=undecided)


def _ask(question: str) -> bool:
    return click.confirm(f"{question}?", err=True)


@command(cli)
def verify(session: Session) -> int:
    """Run every listed migration on scratch databases with rows: up, up again, down, up again.

    Reads its source, too.  Exit 1 when one breaks a promise.  Opens no database of yours.

    Example: migrate.py verify
    """
    from guarded.author.verify import verify

    verdicts = verify(session.project, session.open().backend)
    session.show(
        output.verdict_lines(verdicts),
        verdicts=[
            {
                "name": verdict.name,
                "holds": verdict.holds,
                "duration_ms": verdict.duration_ms,
                "findings": [
                    {"severity": f.severity.value, "sentence": f.sentence} for f in verdict.findings
                ],
            }
            for verdict in verdicts
        ],
    )
    return int(any(verdict.is_broken for verdict in verdicts))


@command(cli)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "mermaid", "dot", "sql", "json"]),
    default="text",
    show_default=True,
)
def schema(session: Session, form: str) -> None:
    """Show the live schema, as text or in a format that other tools draw.

    Example: migrate.py schema --format mermaid
    """
    from guarded.author import picture

    runner = session.open()
    session.json |= form == "json"
    with runner.backend.reading(runner.patience) as inspector:
        if inspector is None:
            raise UnusableDatabase(str(runner.backend), "is not there yet", "migrate first")
        if session.json:
            session.show([], tables=picture.as_values(inspector.schema()))
        else:
            session.show([picture.draw(inspector, form)])


def _show_plan(session: Session, runner: Runner, to: str | None) -> None:
    forecast = runner.forecast(Direction.UP, to)
    lines = output.outcome_lines(forecast.outcomes, output.FUTURE, sql=True)
    session.show(
        lines or [_nothing_to_do(runner, list(runner.state().applied))],
        plan=[output.outcome_document(outcome) for outcome in forecast.outcomes],
        findings=list(forecast.findings),
        unforeseen=forecast.unforeseen,
    )
    for text in (*forecast.findings, *filter(None, [forecast.unforeseen])):
        warn(text)


def _show_run(session: Session, runner: Runner, done: Run) -> None:
    lines = output.outcome_lines(done.outcomes, output.PAST, session.verbose)
    if done.backup:
        lines.append(f"backup   {done.backup}")
    differences = [difference.sentence for difference in done.differences]
    session.show(
        lines or [_nothing_to_do(runner, done.applied)],
        direction=done.direction.value,
        done=[output.outcome_document(outcome) for outcome in done.outcomes],
        differences=differences,
        backup=str(done.backup) if done.backup else None,
        locked_ms=done.locked_ms,
    )
    for text in differences:
        warn(text)


def _nothing_to_do(runner: Runner, applied: Sequence[str]) -> str:
    newest = f", the newest is {applied[-1]}" if applied else ""
    return f"nothing to do: {len(applied)} of {len(runner.project.listed)} applied{newest}"
