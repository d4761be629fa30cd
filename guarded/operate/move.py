"""Move a database into an empty one of another kind.

The target is migrated and filled in one transaction.  The rows come from a copy of the source, of
one moment and migrated first, so that the source is never written and may be of any age.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guarded import diff
from guarded.backends.interface import (
    Backend,
    Fillable,
    Inspector,
    Leavable,
    Load,
    OnProgress,
    Session,
)
from guarded.errors import BrokenPromise, MissingDatabase, Refused, UnusableDatabase
from guarded.operate.transfer import Misfits, Pair, Transfer, column_pair
from guarded.run import Run, Runner, check_empty
from guarded.status import table_of
from guarded.steps import Kind

if TYPE_CHECKING:
    from guarded.project import Project
    from guarded.schema import Table

SAMPLE = 2000  # rows that tell how long all of them take


class Left(NamedTuple):
    """Something of the source that no migration makes, and that the target therefore lacks.

    ``rows`` is None where there are none, or where they can't be counted."""

    kind: Kind
    name: str
    rows: int | None


class Moved(NamedTuple):
    """A move that was committed.

    ``rows`` by table; ``columns``: how many were compared.  ``replaced`` counts, by column, the
    texts CURRENT_TIMESTAMP that became the time of the move.  ``nulled``: values that did not fit
    and are NULL now; the ``file`` has them.
    """

    rows: Mapping[str, int]
    columns: int
    replaced: Mapping[str, int]
    nulled: int
    file: Path | None
    left: tuple[Left, ...]
    run: Run
    duration_ms: int


class Watch:
    """Hears of a move as it goes on.  This one does nothing with it."""

    def foretells(self, rows: Mapping[str, int], seconds: float | None) -> None:
        """The copying begins; ``seconds`` is about how long it takes, if that was measured."""

    def works(self, word: str, table: str, done: int, rows: int) -> None:
        """So many of a table's rows were copied or compared."""

    def copied(self, table: str, rows: int, seconds: float) -> None:
        """All rows of a table are in the target, and not committed."""


def move(
    runner: Runner,
    target: Backend,
    *,
    nulls: bool = False,
    on_progress: OnProgress = lambda done, total: None,
    watch: Watch = Watch(),  # noqa: B008
) -> Moved:
    """Move the runner's database to ``target``.

    ``nulls``: write NULL for a value that does not fit, and the value into a file beside the
    source.  ``on_progress`` hears of the copy of the source.  Raises ValuesDoNotFit, Refused,
    BrokenPromise and UnusableDatabase, and then nothing was changed.
    """
    started = time.monotonic()
    source, patience = runner.backend, runner.patience
    arriving = Runner(runner.project, target, patience, backup=False, keep=False)
    try:
        with (
            _ready(source, target, runner) as is_written,
            source.copy(patience, on_progress) as copy,
        ):
            if copy is None:
                raise MissingDatabase(str(source))
            Runner(runner.project, copy, backup=False, keep=False).up()
            with copy.reading(patience) as inspector:
                assert inspector is not None
                _refuse_differences(runner.project, copy, inspector)
                with Misfits(Path(str(source)), nulls=nulls).kept_if(arriving) as misfits:
                    removal = _Removal(runner.project, copy, inspector, misfits, watch)

                    def fill(session: Session) -> None:
                        removal.fill(target, session)
                        misfits.close()
                        if is_written():
                            raise _written(source)

                    run = arriving.build(fill)
    finally:
        runner.committed = arriving.committed
    return Moved(
        {pair.target.name: pair.rows for pair in removal.pairs},
        sum(len(pair.columns) for pair in removal.pairs),
        removal.replaced,
        misfits.nulled,
        misfits.path,
        tuple(removal.left),
        run,
        round((time.monotonic() - started) * 1000),
    )


@contextmanager
def _ready(source: Backend, target: Backend, runner: Runner) -> Iterator[Callable[[], bool]]:
    """Check both ends, and watch the source in the block."""
    if not isinstance(source, Leavable) or not isinstance(target, Fillable):
        why = f"is {target.name}, and the database to move is {source.name}"
        raise UnusableDatabase(str(target), why, "a move goes from SQLite to PostgreSQL")
    with target.reading(runner.patience) as inspector:
        assert inspector is not None
        check_empty(target, inspector)
    with source.watched(runner.patience) as is_written:
        if users := source.users():
            why = f"is in use by {', '.join(users)}"
            remedy = "stop the server: what is written there meanwhile would be lost"
            raise UnusableDatabase(str(source), why, remedy)
        yield is_written


def _written(source: Backend) -> UnusableDatabase:
    why = "was written to meanwhile by another process"
    return UnusableDatabase(str(source), why, "stop the server, and run it again")


def _refuse_differences(project: Project, copy: Backend, inspector: Inspector) -> None:
    found = diff.with_models(project, copy, inspector)
    if breaking := [difference.sentence for difference in found if difference.is_breaking]:
        raise BrokenPromise(breaking)


class _Removal:
    """One move: ``source`` is the migrated copy."""

    def __init__(
        self, project: Project, copy: Backend, source: Inspector, misfits: Misfits, watch: Watch
    ) -> None:
        self._project, self._names, self._source = project, copy.names, source
        self._misfits, self._watch = misfits, watch
        self._now = datetime.now(timezone.utc).replace(microsecond=0)
        self.pairs: list[Pair] = []
        self.left: list[Left] = []
        self.replaced: dict[str, int] = {}

    def fill(self, target: Backend, session: Session) -> None:
        """Copy and compare all rows, inside of the target's transaction."""
        assert isinstance(target, Fillable)
        fold = self._names.fold
        before, after = self._source.schema(), session.inspector.schema()
        partners = [
            (before[fold(name)], table)
            for name, table in after.items()
            if table.kind == "table" and fold(name) in before
        ]
        marks = {there.name: self._source.id_mark(here.name) or 0 for here, there in partners}
        with target.loading(session, marks) as load:
            pairs = [self._pair(here, there, target, load) for here, there in partners]
            self.pairs = [pair for pair in pairs if pair.columns]
            self.left = list(self._find_left(session.inspector, before.values()))
            transfer = Transfer(self._source, self._names.quote, load, self._now)
            self._foretell(transfer, load)
            for pair in self.pairs:
                started = time.monotonic()
                done = self._heard("copying", pair)
                transfer.copy(pair, self._misfits, done)
                self._watch.copied(pair.target.name, pair.rows, time.monotonic() - started)
            self._misfits.refuse()
            self.replaced = dict(transfer.replaced)
            findings = [
                finding
                for pair in self.pairs
                for finding in transfer.compare(pair, self._heard("comparing", pair))
            ]
            if findings:
                raise BrokenPromise(findings)

    def _pair(self, here: Table, there: Table, target: Backend, load: Load) -> Pair:
        fold = self._names.fold
        stored = {fold(column.name): column for column in here.columns if not column.generated}
        fields = {
            fold(field.column_name): field
            for model in self._project.models().persistent
            if fold(table_of(model)) == fold(there.name)
            for field in model._meta.sorted_fields
        }
        columns = tuple(
            column_pair(
                stored[fold(column.name)].name,
                column,
                fields.get(fold(column.name)),
                load,
                is_moment=target.names.affinity(column.storage) == "DATETIME",
            )
            for column in there.columns
            if fold(column.name) in stored and not column.generated
        )
        keys = [
            key
            for key in there.foreign_keys
            if {*key.columns} <= {column.target.name for column in columns}
        ]
        return Pair(here, there, columns, tuple(keys), self._source.count(here.name))

    def _foretell(self, transfer: Transfer, load: Load) -> None:
        rows = {pair.target.name: pair.rows for pair in self.pairs}
        seconds = None
        largest = max(self.pairs, key=lambda pair: pair.rows, default=None)
        if largest is not None and largest.rows > 2 * SAMPLE:
            started = time.monotonic()
            transfer.try_out(largest, SAMPLE)
            seconds = (time.monotonic() - started) * sum(rows.values()) / SAMPLE
        self._watch.foretells(rows, seconds)

    def _heard(self, word: str, pair: Pair) -> Callable[[int], None]:
        return lambda done: self._watch.works(word, pair.target.name, done, pair.rows)

    def _find_left(self, target: Inspector, before: Iterable[Table]) -> Iterator[Left]:
        """Find tables, columns with values, views and triggers that the target lacks."""
        fold, quote = self._names.fold, self._names.quote
        moved = {fold(pair.source.name): pair for pair in self.pairs}
        for table in before:
            pair = moved.get(fold(table.name))
            if pair is None:
                if (rows := self._counted(table.name)) != 0:
                    yield Left(Kind.TABLE, table.name, rows)
                continue
            taken = {column.source for column in pair.columns}
            for column in table.columns:
                if column.name not in taken and not column.generated:
                    condition = f"{quote(column.name)} IS NOT NULL"
                    if (rows := self._counted(table.name, condition)) != 0:
                        yield Left(Kind.COLUMN, f"{table.name}.{column.name}", rows)
        there = {(found.kind, fold(str(found))) for found in target.objects()}
        for found in self._source.objects():
            is_view = found.kind is Kind.VIEW
            is_trigger = found.kind is Kind.TRIGGER and fold(found.table) in moved
            if (is_view or is_trigger) and (found.kind, fold(str(found))) not in there:
                yield Left(found.kind, str(found), None)

    def _counted(self, table: str, condition: str = "") -> int | None:
        try:
            return self._source.count(table, condition)
        except Refused:  # by a module that is not known here
            return None
