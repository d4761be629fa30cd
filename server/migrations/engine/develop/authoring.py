"""A new migration file, and its name in the list: both, or neither."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from server.migrations.engine import listing
from server.migrations.engine.develop import autowrite
from server.migrations.engine.develop.renames import Ask
from server.migrations.engine.errors import UnusableMigration
from server.migrations.engine.project import DatabaseFile, Project
from server.migrations.engine.runner import Runner


def create(project: Project, name: str, text: str | None = None) -> Path:
    """Write the file, from the template where no text is given, and add the name to the list.

    Raises UnusableName, and UnusableMigration when there is no list.
    """
    listing.check_name(name, project.directory, {*project.listed, *project.excluded})
    if project.listing is None:
        raise UnusableMigration(name, "this project does not say which file holds the list")
    with project.listing.open(newline="") as file:
        changed = listing.with_name(file.read(), name)
    path = project.directory / f"{name}.py"
    with path.open("x") as file:
        file.write(text or autowrite.template(name))
    aside = project.listing.with_name(f"{project.listing.name}.new")
    try:
        with aside.open("w", newline="") as file:
            file.write(changed)
        aside.chmod(project.listing.stat().st_mode & 0o777)
        aside.replace(project.listing)
    except BaseException:
        path.unlink()
        aside.unlink(missing_ok=True)
        raise
    return path


def from_models(
    project: Project, name: str, open_at: Callable[[Path], DatabaseFile], ask: Ask
) -> str | None:
    """The text of a migration that makes, of what the listed ones make, what the models declare.

    None when that is the same.  ``open_at`` makes a database file of the application's kind.
    """
    listing.check_name(name, project.directory, {*project.listed, *project.excluded})
    models = project.models()
    unchecked = project._replace(models=lambda: models._replace(persistent=()))
    with tempfile.TemporaryDirectory(prefix="new-") as folder:
        path = Path(folder) / "scratch.sqlite"
        Runner(unchecked, open_at(path), backup=False).up()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return autowrite.write(name, connection, models.persistent, ask)
