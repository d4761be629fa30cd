"""The commands.  Each imports what it alone needs, so that a no-op starts fast."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from guarded.cli import output
from guarded.cli.session import (
    COULD_NOT,
    OPTIONS,
    Commands,
    NeedsAnswer,
    Session,
    command,
    run_and_exit,
    scratch_option,
    show_progress,
    subgroup,
    to_argument,
    warn,
)
from guarded.errors import BackupFailed
from guarded.plan import State
from guarded.project import Project
from guarded.run import Run, Runner
from guarded.steps import Direction


def run(project: Project, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 the answer is no, 2 could not or wrong usage."""
    run_and_exit(cli, Session(project, arguments))


def _show_version(context: click.Context, _: click.Parameter, is_asked: bool) -> None:
    if is_asked:
        project = context.find_object(Session).project  # type: ignore[union-attr]
        click.echo(f"{project.name} {project.version}")
        context.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    params=list(OPTIONS),
    context_settings={"help_option_names": ["-h", "--help"]},
)
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


discard = click.option("--discard", is_flag=True, help="Don't keep the values that are dropped.")
no_backup = click.option("--no-backup", is_flag=True, help="Don't take a backup first.")


@command(cli)
@to_argument
@click.option("--dry-run", is_flag=True, help="Only show what would run, like `plan`.")
@no_backup
@discard
def up(
    session: Session,
    to: str | None = None,
    dry_run: bool = False,
    no_backup: bool = False,
    discard: bool = False,
) -> int:
    """Apply what is pending, in order, through TO.

    Example: migrate.py up add_server_settings
    """
    if dry_run:
        return _show_plan(session, session.open(), to)
    runner = session.open_to_change(backup=not no_backup, keep=not discard)
    _show_run(session, runner, runner.up(to))
    return 0


@command(cli)
@to_argument
@click.option("--yes", is_flag=True, help="Don't ask.")
@no_backup
def down(session: Session, to: str | None, yes: bool, no_backup: bool) -> None:
    """Undo the newest migration.

    With TO: all back through TO.  Shows which rows will be lost, and asks first.

    Example: migrate.py down update_meetings_hybrid_storage
    """
    runner = session.open_to_change(backup=not no_backup, existing=True)
    if not yes:
        losses = [str(loss) for loss in runner.losses(to)]
        losses += [f"values that do not come back: {why}" for why in runner.unkept(to)]
        for loss in losses:
            click.echo(f"lost for good: {loss}", err=True)
        if losses and not sys.stdin.isatty():
            from guarded.cli.advice import repeated

            raise NeedsAnswer("pass --yes to drop these rows", repeated(session, "--yes"))
        if losses:
            click.confirm("Go on?", abort=True, err=True)
    _show_run(session, runner, runner.down(to))


@command(cli)
@to_argument
@no_backup
def fake(session: Session, to: str | None, no_backup: bool) -> None:
    """Record what is pending as applied.

    Goes through TO, and runs nothing.  Records a migration again that was edited after it was
    applied.

    Example: migrate.py fake add_hmac_auth
    """
    runner = session.open_to_change(backup=not no_backup)
    _show_run(session, runner, runner.fake(to))


@command(cli)
@to_argument
def plan_(session: Session, to: str | None) -> int:
    """Show the steps and the SQL of `up`.

    Changes nothing.  Exit 2 where `up` would refuse, as far as that can be known before.

    Example: migrate.py plan
    """
    return _show_plan(session, session.open(), to)


@command(cli)
def status(session: Session) -> int:
    """Show the state of every migration.

    Exit 1 unless all are applied.

    Example: migrate.py status --json
    """
    state = session.open().state()
    standings, excluded = state.standings(), session.project.excluded
    if (disorder := state.disorder()) is not None:
        warn(str(disorder))
    session.show(
        output.status_lines(standings, excluded),
        migrations=[output.standing_document(standing) for standing in standings],
        excluded=dict(excluded),
    )
    is_behind = any(standing.state is not State.APPLIED for standing in standings)
    return int(is_behind or disorder is not None)


@command(cli)
def history_(session: Session) -> None:
    """Show every row of the history, the oldest first.

    Example: migrate.py history
    """
    entries = session.open_existing().state().entries
    documents = [output.entry_document(entry) for entry in entries]
    session.show(output.history_lines(entries), history=documents)


@command(cli)
@click.argument("old")
@click.argument("new")
def rename(session: Session, old: str, new: str) -> None:
    """Record an applied migration under the new name of its file.

    Example: migrate.py rename add_colour add_meeting_color
    """
    session.open_to_change(existing=True).rename(old, new)
    session.show([f"renamed  {old} to {new}"], renamed=old, name=new)


# For operators.


@command(cli)
@to_argument
@scratch_option
def rehearse(session: Session, to: str | None) -> int:
    """Run `up` on a full copy.

    Shows how long it takes, and what it does to the rows.  Runs each migration twice; exit 1 when
    the second run does not skip every step.

    Example: migrate.py rehearse
    """
    from guarded.operate.rehearse import rehearse

    done = rehearse(session.open_existing(), to, show_progress)
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
def backup(session: Session) -> int:
    """Take a backup.

    It is complete, and only the owner of the database can read it.

    Exit 1 when the check found something wrong in the database.

    Example: migrate.py backup
    """
    runner = session.open_existing()
    backend = runner.backend
    taken = backend.back_up(runner.patience, show_progress, deep=True, by_hand=True)
    if taken is None:
        raise BackupFailed(Path(str(backend)), f"{backend.version} keeps none")
    session.show(
        [f"backup   {session.near(taken.path)}", *output.finding_lines(taken.findings)],
        backup=str(taken.path),
        findings=[output.finding_document(finding) for finding in taken.findings],
    )
    return int(not taken.is_whole)


def _copies(context: click.Context, parameter: click.Parameter, incomplete: str) -> Any:
    from guarded.cli.backups import complete_copies

    return complete_copies(context, parameter, incomplete)


@command(cli)
@click.argument("file", type=click.Path(path_type=Path), required=False, shell_complete=_copies)
@click.option("--yes", is_flag=True, help="End the sessions of others (PostgreSQL).")
def restore(session: Session, file: Path | None, yes: bool) -> None:
    """Replace the database by a backup.

    Without FILE: lists the backups and asks.  Keeps a copy of what was there.

    Example: migrate.py restore data/backups/meetings.sqlite.20261122T101500Z
    """
    runner = session.open()
    if file is None:
        from guarded.cli.backups import choose

        file = choose(session, runner)

    def may_end(sessions: Sequence[str]) -> bool:
        for line in sessions:
            click.echo(f"connected: {line}", err=True)
        return yes or (
            sys.stdin.isatty() and click.confirm("End these sessions?", abort=True, err=True)
        )

    aside = runner.backend.restore(session.project, file, runner.patience, show_progress, may_end)
    lines = [f"restored {session.near(runner.backend)} from {file}"]
    if aside is not None:
        lines.append(f"kept     {session.near(aside)}")
    session.show(lines, restored=str(file), kept=str(aside) if aside else None)


@command(cli)
@click.argument("url")
@click.option(
    "--unfit",
    type=click.Choice(["refuse", "null"]),
    default="refuse",
    show_default=True,
    help="Values that PostgreSQL can't hold; null keeps them in a file.",
)
def move(session: Session, url: str, unfit: str) -> None:
    """Move to an empty PostgreSQL database.

    Migrates it, copies every row in the same transaction, and compares all.  The SQLite file stays
    as it is.  Stop the server before.

    Example: migrate.py move postgresql://migrator@db.example.org/meetings
    """
    from guarded.cli.move import move

    move(session, url, nulls=unfit == "null")


@subgroup(cli)
def backups(session: Session) -> None:
    """List the backups and the files of dropped values.

    With age, size and the newest migration in each.  Needs no database.

    Example: migrate.py backups
    """
    from guarded.cli.backups import show

    show(session)


@command(backups)
@click.option(
    "--keep",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="How many of each kind stay.",
)
@click.option(
    "--include",
    type=click.Choice(["by-hand", "restore", "unneeded-values", "dropped-values"]),
    multiple=True,
    help="A kind of file that stays otherwise; can be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def prune(session: Session, keep: int, include: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Remove old backups of runs.

    Copies made by hand or by `restore`, and dropped values, stay unless they are included, and it
    asks before it removes one.  No down brings unneeded values back; dropped values are all.

    Example: migrate.py backups prune --keep 2
    """
    from guarded.cli.backups import prune

    prune(session, keep, include, dry_run=dry_run, yes=yes)


@command(cli)
def doctor(session: Session) -> int:
    """Examine the database and its surroundings.

    Looks at files, owners, mount, space, content, users and migrations.  Exit 1 when something is
    wrong.

    Example: migrate.py doctor
    """
    from guarded.cli.advice import command_line
    from guarded.findings import Severity
    from guarded.operate.doctor import examine

    runner = session.open()
    runner.project = runner.project._replace(command=command_line(session))
    findings = list(examine(runner))
    documents = [output.finding_document(finding) for finding in findings]
    session.show(output.finding_lines(findings), findings=documents)
    return int(any(finding.severity is Severity.PROBLEM for finding in findings))


# For developers.


@command(cli)
@click.option("--strict", is_flag=True, help="Count what no model declares, too.")
def check(session: Session, strict: bool) -> int:
    """Compare the models with the database.

    Also the files with the list and the history.  Exit 1 when they disagree.  Lists extras
    (tables, nullable columns and indexes that no model declares), but counts them only with
    --strict.  Takes no lock.

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
@scratch_option
def new(session: Session, name: str, from_models: bool) -> None:
    """Write a migration file, and list it.

    Words become a name: "add meeting color" is add_meeting_color.  With --from-models, it has the
    changes from what the listed migrations create to what the models declare.

    Example: migrate.py new add_meeting_color --from-models
    """
    from guarded.author import new
    from guarded.author.from_models import DECIDE
    from guarded.cli.advice import command_line
    from guarded.listing import spelled

    runner, name = session.prepare(), spelled(name)
    text = None
    if from_models:
        ask = _ask if sys.stdin.isatty() else lambda question: None
        text = new.from_models(session.project, runner.backend, name, ask)
        if text is None:
            nothing = "nothing to write: the migrations create what the models declare"
            session.show([nothing], path=None, name=name, undecided=0)
            return
    path, listing = new.create(session.project, name, text), session.project.listing
    assert listing is not None
    lines = [f"wrote    {session.near(path)}", f"listed   {name} in {session.near(listing)}"]
    undecided = (text or "").count(DECIDE)
    if undecided:
        questions = "1 open question" if undecided == 1 else f"{undecided} open questions"
        lines.append(f"decide   {questions}, on lines that begin with {DECIDE}")
    lines.append(f"next     read it, then {command_line(session, 'verify')}")
    session.show(lines, path=str(path), name=name, undecided=undecided)


def _ask(question: str) -> bool:
    return click.confirm(f"{question}?", err=True)


@command(cli)
@scratch_option
def verify(session: Session) -> int:
    """Try every migration on generated rows.

    Runs each on a scratch database: up, up again, down, up again.  Checks the source, too.  Exit 1
    when one breaks a promise.  Does not open your database.

    Example: migrate.py verify
    """
    from guarded.author.verify import verify

    verdicts = verify(session.project, session.prepare().backend)
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
    type=click.Choice(["text", "mermaid", "dot", "sql", "json", "html"]),
    default="text",
    show_default=True,
)
@click.argument("file", type=click.Path(path_type=Path), required=False)
def schema(session: Session, form: str, file: Path | None) -> None:
    """Show the live schema.

    With --format html: writes FILE, a page with diagram, tables and migrations.  It needs no
    network, and Graphviz to lay out the diagram.

    Example: migrate.py schema --format html schema.html
    """
    if (form == "html") != (file is not None):
        raise click.UsageError("--format html and FILE go together")
    if file is not None:
        from guarded.author import page

        runner = session.open_existing()
        page.write(runner, file)
        session.show([f"wrote    {session.near(file)}"], page=str(file))
        return
    from guarded.author import picture

    session.json |= form == "json"
    runner = session.open_existing(document=form != "text")
    with runner.backend.reading(runner.patience) as inspector:
        assert inspector is not None
        if session.json:
            session.show([], tables=picture.as_values(inspector.schema()))
        else:
            session.show([picture.draw(inspector, form)])


def _show_plan(session: Session, runner: Runner, to: str | None) -> int:
    forecast = runner.forecast(Direction.UP, to)
    lines = output.outcome_lines(forecast.outcomes, output.FUTURE, sql=True)
    session.show(
        lines or [_nothing_to_do(runner, list(runner.state().applied))],
        plan=[output.outcome_document(outcome) for outcome in forecast.outcomes],
        findings=list(forecast.findings),
        unforeseen=forecast.unforeseen,
    )
    if forecast.unforeseen is not None:
        warn(forecast.unforeseen)
    for text in forecast.findings:
        output.echo([f"error: up would refuse: {text}"], sys.stderr)
    return COULD_NOT if forecast.findings else 0


def _show_run(session: Session, runner: Runner, done: Run) -> None:
    if session.live is not None:
        session.live.close()
    is_live = session.live is not None and session.live.printed
    lines = [] if is_live else output.outcome_lines(done.outcomes, output.PAST, session.verbose)
    if done.backup:
        lines.append(f"backup   {session.near(done.backup)}")
        if runner.backend.lets_others_write:
            lines.append(
                f"{output.INDENT}what others committed between it and the run is not in it"
            )
    if is_live:
        count = output.counted(len(done.outcomes), "migration")
        lines.append(f"committed {count} in {done.locked_ms / 1000:.2f} s")
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
