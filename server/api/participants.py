"""Participants: invite them, answer, come, leave."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from server import participation
from server.answers import Refusal, errors
from server.api import access
from server.api.access import CallerHere, ServerHere
from server.api.meetings import Participant
from server.api.shapes import Input, Line, Name
from server.db.model import utc_now
from server.participation import Standing

MOST = 500  # invitees of a meeting

router = access.signed("participants")


class Participation(Input):
    """``role`` is for the owner to set; ``answer`` and ``is_present`` for the participant."""

    role: Literal["meeting_manager", "meeting_member"] = "meeting_member"
    answer: Literal["accepted", "tentative", "declined"] | None = None
    is_present: Annotated[bool, Field(description="In the meeting now")] = False


@router.put("/meetings/{meeting_id}/participants/{user}", responses=errors(403, 404, 409))
def put_participant(
    meeting_id: Line, user: Name, new: Participation, server: ServerHere, caller: CallerHere
) -> Participant:
    """Invite somebody or change a role, as the owner or a manager; or answer, as the invitee."""
    with server.writing() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        is_self = participation.matches(user, seen.names)
        _check_rights(seen, new, is_self)
        if not is_self:
            user = _invite(seen.meeting, user)
        user_id = caller.user_id if is_self else participation.user_of(database, user)
        values = {name: getattr(new, name) for name in new.model_fields_set}
        row = participation.update(meeting_id, user_id, **values)
    role = participation.OWNER if is_self and seen.is_owner else participation.MEMBER
    seat = participation.seat_of(user, row, role)
    return Participant(user_id=user, role=seat.role, answer=seat.answer, is_present=seat.is_present)


def _check_rights(seen: Standing, new: Participation, is_self: bool) -> None:
    given = new.model_fields_set
    if is_self and seen.role is None:
        raise Refusal(403, "not_invited", "an admin who is not invited can't take part")
    if "role" in given:
        seen.require(seen.may_change)
    elif not is_self:
        seen.require(seen.may_manage)
    if is_self and "role" in given and seen.is_owner:
        raise Refusal(409, "owner", "the owner's role can't change")
    if not is_self and given - {"role"}:
        raise Refusal(403, "not_you", "everybody answers for themselves")


def _invite(meeting: Any, user: str) -> str:
    """Add somebody to the invitees; gives the name under which they are there."""
    invited = participation.invitees(meeting)
    for name in [meeting.created_by, *invited]:
        if participation.matches(name, frozenset({user, user.lower()})):
            return str(name)
    if len(invited) >= MOST:
        raise Refusal(409, "full", f"a meeting takes {MOST} invitees at most")
    meeting.invited_participants = [*invited, user]
    meeting.updated_at = utc_now()
    meeting.save()
    return user


@router.delete(
    "/meetings/{meeting_id}/participants/{user}",
    status_code=204,
    responses=errors(403, 404, 409),
)
def delete_participant(
    meeting_id: Line, user: Name, server: ServerHere, caller: CallerHere
) -> None:
    """Leave a meeting; or take an invitation back, as the owner or a manager."""
    with server.writing() as database:
        seen = participation.standing(database, server.settings.admins, meeting_id, caller.user_id)
        is_self = participation.matches(user, seen.names)
        if is_self and seen.is_owner:
            raise Refusal(409, "owner", "the owner can't leave; delete the meeting")
        if not is_self:
            seen.require(seen.may_manage)
        names = seen.names if is_self else frozenset({user, user.lower()})
        invited = participation.invitees(seen.meeting)
        kept = [name for name in invited if not participation.matches(name, names)]
        if len(kept) == len(invited):
            raise Refusal(404, "not_found", "nobody of that name is invited")
        seen.meeting.invited_participants = kept
        seen.meeting.updated_at = utc_now()
        seen.meeting.save()
        user_id = caller.user_id if is_self else participation.user_of(database, user)
    participation.forget(meeting_id, user_id)
