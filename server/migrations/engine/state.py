"""Files and history of a project at one moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from server.migrations.engine import history
from server.migrations.engine.history import Entry
from server.migrations.engine.introspection import Execute
from server.migrations.engine.project import Project
from server.migrations.engine.scripts import Script, scripts


class State(NamedTuple):
    """``applied`` in the order of application."""

    scripts: tuple[Script, ...]
    entries: tuple[Entry, ...]
    applied: Mapping[str, Entry]

    def read_again(self, execute: Execute) -> State:
        """The same files, and the history as it is now."""
        return _state(self.scripts, execute)

    def made(self, script: Script) -> Collection[str]:
        """What the script created here, as far as the history knows."""
        entry = self.applied.get(script.name)
        return entry.made if entry else frozenset()


def read_state(project: Project, execute: Execute | None) -> State:
    """``None``: there is no database yet.  Never writes."""
    return _state(scripts(project.directory, project.listed), execute)


def _state(listed: tuple[Script, ...], execute: Execute | None) -> State:
    entries = history.read(execute) if execute else ()
    return State(listed, entries, history.applied(entries))
