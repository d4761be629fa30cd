"""The database file that is being served: whether it is still the one that was opened, and whole.

A file that was replaced is never written with the log of the one before.  SQLite finds a log by its
name alone, so whoever opens the new file beside the old log would mix the two.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guarded.backends.interface import Inspector, Patience
from guarded.backends.sqlite.connect import SqliteFile, locate
from guarded.errors import DatabaseLocked, UnusableDatabase
from server.db.connection import database_to_serve
from server.db.folders import ClosedFolder, is_open, make_private
from server.db.served import AlreadyServed
from server.db.troubles import Trouble, Unusable, trouble_of
from server.settings import DEFAULT_DATABASE

if TYPE_CHECKING:
    from peewee import SqliteDatabase

LOG_SUFFIXES = ("-wal", "-shm")
LEAST_SPACE = 1 << 20  # bytes that have to be free beside the database
# A whole check reads every page.  It runs each second on a small file, and takes two percent of the
# time at most on a large one.
CHECK_SHARE = 50

Identity = tuple[int, int]


class ServedFile:
    """An SQLite file, see ``server.db.served.Served``."""

    version = ("sqlite", sqlite3.sqlite_version)
    errors = sqlite3.DatabaseError

    def __init__(self, location: str) -> None:
        self.backend = locate(location)
        self._path = self.backend.path

    @property
    def record(self) -> Path:
        return self._path.with_name(f"{self._path.name}.nonces")

    def prepare(self) -> str | None:
        self.backend.check()
        folder = self._path.parent
        if not is_open(folder):
            return str(ClosedFolder(folder))
        if folder == DEFAULT_DATABASE.parent:
            make_private(folder)
        return None

    @contextmanager
    def only_process(self) -> Iterator[None]:
        """Hold a lock that the system drops with the process.

        Beside the database and not on it: closing a file drops all of a process's locks on it, and
        SQLite's with them.  The lock needs no right to write, so that a file that root made first
        is good for every user.
        """
        path = self._path.with_name(f"{self._path.name}.serving")
        with suppress(FileExistsError):
            os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o644))
            path.chmod(0o644)  # whatever the umask is
        descriptor = os.open(path, os.O_RDONLY)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise AlreadyServed(self._path) from exc
            yield
        finally:
            os.close(descriptor)

    def reading(self, patience: Patience) -> AbstractContextManager[Inspector | None]:
        return self.backend.reading(patience)

    def open(self, *, timeout: float) -> OpenedFile:
        return OpenedFile(self.backend, timeout=timeout)

    def missing(self) -> Trouble | None:
        return None if self._path.exists() else missing(self.backend)

    def damage(self) -> Trouble | None:
        return damage(self.backend)

    def space(self) -> int:
        return shutil.disk_usage(self._path.parent).free


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

    @contextmanager
    def writing(self) -> Iterator[SqliteDatabase]:
        with self.connected() as database, database.atomic("IMMEDIATE"):
            yield database
            self.check_place()  # an acknowledged write is in the file that is there

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
