"""Guests without an account: the link to a meeting, the lobby, and who lets them in."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server import lobby, participation, rates
from server.answers import Refusal, errors
from server.api import access
from server.api.access import CallerHere, ServerHere, digest_of, origin_of
from server.api.shapes import Input, Line
from server.db.model import ExternalSession, utc_now
from server.rates import too_many
from server.state import Server

public = access.public("guests")
guests = access.guest("guests")
signed = access.signed("guests")

Token = Annotated[str, Field(min_length=1, max_length=255)]
Key = Annotated[str, Field(max_length=4096)]
ShortKey = Annotated[str, Field(max_length=255)]
PreKey = ShortKey | int | Annotated[dict[str, ShortKey | int], Field(max_length=8)]


class JoinPage(BaseModel):
    title: str
    start_time: datetime
    end_time: datetime


class NewGuest(Input):
    display_name: Line
    identity_key_public: Key = ""
    signed_pre_key: Key = ""
    pre_keys: Annotated[list[PreKey], Field(max_length=100)] = Field([])


class CreatedGuest(BaseModel):
    session_id: str
    secret: str = Field(description="Shown this once; the bearer token of this guest")
    meeting_id: str
    expires_at: datetime


class Guest(BaseModel):
    session_id: str
    meeting_id: str
    display_name: str
    admitted: bool | None = Field(description="null: does not ask; false: asks; true: is let in")
    expires_at: datetime


class GuestInLobby(Guest):
    identity_key_public: str
    signed_pre_key: str
    pre_keys: list[Any]
    last_admission_request: datetime | None
    admitted_by: str | None


Shape = TypeVar("Shape", bound=Guest)


class Link(BaseModel):
    token: str
    url: str


# For everybody who has the link.


@public.get("/join/{token}", responses=errors(404))
def join_page(token: Token, request: Request, server: ServerHere) -> JoinPage:
    """Title and times of the meeting behind a link."""
    found = _meeting_behind(token, request, server)
    return JoinPage(title=found.title, start_time=found.start_time, end_time=found.end_time)


@public.post("/join/{token}", status_code=201, responses=errors(404, 409))
def join(token: Token, new: NewGuest, request: Request, server: ServerHere) -> CreatedGuest:
    """Register as a guest, in memory only; the next step is to ask for admission."""
    found = _meeting_behind(token, request, server)
    secret = secrets.token_urlsafe(32)
    with lobby.room(found.meeting_id):
        made = ExternalSession.create(
            session_id=secrets.token_urlsafe(16),
            meeting_id=found.meeting_id,
            secret_digest=digest_of(secret),
            expires_at=lobby.stay_until(found),
            **new.model_dump(),
        )
    return CreatedGuest(
        session_id=made.session_id,
        secret=secret,
        meeting_id=made.meeting_id,
        expires_at=made.expires_at,
    )


def _meeting_behind(token: str, request: Request, server: Server) -> Any:
    origin = origin_of(request)
    server.rates.require(rates.JOIN, origin)
    if not server.rates.has_left(rates.WRONG_LINK, origin):
        raise server.rates.refusal(rates.WRONG_LINK, origin)
    with server.reading():
        found = lobby.meeting_behind(token)
    if found is None:
        server.rates.hit(rates.WRONG_LINK, origin)
        raise Refusal(404, "not_found", "this link leads nowhere, or the meeting is over")
    return found


# For the guest.


@guests.post("/guests/{session_id}/admission", responses=errors(404))
def ask(session_id: Line, server: ServerHere) -> Guest:
    """Ask to be let in; once in five seconds."""
    if not lobby.ask(session_id):
        raise too_many(int(lobby.ASK_AGAIN.total_seconds()))
    return _guest(session_id)


@guests.get("/guests/{session_id}", responses=errors(404))
async def guest(
    session_id: Line,
    server: ServerHere,
    wait: Annotated[int, Query(ge=0, le=30, description="Seconds to wait for a decision")] = 0,
) -> Guest:
    """The guest's own state; with ``wait``, as soon as somebody decides."""
    if wait:
        await server.waiting.wait(
            session_id, wait, server.stopping, lambda: _guest(session_id).admitted is False
        )
    return await run_in_threadpool(_guest, session_id)


@guests.delete("/guests/{session_id}", status_code=204)
def leave(session_id: Line, server: ServerHere) -> None:
    """Leave the meeting."""
    ExternalSession.delete().where(ExternalSession.session_id == session_id).execute()
    server.waiting.wake(session_id)


def _guest(session_id: str) -> Guest:
    found = ExternalSession.get_or_none(ExternalSession.session_id == session_id)
    if found is None:
        raise Refusal(404, "not_found", "the guest has left")
    return _shown(found, Guest)


# For the owner and managers.


@signed.post("/meetings/{meeting_id}/link", status_code=201, responses=errors(403, 404))
def make_link(meeting_id: Line, server: ServerHere, caller: CallerHere) -> Link:
    """Make a link for guests; the one before no longer works."""
    token = lobby.new_token()
    _set_link(server, caller, meeting_id, token)
    return Link(token=token, url=lobby.link_of(server.settings.public_url, token) or "")


@signed.delete("/meetings/{meeting_id}/link", status_code=204, responses=errors(403, 404))
def close_link(meeting_id: Line, server: ServerHere, caller: CallerHere) -> None:
    """Let no more guests register."""
    _set_link(server, caller, meeting_id, None)


def _set_link(server: Server, caller: Any, meeting_id: str, token: str | None) -> None:
    with server.writing() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        seen.require(seen.may_change)
        row = seen.meeting
        row.invitation_token, row.allow_external = token, token is not None
        row.updated_at = utc_now()
        row.save()


@signed.get("/meetings/{meeting_id}/guests", responses=errors(403, 404))
def guests_of(meeting_id: Line, server: ServerHere, caller: CallerHere) -> list[GuestInLobby]:
    """The lobby: who asks, who is in, and who only registered; the oldest request first."""
    _require_manager(server, caller, meeting_id)
    row = ExternalSession
    found = row.select().where((row.meeting_id == meeting_id) & (row.expires_at > utc_now()))
    return [_shown(g, GuestInLobby) for g in found.order_by(row.last_admission_request)]


@signed.post("/meetings/{meeting_id}/guests/{guest}/admit", responses=errors(403, 404, 409))
def admit(meeting_id: Line, guest: Line, server: ServerHere, caller: CallerHere) -> GuestInLobby:
    """Let a guest in who asks; a second decision is refused."""
    _require_manager(server, caller, meeting_id)
    found = lobby.decide(server, meeting_id, guest, admit=True, by=caller.user_id)
    return _shown(found, GuestInLobby)


@signed.post("/meetings/{meeting_id}/guests/{guest}/decline", responses=errors(403, 404, 409))
def decline(meeting_id: Line, guest: Line, server: ServerHere, caller: CallerHere) -> GuestInLobby:
    """Don't let a guest in who asks; the guest may ask again."""
    _require_manager(server, caller, meeting_id)
    found = lobby.decide(server, meeting_id, guest, admit=False, by=caller.user_id)
    return _shown(found, GuestInLobby)


def _require_manager(server: Server, caller: Any, meeting_id: str) -> None:
    with server.reading() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        seen.require(seen.may_manage)


def _shown(row: Any, shape: type[Shape]) -> Shape:
    return shape(**{name: getattr(row, name) for name in shape.model_fields})
