"""What has had its time is deleted, a little at a time, so that no request waits for it long."""

from __future__ import annotations

from peewee import SqliteDatabase

from server.db.model import ExternalSession, utc_now

BATCH = 500  # rows in one transaction
NONCE_LIFE = "-10 minutes"

# SQLite's datetime() reads every spelling of a date that old rows have; what is no date is NULL
# to it, and stays.
PURGES = {
    "nonces": f"nonce_cache WHERE datetime(created_at) < datetime('now', '{NONCE_LIFE}')",
    "sessions": "client_sessions WHERE datetime(expires_at) < datetime('now')",
    "invitations": "\"Invitations\" WHERE used OR datetime(expires_at) < datetime('now')",
}


def purge(database: SqliteDatabase) -> dict[str, int]:
    """Delete expired nonces, sessions and guests, and used or expired invitations.

    Gives how many of each.
    """
    deleted = {}
    with database.connection_context():
        for name, what in PURGES.items():
            deleted[name] = 0
            while count := _purge_batch(database, what):
                deleted[name] += count
    expired = ExternalSession.delete().where(ExternalSession.expires_at < utc_now())
    deleted["guests"] = int(expired.execute())
    return deleted


def _purge_batch(database: SqliteDatabase, what: str) -> int:
    table = what.partition(" ")[0]
    with database.atomic("IMMEDIATE"):
        sql = f"DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {what} LIMIT {BATCH})"
        return int(database.execute_sql(sql).rowcount)
