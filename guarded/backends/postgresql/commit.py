"""COMMIT, and the truth about it when the connection is lost meanwhile.

The server may have committed although nobody could tell us.  It remembers: pg_xact_status answers
for the number of a transaction, https://www.postgresql.org/docs/current/functions-info.html.  A new
primary may give the same number to another transaction, so it is asked only on the same timeline.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from guarded.errors import DatabaseFailed, UnusableDatabase

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

NUMBER = """
SELECT pg_current_xact_id_if_assigned()::text, left(pg_walfile_name(pg_current_wal_lsn()), 8)"""
STATUS = """
SELECT CASE WHEN left(pg_walfile_name(pg_current_wal_lsn()), 8) = %s
    THEN pg_xact_status(%s::text::xid8) END"""
PATIENCE = 60.0  # seconds for a server that starts again, or a new primary
POLL = 0.2


def commit(server: PostgresqlServer, connection: psycopg.Connection[Any]) -> None:
    """Commit; return only when it is known to be done.

    Raises DatabaseFailed where it is known that nothing was changed, or where it stays unknown.
    """
    number, timeline = connection.execute(NUMBER).fetchall()[0]
    try:
        connection.execute("COMMIT")
    except psycopg.OperationalError as lost:
        if not connection.closed or number is None:
            raise
        why = " ".join(str(lost).split())
        status = _status(server, timeline, number)
        if status == "committed":
            return
        if status == "aborted":
            sentence, remedy = "nothing was changed", "run it again"
        else:
            sentence = "it is unknown whether the changes are there"
            remedy = "run it again, which skips what is there"
        cause = f"the connection was lost in COMMIT ({why}), and {sentence}"
        raise DatabaseFailed(str(server), cause, remedy) from lost


def _status(server: PostgresqlServer, timeline: str, number: str) -> str | None:
    """committed or aborted; None if the server gives no answer in time, or does not know."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            with server.connected() as connection:
                status = connection.execute(STATUS, (timeline, number)).fetchall()[0][0]
        except (UnusableDatabase, psycopg.errors.OperationalError):
            status = "in progress"
        except psycopg.Error:  # a transaction of a future that this server does not have
            return None
        if status != "in progress":
            return str(status) if status else None
        time.sleep(POLL)
    return None
