"""The settings that people see: name, picture, and who may register."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from server import accounts
from server.answers import errors
from server.api import access
from server.api.access import CallerHere, ServerHere
from server.api.shapes import Input, Line
from server.db.model import ServerSettings, utc_now

Mode = Literal["open", "email_suffix", "invitation_only"]
Suffix = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[@.]?[A-Za-z0-9.-]+$")]

public = access.public("settings")
signed = access.signed("settings")


class PublicSettings(BaseModel):
    server_name: str | None
    server_picture: str | None
    registration_mode: str


class AllSettings(PublicSettings):
    allowed_email_suffixes: list[str]


class Change(Input):
    """Only the fields that are given change."""

    server_name: Line = "Meeting Server"
    server_picture: Annotated[str, Field(max_length=50_000)] | None = None
    registration_mode: Mode = "open"
    allowed_email_suffixes: Annotated[list[Suffix], Field(max_length=100)] = Field([])


@public.get("/settings")
def settings(server: ServerHere) -> PublicSettings:
    with server.reading():
        return PublicSettings(**_values(accounts.server_settings(), PublicSettings))


@signed.patch("/settings", responses=errors(403))
def change_settings(change: Change, server: ServerHere, caller: CallerHere) -> AllSettings:
    """Change the settings, and read them all; for admins.  An empty change only reads."""
    with server.writing():
        access.require_admin(server, caller)
        row = apply(change)
    return AllSettings(**_values(row, AllSettings))


def apply(change: Change) -> ServerSettings:
    """Write what is given into the one row; needs a transaction."""
    row = accounts.server_settings()
    if change.model_fields_set:
        for name in change.model_fields_set:
            setattr(row, name, getattr(change, name))
        row.updated_at = utc_now()
        row.save()
    return row


def _values(row: Any, shape: type[BaseModel]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in shape.model_fields}
    if "allowed_email_suffixes" in values:
        values["allowed_email_suffixes"] = [str(s) for s in values["allowed_email_suffixes"]]
    return values
