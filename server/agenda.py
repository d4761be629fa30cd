"""The list of a user's meetings, in pages.

In SQL, so that a page costs a page; dates compare as SQLite reads them in any spelling.
"""

from __future__ import annotations

import base64
import functools
import json
import operator
from datetime import datetime
from typing import Any, Literal

from peewee import SQL, Tuple, fn

from guarded import dates
from server.answers import Refusal
from server.db.model import Meeting, utc_now
from server.db.sql import is_postgresql, moment

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
    start, end = _comparable(Meeting.start_time), _comparable(Meeting.end_time)
    is_own = Meeting.created_by.in_(sorted(names))
    found = Meeting.select()
    if filter == "mine":
        found = found.where(is_own)
    else:
        found = found.where(is_own | _invites(names))
        now = moment(utc_now())
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


def _comparable(column: Any) -> Any:
    """A date of SQLite that can't be read is before all others; PostgreSQL has none such."""
    return column if is_postgresql() else fn.coalesce(moment(column), "")


def _invites(names: set[str]) -> Any:
    """The condition that one of the invitees has one of these names; an address in any case.

    Most meetings of a large list have no invitees, and comparing a text is cheaper than reading it.
    """
    wanted = sorted(names)
    if is_postgresql():
        # A text that is no JSON would end the statement, so nothing reads it as JSON.  Inside of a
        # string a quotation mark has a backslash, so what stands between two is one name.
        text = Meeting.invited_participants
        spelled = [json.dumps(name, ensure_ascii=False) for name in wanted]
        places = [fn.strpos(text, name) for name in spelled]
        places += [fn.strpos(fn.lower(text), name) for name in spelled if "@" in name]
        return functools.reduce(operator.or_, (place > 0 for place in places))
    marks = ", ".join("?" for _ in names)
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
    start = moment.isoformat(" ") if isinstance(moment, datetime) else ""
    # SQLite's datetime() gives whole seconds without a zone.
    text = json.dumps([start if is_postgresql() else start[:19], row.meeting_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _place(cursor: str) -> tuple[str, str]:
    try:
        start, meeting_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        is_text = isinstance(start, str) and isinstance(meeting_id, str)
        if is_text and _is_comparable(start, meeting_id):
            return start.encode().decode(), meeting_id.encode().decode()
    except (ValueError, TypeError):
        pass
    raise Refusal(404, "no_page", "there is no such page; take the cursor of the page before")


def _is_comparable(start: str, meeting_id: str) -> bool:
    """SQLite compares any texts; PostgreSQL wants a date, and a text without NUL."""
    return not is_postgresql() or (dates.moment(start) is not None and "\0" not in meeting_id)
