"""The migration files: names, checksums, and the functions in them.

A file is imported only to be run; hashing it does not need that.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from guarded.errors import UnusableMigration, line_in
from guarded.steps import Direction

Function = Callable[[Any, Any], object]
BOM = b"\xef\xbb\xbf"


class Script(NamedTuple):
    """A listed migration.  ``checksum`` is the sha256 of its file with LF line ends and without a
    byte order mark, or None if there is no such file.  ``accepted`` are checksums of earlier texts
    that mean the same."""

    name: str
    directory: Path
    checksum: str | None
    accepted: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return self.directory / f"{self.name}.py"

    def is_text(self, checksum: str) -> bool:
        """Return True for the checksum of the file, or of a text accepted as the same.

        Earlier versions hashed a byte order mark with the text.
        """
        known = checksum == self.checksum or checksum in self.accepted
        return known or checksum == _hash(self.path, BOM)

    def function(self, direction: Direction) -> Function:
        """Return ``up`` or ``down`` of the file.  Raises UnusableMigration when it has none."""
        function = getattr(_load(self), direction.value, None)
        if not callable(function):
            raise UnusableMigration(
                self.name, f"'{self.path}' has no {direction.value}(migrator, db)"
            )
        return function  # type: ignore[no-any-return]


@cache
def _load(script: Script) -> ModuleType:
    """Execute the file, once.  Raises UnusableMigration."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(script.name, script.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        where = f" in line {line}" if (line := line_in(script.path, exc)) else ""
        raise UnusableMigration(
            script.name, f"importing '{script.path}' raised {type(exc).__name__}{where}: {exc}"
        ) from exc
    return module


def scripts(
    directory: Path, names: Iterable[str], reworded: Mapping[str, Sequence[str]] | None = None
) -> tuple[Script, ...]:
    folder, accepted = f"{directory}{os.sep}", reworded or {}
    return tuple(
        Script(name, directory, checksum(f"{folder}{name}.py"), tuple(accepted.get(name, ())))
        for name in names
    )


def checksum(path: Path | str) -> str | None:
    """Return the sha256 as in Script; None if there is no such file."""
    return _hash(path)


def _hash(path: Path | str, mark: bytes = b"") -> str | None:
    # os.open is faster than Path, and every run does this for every listed file.
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        content = part = os.read(descriptor, 1 << 16)
        while len(part) == 1 << 16:
            part = os.read(descriptor, 1 << 16)
            content += part
    finally:
        os.close(descriptor)
    text = content.removeprefix(BOM).replace(b"\r\n", b"\n")
    return hashlib.sha256(mark + text).hexdigest()


def strays(directory: Path, known: Collection[str], listing: Path | None) -> list[str]:
    """Return the Python files of the folder that are not listed, excluded, or the tool itself."""
    names = {name[:-3] for name in os.listdir(directory) if name.endswith(".py")}  # noqa: PTH208
    tool = {"__init__", listing.stem if listing else "migrate"}
    return sorted(f"{name}.py" for name in names - tool - set(known))
