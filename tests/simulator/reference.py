"""The database as it has to be, and two databases compared, by apsw's SQLite alone.

Nothing here is the engine's: a change of a table is made by creating the new one and copying rows.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw

from tests.simulator.clock import SYSTEM
from tests.simulator.schema import Schema, Table, hidden_rowid, quote

HISTORY = "schema_history"
Sight = dict[str, Any]


class Reference:
    """A database in memory that follows the schema.  ``become`` copies rows by the numbers of
    tables and columns; a new column has its default."""

    def __init__(self, schema: Schema, source: apsw.Connection) -> None:
        self.schema, self.connection = schema, source
        self.become(schema)

    def become(self, schema: Schema) -> None:
        old, old_schema = self.connection, self.schema
        new = in_memory()
        ((encoding,),) = old.execute("PRAGMA encoding")
        new.execute(f"PRAGMA encoding = '{encoding}'")  # text is compared by its bytes
        new.execute("PRAGMA recursive_triggers = OFF")
        for table in schema.tables:
            new.execute(schema.created(table))
        for table in schema.tables:
            if table.number in {t.number for t in old_schema.tables}:
                _copy(old, old_schema, old_schema.table(table.number), new, table)
        for search in schema.searches:
            new.execute(schema.created_search(search))
            before = next(s for s in old_schema.searches if s.number == search.number)
            for row in old.execute(f"SELECT rowid, * FROM {quote(before.name)}"):
                marks = ", ".join("?" * len(row))
                names = ", ".join(("rowid", *map(quote, search.columns)))
                new.execute(f"INSERT INTO {quote(search.name)} ({names}) VALUES ({marks})", row)
        for sql in schema.script_around():
            new.execute(sql)
        self.connection, self.schema = new, schema

    def execute(self, sql: str) -> None:
        self.connection.execute(sql)

    def without_triggers(self, sql: str) -> None:
        for trigger in self.schema.triggers:
            self.connection.execute(f"DROP TRIGGER {quote(trigger.name)}")
        try:
            self.connection.execute(sql)
        finally:
            for trigger in self.schema.triggers:
                self.connection.execute(self.schema.created_trigger(trigger))


def _copy(
    old: apsw.Connection, old_schema: Schema, before: Table, new: apsw.Connection, after: Table
) -> None:
    shared = [
        (before.column(c.number).name, c.name)
        for c in after.columns
        if c.generated is None and before.has(c.number)
    ]
    out, into = [quote(a) for a, _ in shared], [quote(b) for _, b in shared]
    if not after.without_rowid and after.alias is None:
        out.insert(0, hidden_rowid(before))
        into.insert(0, hidden_rowid(after))
    rows = old.execute(f"SELECT {', '.join(out)} FROM {quote(before.name)} NOT INDEXED").fetchall()
    marks = ", ".join("?" * len(into))
    new.executemany(f"INSERT INTO {quote(after.name)} ({', '.join(into)}) VALUES ({marks})", rows)
    if after.numbered and before.numbered:
        mark = old.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (before.name,)
        ).fetchall()
        new.execute("DELETE FROM sqlite_sequence WHERE name = ?", (after.name,))
        if mark:
            new.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (after.name, mark[0][0]))


def in_memory() -> apsw.Connection:
    return apsw.Connection(":memory:", vfs=SYSTEM)


def opened(path: Path) -> apsw.Connection:
    """A copy in memory, as of the last COMMIT."""
    source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return copied(source)
    finally:
        source.close()


def copied(source: apsw.Connection, target: apsw.Connection | None = None) -> apsw.Connection:
    """The target, or a new database in memory, with all that is in the source."""
    target = target or in_memory()
    with target.backup("main", source, "main") as backup:
        backup.step()
    return target


def sight(connection: apsw.Connection) -> Sight:
    """All that counts about the database, with columns by name and whatever the spelling."""
    found: Sight = {"integrity": _lines(connection, "PRAGMA integrity_check")}
    found["dangling"] = Counter(
        (r[0], r[1], r[2]) for r in connection.execute("PRAGMA foreign_key_check")
    )
    options = {
        r[1]: (r[2], r[4], r[5]) for r in connection.execute("PRAGMA table_list") if r[0] == "main"
    }
    for kind, name, table, sql in connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
    ).fetchall():
        if name == HISTORY or table == HISTORY or name.startswith("sqlite_") or "autoindex" in name:
            continue
        if kind == "view":
            found[f"view {name}"] = Counter(connection.execute(f"SELECT * FROM {quote(name)}"))
        elif kind == "trigger":
            found[f"trigger {name}"] = table, plain(sql)
        elif kind == "table" and options[name][0] != "shadow":
            found[f"table {name}"] = options[name]
            found |= _table(connection, name, options[name])
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchall():
        for name, seq in connection.execute("SELECT name, seq FROM sqlite_sequence"):
            if name != HISTORY and options.get(name) and seq:  # 0 is as good as none
                found[f"id mark of {name}"] = seq
    return found


def _table(connection: apsw.Connection, name: str, options: Any) -> Sight:
    found: Sight = {}
    columns = connection.execute(f"PRAGMA table_xinfo({quote(name)})").fetchall()
    names = [c[1] for c in columns if c[6] in (0, 2, 3)]
    kind, is_without_rowid = options[0], options[1]
    for _, column, type_, not_null, default, key, hidden in columns:
        if hidden == 1:
            continue
        shape: tuple[Any, ...] = (type_.upper(), not_null, default_of(default), key, hidden)
        if kind == "table":
            shape += connection.column_metadata("main", name, column)[1:]
        found[f"column {name}.{column}"] = shape
    keys: dict[int, list[Any]] = {}
    for number, _, *rest in connection.execute(f"PRAGMA foreign_key_list({quote(name)})"):
        keys.setdefault(number, []).append(tuple(rest))
    found[f"keys of {name}"] = Counter(tuple(sorted(key)) for key in keys.values())
    indexes: Counter[Any] = Counter()
    for _, index, unique, origin, partial in connection.execute(
        f"PRAGMA index_list({quote(name)})"
    ).fetchall():
        parts = connection.execute(f"PRAGMA index_xinfo({quote(index)})").fetchall()
        of = tuple((p[2], p[3], p[4]) for p in parts if p[5])
        indexes[(index if origin == "c" else "", unique, origin, partial, of)] += 1
    found[f"indexes of {name}"] = indexes
    listed = sorted(names)
    chosen = ", ".join(map(quote, listed))
    taken = {n.lower() for n in names}
    free = [n for n in ("rowid", "_rowid_", "oid") if n not in taken]
    first = f"{free[0]}, " if free and not is_without_rowid else ""
    rows = connection.execute(f"SELECT {first}{chosen} FROM {quote(name)} NOT INDEXED" if kind == "table"
                              else f"SELECT {first}{chosen} FROM {quote(name)}").fetchall()  # fmt: skip
    found[f"rows of {name}"] = Counter(_told_apart(row, first, listed) for row in rows)
    return found


def _told_apart(row: Iterable[Any], first: str, names: list[str]) -> tuple[Any, ...]:
    """With types, for 1 and 1.0 are one to Python; and with the columns' names."""
    listed = ["rowid", *names] if first else names
    return tuple((n, type(v).__name__, v) for n, v in zip(listed, row))


_constants = in_memory()


def default_of(sql: str | None) -> Any:
    """One spelling for all spellings of a default."""
    if sql is None or "CURRENT" in sql.upper():
        return sql
    try:
        return _constants.execute(f"SELECT typeof({sql}), {sql}").fetchone()
    except apsw.SQLError:
        return sql


def _lines(connection: apsw.Connection, sql: str) -> tuple[str, ...]:
    try:
        return tuple(str(row[0]) for row in connection.execute(sql))
    except apsw.Error as exc:
        return (str(exc),)


def plain(sql: str) -> str:
    return re.sub(r'["`\'\[\]\s]|/\*.*?\*/', "", sql).lower()


def differences(wanted: Sight, found: Sight, ignored: Iterable[str] = ()) -> list[str]:
    """In words; ``ignored`` are parts of the sight."""
    left_out = set(ignored)
    words = []
    for part in sorted({*wanted, *found} - left_out):
        if wanted.get(part) != found.get(part):
            words.append(f"{part}: {_short(found.get(part), wanted.get(part))}")
    return words


def _short(found: Any, wanted: Any) -> str:
    if isinstance(found, Counter) and isinstance(wanted, Counter):
        return f"{list((found - wanted).items())!r:.400}, wanted {list((wanted - found).items())!r:.400}"
    return f"{found!r:.400}, wanted {wanted!r:.400}"


def texts(connection: apsw.Connection) -> dict[tuple[str, str], str | None]:
    """The stored texts, by kind and name."""
    rows = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE tbl_name <> ?", (HISTORY,)
    )
    return {(str(k), str(n)): s for k, n, s in rows if not n.startswith("sqlite_")}


def make_ready(connection: apsw.Connection) -> None:
    """For the writes of an application."""
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA recursive_triggers = OFF")


def work(connection: apsw.Connection, statements: Iterable[str]) -> list[Any]:
    """What each statement gives, with foreign keys on.  Changes the database."""
    make_ready(connection)
    outcomes = []
    for sql in statements:
        try:
            connection.execute(sql)
            outcomes.append((sql, "done", connection.changes()))
        except apsw.Error as exc:
            outcomes.append((sql, type(exc).__name__))
    return outcomes
