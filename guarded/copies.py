"""The names of a database's copies, and of its files of dropped values: given, and read back.

A name has the database's own, a mark for what it is, and the time in UTC.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from guarded.backends.interface import Copy, KeptFile, Origin
from guarded.errors import UnusableFile

KEPT = 5  # backups of runs
STAMP = r"(?P<at>\d{8}T\d{6})(?P<fraction>\.\d+)?Z"
MARKS = {Origin.RUN: "", Origin.BY_HAND: "by-hand.", Origin.RESTORE: "replaced."}


def stamp() -> str:
    """UTC to the microsecond, which sorts as it passes and is not given out twice."""
    return datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")


def copy_name(database: str, origin: Origin) -> str:
    return f"{database}.{MARKS[origin]}{stamp()}"


def kept_name(database: str, migration: str) -> str:
    """The name of the file for the values that a migration drops."""
    return f"{database}.kept.{stamp()}.{migration}.jsonl"


def complete(partial: Path, target: Path) -> None:
    """Give a copy its name, durably.  Raises OSError, and then leaves no copy of that name."""
    sync(partial)
    partial.rename(target)
    try:
        sync(target.parent)
    except OSError:
        target.unlink()
        raise


def sync(path: Path) -> None:
    """Wait until the file, or the names in the folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copies(folder: Path, database: str, *origins: Origin) -> list[Copy]:
    """Return this database's copies of these origins in the folder, the oldest first."""
    found = [
        Copy(file, origin, at, size)
        for origin in origins
        for file, _, at, size in _named(folder, database, re.escape(MARKS[origin]))
    ]
    return sorted(found, key=lambda copy: copy.at)


def kept_files(folder: Path, database: str) -> list[KeptFile]:
    """Return the files of dropped values of this database, the oldest first."""
    found = [
        KeptFile(file, match["migration"], at, size)
        for file, match, at, size in _named(
            folder, database, r"kept\.", r"\.(?P<migration>\w+)\.jsonl"
        )
    ]
    return sorted(found, key=lambda kept: kept.at)


def prune(folder: Path, database: str, taken: Path) -> None:
    """Remove all backups of runs on this database but the newest, of which ``taken`` is one."""
    # Whatever its name says: the clock may have been set back since the others were taken.
    others = [c for c in copies(folder, database, Origin.RUN) if c.path != taken]
    for old in others[: 1 - KEPT]:
        old.path.unlink(missing_ok=True)


def _named(
    folder: Path, database: str, mark: str, end: str = ""
) -> Iterator[tuple[Path, re.Match[str], datetime, int]]:
    """Yield the files with such a name, each with its parts, its time and its size."""
    name = re.compile(rf"{re.escape(database)}\.{mark}{STAMP}{end}")
    try:
        files = list(folder.iterdir()) if folder.is_dir() else []
    except PermissionError as exc:
        why = "may not be read by this user"
        raise UnusableFile(folder, why, "run this as the owner of the database") from exc
    for file in files:
        if match := name.fullmatch(file.name):
            with suppress(FileNotFoundError, ValueError):  # gone by now, or no time at all
                at = datetime.strptime(f"{match['at']}+0000", "%Y%m%dT%H%M%S%z")
                fraction = timedelta(seconds=float(match["fraction"] or 0))
                yield file, match, at + fraction, file.stat().st_size
