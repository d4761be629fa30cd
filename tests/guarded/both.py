"""A database with rows on each kind of backend, for tests that say the same of both."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg

from guarded.backends.interface import Backend, Patience
from guarded.backends.postgresql import connect as postgresql
from guarded.backends.sqlite.connect import SqliteFile
from guarded.project import Project
from guarded.run import Runner
from guarded.steps import Action
from tests.conftest import migration

KINDS = ("sqlite", "postgresql")
# The way of SQLite alone to make a change of a table; the change itself is a step of its own.
OWN_WAY = (Action.EDIT, Action.REBUILD)
NO_ID = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
FUNCTION = """CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN {body}; RETURN NULL; END $$"""


class World:
    """One database with a connection beside the engine's; foreign keys are on in it."""

    def __init__(
        self, kind: str, backend: Backend, execute: Callable[[str], Any], project: Any
    ) -> None:
        self.kind, self.backend, self._execute, self._project = kind, backend, execute, project
        self._files: dict[str, str] = {}

    @property
    def is_sqlite(self) -> bool:
        return self.kind == "sqlite"

    def run(self, *statements: str) -> None:
        """``SERIAL`` stands for a key that the database numbers."""
        for sql in statements:
            self._execute(sql.replace("SERIAL", NO_ID[self.kind]))

    def trigger(self, name: str, event: str, table: str, body: str) -> None:
        """A trigger after the event, for each row."""
        if self.is_sqlite:
            self.run(f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {body}; END")
        else:
            self.run(
                FUNCTION.format(name=name, body=body),
                f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW "
                f"EXECUTE FUNCTION {name}()",
            )

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self._execute(sql).fetchall()]

    def schema(self) -> Any:
        with self.backend.reading(Patience(5)) as inspector:
            assert inspector is not None
            return dict(inspector.objects()), inspector.schema()

    def counts(self) -> dict[str, int]:
        _, tables = self.schema()
        return {
            table.name: self.rows(f'SELECT count(*) FROM "{table.name}"')[0][0]
            for table in tables.values()
        }

    def runner(self, files: Mapping[str, str], *, backup: bool = False, **models: Any) -> Runner:
        project: Project = self._project(files, **models)
        return Runner(project, self.backend, Patience(5), backup=backup)

    def apply(self, *bodies: str) -> list[tuple[str, str, str]]:
        """Run migrations with these bodies, one run for each; gives the steps of the last."""
        for body in bodies:
            name = f"change_{len(self._files)}"
            self._files[name] = migration(body)
            try:
                done = self.runner(self._files).up()
            except Exception:
                del self._files[name]
                raise
        return [
            (step.action.value, str(step.target), step.note)
            for outcome in done.outcomes
            for step in outcome.steps
            if step.action not in OWN_WAY
        ]


def open_sqlite(path: Any, make_project: Any) -> tuple[World, sqlite3.Connection]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    return World("sqlite", SqliteFile(path), connection.execute, make_project), connection


def open_postgresql(
    url: str, folder: Any, make_project: Any
) -> tuple[World, psycopg.Connection[Any]]:
    connection = psycopg.connect(url, autocommit=True)
    backend = postgresql.locate(url, folder=folder)
    return World("postgresql", backend, connection.execute, make_project), connection


def outcome(steps: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    return [(action, target) for action, target, _ in steps]
