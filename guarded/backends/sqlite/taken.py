"""Find in a statement's text what it takes away or renames, where SQLite's authorizer is silent."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from typing import Any

from guarded.backends.sqlite.text import Token, fold, inside, tokens

AFTER_SET = ("WHERE", "FROM", "RETURNING", "ORDER", "LIMIT")


def replaces_rows(sql: str) -> bool:
    """Return True if a row can go for another that has the same key."""
    words = [token.keyword for token in tokens(sql)]
    return words[:1] == ["REPLACE"] or ("OR", "REPLACE") in itertools.pairwise(words)


def dropped_column(sql: str) -> str | None:
    """The column of an ALTER TABLE … DROP COLUMN.

    SQLite tells which table is altered, https://www.sqlite.org/lang_altertable.html.
    """
    words = tokens(sql)
    drop = next((i for i, token in enumerate(words) if token.keyword == "DROP"), 0)
    if [token.keyword for token in words[:2]] != ["ALTER", "TABLE"] or not drop:
        return None
    rest = [token for token in words[drop + 1 :] if token.keyword != "COLUMN"]
    if not rest or rest[0].keyword == "CONSTRAINT":
        return None
    return rest[0].name


def renamed(sql: str) -> tuple[str | None, str] | None:
    """The old name, or None for the table itself, and the new one of an ALTER TABLE … RENAME."""
    words = tokens(sql)
    rename = next((i for i, token in enumerate(words) if token.keyword == "RENAME"), 0)
    if [token.keyword for token in words[:2]] != ["ALTER", "TABLE"] or not rename:
        return None
    names = [token for token in words[rename + 1 :] if token.text != ";"]
    to = next((i for i, token in enumerate(names) if token.keyword == "TO"), -1)
    new = names[-1].name
    if to == -1 or new is None:
        return None
    return (names[to - 1].name if to else None), new


def emptied_columns(sql: str, params: Sequence[Any] = ()) -> frozenset[str]:
    """The columns that an UPDATE sets to NULL, whatever the row, folded."""
    words = tokens(sql)
    start = next((i for i, token in enumerate(words) if token.keyword == "SET"), len(words))
    values = iter(params) if isinstance(params, (list, tuple)) else iter(())
    for word in words[:start]:
        if word.text == "?":
            next(values, None)
    found = set()
    for part in _parts(words[start + 1 :]):
        equals = next((i for i, token in enumerate(part) if token.text == "="), len(part))
        names = [token.name for token in part[:equals] if token.name is not None]
        nulls = _nulls(sql, part[equals + 1 :], values)
        found |= {fold(name) for name, is_null in zip(names, nulls) if is_null}
    return frozenset(found)


def _parts(words: list[Token]) -> Iterator[list[Token]]:
    """Split at the commas, up to what comes after the SET clause."""
    part: list[Token] = []
    depth = 0
    for word in words:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and (word.text == ";" or word.keyword in AFTER_SET):
            break
        if depth == 0 and word.text == ",":
            yield part
            part = []
        else:
            part.append(word)
    yield part


def _nulls(sql: str, words: list[Token], values: Iterator[Any]) -> list[bool]:
    """Return True for each value that is NULL: of one expression, or of several in parentheses."""
    is_list = bool(words) and words[0].text == "(" and len(inside(words)) == len(words) - 2
    if is_list and words[1].keyword != "SELECT":
        return [null for part in _parts(words[1:-1]) for null in _nulls(sql, part, values)]
    if is_list:
        words = words[1:-1]
    text = sql[words[0].start : words[-1].end] if words else "1"
    bound = [next(values, None) for word in words if word.text == "?"]
    with closing(sqlite3.connect(":memory:")) as scratch, suppress(sqlite3.Error):
        # What speaks of a column is an error here.
        query = text if is_list else f"SELECT {text}"
        return [value is None for value in scratch.execute(query, bound).fetchone() or ()]
    return [False]
