"""Triggers that keep a virtual table, such as a search index, in step with their own table, and how
such an index follows where none fires."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.health import external_content, trigger_event
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import Token, fold, mentions, quote, tokens
from guarded.errors import Refused

CONFLICTS = frozenset({"ROLLBACK", "ABORT", "REPLACE", "FAIL", "IGNORE"})


def is_mirror(read: Execute, trigger: SchemaObject) -> bool:
    """Return True if the trigger writes virtual tables alone, and this process knows them."""
    found = set(_written(tokens(trigger.sql or "")))
    return bool(found) and all(_is_known(read, name) for name in found)


def fires_on(trigger: SchemaObject, column: str) -> bool:
    """Return True if an UPDATE of the column fires it."""
    event, names = trigger_event(trigger.sql or "")
    return event == "UPDATE" and (not names or fold(column) in map(fold, names))


@contextmanager
def followed(
    read: Execute, write: Execute, table: str, columns: Iterable[str], casts: Mapping[str, str]
) -> Iterator[None]:
    """Let full-text indexes follow a rebuild of ``table`` that may change values of ``columns``.

    An index over the table that was in step is filled anew after the block.  Raises Refused where
    a trigger hands one of the ``casts`` to another virtual table: no rebuild fires it.
    """
    searches = [s for s in _searches(read, table, columns) if _is_in_step(read, s)]
    anew = {fold(search.name) for search in searches}
    for trigger in (o for o in inspect.dependents(read, table) if o.kind == "trigger"):
        cast = next((c for c in casts if fires_on(trigger, c) and mentions(trigger.sql, c)), None)
        if cast is None or not is_mirror(read, trigger):
            continue
        left = [name for name in _written(tokens(trigger.sql or "")) if fold(name) not in anew]
        if left:
            raise Refused(
                f"{table}.{cast} can't be cast: '{left[0]}' would keep the values of before, for "
                f"a rebuild does not fire trigger '{trigger.name}'; give the column its new "
                "values first, with migrator.fill(…), and then its type without a cast"
            )
    yield
    for search in searches:
        name = quote(search.name)
        write(f"INSERT INTO {name} ({name}) VALUES ('rebuild')")


def _searches(read: Execute, table: str, columns: Iterable[str]) -> Iterator[SchemaObject]:
    """The full-text indexes that read one of the columns from the table."""
    wanted = set(map(fold, columns))
    for item in inspect.objects(read, "table"):
        content = external_content(item)
        if content is None or fold(content[0]) != fold(table):
            continue
        if not wanted.isdisjoint(map(fold, content[1])) and _is_known(read, item.name):
            yield item


def _is_in_step(read: Execute, search: SchemaObject) -> bool:
    """Return True if the index has what its table has,
    https://www.sqlite.org/fts5.html#the_integrity_check_command."""
    name = quote(search.name)
    asks = f"({name}, rank) VALUES ('integrity-check', 1)"
    if "fts5" not in (search.sql or "").lower().split("using", 1)[1]:
        asks = f"({name}) VALUES ('integrity-check')"
    try:
        read(f"INSERT INTO {name} {asks}")
    except sqlite3.DatabaseError:
        return False
    return True


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
