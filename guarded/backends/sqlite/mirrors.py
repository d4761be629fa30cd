"""Triggers that keep a virtual table, such as a search index, in step with their own table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import Token, tokens

CONFLICTS = frozenset({"ROLLBACK", "ABORT", "REPLACE", "FAIL", "IGNORE"})


def is_mirror(read: Execute, trigger: SchemaObject) -> bool:
    """Return True if the trigger writes virtual tables alone, and this process knows them."""
    found = set(_written(tokens(trigger.sql or "")))
    return bool(found) and all(_is_known(read, name) for name in found)


def _is_known(read: Execute, table: str) -> bool:
    try:
        is_virtual = inspect.kind_of(read, table)[0] == "virtual"
        return is_virtual and bool(inspect.columns(read, table))
    except sqlite3.OperationalError:  # its module is not known here
        return False


def _written(words: list[Token]) -> Iterator[str]:
    """The tables that the statements of a trigger write; they are named without a schema,
    https://www.sqlite.org/lang_createtrigger.html."""
    begin = next((i for i, word in enumerate(words) if word.keyword == "BEGIN"), len(words))
    for place in range(begin + 1, len(words) - 1):
        word, before, rest = words[place], words[place - 1], words[place + 1 :]
        if word.keyword in ("INTO", "FROM"):
            is_write = word.keyword == "INTO" or before.keyword == "DELETE"
        else:
            is_first = before.text == ";" or before.keyword == "BEGIN"
            is_write = word.keyword == "UPDATE" and is_first
            if rest[0].keyword == "OR" and rest[1].keyword in CONFLICTS:
                rest = rest[2:]
        if is_write and rest[0].name is not None:
            yield rest[0].name
