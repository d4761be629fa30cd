"""The state of one running server: its database, what it keeps in memory, and its own threads.

Nothing here creates, alters or migrates a table of the database file.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from peewee import Database, DatabaseError

from server.answers import not_now
from server.codes import Codes
from server.db import model
from server.db.model import NonceCache, utc_now
from server.db.served import Opened, Served
from server.db.sql import moment
from server.db.troubles import BUSY, Trouble, Unusable, trouble_of
from server.mail import Mail
from server.metrics import Metrics
from server.nonces import Nonces
from server.rates import Rates
from server.readiness import COMMAND, Readiness, listed_now, look
from server.settings import Settings
from server.waiting import Waiting

log = logging.getLogger("server")
LOOK_AGAIN = 1.0  # seconds
REMEMBERED = timedelta(minutes=10)
WAITING_WRITERS = 20  # the other threads go on reading
MOVED = ("database_missing", "database_replaced")


class Server:
    """The database is open for work while it is current and whole."""

    def __init__(self, served: Served, settings: Settings) -> None:
        self.served, self.settings = served, settings
        self.listed = listed_now()  # the code beside a running process may change
        self.opened: Opened | None = None
        self._has_served = False
        self.readiness = Readiness()
        self.trouble: Trouble | None = None
        self.codes, self.mail, self.rates = Codes(), Mail(settings.mail), Rates()
        self.waiting = Waiting()
        self.nonces = Nonces(served.record)
        self.seen: dict[str, datetime] = {}  # client_id: when it last signed a request
        self.stopping = asyncio.Event()
        self.metrics = Metrics(self)
        self.on_request: Callable[[Any], None] = lambda client: None
        self.failed: str | None = None
        self.on_failure: Callable[[], None] = lambda: None
        self._writers = threading.BoundedSemaphore(WAITING_WRITERS)
        self._write_turn = threading.Lock()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    # The database.

    def look(self) -> Readiness:
        """Look at the database and its schema now, and open it when it can be used."""
        trouble = self.opened.trouble() if self.opened is not None else None
        if self.opened is not None and trouble is not None and trouble.code in MOVED:
            # First of all: nobody shall open the new file beside the log of the old one.
            self._tell(trouble)
            self.opened.leave()
            self.opened, trouble = None, None
        readiness = look(self.served, self.listed)
        if self._has_served and (missing := self.served.missing()) is not None:
            trouble = missing
        elif readiness.unreadable and trouble is None:
            trouble = self.served.damage() or Trouble("unreadable", readiness.unreadable)
        elif readiness.is_current and self.opened is None:
            trouble = self._open()
        before, self.readiness = self.readiness, readiness
        if trouble is None and not readiness.is_current and readiness.message != before.message:
            log.warning("not ready: %s", readiness.message)
        self._tell(trouble)
        return readiness

    def _open(self) -> Trouble | None:
        try:
            opened = self.served.open(timeout=self.settings.busy_timeout)
            with opened.connected() as database:
                self._remember_nonces(database)
        except Unusable as exc:
            return exc.trouble
        except DatabaseError as exc:
            why = f"'{self.served.backend}' can't be used: {exc}"
            return trouble_of(exc) or Trouble("unreadable", why)
        model.database.initialize(opened.database)
        self.opened, self._has_served = opened, True
        log.info("the database is current")
        return opened.trouble()

    def _remember_nonces(self, database: Database) -> None:
        """Of a database that was moved here without the file beside it."""
        with database.bind_ctx([NonceCache]):
            since = moment(utc_now() - REMEMBERED, database)
            recent = moment(NonceCache.created_at, database) > since
            for row in NonceCache.select().where(recent):
                self.nonces.add(row.nonce, int(row.created_at.timestamp()))

    def report(self, trouble: Trouble) -> None:
        """Tell of a trouble that a request has met; the next look decides when it is over."""
        if self.opened is not None:
            self.opened.suspect()
        self._tell(trouble)

    def _tell(self, trouble: Trouble | None) -> None:
        """One line in the log for every change."""
        before, self.trouble = self.trouble, trouble
        if trouble is not None and (before is None or before.code != trouble.code):
            log.error("%s: %s", trouble.code, trouble.message)
        elif trouble is None and before is not None:
            log.info("%s is over", before.code)

    @property
    def is_ready(self) -> bool:
        return self.trouble is None and self.opened is not None and self.readiness.is_current

    @property
    def code(self) -> str:
        """``ready``, or for programs the reason why it is not."""
        if self.trouble is not None:
            return self.trouble.code
        if self.readiness.contradiction:
            return "inconsistent_history"
        return "ready" if self.is_ready else "not_ready"

    def require_ready(self) -> Opened:
        """Raises Unusable or Refusal (503) while the database can't be used."""
        if self.trouble is not None:
            raise Unusable(self.trouble)
        if self.opened is None or not self.readiness.is_current:
            pending = list(self.readiness.pending)
            raise not_now(self.code, self.readiness.message, pending=pending, command=COMMAND)
        return self.opened

    @contextmanager
    def reading(self) -> Iterator[Database]:
        """The database, with a connection for this thread.

        Not a dependency of FastAPI's: that may run in another thread than the route, and a
        connection of Peewee's belongs to its thread.
        """
        with self.require_ready().connected() as database:
            yield database

    @contextmanager
    def writing(self) -> Iterator[Database]:
        """One transaction that writes.  Raises Unusable when it is not its turn in time.

        Threads take turns: SQLite has one writer, and lets the others sleep and try again.
        """
        opened = self.require_ready()
        if not self._writers.acquire(blocking=False):
            raise Unusable(BUSY)
        try:
            if not self._write_turn.acquire(timeout=self.settings.busy_timeout):
                raise Unusable(BUSY)
            try:
                with opened.writing() as database:
                    yield database
            finally:
                self._write_turn.release()
        finally:
            self._writers.release()

    def use_nonce(self, nonce: str, created: int, *, is_write: bool) -> bool:
        """Use up the nonce of a verified request; False if it was used before.

        A read leaves the database alone, so that it does not wait for whoever writes.
        """
        if not self.nonces.use(nonce, created):
            return False
        if is_write:
            moment = datetime.fromtimestamp(created, utc_now().tzinfo)
            with self.writing():
                NonceCache.insert(nonce=nonce, created_at=moment).on_conflict_ignore().execute()
        return True

    # The process.

    def start(self) -> None:
        self.mail.start()

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
                except (DatabaseError, Unusable) as exc:
                    if trouble_of(exc) is None:
                        log.exception("%s failed", name)
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
        self.mail.stop()
        self.nonces.close()
        if self.opened is not None:
            self.opened.close()
        model.memory_database.close()
