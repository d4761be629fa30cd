"""Commands for the host: ``python -m server session add EMAIL``, and the like.

They work on the same database, also while the server runs.  Exit status: 0 done; 2 wrong usage, or
a database that can't be used, in one line.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click
from peewee import Database, DatabaseError
from pydantic import TypeAdapter, ValidationError

from guarded.errors import UnusableDatabase
from server import accounts, mail
from server.api import invitations, sessions
from server.api.settings import Change, apply
from server.api.shapes import Email, Line
from server.db import model
from server.db.model import UserLink
from server.db.served import locate
from server.db.troubles import Unusable
from server.readiness import listed_now, look
from server.settings import BadSetting, Settings, settings

ON_HOST = "the host"  # who invites


class OneLine(click.Group):
    """Errors in one line, as everywhere in this project."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        try:
            super().main(*args, **{**extra, "standalone_mode": False})
        except click.ClickException as exc:
            message = " ".join(exc.format_message().split())
            click.echo(f"error: {message}", err=True)
            sys.exit(2)
        except click.Abort:
            sys.exit(130)
        sys.exit(0)


class AddressType(click.ParamType[str]):
    name = "EMAIL"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return TypeAdapter(Email).validate_python(value)
        except ValidationError:
            self.fail(f"'{value}' is no e-mail address", param, ctx)


class UserType(click.ParamType[str]):
    name = "ID"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        try:
            return TypeAdapter(Line).validate_python(value)
        except ValidationError:
            self.fail("an id has 1 to 255 characters, in one line", param, ctx)


email_argument = click.argument("email", type=AddressType())


@click.group(
    cls=OneLine,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def cli() -> None:
    """Administer the meeting server on its host; without a command, serve.

    The database is DATABASE_URL, else DB_PATH, else data/meetings.sqlite.
    """


@cli.group(cls=OneLine, no_args_is_help=False)
def session() -> None:
    """Sessions of users."""


@session.command()
@email_argument
@click.option("--device", default="added on the host", show_default=True, type=UserType())
def add(email: str, device: str) -> None:
    """Sign EMAIL in without a code; print the session as JSON, with its secret."""
    with writing() as (database, _):
        made = sessions.create(database, email, device)
    click.echo(made.model_dump_json(indent=2))


@cli.command()
@email_argument
def invite(email: str) -> None:
    """Invite EMAIL to register; print the token, and send it by SMTP_URL if that is set."""
    with writing() as (_, configured):
        row = invitations.create(email, ON_HOST)
        name = accounts.server_settings().server_name or "Meeting Server"
    click.echo(f"{email} signs in with the code {row.token}, within 48 hours")
    if configured.mail is not None:
        letter = mail.registration(name, email, row.token, configured.public_url)
        try:
            mail.deliver(configured.mail, mail.compose(letter, configured.mail.sender))
        except mail.FAILURES as exc:
            raise click.ClickException(f"invited, but the mail was not sent: {exc}") from exc


@cli.command("settings")
@click.argument("key", type=click.Choice(list(Change.model_fields)))
@click.argument("value")
def change_settings(key: str, value: str) -> None:
    """Set KEY to VALUE; a list is comma-separated."""
    try:
        change = Change.model_validate({key: _parsed(key, value)})
    except ValidationError as exc:
        raise click.UsageError(f"{key}: {exc.errors()[0]['msg']}") from exc
    with writing():
        row = apply(change)
    click.echo(f"{key} is {json.dumps(getattr(row, key), ensure_ascii=False)}")


def _parsed(key: str, value: str) -> Any:
    if key == "allowed_email_suffixes":
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


@cli.group(cls=OneLine, no_args_is_help=False)
def user() -> None:
    """Users and their addresses."""


@user.command()
@email_argument
@click.argument("user_id", metavar="ID", type=UserType())
def link(email: str, user_id: str) -> None:
    """Let EMAIL sign in as the user ID from now on."""
    with writing():
        UserLink.insert(email=email, user_id=user_id).on_conflict(
            conflict_target=[UserLink.email], update={"user_id": user_id}
        ).execute()
    click.echo(f"{email} signs in as {user_id}")


@contextmanager
def writing() -> Iterator[tuple[Database, Settings]]:
    """One transaction on the database of the settings.  Raises ClickException."""
    try:
        configured = settings()
        served = locate(configured.database)
        readiness = look(served, listed_now())
        if not readiness.is_current:
            raise click.ClickException(readiness.message)
        opened = served.open(timeout=configured.busy_timeout)
        model.database.initialize(opened.database)
        with opened.writing() as database:
            yield database, configured
        opened.close()
    except (BadSetting, UnusableDatabase, Unusable, DatabaseError, OSError) as exc:
        raise click.ClickException(str(exc)) from exc
