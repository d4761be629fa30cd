"""Signing in by a code from an e-mail, and the sessions of one's devices."""

from __future__ import annotations

import logging
import secrets
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import BackgroundTasks, Request
from peewee import Database, DatabaseError
from pydantic import BaseModel, Field

from server import accounts, mail, rates
from server.answers import Refusal, errors
from server.api import access
from server.api.access import CallerHere, ServerHere, origin_of
from server.api.shapes import Email, Input, Line
from server.codes import TRIES
from server.db.model import ClientSession, Invitation, UserLink, utc_now
from server.db.troubles import Unusable
from server.state import Server

log = logging.getLogger("server")
LIFE = timedelta(days=30)
MOST_DEVICES = 20  # of one user; a newer one signs the least used out

public = access.public("sessions")
signed = access.signed("sessions")


class SignIn(Input):
    email: Email


class Sent(BaseModel):
    message: str


class NewSession(Input):
    email: Email
    code: Annotated[str, Field(pattern=r"^[0-9]{6}$")]
    device_info: Line | None = None


class CreatedSession(BaseModel):
    client_id: str
    session_secret: str = Field(description="Shown this once; it signs the requests")
    user_id: str
    expires_at: datetime = Field(description="Renewed by use")


class Session(BaseModel):
    client_id: str
    device_info: str | None
    created_at: datetime | None
    last_used: datetime | None
    expires_at: datetime | None
    is_this: bool


@public.post("/sign-in", status_code=202)
def sign_in(new: SignIn, request: Request, server: ServerHere, later: BackgroundTasks) -> Sent:
    """Send a code by e-mail, if this server lets the address in.

    The answer is the same for every address, and does not wait for the mail.
    """
    server.rates.require(rates.SIGN_IN, origin_of(request))
    later.add_task(_send_code, server, new.email)
    return Sent(message="if this server lets the address in, a code is on its way")


def _send_code(server: Server, email: str) -> None:
    try:
        with server.reading() as database:
            account = accounts.account_of(database, email)
            settings = accounts.server_settings()
            lets_in = accounts.lets_in(settings, email, server.settings.admins)
    except (DatabaseError, Unusable, Refusal) as exc:
        log.error("no code for %s: %s", email, exc)
        return
    if account.is_closed or not (account.is_known or lets_in):
        return
    if server.rates.hit(rates.CODE_MAIL, email):
        code = server.codes.make(email)
        name = settings.server_name or "Meeting Server"
        server.mail.send(mail.sign_in_code(name, email, code))


@public.post("/sessions", status_code=201, responses=errors(401))
def new_session(new: NewSession, request: Request, server: ServerHere) -> CreatedSession:
    """Sign in with the code, or with the token of an invitation to register."""
    server.rates.require(rates.NEW_SESSION, origin_of(request))
    for rate in (rates.WRONG_CODE, rates.WRONG_CODES):
        if not server.rates.has_left(rate, new.email):
            raise _wrong_code()
    has_code = server.codes.take(new.email, new.code)
    try:
        with server.reading() as database:  # a wrong code takes no lock
            is_closed = accounts.account_of(database, new.email).is_closed
            is_right = has_code or _invitation(new.email, new.code) is not None
        if is_right and not is_closed:
            with server.writing() as database:
                if has_code or _use_invitation(new.email, new.code):
                    return create(database, new.email, new.device_info)
    except Exception:
        if has_code:
            server.codes.give_back(new.email, new.code)
        raise
    server.rates.hit(rates.WRONG_CODES, new.email)
    server.rates.hit(rates.WRONG_CODE, new.email)
    if not server.rates.has_left(rates.WRONG_CODE, new.email):
        server.codes.drop(new.email)
    raise _wrong_code()


def _invitation(email: str, token: str) -> Invitation | None:
    for invitation in accounts.open_invitations(email):
        if secrets.compare_digest(invitation.token.encode(), token.encode()):
            return invitation
    return None


def _use_invitation(email: str, token: str) -> bool:
    invitation = _invitation(email, token)
    if invitation is None:  # another request was faster
        return False
    invitation.used, invitation.used_at = True, utc_now()
    invitation.save(only=[Invitation.used, Invitation.used_at])
    return True


def _wrong_code() -> Refusal:
    return Refusal(
        401,
        "wrong_code",
        f"this code is not good for this address; after {TRIES} tries wait for 10 minutes",
    )


def create(database: Database, email: str, device_info: str | None) -> CreatedSession:
    """Make a session for a verified address; needs a transaction."""
    user_id = accounts.account_of(database, email).user_id
    UserLink.insert(email=email, user_id=user_id).on_conflict_ignore().execute()
    kept = (
        ClientSession.select(ClientSession.client_id)
        .where(ClientSession.user_id == user_id)
        .order_by(ClientSession.last_used.desc())
        .limit(MOST_DEVICES - 1)
    )
    ClientSession.delete().where(
        (ClientSession.user_id == user_id)
        & ClientSession.client_id.not_in([session.client_id for session in kept])
    ).execute()
    made = ClientSession.create(
        client_id=secrets.token_urlsafe(16),
        session_secret=secrets.token_urlsafe(32),
        user_id=user_id,
        device_info=device_info,
        expires_at=utc_now() + LIFE,
    )
    return CreatedSession(
        client_id=made.client_id,
        session_secret=made.session_secret,
        user_id=user_id,
        expires_at=made.expires_at,
    )


@signed.get("/sessions")
def sessions(server: ServerHere, caller: CallerHere) -> list[Session]:
    """The own devices, the last used first."""
    with server.reading():
        found = ClientSession.select().where(ClientSession.user_id == caller.user_id)
        return [
            _shown(session, caller.client_id)
            for session in found.order_by(ClientSession.last_used.desc())
        ]


@signed.delete("/sessions/{client_id}", status_code=204, responses=errors(404))
def delete_session(client_id: Line, server: ServerHere, caller: CallerHere) -> None:
    """Sign one of the own devices out."""
    with server.writing():
        deleted = ClientSession.delete().where(
            (ClientSession.client_id == client_id) & (ClientSession.user_id == caller.user_id)
        )
        if not deleted.execute():
            raise Refusal(404, "not_found", "you have no such session")


def _shown(session: Any, current: str) -> Session:
    moments = {
        name: value if isinstance(value := getattr(session, name), datetime) else None
        for name in ("created_at", "last_used", "expires_at")
    }
    return Session(
        client_id=session.client_id,
        device_info=session.device_info,
        is_this=session.client_id == current,
        **moments,
    )
