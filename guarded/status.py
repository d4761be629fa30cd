"""Questions that take no lock: the state of the files, of the history, of each migration.

Loads neither peewee nor a migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from guarded import history, plan
from guarded.history import Entry
from guarded.plan import Standing
from guarded.project import Project
from guarded.scripts import Script, scripts, strays
from guarded.steps import Made

if TYPE_CHECKING:
    from guarded.backends.interface import Inspector
    from guarded.errors import OutOfOrder


class State(NamedTuple):
    """Files and history at one moment; ``applied`` is in the order of application."""

    scripts: tuple[Script, ...]
    entries: tuple[Entry, ...]
    applied: Mapping[str, Entry]

    def read_again(self, inspector: Inspector) -> State:
        """Return the same files with the history as it is now."""
        return _state(self.scripts, inspector)

    def made(self, script: Script) -> Made:
        """Return what the script did here, as far as the history knows."""
        entry = self.applied.get(script.name)
        return entry.made if entry else Made()

    def without(self, name: str) -> State:
        """Return the state as if the migration had never been applied."""
        applied = {key: entry for key, entry in self.applied.items() if key != name}
        return self._replace(applied=applied)

    def standings(self) -> tuple[Standing, ...]:
        return plan.standings(self.scripts, self.applied)

    def disorder(self) -> OutOfOrder | None:
        """Return the contradiction between the list's order and the history's, if there is one."""
        return plan.disorder(self.scripts, self.applied)


def read_state(project: Project, inspector: Inspector | None) -> State:
    """Read files and history.  ``None`` means that there is no database yet.  Never writes."""
    listed = scripts(project.directory, project.listed, project.reworded)
    return _state(listed, inspector)


def table_of(model: Any) -> str:
    """Return the name of a Peewee model's table."""
    return str(model._meta.table_name)


def tables_in_memory(project: Project) -> dict[str, str]:
    """Return the tables that are not in the database file, with the model of each."""
    models = project.models().in_memory
    return {table_of(model): f"{model.__name__} in {model.__module__}" for model in models}


def tables_of(project: Project) -> list[str]:
    """Return the names of the application's own tables."""
    return [table_of(model) for model in project.models().persistent]


def unknown_files(project: Project) -> list[str]:
    """Return the files in the project's folder that are neither listed nor excluded."""
    return strays(project.directory, {*project.listed, *project.excluded}, project.listing)


def _state(listed: tuple[Script, ...], inspector: Inspector | None) -> State:
    entries = history.read(inspector) if inspector else ()
    return State(listed, entries, history.applied(entries))
