"""Invitations to register at this server; for admins."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, Field

from server import accounts, mail
from server.answers import Refusal, errors, not_now
from server.api import access
from server.api.access import CallerHere, ServerHere
from server.api.shapes import Email, Input
from server.codes import six_digits
from server.db.model import Invitation as Row
from server.db.model import utc_now

LIFE = timedelta(hours=48)
MOST = 1000  # unused ones at a time
TRIES = 20

router = access.signed("invitations")


class NewInvitation(Input):
    email: Email


class Invitation(BaseModel):
    id: int
    email: str
    token: str = Field(description="Counts as the code of the first sign-in")
    created_at: datetime | None
    expires_at: datetime | None
    used: bool
    used_at: datetime | None
    invited_by: str


@router.get("/invitations", responses=errors(403))
def invitations(server: ServerHere, caller: CallerHere) -> list[Invitation]:
    """The newest first."""
    with server.reading():
        access.require_admin(server, caller)
        return [_shown(row) for row in Row.select().order_by(Row.id.desc()).limit(MOST)]


@router.post("/invitations", status_code=201, responses=errors(403, 409))
def invite(new: NewInvitation, server: ServerHere, caller: CallerHere) -> Invitation:
    """Send an invitation by e-mail; good for 48 hours and one sign-in."""
    with server.writing():
        access.require_admin(server, caller)
        if Row.select().where(Row.used == False).count() >= MOST:  # noqa: E712
            raise Refusal(409, "too_many_invitations", f"{MOST} are unused; delete some first")
        row = create(new.email, caller.user_id)
        name = accounts.server_settings().server_name or "Meeting Server"
    server.mail.send(mail.registration(name, row.email, row.token, server.settings.public_url))
    return _shown(row)


def create(email: str, invited_by: str) -> Row:
    """Make an invitation; needs a transaction."""
    for _ in range(TRIES):
        token = six_digits()
        if Row.get_or_none(Row.token == token) is None:
            return Row.create(
                email=email, token=token, expires_at=utc_now() + LIFE, invited_by=invited_by
            )
    raise not_now("no_token", "no free token was found; try again")


@router.delete("/invitations/{invitation_id}", status_code=204, responses=errors(403, 404))
def delete_invitation(
    invitation_id: Annotated[int, Path(ge=1, le=2**63 - 1)],
    server: ServerHere,
    caller: CallerHere,
) -> None:
    """Take an invitation back."""
    with server.writing():
        access.require_admin(server, caller)
        if not Row.delete().where(Row.id == invitation_id).execute():
            raise Refusal(404, "not_found", "there is no such invitation")


def _shown(row: Any) -> Invitation:
    values = {name: getattr(row, name) for name in Invitation.model_fields}
    for name in ("created_at", "expires_at", "used_at"):
        if not isinstance(values[name], datetime):  # an old row may hold any text
            values[name] = None
    return Invitation(**values)
