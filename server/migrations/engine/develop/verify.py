"""Every listed migration on scratch databases with rows: up, up again, down, up again.

Nothing of the application's database is opened.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from peewee import IntegrityError

from server.migrations.engine import drift, history, introspection, shape
from server.migrations.engine.develop import sample
from server.migrations.engine.develop.changes import Changes
from server.migrations.engine.develop.lint import lint
from server.migrations.engine.errors import MigrationError, MigrationFailed
from server.migrations.engine.findings import NOTE, PROBLEM, Finding
from server.migrations.engine.project import DatabaseFile, Project
from server.migrations.engine.runner import Run, Runner
from server.migrations.engine.sql.names import fold, quote

Rows = dict[str, tuple[list[str], list[tuple[Any, ...]]]]  # table: columns, rows in one order


@dataclass
class Verdict:
    """Of one migration; ``findings`` with a PROBLEM are broken promises."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    duration_ms: int = 0

    @property
    def holds(self) -> bool:
        return all(finding.severity != PROBLEM for finding in self.findings)

    def broken(self, sentence: str) -> None:
        self.findings.append(Finding(PROBLEM, self.name, sentence))


@dataclass(frozen=True)
class Content:
    objects: Mapping[tuple[str, str], str | None]
    rows: Rows


def verify(project: Project, open_at: Callable[[Path], DatabaseFile]) -> list[Verdict]:
    """A verdict for each listed migration; the last one also says whether the models are met.

    ``open_at`` makes a database file of the application's kind.  Never raises for what a migration
    does: that is a finding.
    """
    verdicts = []
    with tempfile.TemporaryDirectory(prefix="verify-") as folder:
        path = Path(folder) / "scratch.sqlite"
        for number, name in enumerate(project.listed, start=1):
            verdict = Verdict(name)
            verdicts.append(verdict)
            started = time.monotonic()
            part = project._replace(listed=project.listed[:number], models=_no_check(project))
            try:
                _lint(project, verdict)
                _Trial(part, open_at, path, verdict).run()
                if number == len(project.listed):
                    _compare_with_models(project, path, verdict)
            except MigrationError as exc:
                verdict.broken(str(exc))
                break  # what comes after it has nothing to stand on
            finally:
                verdict.duration_ms = round((time.monotonic() - started) * 1000)
    return verdicts


class _Trial:
    """One migration, on a scratch database that has all before it, and rows."""

    def __init__(
        self,
        project: Project,
        open_at: Callable[[Path], DatabaseFile],
        path: Path,
        verdict: Verdict,
    ) -> None:
        self.project, self.open_at, self.path, self.verdict = project, open_at, path, verdict
        self.name = project.listed[-1]

    def run(self) -> None:
        self._fill()
        before = self._content()
        try:
            done = self._runner().up()
        except MigrationFailed as exc:
            if not self._keep_what_fits(exc, self.project):
                raise
            before = self._content()
            done = self._runner().up()
        self._check_rows_kept(before, self._content(), done)
        self._fill()  # its down has to manage rows that came after its up
        after = self._content()
        self._check_again(after)
        self._undo(before, after)
        self._runner().up()
        self._same_schema(after, self._content(), "up after down does not make what up made")

    def _runner(self, path: Path | None = None) -> Runner:
        return Runner(self.project, self.open_at(path or self.path), backup=False)

    def _fill(self) -> None:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            sample.fill(connection)

    def _keep_what_fits(self, exc: MigrationFailed, target: Project) -> bool:
        """Without the rows that a new UNIQUE or CHECK refuses, there may be a way on.

        A row fits when a table takes it that the migrations of ``target`` made without any.
        """
        if not isinstance(exc.__cause__, IntegrityError):
            return False
        empty = self.path.with_name("empty.sqlite")
        Runner(target, self.open_at(empty), backup=False).up()
        with (
            closing(sqlite3.connect(self.path, isolation_level=None)) as connection,
            closing(sqlite3.connect(empty, isolation_level=None)) as fitting,
        ):
            gone = sample.keep_what_fits(connection, fitting)
        empty.unlink()
        sentence = f"tried without {gone} rows that {exc.direction} refuses: {exc.__cause__}"
        self.verdict.findings.append(Finding(NOTE, self.name, sentence))
        return gone > 0

    def _content(self, path: Path | None = None) -> Content:
        with closing(sqlite3.connect(path or self.path, isolation_level=None)) as connection:
            objects = {
                (o.kind, fold(o.name)): o.sql
                for o in introspection.objects(connection.execute)
                if fold(o.name) != history.TABLE
            }
            rows: Rows = {}
            for kind, name in objects:
                if kind == "table":
                    columns = [c.name for c in introspection.columns(connection.execute, name)]
                    found = connection.execute(f"SELECT * FROM {quote(name)}").fetchall()
                    rows[name] = (columns, found)
            return Content(objects, rows)

    def _check_rows_kept(self, before: Content, after: Content, done: Run) -> None:
        """up may only lose the rows of a table that it drops or says a DELETE on."""
        said = " ".join(sql for o in done.outcomes for s in o.steps for sql in s.statements)
        for table, (_, rows) in before.rows.items():
            left = after.rows.get(table)
            deletes = f"delete from {table}" in fold(said).replace('"', "")
            if left is not None and len(left[1]) < len(rows) and not deletes:
                lost = len(rows) - len(left[1])
                self.verdict.broken(f"up loses {lost} of {len(rows)} rows of table '{table}'")

    def _check_again(self, after: Content) -> None:
        """On a copy, for the history of the real one says what its up made."""
        copy = self.path.with_name("again.sqlite")
        shutil.copyfile(self.path, copy)
        with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
            sql = f"DELETE FROM {history.TABLE} WHERE migration = ?"
            connection.execute(sql, (self.name,))
        try:
            self._runner(copy).up()
        except MigrationError as exc:
            self.verdict.broken(f"up can't be run again: {exc}")
            return
        finally:
            content = self._content(copy)
            copy.unlink()
        self._same_schema(after, content, "up again changes the schema")
        for table, (_, rows) in after.rows.items():
            found = content.rows.get(table)
            if found is not None and sorted(found[1], key=repr) != sorted(rows, key=repr):
                self.verdict.broken(f"up again changes rows of table '{table}'")

    def _undo(self, before: Content, after: Content) -> None:
        said = self._runner().losses()
        try:
            done = self._runner().down()
        except MigrationFailed as exc:
            earlier = self.project._replace(listed=self.project.listed[:-1])
            if not self._keep_what_fits(exc, earlier):
                raise
            after = self._content()
            done = self._runner().down()
        undone = self._content()
        self._same_schema(before, undone, "down does not restore the schema of before")
        changes = Changes.of(done)
        dropped = {fold(loss.subject) for loss in said if loss.kind == "table"}
        for table, (columns, rows) in after.rows.items():
            if table in dropped:
                continue
            now = changes.renamed.get(table, table)
            if now not in undone.rows:
                if rows:
                    self.verdict.broken(f"down loses table '{table}' without a word")
                continue
            pairs = [
                (name, changes.renamed.get(f"{table}.{fold(name)}", name))
                for name in columns
                if (table, fold(name)) not in changes.filled
            ]
            pairs = [(old, new) for old, new in pairs if new in undone.rows[now][0]]
            kept = _project(*undone.rows[now], [new for _, new in pairs])
            if any(row not in kept for row in _project(columns, rows, [old for old, _ in pairs])):
                self.verdict.broken(f"down changes or loses rows of table '{table}'")

    def _same_schema(self, wanted: Content, found: Content, sentence: str) -> None:
        """Compared by meaning, for an ALTER TABLE spells a table anew."""
        left, right = (_shapes(content) for content in (wanted, found))
        for difference in drift.compare(left, right):
            text = difference.sentence.replace(" is declared by no model", " was not there")
            self.verdict.broken(f"{sentence}: {text}")
        others = [
            {key: sql for key, sql in c.objects.items() if key[0] in ("view", "trigger")}
            for c in (wanted, found)
        ]
        for key in {*others[0], *others[1]}:
            if others[0].get(key) != others[1].get(key):
                self.verdict.broken(f"{sentence}: {key[0]} '{key[1]}' differs")


def _shapes(content: Content) -> shape.Schema:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        for kind in ("table", "index"):
            for (found, _), sql in content.objects.items():
                if found == kind and sql is not None:
                    connection.execute(sql)
        return shape.live_schema(connection.execute)


def _project(columns: list[str], rows: list[tuple[Any, ...]], names: list[str]) -> list[Any]:
    places = [columns.index(name) for name in names]
    return [tuple(_number(row[place]) for place in places) for row in rows]


def _number(value: Any) -> Any:
    """1, 1.0 and '1' are one value: the type of a column decides how SQLite stores it."""
    try:
        number = Decimal(str(value)) if isinstance(value, (int, float, str)) else None
    except InvalidOperation:
        return value
    return number if number is not None and number.is_finite() else value


def _lint(project: Project, verdict: Verdict) -> None:
    file = project.directory / f"{verdict.name}.py"
    tables = [model._meta.table_name for model in project.models().in_memory]
    if file.exists():
        with suppress(SyntaxError, ValueError):  # loading it will say so
            verdict.findings += lint(verdict.name, file.read_text(errors="replace"), tables)


def _no_check(project: Project) -> Callable[[], Any]:
    """The models are the newest: no migration but the last can meet them."""
    models = project.models()
    return lambda: models._replace(persistent=())


def _compare_with_models(project: Project, path: Path, verdict: Verdict) -> None:
    models = project.models().persistent
    if not models:
        return
    declared = shape.declared_schema(models)
    with closing(sqlite3.connect(path)) as connection:
        for difference in drift.compare(declared, shape.live_schema(connection.execute)):
            verdict.broken(f"the models are not met: {difference.sentence}")
