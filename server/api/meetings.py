"""Meetings and instant calls: plan, list, read, change, delete, and take into a calendar."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Header, Query, Response
from peewee import Database
from pydantic import BaseModel, Field

from server import accounts, agenda, ics, lobby, mail, participation, rates
from server.answers import Refusal, errors
from server.api import access
from server.api.access import CallerHere, ServerHere
from server.api.shapes import EMAIL, Input, Line, Moment, Name, Text
from server.db.model import Meeting as Row
from server.db.model import utc_now
from server.signing import Caller
from server.state import Server

CALL_LIFE = timedelta(hours=24)
Invitees = Annotated[list[Name], Field(max_length=200)]
ETAG = {"ETag": {"description": "The version, for If-Match", "schema": {"type": "string"}}}

router = access.signed("meetings")


class NewCall(Input):
    title: Line = "Call"
    invited_participants: Invitees = Field([])
    allow_external: bool = Field(False, description="Make a link for guests at once")
    voice_only: bool = False
    mute_on_join: bool = False


class NewMeeting(NewCall):
    title: Line
    description: Text | None = None
    start_time: Moment
    end_time: Moment


class MeetingChange(Input):
    """Only the fields that are given change."""

    title: Line = ""
    description: Text | None = None
    start_time: Moment = datetime.min
    end_time: Moment = datetime.min
    invited_participants: Invitees = Field([])
    voice_only: bool = False
    mute_on_join: bool = False


class Participant(BaseModel):
    user_id: str = Field(description="As invited: a user id, or an e-mail address")
    role: str
    answer: str | None
    is_present: bool


class Meeting(BaseModel):
    meeting_id: str
    title: str
    description: str | None
    created_by: str
    start_time: datetime | None
    end_time: datetime | None
    is_instant_call: bool
    allow_external: bool
    invitation_token: str | None = Field(description="Of the link for guests; for owners only")
    voice_only: bool
    mute_on_join: bool
    created_at: datetime | None
    updated_at: datetime | None
    invited_participants: list[str]
    participants: list[Participant]


STORED = [name for name in Meeting.model_fields if name != "participants"]


class Page(BaseModel):
    meetings: list[Meeting]
    cursor: str | None = Field(description="Of the next page; null on the last one")


@router.post("/meetings", status_code=201, responses={201: {"headers": ETAG}})
def new_meeting(
    new: NewMeeting, response: Response, server: ServerHere, caller: CallerHere
) -> Meeting:
    """Plan a meeting.  Answered only when it is on the disk."""
    _check_times(new.start_time, new.end_time)
    return _create(server, caller, response, "mtg", new.model_dump())


@router.post("/calls", status_code=201, responses={201: {"headers": ETAG}})
def new_call(new: NewCall, response: Response, server: ServerHere, caller: CallerHere) -> Meeting:
    """Start an instant call; it ends after 24 hours at the latest."""
    now = utc_now()
    values = {**new.model_dump(), "start_time": now, "end_time": now + CALL_LIFE}
    return _create(server, caller, response, "call", {**values, "is_instant_call": True})


def _create(
    server: Server, caller: Caller, response: Response, prefix: str, values: dict[str, Any]
) -> Meeting:
    with server.writing() as database:
        row = Row.create(
            meeting_id=f"{prefix}_{secrets.token_hex(8)}",
            created_by=caller.user_id,
            invitation_token=secrets.token_urlsafe(24) if values["allow_external"] else None,
            **values,
        )
        addresses = _addresses(database, participation.invitees(row))
        shown = _shown(database, row, with_token=True)
    _send_invitations(server, caller, row, addresses)
    response.headers["ETag"] = etag(row)
    return shown


@router.get("/meetings", responses=errors(404))
def meetings(
    server: ServerHere,
    caller: CallerHere,
    filter: agenda.Filter = "upcoming",
    limit: Annotated[int, Query(ge=1, le=100)] = 50,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Page:
    """Own meetings and those one is invited to.

    ``upcoming`` has not ended, the next first; ``past`` has, the latest first; ``mine`` is what one
    owns, the latest first.
    """
    with server.reading() as database:
        names = accounts.names_of(database, caller.user_id)
        rows, next_cursor = agenda.page(names, filter, limit, cursor)
        seats = participation.seats(database, rows)
        shown = [
            _with_seats(row, seats[row.meeting_id], with_token=row.created_by in names)
            for row in rows
        ]
    return Page(meetings=shown, cursor=next_cursor)


@router.get(
    "/meetings/{meeting_id}.ics",
    responses={
        **errors(404),
        200: {
            "content": {ics.CONTENT_TYPE: {"schema": {"type": "string"}}},
            "description": "RFC 5545",
        },
    },
    response_class=Response,
)
def calendar(meeting_id: Line, server: ServerHere, caller: CallerHere) -> Response:
    """The meeting as a calendar file."""
    with server.reading() as database:
        row = participation.standing(
            database, server.settings.admins, meeting_id, caller.user_id
        ).meeting
        content = ics.calendar_of(row, _host(server), is_request=False)
    return Response(content, media_type=ics.CONTENT_TYPE)


@router.get("/meetings/{meeting_id}", responses={**errors(404), 200: {"headers": ETAG}})
def meeting(
    meeting_id: Line, response: Response, server: ServerHere, caller: CallerHere
) -> Meeting:
    """One meeting, for its owner, its invitees and admins."""
    with server.reading() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        response.headers["ETag"] = etag(seen.meeting)
        return _shown(database, seen.meeting, with_token=seen.may_change)


@router.patch(
    "/meetings/{meeting_id}",
    responses={**errors(403, 404, 412, 428), 200: {"headers": ETAG}},
)
def change_meeting(
    meeting_id: Line,
    change: MeetingChange,
    response: Response,
    server: ServerHere,
    caller: CallerHere,
    if_match: Annotated[str | None, Header(description="The ETag that was read")] = None,
) -> Meeting:
    """Change a meeting; for its owner and admins.

    Answers 412 when somebody else changed it since it was read, and 428 without If-Match.
    """
    with server.writing() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        seen.require(seen.may_change)
        row = seen.meeting
        _check_version(if_match, row)
        before = set(participation.invitees(row))
        for name in change.model_fields_set:
            setattr(row, name, getattr(change, name))
        _check_times(row.start_time, row.end_time)
        row.updated_at = utc_now()
        row.save()
        new = [name for name in participation.invitees(row) if name not in before]
        addresses = _addresses(database, new)
        for name in before - set(participation.invitees(row)):
            participation.forget(meeting_id, participation.user_of(database, name))
        shown = _shown(database, row, with_token=True)
    _send_invitations(server, caller, row, addresses)
    response.headers["ETag"] = etag(row)
    return shown


@router.delete("/meetings/{meeting_id}", status_code=204, responses=errors(403, 404))
def delete_meeting(meeting_id: Line, server: ServerHere, caller: CallerHere) -> None:
    """Delete a meeting; for its owner and admins.  Its guests have to go."""
    with server.writing() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        seen.require(seen.may_change)
        Row.delete().where(Row.meeting_id == meeting_id).execute()
    participation.forget(meeting_id)
    lobby.empty(server, meeting_id)


def etag(row: Any) -> str:
    """A name for what is stored of a meeting now."""
    stored = json.dumps([getattr(row, name) for name in STORED], default=str)
    return f'"{hashlib.sha256(stored.encode()).hexdigest()[:32]}"'


def _check_version(if_match: str | None, row: Any) -> None:
    if if_match is None:
        raise Refusal(428, "no_if_match", "send the ETag that you read as If-Match")
    known = [tag.strip() for tag in if_match.split(",")]
    if "*" not in known and etag(row) not in known:
        raise Refusal(412, "changed", "the meeting was changed since you read it; read it again")


def _check_times(start: Any, end: Any) -> None:
    """Raises Refusal unless the end is after the start."""
    if isinstance(start, datetime) and isinstance(end, datetime) and end <= start:
        raise Refusal(422, "ends_before_it_starts", "end_time has to be after start_time")


def _addresses(database: Database, names: Iterable[str]) -> list[str]:
    """The addresses that invitations go to; each user once."""
    found: dict[str, str] = {}
    for name in names:
        if "@" in name:
            found.setdefault(participation.user_of(database, name), name)
        elif known := accounts.addresses_of(database, name):
            found.setdefault(name, known[0])
    return [address for address in found.values() if re.fullmatch(EMAIL, address)]


def _send_invitations(server: Server, caller: Caller, row: Any, addresses: list[str]) -> None:
    link = lobby.link_of(server.settings.public_url, row.invitation_token)
    content = ics.calendar_of(row, _host(server), link=link, is_request=True)
    for address in addresses:
        if server.rates.hit(rates.INVITATION_MAIL, caller.user_id):
            server.mail.send(mail.meeting_invitation(row, address, content, link))


def _host(server: Server) -> str:
    return str(urlsplit(server.settings.public_url or "http://localhost").hostname)


def _shown(database: Database, row: Any, *, with_token: bool) -> Meeting:
    seats = participation.seats(database, [row])[row.meeting_id]
    return _with_seats(row, seats, with_token=with_token)


def _with_seats(row: Any, seats: list[participation.Seat], *, with_token: bool) -> Meeting:
    values = {name: getattr(row, name) for name in STORED}
    for name in ("start_time", "end_time", "created_at", "updated_at"):
        if not isinstance(values[name], datetime):  # an old row may hold any text
            values[name] = None
    values["invited_participants"] = [str(name) for name in row.invited_participants]
    if not with_token:
        values["invitation_token"] = None
    values["participants"] = [
        Participant(
            user_id=seat.name, role=seat.role, answer=seat.answer, is_present=seat.is_present
        )
        for seat in seats
    ]
    return Meeting(**values)
