"""The PostgreSQL database that is being served.

Whoever serves it holds an advisory lock of one session, which ends with the process or with the
connection.  A connection that breaks, as in a fail-over, is no end: what comes next opens another.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from peewee import DatabaseError

from guarded.backends.interface import Inspector as AnyInspector
from guarded.backends.postgresql import connect as postgresql
from guarded.backends.postgresql.connect import PostgresqlServer
from guarded.backends.postgresql.connection import Connection
from guarded.backends.postgresql.database import Database
from guarded.backends.postgresql.inspect import Inspector
from guarded.errors import UnusableDatabase
from guarded.patience import Patience
from server.db.folders import ClosedFolder, is_open
from server.db.served import AlreadyServed
from server.db.troubles import Trouble, Unusable, trouble_of, unreachable
from server.settings import data_folder

MOST_IDLE = 20  # connections that are kept for the next request
LOCK_CLASS = 1835365481  # "meeti" as a number; the second number stands for the schema
LOCK = f"SELECT pg_try_advisory_lock({LOCK_CLASS}, hashtext(current_schema()))"
# A machine that is gone says nothing, so that we have to ask.
PARAMETERS = {
    "application_name": "meeting-server",
    "connect_timeout": "5",
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}
STANDBY = "it is a standby; waiting for its primary"
IS_STANDBY = "SELECT pg_is_in_recovery()"


class ServedDatabase:
    """A database on a PostgreSQL server, see ``server.db.served.Served``."""

    errors = psycopg.Error

    def __init__(self, location: str) -> None:
        folder = data_folder()
        found = postgresql.locate(location, folder=folder / "backups")
        self.backend = found.at(**{**PARAMETERS, **found.parameters})
        self.record = folder / f"{self.backend.file_name}.nonces"
        self._version = "unknown"
        self._holder: Connection | None = None
        self._trouble: Trouble | None = None
        self._is_serving = False

    @property
    def version(self) -> tuple[str, str]:
        return "postgresql", self._version

    def prepare(self) -> str | None:
        folder = self.record.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return None if is_open(folder) else str(ClosedFolder(folder))

    @contextmanager
    def only_process(self) -> Iterator[None]:
        """Take the lock, or later, if the server can't be reached now."""
        self._is_serving = True
        with suppress(UnusableDatabase, psycopg.Error):
            self._hold()
        try:
            yield
        finally:
            self._is_serving = False
            self._let_go()

    @contextmanager
    def reading(self, patience: Patience) -> Iterator[AnyInspector | None]:
        """While it is served, by the session that has the lock: without that nothing is served."""
        if not self._is_serving:
            with self.backend.reading(patience) as inspector:
                yield inspector
            return
        self._trouble = None
        try:
            connection = self._hold()
            if connection.execute(IS_STANDBY).fetchall()[0][0]:
                raise UnusableDatabase(str(self.backend), "takes no writes", STANDBY)
            yield Inspector(connection)
        except AlreadyServed as exc:
            # Perhaps our own session of before, which the server has not given up yet.
            self._trouble = Trouble("fault", str(exc))
            raise UnusableDatabase(str(self.backend), "is served by another process", "") from exc
        except UnusableDatabase as exc:
            self._trouble = unreachable(f"{exc.where} {exc.why}; {exc.remedy}")
            self._let_go()
            raise
        except psycopg.Error as exc:
            self._trouble = trouble_of(exc)
            self._let_go()
            raise

    def open(self, *, timeout: float) -> OpenedDatabase:
        return OpenedDatabase(self.backend, timeout)

    def missing(self) -> Trouble | None:
        """None: a server that does not answer is not a database that is gone."""
        return None

    def damage(self) -> Trouble | None:
        return self._trouble

    def space(self) -> int | None:
        """None: the disk is another machine's."""
        return None

    def _hold(self) -> Connection:
        """The session with the lock.  Raises AlreadyServed and UnusableDatabase."""
        if self._holder is None or self._holder.closed:
            connection = self.backend.connect()
            try:
                connection.execute("SET default_transaction_read_only = on")
                if not connection.execute(LOCK).fetchall()[0][0]:
                    raise AlreadyServed(self.backend)
            except BaseException:
                connection.close()
                raise
            self._holder = connection
            self._version = connection.info.parameter_status("server_version") or "unknown"
        return self._holder

    def _let_go(self) -> None:
        if self._holder is not None:
            self._holder.close()
            self._holder = None


class Pool(Database):
    """Peewee's database; a connection that is closed waits for the next who wants one."""

    def __init__(self, server: PostgresqlServer, timeout: float) -> None:
        self._server, self._lock_timeout = server, round(timeout * 1000)
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        super().__init__(server.parameters["dbname"], self._take)

    def drop_idle(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> Connection:
        while True:
            with self._guard:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._opened()
            with suppress(psycopg.Error):
                connection.execute("SELECT 1")  # it may be from before a fail-over
                return connection
            connection.close()

    def _opened(self) -> Connection:
        connection = self._server.connect()
        connection.execute(f"SET lock_timeout = {self._lock_timeout}")
        connection.execute("SET TimeZone = 'UTC'")
        return connection

    def _close(self, connection: Connection) -> None:
        is_good = connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE
        with self._guard:
            if is_good and len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()


class OpenedDatabase:
    """See ``server.db.served.Opened``."""

    def __init__(self, server: PostgresqlServer, timeout: float) -> None:
        self.database = Pool(server, timeout)

    @contextmanager
    def connected(self) -> Iterator[Pool]:
        try:
            self.database.connect()
        except UnusableDatabase as exc:
            raise Unusable(unreachable(f"'{exc.where}' {exc.why}")) from exc
        try:
            yield self.database
        finally:
            self.database.close()

    @contextmanager
    def writing(self) -> Iterator[Pool]:
        with self.connected() as database, database.atomic():
            yield database

    def trouble(self) -> Trouble | None:
        try:
            with self.connected() as database:
                ((is_standby,),) = database.execute_sql(IS_STANDBY).fetchall()
        except Unusable as exc:
            return exc.trouble
        except DatabaseError as exc:
            return trouble_of(exc) or unreachable(str(exc))
        if is_standby:
            self.suspect()
            return unreachable(STANDBY)
        return None

    def suspect(self) -> None:
        self.database.drop_idle()

    def leave(self) -> None:
        self.close()

    def close(self) -> None:
        self.database.drop_idle()
