"""One transaction with SQLite's write lock as its lock: nothing else to take or to clean up."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import DatabaseError, SqliteDatabase

from server.migrations.engine.errors import DatabaseFailed, Refused
from server.migrations.engine.waiting import OnWait, when_free


@contextmanager
def transaction(
    database: SqliteDatabase,
    path: Path,
    wait: float,
    on_wait: OnWait,
    on_commit: Callable[[], None],
) -> Iterator[None]:
    """Connect, take the write lock, run the block, commit and close; on any exception roll back.

    ``wait``: seconds for the lock; ``on_wait`` is called once, with the holders, when it takes
    long; ``on_commit`` before a signal can come through again.

    The connection has foreign keys off: SQLite ignores that pragma inside a transaction, and with
    keys on a rebuild would fire ON DELETE CASCADE.  Peewee's own ``atomic()`` in the block is a
    savepoint.  Raises DatabaseLocked and DatabaseFailed.
    """
    if not os.access(path.parent, os.W_OK):
        raise DatabaseFailed(
            str(path),
            f"the folder '{path.parent}' may not be written by this user",
            "SQLite makes its journal there: check owner and mode of the folder",
        )
    try:
        if not path.exists():
            _create(path)
        database.connect()
        connection = database.connection()
        try:
            if connection.execute("PRAGMA foreign_keys").fetchone()[0]:
                raise Refused("foreign keys are on, and SQLite did not let them be turned off")
            when_free(lambda: connection.execute("BEGIN IMMEDIATE"), path, wait, on_wait)
            with _rolled_back_on_error(database, connection):
                yield
                with _uninterrupted():
                    when_free(lambda: connection.execute("COMMIT"), path, wait, on_wait)
                    on_commit()
        finally:
            database.close()
    except (sqlite3.Error, DatabaseError, OSError) as exc:
        raise DatabaseFailed(str(path), str(exc), _remedy(str(exc))) from exc


def _create(path: Path) -> None:
    """An empty file; made by root, it belongs to the owner of its folder, who has to use it."""
    path.touch()
    if hasattr(os, "chown") and os.geteuid() == 0:
        folder = path.parent.stat()
        os.chown(path, folder.st_uid, folder.st_gid)


@contextmanager
def _rolled_back_on_error(
    database: SqliteDatabase, connection: sqlite3.Connection
) -> Iterator[None]:
    database.push_transaction(database.transaction())
    try:
        yield
    except BaseException:
        # On a full disk SQLite has ended the transaction itself; "cannot rollback" would then
        # take the place of the cause.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    finally:
        database.pop_transaction()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A signal in here is ignored: the run is as good as done, and must not say otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(n, signal.signal(n, signal.SIG_IGN)) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


REMEDIES = {
    "readonly": "check owner and mode of the file, and whether its disk is mounted read-only",
    "full": "free some space on the disk",
    "unable to open": "check owner and mode of the file and its folder",
    "malformed": "the file is damaged: restore a backup",
    "not a database": "name another file",
    "I/O": "check the disk",
}


def _remedy(message: str) -> str:
    found = [remedy for words, remedy in REMEDIES.items() if words in message]
    return found[0] if found else "see -v for the traceback"
