"""Examine the files beside a database, their owners, and their disk."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from guarded.backends.sqlite.backup import megabytes
from guarded.backends.sqlite.connect import companions
from guarded.findings import Finding, Severity

# File systems on which SQLite's locks or shared memory do not reach every process, see
# https://www.sqlite.org/useovernet.html; the last ones are what Docker Desktop mounts with.
REMOTE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "sshfs")
SHARED = ("9p", "virtiofs", "vboxsf", "osxfs", "grpcfuse", "drvfs", "prl_fs", "vmhgfs")
OCTAL = re.compile(r"\\([0-7]{3})")  # how /proc spells a blank, a tab, a line end, a backslash
IN_CONTAINER = "docker compose exec server python migrations/migrate.py"


def look_around(path: Path) -> Iterator[Finding]:
    """Yield what can be seen without opening the database: opening may change its files."""
    yield from _files(path)
    yield from _journal(path)
    yield from _mount(path)
    yield from _space(path)


def _files(path: Path) -> Iterator[Finding]:
    status = path.stat()
    yield Finding(Severity.FINE, "file", f"{path}, {megabytes(status.st_size)}, {_ownership(path)}")
    if not os.access(path, os.W_OK):
        yield Finding(
            Severity.PROBLEM,
            "file",
            f"this user may not write '{path}'",
            "run as its owner, or change owner or mode of the file",
        )
    folder = path.parent
    if os.access(folder, os.W_OK):
        yield Finding(Severity.FINE, "folder", f"{folder}, {_ownership(folder)}")
    else:
        yield Finding(
            Severity.PROBLEM,
            "folder",
            f"this user may not write the folder '{folder}' ({_ownership(folder)})",
            "SQLite makes its journal there: change owner or mode of the folder",
        )
    if status.st_uid != folder.stat().st_uid and status.st_uid != 0:
        yield Finding(
            Severity.WARNING,
            "folder",
            f"the folder belongs to another user than the file ({_ownership(folder)})",
            f"chown {status.st_uid}:{status.st_gid} '{folder}', or the owner of the file may be "
            "unable to open it",
        )
    for companion in companions(path):
        if companion.exists() and companion.stat().st_uid != status.st_uid:
            yield Finding(
                Severity.PROBLEM,
                companion.name,
                f"'{companion}' belongs to another user than the database "
                f"({_ownership(companion)})",
                f"stop all that use it, then chown {status.st_uid}:{status.st_gid} '{companion}'",
            )


def _journal(path: Path) -> Iterator[Finding]:
    journal = Path(f"{path}-journal")
    # SQLite clears the first byte of a journal that it is done with.
    if journal.exists() and journal.read_bytes()[:1].strip(b"\0"):
        yield Finding(
            Severity.WARNING,
            "journal",
            f"'{journal}' holds a write that is going on or was interrupted",
            "leave it where it is: the next process that opens the database undoes that write",
        )


def _mount(path: Path) -> Iterator[Finding]:
    kind, options = _mount_of(path)
    if kind is None:
        return
    base = kind.partition(".")[2] or kind  # fuse.sshfs
    if base in REMOTE + SHARED or kind == "fuse":
        yield Finding(
            Severity.PROBLEM,
            "mount",
            f"'{path.parent}' is on {kind}, where SQLite's locks don't reach every process",
            f"migrate where the server runs: {IN_CONTAINER}",
        )
    elif "ro" in options:
        yield Finding(
            Severity.PROBLEM,
            "mount",
            f"'{path.parent}' is mounted read-only",
            "mount it for writing",
        )
    else:
        yield Finding(Severity.FINE, "mount", f"'{path.parent}' is on {kind}")


def _mount_of(path: Path) -> tuple[str | None, list[str]]:
    """Return type and options of the path's mount, if the system tells."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None, []
    resolved = path.resolve()
    depth, kind, options = -1, None, [""]
    for line in lines:
        # 36 35 98:0 /root /mount rw,noatime shared:1 - ext4 /dev/sda rw
        left, _, right = line.partition(" - ")
        mount = Path(OCTAL.sub(lambda code: chr(int(code[1], 8)), left.split()[4]))
        if resolved.is_relative_to(mount) and len(mount.parts) >= depth:
            depth, kind, options = len(mount.parts), right.split()[0], left.split()[5].split(",")
    return kind, options


def _space(path: Path) -> Iterator[Finding]:
    free, size = shutil.disk_usage(path.parent).free, path.stat().st_size
    if free < 2 * size:
        yield Finding(
            Severity.WARNING,
            "space",
            f"{megabytes(free)} are free, and a run with its backup may need {megabytes(2 * size)}",
            "free some space, or move old backups elsewhere",
        )
    else:
        yield Finding(Severity.FINE, "space", f"{megabytes(free)} are free")
    left = [*path.parent.glob(".rehearsal-*"), *path.parent.glob(f"backups/{path.name}.*.partial")]
    for found in left:
        yield Finding(
            Severity.NOTE, "space", f"'{found}' is left of a killed process", "it may be removed"
        )


def _ownership(path: Path) -> str:
    status = path.stat()
    return f"{_name_of(status.st_uid)} {stat.filemode(status.st_mode)}"


def _name_of(uid: int) -> str:
    try:
        import pwd

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError):
        return str(uid)
