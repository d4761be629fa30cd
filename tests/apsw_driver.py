"""The SQLite that comes with apsw, newer than Python's, behind the interface of Python's driver.

With it the tests reach SQLite versions and, through apsw's virtual file systems, faults of the disk
that Python's own driver can't.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
from peewee import SqliteDatabase

from guarded.backends.sqlite.connect import SqliteFile

VERSION = tuple(map(int, apsw.sqlite_lib_version().split(".")))


@contextmanager
def translated() -> Iterator[None]:
    """apsw's exceptions as those of sqlite3, with SQLite's own words."""
    try:
        yield
    except apsw.ConstraintError as exc:
        raise sqlite3.IntegrityError(_words(exc)) from exc
    except apsw.InterruptError as exc:
        raise sqlite3.OperationalError("interrupted") from exc
    except (apsw.NotADBError, apsw.CorruptError, apsw.AuthError) as exc:
        raise sqlite3.DatabaseError(_words(exc)) from exc
    except apsw.Error as exc:
        raise sqlite3.OperationalError(_words(exc)) from exc


def _words(exc: apsw.Error) -> str:
    names = {apsw.BusyError: "database is locked", apsw.FullError: "database or disk is full"}
    return names.get(type(exc), str(exc))


class Cursor:
    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self.rowcount = -1

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        with translated():
            self._cursor.execute(sql, tuple(params))
        if sql.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE", "REPLAC"):
            self.rowcount = self._connection.changes()
        return self

    def fetchone(self) -> Any:
        with translated():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with translated():
            rows = self._cursor.fetchall()
        if self.rowcount >= 0:  # of RETURNING: all is done once all is fetched
            self.rowcount = self._connection.changes()
        return rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.fetchall())

    def close(self) -> None:
        self._cursor.close()

    @property
    def lastrowid(self) -> int:
        return self._connection.last_insert_rowid()

    @property
    def description(self) -> Any:
        return self._cursor.description


class Connection:
    def __init__(self, path: Path | str, vfs: str | None = None, **options: int) -> None:
        with translated():
            self.apsw = apsw.Connection(str(path), vfs=vfs, **options)

    def cursor(self) -> Cursor:
        return Cursor(self.apsw)

    def execute(self, sql: str, params: Sequence[Any] = ()) -> Cursor:
        return self.cursor().execute(sql, params)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> Cursor:
        cursor, changed = Cursor(self.apsw), 0
        for row in rows:
            changed += cursor.execute(sql, row).rowcount
        cursor.rowcount = changed
        return cursor

    @property
    def in_transaction(self) -> bool:
        return self.apsw.in_transaction

    def set_authorizer(self, function: Callable[..., int]) -> None:
        self.apsw.set_authorizer(function)

    def set_progress_handler(self, function: Callable[[], int] | None, steps: int) -> None:
        self.apsw.set_progress_handler(function and (lambda: bool(function())), steps)

    def create_function(self, name: str, count: int, function: Any, **options: Any) -> None:
        self.apsw.create_scalar_function(name, function, count, **options)

    def create_collation(self, name: str, function: Any) -> None:
        self.apsw.create_collation(name, function)

    def backup(self, target: Connection, *, pages: int = -1, progress: Any = None) -> None:
        with translated(), target.apsw.backup("main", self.apsw, "main") as copy:
            while not copy.done:
                copy.step(pages)
                if progress is not None:
                    progress(0, copy.remaining, copy.page_count)

    def close(self) -> None:
        with translated():
            self.apsw.close()


class Database(SqliteDatabase):
    """Peewee on apsw's SQLite."""

    server_version = VERSION

    def __init__(self, path: Path | str, vfs: str | None = None, **options: Any) -> None:
        self.vfs = vfs
        super().__init__(str(path), **options)

    def _connect(self) -> Connection:
        connection = Connection(self.database, self.vfs)
        self._add_conn_hooks(connection)
        return connection


class File(SqliteFile):
    """A database file that is opened for writing by apsw, through a virtual file system.

    ``cache_size``: pages that SQLite holds back; with few it writes in the middle of a run.
    """

    def __init__(self, path: Path, vfs: str | None = None, cache_size: int = -2000) -> None:
        super().__init__(path)
        self.vfs, self.cache_size = vfs, cache_size

    def database_to_migrate(self) -> SqliteDatabase:
        return Database(self.path, self.vfs, pragmas={"foreign_keys": 0})
