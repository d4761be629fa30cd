"""Command lines that help, as they can be pasted where the user stands."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from guarded.errors import MigrationError, MissingDatabase, RenamedMigration

if TYPE_CHECKING:
    from guarded.cli.session import Session


def command_line(session: Session, *arguments: str) -> str:
    """Return the program as it was called, with the same ``--database`` and these arguments."""
    database = [] if session.database is None else ["--database", session.database]
    return shlex.join([*_program(session), *map(_public, database), *arguments])


def repeated(session: Session, option: str) -> str:
    """Return the whole call once more, with one more option."""
    return shlex.join([*_program(session), *map(_public, session.arguments), option])


def for_error(session: Session, exc: MigrationError) -> str | None:
    """Return the command that mends it, where there is one."""
    if isinstance(exc, MissingDatabase):
        return command_line(session)
    if isinstance(exc, RenamedMigration):
        return command_line(session, "rename", exc.old, exc.new)
    if exc.is_damage and session.runner and (copies := session.runner.backend.copies()):
        return command_line(session, "restore", session.near(copies[-1].path))
    return None


def _public(argument: str) -> str:
    # A password must not get into a log; psycopg also finds it in PGPASSWORD or ~/.pgpass.
    return re.sub(r"(://[^:/@]*):[^/]*@", r"\1@", argument)


def _program(session: Session) -> list[str]:
    if not session.is_called:
        return shlex.split(session.project.command)
    # All that was typed in front of the arguments: `python3 migrations/migrate.py`.
    typed = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv[1:])]
    script = Path(typed[-1])
    if script.suffix == ".py" or len(typed) == 1:
        return typed
    return [script.name if shutil.which(script.name) == str(script) else str(script)]
