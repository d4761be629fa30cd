"""What one running server knows: its database, whether that is current, and its own threads.

Nothing here creates, alters or migrates a table of the database file.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from peewee import SqliteDatabase

from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import UnusableDatabase
from server.db import model
from server.db.connection import database_to_serve
from server.readiness import Readiness, look
from server.settings import Settings

log = logging.getLogger("server")
LOOK_AGAIN = 1.0  # seconds


class AlreadyServed(Exception):
    """Another process serves this database."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"another process serves '{path}' already; guests live in the memory of one process, "
            "so start one worker, and stop the other server first"
        )


class Server:
    """The database is open for work while it is current."""

    def __init__(self, file: SqliteFile, settings: Settings) -> None:
        self.file, self.settings = file, settings
        self.database: SqliteDatabase | None = None
        self._connection: Any = None
        self.readiness = Readiness()
        self.failed: str | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def look(self) -> Readiness:
        """Look at the schema now, and open the database when it is current."""
        readiness = look(self.file)
        if readiness.is_current and self.database is None:
            try:
                self._open()
            except UnusableDatabase as exc:
                readiness = replace(readiness, unreadable=str(exc))
        self.readiness = readiness
        return readiness

    def _open(self) -> None:
        timeout = self.settings.busy_timeout
        database, self._connection = database_to_serve(self.file, timeout=timeout)
        model.database.initialize(database)
        self.database = database
        log.info("the database is current")

    def fail(self, why: str) -> None:
        """The server has to end: say why, once it has."""
        self.failed = why
        self.on_failure()

    def every(self, seconds: float, work: Callable[[], None], name: str) -> None:
        """Do the work again and again in a thread of its own, until ``stop``."""

        def loop() -> None:
            while not self._stop.wait(seconds):
                try:
                    work()
                except Exception:  # the next round may do better; this one is in the log
                    log.exception("%s failed", name)

        thread = threading.Thread(target=loop, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        """End the threads, take the write-ahead log into the file, and close the database."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        if self._connection is not None:
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._connection.close()
        model.memory_database.close()


@contextmanager
def only_process(file: SqliteFile) -> Iterator[None]:
    """Hold a lock that the system drops with the process.  Raises AlreadyServed.

    Beside the database and not on it: closing a file drops all of a process's locks on it, and
    SQLite's with them.
    """
    path = file.path.with_name(f"{file.path.name}.serving")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise AlreadyServed(file.path) from exc
        yield
    finally:
        os.close(descriptor)
