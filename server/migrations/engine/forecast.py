"""The same run on a clone of the schema in memory: what would happen, without touching anything.

The clone has no rows, so that what depends on rows is not foreseen.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from peewee import SqliteDatabase

from server.migrations.engine import introspection
from server.migrations.engine.errors import MigrationFailed
from server.migrations.engine.execution import Outcome, run_script
from server.migrations.engine.introspection import Execute
from server.migrations.engine.scripts import Script
from server.migrations.engine.sql.names import quote
from server.migrations.engine.watch import Watch


class Forecast(NamedTuple):
    """``findings`` are the promises that would be broken; ``unforeseen`` says where and why it
    ended early: a migration may need rows to go on."""

    outcomes: tuple[Outcome, ...]
    findings: tuple[str, ...] = ()
    unforeseen: str | None = None


def forecast(
    read: Execute | None,
    scripts: Iterable[Script],
    direction: str,
    in_memory: Mapping[str, str],
    made: Callable[[Script], Collection[str] | None],
) -> Forecast:
    """Run the scripts on a clone of what ``read`` sees (None: an empty database).

    Raises what the verbs refuse, for the schema alone is reason enough.
    """
    database = SqliteDatabase(":memory:", pragmas={"foreign_keys": 0})
    database.connect()
    database.begin()
    database.push_transaction(database.transaction())
    try:
        if read is not None:
            clone_schema(read, database.connection())
        outcomes: list[Outcome] = []
        watch = Watch(database.connection(), in_memory)
        for script in scripts:
            try:
                outcome = run_script(
                    database, script, direction, watch, made(script), has_rows=False
                )
                outcomes.append(outcome)
            except MigrationFailed as exc:
                return Forecast(tuple(outcomes), unforeseen=str(exc))
        return Forecast(tuple(outcomes), tuple(watch.lost_objects()))
    finally:
        database.pop_transaction()
        database.close()


def clone_schema(read: Execute, clone: sqlite3.Connection) -> None:
    """Make every table, index, view and trigger anew, empty, in the clone.

    Left out is what can't exist without its extension, and so can't be changed here either.
    """
    shadows = {
        row[1] for row in read("PRAGMA table_list") if row[2] == "shadow"
    }  # tables that a virtual table makes by itself
    rank = {"table": 0, "view": 1, "index": 2, "trigger": 3}
    for item in sorted(introspection.objects(read), key=lambda o: rank[o.kind]):
        if item.sql is None or item.name in shadows or item.table in shadows:
            continue
        try:
            clone.execute(item.sql)
        except sqlite3.OperationalError:
            continue


class Loss(NamedTuple):
    """``kind`` is table or column, ``subject`` its name, ``rows`` how many have a value there."""

    kind: str
    subject: str
    rows: int

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}: {self.rows} rows"


def losses(execute: Execute, forecast: Forecast) -> list[Loss]:
    """Tables and columns with values in them that the run would drop."""
    found = []
    dropped = [s.subject for o in forecast.outcomes for s in o.steps if s.action == "drop"]
    for subject in dropped:
        table, _, column = subject.rpartition(".")
        if introspection.has_table(execute, subject):
            kind, sql = "table", f"SELECT count(*) FROM {quote(subject)}"
        elif table and introspection.has_column(execute, table, column):
            kind, sql = "column", f"SELECT count({quote(column)}) FROM {quote(table)}"
        else:
            continue
        if rows := next(iter(execute(sql)))[0]:
            found.append(Loss(kind, subject, rows))
    return found
