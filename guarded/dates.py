"""Moments as SQLite databases have them: as text, in more than one spelling.

https://www.sqlite.org/lang_datefunc.html has SQLite's own.  JavaScript writes a T and a Z, and an
ORM a space before the zone.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone

SPELLING = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[ T](\d{2}:\d{2})(?::(\d{2})(?:\.(\d{1,6})\d*)?)? ?(Z|[+-]\d{2}:?\d{2})?)?"
)


def moment(text: str) -> datetime | None:
    """Return the moment in UTC, which is also the zone of a text without one; None for a text that
    is no day of the calendar."""
    match = SPELLING.fullmatch(text.strip())
    if match is None:
        return None
    day, time, seconds, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    whole = f"{day} {time or '00:00'}:{seconds or '00'}.{(fraction or '').ljust(6, '0')}{zone}"
    try:
        return in_utc(datetime.fromisoformat(whole))
    except (ValueError, OverflowError):  # the shape of a date, but no day of the calendar
        return None


def in_utc(moment: datetime) -> datetime:
    """Return the same moment in UTC; one without a zone is in UTC already."""
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)
