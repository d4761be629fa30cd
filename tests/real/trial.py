"""One operation on a copy of a database: done right, refused, or wrong."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.backends.sqlite.text import parse
from guarded.errors import MigrationError, MigrationFailed
from guarded.project import Models, Project
from guarded.run import Runner
from server.migrations.migrate import migrator
from tests.real import outside
from tests.real.compare import Meant, differences
from tests.real.operations import Operation
from tests.real.outside import Look, quote

HEAD = '"""A step."""\n\nimport uuid\n\nfrom peewee import *\n\n\n'
HEAD += """class Of(Field):
    def __init__(self, type_, **options):
        self.type_ = type_
        super().__init__(**options)

    def ddl_datatype(self, ctx):
        return SQL(self.type_)


"""


class Verdict(Enum):
    RIGHT = "right"
    REFUSED = "refused"
    NEEDLESS = "needless"  # refused, though SQLite's own way does it
    WRONG = "wrong"


class Trial(NamedTuple):
    database: str
    operation: str
    source: str
    verdict: Verdict
    words: str
    plan_ms: int


class Subject:
    """One database that operations are tried on, each on a copy of its own."""

    def __init__(self, original: Path, folder: Path) -> None:
        self.original, self.folder = original, folder
        with closing(outside.opened(original, registers=False)) as connection:
            self.unknown = outside.unknown_things(connection)
        self.before = self.look(original)

    def look(self, path: Path) -> Look:
        with closing(self.open(path)) as connection:
            return outside.look(connection)

    def open(self, path: Path) -> sqlite3.Connection:
        connection = outside.opened(path, registers=False)
        outside.register(connection, self.unknown)
        return connection

    def attempt(self, operation: Operation, *, knows: bool = False) -> Trial:
        """``knows``: the tool is given what the application registers."""
        copy = self.folder / "copy.sqlite"
        shutil.copyfile(self.original, copy)
        runner = self._runner(copy, operation, knows)
        started = time.process_time()
        foreseen = _failure(lambda: runner.forecast())
        plan_ms = round((time.process_time() - started) * 1000)
        verdict, words = self._judge(operation, runner, copy, foreseen)
        return Trial(self.original.stem, operation.name, operation.up, verdict, words, plan_ms)

    def _runner(self, copy: Path, operation: Operation, knows: bool) -> Runner:
        migrations = self.folder / "migrations"
        migrations.mkdir(exist_ok=True)
        bodies = [f"def {way}(migrator, db):\n    " + text.strip().replace("\n", "\n    ") + "\n"
                  for way, text in (("up", operation.up), ("down", operation.down))]  # fmt: skip
        (migrations / "step.py").write_text(HEAD + "\n\n".join(bodies))
        register = (lambda c: outside.register(c, self.unknown)) if knows else None
        project = Project(
            name="sweep", version="1", directory=migrations, listed=["step"],
            models=lambda: Models(()), migrator=migrator, location=lambda: str(copy),
            register=register,
        )  # fmt: skip
        return Runner(project, SqliteFile(copy, register), Patience(5), backup=False)

    def _judge(
        self, operation: Operation, runner: Runner, copy: Path, foreseen: Exception | None
    ) -> tuple[Verdict, str]:
        failed = _failure(lambda: runner.up())
        if failed is not None:
            return self._judge_refusal(operation, failed, foreseen, copy)
        if foreseen is not None:
            return Verdict.WRONG, f"plan failed where up did not: {foreseen}"
        after = self.look(copy)
        if found := differences(self.before, after, operation.meant):
            return Verdict.WRONG, "up: " + "; ".join(found[:4])
        if not self._holds(operation, copy):
            return Verdict.WRONG, "up: reported success, and did not do it"
        losing = _failure(lambda: runner.losses())
        failed = _failure(lambda: runner.down())
        if failed is not None:
            if _is_crash(failed):
                return Verdict.WRONG, f"down: {type(failed).__name__}: {failed}"
            is_needless = operation.returns and "does not know" not in str(failed)
            kind = Verdict.NEEDLESS if is_needless else Verdict.REFUSED
            return kind, f"down: {failed}"
        if losing is not None:
            return Verdict.WRONG, f"losses: {losing}"
        found = differences(self.before, self.look(copy), _back(operation))
        if found:
            return Verdict.WRONG, "down: " + "; ".join(found[:4])
        return Verdict.RIGHT, ""

    def _judge_refusal(
        self, operation: Operation, failed: Exception, foreseen: Exception | None, copy: Path
    ) -> tuple[Verdict, str]:
        if _is_crash(failed):
            return Verdict.WRONG, f"{type(failed).__name__}: {failed}"
        with closing(self.open(copy)) as connection:
            names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master")]
        if "schema_history" in names or copy.read_bytes() != self.original.read_bytes():
            return Verdict.WRONG, f"refused, and changed the file: {failed}"
        if foreseen is None and not operation.is_of_values:
            return Verdict.WRONG, f"plan did not say: {failed}"
        verdict = Verdict.NEEDLESS if self.own_way_works(operation) else Verdict.REFUSED
        return verdict, str(failed)

    def _holds(self, operation: Operation, copy: Path) -> bool:
        with closing(self.open(copy)) as connection:
            return bool(connection.execute(operation.holds).fetchone()[0])

    # SQLite's own way.

    def own_way_works(self, operation: Operation) -> bool:
        if operation.own is None:
            return False
        copy = self.folder / "own.sqlite"
        shutil.copyfile(self.original, copy)
        try:
            with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                for sql in self._statements(operation, connection):
                    connection.execute(sql)
                connection.execute("COMMIT")
        except (sqlite3.Error, KeyError, ValueError):
            return False
        # A type that gives stored values another form takes some away.
        meant = replace(operation.meant, values=set())
        if differences(self.before, self.look(copy), meant):
            return False
        return self._holds(operation, copy)

    def _statements(self, operation: Operation, connection: sqlite3.Connection) -> Sequence[str]:
        """https://www.sqlite.org/lang_altertable.html#otheralter, for an edit of the text."""
        if isinstance(operation.own, tuple):
            return operation.own
        assert operation.own is not None
        table, q = operation.table, quote(operation.table)
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type IN ('index', 'trigger') "
            "AND sql IS NOT NULL", (table,),
        ).fetchall()  # fmt: skip
        (sql,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        definition = operation.own(parse(sql))
        head = definition.tokens[2]
        new = f"{definition.sql[: head.start]}{quote(table + '_new')}{definition.sql[head.end :]}"
        names = [quote(c) for c in outside.plain_columns(connection, table)]
        into = ", ".join(names)
        return [
            "PRAGMA legacy_alter_table = ON",
            new,
            f"INSERT INTO {quote(table + '_new')} ({into}) SELECT {into} FROM {q}",
            f"DROP TABLE {q}",
            f"ALTER TABLE {quote(table + '_new')} RENAME TO {q}",
            *(row[0] for row in rows),
        ]


def _failure(run: Any) -> Exception | None:
    try:
        run()
    except Exception as exc:
        return exc
    return None


def _is_crash(exc: Exception) -> bool:
    """An error that nobody worded for a person."""
    if isinstance(exc, MigrationFailed):
        words = str(exc)
        return any(
            f"{name}:" in words
            for name in ("KeyError", "AssertionError", "AttributeError", "TypeError", "StopIteration",
                         "IndexError", "ValueError", "UnreadableTable")
        )  # fmt: skip
    return not isinstance(exc, MigrationError)


def _back(operation: Operation) -> Meant:
    """What may differ once the operation was undone."""
    meant = operation.meant
    if operation.returns:
        return Meant(
            is_respelled=bool(meant.renamed_tables or meant.come_columns or meant.renamed_columns),
            texts={*meant.tables, *meant.renamed_tables},
        )
    return meant
