"""What an application tells the engine about itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from server.migrations.engine.errors import UnusableMigration

if TYPE_CHECKING:
    from peewee import Model, SqliteDatabase


class Models(NamedTuple):
    """The tables as the application declares them, on the database and in memory."""

    persistent: Sequence[type[Model]]
    in_memory: Sequence[type[Model]]


class Project(NamedTuple):
    """``listed`` in the order in which they run; ``models`` is called only when something runs;
    ``listing`` is the file that holds the list."""

    directory: Path
    listed: Sequence[str]
    excluded: Mapping[str, str]
    models: Callable[[], Models]
    version: str
    listing: Path | None = None

    def check(self) -> None:
        """Raises UnusableMigration for a name that is listed twice, or excluded too."""
        seen: set[str] = set()
        for name in self.listed:
            if name in self.excluded:
                raise UnusableMigration(name, f"it is excluded: {self.excluded[name]}")
            if name in seen:
                raise UnusableMigration(name, "it is listed twice")
            seen.add(name)


class DatabaseFile(Protocol):
    """How the application opens its database, see server.db.connection.SqliteFile."""

    @property
    def path(self) -> Path: ...

    @property
    def cache_size(self) -> int: ...

    def at(self, path: Path) -> DatabaseFile: ...

    def reading(self, *, timeout: float) -> AbstractContextManager[sqlite3.Connection | None]: ...

    def database_to_migrate(self) -> SqliteDatabase: ...
