"""From a URL or a path to an open database, and every pragma that is set on one.

A reader never creates, recovers or locks the file for writing where SQLite lets it do without.
"""

from __future__ import annotations

import os
import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from peewee import SqliteDatabase

# STRICT, DROP COLUMN and the table list pragma: nothing older can keep what a rebuild must keep.
OLDEST_SQLITE = (3, 37, 0)
WAL_HEADER = b"\x02\x02"  # bytes 18 and 19 of the file, https://www.sqlite.org/fileformat.html


class UnusableDatabase(Exception):
    """The database can't be opened as it is; says why and what to do, in one line."""

    def __init__(self, where: str | Path, why: str, remedy: str) -> None:
        super().__init__(f"'{where}' {why}; {remedy}")
        self.where, self.why, self.remedy = str(where), why, remedy


class SqliteFile:
    """An SQLite file that may not exist yet."""

    # For a run, in KiB with SQLite's minus.  Whenever its cache is full, SQLite syncs the journal,
    # and its 2 MB by default are full several hundred times in a run on a million rows.
    cache_size = -16_000

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    @contextmanager
    def reading(self, *, timeout: float = 5.0) -> Iterator[sqlite3.Connection | None]:
        """A read-only connection, or None while there is no file.

        Takes no write lock and changes no byte, except that SQLite first has to undo what a killed
        process left in a hot journal.  Raises UnusableDatabase, and SQLite's own OperationalError
        when another process keeps readers out for ``timeout`` seconds, as a large write does.
        """
        self.check()
        if not self.path.exists():
            yield None
            return
        connection = self._open_for_reading(timeout)
        try:
            yield connection
        finally:
            connection.close()

    def database_to_migrate(self) -> SqliteDatabase:
        """Unconnected, in autocommit, with foreign keys off; it does not wait for a lock."""
        from peewee import SqliteDatabase

        self.check()
        return SqliteDatabase(str(self.path), pragmas={"foreign_keys": 0}, timeout=0)

    def database_to_serve(self, *, timeout: float) -> tuple[SqliteDatabase, sqlite3.Connection]:
        """Unconnected, with foreign keys on, and never creating the file; and an open connection.

        A write-ahead log lets requests read while a migration writes; it is a property of the file
        and stays when it is set.  The connection is to be kept as long as the database is used, for
        whoever closes the last one has to take the log into the file.
        """
        from peewee import SqliteDatabase

        uri = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        connection = sqlite3.connect(
            uri, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        except sqlite3.Error:
            connection.close()
            raise
        return SqliteDatabase(
            uri, uri=True, pragmas={"foreign_keys": 1}, timeout=timeout
        ), connection

    def at(self, path: Path) -> SqliteFile:
        """Another file of the same kind."""
        return SqliteFile(path)

    def check(self) -> None:
        """Raise UnusableDatabase when no database can be here."""
        if sqlite3.sqlite_version_info < OLDEST_SQLITE:
            oldest = ".".join(map(str, OLDEST_SQLITE))
            raise UnusableDatabase(
                self.path,
                f"needs SQLite {oldest} or newer, and this Python has {sqlite3.sqlite_version}",
                "use a newer Python",
            )
        try:
            mode = self.path.stat().st_mode
        except FileNotFoundError:
            if not self.path.parent.is_dir():
                raise UnusableDatabase(
                    self.path,
                    f"can't be there: the folder '{self.path.parent}' does not exist",
                    "create the folder, or name another file",
                ) from None
        except OSError as exc:
            raise UnusableDatabase(
                self.path, f"can't be reached: {exc.strerror}", "name another file"
            ) from exc
        else:
            if stat.S_ISDIR(mode):
                raise UnusableDatabase(self.path, "is a directory", "name the file in it")
            if not stat.S_ISREG(mode):
                raise UnusableDatabase(self.path, "is no regular file", "name another file")

    def _open_for_reading(self, timeout: float) -> sqlite3.Connection:
        try:
            return self._probe("mode=ro", timeout)
        except sqlite3.OperationalError as refused:
            if "locked" in str(refused):
                raise
            for mode in self._other_modes():
                try:
                    return self._probe(mode, timeout)
                except sqlite3.OperationalError:
                    continue
            raise self._unreadable(refused) from refused

    def _other_modes(self) -> list[str]:
        """A hot journal, or a write-ahead log without its index, has to be recovered by a
        connection that may write.  Without permission to write, a WAL database whose log is empty
        can be read as a file that nobody changes."""
        if os.access(self.path, os.W_OK):
            return ["mode=rw"]
        log = self.path.with_name(self.path.name + "-wal")
        is_logged = log.exists() and log.stat().st_size
        return ["mode=ro&immutable=1"] if self._is_wal() and not is_logged else []

    def _probe(self, mode: str, timeout: float) -> sqlite3.Connection:
        uri = f"file:{quote(str(self.path.absolute()))}?{mode}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=timeout)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            raise
        except sqlite3.DatabaseError as exc:
            connection.close()
            raise self._unreadable(exc) from exc
        return connection

    def _is_wal(self) -> bool:
        # Closing a file drops all locks that this process has on it, those of SQLite included
        # (https://www.sqlite.org/howtocorrupt.html, section 2.2): so only where it may not write.
        try:
            with self.path.open("rb") as file:
                return file.read(20)[18:] == WAL_HEADER
        except OSError:
            return False

    def _unreadable(self, exc: sqlite3.Error) -> UnusableDatabase:
        if "not a database" in str(exc):
            why, remedy = "is not an SQLite database", "name another file; this one was not touched"
        elif "malformed" in str(exc):
            why, remedy = f"is damaged: {exc}", "restore a backup: migrate.py restore FILE"
        elif not os.access(self.path, os.R_OK):
            why, remedy = "may not be read by this user", "check its owner and mode"
        else:
            why = f"can't be read: {exc}"
            remedy = "check the owner and mode of the file, its folder and its -wal and -shm files"
        return UnusableDatabase(self.path, why, remedy)


def locate(location: str) -> SqliteFile:
    """The SQLite file that a URL (``sqlite:///relative``, ``sqlite:////absolute``) or path names.

    Of a symbolic link, the file that it points at: what lies beside that belongs to it.  Raises
    UnusableDatabase for any other scheme and for a database in memory, which would be gone with the
    process.
    """
    scheme, separator, rest = location.partition("://")
    if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        if scheme.lower() != "sqlite":
            raise UnusableDatabase(
                f"{scheme}://…",  # the rest may hold a password
                "names a kind of database that is not supported",
                "give a path, or sqlite:///relative/path or sqlite:////absolute/path",
            )
        if not rest.startswith("/"):
            raise UnusableDatabase(
                location, "names a host", "SQLite has none: write sqlite:///relative/path"
            )
        location = unquote(rest[1:])
    if location in ("", ":memory:"):
        raise UnusableDatabase(
            location or "sqlite://", "names no file", "give the path of the database file"
        )
    path = Path(location).expanduser()
    return SqliteFile(Path(os.path.realpath(path)) if path.is_symlink() else path)


def shared_memory(name: str) -> SqliteDatabase:
    """A database in memory that every thread of this process sees, and that ends with it.

    ``:memory:`` would be another database for each connection, and Peewee keeps a connection per
    thread.  SQLite's memdb file system shares one by name (https://www.sqlite.org/src/doc/trunk/
    src/memdb.c) with the locks and the busy timeout of a file; it lives as long as any connection,
    so one is kept open beside those of the threads.
    """
    from peewee import SqliteDatabase

    class SharedMemoryDatabase(SqliteDatabase):
        def __init__(self, uri: str) -> None:
            super().__init__(uri, uri=True, pragmas={"foreign_keys": 1})
            self.anchor = sqlite3.connect(uri, uri=True, check_same_thread=False)

    return SharedMemoryDatabase(f"file:/{quote(name)}?vfs=memdb")
