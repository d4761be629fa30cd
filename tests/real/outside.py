"""A database as plain SQLite sees it, and what is different between two such looks.

Knows nothing of the engine: it reads the schema, hashes every column, selects every view, fires
every trigger, uses every index and searches every search index.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
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


@dataclass
class Meant:
    """What an operation is meant to change, by names before and after it.

    ``renamed_tables`` and ``renamed_columns`` are old to new; ``values``: columns whose values may
    be others; ``gone`` and ``come``: names of objects; ``gone_columns`` and ``come_columns`` of
    (table, column); ``tables``: tables whose shape changes; ``indexes``: whose indexes do.  ``is_respelled``: names
    in texts may be quoted otherwise.  ``texts``: tables whose text may be another of the same sense.
    """

    tables: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    values: set[tuple[str, str]] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    come: set[str] = field(default_factory=set)
    gone_columns: set[tuple[str, str]] = field(default_factory=set)
    come_columns: set[tuple[str, str]] = field(default_factory=set)
    renamed_tables: dict[str, str] = field(default_factory=dict)
    renamed_columns: dict[tuple[str, str], str] = field(default_factory=dict)
    is_respelled: bool = False
    texts: set[str] = field(default_factory=set)

    def touches(self, table: str) -> bool:
        """Whether some of its columns are to be others."""
        columns = self.values | self.gone_columns | set(self.renamed_columns) | self.come_columns
        return any(name == table for name, _ in columns)


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
                before = connection.total_changes
                connection.execute(f"EXPLAIN {sql}")  # what can't even be compiled
                with suppress(sqlite3.IntegrityError):  # of these rows, not of the schema
                    connection.execute(sql)
                found[table, event] = connection.total_changes > before
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


# The difference between two looks.


def differences(before: Look, after: Look, meant: Meant) -> list[str]:
    """All that is otherwise, and was not meant; in words."""
    found: list[str] = []
    found += _objects_differ(before, after, meant)
    found += _shapes_differ(before, after, meant)
    found += _contents_differ("table", before.contents, after.contents, before, meant)
    found += _contents_differ("view", before.views, after.views, before, meant)
    for table, count in before.counts.items():
        name = _new_name(table, meant)
        if table not in meant.gone and after.counts.get(name) != count:
            found.append(f"rows of {table}: {count}, and then {after.counts.get(name)}")
    for table, mark in before.marks.items():
        if mark is None:
            continue  # as good as none
        if table not in meant.gone and after.marks.get(_new_name(table, meant)) != mark:
            found.append(f"id mark of {table}: {mark}, and then {after.marks}")
    found += [f"integrity: {line}" for line in after.integrity - before.integrity - {"ok"}]
    moved = Counter({_moved(row, meant): count for row, count in before.dangling.items()})
    if new := Counter(after.dangling) - moved:
        found.append(f"dangling: {list(new)[:3]}")
    found += _outcomes_differ("writing", before.fired, after.fired, meant)
    found += _outcomes_differ("index", before.used, after.used, meant)
    found += _outcomes_differ("search", before.searched, after.searched, meant)
    if before.settings != after.settings:
        found.append(f"settings: {before.settings}, and then {after.settings}")
    return found


def _new_name(table: str, meant: Meant) -> str:
    return meant.renamed_tables.get(table, table)


def _moved(row: Any, meant: Meant) -> Any:
    if isinstance(row, str):
        return row
    return _new_name(row[0], meant), row[1], _new_name(row[2], meant)


def _objects_differ(before: Look, after: Look, meant: Meant) -> list[str]:
    found = []
    renamed = {n.lower() for n in meant.renamed_tables}
    renamed |= {column.lower() for _, column in meant.renamed_columns}
    for (kind, name), sql in before.objects.items():
        new = _new_name(name, meant)
        if name in meant.gone or name.startswith("sqlite_autoindex_"):
            continue
        if (kind, new) not in after.objects:
            is_part = any(new.startswith(f"{n}_") for n in meant.renamed_tables) or any(
                name.startswith(f"{old}_") for old in meant.renamed_tables
            )
            if not is_part:
                found.append(f"{kind} {name} is gone")
            continue
        text = after.objects[kind, new]
        may = name in meant.tables | meant.texts | set(meant.renamed_tables) or any(
            word in (sql or "").lower() for word in renamed
        )
        if text != sql and not may and not (meant.is_respelled and _plain(text) == _plain(sql)):
            found.append(f"{kind} {name} reads {text!r} after {sql!r}")
        elif (
            may
            and kind == "table"
            and _comments(text) != _comments(sql)
            and not (renamed or meant.gone_columns or meant.come_columns)
        ):
            found.append(f"comments of {name}: {_comments(text)} after {_comments(sql)}")
    known = {_new_name(name, meant) for _, name in before.objects} | meant.come
    prefixes = tuple(f"{new}_" for new in meant.renamed_tables.values())
    found += [
        f"{kind} {name} has come"
        for kind, name in after.objects
        if name not in known
        and not name.startswith("sqlite_autoindex_")
        and not (prefixes and name.startswith(prefixes))
    ]
    return found


def _plain(sql: str | None) -> str:
    return re.sub(r'["`\'\[\]\s]', "", sql or "").lower()


def _comments(sql: str | None) -> list[str]:
    return re.findall(r"--[^\n]*|/\*.*?\*/", sql or "", re.S)


def _shapes_differ(before: Look, after: Look, meant: Meant) -> list[str]:
    found = []
    for table, shape in before.shapes.items():
        if table in meant.gone or table in meant.tables:
            continue
        other = after.shapes.get(_new_name(table, meant))
        if other is None:
            found.append(f"table {table} is gone")
            continue
        if meant.renamed_tables or meant.renamed_columns:
            parts = ("options",)  # names in it are others; SQLite's own rename is trusted with that
        else:
            parts = ("columns", "keys", "indexes", "options")
        for part in parts:
            is_meant = part == "indexes" and table in meant.indexes
            if shape[part] != other[part] and not is_meant:
                found.append(
                    f"{part} of {table}: {_short(other[part])}, before {_short(shape[part])}"
                )
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:300]}…"


def _contents_differ(
    kind: str,
    old: Mapping[str, Mapping[str, str]],
    new: Mapping[str, Mapping[str, str]],
    before: Look,
    meant: Meant,
) -> list[str]:
    found = []
    for name, columns in old.items():
        if name in meant.gone:
            continue
        others = new.get(_new_name(name, meant))
        if others is None:
            if not any(name.startswith(f"{table}_") for table in meant.renamed_tables):
                found.append(f"{kind} {name} is gone")
            continue
        is_touched = (kind == "view" or name in before.virtual) and (
            meant.values or meant.gone_columns or meant.renamed_columns
        )
        for column, value in columns.items():
            target = meant.renamed_columns.get((name, column), column)
            if (name, column) in meant.gone_columns | meant.values:
                continue
            if column == " rows" and (kind == "view" or meant.touches(name)):
                continue
            if others.get(target) != value:
                if is_touched and " error" not in others:
                    continue
                if column == " error" and others.get(" error"):
                    continue  # broken before and after
                what = others.get(" error") or f"{kind} {name}: values of {column.strip()}"
                found.append(f"{kind} {name}: {what}")
    return list(dict.fromkeys(found))


def _outcomes_differ(
    kind: str, old: Mapping[Any, Any], new: Mapping[Any, Any], meant: Meant
) -> list[str]:
    found = []
    for key, value in old.items():
        if isinstance(key, tuple):
            table, event = key
            word, _, column = event.partition(" ")
            plain = column[1:-1].replace('""', '"')
            if table in meant.gone or (table, plain) in meant.gone_columns:
                continue
            column = quote(meant.renamed_columns.get((table, plain), plain)) if column else ""
            target: Any = (_new_name(table, meant), f"{word} {column}".strip())
        else:
            if key in meant.gone:
                continue
            target = _new_name(key, meant)
        now = new.get(target)
        if isinstance(value, str) and isinstance(now, bool):
            continue  # it was broken, and is not any more
        is_renamed = bool(meant.renamed_tables or meant.renamed_columns)
        is_worded = is_renamed or "mismatch" in str(value)
        if now == value or (isinstance(value, str) and isinstance(now, str) and is_worded):
            continue  # as it was, or as broken as it was
        if now is None and is_renamed and value is not True:
            continue  # a column of a view has the new name
        if now is not None and "malformed" in repr(value):
            continue  # an index of words that was damaged before
        if isinstance(now, bool) and isinstance(value, bool) and _is_meant(key, meant):
            continue
        found.append(f"{kind} {key}: {_short(now)}, before {_short(value)}")
    return found


def _is_meant(key: Any, meant: Meant) -> bool:
    """Whether the rules for rows of this table are what the operation changes."""
    is_changed = meant.tables or meant.gone or meant.come or meant.values
    return bool(is_changed) and isinstance(key, tuple)
