"""Find in a statement's text what it takes away and SQLite's authorizer does not tell."""

from __future__ import annotations

import itertools

from guarded.backends.sqlite.text import fold, tokens

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


def emptied_columns(sql: str) -> frozenset[str]:
    """The columns that an UPDATE sets to NULL, folded."""
    words = tokens(sql)
    start = next((i for i, token in enumerate(words) if token.keyword == "SET"), len(words))
    found = set()
    for place in range(start, len(words) - 3):
        before, name, equals, value = words[place : place + 4]
        begins = before.keyword == "SET" or before.text == ","
        if begins and name.name and (equals.text, value.keyword) == ("=", "NULL"):
            after = words[place + 4] if place + 4 < len(words) else None
            if after is None or after.text in (",", ";") or after.keyword in AFTER_SET:
                found.add(fold(name.name))
    return frozenset(found)
