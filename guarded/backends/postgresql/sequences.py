"""The sequences that number the columns of tables.

A row with an id of its own does not move the sequence, which would give that id out again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import psycopg

from guarded.backends.postgresql.text import quote

NUMBERED = """
SELECT t.relname, a.attname, s.oid::regclass::text, coalesce(pg_sequence_last_value(s.oid), 0)
FROM pg_class AS s JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid
    AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
JOIN pg_class AS t ON t.oid = d.refobjid
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
JOIN pg_sequence AS q ON q.seqrelid = s.oid
WHERE s.relkind = 'S' AND t.relnamespace = quote_ident(current_schema())::regnamespace
    AND q.seqincrement > 0
    AND CASE s.relkind WHEN 'S' THEN has_sequence_privilege(s.oid, 'SELECT') END
    AND has_table_privilege(t.oid, 'SELECT')"""


class Numbered(NamedTuple):
    """A column, its sequence, and the last id that this gave out, or 0."""

    table: str
    column: str
    sequence: str
    last: int


def numbered(connection: psycopg.Connection[Any]) -> list[Numbered]:
    return [Numbered(*row) for row in connection.execute(NUMBERED)]


def highest(connection: psycopg.Connection[Any], one: Numbered) -> int | None:
    """The highest id in the table."""
    query = f"SELECT max({quote(one.column)}) FROM {quote(one.table)}"
    found: int | None = next(iter(connection.execute(query)))[0]
    return found


def raise_behind(
    connection: psycopg.Connection[Any], tables: Collection[str], mark: int = 0
) -> None:
    """Move the sequences of these tables behind the highest id in them, and behind ``mark``."""
    for one in numbered(connection) if tables else ():
        if one.table not in tables:
            continue
        if (found := max(highest(connection, one) or 0, mark)) > one.last:
            connection.execute("SELECT setval(%s::regclass, %s)", (one.sequence, found))
