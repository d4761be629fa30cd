"""Which migrations run, in which order.  Pure: names and rows in, names out.

Nothing is planned while files, list and history contradict each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from server.migrations.engine.errors import (
    AheadDatabase,
    ChangedMigration,
    MissingMigration,
    OutOfOrder,
    UnknownMigration,
)
from server.migrations.engine.history import Entry
from server.migrations.engine.scripts import Script

APPLIED, PENDING, CHANGED, MISSING, UNLISTED = (
    "applied",
    "pending",
    "changed",
    "missing",
    "unlisted",
)


class Standing(NamedTuple):
    """Where a migration stands; ``at`` is when it was applied."""

    name: str
    state: str
    at: str | None = None


def standings(scripts: Sequence[Script], applied: Mapping[str, Entry]) -> tuple[Standing, ...]:
    """Every listed migration in order, then what is applied and not listed."""
    listed = [
        Standing(script.name, _state(script, applied), _at(applied, script.name))
        for script in scripts
    ]
    names = {script.name for script in scripts}
    unlisted = [Standing(n, UNLISTED, e.at) for n, e in applied.items() if n not in names]
    return (*listed, *unlisted)


def check(scripts: Sequence[Script], applied: Mapping[str, Entry], *, changed: bool = True) -> None:
    """Raise the InconsistentHistory that a person has to settle first.

    ``changed=False`` lets an edited file pass: recording it anew is the way to accept it.
    """
    names = [script.name for script in scripts]
    listed = set(names)
    if unlisted := [(name, entry.at) for name, entry in applied.items() if name not in listed]:
        raise AheadDatabase(unlisted)
    for script in scripts:
        state = _state(script, applied)
        if state == MISSING:
            raise MissingMigration(script.name, script.path, _at(applied, script.name))
        if state == CHANGED and changed:
            raise ChangedMigration(script.name, script.path, applied[script.name].at)
    _check_order(names, applied)


def plan_up(
    scripts: Sequence[Script], applied: Mapping[str, Entry], target: str | None = None
) -> tuple[Script, ...]:
    """What is pending, in order, through ``target``.  Raises UnknownMigration."""
    return tuple(s for s in _through(scripts, target) if s.name not in applied)


def plan_down(
    scripts: Sequence[Script], applied: Mapping[str, Entry], target: str | None = None
) -> tuple[Script, ...]:
    """What is to be undone, newest first, back through ``target``; without one, the newest.

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
    """What to record: the pending ones and the edited ones, in order, through ``target``."""
    return tuple(s for s in _through(scripts, target) if _state(s, applied) in (PENDING, CHANGED))


def _through(scripts: Sequence[Script], target: str | None) -> Sequence[Script]:
    return scripts if target is None else scripts[: _find(scripts, target) + 1]


def _find(scripts: Sequence[Script], target: str) -> int:
    names = [script.name for script in scripts]
    if target not in names:
        raise UnknownMigration(target, names)
    return names.index(target)


def _state(script: Script, applied: Mapping[str, Entry]) -> str:
    entry = applied.get(script.name)
    if script.checksum is None:
        return MISSING
    if entry is None:
        return PENDING
    return APPLIED if entry.checksum == script.checksum else CHANGED


def _at(applied: Mapping[str, Entry], name: str) -> str | None:
    return applied[name].at if name in applied else None


def _check_order(names: Sequence[str], applied: Mapping[str, Entry]) -> None:
    in_history = list(applied)
    in_list = [name for name in names if name in applied]
    for listed, recorded in zip(in_list, in_history):
        if listed != recorded:
            raise OutOfOrder(listed, recorded, applied[listed].at, pending=False)
    if in_list:
        newest = in_list[-1]
        for name in names[: names.index(newest)]:
            if name not in applied:
                raise OutOfOrder(name, newest, applied[newest].at, pending=True)
