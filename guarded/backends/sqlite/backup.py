"""Complete, checked and durable copies of an SQLite database.

SQLite's backup interface (https://www.sqlite.org/backup.html) makes the copy, with what is only in
the write-ahead log; copying the file would miss that.  A copy gets its name only when it is
complete, so that a file with the name of a backup is one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote as quote_url

from guarded import copies
from guarded.backends.interface import Backup, Copy, OnProgress, Origin
from guarded.backends.sqlite import integrity
from guarded.backends.sqlite.integrity import Integrity
from guarded.errors import BackupFailed, DamagedDatabase

PAGES = 4096  # copied between two reports of progress
ABANDONED = 3600.0  # seconds since the last write to a copy that is not complete
MARGIN = 1 << 20  # bytes that stay free beside the copy


def folder_of(path: Path) -> Path:
    return path.parent / "backups"


def backups_of(path: Path) -> list[Path]:
    """Return the backups of this database, the oldest first."""
    return [copy.path for copy in copies_of(path) if copy.origin is not Origin.RESTORE]


def copies_of(path: Path) -> list[Copy]:
    """Return the backups of this database, and what ``restore`` put aside; the oldest first."""
    found = copies.copies(folder_of(path), path.name, Origin.RUN, Origin.BY_HAND)
    found += copies.copies(path.parent, path.name, Origin.RESTORE)
    return sorted(found, key=lambda copy: copy.at)


def take(
    source: sqlite3.Connection,
    path: Path,
    on_progress: OnProgress,
    *,
    deep: bool = False,
    by_hand: bool = False,
) -> Backup:
    """Back up the database into ``backups`` beside it.

    ``source`` is a connection to ``path`` outside of a transaction.  Raises BackupFailed, and then
    leaves nothing behind.
    """
    folder = folder_of(path)
    try:
        if not folder.exists():
            folder.mkdir()
            _own(folder, path, 0o700)
            copies.sync(path.parent)
    except OSError as exc:
        raise BackupFailed(path, f"the folder '{folder}' can't be made: {exc.strerror}") from exc
    for file in _files(folder):
        if file.name.startswith(f"{path.name}.") and file.name.endswith(".partial"):
            with suppress(FileNotFoundError):  # another process's, and complete by now
                # Of a killed process; one that lives writes all the time.
                if time.time() - file.stat().st_mtime > ABANDONED:
                    file.unlink()
    origin = Origin.BY_HAND if by_hand else Origin.RUN
    target = folder / copies.copy_name(path.name, origin)
    found = copy(source, target, path, on_progress, deep=deep)
    return Backup(target, found.is_whole, tuple(integrity.findings(found, "restore a backup")))


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def copy(
    source: sqlite3.Connection,
    target: Path,
    owner_of: Path,
    on_progress: OnProgress,
    *,
    deep: bool = False,
) -> Integrity:
    """Copy a database to a new file, check the copy, and make it durable.

    The file belongs to the owner of ``owner_of`` and has mode 0600.  A ``deep`` check compares
    indexes, too.  Raises BackupFailed, and DamagedDatabase for a file that is no whole SQLite
    database, and then leaves nothing behind.
    """
    source.execute("BEGIN")
    pages = source.execute("PRAGMA page_count").fetchone()[0]
    size = pages * source.execute("PRAGMA page_size").fetchone()[0]
    free = shutil.disk_usage(target.parent).free
    if free < size + MARGIN:
        raise BackupFailed(
            target, f"the copy needs {megabytes(size + MARGIN)}, and {megabytes(free)} are free"
        )
    partial = target.with_name(target.name + ".partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _own(partial, owner_of, 0o600)
        with closing(sqlite3.connect(partial, isolation_level=None)) as destination:
            # The copy has no reader yet, and is made durable as a whole below.
            destination.execute("PRAGMA synchronous = OFF")
            source.backup(
                destination,
                pages=PAGES,
                progress=lambda _, remaining, total: on_progress(total - remaining, total),
            )
        found = check(partial, deep=deep)
        if found.damage:
            raise DamagedDatabase(target, found.damage[0])
        copies.complete(partial, target)
        return found
    except (OSError, sqlite3.Error) as exc:
        failed = DamagedDatabase if "malformed" in str(exc) else BackupFailed
        raise failed(target, str(exc)) from exc
    finally:
        partial.unlink(missing_ok=True)
        Path(f"{partial}-journal").unlink(missing_ok=True)
        source.execute("COMMIT")


def check_openable(path: Path) -> str | None:
    """Return why SQLite can't open the file and read its schema; None if it can."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as exc:
        return None if "locked" in str(exc) else str(exc)
    return None


def check(path: Path, *, deep: bool = False) -> Integrity:
    """Check a file that nobody writes.  Reads all of it, changes nothing."""
    try:
        with closing(open_read_only(path, "immutable=1")) as connection:
            return integrity.check(connection.execute, deep=deep)
    except sqlite3.Error as exc:
        return Integrity(damage=(str(exc),))


def open_read_only(path: Path, *more: str) -> sqlite3.Connection:
    """``more``: parameters of SQLite's URI, https://www.sqlite.org/uri.html."""
    uri = f"file:{quote_url(str(path.absolute()))}?{'&'.join(('mode=ro', *more))}"
    return sqlite3.connect(uri, uri=True, isolation_level=None)


def megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _own(path: Path, like: Path, mode: int) -> None:
    """Give the file the mode and, if this process may, the owner of ``like``."""
    path.chmod(mode)
    status = like.stat()
    if hasattr(os, "chown") and os.geteuid() == 0:
        os.chown(path, status.st_uid, status.st_gid)
