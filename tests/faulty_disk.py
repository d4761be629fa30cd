"""A disk that fails, fills up or loses power at its Nth operation: a virtual file system of SQLite.

A power cut takes back what was written since the last sync of each file, as a disk with a cache
may.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

FAIL, FULL, CUT = "fails once", "is full from here on", "loses power"


@dataclass
class Disk:
    """``point``: the write, sync, truncate or delete at which it happens, from 1; 0 for never."""

    kind: str = FAIL
    point: int = 0
    done: int = 0
    unsynced: dict[str, list[tuple[int, bytes, int]]] = field(default_factory=dict)

    def operate(self, name: str) -> None:
        self.done += 1
        if self.point and self.done >= self.point:
            if self.kind == CUT:
                self.lose()
                os._exit(9)
            if self.kind == FULL and name == "write":
                raise apsw.FullError("the disk is full")
            if self.done == self.point:
                raise apsw.IOError("the disk failed")

    def lose(self) -> None:
        for path, writes in self.unsynced.items():
            if path and Path(path).exists():
                with Path(path).open("r+b") as file:
                    for offset, old, size in reversed(writes):
                        file.seek(offset)
                        file.write(old)
                        file.truncate(size)


class FaultyFile(apsw.VFSFile):
    def __init__(self, disk: Disk, filename: Any, flags: list[int]) -> None:
        self.disk = disk
        # A temporary file of SQLite's has no name, and is lost with the power anyway.
        named = hasattr(filename, "filename")
        self.path = filename.filename() if named else filename or ""
        super().__init__("", filename, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self.disk.operate("write")
        size = self.xFileSize()
        old = self.xRead(min(len(data), size - offset), offset) if offset < size else b""
        self.disk.unsynced.setdefault(self.path, []).append((offset, old, size))
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.disk.operate("sync")
        super().xSync(flags)
        self.disk.unsynced.pop(self.path, None)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        self.disk.operate("truncate")
        super().xTruncate(size)


class FaultySystem(apsw.VFS):
    """Registered under its name as long as it lives."""

    def __init__(self, name: str, disk: Disk) -> None:
        self.disk, self.name = disk, name
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> FaultyFile:  # noqa: N802
        return FaultyFile(self.disk, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.disk.operate("delete")
        super().xDelete(filename, syncdir)
