"""Columns whose stored spelling is older than this server.

Reading never fails and never changes a stored value; writing has one spelling.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from peewee import DateTimeField, TextField

from guarded.dates import in_utc, moment


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
            return moment(value) or value
        if isinstance(value, datetime):
            return in_utc(value)
        return value


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
