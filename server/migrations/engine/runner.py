"""The run protocol: everything that is pending in one transaction, or nothing.

A run that has nothing to do takes no lock, imports no migration and writes no byte.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.migrations.engine import history, introspection, plan
from server.migrations.engine.errors import BrokenPromise
from server.migrations.engine.history import Entry
from server.migrations.engine.introspection import Execute
from server.migrations.engine.names import quote
from server.migrations.engine.project import DatabaseFile, Project
from server.migrations.engine.scripts import Script, scripts, strays

if TYPE_CHECKING:
    from peewee import SqliteDatabase

    from server.migrations.engine.execution import Outcome
    from server.migrations.engine.forecast import Forecast


@dataclass(frozen=True)
class State:
    """Files and history at one moment; ``applied`` in the order of application."""

    scripts: tuple[Script, ...]
    entries: tuple[Entry, ...]
    applied: Mapping[str, Entry]

    def made(self, script: Script) -> Collection[str]:
        """What the script created here, as far as the history knows."""
        entry = self.applied.get(script.name)
        return entry.made if entry else frozenset()


@dataclass(frozen=True)
class Run:
    """What a run did.  Empty ``outcomes``: there was nothing to do.

    ``differences`` are what the schema and the models disagree about without harm.
    """

    direction: str
    outcomes: tuple[Outcome, ...] = ()
    differences: tuple[str, ...] = ()


Choose = Callable[[State], Sequence[Script]]


class Runner:
    """Runs the migrations of a project on one database file."""

    def __init__(
        self,
        project: Project,
        file: DatabaseFile,
        *,
        wait: float = 60.0,
        on_wait: Callable[[list[str]], None] = lambda holders: None,
    ) -> None:
        """``wait``: seconds for the write lock; ``on_wait`` hears who holds it; ``committed``
        tells after an interruption whether the run was done."""
        self.project, self.file, self.wait, self.on_wait = project, file, wait, on_wait
        self.committed = False

    # Questions.

    def state(self) -> State:
        """Reads only."""
        with self.file.reading() as connection:
            return self._state(connection.execute if connection else None)

    def status(self) -> tuple[plan.Standing, ...]:
        state = self.state()
        return plan.standings(state.scripts, state.applied)

    def strays(self) -> list[str]:
        """Files that are neither listed nor excluded."""
        known = {*self.project.listed, *self.project.excluded}
        return strays(self.project.directory, known)

    def forecast(self, direction: str = history.UP, target: str | None = None) -> Forecast:
        """What the run would do, with its SQL.  Changes nothing.  Raises what the run would."""
        from server.migrations.engine.forecast import forecast

        with self.file.reading() as connection:
            read = connection.execute if connection else None
            state = self._state(read)
            chosen = self._choose(direction, target)(state)
            return forecast(read, chosen, direction, self._in_memory(), _limit(direction, state))

    def losses(self, target: str | None = None) -> list[str]:
        """What ``down`` would drop that holds rows, a line each.  Reads only."""
        forecast = self.forecast(history.DOWN, target)
        dropped = [s.subject for o in forecast.outcomes for s in o.steps if s.action == "drop"]
        with self.file.reading() as connection:
            return _losses(connection.execute, dropped) if connection and dropped else []

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
        choose = self._choose(direction, target)
        chosen = choose(self.state())
        if not chosen:
            return Run(direction)
        if direction != history.FAKE:
            for script in chosen:
                script.function(direction)
        with self._transaction() as database:
            # Another runner may have been faster, so the history is read again under the lock.
            state = self._state(database.connection().execute)
            return self._change(database, direction, choose(state), state)

    def _change(
        self, database: SqliteDatabase, direction: str, chosen: Sequence[Script], state: State
    ) -> Run:
        if not chosen:
            return Run(direction)
        execute = database.connection().execute
        history.create(execute)
        if direction == history.FAKE:
            outcomes = [_recorded(script, state) for script in chosen]
            for outcome in outcomes:
                history.append(execute, self._entry(outcome))
            return Run(direction, tuple(outcomes))

        from server.migrations.engine.execution import run_script
        from server.migrations.engine.forecast import forecast
        from server.migrations.engine.watch import Watch

        limit, in_memory = _limit(direction, state), self._in_memory()
        if foreseen := forecast(execute, chosen, direction, in_memory, limit).findings:
            raise BrokenPromise(foreseen)
        watch = Watch(database.connection(), in_memory)
        outcomes = []
        for script in chosen:
            outcome = run_script(database, script, direction, watch, limit(script))
            if lost := watch.lost_rows():
                raise BrokenPromise(lost)
            history.append(execute, self._entry(outcome))
            outcomes.append(outcome)
        findings = [*watch.lost_objects(), *watch.dangling_keys()]
        differences: tuple[str, ...] = ()
        if direction == history.UP and outcomes[-1].name == self.project.listed[-1]:
            broken, differences = self._compare_with_models(execute)
            findings += broken
        if findings:
            raise BrokenPromise(findings)
        return Run(direction, tuple(outcomes), differences)

    def _compare_with_models(self, execute: Execute) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What breaks the models, and what only differs from them."""
        from server.migrations.engine import drift, shape

        declared = shape.declared_schema(self.project.models().persistent)
        differences = drift.compare(declared, shape.live_schema(execute))
        return (
            tuple(d.sentence for d in differences if d.severity == drift.BREAKS),
            tuple(d.sentence for d in differences if d.severity == drift.DIFFERS),
        )

    def _choose(self, direction: str, target: str | None) -> Choose:
        def choose(state: State) -> Sequence[Script]:
            plan.check(state.scripts, state.applied, changed=direction != history.FAKE)
            return PLANS[direction](state.scripts, state.applied, target)

        return choose

    def _state(self, execute: Execute | None) -> State:
        entries = history.read(execute) if execute else ()
        listed = scripts(self.project.directory, self.project.listed)
        return State(listed, entries, history.applied(entries))

    def _in_memory(self) -> Mapping[str, str]:
        return {
            model._meta.table_name: f"{model.__name__} in {model.__module__}"
            for model in self.project.models().in_memory
        }

    def _entry(self, outcome: Outcome) -> Entry:
        versions = f"{self.project.version}, SQLite {sqlite3.sqlite_version}"
        return Entry(
            outcome.name,
            outcome.direction,
            outcome.checksum,
            "",
            outcome.duration_ms,
            versions,
            None,
            outcome.made,
        )

    @contextmanager
    def _transaction(self) -> Iterator[SqliteDatabase]:
        """A connection of its own that holds the write lock; commits, or leaves all as it was."""
        from server.migrations.engine.write_lock import transaction

        database = self.file.database(foreign_keys=False, timeout=0)
        with transaction(database, self.file.path, self.wait, self.on_wait, self._on_commit):
            yield database

    def _on_commit(self) -> None:
        self.committed = True


PLANS = {history.UP: plan.plan_up, history.DOWN: plan.plan_down, history.FAKE: plan.plan_fake}


def _limit(direction: str, state: State) -> Callable[[Script], Collection[str] | None]:
    """What a migration may drop: anything on the way up, only what it made on the way down."""
    return state.made if direction == history.DOWN else lambda script: None


def _recorded(script: Script, state: State) -> Outcome:
    from server.migrations.engine.execution import Outcome

    made = frozenset(state.made(script))
    return Outcome(script.name, history.FAKE, script.checksum or "", 0, (), made)


def _losses(execute: Execute, dropped: Iterable[str]) -> list[str]:
    lines = []
    for subject in dropped:
        table, _, column = subject.rpartition(".")
        if introspection.has_table(execute, subject):
            sql, what = f"SELECT count(*) FROM {quote(subject)}", f"table {subject}"
        elif table and introspection.has_column(execute, table, column):
            sql = f"SELECT count({quote(column)}) FROM {quote(table)}"
            what = f"column {subject}"
        else:
            continue
        if rows := next(iter(execute(sql)))[0]:
            lines.append(f"{what}: {rows} rows")
    return lines
