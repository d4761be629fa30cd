"""Errors of a migration, as its author needs them: verb, line, file, and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress

from peewee import IntegrityError, OperationalError, ProgrammingError

from guarded.errors import MigrationError, MigrationFailed, line_in, nearest
from guarded.scripts import Script
from guarded.steps import Direction, statement
from guarded.verbs.perform import Performer

BY_DATABASE = (OperationalError, ProgrammingError)
MISSING = re.compile(
    r"no such (?P<kind>table|column): (?P<name>\S+)"
    r"|(?P<relation>relation|column) \"?(?P<quoted>[^\"\s]+)\"? does not exist"
)


def placed(script: Script, performer: Performer, exc: MigrationError) -> MigrationError:
    """Return the refusal with the verb, line and file that it is about."""
    if not exc.place:
        exc.place = _place(script, performer, exc)
    return exc


def failed(
    script: Script, direction: Direction, performer: Performer, exc: BaseException
) -> MigrationFailed:
    """Return the error of a migration that ended by an exception which is not ours."""
    place = _place(script, performer, exc)
    where = f" ({place})" if place else ""
    if performer.last_statement:
        where += f"; the last statement was: {statement(performer.last_statement, 200)}"
    said = " ".join(str(exc).split())
    if isinstance(exc, IntegrityError):
        cause = f"{said}: there are rows that don't fit; change those first"
    elif isinstance(exc, BY_DATABASE):
        cause = f"{said}{_nearest_in_schema(performer, said)}"
    else:
        cause = f"{type(exc).__name__}: {said}{_nearest_in_python(script, direction, exc)}"
    is_sure = isinstance(exc, BY_DATABASE) and not performer.has_read
    sent = performer.last_statement
    return MigrationFailed(
        script.name, direction.value, cause, where, is_sure=is_sure, statement=sent
    )


def _place(script: Script, performer: Performer, exc: BaseException) -> str:
    verb, line = performer.doing or ("", line_in(script.path, exc))
    parts = [verb] if verb else []
    return ", ".join([*parts, f"line {line} of {script.path.name}"] if line else parts)


def _nearest_in_schema(performer: Performer, said: str) -> str:
    found = MISSING.search(said)
    if found is None:
        return ""
    name = (found["name"] or found["quoted"]).split(".")[-1]
    with suppress(Exception):  # a transaction that failed may take no more questions
        tables = list(performer.look.inspector.schema().values())
        if "column" in (found["kind"], found["relation"]):
            sql = performer.last_statement.lower()
            tables = [table for table in tables if table.name.lower() in sql]
            return _hint(name, [column.name for table in tables for column in table.columns])
        return _hint(name, [table.name for table in tables])
    return ""


def _nearest_in_python(script: Script, direction: Direction, exc: BaseException) -> str:
    if "did you mean" in str(exc).lower():
        return ""
    if isinstance(exc, NameError):
        return _hint(exc.name, script.function(direction).__globals__)
    if isinstance(exc, AttributeError):
        return _hint(exc.name, dir(exc.obj))
    return ""


def _hint(name: str | None, known: Iterable[str]) -> str:
    return nearest(name or "", [*known])
