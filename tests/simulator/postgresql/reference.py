"""The database as it has to be, made by native statements, and two databases compared.

Nothing here is the engine's: it reads PostgreSQL's own catalogue.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg

from tests.simulator.reference import Sight
from tests.simulator.schema import Schema, quote

HERE = "relnamespace = quote_ident(current_schema())::regnamespace AND c.relname NOT LIKE 'schema\\_history%'"
# Each gives the part of the sight that it is, and what is said of it.
PARTS = (
    f"""SELECT CASE c.relkind WHEN 'S' THEN 'sequence ' ELSE 'relation ' END || c.relname, c.relkind,
        c.relpersistence, c.reloptions::text, c.relrowsecurity, c.relreplident, c.relacl::text,
        obj_description(c.oid, 'pg_class')
    FROM pg_class AS c WHERE c.{HERE} AND c.relkind IN ('r', 'p', 'v', 'm', 'S')""",
    f"""SELECT 'column ' || c.relname || '.' || a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
        a.attcollation::regcollation::text, a.attacl::text, col_description(c.oid, a.attnum)
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.{HERE} AND c.relkind IN ('r', 'v', 'm') AND a.attnum > 0 AND NOT a.attisdropped""",
    f"""SELECT CASE k.contype WHEN 'f' THEN 'keys of ' ELSE 'constraints of ' END || c.relname,
        k.conname, pg_get_constraintdef(k.oid), k.convalidated, obj_description(k.oid, 'pg_constraint')
    FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
    WHERE c.{HERE} AND k.contype <> 'n'""",
    f"""SELECT 'indexes of ' || c.relname, i.relname, pg_get_indexdef(i.oid), x.indisvalid,
        x.indisclustered, x.indisreplident, obj_description(i.oid, 'pg_class')
    FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE c.{HERE}""",
    f"SELECT 'view ' || c.relname, pg_get_viewdef(c.oid) FROM pg_class AS c WHERE c.{HERE} AND c.relkind IN ('v', 'm')",
    f"""SELECT 'trigger ' || t.tgname, c.relname, pg_get_triggerdef(t.oid), t.tgenabled
    FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid WHERE c.{HERE} AND NOT t.tgisinternal""",
    f"""SELECT 'rule ' || r.rulename, pg_get_ruledef(r.oid) FROM pg_rewrite AS r
    JOIN pg_class AS c ON c.oid = r.ev_class WHERE c.{HERE} AND c.relkind = 'r'""",
    """SELECT 'function ' || proname, pg_get_functiondef(oid) FROM pg_proc
    WHERE pronamespace = quote_ident(current_schema())::regnamespace""",
    f"""SELECT 'mark of ' || c.relname, pg_sequence_last_value(c.oid), s.seqtypid::regtype::text, s.seqstart,
        s.seqincrement, s.seqmin, s.seqmax, s.seqcycle, t.relname, a.attname, d.deptype
    FROM pg_class AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid LEFT JOIN pg_depend AS d
    ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
    LEFT JOIN pg_class AS t ON t.oid = d.refobjid
    LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid WHERE c.{HERE}""",
    """SELECT 'statistics ' || stxname, pg_get_statisticsobjdef(oid) FROM pg_statistic_ext""",
    """SELECT 'type ' || t.typname, t.typtype, array_agg(e.enumlabel ORDER BY e.enumsortorder)
    FROM pg_type AS t JOIN pg_enum AS e ON e.enumtypid = t.oid GROUP BY t.oid""",
    """SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%'
    AND nspname <> 'information_schema'""",
)
TABLES = f"""SELECT c.relname, array_agg(a.attname ORDER BY a.attname)
    FROM pg_class AS c LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.{HERE} AND c.relkind = 'r' GROUP BY c.oid ORDER BY c.relname"""
CAST = re.compile(r"::[a-z][a-z ]*(\(\d+(,\d+)?\))?(\[\])?|[()]")
NEAR = tuple(
    (datetime.now(timezone.utc) + timedelta(days=day)).strftime("%Y-%m-%d") for day in (-1, 0, 1, 2)
)


def sight(connection: psycopg.Connection[Any]) -> Sight:
    """All that counts about the database; the present time is one word."""
    *parts, tables = _results(connection, *PARTS, TABLES)
    found: Sight = {}
    for rows in parts:
        for key, *said in rows:
            found.setdefault(key, Counter())[tuple(map(_plain, said))] += 1
    queries = [
        f"SELECT {', '.join(f'{quote(c)}::text' for c in columns if c) or 'NULL'} FROM {quote(name)}"
        for name, columns in tables
    ]
    for (name, columns), rows in zip(tables, _results(connection, *queries)):
        found[f"rows of {name}"] = Counter(
            tuple((c, _timeless(v)) for c, v in zip(columns, row)) for row in rows
        )
    return found


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _timeless(value: str | None) -> str | None:
    return "now" if value is not None and value.startswith(NEAR) else value


def _results(connection: psycopg.Connection[Any], *queries: str) -> list[Any]:
    if not queries:
        return []
    cursor = connection.execute(";\n".join(queries))
    found = [cursor.fetchall()]
    while cursor.nextset():
        found.append(cursor.fetchall())
    return found


class Reference:
    """A database that follows the schema by native statements, in one transaction."""

    def __init__(self, schema: Schema, connection: psycopg.Connection[Any]) -> None:
        self.schema, self.connection = schema, connection

    def do(self, statements: Iterable[str]) -> None:
        """All or nothing.  Raises psycopg.Error."""
        with self.connection.transaction():
            for sql in statements:
                if not sql.startswith(("INSERT", "UPDATE", "DELETE")):
                    self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                self.connection.execute(sql)

    def key_name(self, table: str, column: str) -> str:
        found = self.connection.execute(
            "SELECT k.conname FROM pg_constraint AS k JOIN pg_attribute AS a ON a.attrelid = k.conrelid "
            "AND k.conkey = ARRAY[a.attnum] WHERE k.contype = 'f' AND k.conrelid = %s::regclass AND a.attname = %s",
            (quote(table), column),
        ).fetchall()
        return str(found[0][0]) if found else ""


def work(connection: psycopg.Connection[Any], statements: Iterable[str]) -> list[Any]:
    """What each statement gives, one after the other; they are undone, but for their ids."""
    outcomes: list[Any] = []
    with connection.transaction(force_rollback=True):
        for sql in statements:
            try:
                with connection.transaction():
                    count = connection.execute(sql).rowcount
                    connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                outcomes.append((sql, "done", count))
            except psycopg.Error as exc:
                outcomes.append((sql, type(exc).__name__))
    return outcomes


def unnamed(found: Sight) -> Sight:
    """Without the names of constraints and indexes that PostgreSQL may have given."""
    changed: Sight = {}
    for part, content in found.items():
        if part.startswith(("keys of", "constraints of", "indexes of")):
            content = Counter()
            for said, number in found[part].items():
                text = re.sub(r' INDEX ("(?:[^"]|"")*"|\S+) ON ', " INDEX ON ", said[1])
                text = CAST.sub("", text)  # a type that comes back leaves other casts behind
                content[(text, *said[2:])] += number
        changed[part] = content
    return changed


def unmarked(found: Sight) -> Sight:
    """Without the last ids of sequences, which no rollback takes back."""
    return {
        part: Counter({said[1:]: n for said, n in content.items()}) if part.startswith("mark of ") else content
        for part, content in found.items()
    }  # fmt: skip


def without_comments(found: Sight) -> Sight:
    return {
        part: Counter({said[:-1]: n for said, n in content.items()})
        if part.startswith(("column ", "relation ")) else content
        for part, content in found.items()
    }  # fmt: skip
