"""The description that an application gives of itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from peewee import Model


class Models(NamedTuple):
    """The tables as the application declares them: in the database, and in memory only."""

    persistent: Sequence[type[Model]]
    in_memory: Sequence[type[Model]] = ()


class Project(NamedTuple):
    """A folder of migrations, and the ordered list of those that run.

    ``models`` and ``migrator`` are called only when something runs; ``migrator`` returns
    playhouse's SchemaMigrator for a database.  ``location`` returns the URL or path of the database
    when the command line names none.  ``excluded`` has files that never run, with the reason.
    ``reworded`` maps a name to checksums of earlier texts that are accepted as the same.
    ``listing`` is the file that holds the list.  ``command`` is the command line that people type.
    ``register`` adds the application's own SQL functions and collations to a connection.
    ``backups`` is the folder for those of a database that is no file; by default ``backups`` in
    ``directory``.
    """

    name: str
    version: str
    directory: Path
    listed: Sequence[str]
    models: Callable[[], Models]
    migrator: Callable[[Any], Any]
    location: Callable[[], str]
    excluded: Mapping[str, str] = {}
    reworded: Mapping[str, Sequence[str]] = {}
    listing: Path | None = None
    command: str = "python migrate.py"
    register: Callable[[Any], None] | None = None
    backups: Path | None = None


def location_from(default: str | Path, environ: Mapping[str, str] = os.environ) -> str:
    """Return the URL or path of the database: DATABASE_URL, else DB_PATH, else the default."""
    return environ.get("DATABASE_URL") or environ.get("DB_PATH") or str(default)
