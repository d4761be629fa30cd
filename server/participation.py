"""The participants of a meeting, and their rights in it.

Who is invited lasts, in the meeting's own row, by user id or e-mail address.  Roles, answers and
presence are in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import Database

from server import accounts
from server.answers import Refusal
from server.db.model import LiveParticipant, Meeting, utc_now

OWNER, MANAGER, MEMBER = "meeting_owner", "meeting_manager", "meeting_member"


class Seat(NamedTuple):
    """One participant as others see them; ``name`` is what the invitation says."""

    name: str
    role: str
    answer: str | None
    is_present: bool


class Standing(NamedTuple):
    """A meeting that a user may see, and what this user is in it."""

    meeting: Any
    names: frozenset[str]
    role: str | None
    is_admin: bool

    @property
    def is_owner(self) -> bool:
        return self.role == OWNER

    @property
    def may_change(self) -> bool:
        return self.is_owner or self.is_admin

    @property
    def may_manage(self) -> bool:
        return self.may_change or self.role == MANAGER

    def require(self, may: bool) -> None:
        """Raises Refusal (403)."""
        if not may:
            raise Refusal(403, "not_yours", "only the owner of the meeting may do this")


def standing(
    database: Database, admins: tuple[str, ...], meeting_id: str, user_id: str
) -> Standing:
    """Raises Refusal (404) for a meeting that is not there, or that this user may not see."""
    meeting = Meeting.get_or_none(Meeting.meeting_id == meeting_id)
    if meeting is None:
        raise no_meeting()
    names = frozenset(accounts.names_of(database, user_id))
    role = None
    if meeting.created_by in names:
        role = OWNER
    elif is_invited(meeting, names):
        role = role_of(meeting_id, user_id)
    is_admin = accounts.is_admin(database, admins, user_id)
    if role is None and not is_admin:
        raise no_meeting()
    return Standing(meeting, names, role, is_admin)


def no_meeting() -> Refusal:
    return Refusal(404, "not_found", "there is no such meeting")


def invitees(meeting: Any) -> list[str]:
    """As they were invited, each once, without the owner; old rows may hold anything."""
    listed = [str(name) for name in meeting.invited_participants]
    return [name for name in dict.fromkeys(listed) if name != meeting.created_by]


def is_invited(meeting: Any, names: frozenset[str]) -> bool:
    return any(matches(name, names) for name in invitees(meeting))


def matches(name: str, names: frozenset[str]) -> bool:
    """Tell whether an invitation is for the user with these names.  Case counts in ids alone."""
    return name in names or ("@" in name and name.lower() in names)


def role_of(meeting_id: str, user_id: str) -> str:
    row = _live(meeting_id, user_id)
    return row.role if row is not None else MEMBER


def seats(database: Database, meetings: Sequence[Any]) -> dict[str, list[Seat]]:
    """Of each meeting, by its id: the owner first, then in the order of invitation."""
    ids = [meeting.meeting_id for meeting in meetings]
    rows = LiveParticipant.select().where(LiveParticipant.meeting_id.in_(ids))
    live = {(row.meeting_id, row.user_id): row for row in rows}
    invited = {meeting.meeting_id: invitees(meeting) for meeting in meetings}
    addresses = {name.lower() for names in invited.values() for name in names if "@" in name}
    users = accounts.users_of(database, addresses)
    found = {}
    for meeting in meetings:
        key = meeting.meeting_id
        found[key] = [seat_of(meeting.created_by, live.get((key, meeting.created_by)), OWNER)]
        for name in invited[key]:
            user_id = users.get(name.lower(), name)
            found[key].append(seat_of(name, live.get((key, user_id)), MEMBER))
    return found


def seat_of(name: str, row: Any, role: str) -> Seat:
    if row is None:
        return Seat(name, role, None, False)
    return Seat(name, OWNER if role == OWNER else row.role, row.answer, row.is_present)


def user_of(database: Database, name: str) -> str:
    """The user id that an invitation by id or address stands for."""
    return accounts.users_of(database, [name.lower()])[name.lower()] if "@" in name else name


def update(meeting_id: str, user_id: str, **values: Any) -> Any:
    """Change what is live about a participant; gives the row.

    In one statement, so that two requests at once never undo each other.
    """
    values["updated_at"] = utc_now()
    new = LiveParticipant.insert(meeting_id=meeting_id, user_id=user_id, **values)
    new.on_conflict(
        conflict_target=[LiveParticipant.meeting_id, LiveParticipant.user_id],
        update=values,
    ).execute()
    return _live(meeting_id, user_id)


def forget(meeting_id: str, user_id: str | None = None) -> None:
    """Drop what is live about a meeting, or about one participant of it."""
    gone = LiveParticipant.delete().where(LiveParticipant.meeting_id == meeting_id)
    if user_id is not None:
        gone = gone.where(LiveParticipant.user_id == user_id)
    gone.execute()


def _live(meeting_id: str, user_id: str) -> Any:
    return LiveParticipant.get_or_none(
        (LiveParticipant.meeting_id == meeting_id) & (LiveParticipant.user_id == user_id)
    )
