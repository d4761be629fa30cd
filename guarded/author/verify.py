"""Try every listed migration on scratch databases with rows: up, up again, down, up again.

Never opens the application's database.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from peewee import IntegrityError

from guarded import diff
from guarded.author import sample
from guarded.author.lint import lint
from guarded.backends.interface import Backend, Inspector, Patience
from guarded.errors import MigrationError, MigrationFailed, Refused, RowsDoNotFit
from guarded.findings import Finding, Severity
from guarded.project import Project
from guarded.run import Run, Runner
from guarded.schema import Schema, Table
from guarded.status import tables_in_memory
from guarded.steps import Action, Direction, Kind, Step, Target

NOBODY = Patience()  # a scratch database has no other user


@dataclass
class Verdict:
    """The verdict on one migration; a finding with PROBLEM is a broken promise, and with WARNING
    there is nothing yet that could hold."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    duration_ms: int = 0

    @property
    def holds(self) -> bool:
        return not any(f.severity in (Severity.PROBLEM, Severity.WARNING) for f in self.findings)

    @property
    def is_broken(self) -> bool:
        return any(finding.severity is Severity.PROBLEM for finding in self.findings)

    def broken(self, sentence: str) -> None:
        self.findings.append(Finding(Severity.PROBLEM, self.name, sentence))


@dataclass(frozen=True)
class Content:
    """``rows`` maps a table's folded name to its column names and rows."""

    schema: Schema
    others: Mapping[Target, str | None]  # views and triggers
    rows: Mapping[str, tuple[list[str], list[tuple[Any, ...]]]]


def verify(project: Project, backend: Backend) -> list[Verdict]:
    """Return a verdict for each listed migration; the last also compares with the models.

    Never raises for what a migration does: that is a finding.
    """
    verdicts = []
    with backend.scratch() as scratch:
        for number, name in enumerate(project.listed, start=1):
            verdict = Verdict(name)
            verdicts.append(verdict)
            started = time.monotonic()
            part = project._replace(listed=project.listed[:number], models=_no_check(project))
            try:
                _lint(project, verdict, scratch.names.fold)
                _Trial(part, scratch, verdict).run()
                if number == len(project.listed):
                    _compare_with_models(project, scratch, verdict)
            except MigrationError as exc:
                verdict.broken(str(exc))
                break  # the later ones build on it
            finally:
                verdict.duration_ms = round((time.monotonic() - started) * 1000)
    return verdicts


class _Trial:
    """The trial of one migration, on a scratch database with all earlier ones and rows."""

    def __init__(self, project: Project, scratch: Backend, verdict: Verdict) -> None:
        self.project, self.scratch, self.verdict = project, scratch, verdict
        self.name = project.listed[-1]
        self.runner = Runner(project, scratch, backup=False)
        self.fold = scratch.names.fold

    def run(self) -> None:
        self._fill()
        before = self._content()
        try:
            done = self.runner.up()
        except (MigrationFailed, Refused) as exc:
            if not self._keep_what_fits(exc, Direction.UP, self.project):
                raise
            before = self._content()
            done = self.runner.up()
        after = self._content()
        self._check_rows_kept(before, after, done)
        known = len(self.verdict.findings)
        self._check_again(after, has_new_rows=False)
        self._fill()  # its down must cope with rows that came after its up
        after = self._content()
        if len(self.verdict.findings) == known:
            self._check_again(after, has_new_rows=True)
        self._undo(before, after)
        self.runner.up()
        self._same_schema(after, self._content(), "up after down makes another schema than up")

    def _fill(self) -> None:
        with self.scratch.transaction(NOBODY, _ignore) as session:
            sample.fill(session, self.scratch.names)

    def _keep_what_fits(self, exc: MigrationError, direction: Direction, target: Project) -> bool:
        """Delete the rows that a new UNIQUE, CHECK or key refuses; return whether there were any.

        A row fits when an empty table, as the migrations of ``target`` make it, accepts it, and
        when the row that it refers to is there.
        """
        is_of_rows = isinstance(exc, RowsDoNotFit) or isinstance(exc.__cause__, IntegrityError)
        if not is_of_rows and not isinstance(exc, Refused):
            return False
        with self.scratch.scratch() as empty:
            Runner(target, empty, backup=False).up()
            with (
                self.scratch.transaction(NOBODY, _ignore) as session,
                empty.transaction(NOBODY, _ignore) as fitting,
            ):
                gone = sample.delete_orphans(session, fitting, self.scratch.names)
                if is_of_rows:
                    gone += sample.keep_what_fits(session, fitting, self.scratch.names)
        why = exc.__cause__ or exc
        sentence = f"tried without {gone} rows that {direction.value} refuses: {why}"
        if gone:
            self.verdict.findings.append(Finding(Severity.NOTE, self.name, sentence))
        return gone > 0

    def _content(self) -> Content:
        with self.scratch.reading(NOBODY) as inspector:
            assert inspector is not None
            return _content(inspector, self.scratch.names.quote)

    def _check_rows_kept(self, before: Content, after: Content, done: Run) -> None:
        """Check that up loses rows only of a table that it drops or deletes from."""
        taken = {
            self.fold(target.table)
            for step in _steps(done)
            for target in step.takes
            if target.kind is Kind.ROWS
        }
        for table, (_, rows) in before.rows.items():
            left = after.rows.get(table)
            if left is not None and len(left[1]) < len(rows) and table not in taken:
                lost = len(rows) - len(left[1])
                self.verdict.broken(f"up loses {lost} of {len(rows)} rows of table '{table}'")

    def _check_again(self, after: Content, *, has_new_rows: bool) -> None:
        """Check that up again changes nothing; new rows it may fill, and not take."""
        found: list[Content] = []
        try:
            self.runner.again(
                self.name, lambda i: found.append(_content(i, self.scratch.names.quote))
            )
        except MigrationError as exc:
            self.verdict.broken(f"up can't be run again: {exc}")
            return
        (content,) = found
        self._same_schema(after, content, "up again changes the schema")
        for table, (_, rows) in after.rows.items():
            now = content.rows.get(table)
            if now is None:
                continue
            is_same = sorted(now[1], key=repr) == sorted(rows, key=repr)
            if len(now[1]) < len(rows) or not (is_same or has_new_rows):
                self.verdict.broken(f"up again changes rows of table '{table}'")

    def _undo(self, before: Content, after: Content) -> None:
        said = self.runner.losses()
        try:
            done = self.runner.down()
        except (MigrationFailed, Refused) as exc:
            earlier = self.project._replace(listed=self.project.listed[:-1])
            if not self._keep_what_fits(exc, Direction.DOWN, earlier):
                raise
            after = self._content()
            done = self.runner.down()
        undone = self._content()
        self._same_schema(before, undone, "down does not restore the schema of before")
        dropped = {self.fold(loss.target.table) for loss in said if loss.target.kind is Kind.TABLE}
        renamed = self._renamed(done)
        changed = {self._key(target) for step in _steps(done) for target in step.sets}
        for table, (columns, rows) in after.rows.items():
            if table in dropped:
                continue
            now = renamed.get((table, ""), table)
            if now not in undone.rows:
                if rows:
                    self.verdict.broken(f"down loses table '{table}' without a warning")
                continue
            pairs = [
                (name, renamed.get((table, self.fold(name)), name))
                for name in columns
                if (table, self.fold(name)) not in changed
            ]
            pairs = [(old, new) for old, new in pairs if new in undone.rows[now][0]]
            kept = _project(*undone.rows[now], [new for _, new in pairs])
            if any(row not in kept for row in _project(columns, rows, [old for old, _ in pairs])):
                self.verdict.broken(f"down changes or loses rows of table '{table}'")

    def _renamed(self, done: Run) -> dict[tuple[str, str], str]:
        """Map each renamed table and column to its present name, all folded."""
        return {
            self._key(step.target): self.fold(step.renamed_to)
            for step in _steps(done)
            if step.action is Action.RENAME and step.renamed_to is not None
        }

    def _key(self, target: Target) -> tuple[str, str]:
        return self.fold(target.table), self.fold(target.name or "")

    def _same_schema(self, wanted: Content, found: Content, sentence: str) -> None:
        """Compare by meaning, since ALTER TABLE changes the spelling of a table."""
        for difference in diff.compare(wanted.schema, found.schema, self.fold):
            text = difference.sentence.replace(" is declared by no model", " was not there")
            self.verdict.broken(f"{sentence}: {text}")
        for target in dict.fromkeys((*wanted.others, *found.others)):
            if wanted.others.get(target) != found.others.get(target):
                self.verdict.broken(f"{sentence}: {target.described} differs")


def _content(inspector: Inspector, quote: Callable[[str], str]) -> Content:
    schema = inspector.schema()
    others = {
        target: sql
        for target, sql in inspector.objects().items()
        if target.kind in (Kind.VIEW, Kind.TRIGGER)
    }
    rows = {}
    for name, table in schema.items():
        columns = [column.name for column in table.columns]
        rows[name] = (columns, _rows(inspector, table, quote))
    return Content(schema, others, rows)


def _rows(inspector: Inspector, table: Table, quote: Callable[[str], str]) -> list[tuple[Any, ...]]:
    try:
        return list(inspector.execute(f"SELECT * FROM {quote(table.name)}"))
    # An index without content can't be read, or one whose content is not there.
    except Exception:
        if table.kind != "virtual":
            raise
        return []


def _steps(done: Run) -> Iterable[Step]:
    return (step for outcome in done.outcomes for step in outcome.steps)


def _project(columns: list[str], rows: list[tuple[Any, ...]], names: list[str]) -> list[Any]:
    places = [columns.index(name) for name in names]
    return [tuple(_number(row[place]) for place in places) for row in rows]


def _number(value: Any) -> Any:
    """1, 1.0 and '1' are one value: the type of a column decides how it is stored."""
    try:
        number = Decimal(str(value)) if isinstance(value, (int, float, str)) else None
    except InvalidOperation:
        return value
    return number if number is not None and number.is_finite() else value


def _lint(project: Project, verdict: Verdict, fold: Callable[[str], str]) -> None:
    file = project.directory / f"{verdict.name}.py"
    if file.exists():
        with suppress(SyntaxError, ValueError):  # loading it will say so
            text = file.read_text(encoding="utf-8-sig", errors="replace")
            models = project.models()
            own = {m.__module__.partition(".")[0] for m in (*models.persistent, *models.in_memory)}
            own -= {"peewee", "playhouse"}  # where classes that type() made say they are from
            in_memory = list(tables_in_memory(project))
            verdict.findings += lint(verdict.name, text, in_memory, own, fold)


def _no_check(project: Project) -> Callable[[], Any]:
    """Leave the models out: only the last migration can meet them."""
    models = project.models()
    return lambda: models._replace(persistent=())


def _compare_with_models(project: Project, scratch: Backend, verdict: Verdict) -> None:
    with scratch.reading(NOBODY) as inspector:
        for difference in diff.with_models(project, scratch, inspector):
            if difference.is_extra:
                finding = Finding(Severity.NOTE, verdict.name, difference.sentence)
                verdict.findings.append(finding)
            else:
                verdict.broken(f"the models are not met: {difference.sentence}")


def _ignore() -> None:
    """Ignore commits of a scratch database."""
