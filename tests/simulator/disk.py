"""A disk that fails once, fills up, or dies with the process or the power at its n-th operation.

SQLite's files go through a virtual file system, the engine's own through ``os``.  From the moment of
a cut the folder is kept as a fresh start would find it; all that the dying process still does fails.
"""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import apsw

from tests.simulator.clock import SYSTEM

FAIL, FULL, KILL, POWER = "fails once", "is full", "is left by a killed process", "loses power"
KINDS = (FAIL, FULL, KILL, POWER)
_NUMBERS = itertools.count()


class Disk:
    """``point`` is the operation before which it happens, from 1; 0: never.  ``left`` is what a cut
    leaves of the folder."""

    def __init__(self, folder: Path, kind: str = "", point: int = 0) -> None:
        self.folder, self.kind, self.point = folder, kind, point
        self.done = 0
        self.left: dict[str, bytes] | None = None
        self.unsynced: dict[str, list[tuple[int, bytes, int]]] = {}
        self.synced: dict[str, bytes] = {str(p): p.read_bytes() for p in files(folder)}
        self.named = set(self.synced)  # whose names are on the disk, too
        self.system = System(self)

    def operate(self, what: str, path: str) -> None:
        """Raises OSError at the point, and ever after if it is one of no return."""
        if not path.startswith(str(self.folder)):
            return  # a temporary file of SQLite's
        self.done += 1
        if self.left is not None:
            raise OSError(errno.EIO, "the process is gone")
        if not self.point or self.done < self.point:
            return
        if self.kind in (KILL, POWER):
            self.left = self._left()
            raise OSError(errno.EIO, "the process is gone")
        if self.kind == FULL and what in ("write", "fsync"):
            raise OSError(errno.ENOSPC, "the disk is full")
        if self.kind == FAIL and self.done == self.point and what != "unlink":
            raise OSError(errno.EIO, "the disk failed")

    def wrote(self, path: str, offset: int, old: bytes, size: int) -> None:
        self.unsynced.setdefault(path, []).append((offset, old, size))

    def sync(self, path: str) -> None:
        """Of a file: what is in it.  Of a folder: the names in it."""
        if Path(path).is_dir():
            self.named |= {
                name for name in map(str, files(self.folder)) if Path(name).parent == Path(path)
            }
            return
        self.unsynced.pop(path, None)
        self.synced[path] = Path(path).read_bytes()

    def rename(self, old: str, new: str) -> None:
        for known in (self.unsynced, self.synced):
            known.pop(new, None)
            if old in known:
                known[new] = known.pop(old)

    def _left(self) -> dict[str, bytes]:
        found = {str(path): path.read_bytes() for path in files(self.folder)}
        if self.kind == KILL:
            return found
        for path, content in list(found.items()):
            is_sqlites = path in self.system.opened and Path(path).parent == self.folder
            if path not in self.named and not is_sqlites:  # SQLite syncs these names itself
                del found[path]
                continue
            if path not in self.unsynced:
                # Not through SQLite, so that only a sync tells what of it is there.
                found[path] = content if path in self.system.opened else self.synced.get(path, b"")
            for offset, old, size in reversed(self.unsynced.get(path, [])):
                whole = bytearray(found[path])
                whole[offset : offset + len(old)] = old
                found[path] = bytes(whole[:size])
        return found

    def is_cut(self) -> bool:
        """True after a cut; one that did not come until now comes now."""
        if self.kind in (KILL, POWER) and self.left is None:
            self.left = self._left()
        return self.left is not None

    def fall_back(self) -> None:
        """Leave the folder as the cut did.  All connections have to be closed."""
        assert self.left is not None
        put(self.folder, self.left)


def files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def put(folder: Path, content: dict[str, bytes]) -> None:
    """The folder with these files and no others."""
    for path in files(folder):
        path.unlink()
    for name, data in content.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(data)


class File(apsw.VFSFile):
    def __init__(self, disk: Disk, filename: Any, flags: list[int]) -> None:
        self.disk = disk
        self.path = filename.filename() if hasattr(filename, "filename") else filename or ""
        super().__init__(SYSTEM, filename, flags)

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        operate(self.disk, "write", self.path)
        size = self.xFileSize()
        old = self.xRead(min(len(data), size - offset), offset) if offset < size else b""
        super().xWrite(data, offset)
        self.disk.wrote(self.path, offset, old, size)

    def xSync(self, flags: int) -> None:  # noqa: N802
        operate(self.disk, "sync", self.path)
        super().xSync(flags)
        if self.path.startswith(str(self.disk.folder)):
            self.disk.sync(self.path)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        operate(self.disk, "truncate", self.path)
        now = self.xFileSize()
        if size < now:
            self.disk.wrote(self.path, size, self.xRead(now - size, size), now)
        super().xTruncate(size)


class System(apsw.VFS):
    """Registered as long as it lives."""

    def __init__(self, disk: Disk) -> None:
        self.disk, self.name = disk, f"disk {next(_NUMBERS)}"
        self.opened: set[str] = set()
        super().__init__(self.name, SYSTEM)

    def xOpen(self, name: Any, flags: list[int]) -> File:  # noqa: N802
        if self.disk.left is not None:
            raise apsw.CantOpenError("the process is gone")
        file = File(self.disk, name, flags)
        self.opened.add(file.path)
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        operate(self.disk, "delete", filename)
        super().xDelete(filename, syncdir)
        self.disk.unsynced.pop(filename, None)


def operate(disk: Disk, what: str, path: str) -> None:
    """The same, with SQLite's errors."""
    try:
        disk.operate(what, path)
    except OSError as exc:
        error = apsw.FullError if exc.errno == errno.ENOSPC else apsw.IOError
        raise error(exc.strerror) from exc


def watched(disk: Disk) -> dict[str, Callable[..., Any]]:
    """Functions of ``os`` whose work on the disk counts, too."""
    fsync, rename, unlink = os.fsync, os.rename, os.unlink

    def watched_fsync(descriptor: int) -> None:
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        disk.operate("fsync", path)
        fsync(descriptor)
        disk.sync(path)

    def watched_rename(old: Any, new: Any, **options: Any) -> None:
        disk.operate("rename", str(old))
        rename(old, new, **options)
        disk.rename(str(old), str(new))

    def watched_unlink(path: Any, **options: Any) -> None:
        disk.operate("unlink", str(path))
        unlink(path, **options)

    return {"fsync": watched_fsync, "rename": watched_rename, "unlink": watched_unlink}
