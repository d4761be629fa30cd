"""Run migrations on an open transaction and say what they did.

Used on the database and on its clone alike, so that a forecast is the run itself, without rows.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from peewee import IntegrityError, OperationalError, SqliteDatabase

from server.migrations.engine import history
from server.migrations.engine.errors import MigrationError, MigrationFailed, Refused
from server.migrations.engine.operations import GuardedMigrator
from server.migrations.engine.record import Record, Step, summary
from server.migrations.engine.scripts import Script
from server.migrations.engine.watch import Watch


class Outcome(NamedTuple):
    """What one migration did; ``made`` is what it created, see history.Entry."""

    name: str
    direction: str
    checksum: str
    duration_ms: int
    steps: tuple[Step, ...]
    made: frozenset[str]


def run_script(
    database: SqliteDatabase,
    script: Script,
    direction: str,
    watch: Watch,
    made: Collection[str] | None,
    *,
    has_rows: bool = True,
) -> Outcome:
    """Run one direction of one migration; ``has_rows=False`` on a clone of the schema alone.

    Raises MigrationFailed with the statement, and what the verbs refuse.  Neither commits nor
    rolls back, and leaves it to the caller to ask ``watch`` what was lost.
    """
    function = script.function(direction)
    record = Record(has_rows=has_rows)
    migrator = GuardedMigrator(database, record, watch, made)
    started = time.perf_counter()
    # Python handles a signal between two bytecodes: this gives it some inside of a long statement.
    # SQLite calls it every so many steps of its virtual machine.
    database.connection().set_progress_handler(_let_signals_in, 10_000)
    with watch.migration(script.name):
        for kind, _, name in (item.partition(" ") for item in made or ()):
            watch.name((kind, name))
        try:
            with record.listening(database, watch.before):
                result = function(migrator, database)
                if inspect.iscoroutine(result) or inspect.isgenerator(result):  # nothing ran
                    result.close()
                    raise Refused(f"{direction} of '{script.name}' has to be a plain function")
                migrator.finish()
        except MigrationError:
            raise
        except OperationalError as exc:
            if str(exc) == "interrupted":  # a signal came while SQLite was at work
                raise KeyboardInterrupt from exc
            raise _failed(script, direction, record, exc) from exc
        except (Exception, SystemExit) as exc:
            raise _failed(script, direction, record, exc) from exc
    record.claim_raw()
    record.made |= watch.new_columns()
    return Outcome(
        script.name,
        direction,
        script.checksum or "",
        round((time.perf_counter() - started) * 1000),
        tuple(record.steps),
        frozenset(record.made if direction == history.UP else ()),
    )


def _let_signals_in() -> int:
    return 0


def _failed(script: Script, direction: str, record: Record, exc: BaseException) -> MigrationFailed:
    import traceback

    lines = [
        frame.lineno
        for frame in traceback.extract_tb(exc.__traceback__)
        if Path(frame.filename) == script.path
    ]
    where = f" (line {lines[-1]} of {script.path.name})" if lines else ""
    if record.last_statement:
        where += f"; the last statement was: {summary(record.last_statement, 200)}"
    cause = str(exc) if isinstance(exc, OperationalError) else f"{type(exc).__name__}: {exc}"
    if isinstance(exc, IntegrityError):
        cause = f"{exc}: there are rows that don't fit; change those first"
    return MigrationFailed(script.name, direction, cause, where)
