"""SQLite's own ALTER TABLE: the changes that it has, and how it runs in any schema."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any

from peewee import OperationalError

from guarded.backends.interface import Execute, Ledger
from guarded.backends.sqlite import edits, inspect, unknown
from guarded.backends.sqlite.health import ailments
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import CreateTable, fold, quote, tokens
from guarded.changes import (
    AddColumn,
    AddConstraint,
    Alteration,
    DropColumn,
    DropConstraint,
    DropNotNull,
    SetNotNull,
)
from guarded.steps import Kind, Target

WITH_CONSTRAINTS = (3, 53, 0)  # from here on ALTER TABLE has NOT NULL and named CHECKs


def can_alter(definition: CreateTable, change: Alteration, version: tuple[int, ...]) -> bool:
    """Return True if the ALTER TABLE of this version of SQLite can do it."""
    if isinstance(change, AddColumn):
        return change.value is None and _is_addable(definition, change.definition)
    if isinstance(change, DropColumn):
        name = fold(change.column)
        column = definition.column(change.column)
        own = [c for c in definition.constraints if definition.subjects(c) == {name}]
        own += [c for c in column.constraints if c.kind in ("UNIQUE", "REFERENCES")]
        return not own and not edits.has_comment_before(definition, column)
    if version < WITH_CONSTRAINTS:
        return False
    if isinstance(change, AddConstraint):
        return change.name != "" and tokens(change.definition)[0].keyword == "CHECK"
    if isinstance(change, DropConstraint):
        constraint = definition.constraint(change.name)
        is_named_check = constraint.kind == "CHECK" and constraint.name is not None
        return is_named_check and not edits.has_comment_beside(definition, constraint)
    if isinstance(change, DropNotNull):
        present = definition.column(change.column).constraint("NOT")
        return present is None or not edits.has_comment_beside(definition, present)
    return isinstance(change, SetNotNull)


def _is_addable(table: CreateTable, definition: str) -> bool:
    """Return True if SQLite's ADD COLUMN takes it, https://www.sqlite.org/lang_altertable.html, and
    gives older rows the value that new rows have."""
    text = CreateTable(f"CREATE TABLE t ({definition})")
    column = text.columns[0]
    if column.constraint("PRIMARY") or column.constraint("UNIQUE"):
        return False
    if generated := column.constraint("GENERATED"):
        return generated.tokens[-1].keyword != "STORED"
    default = column.constraint("DEFAULT")
    if default is None:
        return column.constraint("NOT") is None
    if default.tokens[1].text == "(" or default.tokens[1].keyword.startswith("CURRENT_"):
        return False
    return _is_read_as_stored(f"{column.type} {text.text(default)}", is_strict=table.strict)


@lru_cache(maxsize=256)
def _is_read_as_stored(definition: str, *, is_strict: bool) -> bool:
    """Return True if rows older than the column read its default as newer rows store it.

    In a TEXT column SQLite reads a number as it is spelled; 3.40 reads TRUE as a number there.
    """
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as scratch:
        scratch.execute(f"CREATE TABLE t (a INTEGER){' STRICT' * is_strict}")
        scratch.execute("INSERT INTO t VALUES (1)")
        try:
            scratch.execute(f"ALTER TABLE t ADD COLUMN c {definition}")
            scratch.execute("INSERT INTO t (a) VALUES (2)")
        except sqlite3.Error:  # the ALTER TABLE itself tells it better
            return True
        ((values,),) = scratch.execute("SELECT count(DISTINCT quote(c)) FROM t")
    return bool(values == 1)


class Alter:
    """Runs ALTER TABLE on one connection, whatever else is in the schema."""

    def __init__(self, connection: Any, execute: Execute, ledger: Ledger) -> None:
        """``execute`` changes the database, and is recorded."""
        self._read, self._execute, self._ledger = connection.execute, execute, ledger
        self._stand_ins = unknown.StandIns(connection)

    def run(self, statement: Callable[[], Any], renamed: tuple[str, str] = ("", "")) -> None:
        """SQLite's ALTER TABLE compiles every view and trigger of the whole schema.

        What only the application registers gets stand-ins meanwhile; what was broken before steps
        aside, and comes back as it was.
        """
        stand_ins = self._stand_ins
        try:
            stand_ins.run(statement)
        except (OperationalError, sqlite3.OperationalError) as exc:
            if not str(exc).startswith("error in "):
                raise
            with self._ledger.trusting():
                broken = [t for t in ailments(self._read) if t.kind in (Kind.VIEW, Kind.TRIGGER)]
            if not broken:
                raise
            with self._aside(broken, renamed):
                stand_ins.run(statement)
        finally:
            stand_ins.remove()

    @contextmanager
    def _aside(self, broken: Sequence[Target], renamed: tuple[str, str]) -> Iterator[None]:
        """Without these views and triggers; they come back in their places.

        What is sound around them is made anew for that, and is there in the block: a rename
        rewrites it.  ``renamed``: a table's name before and after the block.
        """
        lame = {(t.kind.value, fold(t.name or t.table)) for t in broken}
        views = {fold(t.table) for t in broken if t.kind is Kind.VIEW}
        tables = views | {fold(t.table) for t in broken if t.kind is Kind.TRIGGER}
        doomed = [
            o
            for o in inspect.objects(self._read, "view", "trigger")
            if (fold(o.name) if o.kind == "view" else fold(o.table))
            in (views if o.kind == "view" else tables)
        ]
        doomed.sort(key=lambda o: o.kind, reverse=True)  # triggers go first, and come last
        sound = [
            o for o in doomed if (o.kind, fold(o.name)) not in lame and fold(o.table) not in views
        ]
        with self._ledger.trusting():
            self._drop_all(doomed)
            for item in sound:
                self._execute(item.sql)
        yield
        with self._ledger.trusting():
            texts = {(o.kind, o.name): o.sql for o in inspect.objects(self._read)}
            self._drop_all(sound)
            for item in doomed:
                text = texts.get((item.kind, item.name)) or _moved(item, *renamed)
                self._execute(text)

    def _drop_all(self, items: Sequence[SchemaObject]) -> None:
        for item in reversed(items):
            self._execute(f"DROP {item.kind.upper()} {quote(item.name)}")


def _moved(item: SchemaObject, old: str, new: str) -> str:
    """The text of a trigger whose table was renamed; nothing else in it can be told apart."""
    sql = item.sql or ""
    if item.kind != "trigger" or fold(item.table) != fold(old):
        return sql
    words = tokens(sql)
    on = next(i for i, word in enumerate(words) if word.keyword == "ON")
    while words[on + 2].text == ".":  # ON main.table
        on += 2
    name = words[on + 1]
    return f"{sql[: name.start]}{quote(new)}{sql[name.end :]}"
