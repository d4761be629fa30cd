"""Accounts: the user behind an e-mail address, and the addresses that may register.

An address that ``user_links`` ties to a user signs in as that user.  Else, in a database of the
former server, it signs in as the ``uuid`` of the table ``Users``.  Else its user id is the address
itself, in lower case.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from peewee import Database, fn

from server.db.model import Invitation, ServerSettings, UserLink, utc_now
from server.db.sql import columns_of

FORMER_USERS = "Users"


class Account(NamedTuple):
    """``is_known``: has been here before, so that the registration mode does not matter.
    ``is_closed``: the former server had this user's account closed."""

    user_id: str
    is_known: bool
    is_closed: bool


def account_of(database: Database, email: str) -> Account:
    """The account behind a verified address in lower case."""
    former = _former(database, "lower(email) = ?", email)
    is_closed = bool(former) and not former[0].get("active", 1)
    link = UserLink.get_or_none(UserLink.email == email)
    if link is not None:
        return Account(link.user_id, True, is_closed)
    if former:
        return Account(str(former[0]["uuid"]), True, is_closed)
    return Account(email, False, False)


def users_of(database: Database, emails: Collection[str]) -> dict[str, str]:
    """The user id of each address in lower case; two questions, however many there are."""
    wanted = sorted(set(emails))
    found = {email: email for email in wanted}
    if wanted:
        marks = ", ".join("?" for _ in wanted)
        for row in _former(database, f"lower(email) IN ({marks})", *wanted):
            found[str(row["email"]).lower()] = str(row["uuid"])
        for link in UserLink.select().where(UserLink.email.in_(wanted)):
            found[link.email] = link.user_id
    return found


def addresses_of(database: Database, user_id: str) -> list[str]:
    """The e-mail addresses that sign in as this user, in lower case."""
    links = UserLink.select(UserLink.email).where(UserLink.user_id == user_id)
    found = [link.email for link in links]
    found += [str(row["email"]).lower() for row in _former(database, "uuid = ?", user_id)]
    if "@" in user_id:
        found.append(user_id.lower())
    return list(dict.fromkeys(found))


def names_of(database: Database, user_id: str) -> set[str]:
    """Every name under which a meeting may have invited this user."""
    return {user_id, *addresses_of(database, user_id)}


def is_admin(database: Database, admins: tuple[str, ...], user_id: str) -> bool:
    """Tell whether one of the addresses in ADMINS signs in as this user."""
    return user_id in users_of(database, admins).values()


def server_settings() -> ServerSettings:
    """The one row; its defaults while there is none."""
    found = ServerSettings.select().order_by(ServerSettings.id).first()
    return found if found is not None else ServerSettings()


def open_invitations(email: str) -> list[Invitation]:
    """Unused invitations of an address whose time is not over.

    A date that can't be read is over.
    """
    invited = Invitation.select().where(
        (fn.lower(Invitation.email) == email) & (Invitation.used == False)  # noqa: E712
    )
    return [invitation for invitation in invited if not is_over(invitation.expires_at)]


def is_over(moment: Any) -> bool:
    """Tell whether a stored moment has passed.  One that can't be read has."""
    try:
        return bool(moment <= utc_now())
    except TypeError:
        return True


def lets_in(settings: ServerSettings, email: str, admins: tuple[str, ...]) -> bool:
    """Tell whether the registration mode lets a new address in."""
    if email in admins or settings.registration_mode == "open":
        return True
    if settings.registration_mode == "email_suffix":
        return any(_has_suffix(email, str(s).lower()) for s in settings.allowed_email_suffixes)
    return bool(open_invitations(email))


def _has_suffix(email: str, suffix: str) -> bool:
    """``example.org`` and ``@example.org`` mean this host alone; ``.org`` means all below it."""
    host = email.rpartition("@")[2]
    if suffix.startswith("."):
        return host.endswith(suffix)
    return bool(suffix) and host == suffix.removeprefix("@")


def _former(database: Database, condition: str, *values: str) -> list[dict[str, Any]]:
    """Rows of the former server's users; none where there is no such table."""
    columns = {row[0] for row in database.execute_sql(columns_of(FORMER_USERS))}
    if not {"email", "uuid"} <= columns:
        return []
    wanted = ["email", "uuid", *(columns & {"active"})]
    condition = condition.replace("?", database.param)
    sql = f'SELECT {", ".join(wanted)} FROM "{FORMER_USERS}" WHERE {condition} ORDER BY email'
    return [dict(zip(wanted, row)) for row in database.execute_sql(sql, values)]
