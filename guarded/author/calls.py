"""Calls of the migrator's verbs, as source."""

from __future__ import annotations

import math
import re
from typing import Any

from guarded.author.source import Call, bytestring, string, tuple_of
from guarded.backends.interface import Names
from guarded.schema import Index


def verb(name: str, *arguments: str | Call) -> Call:
    quoted = [a if isinstance(a, Call) else string(a) for a in arguments]
    return Call(f"migrator.{name}", quoted)


def value_source(value: Any) -> str:
    """Source of a value that a database stores."""
    if isinstance(value, str):
        return string(value)
    if isinstance(value, bytes):
        return bytestring(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value).replace("e+", "e")  # as the formatter has it


def add_index(names: Names, table: str, index: Index) -> Call:
    columns = [name for name in index.columns if name is not None]
    if index.where or index.parts != tuple(map(names.fold, columns)):
        return run_sql(names, if_not_exists(index.sql or ""))
    arguments: list[str | Call] = [string(table), tuple_of(map(string, columns))]
    arguments += ["unique=True"] if index.unique else []
    return Call("migrator.add_index", [*arguments, f"name={string(index.name)}"])


def run_sql(names: Names, text: str) -> Call:
    return Call("migrator.sql", [string(names.one_line(text))])


def if_not_exists(text: str) -> str:
    pattern = r"^\s*(CREATE\s+(?:UNIQUE\s+|VIRTUAL\s+)?(?:TABLE|INDEX|TRIGGER))\s+"
    return re.sub(pattern, r"\1 IF NOT EXISTS ", text, flags=re.IGNORECASE)
