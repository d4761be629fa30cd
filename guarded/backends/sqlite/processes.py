"""Find other processes that have the database open or locked (on Linux).

An empty answer does not mean that there is none: processes of another user or container can't be
seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def openers(paths: Iterable[Path]) -> list[str]:
    """Return the processes with any of these files open, as ``process 42 (python …)``."""
    wanted = _inodes(paths)
    found = set()
    for folder in Path("/proc").glob("[0-9]*/fd"):
        try:
            for link in folder.iterdir():
                status = link.stat()
                if (status.st_dev, status.st_ino) in wanted:
                    found.add(int(folder.parent.name))
                    break
        except OSError:  # it ended, or belongs to another user
            continue
    return [_describe(pid) for pid in sorted(found - {os.getpid()})]


def holders(path: Path) -> list[str]:
    """Return the processes with a write lock on the database or its -shm file."""
    wanted = _inodes([path, Path(f"{path}-shm")])
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    found = set()
    for line in lines:
        fields = line.split()
        # 1: POSIX  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF; a waiting one has -> after its number
        if "WRITE" not in fields:
            continue
        pid, inode = fields[fields.index("WRITE") + 1 :][:2]
        major, minor, number = inode.split(":")
        if (os.makedev(int(major, 16), int(minor, 16)), int(number)) in wanted:
            found.add(int(pid))
    return [_describe(pid) for pid in sorted(found - {os.getpid()})]


def _inodes(paths: Iterable[Path]) -> set[tuple[int, int]]:
    statuses = [path.stat() for path in paths if path.exists()]
    return {(status.st_dev, status.st_ino) for status in statuses}


def _describe(pid: int) -> str:
    if pid <= 0:
        return "a process of another container"
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        command = ""
    return f"process {pid} ({command[:60]})" if command else f"process {pid}"
