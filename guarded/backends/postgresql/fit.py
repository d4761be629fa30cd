"""Values from another kind of database as PostgreSQL's types take them.

A value that would be rounded, cut or read as another is not changed in silence: it does not fit.
"""

from __future__ import annotations

import json
import math
import re
import struct
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from guarded.backends.interface import Unfit
from guarded.dates import in_utc, moment

Fit = Callable[[Any], Any]
SIZES = re.compile(r"\((\d+)(?:,(\d+))?\)")
WHOLE = re.compile(r"[+-]?\d+")
INTEGERS = {"smallint": 16, "integer": 32, "bigint": 64}
SPELLED = {
    **dict.fromkeys(("t", "true", "y", "yes", "on", "1"), True),
    **dict.fromkeys(("f", "false", "n", "no", "off", "0"), False),
}
FORMS = {bool: "a boolean", int: "a number", float: "a number", str: "text", bytes: "bytes"}


def fit(storage: str) -> Fit:
    """Return what makes of a value, which is not None, one for a column of this type.

    It raises Unfit, with the reason.  A type that is not known here gets the value as it is.
    """
    name = SIZES.sub("", storage)
    found = SIZES.search(storage)
    sizes = [int(size) for size in found.groups(default="0")] if found else []
    if name in INTEGERS:
        return _whole(name, INTEGERS[name])
    if name == "numeric":
        return _decimal(*sizes)
    limit = sizes[0] if sizes and name in ("character varying", "character") else None
    return FITS.get(name, _as_it_is) if limit is None else _text_of(limit)


def _text(value: Any) -> str:
    if type(value) is not str:
        if not isinstance(value, (int, float, bytes)):
            raise Unfit(f"is {_form(value)}, not text")
        try:
            value = value.decode() if isinstance(value, bytes) else str(value)
        except UnicodeDecodeError as exc:
            raise Unfit("has bytes that are no UTF-8") from exc
    if "\0" in value:
        raise Unfit("has the character NUL, which no text may have here")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:  # how the source hands on such bytes
            raise Unfit("has bytes that are no UTF-8") from exc
    return str(value)


def _text_of(limit: int) -> Fit:
    def short(value: Any) -> str:
        text = _text(value)
        if len(text) > limit:
            raise Unfit(f"has {len(text)} characters, and {limit} fit")
        return text

    return short


def _whole(name: str, bits: int) -> Fit:
    highest = 2 ** (bits - 1) - 1

    def whole(value: Any) -> int:
        if type(value) is not int:
            is_whole = isinstance(value, float) and value.is_integer()
            if is_whole or (isinstance(value, str) and WHOLE.fullmatch(value.strip())):
                value = int(value)
            elif not isinstance(value, int):
                raise Unfit(f"is {_form(value)}, not a whole number")
        if not -highest - 1 <= value <= highest:
            raise Unfit(f"is beyond the range of {name}")
        return int(value)

    return whole


def _double(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError) as exc:
        raise Unfit(f"is {_form(value)}, not a number") from exc
    if isinstance(value, int) and number != value:
        raise Unfit("has more digits than double precision keeps")
    return number


def _single(value: Any) -> float:
    """PostgreSQL gives the shortest number that is stored alike."""
    number = _double(value)
    if math.isfinite(number):
        try:
            stored = struct.pack("<f", number)
        except OverflowError as exc:
            raise Unfit("is beyond the range of real") from exc
        (near,) = struct.unpack("<f", stored)
        texts = (f"{near:.{digits}g}" for digits in (6, 7, 8, 9))
        shortest = next(t for t in texts if struct.pack("<f", float(t)) == stored)
        if float(shortest) != number:
            raise Unfit(f"has more digits than real keeps, which makes {shortest} of it")
    return number


def _decimal(precision: int | None = None, scale: int = 0) -> Fit:
    def decimal(value: Any) -> Decimal:
        if not isinstance(value, (int, float, str, Decimal)):
            raise Unfit(f"is {_form(value)}, not a number")
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation as exc:
            raise Unfit("is text, not a number") from exc
        if not number.is_finite():
            raise Unfit("is not finite")
        if precision is not None:
            whole, _, behind = f"{abs(number):f}".partition(".")
            if len(behind.rstrip("0")) > scale:
                raise Unfit(f"has more than {scale} digits behind the point")
            if len(whole.lstrip("0")) > precision - scale:
                raise Unfit(f"has more than {precision - scale} digits before the point")
        return number

    return decimal


def _boolean(value: Any) -> bool:
    found = SPELLED.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None and not isinstance(value, (str, bytes)) and value in (0, 1):
        found = bool(value)
    if found is None:
        raise Unfit("is neither true nor false")
    return found


def _moment(value: Any) -> datetime:
    if isinstance(value, str):
        value = moment(value)
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise Unfit("is no date that can be read")
    return in_utc(value)


def _moment_without_zone(value: Any) -> datetime:
    return _moment(value).replace(tzinfo=None)


def _day(value: Any) -> date:
    found = _moment(value)
    if found - datetime.combine(found.date(), time(), found.tzinfo) != timedelta():
        raise Unfit("has a time, and only the day fits")
    return found.date()


def _time(value: Any) -> time:
    if isinstance(value, str):
        try:
            value = time.fromisoformat(value.strip())
        except ValueError as exc:
            raise Unfit("is no time that can be read") from exc
    if not isinstance(value, time) or value.tzinfo is not None:
        raise Unfit("is no time without a zone")
    return value


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise Unfit(f"is {_form(value)}, not bytes")
    return bytes(value)


def _uuid(value: Any) -> uuid.UUID:
    try:
        if isinstance(value, bytes):
            return uuid.UUID(bytes=value)
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    except (AttributeError, TypeError, ValueError) as exc:
        raise Unfit("is no UUID") from exc


def _json(value: Any) -> str:
    text = _text(value)
    try:
        json.loads(text, parse_constant=_no_json)
    except (ValueError, RecursionError) as exc:
        raise Unfit("is no JSON") from exc
    return text


def _jsonb(value: Any) -> str:
    text = _json(value)
    if "\\u0000" in text:
        raise Unfit("has the character NUL, which no text may have here")
    return text


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def _as_it_is(value: Any) -> Any:
    return _text(value) if isinstance(value, str) else value


def _form(value: Any) -> str:
    return FORMS.get(type(value), f"of the type {type(value).__name__}")


FITS: dict[str, Fit] = {
    "text": _text,
    "character varying": _text,
    "double precision": _double,
    "real": _single,
    "boolean": _boolean,
    "timestamp with time zone": _moment,
    "timestamp without time zone": _moment_without_zone,
    "date": _day,
    "time without time zone": _time,
    "bytea": _bytes,
    "uuid": _uuid,
    "json": _json,
    "jsonb": _jsonb,
}
