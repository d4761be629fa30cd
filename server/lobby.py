"""Guests of a meeting: how they find it, how many there may be, and who lets them in.

A guest asks, and the owner or a manager decides, once for each time that the guest asks.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from server import accounts
from server.answers import Refusal
from server.db.model import GUEST_STAY, ExternalSession, Meeting, utc_now
from server.state import Server

MOST_IN_MEETING = 100
MOST = 5000
ASK_AGAIN = timedelta(seconds=5)

_registering = threading.Lock()


def link_of(public_url: str | None, token: str | None) -> str | None:
    return f"{public_url or ''}/join/{token}" if token else None


def new_token() -> str:
    return secrets.token_urlsafe(24)


def meeting_behind(token: str) -> Any:
    """The meeting that a link leads to; None once it is closed or over."""
    found = Meeting.get_or_none(Meeting.invitation_token == token)
    if found is None or not found.allow_external:
        return None
    if not secrets.compare_digest(str(found.invitation_token).encode(), token.encode()):
        return None
    return None if accounts.is_over(found.end_time) else found


@contextmanager
def room(meeting_id: str) -> Iterator[None]:
    """Hold the place of one more guest.  Raises Refusal (409) when there are too many.

    One registers at a time: of two who count at once, both would find the last place.
    """
    with _registering:
        everybody = ExternalSession.select().where(ExternalSession.expires_at > utc_now())
        if everybody.where(ExternalSession.meeting_id == meeting_id).count() >= MOST_IN_MEETING:
            raise Refusal(409, "full", f"a meeting takes {MOST_IN_MEETING} guests at most")
        if everybody.count() >= MOST:
            raise Refusal(409, "full", f"the server takes {MOST} guests at most")
        yield


def stay_until(meeting: Any) -> datetime:
    """A guest stays for a day, and not longer than the meeting."""
    stay = utc_now() + GUEST_STAY
    return min(stay, meeting.end_time) if isinstance(meeting.end_time, datetime) else stay


def ask(session_id: str) -> bool:
    """Ask to be let in; False within five seconds of the last time.

    One statement, so that of two requests at once one counts.  A guest who is in stays in.
    """
    row = ExternalSession
    asked = (
        row.update(admitted=False, last_admission_request=utc_now())
        .where(
            (row.session_id == session_id)
            & (row.admitted.is_null() | (row.admitted == False))  # noqa: E712
            & (
                row.last_admission_request.is_null()
                | (row.last_admission_request <= utc_now() - ASK_AGAIN)
            )
        )
        .execute()
    )
    return bool(asked) or bool(row.get_by_id(session_id).admitted)


def decide(server: Server, meeting_id: str, session_id: str, *, admit: bool, by: str) -> Any:
    """Let a guest who asks in, or not.  Raises Refusal: 404, and 409 when it was decided."""
    row = ExternalSession
    here = (row.session_id == session_id) & (row.meeting_id == meeting_id)
    here &= row.expires_at > utc_now()
    values: dict[str, Any] = {"admitted": None}
    if admit:
        values = {"admitted": True, "admitted_by": by, "joined_at": utc_now()}
    decided = row.update(**values).where(here & (row.admitted == False)).execute()  # noqa: E712
    found = row.get_or_none(here)
    if found is None:
        raise Refusal(404, "not_found", "there is no such guest")
    if not decided:
        raise Refusal(409, "decided", "this guest does not ask, or somebody has decided already")
    server.waiting.wake(session_id)
    return found


def empty(server: Server, meeting_id: str) -> None:
    """Send all guests of a meeting away."""
    here = ExternalSession.meeting_id == meeting_id
    gone = [guest.session_id for guest in ExternalSession.select().where(here)]
    ExternalSession.delete().where(here).execute()
    for session_id in gone:
        server.waiting.wake(session_id)
