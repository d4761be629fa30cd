"""The run protocol: everything that is pending in one transaction, or nothing.

A run that has nothing to do takes no lock, imports no migration and writes no byte.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from server.migrations.engine import history, introspection, plan
from server.migrations.engine.errors import BrokenPromise
from server.migrations.engine.introspection import Execute
from server.migrations.engine.project import DatabaseFile, Project
from server.migrations.engine.scripts import Script, strays
from server.migrations.engine.state import State, read_state
from server.migrations.engine.waiting import OnWait, when_free

if TYPE_CHECKING:
    from peewee import SqliteDatabase

    from server.migrations.engine.execution import Outcome
    from server.migrations.engine.forecast import Forecast, Loss

Result = TypeVar("Result")


class Run(NamedTuple):
    """What a run did.  Empty ``outcomes``: there was nothing to do, and ``applied`` are all that
    were applied already.

    ``differences`` are what the schema and the models disagree about: without harm, unless it was
    only recorded.  ``locked_ms`` is for how long others could not write, with the backup.
    """

    direction: str
    outcomes: tuple[Outcome, ...] = ()
    differences: tuple[str, ...] = ()
    backup: Path | None = None
    locked_ms: int = 0
    applied: tuple[str, ...] = ()


class Runner:
    """Runs the migrations of a project on one database file."""

    def __init__(
        self,
        project: Project,
        file: DatabaseFile,
        *,
        wait: float = 60.0,
        backup: bool = True,
        on_wait: OnWait = lambda holders: None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> None:
        """``wait``: seconds for a lock; ``on_wait`` hears who holds it, ``on_progress``
        how many pages of a backup are done, and of how many.  ``committed`` tells after an
        interruption whether the run was done."""
        project.check()
        self.project, self.file, self.wait, self.backup = project, file, wait, backup
        self.on_wait, self.on_progress = on_wait, on_progress
        self.committed = False
        self._taken: Path | None = None

    # Questions.

    def read(self, look: Callable[[sqlite3.Connection | None], Result]) -> Result:
        """What ``look`` finds by a read-only connection, or by None while there is no file.

        While another process keeps readers out, as a large write does, it waits, and looks anew.
        """

        def work() -> Result:
            with self.file.reading(timeout=0) as connection:
                return look(connection)

        return when_free(work, self.file.path, self.wait, self.on_wait)

    def state(self) -> State:
        return self.read(lambda connection: read_state(self.project, _execute(connection)))

    def status(self) -> tuple[plan.Standing, ...]:
        state = self.state()
        return plan.standings(state.scripts, state.applied)

    def strays(self) -> list[str]:
        """Files that are neither listed nor excluded."""
        known = {*self.project.listed, *self.project.excluded}
        return strays(self.project.directory, known)

    def forecast(self, direction: str = history.UP, target: str | None = None) -> Forecast:
        """What the run would do, with its SQL.  Changes nothing.  Raises what the run would."""
        from server.migrations.engine.care.leftovers import refuse_only_copies
        from server.migrations.engine.forecast import forecast

        def look(connection: sqlite3.Connection | None) -> Forecast:
            execute = _execute(connection)
            state = read_state(self.project, execute)
            chosen = self._choose(state, direction, target)
            if execute and chosen:
                refuse_only_copies(execute, self.project)
            return forecast(execute, chosen, direction, self._in_memory(), _limit(direction, state))

        return self.read(look)

    def losses(self, target: str | None = None) -> list[Loss]:
        """What ``down`` would drop that holds rows.  Reads only."""
        from server.migrations.engine.forecast import losses

        forecast = self.forecast(history.DOWN, target)
        return self.read(lambda c: losses(c.execute, forecast) if c else [])

    # Runs.

    def up(self, target: str | None = None) -> Run:
        """Apply what is pending, through ``target``.  Safe twice."""
        return self._run(history.UP, target)

    def down(self, target: str | None = None) -> Run:
        """Undo the newest migration, or all back through ``target``."""
        return self._run(history.DOWN, target)

    def fake(self, target: str | None = None) -> Run:
        """Record as applied, through ``target``, without running; also what was edited since."""
        return self._run(history.FAKE, target)

    def _run(self, direction: str, target: str | None) -> Run:
        before = self.state()
        chosen = self._choose(before, direction, target)
        if direction != history.FAKE:
            for script in chosen:
                script.function(direction)
        if not chosen:
            return Run(direction, applied=tuple(before.applied))
        with self._backups_kept(), self._transaction() as database:
            started = time.monotonic()
            # Another runner may have been faster, so the history is read again under the lock.
            state = before.read_again(database.connection().execute)
            chosen = self._choose(state, direction, target)
            done = self._change(database, direction, chosen, state)
        return done._replace(locked_ms=round((time.monotonic() - started) * 1000))

    def _change(
        self, database: SqliteDatabase, direction: str, chosen: Sequence[Script], state: State
    ) -> Run:
        """Inside of the transaction: forecast and backup, change, check."""
        if not chosen:
            return Run(direction, applied=tuple(state.applied))
        from server.migrations.engine.care.leftovers import refuse_only_copies

        execute = database.connection().execute
        refuse_only_copies(execute, self.project)
        backup = None
        if self.backup and introspection.objects(execute):
            if direction != history.FAKE:
                self._foresee(execute, direction, chosen, state)
            backup = self._take_backup()
        history.create(execute)
        if direction == history.FAKE:
            outcomes = [_recorded(script, state) for script in chosen]
            for outcome in outcomes:
                self._record(execute, outcome, backup)
            untrue: tuple[str, ...] = ()
            if outcomes[-1].name == self.project.listed[-1]:
                untrue = sum(self._compare_with_models(execute), ())
            return Run(direction, tuple(outcomes), untrue, backup)

        from server.migrations.engine.execution import run_script
        from server.migrations.engine.watch import Watch

        watch = Watch(database.connection(), self._in_memory())
        limit = _limit(direction, state)
        outcomes = []
        for script in chosen:
            outcome = run_script(database, script, direction, watch, limit(script))
            if lost := watch.lost_rows():
                raise BrokenPromise(lost)
            self._record(execute, outcome, backup)
            outcomes.append(outcome)
        findings = [*watch.lost_objects(), *watch.dangling_keys()]
        differences: tuple[str, ...] = ()
        if direction == history.UP and outcomes[-1].name == self.project.listed[-1]:
            broken, differences = self._compare_with_models(execute)
            findings += broken
        if findings:
            raise BrokenPromise(findings)
        return Run(direction, tuple(outcomes), differences, backup)

    def _foresee(
        self, execute: Execute, direction: str, chosen: Sequence[Script], state: State
    ) -> None:
        """Refuse what the schema alone is reason enough to refuse, before the long work."""
        from server.migrations.engine.forecast import forecast

        limit = _limit(direction, state)
        foreseen = forecast(execute, chosen, direction, self._in_memory(), limit)
        if foreseen.findings:
            raise BrokenPromise(foreseen.findings)

    def _take_backup(self) -> Path:
        """From a second connection, while the first holds the write lock."""
        from server.migrations.engine.care import backup

        with closing(backup.open_read_only(self.file.path)) as source:
            self._taken = backup.take(source, self.file.path, self.on_progress)
        return self._taken

    @contextmanager
    def _backups_kept(self) -> Iterator[None]:
        """Of a run that failed, the backup goes, so that tries don't push out the older ones."""
        self.committed, self._taken = False, None
        try:
            yield
        except BaseException:
            if self._taken is not None and not self.committed:
                self._taken.unlink(missing_ok=True)
            raise
        if self._taken is not None:
            from server.migrations.engine.care import backup

            backup.prune(self.file.path)

    def _compare_with_models(self, execute: Execute) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What breaks the models, and what only differs from them."""
        models = self.project.models().persistent
        if not models:
            return (), ()
        from server.migrations.engine import drift, shape

        declared = shape.declared_schema(models)
        differences = drift.compare(declared, shape.live_schema(execute))
        return (
            tuple(d.sentence for d in differences if d.severity == drift.BREAKS),
            tuple(d.sentence for d in differences if d.severity == drift.DIFFERS),
        )

    def _choose(self, state: State, direction: str, target: str | None) -> Sequence[Script]:
        plan.check(state.scripts, state.applied, changed=direction != history.FAKE)
        return PLANS[direction](state.scripts, state.applied, target)

    def _in_memory(self) -> Mapping[str, str]:
        return {
            model._meta.table_name: f"{model.__name__} in {model.__module__}"
            for model in self.project.models().in_memory
        }

    def _record(self, execute: Execute, outcome: Outcome, backup: Path | None) -> None:
        history.append(
            execute,
            outcome.name,
            outcome.direction,
            outcome.checksum,
            duration_ms=outcome.duration_ms,
            versions=f"{self.project.version}, SQLite {sqlite3.sqlite_version}",
            backup=str(backup) if backup else None,
            made=outcome.made,
        )

    @contextmanager
    def _transaction(self) -> Iterator[SqliteDatabase]:
        """A connection of its own that holds the write lock; commits, or leaves all as it was."""
        from server.migrations.engine.write_lock import transaction

        database = self.file.database_to_migrate()
        with transaction(database, self.file.path, self.wait, self.on_wait, self._on_commit):
            database.cache_size = self.file.cache_size  # reads the schema, so under the lock
            yield database

    def _on_commit(self) -> None:
        self.committed = True


PLANS = {history.UP: plan.plan_up, history.DOWN: plan.plan_down, history.FAKE: plan.plan_fake}


def _execute(connection: sqlite3.Connection | None) -> Execute | None:
    return connection.execute if connection else None


def _limit(direction: str, state: State) -> Callable[[Script], Collection[str] | None]:
    """What a migration may drop: anything on the way up, only what it made on the way down."""
    return state.made if direction == history.DOWN else lambda script: None


def _recorded(script: Script, state: State) -> Outcome:
    from server.migrations.engine.execution import Outcome

    made = frozenset(state.made(script))
    return Outcome(script.name, history.FAKE, script.checksum or "", 0, (), made)
