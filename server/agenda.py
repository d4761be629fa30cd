"""The list of a user's meetings, in pages.

In SQL, so that a page costs a page; dates compare as SQLite reads them in any spelling.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any, Literal

from peewee import SQL, Tuple, fn

from server.answers import Refusal
from server.db.model import Meeting

Filter = Literal["upcoming", "past", "mine"]


def page(
    names: set[str], filter: Filter, limit: int, cursor: str | None
) -> tuple[list[Any], str | None]:
    """A page of own meetings and those with an invitation, and the cursor of the next page.

    Raises Refusal (404) for a cursor that no page has given.
    """
    after = _place(cursor) if cursor is not None else None
    rows = list(_visible(names, filter, after).limit(limit + 1))
    return rows[:limit], _cursor(rows[limit - 1]) if len(rows) > limit else None


def _visible(names: set[str], filter: Filter, after: tuple[str, str] | None) -> Any:
    start = fn.coalesce(fn.datetime(Meeting.start_time), "")
    end = fn.coalesce(fn.datetime(Meeting.end_time), "")
    is_own = Meeting.created_by.in_(sorted(names))
    found = Meeting.select()
    if filter == "mine":
        found = found.where(is_own)
    else:
        found = found.where(is_own | _invites(names))
        now = fn.datetime("now")
        found = found.where(end <= now if filter == "past" else end > now)
    if filter == "upcoming":
        found = found.order_by(start, Meeting.meeting_id)
        return (
            found
            if after is None
            else found.where(Tuple(start, Meeting.meeting_id) > Tuple(*after))
        )
    found = found.order_by(start.desc(), Meeting.meeting_id.desc())
    return found if after is None else found.where(Tuple(start, Meeting.meeting_id) < Tuple(*after))


def _invites(names: set[str]) -> Any:
    """The condition that one of the invitees has one of these names; an address in any case.

    Most meetings of a large list have no invitees, and comparing a text is cheaper than reading it.
    """
    marks = ", ".join("?" for _ in names)
    wanted = sorted(names)
    return SQL(
        "invited_participants <> '[]' AND EXISTS (SELECT 1 FROM json_each("
        "iif(json_valid(invited_participants), invited_participants, '[]')) AS i "
        f"WHERE i.value IN ({marks}) "
        f"OR (instr(i.value, '@') AND lower(i.value) IN ({marks})))",
        [*wanted, *wanted],
    )


def _cursor(row: Any) -> str:
    """The place behind a row, in the order of a list."""
    moment = row.start_time
    start = moment.isoformat(" ", "seconds")[:19] if isinstance(moment, datetime) else ""
    text = json.dumps([start, row.meeting_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _place(cursor: str) -> tuple[str, str]:
    try:
        start, meeting_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if isinstance(start, str) and isinstance(meeting_id, str):
            return start.encode().decode(), meeting_id.encode().decode()
    except (ValueError, TypeError):
        pass
    raise Refusal(404, "no_page", "there is no such page; take the cursor of the page before")
