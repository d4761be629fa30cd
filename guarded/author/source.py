"""Python source of calls, laid out as ruff's formatter lays it out."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import NamedTuple

WIDTH = 100


class Call(NamedTuple):
    """``name(argument, …)``; an argument is source, or a call; ``keyword=`` belongs to its text."""

    name: str
    arguments: Sequence[str | Call] = ()
    keyword: str = ""

    def __str__(self) -> str:
        return f"{self.keyword}{self.name}({', '.join(map(str, self.arguments))})"


def string(text: str) -> str:
    """Return a string literal, in double quotes unless single quotes need fewer escapes."""
    mark = "'" if text.count("'") < text.count('"') else '"'
    for plain in ("\\", mark):
        text = text.replace(plain, f"\\{plain}")
    return mark + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + mark


def lines(value: str | Call, indent: int, end: str = "") -> list[str]:
    """Return the call in as few lines as possible, followed by ``end``."""
    blank = " " * indent
    whole = f"{blank}{value}{end}"
    if len(whole) <= WIDTH or not isinstance(value, Call) or not value.arguments:
        return _split_string(whole) if len(whole) > WIDTH else [whole]
    head, tail = f"{blank}{value.keyword}{value.name}(", f"{blank}){end}"
    inner = f"{blank}    {', '.join(map(str, value.arguments))}"
    if len(inner) <= WIDTH:
        return [head, inner, tail]
    parts = [line for item in value.arguments for line in lines(item, indent + 4, ",")]
    return [head, *parts, tail]


def pack(name: str, items: Sequence[str], indent: int) -> list[str]:
    """Return an assignment of a tuple; a comma makes one item a tuple."""
    if len(items) > 1:
        return lines(Call("", items, keyword=f"{name} = "), indent)
    line = f"{' ' * indent}{name} = ({items[0]},)"
    blank = " " * indent
    return (
        [line]
        if len(line) <= WIDTH
        else [f"{blank}{name} = (", *lines(items[0], indent + 4, ","), f"{blank})"]
    )


def _split_string(line: str) -> list[str]:
    """Split a string literal that is too long for a line into several that Python joins."""
    text = line.strip().removesuffix(",")
    if text[:1] not in ("'", '"') or not text.endswith(text[0]):
        return [line]
    blank = line[: len(line) - len(line.lstrip())]
    end = "," if line.endswith(",") else ""
    words, parts = ast.literal_eval(text).split(" "), [""]
    for number, word in enumerate(words):
        piece = word if number == len(words) - 1 else f"{word} "
        if parts[-1] and len(f"{blank}{string(parts[-1] + piece)},") > WIDTH:
            parts.append("")
        parts[-1] += piece
    rendered = [f"{blank}{string(part)}" for part in parts]
    rendered[-1] += end
    return rendered
