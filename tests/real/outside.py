"""A database as plain SQLite sees it.

Knows nothing of the engine: it reads the schema, hashes every column, selects every view, fires
every trigger, uses every index and searches every search index.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

HISTORY = "schema_history"
UNKNOWN = re.compile(
    r"(?:no such|unknown) (function|collation sequence): ([^\s()]+)|no such (module): (\S+)"
)
SETTINGS = ("user_version", "application_id", "encoding", "page_size", "auto_vacuum")


class Text(str):
    """A text value, told apart from a blob of the same bytes."""

    __slots__ = ()


@dataclass(frozen=True)
class Look:
    """``contents`` and ``views`` have a hash for each column; ``fired`` is what each kind of write
    of each table gave, with foreign keys on."""

    objects: Mapping[tuple[str, str], str | None]
    shapes: Mapping[str, Any]
    contents: Mapping[str, Mapping[str, str]]
    counts: Mapping[str, int]
    marks: Mapping[str, Any]
    integrity: frozenset[str]
    dangling: Mapping[Any, int]
    views: Mapping[str, Any]
    fired: Mapping[tuple[str, str], Any]
    used: Mapping[str, Any]
    searched: Mapping[str, Any]
    settings: tuple[Any, ...]
    virtual: frozenset[str]


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def opened(path: Path, *, registers: bool = True) -> sqlite3.Connection:
    """A copy of the file in memory, with stand-ins for what only its application registers."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(path)) as source:
        source.backup(connection)
    connection.text_factory = _text
    if registers:
        register(connection, unknown_things(connection))
    return connection


def _text(raw: bytes) -> str:
    return Text(raw.decode("utf-8", "surrogateescape"))


def unknown_things(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Functions and collations that the schema wants and this process does not have."""
    found: dict[tuple[str, str], None] = {}
    for _ in range(100):
        words = _complaints(connection)
        new = {(m[1].split()[0], m[2]) for w in words if (m := UNKNOWN.search(w)) and m[1]}
        if not new - set(found):
            break
        found.update(dict.fromkeys(sorted(new)))
        register(connection, list(found))
    for kind, name in found:
        with suppress(sqlite3.Error):
            if kind == "function":
                connection.create_function(name, -1, None)
            else:
                connection.create_collation(name, None)
    return list(found)


def register(connection: sqlite3.Connection, things: Iterable[tuple[str, str]]) -> None:
    for kind, name in things:
        if kind == "function":
            connection.create_function(name, -1, _first, deterministic=True)
        else:
            connection.create_collation(name, _compare)


def _first(*values: Any) -> Any:
    return values[0] if values else None


def _compare(one: str, two: str) -> int:
    return (one.lower() > two.lower()) - (one.lower() < two.lower())


def _complaints(connection: sqlite3.Connection) -> list[str]:
    words = []
    statements = ["PRAGMA integrity_check"]
    for kind, name in _names(connection):
        if kind == "view":
            statements.append(f"EXPLAIN SELECT * FROM {quote(name)}")
        elif kind == "table":
            statements += [f"PRAGMA integrity_check({quote(name)})", *_writes(connection, name)]
    for sql in statements:
        try:
            words += [str(row[0]) for row in connection.execute(sql)]
        except sqlite3.Error as exc:
            words.append(str(exc))
    return words


def _writes(connection: sqlite3.Connection, table: str) -> list[str]:
    name = quote(table)
    sets = [quote(c) for c in plain_columns(connection, table)][:1]
    found = [f"EXPLAIN INSERT INTO {name} DEFAULT VALUES", f"EXPLAIN DELETE FROM {name} WHERE 1"]
    return found + [f"EXPLAIN UPDATE {name} SET {c} = {c}" for c in sets]


def _names(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return [
        (str(kind), str(name))
        for kind, name in connection.execute("SELECT type, name FROM sqlite_master")
        if str(name) != HISTORY and not str(name).startswith("sqlite_")
    ]


def kinds_of_tables(connection: sqlite3.Connection) -> dict[str, str]:
    rows = connection.execute("PRAGMA table_list")
    return {
        str(row[1]): str(row[2])
        for row in rows
        if row[0] == "main" and row[1] != HISTORY and not str(row[1]).startswith("sqlite_")
    }


def plain_columns(connection: sqlite3.Connection, table: str) -> list[str]:
    """Those that can be written."""
    with suppress(sqlite3.Error):  # a view that is broken
        rows = connection.execute(f"PRAGMA table_xinfo({quote(table)})")
        return [str(row[1]) for row in rows if row[6] == 0]
    return []


def look(connection: sqlite3.Connection) -> Look:
    """All about it.  Leaves it as it was."""
    kinds = kinds_of_tables(connection)
    moving = _moving(connection)
    tables = [n for n, kind in kinds.items() if kind in ("table", "virtual") and n not in moving]
    contents = {name: _contents(connection, name) for name in tables}
    objects = {
        (str(kind), str(name)): sql
        for kind, name, sql in connection.execute("SELECT type, name, sql FROM sqlite_master")
        if name != HISTORY and not str(name).startswith("sqlite_autoindex_schema_history")
        and not str(name).startswith("sqlite_sequence")
    }  # fmt: skip
    return Look(
        objects=objects,
        shapes={name: _shape(connection, name) for name in tables},
        contents={name: columns for name, (columns, _) in contents.items()},
        counts={name: count for name, (_, count) in contents.items()},
        marks=_marks(connection),
        integrity=frozenset(_lines(connection, "PRAGMA integrity_check")),
        dangling=_dangling(connection),
        views={n: _contents(connection, n, "")[0] for n, kind in kinds.items() if kind == "view"},
        virtual=frozenset(name for name, kind in kinds.items() if kind == "virtual"),
        fired=_fired(connection, kinds),
        used=_used(connection),
        searched=_searched(connection),
        settings=tuple(_lines(connection, f"PRAGMA {name}")[0] for name in SETTINGS),
    )


def _moving(connection: sqlite3.Connection) -> set[str]:
    """Virtual tables that show where the pages of the file are."""
    sql = "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%USING dbstat%'"
    return {str(name) for (name,) in connection.execute(sql)}


def _lines(connection: sqlite3.Connection, sql: str) -> list[str]:
    try:
        return [str(row[0]) for row in connection.execute(sql)]
    except sqlite3.Error as exc:
        return [str(exc)]


def _shape(connection: sqlite3.Connection, table: str) -> Any:
    name = quote(table)
    columns = {
        str(row[1]): (str(row[2]).upper(), *row[3:])
        for row in connection.execute(f"PRAGMA table_xinfo({name})")
    }
    keys: dict[int, list[Any]] = {}
    for row in connection.execute(f"PRAGMA foreign_key_list({name})"):
        keys.setdefault(row[0], []).append(tuple(row[1:]))
    indexes = Counter(
        (
            tuple(row[2:]),
            tuple(tuple(r[2:]) for r in connection.execute(f"PRAGMA index_xinfo({quote(row[1])})")),
        )
        for row in connection.execute(f"PRAGMA index_list({name})").fetchall()
    )
    listed = [r for r in connection.execute("PRAGMA table_list") if r[1] == table]
    return {
        "columns": columns,
        "keys": Counter(tuple(sorted(key)) for key in keys.values()),
        "indexes": indexes,
        "options": listed[0][4:] if listed else None,
    }


def _contents(connection: sqlite3.Connection, name: str, *ways: str) -> tuple[dict[str, str], int]:
    """A hash for each column, with the rowids in one of their own; and how many rows."""
    for rowid in ways or (_rowid(connection, name), ""):
        try:
            cursor = connection.execute(f"SELECT {rowid}* FROM {quote(name)}")
            rows = cursor.fetchall()
        except sqlite3.Error as exc:
            failure = str(exc)
            continue
        names = [str(item[0]) for item in cursor.description]
        if rowid:
            names[0] = " rowid"
        if rowid:  # which a virtual table need not give in order
            rows.sort(key=lambda row: repr(row[0]))
        columns = list(zip(*rows)) if rows else [()] * len(names)
        if rowid:
            return {n: _hash(values) for n, values in zip(names, columns)}, len(rows)
        # Without rowids there is no order to rely on: each column is a bag, and so are the rows.
        bags = {n: _hash(sorted(values, key=repr)) for n, values in zip(names, columns)}
        return bags | {" rows": _hash(sorted(rows, key=repr))}, len(rows)
    return {" error": failure}, -1


def _rowid(connection: sqlite3.Connection, table: str) -> str:
    """A name that reaches the rowid past the columns of that name."""
    taken = {str(r[1]).lower() for r in connection.execute(f"PRAGMA table_xinfo({quote(table)})")}
    free = [name for name in ("rowid", "_rowid_", "oid") if name not in taken]
    return f"{free[0]}, " if free else ""


def _hash(values: Iterable[Any]) -> str:
    return blake2b(
        repr([(type(v).__name__, v) for v in values]).encode(), digest_size=8
    ).hexdigest()


def _marks(connection: sqlite3.Connection) -> dict[str, Any]:
    with suppress(sqlite3.Error):
        rows = connection.execute("SELECT name, seq FROM sqlite_sequence")
        return {str(name): seq for name, seq in rows if name != HISTORY}
    return {}


def _dangling(connection: sqlite3.Connection) -> Counter[Any]:
    found: Counter[Any] = Counter()
    for table, kind in kinds_of_tables(connection).items():
        if kind == "table":
            try:
                rows = connection.execute(f"PRAGMA foreign_key_check({quote(table)})")
                found += Counter((str(row[0]), row[1], str(row[2])) for row in rows)
            except sqlite3.Error as exc:
                found[str(exc)] += 1
    return found


def _fired(connection: sqlite3.Connection, kinds: Mapping[str, str]) -> dict[tuple[str, str], Any]:
    """Every trigger fires and every key is asked: each kind of write on a row of each table."""
    connection.execute("PRAGMA foreign_keys = ON")
    found = {}
    for table, kind in kinds.items():
        if kind == "shadow":
            continue
        for event, sql in _events(connection, table).items():
            connection.execute("SAVEPOINT fired")
            try:
                connection.execute(f"EXPLAIN {sql}")  # what can't even be compiled
                before = connection.total_changes
                connection.execute(sql)
                found[table, event] = connection.total_changes > before
            except sqlite3.IntegrityError:  # of these rows, not of the schema
                found[table, event] = False
            except sqlite3.Error as exc:
                found[table, event] = str(exc)
            finally:
                connection.execute("ROLLBACK TO fired")
                connection.execute("RELEASE fired")
    connection.execute("PRAGMA foreign_keys = OFF")
    return found


def _events(connection: sqlite3.Connection, table: str) -> dict[str, str]:
    name = quote(table)
    columns = [quote(c) for c in plain_columns(connection, table)]
    if not columns:
        return {}
    listed = ", ".join(columns)
    one = f"SELECT {listed} FROM {name} ORDER BY {listed} LIMIT 1"
    events = {
        "insert": f"INSERT OR IGNORE INTO {name} ({listed}) {one}",
        "delete": f"DELETE FROM {name} WHERE ({columns[0]}) = (SELECT {columns[0]} FROM {name} ORDER BY {listed} LIMIT 1)",
    }
    for column in columns:
        events[f"update {column}"] = f"UPDATE OR IGNORE {name} SET {column} = {column}"
    return events


def _used(connection: sqlite3.Connection) -> dict[str, Any]:
    found = {}
    rows = connection.execute(
        "SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    for name, table, sql in rows:
        where = re.search(r"\)\s*(WHERE\b.*)$", sql, re.I | re.S)
        query = f"SELECT count(*) FROM {quote(table)} INDEXED BY {quote(name)} "
        found[str(name)] = _lines(connection, query + (where[1] if where else ""))
    return found


def _searched(connection: sqlite3.Connection) -> dict[str, Any]:
    """Each search index, asked for the words that are in it, and checked by its own module."""
    found = {}
    rows = connection.execute(
        "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%'"
    ).fetchall()
    for name, sql in rows:
        text, quoted = str(name), quote(name)
        if "rtree" in sql.lower():
            found[text] = _lines(connection, f"SELECT rtreecheck('main', '{text}')")
            continue
        if not re.search(r"USING\s+fts[345]\b", sql, re.I):
            continue
        words = {"a", "the", "example", "one", "row", "de", "test"}
        hits = {}
        for word in sorted(words):
            hits[word] = _rows(
                connection, f"SELECT rowid FROM {quoted} WHERE {quoted} MATCH ?", f'"{word}"'
            )
        found[text] = hits, _checked(connection, quoted, sql)
    return found


def _rows(connection: sqlite3.Connection, sql: str, *values: Any) -> list[Any]:
    try:
        return sorted(connection.execute(sql, values).fetchall())
    except sqlite3.Error as exc:
        return [str(exc)]


def _checked(connection: sqlite3.Connection, quoted: str, sql: str) -> str:
    rank = ", rank" if "fts5" in sql.lower() else ""
    values = "'integrity-check', 1" if rank else "'integrity-check'"
    try:
        connection.execute(f"INSERT INTO {quoted} ({quoted}{rank}) VALUES ({values})")
    except sqlite3.Error as exc:
        return str(exc)
    return "ok"
