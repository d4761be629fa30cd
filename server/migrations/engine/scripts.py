"""The migration files: which there are, what they contain, and the functions in them.

A file is hashed without being imported; it is imported only to be run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from server.migrations.engine.errors import UnusableMigration

Function = Callable[[Any, Any], object]


class Script(NamedTuple):
    """A listed migration; ``checksum`` is the sha256 of its file with LF line ends, or None while
    there is no such file."""

    name: str
    directory: Path
    checksum: str | None

    @property
    def path(self) -> Path:
        return self.directory / f"{self.name}.py"

    def function(self, direction: str) -> Function:
        """``up`` or ``down`` of the file.  Raises UnusableMigration when it has none."""
        function = getattr(_load(self), direction, None)
        if not callable(function):
            raise UnusableMigration(self.name, f"'{self.path}' has no {direction}(migrator, db)")
        return function  # type: ignore[no-any-return]


@cache
def _load(script: Script) -> ModuleType:
    """The file, executed once.  Raises UnusableMigration."""
    import importlib.util

    spec = importlib.util.spec_from_file_location(script.name, script.path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as exc:
        raise UnusableMigration(
            script.name, f"importing '{script.path}' raised {type(exc).__name__}: {exc}"
        ) from exc
    return module


def scripts(directory: Path, names: Iterable[str]) -> tuple[Script, ...]:
    folder = f"{directory}{os.sep}"
    return tuple(Script(name, directory, checksum(f"{folder}{name}.py")) for name in names)


def checksum(path: Path | str) -> str | None:
    # os.open in place of Path: this is done for every listed file, also when nothing is to be done.
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
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def strays(directory: Path, known: Collection[str]) -> list[str]:
    """Files in the folder that are neither listed nor excluded, nor the tool itself."""
    names = {name[:-3] for name in os.listdir(directory) if name.endswith(".py")}  # noqa: PTH208
    return sorted(f"{name}.py" for name in names - {"__init__", "migrate"} - set(known))
