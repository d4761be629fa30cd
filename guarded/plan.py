"""The migrations to run, and their order.  Pure: names and rows in, names out.

Plans nothing while files, list and history contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from guarded.errors import (
    AheadDatabase,
    ChangedMigration,
    MissingMigration,
    OutOfOrder,
    RenamedMigration,
    UnknownMigration,
    UnusableMigration,
    UnusableName,
)
from guarded.history import Entry
from guarded.scripts import Script


class State(Enum):
    APPLIED = "applied"
    PENDING = "pending"
    CHANGED = "changed"
    MISSING = "missing"
    UNLISTED = "unlisted"


class Standing(NamedTuple):
    """The state of one migration; ``at`` is when it was applied."""

    name: str
    state: State
    at: str | None = None


def standings(scripts: Sequence[Script], applied: Mapping[str, Entry]) -> tuple[Standing, ...]:
    """Return every listed migration in order, then those that are applied but not listed."""
    listed = [
        Standing(script.name, _state(script, applied), _at(applied, script.name))
        for script in scripts
    ]
    names = {script.name for script in scripts}
    unlisted = [Standing(n, State.UNLISTED, e.at) for n, e in applied.items() if n not in names]
    return (*listed, *unlisted)


def check(scripts: Sequence[Script], applied: Mapping[str, Entry], *, changed: bool = True) -> None:
    """Raise InconsistentHistory when files, list and history contradict each other.

    ``changed=False`` accepts an edited file, so that it can be recorded again.
    """
    names = [script.name for script in scripts]
    listed = set(names)
    for name, entry in applied.items():
        same = (s for s in scripts if s.name not in applied and s.checksum == entry.checksum)
        if name not in listed and (new := next(same, None)):
            raise RenamedMigration(name, new.name, entry.at)
    if unlisted := [(name, entry.at) for name, entry in applied.items() if name not in listed]:
        raise AheadDatabase(unlisted)
    for script in scripts:
        state = _state(script, applied)
        if state is State.MISSING:
            raise MissingMigration(script.name, script.path, _at(applied, script.name))
        if state is State.CHANGED and changed:
            raise ChangedMigration(script.name, script.path, applied[script.name].at)
    if (disorder := _disorder(names, applied)) is not None:
        raise disorder


def disorder(scripts: Sequence[Script], applied: Mapping[str, Entry]) -> OutOfOrder | None:
    """Return the contradiction between the order of the list and that of the history, or None."""
    return _disorder([script.name for script in scripts], applied)


def check_list(listed: Sequence[str], excluded: Mapping[str, str]) -> None:
    """Raise UnusableMigration for a name that is listed twice, or listed and excluded."""
    seen: set[str] = set()
    for name in listed:
        if name in excluded:
            raise UnusableMigration(name, f"it is excluded: {excluded[name]}")
        if name in seen:
            raise UnusableMigration(name, "it is listed twice")
        seen.add(name)


def check_rename(
    scripts: Sequence[Script], applied: Mapping[str, Entry], old: str, new: str
) -> None:
    """Raise UnknownMigration or UnusableName unless ``new`` is the file of what ``old`` applied."""
    if old not in applied:
        raise UnknownMigration(old, list(applied))
    script = scripts[_find(scripts, new)]
    if new in applied:
        raise UnusableName(new, "it is applied itself")
    if not script.is_text(applied[old].checksum):
        raise UnusableName(new, f"its text is not the one of '{old}' that was applied")


def plan_up(
    scripts: Sequence[Script], applied: Mapping[str, Entry], target: str | None = None
) -> tuple[Script, ...]:
    """Return the pending migrations in order, through ``target``.  Raises UnknownMigration."""
    return tuple(s for s in _through(scripts, target) if s.name not in applied)


def plan_down(
    scripts: Sequence[Script], applied: Mapping[str, Entry], target: str | None = None
) -> tuple[Script, ...]:
    """Return the migrations to undo: the newest, or newest first, all back through ``target``.

    Empty when ``target`` is not applied.  Raises UnknownMigration.
    """
    by_name = {script.name: script for script in scripts}
    newest_first = [by_name[name] for name in reversed(list(applied))]
    if target is None:
        return tuple(newest_first[:1])
    _find(scripts, target)
    if target not in applied:
        return ()
    position = [script.name for script in newest_first].index(target)
    return tuple(newest_first[: position + 1])


def plan_fake(
    scripts: Sequence[Script], applied: Mapping[str, Entry], target: str | None = None
) -> tuple[Script, ...]:
    """Return the pending and the edited migrations in order, through ``target``."""
    to_record = (State.PENDING, State.CHANGED)
    return tuple(s for s in _through(scripts, target) if _state(s, applied) in to_record)


def _through(scripts: Sequence[Script], target: str | None) -> Sequence[Script]:
    return scripts if target is None else scripts[: _find(scripts, target) + 1]


def _find(scripts: Sequence[Script], target: str) -> int:
    names = [script.name for script in scripts]
    if target not in names:
        raise UnknownMigration(target, names)
    return names.index(target)


def _state(script: Script, applied: Mapping[str, Entry]) -> State:
    entry = applied.get(script.name)
    if script.checksum is None:
        return State.MISSING
    if entry is None:
        return State.PENDING
    return State.APPLIED if script.is_text(entry.checksum) else State.CHANGED


def _at(applied: Mapping[str, Entry], name: str) -> str | None:
    return applied[name].at if name in applied else None


def _disorder(names: Sequence[str], applied: Mapping[str, Entry]) -> OutOfOrder | None:
    in_history = [name for name in applied if name in names]
    in_list = [name for name in names if name in applied]
    for listed, recorded in zip(in_list, in_history):
        if listed != recorded:
            return OutOfOrder(listed, recorded, applied[listed].at, pending=False)
    if in_list:
        newest = in_list[-1]
        for name in names[: names.index(newest)]:
            if name not in applied:
                return OutOfOrder(name, newest, applied[newest].at, pending=True)
    return None
