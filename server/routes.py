"""Meetings and guests over HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from peewee import SqliteDatabase
from pydantic import BaseModel, Field

from server.answers import Refusal, not_now
from server.db.model import ExternalSession, Meeting
from server.readiness import COMMAND, Readiness
from server.signing import body_of, signed_by
from server.state import Server

router = APIRouter()


class NewMeeting(BaseModel):
    title: str = Field(min_length=1, max_length=255)
    description: str | None = None
    start_time: datetime
    end_time: datetime
    allow_external: bool = False
    invited_participants: list[str] = []


class NewGuest(BaseModel):
    invitation_token: str
    display_name: str = Field(min_length=1, max_length=255)
    identity_key_public: str
    signed_pre_key: str
    pre_keys: list[Any] = []


@contextmanager
def opened(request: Request) -> Iterator[SqliteDatabase]:
    """The database, with a connection for this thread; 503 while the schema is not current.

    Not a dependency of FastAPI's: that may run in another thread than the route, and a connection
    of Peewee's belongs to its thread.
    """
    server: Server = request.app.state.server
    readiness = server.readiness
    if server.database is None or not readiness.is_current:
        raise not_ready(readiness)
    with server.database.connection_context():
        yield server.database


def not_ready(readiness: Readiness) -> Refusal:
    return not_now("not_ready", readiness.message, pending=list(readiness.pending), command=COMMAND)


@router.get("/meetings")
def meetings(
    request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50
) -> list[dict[str, Any]]:
    """The latest first."""
    with opened(request):
        found = Meeting.select().order_by(Meeting.start_time.desc()).limit(limit)
        return [_shown(meeting) for meeting in found]


@router.get("/meetings/{meeting_id}")
def meeting(meeting_id: str, request: Request) -> dict[str, Any]:
    with opened(request):
        return _shown(_find(meeting_id))


@router.post("/meetings", status_code=201)
def new_meeting(
    new: NewMeeting, request: Request, body: Annotated[bytes, Depends(body_of)]
) -> dict[str, Any]:
    """Signed by the owner.  Answered only when it is on the disk."""
    with opened(request) as database, database.atomic("IMMEDIATE"):
        session = signed_by(request, body)
        made = Meeting.create(
            meeting_id=f"mtg_{secrets.token_hex(6)}",
            created_by=session.user_id,
            invitation_token=secrets.token_hex(16) if new.allow_external else None,
            **new.model_dump(),
        )
    return _shown(made, with_token=True)


@router.post("/meetings/{meeting_id}/guests", status_code=201)
def new_guest(meeting_id: str, new: NewGuest, request: Request) -> dict[str, Any]:
    """A guest with the meeting's invitation; kept in memory only."""
    with opened(request):
        found = _find(meeting_id)
    token = found.invitation_token or ""
    if not found.allow_external or not secrets.compare_digest(token, new.invitation_token):
        raise Refusal(403, "not_invited", "this invitation is not for this meeting")
    guest = ExternalSession.create(
        session_id=secrets.token_hex(16),
        meeting_id=meeting_id,
        **new.model_dump(exclude={"invitation_token"}),
    )
    return {"session_id": guest.session_id, "expires_at": guest.expires_at}


@router.get("/guests/{session_id}")
def guest(session_id: str) -> dict[str, Any]:
    found = ExternalSession.get_or_none(ExternalSession.session_id == session_id)
    if found is None:
        raise Refusal(404, "not_found", "there is no such guest")
    return {
        "session_id": found.session_id,
        "meeting_id": found.meeting_id,
        "display_name": found.display_name,
        "admitted": found.admitted,
    }


def _find(meeting_id: str) -> Any:
    found = Meeting.get_or_none(Meeting.meeting_id == meeting_id)
    if found is None:
        raise Refusal(404, "not_found", "there is no such meeting")
    return found


def _shown(found: Any, *, with_token: bool = False) -> dict[str, Any]:
    names = ("meeting_id", "title", "description", "created_by", "start_time", "end_time")
    shown = {name: getattr(found, name) for name in names}
    shown["invited_participants"] = found.invited_participants
    if with_token:
        shown["invitation_token"] = found.invitation_token
    return shown
