"""Identifiers and values as SQL spells them."""

from __future__ import annotations


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def unquote(text: str) -> str:
    mark = text[:1]
    if mark == "[":
        return text[1:-1]
    if mark in ('"', "`", "'"):
        return text[1:-1].replace(mark * 2, mark)
    return text


_LOWER = str.maketrans(
    {chr(code): chr(code + ord("a") - ord("A")) for code in range(ord("A"), ord("Z") + 1)}
)


def fold(name: str) -> str:
    """What two spellings of one identifier have in common: SQLite folds ASCII letters only."""
    return name.translate(_LOWER)


def literal(value: object) -> str:
    """A Python value as an SQL literal, spelled as the driver would store it."""
    if value is None:
        return "NULL"
    if isinstance(value, float) and abs(value) == float("inf"):
        return "9e999" if value > 0 else "-9e999"  # SQL has no word for it
    if isinstance(value, (bool, int, float)):
        return str(int(value) if isinstance(value, bool) else value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"X'{bytes(value).hex()}'"
    return "'" + str(value).replace("'", "''") + "'"
