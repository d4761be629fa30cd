"""Views, triggers, keys and search indexes that SQLite can't use, with its reason for each.

They are tried on an empty clone, one trigger at a time, with stand-ins for what only the
application registers: so a fault that was there before hides none that comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing, suppress
from functools import lru_cache

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect, unknown
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import Token, fold, quote, tokens, unquote
from guarded.steps import Kind, Target

Ailments = dict[Target, str]


def ailments(read: Execute, tables: Iterable[str] | None = None) -> Ailments:
    """Of all that speaks of these tables, directly or through a view; None: of everything.

    Compiles on a clone, runs nothing.
    """
    objects = inspect.objects(read)
    about = None if tables is None else _closure(objects, {fold(name) for name in tables})
    views = [o for o in objects if o.kind == "view" and _is_about(o, about)]
    triggers = [o for o in objects if o.kind == "trigger" and _is_about(o, about)]
    searches = [
        (o, content)
        for o in objects
        if (content := external_content(o)) is not None
        and (about is None or fold(content[0]) in about)
    ]
    children = [
        o.name
        for o in objects
        if o.kind == "table" and (about is None or _refers(read, o.name, about))
    ]
    if not (views or triggers or searches or children):
        return {}
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as clone:
        stand_ins = clone_schema(read, clone, triggers=False)
        found: Ailments = {}
        for view in views:
            _try(stand_ins, view.target, f"SELECT * FROM {quote(view.name)}", found)
        for trigger in triggers:
            _try_trigger(clone, stand_ins, trigger, found)
        for search, (table, names) in searches:
            # With the table's name before it, a name that is gone is no string to SQLite.
            columns = ", ".join(f"t.{quote(name)}" for name in names)
            _try(stand_ins, search.target, f"SELECT {columns} FROM {quote(table)} AS t", found)
        for child in children:
            check = f"PRAGMA foreign_key_check({quote(child)})"
            try:
                clone.execute(check).fetchall()
            except sqlite3.OperationalError as exc:
                found[Target(Kind.FOREIGN_KEY, child, "*")] = str(exc)
        return found


def clone_schema(
    read: Execute, clone: sqlite3.Connection, *, triggers: bool = True
) -> unknown.StandIns:
    """Make every table, index and view anew in the clone, empty, and the triggers if wanted.

    A table whose module this process does not know is there by name, with nothing in it.  Gives
    the stand-ins that the clone needs.
    """
    stand_ins = unknown.StandIns(clone)
    kinds = inspect.kinds_of_tables(read)
    ranks = {"table": 0, "view": 1, "index": 2} | ({"trigger": 3} if triggers else {})
    for item in sorted(
        (o for o in inspect.objects(read) if o.kind in ranks), key=lambda o: ranks[o.kind]
    ):
        if item.sql is None or "shadow" in (kinds.get(item.name), kinds.get(item.table)):
            continue
        sql = item.sql.encode(errors="replace").decode()
        try:
            stand_ins.execute(sql)
        except sqlite3.OperationalError as exc:
            if item.kind == "table" and unknown.named_in(str(exc)):
                clone.execute(f"CREATE TABLE {quote(item.name)} ({inspect.UNREADABLE})")
    return stand_ins


def trigger_event(trigger: SchemaObject) -> tuple[str, list[str]]:
    """DELETE, INSERT or UPDATE, and the columns after UPDATE OF."""
    words = tokens(trigger.sql or "")
    at = next(
        i
        for i, word in enumerate(words)
        if i > 2 and word.keyword in ("DELETE", "INSERT", "UPDATE")
    )
    names: list[str] = []
    rest: list[Token] = words[at + 1 :]
    if rest and rest[0].keyword == "OF":
        for token in rest[1:]:
            if token.keyword == "ON":
                break
            if token.name is not None:
                names.append(token.name)
    return words[at].keyword, names


def external_content(search: SchemaObject) -> tuple[str, list[str]] | None:
    """The table that a full-text index reads its content from, and the columns that it needs.

    https://www.sqlite.org/fts5.html#external_content_tables
    """
    if not (search.sql or "").startswith("CREATE VIRTUAL TABLE"):  # SQLite stores it in capitals
        return None
    words = tokens(search.sql or "")
    content, rowid, names = "", "rowid", []
    for argument in _arguments(words):
        if len(argument) > 2 and argument[1].text == "=":
            option, value = fold(argument[0].text), argument[2].name or ""
            if option == "content":
                content = value
            elif option == "content_rowid":
                rowid = value
        elif argument and argument[0].name is not None:
            names.append(argument[0].name)
    return (content, [rowid, *names]) if content else None


def mentioned(sql: str | None) -> frozenset[str]:
    """Every identifier in the text, folded, whatever it means there; no string is one."""
    return _mentioned(sql or "")


@lru_cache(maxsize=4096)
def _mentioned(sql: str) -> frozenset[str]:
    words = (token for token in tokens(sql) if token.kind in ("word", "quoted"))
    return frozenset(fold(unquote(token.text)) for token in words)


def _closure(objects: list[SchemaObject], names: set[str]) -> set[str]:
    """The tables, and the views that speak of them or of such a view."""
    views = [o for o in objects if o.kind == "view"]
    size = -1
    while size != len(names):
        size = len(names)
        names |= {fold(view.name) for view in views if mentioned(view.sql) & names}
    return names


def _is_about(item: SchemaObject, about: set[str] | None) -> bool:
    return about is None or bool(mentioned(item.sql) & about)


def _refers(read: Execute, table: str, about: set[str]) -> bool:
    keys = inspect.foreign_keys(read, table)
    return bool(keys) and (fold(table) in about or any(fold(k.parent) in about for k in keys))


def _arguments(words: list[Token]) -> list[list[Token]]:
    found: list[list[Token]] = [[]]
    depth = 0
    for word in words:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 1 and word.text == ",":
            found.append([])
        elif depth > 1 or (depth == 1 and word.text != "("):
            found[-1].append(word)
    return found


def _try(stand_ins: unknown.StandIns, target: Target, sql: str, found: Ailments) -> None:
    try:
        stand_ins.execute(f"EXPLAIN {sql}")
    except sqlite3.OperationalError as exc:
        found[target] = str(exc)


def _try_trigger(
    clone: sqlite3.Connection,
    stand_ins: unknown.StandIns,
    trigger: SchemaObject,
    found: Ailments,
) -> None:
    try:
        stand_ins.execute((trigger.sql or "").encode(errors="replace").decode())
    except sqlite3.OperationalError as exc:
        found[trigger.target] = str(exc)
        return
    event, update_of = trigger_event(trigger)
    columns = inspect.columns(clone.execute, trigger.table)
    names = {fold(c.name): c.name for c in columns}
    if gone := [name for name in update_of if fold(name) not in names]:
        found[trigger.target] = f"no such column: {gone[0]}"
    elif event == "DELETE":
        _try(stand_ins, trigger.target, f"DELETE FROM {quote(trigger.table)} WHERE 1", found)
    elif event == "INSERT":
        _try(stand_ins, trigger.target, f"INSERT INTO {quote(trigger.table)} DEFAULT VALUES", found)
    else:
        plain = update_of or [c.name for c in columns if not c.generated]
        sql = f"UPDATE {quote(trigger.table)} SET {quote(plain[0])} = NULL"
        _try(stand_ins, trigger.target, sql, found)
    with suppress(sqlite3.OperationalError):
        clone.execute(f"DROP TRIGGER {quote(trigger.name)}")
