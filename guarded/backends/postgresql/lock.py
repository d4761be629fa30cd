"""The lock of runners, the transaction of a run, and locks on the tables that it will change.

An advisory lock of the transaction excludes other runners and ends with it, whatever happens.  A
table's lock is asked for with a short timeout: everybody who comes later queues behind whoever
waits for it, readers included.
"""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.sql import SQL, Identifier

from guarded.backends.interface import Locks, Session, Waits
from guarded.backends.postgresql.commit import commit
from guarded.backends.postgresql.database import pointless
from guarded.backends.postgresql.inspect import Inspector
from guarded.errors import DatabaseFailed, DatabaseLocked, MigrationFailed, UnforeseenLock
from guarded.patience import Patience

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

POLL = 0.05  # seconds
SILENCE = 1.0  # seconds of waiting before a message
LOCK_TIMEOUT_SECONDS = 0.2  # for as long others may have to wait behind us
LOCK_TIMEOUT = f"{LOCK_TIMEOUT_SECONDS}s"
PAUSE = 0.3  # seconds between two tries, in which those others go on
CLASS = 1735750514  # "guar" as a number; the second number stands for the schema
TRY = f"SELECT pg_try_advisory_xact_lock({CLASS}, hashtext(current_schema()))"
# A run takes as long as it takes, and waits for nobody longer than it says itself.
TIMEOUTS = ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout")
DESCRIBED = """concat('pid ', a.pid, ' (', a.usename, ', ', nullif(a.application_name, '') || ', ',
    coalesce(a.state, 'state hidden'), ' since ',
    coalesce(a.state_change, a.backend_start)::timestamp(0),
    ')', ': ' || left(regexp_replace(nullif(a.query, ''), '\\s+', ' ', 'g'), 80))"""
HOLDERS = f"""
SELECT {DESCRIBED} FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.classid = {CLASS} AND l.granted AND l.pid <> pg_backend_pid()
    AND l.objid::bigint = hashtext(current_schema())::bigint & 4294967295
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
USERS = f"""
SELECT {DESCRIBED} FROM pg_stat_activity AS a WHERE a.pid IN (
    SELECT l.pid FROM pg_locks AS l WHERE l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND (l.relation = ANY (%s::regclass[]::oid[]) OR l.relation = ANY (%s::regclass[]::oid[])
            AND l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
) AND a.pid <> pg_backend_pid()"""
PRESENT = """
SELECT relname FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace
    AND relkind IN ('r', 'p') AND relname = ANY (%s)"""
# What the statements of steps take at most, and what lets others read.
MODES = {Waits.READERS: "ACCESS EXCLUSIVE", Waits.WRITERS: "SHARE ROW EXCLUSIVE"}


@contextmanager
def transaction(
    server: PostgresqlServer, patience: Patience, on_commit: Callable[[], None]
) -> Iterator[Session]:
    """Connect, take the lock of runners, run the block, commit; on any exception roll back.

    Raises DatabaseLocked, UnforeseenLock and DatabaseFailed.
    """
    from peewee import DatabaseError

    database: Any = server.database_to_migrate()
    user = ""
    try:
        database.connect()
        connection = database.connection()
        user = connection.info.user
        try:
            for timeout in TIMEOUTS:
                if timeout != "transaction_timeout" or server.major >= 17:
                    connection.execute(f"SET {timeout} = 0")
            database.begin()
            _take(server, connection, patience)
            connection.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
            database.push_transaction(database.transaction())
            try:
                yield Session(database, Inspector(connection))
                connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            finally:
                database.pop_transaction()
            with _uninterrupted():
                commit(server, connection)
                on_commit()
        finally:
            database.close()  # without COMMIT the server rolls back
    except (psycopg.Error, DatabaseError, MigrationFailed) as exc:
        if is_locked(exc):
            raise _unforeseen(server, exc) from exc
        if isinstance(exc, MigrationFailed):
            raise
        raise failure(server, exc, user) or exc from exc


def failure(server: PostgresqlServer, exc: Exception, user: str) -> DatabaseFailed | None:
    """The failure that the exception tells; None where it is not the database's."""
    from peewee import DatabaseError

    if not isinstance(exc, (psycopg.Error, DatabaseError)):
        return None
    why = " ".join(pointless(str(exc)).split())
    return DatabaseFailed(str(server), why, _remedy(why, user))


def is_locked(exc: BaseException) -> bool:
    """Return True if it is that a lock was not given in time."""
    cause: BaseException | None = exc
    while cause is not None and not isinstance(cause, psycopg.errors.LockNotAvailable):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


def _unforeseen(server: PostgresqlServer, exc: BaseException) -> UnforeseenLock:
    """The lock that a statement was not given, with the tables that it may be about."""
    from guarded.backends.postgresql.needed import around

    statement = exc.statement if isinstance(exc, MigrationFailed) else ""
    with server.reading() as inspector:
        tables = around(statement, inspector.schema()) if inspector else frozenset()
    return UnforeseenLock(str(server), LOCK_TIMEOUT_SECONDS, statement, tables)


def _take(
    server: PostgresqlServer, connection: psycopg.Connection[Any], patience: Patience
) -> None:
    def try_once() -> bool:
        return bool(connection.execute(TRY).fetchall()[0][0])

    def holders() -> list[str]:
        return [who for (who,) in connection.execute(HOLDERS)]

    _wait(server, patience, try_once, holders)


def lock_tables(
    server: PostgresqlServer, session: Session, locks: Locks, patience: Patience
) -> None:
    """Lock those of the tables that are there, strongest first, until the transaction ends.

    Lets the others go on between two tries.  Raises DatabaseLocked with who is in the way.
    """
    if not locks:
        return
    connection = session.database.connection()
    present = {name for (name,) in connection.execute(PRESENT, (list(locks),))}
    named = {
        waits: [Identifier(name) for name in sorted(present) if locks[name] is waits]
        for waits in MODES
    }
    statements = [
        SQL("LOCK TABLE {} IN {} MODE").format(SQL(", ").join(tables), SQL(MODES[waits]))
        for waits, tables in named.items()
        if tables
    ]

    def try_once() -> bool:
        try:
            with connection.transaction():
                for statement in statements:
                    connection.execute(statement)
        except psycopg.errors.LockNotAvailable:
            time.sleep(PAUSE)
            return False
        return True

    def users() -> list[str]:
        quoted = [[name.as_string(connection) for name in names] for names in named.values()]
        return [who for (who,) in connection.execute(USERS, quoted)]

    _wait(server, patience, try_once, users)


def _wait(
    server: PostgresqlServer,
    patience: Patience,
    try_once: Callable[[], bool],
    holders: Callable[[], list[str]],
) -> None:
    started = time.monotonic()
    told = False
    while not try_once():
        waited = time.monotonic() - started
        if waited >= patience.wait:
            raise DatabaseLocked(str(server), patience.wait, holders())
        if waited >= SILENCE and not told:
            patience.on_wait(holders())
            told = True
        time.sleep(min(POLL, max(0.0, patience.wait - waited)))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ignore signals in the block: the run is about to be committed, and must not say otherwise."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [(n, signal.signal(n, signal.SIG_IGN)) for n in (signal.SIGINT, signal.SIGTERM)]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


SCHEMA = re.compile("permission denied for schema (.+)")
REMEDIES = {
    "read-only": "name the primary server, or a role that may write",
    "permission denied": "use a role that may, or grant it",
    "must be owner": "use the role that owns it",
    "disk full": "free some space on the server's disk",
    "could not extend": "free some space on the server's disk",
    "lost": "run it again",
    "terminat": "run it again",
    "closed the connection": "run it again",
    "connection is closed": "run it again",
}


def _remedy(message: str, user: str) -> str:
    if (schema := SCHEMA.search(message)) is not None:
        name, role = Identifier(schema[1]).as_string(), Identifier(user).as_string()
        return f"GRANT CREATE ON SCHEMA {name} TO {role}"
    found = [remedy for words, remedy in REMEDIES.items() if words in message]
    return found[0] if found else "see the traceback"
