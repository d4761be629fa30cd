"""What one migration did, step by step, with the SQL of each step.

Every statement that Peewee sends goes through here, so none is missing from the record.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from peewee import Database

READS = re.compile(r"\s*(SELECT|PRAGMA|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK)\b", re.IGNORECASE)

Before = Callable[[str, Sequence[Any]], set[str]]


class Step(NamedTuple):
    """``action`` is create, add, drop, rename, alter, rebuild, fill, run, or skip with the reason
    in ``note``; ``statements`` is the SQL that it took, without the values bound to it."""

    action: str
    subject: str
    note: str = ""
    statements: tuple[str, ...] = ()


class Record:
    """The steps so far; ``last_statement`` is the one that an error came from or after."""

    def __init__(self, *, has_rows: bool = True) -> None:
        """``has_rows=False``: on a clone without rows, where no row to change means nothing."""
        self.steps: list[Step] = []
        self.made: set[str] = set()
        self.last_statement = ""
        self._changed_rows: int | None = None
        self._has_rows = has_rows
        self._unclaimed: list[str] = []

    @contextmanager
    def listening(self, database: Database, before: Before) -> Iterator[None]:
        """Note each statement of ``database``; ``before`` sees it first and says what it makes."""
        execute_sql: Callable[..., Any] = database.execute_sql

        def noting(sql: str, params: Any = None) -> Any:
            if READS.match(sql):
                return execute_sql(sql, params)
            self.made |= before(sql, params or ())
            self.last_statement = sql
            cursor = execute_sql(sql, params)
            if cursor.rowcount >= 0:
                self._changed_rows = cursor.rowcount
            self._unclaimed.append(sql)
            return cursor

        # Peewee sends everything through this one method, and looks it up on the instance.
        database.execute_sql = noting  # type: ignore[method-assign]
        try:
            yield
        finally:
            del database.execute_sql

    @contextmanager
    def step(self, action: str, subject: str, note: str = "") -> Iterator[None]:
        """One step that takes the statements sent inside of the block."""
        self.claim_raw()
        yield
        self.steps.append(Step(action, subject, note, tuple(self._unclaimed)))
        self._unclaimed.clear()

    @contextmanager
    def changing_rows(self, action: str, subject: str) -> Iterator[None]:
        """A step that is a skip when its INSERT, UPDATE or DELETE found nothing to do."""
        self._changed_rows = None
        with self.step(action, subject):
            yield
        if self._has_rows and self._changed_rows == 0:
            done = self.steps.pop()
            self.steps.append(Step("skip", subject, "no row to change", done.statements))

    def note(self, action: str, subject: str, note: str) -> None:
        """A step that takes no statement, or takes it later."""
        self.claim_raw()
        self.steps.append(Step(action, subject, note))

    def skip(self, subject: str, why: str) -> None:
        self.note("skip", subject, why)

    def claim_raw(self) -> None:
        """A step for each statement that the migration sent past the migrator."""
        for sql in self._unclaimed:
            self.steps.append(Step("run", summary(sql), statements=(sql,)))
        self._unclaimed.clear()


def summary(sql: str, width: int = 60) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= width else line[: width - 1] + "…"
