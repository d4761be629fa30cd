"""A new folder of migrations: a migrate.py to fill in, which works at once."""

from __future__ import annotations

import shlex
from pathlib import Path

from guarded.author.source import string
from guarded.errors import UnusableFolder

LISTING = "migrate.py"
TEMPLATE = '''\
"""Change the schema of the application's database: run this file; --help shows how."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # find the application, whatever the working directory is
    sys.path[0] = str(Path(__file__).resolve().parents[{depth}])

from guarded.cli.commands import run
from guarded.project import Models, Project, location_from

HERE = Path(__file__).resolve()
# In the order in which they run.  A new one goes to the end; an applied one is never edited.
MIGRATIONS: list[str] = []
# Files in this folder that are never run, and why.
EXCLUDED: dict[str, str] = {{}}
# Checksums (sha256) of earlier texts of a migration that are accepted as the same.
REWORDED: dict[str, list[str]] = {{}}


def models() -> Models:
    """Import and list the Peewee models that have a table in the database."""
    return Models([])


def migrator(database: Any) -> Any:
    from playhouse.migrate import SchemaMigrator

    return SchemaMigrator.from_database(database)


PROJECT = Project(
    name={name},
    version="1.0",
    directory=HERE.parent,
    listed=MIGRATIONS,
    excluded=EXCLUDED,
    reworded=REWORDED,
    models=models,
    migrator=migrator,
    location=lambda: location_from(HERE.parents[{depth}] / "database.sqlite"),
    listing=HERE,
    command={command},
    # register=register,  # a function: give a connection the schema's SQL functions and collations
)

if __name__ == "__main__":
    run(PROJECT)
'''


def create(folder: Path) -> tuple[Path, str]:
    """Write migrate.py, in a folder that is made where there is none; gives it and how it is run.

    The application is in the working directory, or beside a folder that is not below that.  Never
    overwrites.  Raises UnusableFolder.
    """
    folder = folder.resolve()
    here = Path.cwd().resolve()
    root = here if folder.is_relative_to(here) else folder.parent
    inside = folder.relative_to(root)
    command = shlex.join(["python", (inside / LISTING).as_posix()])
    text = TEMPLATE.format(depth=len(inside.parts), name=string(root.name), command=string(command))
    path = folder / LISTING
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except (FileExistsError, NotADirectoryError) as exc:
        why = f"has a {LISTING} already" if folder.is_dir() else "is not a folder"
        raise UnusableFolder(folder, why, "name another folder") from exc
    except OSError as exc:
        why = f"can't be written: {exc.strerror}"
        raise UnusableFolder(folder, why, "check its owner and mode") from exc
    return path, command
