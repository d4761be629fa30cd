"""The copies of a database, and the files of dropped values: which there are, and which can go."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from guarded import history
from guarded.backends.interface import Copy, KeptFile, Origin
from guarded.errors import MigrationError, UnusableDatabase
from guarded.run import Runner
from guarded.status import State, read_state

KEPT = 5  # of each origin, unless another number is given


class Use(Enum):
    """The history that refers to a file of dropped values: its ``down`` would refill from it."""

    DATABASE = "database"
    COPY = "copy"
    NONE = "none"
    UNKNOWN = "unknown"  # the database is not there, or can't be read


class Held(NamedTuple):
    """A copy with its state; ``why`` says why that can't be read."""

    copy: Copy
    state: State | None
    why: str = ""

    @property
    def newest(self) -> str | None:
        """The newest migration in it."""
        return next(reversed(list(self.state.applied)), None) if self.state else None


class Values(NamedTuple):
    """A file of dropped values; ``rows`` is None for one that no history names."""

    file: KeptFile
    rows: int | None
    use: Use


def copies(runner: Runner) -> list[Held]:
    """Look into every copy, the newest first.  Reads only, and needs no database."""
    own = _own_state(runner)
    return [_held(runner, copy, own) for copy in reversed(runner.backend.copies())]


def values(runner: Runner) -> list[Values]:
    """Return the files of dropped values, the newest first.  Reads only, and needs no database."""
    files = runner.backend.kept_files()
    if not files:
        return []
    own = _own_state(runner)
    others = [held.state for held in copies(runner) if held.state]
    rows: dict[str, int] = {}
    for state in (*others, *([own] if own else [])):
        made = [entry.made.kept for entry in state.entries]
        rows |= {Path(kept.path).name: kept.rows for kept in made if kept}
    here = _needed(own) if own else set()
    in_copies = {name for state in others for name in _needed(state)}
    rest = Use.NONE if own else Use.UNKNOWN

    def use(name: str) -> Use:
        return Use.DATABASE if name in here else Use.COPY if name in in_copies else rest

    return [Values(f, rows.get(f.path.name), use(f.path.name)) for f in reversed(files)]


def values_at_rest(runner: Runner) -> list[Values]:
    """The same while no run is under way, whose file the history does not name yet."""
    with _locked(runner):
        return values(runner)


def surplus(copies: Iterable[Copy], origins: Collection[Origin], keep: int) -> list[Copy]:
    """Return the copies of these origins except the newest ``keep`` of each.

    ``copies`` begins with the newest, and so does the result.
    """
    copies = list(copies)
    spared = {
        copy.path
        for origin in origins
        for copy in [copy for copy in copies if copy.origin is origin][:keep]
    }
    return [copy for copy in copies if copy.origin in origins and copy.path not in spared]


def remove(runner: Runner, copies: Iterable[Copy], values: Collection[Values]) -> None:
    """Delete these files; dropped values under the lock, since a ``down`` may be reading them."""
    for copy in copies:
        copy.path.unlink(missing_ok=True)
    if values:
        with _locked(runner):
            for each in values:
                each.file.path.unlink(missing_ok=True)


@contextmanager
def _locked(runner: Runner) -> Iterator[None]:
    if not runner.backend.is_there:  # opening a transaction would create it
        yield
        return
    with runner.backend.transaction(runner.patience, lambda: None):
        yield


def _own_state(runner: Runner) -> State | None:
    """None where there is no database, or one that can't be read."""
    try:
        return runner.state() if runner.backend.is_there else None
    except MigrationError:
        return None


def _held(runner: Runner, copy: Copy, own: State | None) -> Held:
    try:
        with runner.backend.reading_copy(copy) as inspector:
            if inspector is None:
                why = "" if own else "its content can't be shown here"
                state = _before(own, copy, runner.backend.copies()) if own else None
                return Held(copy, state, why)
            return Held(copy, read_state(runner.project, inspector))
    except UnusableDatabase as exc:
        return Held(copy, None, exc.why)
    except MigrationError as exc:
        return Held(copy, None, str(exc))


def _before(state: State, copy: Copy, copies: Iterable[Copy]) -> State:
    """The state at the time of a copy that can't be looked into: rows are only ever added.

    Their times are whole seconds, so the time of a run's own backup says more.
    """
    second = f"{copy.at:%Y-%m-%d %H:%M:%S}"
    later = {other.path.name for other in copies if other.at >= copy.at}
    entries = tuple(
        takewhile(
            lambda entry: Path(entry.backup or "").name not in later and entry.at <= second,
            state.entries,
        )
    )
    return state._replace(entries=entries, applied=history.applied(entries))


def _needed(state: State) -> set[str]:
    """The names of the files from which a ``down`` would refill."""
    kept = (entry.made.kept for entry in state.applied.values())
    return {Path(each.path).name for each in kept if each}
