"""Views, triggers, keys and search indexes that SQLite can't use, with its reason for each.

They are tried on an empty clone, one trigger at a time, with stand-ins for what only the
application registers: so a fault that was there before hides none that comes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from functools import lru_cache
from typing import NamedTuple

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect, unknown
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import (
    Token,
    fold,
    identifiers,
    names_in,
    never_strings,
    quote,
    tokens,
)
from guarded.steps import Kind, Target

Ailments = dict[Target, str]


def ailments(
    read: Execute, tables: Iterable[str] | None = None, *, takes_strings: bool = True
) -> Ailments:
    """Of all that speaks of these tables, directly or through a view; None: of everything.

    ``takes_strings``: to SQLite, a name in double quotes that is none is a string.  Without it, a
    view that speaks of a column that is gone is not sound.  Compiles on a clone, runs nothing.  The
    same text among the same texts is tried once.
    """
    schema = _Schema(read)
    about = None if tables is None else schema.speaking_of({fold(name) for name in tables})
    subjects = [s for s in schema.subjects() if about is None or s.names & about]
    keys = {s: (s.kind, takes_strings, schema.texts(s)) for s in subjects}
    if new := [subject for subject in subjects if keys[subject] not in _TRIED]:
        if len(_TRIED) > KEPT:
            _TRIED.clear()
        needed = {fold(o.name) for subject in new for o in schema.needed(subject)}
        with closing(_uncached()) as clone:
            stand_ins = clone_schema(read, clone, only=needed)
            for subject in new:
                reason = _reason(clone, stand_ins, subject)
                if reason is None and not takes_strings:
                    reason = _reason_without_strings(clone, stand_ins, subject)
                _TRIED[keys[subject]] = reason
    found = ((subject.target, _TRIED[keys[subject]]) for subject in subjects)
    return {target: why for target, why in found if why is not None}


def _uncached() -> sqlite3.Connection:
    """A connection that compiles every statement anew.

    One that the driver kept would not see the trigger that came since: SQLite looks for changes
    of the schema when a statement runs, and an EXPLAIN does not.
    """
    return sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)


class _Subject(NamedTuple):
    """One thing that SQLite might not be able to use; ``names``: of what it needs, folded."""

    kind: Kind
    target: Target
    item: SchemaObject
    names: frozenset[str]


KEPT = 10_000
_TRIED: dict[tuple[Kind, bool, tuple[str, ...]], str | None] = {}


class _Schema:
    """Who speaks of whom."""

    def __init__(self, read: Execute) -> None:
        self.objects = [o for o in inspect.objects(read) if o.sql is not None]
        self._tables = {fold(o.name): o for o in self.objects if o.kind in ("table", "view")}
        self._indexes: dict[str, list[SchemaObject]] = {}
        for item in self.objects:
            if item.kind == "index":
                self._indexes.setdefault(fold(item.table), []).append(item)

    def subjects(self) -> Iterator[_Subject]:
        for item in self.objects:
            names = names_in(item.sql or "")
            if item.kind == "view":
                yield _Subject(Kind.VIEW, item.target, item, names)
            elif item.kind == "trigger":
                yield _Subject(Kind.TRIGGER, item.target, item, names)
            elif (item.sql or "").startswith("CREATE VIRTUAL TABLE"):  # SQLite's own spelling
                yield _Subject(Kind.TABLE, item.target, item, names)
            elif item.kind == "table" and "references" in names:
                target = Target(Kind.FOREIGN_KEY, item.name, "*")
                yield _Subject(Kind.FOREIGN_KEY, target, item, names)

    def speaking_of(self, names: set[str]) -> set[str]:
        """These tables, and the views that speak of them or of such a view."""
        views = [o for o in self.objects if o.kind == "view"]
        size = -1
        while size != len(names):
            size = len(names)
            names |= {fold(v.name) for v in views if not names.isdisjoint(names_in(v.sql or ""))}
        return names

    def needed(self, subject: _Subject) -> list[SchemaObject]:
        """The tables and views that it speaks of, those that these views do, and the indexes."""
        found: dict[str, SchemaObject] = {}
        open_names = set(subject.names)
        while open_names:
            name = open_names.pop()
            if name in self._tables and name not in found:
                item = found[name] = self._tables[name]
                if item.kind == "view":
                    open_names |= names_in(item.sql or "")
        indexes = [index for name in found for index in self._indexes.get(name, ())]
        return [*found.values(), *indexes]

    def texts(self, subject: _Subject) -> tuple[str, ...]:
        """All that decides whether SQLite can use it."""
        needed = sorted(item.sql or "" for item in self.needed(subject))
        return (subject.item.name, subject.item.sql or "", *needed)


def _reason(
    clone: sqlite3.Connection, stand_ins: unknown.StandIns, subject: _Subject
) -> str | None:
    item = subject.item
    if subject.kind is Kind.VIEW:
        return _try(stand_ins, f"SELECT * FROM {quote(item.name)}")
    if subject.kind is Kind.TRIGGER:
        return _try_trigger(clone, stand_ins, item)
    if subject.kind is Kind.TABLE:
        if (content := external_content(item)) is None:
            return _try_reading(clone, item)
        table, names = content
        if why := _try(stand_ins, f"SELECT * FROM {quote(table)}"):
            return why
        there = {fold(c.name) for c in inspect.columns(clone.execute, table)}
        if inspect.find(clone.execute, table, "table") is not None:
            there.add("rowid")  # of a view, SQLite takes that for NULL
        if gone := [name for name in names if fold(name) not in there]:
            return f"no such column: {gone[0]}"
        # With the table's name before it, a name that is gone is no string to SQLite.
        columns = ", ".join(f"t.{quote(name)}" for name in names)
        return _try(stand_ins, f"SELECT {columns} FROM {quote(table)} AS t")
    try:
        clone.execute(f"PRAGMA foreign_key_check({quote(item.name)})").fetchall()
    except sqlite3.OperationalError as exc:
        return str(exc)
    # A parent that is not there makes each write of the child fail.
    parents = dict.fromkeys(key.parent for key in inspect.foreign_keys(clone.execute, item.name))
    gone = [name for name in parents if not inspect.has_table(clone.execute, name)]
    return f"no such table: {gone[0]}" if gone else None


def _reason_without_strings(
    clone: sqlite3.Connection, stand_ins: unknown.StandIns, subject: _Subject
) -> str | None:
    item, sql = subject.item, never_strings(subject.item.sql or "")
    if subject.kind not in (Kind.VIEW, Kind.TRIGGER) or sql == item.sql:
        return None
    if subject.kind is Kind.TRIGGER:
        return _try_trigger(clone, stand_ins, item._replace(sql=sql))
    clone.execute(f"DROP VIEW {quote(item.name)}")
    try:
        stand_ins.execute(sql)
        return _try(stand_ins, f"SELECT * FROM {quote(item.name)}")
    finally:
        clone.execute(f"DROP VIEW IF EXISTS {quote(item.name)}")
        stand_ins.execute(item.sql or "")


def clone_schema(
    read: Execute, clone: sqlite3.Connection, *, only: Collection[str] | None = None
) -> unknown.StandIns:
    """Make every object anew in the clone, empty; or these tables, views and indexes alone.

    A table whose module this process does not know is there by name, with nothing in it.  Gives
    the stand-ins that the clone needs.
    """
    stand_ins = unknown.StandIns(clone)
    kinds = inspect.kinds_of_tables(read)
    ranks = {"table": 0, "view": 1, "index": 2, "trigger": 3}
    wanted = [
        o
        for o in inspect.objects(read)
        if only is None or (fold(o.name) in only and o.kind != "trigger")
    ]
    for item in sorted(wanted, key=lambda o: ranks[o.kind]):
        if item.sql is None or "shadow" in (kinds.get(item.name), kinds.get(item.table)):
            continue
        sql = item.sql.encode(errors="replace").decode()
        try:
            stand_ins.execute(sql)
        except sqlite3.OperationalError as exc:
            if item.kind == "table" and unknown.named_in(str(exc)):
                clone.execute(f"CREATE TABLE {quote(item.name)} ({inspect.UNREADABLE})")
    return stand_ins


@lru_cache(maxsize=1024)
def trigger_event(sql: str) -> tuple[str, Sequence[str]]:
    """DELETE, INSERT or UPDATE, and the columns after UPDATE OF."""
    words = tokens(sql)
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
    return words[at].keyword, tuple(names)


def external_content(search: SchemaObject) -> tuple[str, list[str]] | None:
    """The table that a full-text index reads its content from, and the columns that it needs.

    https://www.sqlite.org/fts5.html#external_content_tables
    """
    options, names = _given(search)
    content = options.get("content")
    return (content, [options.get("content_rowid") or "rowid", *names]) if content else None


def is_contentless(search: SchemaObject) -> bool:
    """Return True for a full-text index that keeps no values, and takes no change of them.

    https://www.sqlite.org/fts5.html#contentless_tables
    """
    options, _ = _given(search)
    return options.get("content") == "" and "contentless_delete" not in options


def _given(search: SchemaObject) -> tuple[dict[str, str | None], list[str]]:
    """The options and the columns of a virtual table; none of any other."""
    if not (search.sql or "").startswith("CREATE VIRTUAL TABLE"):  # SQLite stores it in capitals
        return {}, []
    arguments = _arguments(tokens(search.sql or ""))
    options = {fold(a[0].text): a[2].name for a in arguments if _is_option(a)}
    names = [a[0].name for a in arguments if a and not _is_option(a) and a[0].name is not None]
    return options, names


def _is_option(argument: Sequence[Token]) -> bool:
    return len(argument) > 2 and argument[1].text == "="


def mentioned(sql: str | None) -> frozenset[str]:
    """Every identifier in the text, folded, whatever it means there; no string is one."""
    return _mentioned(sql or "")


@lru_cache(maxsize=4096)
def _mentioned(sql: str) -> frozenset[str]:
    return identifiers(tokens(sql))


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


def _try(stand_ins: unknown.StandIns, sql: str) -> str | None:
    """Why it can't be compiled, or None."""
    try:
        stand_ins.execute(f"EXPLAIN {sql}")
    except sqlite3.OperationalError as exc:
        return str(exc)
    return None


def _try_reading(clone: sqlite3.Connection, item: SchemaObject) -> str | None:
    """A module opens the table that it is about only when it is read; there is no row.

    Some search indexes without content can't be scanned, and can be searched.
    """
    name = quote(item.name)
    try:
        clone.execute(f"SELECT 1 FROM {name}").fetchall()
    except sqlite3.OperationalError as exc:
        with suppress(sqlite3.OperationalError):
            clone.execute(f"SELECT 1 FROM {name} WHERE {name} MATCH 'a'").fetchall()
            return None
        return str(exc)
    return None


def _try_trigger(
    clone: sqlite3.Connection, stand_ins: unknown.StandIns, trigger: SchemaObject
) -> str | None:
    """On its own, for a fault of one would hide those of the others."""
    try:
        stand_ins.execute((trigger.sql or "").encode(errors="replace").decode())
    except sqlite3.OperationalError as exc:
        return str(exc)
    try:
        return _try_firing(clone, stand_ins, trigger)
    finally:
        with suppress(sqlite3.OperationalError):
            clone.execute(f"DROP TRIGGER {quote(trigger.name)}")


def _try_firing(
    clone: sqlite3.Connection, stand_ins: unknown.StandIns, trigger: SchemaObject
) -> str | None:
    table = quote(trigger.table)
    event, update_of = trigger_event(trigger.sql or "")
    if event == "DELETE":
        return _try(stand_ins, f"DELETE FROM {table} WHERE 1")
    if event == "INSERT":
        return _try(stand_ins, f"INSERT INTO {table} DEFAULT VALUES")
    columns = inspect.columns(clone.execute, trigger.table)
    names = {fold(c.name): c.name for c in columns}
    if gone := [name for name in update_of if fold(name) not in names]:
        return f"no such column: {gone[0]}"
    able = {fold(c.name) for c in columns if not c.generated}
    plain = [name for name in update_of if fold(name) in able]
    if update_of and not plain:
        # No UPDATE can name a generated column.  The trigger never fires, and yet SQLite refuses
        # later changes of names when it speaks of a table that is gone.
        clone.execute(f"DROP TRIGGER {quote(trigger.name)}")
        stand_ins.execute(_of_any_column(trigger.sql or ""))
    column = next(iter(plain or able))
    return _try(stand_ins, f"UPDATE {table} SET {quote(names[fold(column)])} = NULL")


def _of_any_column(trigger: str) -> str:
    """The trigger without its OF."""
    words = tokens(trigger)
    of = next(i for i, word in enumerate(words) if word.keyword == "OF")
    on = next(word for word in words[of:] if word.keyword == "ON")
    return trigger[: words[of].start] + trigger[on.start :]
