"""A transaction that uses SQLite's write lock as its lock: there is no other to clean up.

Waiting polls instead of sleeping in SQLite's busy handler, so that a signal ends it at once.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from guarded.errors import DatabaseFailed, DatabaseLocked, Refused
from guarded.patience import Patience

if TYPE_CHECKING:
    from peewee import SqliteDatabase

POLL = 0.05  # seconds
PROGRESS_STEPS = 10_000
SILENCE = 1.0  # seconds of waiting before a message
SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOCKED = re.compile(r"database (table |schema )?is locked")
Result = TypeVar("Result")
_came = threading.Event()  # a signal, since the transaction of this process began


def when_free(work: Callable[[], Result], path: Path, patience: Patience) -> Result:
    """Return what ``work`` gives as soon as SQLite lets it; it is called anew each time.

    Raises DatabaseLocked.
    """
    started = time.monotonic()
    told = False
    while True:
        try:
            return work()
        except sqlite3.OperationalError as exc:
            if not is_locked(exc):
                raise
            from guarded.backends.sqlite.processes import holders

            waited = time.monotonic() - started
            if waited >= patience.wait:
                raise DatabaseLocked(str(path), patience.wait, holders(path)) from exc
            if waited >= SILENCE and not told:
                patience.on_wait(holders(path))
                told = True
        time.sleep(min(POLL, max(0.0, patience.wait - waited)))


def is_locked(exc: Exception) -> bool:
    """Return True if SQLite says that another connection has the lock."""
    return LOCKED.match(str(exc)) is not None


@contextmanager
def transaction(
    database: SqliteDatabase, path: Path, patience: Patience, on_commit: Callable[[], None]
) -> Iterator[None]:
    """Connect, take the write lock, run the block, commit and close; on any exception roll back.

    ``on_commit`` is called before a signal can come through again.  The connection has foreign
    keys off: SQLite ignores that pragma inside a transaction, and with keys on a rebuild would fire
    ON DELETE CASCADE.  Peewee's own ``atomic()`` in the block is a savepoint.  Raises
    DatabaseLocked and DatabaseFailed.
    """
    from peewee import DatabaseError

    if not os.access(path.parent, os.W_OK):
        raise DatabaseFailed(
            str(path),
            f"the folder '{path.parent}' may not be written by this user",
            "SQLite makes its journal there: check owner and mode of the folder",
        )
    try:
        if not path.exists():
            _create(path)
        with _hearing():
            database.connect()
            connection = database.connection()
            try:
                watch_for_signals(connection)
                if connection.execute("PRAGMA foreign_keys").fetchone()[0]:
                    raise Refused("foreign keys are on, and SQLite did not let them be turned off")
                when_free(lambda: connection.execute("BEGIN IMMEDIATE"), path, patience)
                with _rolled_back_on_error(database, connection):
                    yield
                    with _uninterrupted():
                        if _came.is_set():
                            raise KeyboardInterrupt
                        when_free(lambda: connection.execute("COMMIT"), path, patience)
                        on_commit()
            finally:
                database.close()
    except (sqlite3.Error, DatabaseError, OSError) as exc:
        is_damage = "malformed" in str(exc)
        raise DatabaseFailed(str(path), str(exc), _remedy(str(exc)), is_damage=is_damage) from exc


def watch_for_signals(connection: sqlite3.Connection) -> None:
    """Let Ctrl-C interrupt a long statement.

    Python handles a signal between two bytecodes, and SQLite calls this every so many steps of its
    virtual machine.
    """
    connection.set_progress_handler(signal_came, PROGRESS_STEPS)


def signal_came() -> bool:
    """Return True if a signal came since the transaction began."""
    return _came.is_set()


@contextmanager
def _hearing() -> Iterator[None]:
    """Note each signal, besides what it does: where it comes while SQLite calls back, or where a
    statement may fail, nobody sees the exception that it raises.  Raises KeyboardInterrupt for any
    error that a signal may have caused."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _came.clear()
    before = [(n, handler) for n in SIGNALS if callable(handler := signal.getsignal(n))]
    try:
        for number, handler in before:
            if not isinstance(handler, partial):  # a transaction in another may have begun
                signal.signal(number, partial(_note, handler))
        yield
    except Exception as exc:
        if _came.is_set():
            raise KeyboardInterrupt from exc
        raise
    finally:
        _came.clear()
        for number, handler in before:
            signal.signal(number, handler)


def _note(handler: Callable[[int, Any], Any], number: int, frame: Any) -> None:
    _came.set()
    handler(number, frame)


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
    """Ignore signals in the block: the run is about to be committed, and must not say otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(n, signal.signal(n, signal.SIG_IGN)) for n in SIGNALS]
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
    return found[0] if found else "see the traceback"
