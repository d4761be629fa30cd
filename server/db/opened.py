"""The database file that is being served: whether it is still the one that was opened, and whole.

A file that was replaced is never written with the log of the one before.  SQLite finds a log by its
name alone, so whoever opens the new file beside the old log would mix the two.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import DatabaseLocked, UnusableDatabase
from server.db.connection import database_to_serve

if TYPE_CHECKING:
    from peewee import SqliteDatabase

SQLITE_VERSION = sqlite3.sqlite_version
LOG_SUFFIXES = ("-wal", "-shm")
LEAST_SPACE = 1 << 20  # bytes that have to be free beside the database
# A whole check reads every page.  It runs each second on a small file, and takes two percent of the
# time at most on a large one.
CHECK_SHARE = 50

Identity = tuple[int, int]
SqliteError = sqlite3.DatabaseError  # for those who catch what a connection raises


class Trouble(NamedTuple):
    """Why the database can't be used now; ``code`` is for programs."""

    code: str
    message: str


class Unusable(Exception):
    """The database can't be used; ``trouble`` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.message)
        self.trouble = trouble


class OpenedFile:
    """A database file that is open for work.  Raises Unusable when it can't be opened."""

    def __init__(self, file: SqliteFile, *, timeout: float) -> None:
        self.file = file
        make_private(file.path)
        self._identity = identity(file.path)
        self.database: SqliteDatabase
        try:
            self.database, self._anchor = database_to_serve(file, timeout=timeout)
        except sqlite3.Error as exc:
            raise Unusable(_unopened(file, exc)) from exc
        self._logs = {path: identity(path) for path in logs_of(file.path)}
        self._check_again = 0.0

    @contextmanager
    def connected(self) -> Iterator[SqliteDatabase]:
        """A connection for this thread.  Raises Unusable when another file is there by now."""
        with self.database.connection_context():
            self.check_place()
            # SQLite opens the file at once, and its log, by name, at the first question.  With the
            # same file there before and after, both are those of this file.
            self.database.execute_sql("SELECT 1 FROM sqlite_master LIMIT 1")
            self.check_place()
            yield self.database

    def check_place(self) -> None:
        """Raise Unusable unless the opened file is at its path.  Costs one look at the folder."""
        if identity(self.file.path) != self._identity:
            raise Unusable(self._misplaced())

    def trouble(self) -> Trouble | None:
        """The reason why the file can't be used now."""
        if identity(self.file.path) != self._identity:
            return self._misplaced()
        return self._damage() or full_disk(self.file.path)

    def suspect(self) -> None:
        """Make the next ``trouble`` check the whole file."""
        self._check_again = 0.0

    def leave(self) -> None:
        """Stop using a file that is no longer at its path; take its own log along.

        The connection stays open, on a file that may have no name.  Closing it would delete the log
        at the path, which by now may be another file's.
        """
        for path, was in self._logs.items():
            if was is not None and identity(path) == was:
                path.unlink(missing_ok=True)
        with suppress(sqlite3.Error):
            self._anchor.execute("PRAGMA busy_timeout = 500")  # a reader may go on with the old one
            self._anchor.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def close(self) -> None:
        """Take the write-ahead log into the file, and close it."""
        if identity(self.file.path) != self._identity:
            self.leave()
            return
        with suppress(sqlite3.Error):
            self._anchor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._anchor.close()

    def _misplaced(self) -> Trouble:
        if identity(self.file.path) is None:
            return missing(self.file)
        return Trouble("database_replaced", f"'{self.file}' was replaced by another file")

    def _damage(self) -> Trouble | None:
        if time.monotonic() < self._check_again:
            return None
        started = time.monotonic()
        found = damage(self.file)
        spent = time.monotonic() - started
        self._check_again = 0.0 if found else started + spent * CHECK_SHARE
        return found


def missing(file: SqliteFile) -> Trouble:
    return Trouble("database_missing", f"'{file}' was removed; put it back")


def _unopened(file: SqliteFile, exc: sqlite3.Error) -> Trouble:
    trouble = trouble_of(exc)
    if trouble is not None and trouble.code != "unreadable":
        return trouble
    why = f"'{file}' can't be opened for writing: {exc}; check owner and mode"
    return Trouble("unreadable", why)


def damage(file: SqliteFile) -> Trouble | None:
    """Read every page of the file as it is on the disk."""
    try:
        with file.connected(Patience(wait=0.5)) as connection:
            if connection is None:
                return None
            if not file.path.stat().st_size and not _has_pages(connection):
                return _damaged(file, "it was cut to 0 bytes")
            (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            return None if said == "ok" else _damaged(file, str(said))
    except UnusableDatabase as exc:
        reason = trouble_of(exc.__cause__) if exc.__cause__ is not None else None
        return Trouble(reason.code if reason is not None else "unreadable", str(exc))
    except DatabaseLocked as exc:
        return Trouble("busy", str(exc))
    except sqlite3.DatabaseError as exc:
        return trouble_of(exc)
    except OSError as exc:
        return Trouble("unreadable", f"'{file}' can't be read: {exc.strerror}")


def _has_pages(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA page_count").fetchone()[0])


def _damaged(file: SqliteFile, how: str) -> Trouble:
    first = how.strip().replace("\n", " ")[:200]
    return Trouble(
        "database_damaged",
        f"'{file}' is damaged: {first}; stop the server, and restore a backup: "
        "migrate.py restore FILE",
    )


def trouble_of(exc: BaseException) -> Trouble | None:
    """The trouble that an error of SQLite tells of; None for an error in our SQL.

    When a COMMIT fails, SQLite may have rolled back already, and Peewee's own ROLLBACK fails, too:
    the reason is then in the error before.
    """
    found = _trouble_in(str(exc))
    if found is None and exc.__context__ is not None:
        return trouble_of(exc.__context__)
    return found


def _trouble_in(said: str) -> Trouble | None:
    if "locked" in said or "busy" in said:
        return Trouble("busy", "another process is writing to the database; try again")
    if "full" in said:
        return Trouble("disk_full", "the disk is full; nothing was written; make room")
    if "malformed" in said or "not a database" in said or "corrupt" in said:
        return Trouble("database_damaged", f"the database is damaged: {said}; restore a backup")
    if "no such table" in said or "no such column" in said or "has no column" in said:
        return Trouble("not_ready", "the schema of the database has just changed; try again")
    if "disk I/O error" in said:
        return Trouble("disk_error", "the disk under the database fails; see the system's log")
    if "readonly" in said or "unable to open" in said:
        return Trouble("unreadable", f"the database can't be used: {said}; check owner and mode")
    return None


def full_disk(path: Path) -> Trouble | None:
    """The disk has less room than a few writes take."""
    with suppress(OSError):
        if shutil.disk_usage(path.parent).free < LEAST_SPACE:
            return Trouble("disk_full", f"the disk under '{path.parent}' is full; make room on it")
    return None


def identity(path: Path) -> Identity | None:
    """Device and inode of a file; None when it can't be found."""
    try:
        found = os.stat(path)  # noqa: PTH116  (twice as fast, and it runs twice a request)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def logs_of(path: Path) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in LOG_SUFFIXES]


def make_private(path: Path) -> None:
    """Close a file to everybody but its owner, where this user may do that."""
    with suppress(OSError):
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            path.chmod(mode & 0o700)


def write_private(path: Path, text: str) -> None:
    """Put a whole file of mode 0600 in the place of ``path``.

    Written as root, it goes to the owner of the folder, so that the server may run as that user
    later.
    """
    staging = path.with_name(f"{path.name}.new")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        if os.geteuid() == 0:
            folder = path.parent.stat()
            os.fchown(descriptor, folder.st_uid, folder.st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    staging.replace(path)
