"""Delete expired rows in small batches, so that no request waits for it long."""

from __future__ import annotations

import time
from datetime import timedelta

from peewee import SqliteDatabase

from server.api.sessions import LIFE
from server.db.model import ClientSession, ExternalSession, LiveParticipant, utc_now
from server.state import Server

BATCH = 500  # rows in one transaction
NONCE_LIFE = "-10 minutes"
LIVE_LIFE = timedelta(days=30)  # of a participant of whom nothing was heard

# SQLite's datetime() reads every spelling of a date that old rows have; what is no date is NULL
# to it, and stays.
PURGES = {
    "nonces": f"nonce_cache WHERE datetime(created_at) < datetime('now', '{NONCE_LIFE}')",
    "sessions": "client_sessions WHERE datetime(expires_at) < datetime('now')",
    "invitations": "\"Invitations\" WHERE datetime(expires_at) < datetime('now')",
}


def purge(server: Server) -> dict[str, int]:
    """Renew the sessions that were used, and delete what has expired.

    Gives how many of each were deleted.
    """
    server.nonces.forget(time.time())
    server.codes.forget_old()
    renew(server)
    deleted = {}
    for name, what in PURGES.items():
        deleted[name] = 0
        while count := _purge_batch(server, what):
            deleted[name] += count
    expired = ExternalSession.delete().where(ExternalSession.expires_at < utc_now())
    deleted["guests"] = int(expired.execute())
    silent = LiveParticipant.delete().where(LiveParticipant.updated_at < utc_now() - LIVE_LIFE)
    deleted["participants"] = int(silent.execute())
    return deleted


def renew(server: Server) -> None:
    """Write when sessions were used last, and let them live on from then.

    Here and not in the request: a request that only reads shall not wait for whoever writes.
    """
    seen, server.seen = server.seen, {}
    if not seen:
        return
    try:
        with server.writing():
            for client_id, used in seen.items():
                ClientSession.update(last_used=used, expires_at=used + LIFE).where(
                    ClientSession.client_id == client_id
                ).execute()
    except Exception:
        server.seen = {**seen, **server.seen}  # for the next round
        raise


def _purge_batch(server: Server, what: str) -> int:
    table = what.partition(" ")[0]
    with server.reading() as database:
        if not _has_any(database, what):  # most rounds find nothing, and take no lock for it
            return 0
    with server.writing() as database:
        sql = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {what} LIMIT {BATCH})"
        return int(database.execute_sql(sql).rowcount)


def _has_any(database: SqliteDatabase, what: str) -> bool:
    return database.execute_sql(f"SELECT 1 FROM {what} LIMIT 1").fetchone() is not None
