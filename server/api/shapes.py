"""Values that more than one request or answer holds.

Input is strict: a number is no text, and a field that is not known is refused.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)

# Control characters have no place in a line: it may go into the header of a mail.
LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]+$"
WORD = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
HOST = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL = rf"^{WORD}(\.{WORD})*@{HOST}(\.{HOST})*$"
# RFC 3339, section 5.6.
MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-]\d\d:\d\d))"
)


class Input(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


def _moment(value: Any) -> datetime:
    match = MOMENT.fullmatch(value) if isinstance(value, str) and value.isascii() else None
    if match is None:
        raise ValueError("a date and time with a zone, like 2026-12-01T10:00:00Z, is wanted")
    day, time, fraction, _, zone = match.groups()
    micros = (fraction or "")[:6].ljust(6, "0")
    try:
        found = datetime.fromisoformat(f"{day}T{time}.{micros}{zone or '+00:00'}")
        return found.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise ValueError("there is no such day or time") from None


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="validation"),
]
Line = Annotated[str, Field(min_length=1, max_length=255, pattern=LINE)]
Text = Annotated[str, Field(max_length=10_000)]
Email = Annotated[str, Field(max_length=254, pattern=EMAIL), AfterValidator(str.lower)]
Name = Annotated[Line, Field(description="A user id or an e-mail address")]
