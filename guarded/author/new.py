"""Write a new migration file and add its name to the list: both, or neither."""

from __future__ import annotations

from pathlib import Path

from guarded import listing
from guarded.author import from_models as writer
from guarded.author.operations import Ask
from guarded.backends.interface import Backend, Patience
from guarded.errors import UnusableMigration
from guarded.project import Project
from guarded.run import Runner

INSTALLED = {"site-packages", "dist-packages"}  # folders of packages; the second is Debian's


def create(project: Project, name: str, text: str | None = None) -> Path:
    """Write the file, from the template if no text is given, and add the name to the list.

    Raises UnusableName, and UnusableMigration when there is no list.
    """
    _check_name(project, name)
    if project.listing is None:
        raise UnusableMigration(name, "this project does not say which file holds the list")
    if INSTALLED & set(project.directory.parts):
        raise UnusableMigration(
            name, f"'{project.directory}' is an installed package; work in a checkout"
        )
    before, encoding = listing.read(project.listing)
    changed = listing.with_name(before, name)
    path = project.directory / f"{name}.py"
    with path.open("x", encoding="utf-8") as file:
        file.write(text or writer.template(name))
    aside = project.listing.with_name(f"{project.listing.name}.new")
    try:
        with aside.open("w", newline="", encoding=encoding) as file:
            file.write(changed)
        aside.chmod(project.listing.stat().st_mode & 0o777)
        aside.replace(project.listing)
    except BaseException:
        path.unlink()
        aside.unlink(missing_ok=True)
        raise
    return path


def from_models(project: Project, backend: Backend, name: str, ask: Ask) -> str | None:
    """Write a migration from what the listed ones create to what the models declare.

    Returns its text; None when there is no difference.
    """
    _check_name(project, name)
    models = project.models()
    unchecked = project._replace(models=lambda: models._replace(persistent=()))
    with backend.scratch() as scratch:
        Runner(unchecked, scratch, backup=False).up()
        with scratch.transaction(Patience(), lambda: None) as made:
            return writer.write(name, backend, made, models.persistent, ask)


def _check_name(project: Project, name: str) -> None:
    listing.check_name(name, project.directory, {*project.listed, *project.excluded})
