"""Python source of calls, laid out as ruff's formatter lays it out."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

WIDTH = 100


class Call(NamedTuple):
    """``name(argument, …)``; an argument is source, or a call; ``keyword=`` belongs to its text.

    Without a name it is a list or a tuple, as ``brackets`` say.
    """

    name: str
    arguments: Sequence[str | Call] = ()
    keyword: str = ""
    brackets: str = "()"

    def __str__(self) -> str:
        opening, closing = tuple(self.brackets)
        comma = "," if self._is_single_tuple else ""
        inner = f"{', '.join(map(str, self.arguments))}{comma}"
        return f"{self.keyword}{self.name}{opening}{inner}{closing}"

    @property
    def _is_single_tuple(self) -> bool:
        return not self.name and self.brackets == "()" and len(self.arguments) == 1


def list_of(items: Iterable[str | Call], keyword: str = "") -> Call:
    return Call("", tuple(items), keyword, "[]")


def tuple_of(items: Iterable[str | Call], keyword: str = "") -> Call:
    return Call("", tuple(items), keyword)


def string(text: str) -> str:
    """A string literal, in double quotes unless single ones need fewer escapes."""
    return _quoted(text, lambda c: c if c.isprintable() else repr(c)[1:-1])


def bytestring(value: bytes) -> str:
    text = value.decode("latin-1")
    return f"b{_quoted(text, lambda c: repr(c.encode('latin-1'))[2:-1])}"


def _quoted(text: str, spelled: Callable[[str], str]) -> str:
    mark = "'" if text.count("'") < text.count('"') else '"'
    escaped = {"\\": "\\\\", "'": "'", '"': '"', mark: f"\\{mark}"}
    return mark + "".join(escaped.get(c) or spelled(c) for c in text) + mark


def lines(value: str | Call, indent: int, end: str = "") -> list[str]:
    """The call in as few lines as fit, followed by ``end``."""
    blank = " " * indent
    whole = f"{blank}{value}{end}"
    if width(whole) <= WIDTH:
        return [whole]
    if not isinstance(value, Call) or not value.arguments:
        return _split_string(str(value), indent, end)
    opening, closing = tuple(value.brackets)
    head, tail = f"{blank}{value.keyword}{value.name}{opening}", f"{blank}{closing}{end}"
    inner = f"{blank}    {', '.join(map(str, value.arguments))}"
    if value.name and width(inner) <= WIDTH:
        return [head, inner, tail]
    parts = [line for item in value.arguments for line in lines(item, indent + 4, ",")]
    return [head, *parts, tail]


def width(line: str) -> int:
    """The columns that a line takes, as ruff counts them: wide characters take two."""
    if line.isascii():
        return len(line)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in line
    )


LITERAL = re.compile(r"""(?P<keyword>\w+ ?= ?)?(?P<bytes>b?)(?P<text>["'].*["'])""", re.DOTALL)


def _split_string(value: str, indent: int, end: str) -> list[str]:
    """A string literal that is too long for a line, as several that Python joins."""
    found = LITERAL.fullmatch(value)
    blank = " " * indent
    if found is None:
        return [f"{blank}{value}{end}"]
    keyword = found["keyword"] or ""
    inner = f"{blank}    " if keyword else blank
    room = WIDTH - len(inner) - 1
    parts = _parts(ast.literal_eval(found["bytes"] + found["text"]), room)
    if len(parts) == 1 and not keyword:
        return [f"{blank}{value}{end}"]
    if keyword:
        return [f"{blank}{keyword}(", *(f"{inner}{part}" for part in parts), f"{blank}){end}"]
    return [*(f"{blank}{part}" for part in parts[:-1]), f"{blank}{parts[-1]}{end}"]


def _parts(value: str | bytes, room: int) -> list[str]:
    """Literals of at most ``room`` columns each, cut after blanks where there are any."""
    if isinstance(value, bytes):
        pieces = [value[i : i + 20] for i in range(0, len(value), 20)]
        return [bytestring(piece) for piece in pieces]
    parts = [""]
    for piece in re.findall(r"\S{0,9}\s|\S{1,9}", value):
        if parts[-1] and width(string(parts[-1] + piece)) > room:
            parts.append(_moved_word(parts, piece))
        else:
            parts[-1] += piece
    return [string(part) for part in parts]


def _moved_word(parts: list[str], piece: str) -> str:
    """The beginning of a line, with the part of its first word that was on the line before."""
    before, blank, begun = parts[-1].rpartition(" ")
    if not blank or len(begun) > 40:
        return piece
    parts[-1] = before + blank
    return begun + piece
