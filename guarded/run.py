"""The run protocol: everything that is pending in one transaction, or nothing.

A run that has nothing to do takes no lock, imports no migration and writes no byte.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guarded import history, plan
from guarded.errors import BrokenPromise, OnlyCopy, UnforeseenLock, UnusableDatabase
from guarded.patience import Patience
from guarded.project import Project
from guarded.scripts import Script
from guarded.status import State, read_state, tables_in_memory, tables_of
from guarded.steps import Direction, Kind, Made, Outcome, Watcher

if TYPE_CHECKING:
    from guarded.backends.interface import Backend, Inspector, Locks, OnProgress, Session
    from guarded.diff import Difference
    from guarded.forecast import Forecast, Loss
    from guarded.kept import Keeper

PLANS = {Direction.UP: plan.plan_up, Direction.DOWN: plan.plan_down, Direction.FAKE: plan.plan_fake}


class Run(NamedTuple):
    """A run that was committed.  Without ``outcomes`` there was nothing to do, and ``applied``
    names the migrations that were applied before.

    ``differences`` are those between schema and models; harmless ones, unless the run only
    recorded.  ``locked_ms`` is how long writers were blocked, including the backup.
    """

    direction: Direction
    outcomes: tuple[Outcome, ...] = ()
    differences: tuple[Difference, ...] = ()
    backup: Path | None = None
    locked_ms: int = 0
    applied: tuple[str, ...] = ()


class _Unkept(Exception):
    """Ends a run whose changes are not kept: everything is rolled back."""


class Runner:
    """Runs the migrations of a project on one database."""

    def __init__(
        self,
        project: Project,
        backend: Backend,
        patience: Patience = Patience(),  # noqa: B008
        *,
        backup: bool = True,
        keep: bool = True,
        on_progress: OnProgress = lambda done, total: None,
        watcher: Watcher = Watcher(),  # noqa: B008
        weighs: bool = False,
    ) -> None:
        """``keep``: values that a drop takes are kept in a file.  ``on_progress`` hears how much of
        a backup is done, ``watcher`` of each step.  ``weighs``: steps say their passes over tables.
        ``committed`` tells after an interruption whether the run was done."""
        plan.check_list(project.listed, project.excluded)
        self.project, self.backend, self.patience = project, backend, patience
        self.backup, self.keep, self.on_progress = backup, keep, on_progress
        self.watcher, self.weighs = watcher, weighs
        self.committed = False
        self._taken: Path | None = None
        self._keepers: list[Keeper] = []
        self._more: frozenset[str] = frozenset()  # tables to lock that no step named

    # Questions.

    def state(self) -> State:
        with self.backend.reading(self.patience) as inspector:
            return read_state(self.project, inspector)

    def forecast(self, direction: Direction = Direction.UP, target: str | None = None) -> Forecast:
        """Foresee the run, with its SQL.  Changes nothing.  Raises what the run would raise."""
        from guarded.forecast import forecast

        with self.backend.reading(self.patience) as inspector:
            state = read_state(self.project, inspector)
            chosen = self._choose(state, direction, target)
            if inspector and chosen:
                self._refuse_only_copies(inspector)
            limit = _limit(direction, state)
            arguments = (self.project, self.backend, inspector, chosen, direction, limit)
            return forecast(*arguments, asks_rows=True)

    def losses(self, target: str | None = None) -> list[Loss]:
        """Return the values that ``down`` would lose.  Reads only."""
        from guarded.forecast import losses

        foreseen = self.forecast(Direction.DOWN, target)
        with self.backend.reading(self.patience) as inspector:
            return losses(self.backend, inspector, foreseen) if inspector else []

    def unkept(self, target: str | None = None) -> list[str]:
        """Dropped values that ``down`` can't bring back, each with the reason.  Reads only."""
        from guarded import kept

        state = self.state()
        found: list[str] = []
        for script in self._choose(state, Direction.DOWN, target):
            if (file := state.made(script).kept) is not None:
                found += file.unkept
                why = kept.missing(file) if file.path else None
                found += [why] if why else []
        return found

    # Runs.

    def up(self, target: str | None = None) -> Run:
        """Apply the pending migrations, through ``target``.  Safe twice."""
        return self._run(Direction.UP, target)

    def again(self, name: str, look: Callable[[Inspector], None] = lambda inspector: None) -> Run:
        """Run the newest migration once more, as if the history did not know it; keep nothing.

        ``look`` sees the result before it is rolled back.
        """
        done = None
        try:
            with self.backend.transaction(self.patience, self._on_commit) as session:
                state = read_state(self.project, session.inspector).without(name)
                chosen = self._choose(state, Direction.UP, name)
                done = self._change(session, Direction.UP, chosen, state)
                look(session.inspector)
                raise _Unkept
        except _Unkept:
            assert done is not None
            return done

    def build(self, fill: Callable[[Session], None]) -> Run:
        """Apply all to an empty database; ``fill`` adds rows in the same transaction.

        Raises UnusableDatabase if there is anything in it.
        """
        with self.backend.transaction(self.patience, self._on_commit) as session:
            check_empty(self.backend, session.inspector)
            state = read_state(self.project, session.inspector)
            chosen = self._choose(state, Direction.UP, None)
            done = self._change(session, Direction.UP, chosen, state)
            fill(session)
        return done

    def down(self, target: str | None = None) -> Run:
        """Undo the newest migration, or all back through ``target``."""
        return self._run(Direction.DOWN, target)

    def fake(self, target: str | None = None) -> Run:
        """Record pending and edited migrations as applied, through ``target``; run nothing."""
        return self._run(Direction.FAKE, target)

    def rename(self, old: str, new: str) -> None:
        """Record an applied migration under the new name of its file.

        Raises UnknownMigration, and UnusableName where the two are not the same migration.
        """
        with self.backend.transaction(self.patience, self._on_commit) as session:
            state = read_state(self.project, session.inspector)
            plan.check_rename(state.scripts, state.applied, old, new)
            history.rename(session.inspector.execute, old, new)

    def _run(self, direction: Direction, target: str | None) -> Run:
        before = self.state()
        chosen = self._choose(before, direction, target)
        if direction is not Direction.FAKE:
            for script in chosen:
                script.function(direction)
        if not chosen:
            return Run(direction, applied=tuple(before.applied))
        with self._backups_kept():
            while True:
                try:
                    return self._try(direction, target, before)
                except UnforeseenLock as exc:
                    if not exc.tables - self._more:
                        raise
                    self._more |= exc.tables
                    self._discard_kept()
                    names = ", ".join(f"'{name}'" for name in sorted(exc.tables))
                    self.watcher.starts_over(f"another session had locked {names}")

    def _try(self, direction: Direction, target: str | None, before: State) -> Run:
        with self.backend.transaction(self.patience, self._on_commit) as session:
            started = time.monotonic()
            # Another runner may have been faster, so the history is read again under the lock.
            state = before.read_again(session.inspector)
            chosen = self._choose(state, direction, target)
            done = self._change(session, direction, chosen, state)
            used = _files_used(direction, chosen, state)
        for path in used:
            path.unlink(missing_ok=True)
        return done._replace(locked_ms=round((time.monotonic() - started) * 1000))

    def _change(
        self, session: Session, direction: Direction, chosen: Sequence[Script], state: State
    ) -> Run:
        """Inside of the transaction: forecast and backup, change, check."""
        if not chosen:
            return Run(direction, applied=tuple(state.applied))
        inspector = session.inspector
        self._refuse_only_copies(inspector)
        limit = _limit(direction, state)
        locks: Locks = {}
        if not inspector.is_empty():
            looks_ahead = self.backup or self.backend.lets_others_write
            if looks_ahead and direction is not Direction.FAKE:
                locks = self._foresee(inspector, direction, chosen, limit)
            if self.backup and self._taken is None:
                taken = self.backend.back_up(self.patience, self.on_progress)
                self._taken = taken.path if taken else None
        # After the backup: pg_dump would wait for these locks.
        self.backend.lock_tables(session, locks, self.patience)
        history.create(inspector)
        if direction is Direction.FAKE:
            outcomes = [_recorded(script, state) for script in chosen]
            for outcome in outcomes:
                self._record(session, outcome)
            differences = self._differences(inspector) if self._is_newest(outcomes) else ()
            return Run(direction, tuple(outcomes), differences, self._taken)
        outcomes, findings = self._run_scripts(session, direction, chosen, limit)
        differences = ()
        if direction is Direction.UP and self._is_newest(outcomes):
            differences = self._differences(inspector)
            findings += [d.sentence for d in differences if d.is_breaking]
        if findings:
            raise BrokenPromise(findings)
        return Run(direction, tuple(outcomes), differences, self._taken)

    def _run_scripts(
        self,
        session: Session,
        direction: Direction,
        chosen: Sequence[Script],
        limit: Callable[[Script], Made | None],
    ) -> tuple[list[Outcome], list[str]]:
        """Run and record each.  Returns also the broken promises of the whole run."""
        from guarded import promises
        from guarded.verbs.perform import run_script

        ledger = self.backend.ledger(session, tables_in_memory(self.project))
        outcomes = []
        for script in chosen:
            self.watcher.begins(script.name, direction)
            arguments = (self.project, self.backend, session, script, direction, ledger)
            outcome = run_script(
                *arguments,
                limit(script),
                keeper=functools.partial(self._keeper, script, direction),
                watcher=self.watcher,
                weighs=self.weighs,
            )
            written = ledger.written()
            if any(written):
                raise BrokenPromise(promises.about_rows(script.name, written))
            self._record(session, outcome)
            outcomes.append(outcome)
        left = ledger.left()
        return outcomes, promises.about_the_whole(left) if any(left) else []

    def _foresee(
        self,
        inspector: Inspector,
        direction: Direction,
        chosen: Sequence[Script],
        limit: Callable[[Script], Made | None],
    ) -> Locks:
        """Run on a clone of the schema first: refuse before the long work if possible.

        Returns what has to be locked for it.
        """
        from guarded.forecast import forecast

        foreseen = forecast(self.project, self.backend, inspector, chosen, direction, limit)
        if foreseen.findings:
            raise BrokenPromise(foreseen.findings)
        steps = [step for outcome in foreseen.outcomes for step in outcome.steps]
        if not self.backend.lets_others_write:
            return {}
        from guarded.backends.interface import Waits

        locks = self.backend.locks(steps, inspector.schema())
        return {**locks, **dict.fromkeys(self._more, Waits.READERS)}

    def _refuse_only_copies(self, inspector: Inspector) -> None:
        """Raise OnlyCopy if another tool left a table's only rows elsewhere: a run would miss
        them."""
        for found in self.backend.only_copies(inspector, tables_of(self.project)):
            raise OnlyCopy(found.sentence, found.remedy)

    @contextmanager
    def _backups_kept(self) -> Iterator[None]:
        """Delete a failed run's backup, so that retries don't push out older ones, and what it
        kept."""
        self.committed, self._taken, self._keepers = False, None, []
        self._more = frozenset()
        try:
            yield
        except BaseException:
            if not self.committed:
                if self._taken is not None:
                    self._taken.unlink(missing_ok=True)
                self._discard_kept()
            raise
        if self._taken is not None:
            self.backend.prune_backups(self._taken)

    def _discard_kept(self) -> None:
        for keeper in self._keepers:
            keeper.discard()
        self._keepers.clear()

    def _keeper(self, script: Script, direction: Direction) -> Keeper | None:
        from guarded.kept import Keeper

        path = self.backend.file_to_keep(script.name)
        if path is None or direction is not Direction.UP or not self.keep:
            return None
        keeper = Keeper(path, self.backend.owner())
        self._keepers.append(keeper)
        return keeper

    def _differences(self, inspector: Inspector) -> tuple[Difference, ...]:
        """Compare models and schema, leaving out what no model declares."""
        from guarded.diff import with_models

        found = with_models(self.project, self.backend, inspector)
        return tuple(difference for difference in found if not difference.is_extra)

    def _is_newest(self, outcomes: Sequence[Outcome]) -> bool:
        return outcomes[-1].name == self.project.listed[-1]

    def _choose(self, state: State, direction: Direction, target: str | None) -> Sequence[Script]:
        plan.check(state.scripts, state.applied, changed=direction is not Direction.FAKE)
        return PLANS[direction](state.scripts, state.applied, target)

    def _record(self, session: Session, outcome: Outcome) -> None:
        history.append(
            session.inspector.execute,
            outcome.name,
            outcome.direction,
            outcome.checksum,
            duration_ms=outcome.duration_ms,
            versions=f"{self.project.version}, {self.backend.version}",
            backup=str(self._taken) if self._taken else None,
            made=outcome.made,
        )

    def _on_commit(self) -> None:
        self.committed = True


def check_empty(backend: Backend, inspector: Inspector) -> None:
    """Raise UnusableDatabase if there is anything in the database."""
    if not inspector.is_empty():
        made = sorted(inspector.objects(), key=lambda target: target.kind is not Kind.TABLE)
        found = made[0] if made else "a part of an extension"
        raise UnusableDatabase(
            str(backend), f"is not empty: it has '{found}'", "name an empty database"
        )


def _limit(direction: Direction, state: State) -> Callable[[Script], Made | None]:
    """Return what a migration may drop: anything (None) for up, what its up made for down."""
    return state.made if direction is Direction.DOWN else lambda script: None


def _files_used(direction: Direction, chosen: Sequence[Script], state: State) -> list[Path]:
    """The files of dropped values that a ``down`` has put back."""
    if direction is not Direction.DOWN:
        return []
    made = (state.made(script).kept for script in chosen)
    return [Path(kept.path) for kept in made if kept is not None and kept.path]


def _recorded(script: Script, state: State) -> Outcome:
    made = state.made(script)
    return Outcome(script.name, Direction.FAKE, script.checksum or "", 0, (), made)
