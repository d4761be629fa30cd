"""Tables of PostgreSQL as values.  Reads the catalogue alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from guarded import history
from guarded.backends.postgresql.text import SHORT, literal, meaning, quote
from guarded.schema import Check, Column, ForeignKey, Index, Schema, Table

if TYPE_CHECKING:
    from guarded.backends.interface import Execute

ACTIONS = {"a": "NO ACTION", "r": "RESTRICT", "c": "CASCADE", "n": "SET NULL", "d": "SET DEFAULT"}
SERIALS = {"integer": "SERIAL", "bigint": "BIGSERIAL", "smallint": "SMALLSERIAL"}
KINDS = {"": "", "s": "STORED", "v": "VIRTUAL"}
CURRENT = "quote_ident(current_schema())::regnamespace"
TEMPORARY = "pg_my_temp_schema()"
# Of an extension's tables, and of partitions, which are a part of their parent.
TABLES = """
SELECT t.oid, t.relname FROM pg_class AS t
WHERE t.relnamespace = {schema} AND t.relkind IN ('r', 'p', 'f') {condition} AND NOT EXISTS (
    SELECT 1 FROM pg_depend AS d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = t.oid AND d.deptype = 'e')
ORDER BY t.oid"""
COLUMNS = """
SELECT a.attrelid, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
    pg_get_expr(d.adbin, d.adrelid, true), a.attgenerated,
    a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%'
        AND pg_get_serial_sequence(
            quote_ident(n.nspname) || '.' || quote_ident(t.relname), a.attname) IS NOT NULL,
    CASE WHEN a.attcollation <> y.typcollation THEN a.attcollation::regcollation::text ELSE '' END
FROM pg_attribute AS a JOIN pg_class AS t ON t.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = t.relnamespace JOIN pg_type AS y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid IN ({tables}) AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum"""
INDEXES = """
SELECT x.indrelid, i.relname, x.indisunique, coalesce(c.contype::text, ''), x.indnkeyatts,
    pg_get_indexdef(x.indexrelid, 0, true), coalesce(pg_get_expr(x.indpred, x.indrelid, true), ''),
    ARRAY(SELECT (SELECT a.attname::text FROM pg_attribute AS a
            WHERE a.attrelid = x.indrelid AND a.attnum = k.number AND k.number > 0)
        FROM unnest(x.indkey) WITH ORDINALITY AS k (number, place) ORDER BY k.place),
    ARRAY(SELECT pg_get_indexdef(x.indexrelid, k, true)
            || CASE WHEN x.indoption[k - 1] & 1 = 1 THEN ' DESC' ELSE '' END
            || CASE x.indoption[k - 1] & 3 WHEN 1 THEN ' NULLS LAST' WHEN 2 THEN ' NULLS FIRST'
                ELSE '' END
            || CASE WHEN o.opcdefault THEN '' ELSE ' ' || o.opcname END
        FROM generate_series(1, x.indnkeyatts) AS k
        JOIN pg_opclass AS o ON o.oid = x.indclass[k - 1] ORDER BY k),
    m.amname
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS m ON m.oid = i.relam
LEFT JOIN pg_constraint AS c ON c.conindid = x.indexrelid AND c.contype IN ('p', 'u', 'x')
    AND c.conrelid = x.indrelid
WHERE x.indrelid IN ({tables}) ORDER BY x.indexrelid"""
CONSTRAINTS = """
SELECT c.conrelid, c.conname, c.contype, pg_get_constraintdef(c.oid, true),
    ARRAY(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
    CASE WHEN p.relnamespace = {schema} THEN p.relname ELSE c.confrelid::regclass::text END,
    ARRAY(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k (number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number
        ORDER BY k.place),
    c.confdeltype, c.confupdtype, c.condeferrable, c.condeferred,
    pg_get_expr(c.conbin, c.conrelid, true)
FROM pg_constraint AS c LEFT JOIN pg_class AS p ON p.oid = c.confrelid
WHERE c.conrelid IN ({tables}) AND c.contype IN ('c', 'f', 'p', 'u', 'x') ORDER BY c.oid"""


def schema(execute: Execute, *, where: str = CURRENT) -> Schema:
    """All tables that people made, without partitions and the history."""
    condition = f"AND NOT t.relispartition AND t.relname <> {literal(history.TABLE)}"
    found = _tables(execute, where, condition)
    return {table.name: table for table in found}


def table(execute: Execute, name: str, *, where: str = CURRENT) -> Table | None:
    return next(iter(_tables(execute, where, f"AND t.relname = {literal(name)}")), None)


def _tables(execute: Execute, where: str, condition: str) -> list[Table]:
    tables = TABLES.format(schema=where, condition=condition)
    part = {"tables": f"SELECT oid FROM ({tables}) AS these", "schema": where}
    queries = [query.format(**part) for query in (COLUMNS, INDEXES, CONSTRAINTS)]
    names, *parts = results(execute, tables, *queries)
    columns, indexes, constraints = map(_by_table, parts)
    return [
        _table(name, columns.get(oid, []), indexes.get(oid, []), constraints.get(oid, []))
        for oid, name in names
    ]


def results(execute: Execute, *queries: str) -> list[Any]:
    """The rows of each query, by one message to the server."""
    cursor = execute(";\n".join(queries))
    found = [cursor.fetchall()]
    while cursor.nextset():
        found.append(cursor.fetchall())
    return found


def _by_table(rows: Iterable[Any]) -> dict[int, list[list[Any]]]:
    found: dict[int, list[list[Any]]] = {}
    for oid, *rest in rows:
        found.setdefault(oid, []).append(rest)
    return found


def _table(
    name: str, columns: list[list[Any]], indexes: list[list[Any]], constraints: list[list[Any]]
) -> Table:
    key: list[str] = next((c[3] for c in constraints if c[1] == "p"), [])
    numbered = {row[0] for row in columns if row[5]}
    return Table(
        name,
        _sql(name, columns, constraints),
        tuple(_column(row, key) for row in columns),
        tuple(_index(row) for row in indexes),
        tuple(_key(row) for row in constraints if row[1] == "f"),
        tuple(
            Check(row[10], row[0], row[2], frozenset(row[3]))
            for row in constraints
            if row[1] == "c"
        ),
        is_numbered=len(key) == 1 and key[0] in numbered,
        constraints={row[0]: row[2] for row in constraints if row[1] != "p"},
    )


def _sql(name: str, columns: list[list[Any]], constraints: list[list[Any]]) -> str:
    """The table by one statement, without its indexes."""
    parts = [_column_sql(row) for row in columns]
    parts += [f"CONSTRAINT {quote(row[0])} {row[2]}" for row in constraints]
    return f"CREATE TABLE {quote(name)} ({', '.join(parts)})"


def _column_sql(row: list[Any]) -> str:
    name, type_, nullable, text, generated, is_numbered, collation = row
    words = [quote(name), type_]
    is_serial = is_numbered and text is not None and type_ in SERIALS
    if is_serial:
        words[1] = SERIALS[type_]
    elif is_numbered and text is None:
        words.append("GENERATED BY DEFAULT AS IDENTITY")
    words += [f"COLLATE {collation}"] if collation else []
    if generated:
        words.append(f"GENERATED ALWAYS AS ({text}) {KINDS[generated]}")
    elif text is not None and not is_serial:
        words.append(f"DEFAULT {text}")
    return " ".join(words if nullable else [*words, "NOT NULL"])


def _column(row: list[Any], key: list[str]) -> Column:
    name, type_, nullable, text, generated, is_numbered, collation = row
    place = key.index(name) + 1 if name in key else 0
    default = None if generated or (is_numbered and place) else text
    return Column(
        name,
        _short(type_),
        nullable,
        default,
        place,
        KINDS[generated],
        storage=type_,
        meaning="nextval" if is_numbered and default else meaning(default, type_.partition("(")[0]),
        expression=text if generated else "",
        collation=collation,
    )


def _short(type_: str) -> str:
    name, bracket, rest = type_.partition("(")
    return SHORT.get(type_, SHORT.get(name, name.upper())) + bracket + rest


def _index(row: list[Any]) -> Index:
    name, unique, kind, keys, sql, where, columns, parts, method = row
    more: tuple[str, ...] = (f"using {method}",) if method != "btree" else ()
    included = [str(column) for column in columns[keys:]]
    more += (f"include ({', '.join(included)})",) if included else ()
    return Index(
        name,
        tuple(columns[:keys]),
        unique,
        bool(where),
        {"p": "pk", "u": "u", "x": "u"}.get(kind, "c"),
        None if kind else sql,
        (*parts, *more),
        where,
    )


def _key(row: list[Any]) -> ForeignKey:
    _, _, _, columns, parent, parent_columns, on_delete, on_update, can_wait, waits, _ = row
    deferrable = "DEFERRABLE INITIALLY DEFERRED" if waits else "DEFERRABLE" if can_wait else ""
    return ForeignKey(
        tuple(columns),
        parent,
        tuple(parent_columns),
        ACTIONS[on_delete],
        ACTIONS[on_update],
        deferrable,
    )
