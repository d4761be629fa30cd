"""Objects that need a column, by pg_depend.

DROP COLUMN takes many of them along without a word, also those that are about other columns, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from guarded.steps import Kind, Target

if TYPE_CHECKING:
    from guarded.backends.interface import Execute

# https://www.postgresql.org/docs/current/catalog-pg-depend.html.  The default of the column itself
# is a part of it.
DEPENDENTS = """
SELECT DISTINCT d.classid::regclass::text, coalesce(c.contype::text, i.relkind::text, ''),
    coalesce(c.conname, i.relname, r.relname, g.tgname, p.polname, e.attname, x.stxname, ''),
    coalesce(k.relname, m.relname, t.relname),
    CASE WHEN c.contype = 'f' THEN c.conrelid <> t.oid OR c.conkey <> ARRAY[a.attnum] ELSE EXISTS (
        SELECT 1 FROM pg_depend AS o
        WHERE (o.classid, o.objid, o.refclassid, o.refobjid)
            = (d.classid, d.objid, d.refclassid, d.refobjid)
        AND o.refobjsubid NOT IN (0, d.refobjsubid)) END,
    r.relkind IS DISTINCT FROM 'v' AND r.relkind IS DISTINCT FROM 'm'
FROM pg_class AS t JOIN pg_attribute AS a ON a.attrelid = t.oid
JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid
    AND d.refobjsubid = a.attnum AND d.deptype IN ('a', 'n')
LEFT JOIN pg_class AS i ON d.classid = 'pg_class'::regclass AND i.oid = d.objid
LEFT JOIN pg_index AS n ON n.indexrelid = i.oid
LEFT JOIN pg_constraint AS c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
LEFT JOIN pg_class AS k ON k.oid = c.conrelid
LEFT JOIN pg_rewrite AS w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class AS r ON r.oid = w.ev_class
LEFT JOIN pg_trigger AS g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_policy AS p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
LEFT JOIN pg_class AS m ON m.oid = coalesce(g.tgrelid, p.polrelid)
LEFT JOIN pg_attrdef AS f ON d.classid = 'pg_attrdef'::regclass AND f.oid = d.objid
LEFT JOIN pg_attribute AS e ON e.attrelid = f.adrelid AND e.attnum = f.adnum
LEFT JOIN pg_statistic_ext AS x ON d.classid = 'pg_statistic_ext'::regclass AND x.oid = d.objid
WHERE t.oid = to_regclass({table}) AND a.attname = {column}
    AND coalesce(g.tgisinternal, false) = false AND (f.oid IS NULL OR f.adnum <> a.attnum)
ORDER BY 1, 2 DESC, 3"""


class Dependent(NamedTuple):
    """``kind`` is pg_class, pg_constraint and so on; ``letter`` the kind of a constraint or
    relation; ``has_others``: it is about other columns of that table, too; ``is_rule``: no view."""

    kind: str
    letter: str
    name: str
    table: str
    has_others: bool
    is_rule: bool


def dependents(execute: Execute, table: str, column: str) -> list[Dependent]:
    from guarded.backends.postgresql.text import literal, quote

    query = DEPENDENTS.format(table=literal(quote(table)), column=literal(column))
    return [Dependent(*row) for row in execute(query)]


def obstacles(found: list[Dependent]) -> Iterator[str]:
    """Describe those that must not go with a column of the table."""
    for item in found:
        if item.kind == "pg_constraint" and item.letter == "p":
            yield "the primary key"
    for item in found:
        name = f"'{item.name}'"
        if item.kind == "pg_constraint" and item.letter == "f" and item.has_others:
            yield f"the foreign key of table '{item.table}'"
        elif item.kind == "pg_constraint" and item.letter != "p" and item.has_others:
            yield f"constraint {name}"
        elif item.kind == "pg_class" and item.letter in ("i", "I") and item.has_others:
            yield f"index {name}"
        elif item.kind == "pg_rewrite":
            yield f"a rule of table {name}" if item.is_rule else f"view {name}"
        elif item.kind == "pg_trigger":
            yield f"trigger {name}"
        elif item.kind == "pg_policy":
            yield f"policy {name}"
        elif item.kind == "pg_attrdef":
            yield f"generated column {name}"
        elif item.kind == "pg_statistic_ext":
            yield f"statistics {name}"


def indexes_alone(found: list[Dependent], table: str) -> list[Target]:
    """The indexes that are about the column alone and go with it."""
    return [
        Target(Kind.INDEX, table, item.name)
        for item in found
        if item.kind == "pg_class" and item.letter in ("i", "I") and not item.has_others
    ]
