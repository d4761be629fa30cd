"""Everything that people made in the current schema, with the SQL that makes it.

Reads the catalogue alone, and never a table.  PostgreSQL spells the definitions; names of the
current schema are not qualified in them, so that they make the same in another schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from guarded.backends.postgresql.describe import results

if TYPE_CHECKING:
    from guarded.backends.interface import Execute


class Definition(NamedTuple):
    """``kind`` as in CREATE, in lower case; ``table`` is the table that it belongs to, or empty."""

    kind: str
    table: str
    name: str
    sql: str


# Objects of the current schema that no extension brought.  {0} is the catalogue, {1} the prefix of
# its columns.
OURS = """
    {1}namespace = quote_ident(current_schema())::regnamespace AND NOT EXISTS (
        SELECT 1 FROM pg_depend AS d
        WHERE d.classid = '{0}'::regclass AND d.objid = o.oid AND d.deptype = 'e')"""
OF_A_TABLE = f"""
    t.oid IN (SELECT o.oid FROM pg_class AS o WHERE {OURS.format("pg_class", "o.rel")})"""

TYPES = f"""
SELECT o.oid, 'type', '', o.typname, 'CREATE TYPE ' || quote_ident(o.typname) || CASE o.typtype
    WHEN 'e' THEN ' AS ENUM (' || coalesce((
        SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder)
        FROM pg_enum WHERE enumtypid = o.oid), '') || ')'
    WHEN 'c' THEN ' AS (' || coalesce((
        SELECT string_agg(
            quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = o.typrelid AND attnum > 0 AND NOT attisdropped), '')
        || ')'
    ELSE ' AS RANGE (SUBTYPE = ' || (
        SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = o.oid) || ')'
    END
FROM pg_type AS o LEFT JOIN pg_class AS c ON c.oid = o.typrelid
WHERE {OURS.format("pg_type", "o.typ")}
    AND (o.typtype IN ('e', 'r') OR o.typtype = 'c' AND c.relkind = 'c')
UNION ALL
SELECT o.oid, 'domain', '', o.typname, 'CREATE DOMAIN ' || quote_ident(o.typname) || ' AS '
    || format_type(o.typbasetype, o.typtypmod) || coalesce(' DEFAULT ' || o.typdefault, '')
    || CASE WHEN o.typnotnull THEN ' NOT NULL' ELSE '' END || coalesce((
        SELECT string_agg(' CONSTRAINT ' || quote_ident(conname) || ' '
            || pg_get_constraintdef(oid, true), '' ORDER BY conname)
        FROM pg_constraint WHERE contypid = o.oid AND contype = 'c'), '')
FROM pg_type AS o WHERE {OURS.format("pg_type", "o.typ")} AND o.typtype = 'd'
"""
SEQUENCES = f"""
SELECT o.oid, 'sequence', coalesce(t.relname, ''), o.relname,
    CASE o.relpersistence WHEN 'u' THEN 'CREATE UNLOGGED' ELSE 'CREATE' END
    || ' SEQUENCE ' || quote_ident(o.relname) || ' AS ' || format_type(s.seqtypid, NULL)
    || ' INCREMENT ' || s.seqincrement || ' MINVALUE ' || s.seqmin || ' MAXVALUE ' || s.seqmax
    || ' START ' || s.seqstart || ' CACHE ' || s.seqcache
    || CASE WHEN s.seqcycle THEN ' CYCLE' ELSE '' END
FROM pg_class AS o JOIN pg_sequence AS s ON s.seqrelid = o.oid
LEFT JOIN pg_depend AS w ON w.classid = 'pg_class'::regclass AND w.objid = o.oid
    AND w.refclassid = 'pg_class'::regclass AND w.deptype = 'a'
LEFT JOIN pg_class AS t ON t.oid = w.refobjid
WHERE {OURS.format("pg_class", "o.rel")} AND NOT EXISTS (
    SELECT 1 FROM pg_depend AS i
    WHERE i.classid = 'pg_class'::regclass AND i.objid = o.oid AND i.deptype = 'i')
"""
# Who owns a sequence can be said only when the table is there.
OWNED = f"""
SELECT 0, 'owned sequence', t.relname, o.relname, 'ALTER SEQUENCE ' || quote_ident(o.relname)
    || ' OWNED BY ' || quote_ident(t.relname) || '.' || quote_ident(a.attname)
FROM pg_class AS o JOIN pg_depend AS w ON w.classid = 'pg_class'::regclass AND w.objid = o.oid
    AND w.refclassid = 'pg_class'::regclass AND w.deptype = 'a'
JOIN pg_class AS t ON t.oid = w.refobjid
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = w.refobjsubid
WHERE {OURS.format("pg_class", "o.rel")} AND o.relkind = 'S'
"""
FUNCTIONS = f"""
SELECT o.oid, 'function', '', o.proname, replace(pg_get_functiondef(o.oid),
    ' ' || quote_ident(current_schema()) || '.' || quote_ident(o.proname) || '(',
    ' ' || quote_ident(o.proname) || '(')
FROM pg_proc AS o WHERE {OURS.format("pg_proc", "o.pro")} AND o.prokind <> 'a'
"""
# A column that only the parent declares comes with INHERITS, and is not declared again.
TABLES = f"""
SELECT o.oid, 'table', o.relname, o.relname,
    CASE o.relpersistence WHEN 'u' THEN 'CREATE UNLOGGED TABLE ' ELSE 'CREATE TABLE ' END
    || quote_ident(o.relname) || ' (' || coalesce((
        SELECT string_agg(
            E'\\n    ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod)
            || CASE WHEN a.attcollation <> y.typcollation
                THEN ' COLLATE ' || a.attcollation::regcollation ELSE '' END
            || CASE WHEN a.attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY'
                WHEN a.attidentity = 'd' THEN ' GENERATED BY DEFAULT AS IDENTITY'
                WHEN a.attgenerated = 's' THEN
                    ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') STORED'
                WHEN a.attgenerated = 'v' THEN
                    ' GENERATED ALWAYS AS (' || pg_get_expr(d.adbin, d.adrelid) || ') VIRTUAL'
                ELSE coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') END
            || CASE WHEN a.attnotnull AND NOT (a.attidentity <> '') THEN ' NOT NULL' ELSE '' END,
            ',' ORDER BY a.attnum)
        FROM pg_attribute AS a JOIN pg_type AS y ON y.oid = a.atttypid
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND (a.attislocal OR o.relispartition)) || E'\\n)', ')')
    || coalesce(' INHERITS (' || (
        SELECT string_agg(h.inhparent::regclass::text, ', ' ORDER BY h.inhseqno)
        FROM pg_inherits AS h WHERE h.inhrelid = o.oid AND NOT o.relispartition) || ')', '')
    || coalesce(' PARTITION BY ' || pg_get_partkeydef(o.oid), '')
    || coalesce(' WITH (' || array_to_string(o.reloptions, ', ') || ')', '')
FROM pg_class AS o WHERE {OURS.format("pg_class", "o.rel")} AND o.relkind IN ('r', 'p', 'f')
"""
PARTITIONS = f"""
SELECT 0, 'partition', t.relname, t.relname, 'ALTER TABLE ONLY ' || h.inhparent::regclass
    || ' ATTACH PARTITION ' || quote_ident(t.relname) || ' '
    || pg_get_expr(t.relpartbound, t.oid)
FROM pg_class AS t JOIN pg_inherits AS h ON h.inhrelid = t.oid
WHERE {OF_A_TABLE} AND t.relispartition AND t.relkind IN ('r', 'p', 'f')
"""
CONSTRAINTS = f"""
SELECT 0, CASE WHEN c.contype <> 'f' THEN 'constraint' WHEN p.relnamespace = t.relnamespace
    THEN 'foreign key' ELSE 'foreign key outside' END, t.relname, c.conname,
    'ALTER TABLE ' || CASE c.contype WHEN 'f' THEN '' ELSE 'ONLY ' END || quote_ident(t.relname)
    || ' ADD CONSTRAINT ' || quote_ident(c.conname) || ' ' || pg_get_constraintdef(c.oid, true)
FROM pg_constraint AS c JOIN pg_class AS t ON t.oid = c.conrelid
LEFT JOIN pg_class AS p ON p.oid = c.confrelid
WHERE {OF_A_TABLE} AND (c.contype IN ('p', 'u', 'x')
    OR c.contype = 'c' AND c.conislocal OR c.contype = 'f' AND c.conparentid = 0)
"""
INDEXES = f"""
SELECT 0, 'index', t.relname, i.relname, pg_get_indexdef(i.oid, 0, true)
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
WHERE {OF_A_TABLE} AND NOT EXISTS (
    SELECT 1 FROM pg_constraint AS c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x'))
"""
ATTACHED = f"""
SELECT 0, 'attached index', t.relname, i.relname, 'ALTER INDEX ' || h.inhparent::regclass
    || ' ATTACH PARTITION ' || quote_ident(i.relname)
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid JOIN pg_inherits AS h ON h.inhrelid = i.oid
WHERE {OF_A_TABLE}
"""
STATISTICS = f"""
SELECT 0, 'statistics', t.relname, o.stxname, replace(pg_get_statisticsobjdef(o.oid),
    'CREATE STATISTICS ' || quote_ident(current_schema()) || '.', 'CREATE STATISTICS ')
FROM pg_statistic_ext AS o JOIN pg_class AS t ON t.oid = o.stxrelid
WHERE {OURS.format("pg_statistic_ext", "o.stx")}
"""
VIEWS = f"""
SELECT o.oid, CASE o.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END, '', o.relname,
    'CREATE ' || CASE o.relkind WHEN 'm' THEN 'MATERIALIZED VIEW ' ELSE 'VIEW ' END
    || quote_ident(o.relname)
    || coalesce(' WITH (' || array_to_string(o.reloptions, ', ') || ')', '') || E' AS\\n'
    || rtrim(pg_get_viewdef(o.oid, true), ';')
    || CASE o.relkind WHEN 'm' THEN ' WITH NO DATA' ELSE '' END
FROM pg_class AS o WHERE {OURS.format("pg_class", "o.rel")} AND o.relkind IN ('v', 'm')
ORDER BY o.oid
"""
TRIGGERS = f"""
SELECT 0, 'trigger', t.relname, g.tgname, pg_get_triggerdef(g.oid, true)
FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
WHERE {OF_A_TABLE} AND NOT g.tgisinternal AND g.tgparentid = 0
UNION ALL
SELECT 0, 'trigger state', t.relname, g.tgname, 'ALTER TABLE ' || quote_ident(t.relname)
    || CASE g.tgenabled WHEN 'D' THEN ' DISABLE' WHEN 'R' THEN ' ENABLE REPLICA'
        ELSE ' ENABLE ALWAYS' END || ' TRIGGER ' || quote_ident(g.tgname)
FROM pg_trigger AS g JOIN pg_class AS t ON t.oid = g.tgrelid
WHERE {OF_A_TABLE} AND NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'O'
"""
RULES = f"""
SELECT 0, 'rule', t.relname, r.rulename, rtrim(pg_get_ruledef(r.oid, true), ';')
FROM pg_rewrite AS r JOIN pg_class AS t ON t.oid = r.ev_class
WHERE {OF_A_TABLE} AND r.rulename <> '_RETURN'
"""
POLICIES = f"""
SELECT 0, 'policy', t.relname, p.polname, 'CREATE POLICY ' || quote_ident(p.polname) || ' ON '
    || quote_ident(t.relname) || CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END
    || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'
        WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
    || ' TO ' || coalesce((SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname)
        FROM pg_roles WHERE oid = ANY (p.polroles)), 'PUBLIC')
    || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid, true) || ')', '')
    || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid, true) || ')', '')
FROM pg_policy AS p JOIN pg_class AS t ON t.oid = p.polrelid WHERE {OF_A_TABLE}
UNION ALL
SELECT 0, 'row security', t.relname, t.relname, 'ALTER TABLE ' || quote_ident(t.relname)
    || ' ENABLE ROW LEVEL SECURITY'
    || CASE WHEN t.relforcerowsecurity THEN ', FORCE ROW LEVEL SECURITY' ELSE '' END
FROM pg_class AS t WHERE {OF_A_TABLE} AND t.relrowsecurity
"""
COMMENTS = f"""
SELECT 0, 'comment', t.relname, coalesce(a.attname, ''), 'COMMENT ON ' || CASE
    WHEN a.attname IS NOT NULL
        THEN 'COLUMN ' || quote_ident(t.relname) || '.' || quote_ident(a.attname)
    WHEN t.relkind = 'v' THEN 'VIEW ' || quote_ident(t.relname)
    WHEN t.relkind = 'm' THEN 'MATERIALIZED VIEW ' || quote_ident(t.relname)
    WHEN t.relkind IN ('i', 'I') THEN 'INDEX ' || quote_ident(t.relname)
    WHEN t.relkind = 'S' THEN 'SEQUENCE ' || quote_ident(t.relname)
    ELSE 'TABLE ' || quote_ident(t.relname) END || ' IS ' || quote_literal(d.description)
FROM pg_description AS d JOIN pg_class AS t ON d.classoid = 'pg_class'::regclass
    AND d.objoid = t.oid
LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE {OF_A_TABLE} AND t.relkind <> 'c'
"""
# In the order in which they can be made, as far as one order does for all schemas.
IN_ORDER = (
    TYPES,
    SEQUENCES,
    FUNCTIONS,
    TABLES,
    OWNED,
    PARTITIONS,
    CONSTRAINTS,
    INDEXES,
    ATTACHED,
    STATISTICS,
    VIEWS,
    TRIGGERS,
    RULES,
    POLICIES,
    COMMENTS,
)


# What a rule, a default and a type belong to, by the catalogue's name and the oid.
BELONGS = """
SELECT 'pg_rewrite', oid, 'pg_class', ev_class FROM pg_rewrite WHERE oid >= 16384
UNION ALL SELECT 'pg_attrdef', oid, 'pg_class', adrelid FROM pg_attrdef WHERE oid >= 16384
UNION ALL SELECT 'pg_constraint', oid, 'pg_type', contypid FROM pg_constraint WHERE contypid <> 0
UNION ALL SELECT 'pg_type', y.oid, CASE c.relkind WHEN 'c' THEN 'pg_type' ELSE 'pg_class' END,
    CASE c.relkind WHEN 'c' THEN e.oid ELSE c.oid END
FROM pg_type AS y JOIN pg_type AS e ON e.oid IN (y.oid, y.typelem)
JOIN pg_class AS c ON c.oid = e.typrelid WHERE y.oid >= 16384
UNION ALL SELECT 'pg_type', y.oid, 'pg_type', y.typelem FROM pg_type AS y
JOIN pg_type AS e ON e.oid = y.typelem AND e.typrelid = 0 WHERE y.oid >= 16384
UNION ALL SELECT 'pg_class', oid, 'pg_type', reltype FROM pg_class WHERE relkind = 'c'
"""
DEPENDS = """
SELECT classid::regclass::text, objid, refclassid::regclass::text, refobjid FROM pg_depend
WHERE deptype = 'n' AND objid >= 16384 AND refobjid >= 16384"""
CATALOGUES = {"type": "pg_type", "domain": "pg_type", "function": "pg_proc"}
Node = tuple[str, int]


def definitions(execute: Execute) -> list[Definition]:
    """Return each object of the current schema, without aggregates, operators and grants.

    An object stands behind those that it needs, so that in a schema of its own it finds these and
    no others of their names.
    """
    made: list[Definition] = []
    places: dict[Node, int] = {}
    *found, belongs, depends = results(execute, *IN_ORDER, BELONGS, DEPENDS)
    for rows in found:
        for oid, *words in rows:
            if oid:
                places[CATALOGUES.get(words[0], "pg_class"), oid] = len(made)
            made.append(Definition(*words))
    needs = _needs(places, belongs, depends)
    ordered: dict[int, None] = {}  # the places in their new order

    def put(place: int, above: frozenset[int]) -> None:
        for needed in sorted(needs.get(place, set()) - above - ordered.keys()):
            put(needed, above | {place})
        ordered[place] = None

    for place in range(len(made)):
        put(place, frozenset())
    return [made[place] for place in ordered]


def _needs(
    places: Mapping[Node, int], whose: Iterable[Any], depends: Iterable[Any]
) -> dict[int, set[int]]:
    """The places of the objects that the object at a place needs."""
    belongs = {(a, b): (c, d) for a, b, c, d in whose}

    def place_of(catalogue: str, oid: int) -> int | None:
        node = (catalogue, oid)
        return places.get(node, places.get(belongs.get(node, node)))

    needs: dict[int, set[int]] = {}
    for one, oid, other, needed_oid in depends:
        place, needed = place_of(one, oid), place_of(other, needed_oid)
        if place is not None and needed is not None and place != needed:
            needs.setdefault(place, set()).add(needed)
    return needs
