"""The migration files: which there are, what they contain, and the functions in them.

A file is hashed without being imported; it is imported only to be run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from server.migrations.engine.errors import UnusableMigration

Function = Callable[[Any, Any], object]


@dataclass(frozen=True)
class Script:
    """A listed migration; ``checksum`` is the sha256 of its file with LF line ends, or None while
    there is no such file."""

    name: str
    path: Path
    checksum: str | None

    @cached_property
    def module(self) -> ModuleType:
        """The file, executed once.  Raises UnusableMigration."""
        import importlib.util

        spec = importlib.util.spec_from_file_location(self.name, self.path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
        except Exception as exc:
            raise UnusableMigration(
                self.name, f"importing '{self.path}' raised {type(exc).__name__}: {exc}"
            ) from exc
        return module

    def function(self, direction: str) -> Function:
        """``up`` or ``down`` of the file.  Raises UnusableMigration when it has none."""
        function = getattr(self.module, direction, None)
        if not callable(function):
            raise UnusableMigration(self.name, f"'{self.path}' has no {direction}(migrator, db)")
        return function  # type: ignore[no-any-return]


def scripts(directory: Path, names: Iterable[str]) -> tuple[Script, ...]:
    found = []
    for name in names:
        path = directory / f"{name}.py"
        found.append(Script(name, path, checksum(path)))
    return tuple(found)


def checksum(path: Path) -> str | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def strays(directory: Path, known: Collection[str]) -> list[str]:
    """Files in the folder that are neither listed nor excluded, nor the tool itself."""
    tool = {"__init__", "migrate"}
    names = [entry.name for entry in os.scandir(directory) if entry.name.endswith(".py")]
    return sorted(name for name in names if name[:-3] not in tool and name[:-3] not in known)
