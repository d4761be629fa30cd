"""Delete expired rows in small batches, so that no request waits for it long."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from server.api.sessions import LIFE
from server.db.model import (
    ClientSession,
    ExternalSession,
    Invitation,
    LiveParticipant,
    NonceCache,
    utc_now,
)
from server.db.sql import moment, row
from server.state import Server

BATCH = 500  # rows in one transaction
NONCE_LIFE = timedelta(minutes=10)
LIVE_LIFE = timedelta(days=30)  # of a participant of whom nothing was heard

# The date by which each is judged, and how long it stays after that.
PURGES = {
    "nonces": (NonceCache.created_at, NONCE_LIFE),
    "sessions": (ClientSession.expires_at, timedelta()),
    "invitations": (Invitation.expires_at, timedelta()),
}


def purge(server: Server) -> dict[str, int]:
    """Renew the sessions that were used, and delete what has expired.

    Gives how many of each were deleted.
    """
    server.nonces.forget(time.time())
    server.codes.forget_old()
    renew(server)
    deleted = {}
    for name, (column, life) in PURGES.items():
        deleted[name] = 0
        while count := _purge_batch(server, column, life):
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


def _purge_batch(server: Server, column: Any, life: timedelta) -> int:
    """A date that can't be read is NULL here, and its row stays."""
    model = column.model
    is_over = moment(column) < moment(utc_now() - life)
    with server.reading():  # most rounds find nothing, and take no lock for it
        if not model.select(row()).where(is_over).limit(1).exists():
            return 0
    with server.writing():
        some = model.select(row()).where(is_over).limit(BATCH)
        return int(model.delete().where(row().in_(some)).execute())
