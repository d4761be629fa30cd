"""Columns whose stored spelling is older than this server.

Reading never fails and never changes a stored value; writing has one spelling.
"""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

from peewee import DateTimeField, TextField

# What the former server's ORM, SQLite's CURRENT_TIMESTAMP and JavaScript wrote:
# '2025-12-12 10:00:00.000 +00:00', '2025-12-12 10:00:00', '2025-12-12T10:00:00.000Z'.
STORED_DATE = re.compile(
    r"(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(?:\.(\d{1,6})\d*)? ?(Z|[+-]\d{2}:?\d{2})?"
)


class UtcDateTimeField(DateTimeField):
    """Gives aware UTC datetimes, writes ``2025-12-12 10:00:00.000000+00:00``.

    A naive datetime is taken as UTC.  A stored value that is no date (an old fault left the text
    ``CURRENT_TIMESTAMP`` in some rows) comes back as it is, so that saving the row keeps it.
    """

    def db_value(self, value: Any) -> Any:
        value = self.python_value(value)
        if isinstance(value, datetime):
            return value.isoformat(sep=" ", timespec="microseconds")
        return value

    def python_value(self, value: Any) -> Any:
        if isinstance(value, str):
            value = _parse(value)
        if isinstance(value, datetime):
            return _in_utc(value)
        return value


def _parse(text: str) -> datetime | str:
    match = STORED_DATE.fullmatch(text.strip())
    if match is None:
        return text
    day, time, fraction, zone = match.groups()
    zone = "+00:00" if zone in (None, "Z") else f"{zone[:3]}:{zone[-2:]}"
    moment = f"{day} {time}.{(fraction or '').ljust(6, '0')}{zone}"
    try:
        return _in_utc(datetime.fromisoformat(moment))
    except (ValueError, OverflowError):  # the shape of a date, but no day of the calendar
        return text


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    return moment.astimezone(timezone.utc)


class JSONListField(TextField):
    """A list, stored as a JSON array.

    NULL, SQL's and JSON's, reads as an empty list.  Text that is no JSON array comes back as the
    one item of a list, so that nothing is hidden and a listing never breaks.
    """

    def db_value(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return json.dumps(list(value), ensure_ascii=False, separators=(",", ":"))
        return value

    def python_value(self, value: Any) -> Any:
        if value is None:
            return []
        try:
            items = json.loads(value)
        except (TypeError, ValueError):
            return [value]
        if items is None:
            return []
        return items if isinstance(items, list) else [items]
