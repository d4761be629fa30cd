"""How the server opens its databases: the file while it serves, and the one in memory."""

from __future__ import annotations

import sqlite3
from urllib.parse import quote

from peewee import SqliteDatabase

from guarded.backends.sqlite.connect import SqliteFile


def database_to_serve(
    file: SqliteFile, *, timeout: float
) -> tuple[SqliteDatabase, sqlite3.Connection]:
    """Unconnected, with foreign keys on, and never creating the file; and an open connection.

    A write-ahead log lets requests read while a migration writes; it is a property of the file and
    stays when it is set.  The connection is to be kept as long as the database is used, for whoever
    closes the last one has to take the log into the file.  Raises sqlite3.Error.
    """
    uri = f"file:{quote(str(file.path.absolute()))}?mode=rw"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=timeout, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
    except sqlite3.Error:
        connection.close()
        raise
    return SqliteDatabase(uri, uri=True, pragmas={"foreign_keys": 1}, timeout=timeout), connection


def shared_memory(name: str) -> SqliteDatabase:
    """A database in memory that every thread of this process sees, and that ends with it.

    ``:memory:`` would be another database for each connection, and Peewee keeps a connection per
    thread.  SQLite's memdb file system shares one by name (https://www.sqlite.org/src/doc/trunk/
    src/memdb.c) with the locks and the busy timeout of a file; it lives as long as any connection,
    so one is kept open beside those of the threads.
    """

    class SharedMemoryDatabase(SqliteDatabase):
        def __init__(self, uri: str) -> None:
            super().__init__(uri, uri=True, pragmas={"foreign_keys": 1})
            self.anchor = sqlite3.connect(uri, uri=True, check_same_thread=False)

    return SharedMemoryDatabase(f"file:/{quote(name)}?vfs=memdb")
