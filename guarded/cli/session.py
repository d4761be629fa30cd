"""The edge of the command line: options that every command has, output, errors, signals.

Results go to stdout, warnings and errors to stderr, one line each.  -v adds a traceback.
"""

from __future__ import annotations

import functools
import io
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from guarded.cli import output
from guarded.errors import (
    BackupFailed,
    BrokenPromise,
    DatabaseLocked,
    KeptFailed,
    MigrationError,
    MissingDatabase,
    UnusableDatabase,
    ValuesDoNotFit,
)
from guarded.patience import Patience
from guarded.project import Project
from guarded.run import Runner
from guarded.status import unknown_files
from guarded.steps import Watcher

if TYPE_CHECKING:
    from pathlib import Path

    from guarded.backends.interface import Backend

COULD_NOT = 2
SHOWN = 20  # unfit values
JSON_VERSION = 1  # of the documents in docs/json.md; raised when a key changes its meaning or goes
EXTRA = "pip install 'meeting-server[postgresql]'"
Function = Callable[..., Any]
# The option that helps, for an error of the engine.
HINTS: dict[type[MigrationError], str] = {
    DatabaseLocked: "--wait SECONDS waits longer",
    BackupFailed: "--no-backup goes without",
    KeptFailed: "--discard keeps nothing",
    ValuesDoNotFit: "--unfit null writes NULL where the column takes it, and keeps the values",
}


class Session:
    """The options of a call, whether they stand before or after the command."""

    def __init__(self, project: Project, arguments: Sequence[str] | None = None) -> None:
        """``arguments``: of a call from Python; None for what was typed."""
        self.project = project
        self.is_called = arguments is None
        self.arguments = list(sys.argv[1:] if arguments is None else arguments)
        self.database: str | None = None
        self.json = False
        self.verbose = False
        self.wait = 60.0
        self.scratch: str | None = None
        self.runner: Runner | None = None
        self.live: output.Live | None = None  # shows a run to people
        self.stdout = sys.stdout
        self.is_changing = False  # a command that changes the database has begun

    def prepare(self) -> Runner:
        """Locate the database, for a command that does not open it."""
        return self._located(backup=False)

    def open(self, *, document: bool = False) -> Runner:
        """Open the database for questions, and say which it is.

        ``document``: stdout gets a document, and nothing else.
        """
        return self._named(self._located(backup=False), err=document)

    def open_existing(self, *, document: bool = False) -> Runner:
        """Raises MissingDatabase if there is none."""
        return self._named(self._existing(self._located(backup=False)), err=document)

    def open_to_change(
        self, *, backup: bool = True, keep: bool = True, existing: bool = False
    ) -> Runner:
        """Open it for a command that changes it, or an ``existing`` one only."""
        self.is_changing = True
        if not self.json:
            self.live = output.Live(sql=self.verbose)
        runner = self._located(backup, keep)
        return self._named(self._existing(runner) if existing else runner)

    def _located(self, backup: bool, keep: bool = True) -> Runner:
        self.runner = Runner(
            self.project,
            locate(self.project, self.database, self.scratch),
            Patience(self.wait, self._waiting),
            backup=backup,
            keep=keep,
            on_progress=show_progress,
            watcher=self.live or Watcher(),
        )
        for name in unknown_files(self.project):
            warn(f"'{name}' is neither listed nor excluded in migrate.py, and is never run")
        return self.runner

    def _existing(self, runner: Runner) -> Runner:
        if not runner.backend.is_there:
            with runner.backend.reading(runner.patience):  # raises if there can't be one
                raise MissingDatabase(str(runner.backend))
        return runner

    def _named(self, runner: Runner, *, err: bool = False) -> Runner:
        is_there = runner.backend.is_there
        if not is_there:
            with runner.backend.reading(runner.patience):  # raises if there can't be one
                pass
        if not self.json:
            new = "" if is_there else " (new)"
            text = f"database {self.near(runner.backend)}{new}"
            with suppress(OSError):  # printing the result fails again, and is told then
                output.echo([text], sys.stderr if err else self.stdout)
        return runner

    @staticmethod
    def near(place: Backend | Path | str) -> str:
        """Return the place of a file from where the user stands, if that is shorter."""
        whole = str(place)
        if "://" in whole:
            return whole
        try:
            return min(os.path.relpath(whole), os.path.abspath(whole), key=len)  # noqa: PTH100
        except ValueError:  # on another drive
            return whole

    def show(self, lines: Sequence[str], **document: Any) -> None:
        """Print the lines, or with --json the document."""
        if self.json:
            import json

            where = str(self.runner.backend) if self.runner else None
            whole = {"version": JSON_VERSION, "database": where, **document}
            text = json.dumps(whole, indent=2, ensure_ascii=False)
            click.echo(text, file=self.stdout)
        elif lines:
            output.echo(lines, self.stdout)

    def _waiting(self, holders: list[str]) -> None:
        by = f", held by {', '.join(holders)}" if holders else ""
        warn(f"waiting up to {self.wait:g} s for the write lock{by}")


def locate(project: Project, location: str | None, scratch: str | None = None) -> Backend:
    """The database of this URL or path, by default the project's; the one place that knows which
    kinds there are.  ``scratch`` names another to try things in.  Raises UnusableDatabase."""
    named = project.location() if location is None else location
    scheme = named.partition(":")[0].lower()
    if scheme.startswith("postgres"):
        try:
            from guarded.backends.postgresql import connect as postgresql
        except ImportError as exc:
            why = f"needs the driver psycopg, which can't be loaded: {exc}"
            raise UnusableDatabase(f"{scheme}:…", why, f"install the extra: {EXTRA}") from exc
        folder = project.backups or project.directory / "backups"
        return postgresql.locate(named, project.register, folder=folder, scratch_url=scratch)
    if scratch is not None:
        raise click.UsageError("--scratch is for PostgreSQL; SQLite tries things in files")
    from guarded.backends.sqlite import connect

    return connect.locate(named, project.register)


def show_progress(done: int, total: int, word: str = "backup") -> None:
    """Show the progress of a backup in one line of a terminal; clear it at the end."""
    if sys.stderr.isatty():
        line = f"{word} {100 * done // max(total, 1):3}%" if done < total else ""
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)


def warn(text: str) -> None:
    output.echo([f"warning: {text}"], sys.stderr)


class Commands(click.Group):
    """Commands that say for an unknown word which of them is meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            if args[0] in self.commands or args[0].startswith("-"):
                raise
            from guarded.cli.meant import no_such_command

            session = ctx.find_object(Session) if ctx.parent is None else None
            listed = session.project.listed if session else None
            raise click.UsageError(
                no_such_command(args[0], self.list_commands(ctx), listed)
            ) from exc


def command(group: click.Group) -> Callable[[Function], click.Command]:
    """Add a command named like the function.  The function gets the session first."""

    def add(function: Function) -> click.Command:
        make = click.command(_name_of(function), params=list(OPTIONS))
        made = make(click.pass_obj(_stoppable(function)))
        group.add_command(made)
        return made

    return add


def subgroup(group: click.Group) -> Callable[[Function], click.Group]:
    """Add a command that has commands of its own, and runs the function when none is named."""

    def add(function: Function) -> click.Group:
        def run_alone(session: Session) -> Any:
            if click.get_current_context().invoked_subcommand is None:
                return _stoppable(function)(session)
            return None

        make = click.group(
            _name_of(function),
            cls=Commands,
            params=list(OPTIONS),
            invoke_without_command=True,
            help=function.__doc__,
        )
        made = make(click.pass_obj(run_alone))
        group.add_command(made)
        return made

    return add


def _name_of(function: Function) -> str:
    return function.__name__.rstrip("_").replace("_", "-")


class _Seconds(click.FloatRange):
    def __init__(self) -> None:
        super().__init__(min=0)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        seconds = super().convert(value, param, ctx)
        if math.isnan(seconds):
            self.fail(f"{value} is not a number of seconds", param, ctx)
        return seconds


def _names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    session = context.find_object(Session)
    listed = session.project.listed if session else []
    return [name for name in listed if name.startswith(incomplete)]


def _files(context: click.Context, _: click.Parameter, incomplete: str) -> list[Any]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


# The argument that names a listed migration; a shell can complete it.
to_argument = click.argument("to", required=False, shell_complete=_names)


class Interrupted(click.ClickException):
    """A signal ended the command.  click's own error would print an empty line first."""


class NeedsAnswer(click.UsageError):
    """Nobody can be asked; ``command`` is the call that helps."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


def _stoppable(command: Function) -> Function:
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt as exc:
            raise Interrupted("interrupted") from exc

    return run


def _option(*names: str, **attributes: Any) -> click.Option:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and parameter.name:
            setattr(context.find_object(Session), parameter.name, value)

    return click.Option(names, expose_value=False, callback=keep, default=None, **attributes)


WAIT = "How long to wait for another process; 60 if not given."
DATABASE = "If not given: DATABASE_URL, else DB_PATH, else the project's own."
# Of every command and the group; they go into the session.
OPTIONS = (
    _option("--database", metavar="URL|PATH", help=DATABASE, shell_complete=_files),
    _option("--json", is_flag=True, help="Print one JSON document."),
    _option("-v", "--verbose", is_flag=True, help="Show the SQL, and tracebacks of errors."),
    _option("--wait", type=_Seconds(), metavar="SECONDS", help=WAIT),
)


SCRATCH = "An empty PostgreSQL database to try things in, where the role may not create one."
scratch_option = click.option(
    "--scratch",
    metavar="URL",
    expose_value=False,
    callback=lambda context, _, url: setattr(context.find_object(Session), "scratch", url),
    help=SCRATCH,
)


def run_and_exit(cli: click.Group, session: Session) -> NoReturn:
    session.json = "--json" in session.arguments
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding can't spell must not fail a run that is committed.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        with redirect_stdout(sys.stderr) if session.json else nullcontext():
            # Whatever a migration prints, stdout has one document.
            result = cli.main(
                session.arguments, obj=session, standalone_mode=False, color=output.colour()
            )
        status = result if isinstance(result, int) else 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has closed the pipe
        sys.stdout = None
        status = 0
    except Interrupted as exc:
        status = _trouble(session, exc, "interrupted")
    except click.Abort as exc:  # the answer to a question was no
        status = _trouble(session, exc, "not confirmed")
    except MigrationError as exc:
        from guarded.cli import advice

        command = advice.for_error(session, exc)
        status = _trouble(session, exc, _with_hint(exc), command)
    except OSError as exc:
        status = _trouble(session, exc, str(exc))
    except NeedsAnswer as exc:
        status = _trouble(session, exc, exc.format_message(), exc.command)
    except click.ClickException as exc:
        status = _trouble(session, exc, f"{exc.format_message()} (see --help)")
    except Exception as exc:
        status = _trouble(session, exc, f"unexpected {type(exc).__name__}: {exc} (-v shows where)")
    sys.exit(status)


def _with_hint(exc: MigrationError) -> str:
    hint = next((text for kind, text in HINTS.items() if isinstance(exc, kind)), "")
    return f"{exc}: {hint}" if hint and not exc.is_damage else str(exc)


def _trouble(session: Session, exc: BaseException, message: str, command: str | None = None) -> int:
    """Say what went wrong, and on a line of its own the command that mends it."""
    if session.verbose:
        import traceback

        traceback.print_exception(type(exc), exc, exc.__traceback__)
    if session.runner is not None and session.is_changing:
        if session.runner.committed and isinstance(exc, Interrupted):
            message += ", but everything was done already"
        elif session.runner.committed:
            message += "; committed, but printing the result failed"
        elif not isinstance(exc, (click.UsageError, MissingDatabase)):
            message += "; nothing was changed"
    if session.live is not None and session.live.failed is None:
        session.live.close()
        if session.live.printed and session.runner and not session.runner.committed:
            output.echo(["rolled back"], session.stdout)
    if session.json:
        error = {"type": type(exc).__name__, "message": message}
        session.show([], error=error)
    if isinstance(exc, BrokenPromise) and len(exc.findings) > 1:
        message = "\n  ".join(["rolled back, nothing was changed:", *exc.findings])
    if isinstance(exc, ValuesDoNotFit):
        for value in exc.values[:SHOWN]:
            click.echo(f"unfit    {value}", err=True)
    output.echo([f"error: {message}"], sys.stderr)
    if command is not None:
        click.echo(f"  run: {command}", err=True)
    return COULD_NOT
