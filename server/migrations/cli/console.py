"""The edge of the command line: options that every command has, output, errors, signals.

Facts go to stdout, trouble to stderr, one line each; a traceback only with -v.
"""

from __future__ import annotations

import functools
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from server import settings
from server.db.connection import SqliteFile, UnusableDatabase, locate
from server.migrations.engine.errors import BrokenPromise, MigrationError
from server.migrations.engine.project import DatabaseFile, Project
from server.migrations.engine.runner import Runner

COULD_NOT = 2
Function = Callable[..., Any]


class Session:
    """What the options of a call say, wherever on the line they stand."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.database: str | None = None
        self.json = False
        self.verbose = False
        self.wait = 60.0
        self.runner: Runner | None = None

    def open(self, *, backup: bool = True) -> Runner:
        named = settings.database_location() if self.database is None else self.database
        file = locate(named)
        self.runner = Runner(
            self.project,
            file,
            wait=self.wait,
            backup=backup,
            on_wait=self._waiting,
            on_progress=show_progress,
        )
        for name in self.runner.strays():
            warn(f"'{name}' is neither listed nor excluded in migrate.py, and is never run")
        return self.runner

    def file_at(self, path: Path) -> DatabaseFile:
        """A database of the application's kind, for scratch."""
        return SqliteFile(path)

    def show(self, lines: Sequence[str], **document: Any) -> None:
        """The lines, or under --json the one document."""
        if self.json:
            import json

            where = str(self.runner.file) if self.runner else None
            click.echo(json.dumps({"database": where, **document}, indent=2, ensure_ascii=False))
        elif lines:
            click.echo("\n".join(lines))

    def _waiting(self, holders: list[str]) -> None:
        by = f", held by {', '.join(holders)}" if holders else ""
        warn(f"waiting up to {self.wait:g} s for the write lock{by}")


def show_progress(done: int, total: int) -> None:
    """On a terminal only, in one line that vanishes when it is done."""
    if sys.stderr.isatty():
        line = f"backup {100 * done // max(total, 1):3}%" if done < total else ""
        click.echo(f"\r\x1b[K{line}", nl=False, err=True)


def warn(text: str) -> None:
    click.echo(f"warning: {text}", err=True)


class Commands(click.Group):
    """A group whose rarer commands are imported when they are called."""

    def __init__(self, *arguments: Any, elsewhere: dict[str, str], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.elsewhere = elsewhere

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.commands, *self.elsewhere]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name in self.elsewhere:
            module, _, attribute = self.elsewhere[name].partition(":")
            found: click.Command = getattr(importlib.import_module(module), attribute)
            return found
        return super().get_command(ctx, name)


def command(function: Function) -> click.Command:
    """A command of the function's name, which gets the session as its first argument."""
    name = function.__name__.rstrip("_").replace("_", "-")
    return click.command(name)(with_options(click.pass_obj(stoppable(function))))


def with_options(command: Function) -> Function:
    """Give a command, or the group, the options that go into the session."""
    for add in (
        _option("--wait", type=click.FloatRange(min=0), metavar="SECONDS", help=WAIT),
        _option("-v", "--verbose", is_flag=True, help="Show the SQL, and tracebacks of errors."),
        _option("--json", is_flag=True, help="Print one JSON document."),
        _option("--database", metavar="URL|PATH", help=DATABASE),
    ):
        command = add(command)
    return command


def _names(context: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    session = context.find_object(Session)
    listed = session.project.listed if session else []
    return [name for name in listed if name.startswith(incomplete)]


# The argument that names a listed migration; a shell can complete it.
to_argument = click.argument("to", required=False, shell_complete=_names)


class Interrupted(click.ClickException):
    """A signal ended the command; told here, for click would print an empty line first."""


def stoppable(command: Function) -> Function:
    @functools.wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt as exc:
            raise Interrupted("interrupted") from exc

    return run


WAIT = "How long to wait for another process; 60 if not given."
DATABASE = "If not given: DATABASE_URL, else DB_PATH, else data/meetings.sqlite."


def _option(*names: str, **attributes: Any) -> Callable[[Function], Function]:
    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is not None and parameter.name:
            setattr(context.find_object(Session), parameter.name, value)

    return click.option(*names, expose_value=False, callback=keep, default=None, **attributes)


def run(cli: click.Group, project: Project, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 the answer is no, 2 could not or wrong usage."""
    session = Session(project)
    session.json = "--json" in (sys.argv[1:] if arguments is None else arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        result = cli.main(arguments, obj=session, standalone_mode=False)
        status = result if isinstance(result, int) else 0
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stdout = None
        status = 0
    except Interrupted as exc:
        status = _interrupted(session, exc)
    except click.Abort as exc:  # the answer to a question was no
        status = _trouble(session, exc, "not confirmed; nothing was changed")
    except (MigrationError, UnusableDatabase) as exc:
        status = _trouble(session, exc, str(exc))
    except OSError as exc:
        done = session.runner is not None and session.runner.committed
        what = "; all was done, but not told" if done else " (-v shows where)"
        status = _trouble(session, exc, f"{exc}{what}")
    except click.ClickException as exc:
        status = _trouble(session, exc, f"{exc.format_message()} (see --help)")
    except Exception as exc:
        status = _trouble(session, exc, f"unexpected {type(exc).__name__}: {exc} (-v shows where)")
    sys.exit(status)


def _trouble(session: Session, exc: BaseException, message: str) -> int:
    if session.verbose:
        import traceback

        traceback.print_exception(type(exc), exc, exc.__traceback__)
    if session.json:
        error = {"type": type(exc).__name__, "message": message}
        session.show([], error=error)
    if isinstance(exc, BrokenPromise) and len(exc.findings) > 1:
        message = "\n  ".join(["rolled back, nothing was changed:", *exc.findings])
    click.echo(f"error: {message}", err=True)
    return COULD_NOT


def _interrupted(session: Session, exc: BaseException) -> int:
    if session.runner is not None and session.runner.committed:
        return _trouble(session, exc, "interrupted, but everything was done already")
    return _trouble(session, exc, "interrupted; nothing was changed")
