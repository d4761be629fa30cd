"""Our command line on migrations in another folder: ``ours.py FOLDER ARGUMENT…``.

``BENCH_SETTING="name=value"`` in the environment sets a pragma of SQLite's; ``rebuild=always``
makes the run rebuild where it would edit.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

from guarded.backends.sqlite import catalogue
from guarded.backends.sqlite.connect import SqliteFile
from guarded.cli.commands import run
from guarded.project import Models
from server.migrations.migrate import PROJECT


def change_setting(name: str, value: str) -> None:
    if name == "rebuild":
        catalogue.edit = lambda *arguments: False  # as a build of SQLite that forbids it
        return
    if name == "cache_size":
        SqliteFile.cache_size = int(value)
        return
    unset = SqliteFile.database_to_migrate

    def database_to_migrate(file: SqliteFile) -> Any:
        database = unset(file)
        database.pragma(name, value, permanent=True)
        database.close()
        return database

    SqliteFile.database_to_migrate = database_to_migrate  # type: ignore[method-assign]


if __name__ == "__main__":
    if setting := os.environ.get("BENCH_SETTING"):
        change_setting(*setting.split("="))
    folder = Path(sys.argv[1])
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py"))  # noqa: PTH208
    project = PROJECT._replace(
        directory=folder, listed=names, excluded={}, models=lambda: Models(()), version="bench"
    )
    run(project, sys.argv[2:])
