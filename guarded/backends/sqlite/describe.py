"""Tables, columns and indexes as values that can be compared: what SQLite and the text tell."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from guarded import history
from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import (
    ColumnDefinition,
    Constraint,
    CreateTable,
    Token,
    UnreadableTable,
    fold,
    inside,
    parse,
    quote,
    spelling,
    tokens,
)
from guarded.schema import Check, Column, ForeignKey, Index, Schema, Table


def schema(execute: Execute) -> Schema:
    """The tables that people made, by folded name, without the parts of virtual ones."""
    kinds = inspect.kinds_of_tables(execute)
    return {
        fold(o.name): table(execute, o, kinds.get(o.name, "table"))
        for o in inspect.objects(execute, "table")
        if kinds.get(o.name) != "shadow" and o.name != history.TABLE
    }


def table(execute: Execute, stored: SchemaObject, kind: str | None = None) -> Table:
    """All about one table; of one whose module is not known here, its name and text."""
    sql = stored.sql or ""
    try:
        text: CreateTable | None = parse(sql)
    except UnreadableTable:
        text = None
    if kind is None:
        kind = "table" if text else inspect.kinds_of_tables(execute).get(stored.name, "table")
    try:
        plain = inspect.columns(execute, stored.name)
    except sqlite3.OperationalError as exc:
        if "no such module" not in str(exc):
            raise
        return Table(stored.name, sql, (), kind="virtual")
    if text is None:
        return Table(stored.name, sql, plain, kind=kind)
    own_indexes = indexes(execute, stored.name)
    # Only a key that is the rowid itself has no index of its own; ``INT`` or ``DESC`` has one,
    # https://www.sqlite.org/lang_createtable.html#rowid.
    has_key = any(c.primary_key for c in plain)
    return Table(
        stored.name,
        sql,
        tuple(_complete(text, column) for column in plain),
        own_indexes,
        _foreign_keys(execute, stored.name, text),
        tuple(_check(text, c) for c in text.all_constraints if c.kind == "CHECK"),
        frozenset(
            word
            for word, is_on in (
                ("AUTOINCREMENT", text.autoincrement),
                ("STRICT", text.strict),
                ("WITHOUT ROWID", text.without_rowid),
            )
            if is_on
        ),
        has_key and all(index.origin != "pk" for index in own_indexes),
        kind,
        tuple(text.names_of_constraints()),
    )


def affinity(type_: str) -> str:
    """The column's affinity, https://www.sqlite.org/datatype3.html section 3.1."""
    upper = type_.upper()
    for found, words in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in upper for word in words):
            return found
    return "NUMERIC" if upper else "BLOB"


def _complete(text: CreateTable, column: Column) -> Column:
    definition = next((c for c in text.columns if fold(c.name) == fold(column.name)), None)
    storage = column.type.upper() if text.strict else affinity(column.type)
    column = column._replace(storage=storage, meaning=meaning(column.default))
    if definition is None:
        return column
    collate, generated = definition.constraint("COLLATE"), definition.constraint("GENERATED")
    return column._replace(
        collation=fold(collate.tokens[-1].name or "") if collate else "binary",
        expression=spelling(inside(generated.tokens)) if generated else "",
        constraints=tuple(_clauses(text, definition)),
    )


def _clauses(text: CreateTable, column: ColumnDefinition) -> Iterator[str]:
    for constraint in column.constraints:
        if constraint.kind in ("CHECK", "UNIQUE", "GENERATED"):
            yield text.text(constraint)
        elif any(token.keyword == "AUTOINCREMENT" for token in constraint.tokens):
            yield "AUTOINCREMENT"


@lru_cache(maxsize=1024)
def meaning(default: str | None) -> str | None:
    """A default in one spelling, by which it is compared."""
    if default is None or default.upper() == "NULL":
        return None
    parts: Sequence[Token] = tokens(default)
    while parts and parts[0].text == "(" and len(inner := inside(parts)) == len(parts) - 2:
        parts = inner
    text = spelling(parts)
    return {"true": "1", "false": "0"}.get(text, text)


def _check(text: CreateTable, constraint: Constraint) -> Check:
    parts = inside(constraint.tokens)
    written = text.sql[parts[0].start : parts[-1].end]
    columns = frozenset(fold(column.name) for column in text.columns) & constraint.names
    return Check(written, constraint.name, spelling(parts), columns)


def _foreign_keys(execute: Execute, table: str, text: CreateTable) -> tuple[ForeignKey, ...]:
    """In the order of declaration, with what only the text tells."""
    keys = inspect.foreign_keys(execute, table)
    written = sorted(
        (c for c in text.all_constraints if c.kind in ("FOREIGN", "REFERENCES")),
        key=lambda constraint: constraint.start,
    )
    if len(written) != len(keys):
        return keys
    return tuple(key._replace(deferrable=_deferrable(c)) for key, c in zip(keys, written))


def _deferrable(constraint: Constraint) -> str:
    """Every other spelling means that the key is checked at once, which is the default, too,
    https://www.sqlite.org/foreignkeys.html section 4.2."""
    words = [token.keyword for token in constraint.tokens]
    deferred = ["DEFERRABLE", "INITIALLY", "DEFERRED"]
    place = next((i for i in range(len(words)) if words[i : i + 3] == deferred), 0)
    return " ".join(deferred) if place and words[place - 1] != "NOT" else ""


def _index_text(sql: str) -> tuple[list[str], str]:
    """The indexed expressions and the condition of a CREATE INDEX, in one spelling."""
    parts: list[list[Token]] = [[]]
    depth, words = 0, tokens(sql)
    for position, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and parts[0]:
            rest = words[position + 1 :]
            return [spelling(part) for part in parts], spelling(rest[1:])
        if depth == 1 and word.text == ",":
            parts.append([])
        elif depth > 1 or (depth == 1 and word.text != "("):
            parts[-1].append(word)
    return [spelling(part) for part in parts], ""


def indexes(execute: Execute, table: str) -> tuple[Index, ...]:
    """By name, with what is compared; those of constraints among them."""
    dependents = inspect.dependents(execute, table)
    texts = {o.name: o.sql for o in dependents if o.kind == "index"}
    found = []
    for _, name, unique, origin, partial in list(execute(f"PRAGMA index_list({quote(table)})")):
        rows = [row for row in execute(f"PRAGMA index_xinfo({quote(name)})") if row[5]]
        names = tuple(row[2] for row in rows)
        sql = texts.get(name)
        expressions, where = _index_text(sql) if sql else ([], "")
        parts = []
        for position, (_, _, column, descending, collation, _) in enumerate(rows):
            part = fold(column) if column is not None else expressions[position]
            part += "" if collation == "BINARY" else f" collate {fold(collation)}"
            parts.append(part + (" desc" if descending else ""))
        found.append(
            Index(name, names, bool(unique), bool(partial), origin, sql, tuple(parts), where)
        )
    return tuple(sorted(found, key=lambda index: index.name))


# Empty tables in memory, to try a change on before it is made.

RANKS = {"table": 0, "view": 1, "index": 2, "trigger": 3}
UNKNOWN_FUNCTION = re.compile(r"(?:no such|unknown) function: (\S+?)(?:\(\))?$")
UNKNOWN_COLLATION = re.compile(r"no such collation sequence: (.+)$")


def clone_schema(read: Execute, clone: sqlite3.Connection) -> None:
    """Make every table, index, view and trigger anew, empty, in the clone.

    Left out is what can't exist without its extension, and so can't be changed here either.
    """
    kinds = inspect.kinds_of_tables(read)
    for item in sorted(inspect.objects(read), key=lambda o: RANKS[o.kind]):
        parts = {kinds.get(item.name), kinds.get(item.table)}
        if item.sql is not None and "shadow" not in parts:
            with suppress(sqlite3.OperationalError):
                create(clone, item.sql)


def create(clone: Any, sql: str) -> None:
    """Run a CREATE statement, with stand-ins for what this process does not know."""
    known: set[str] = set()
    while True:
        try:
            clone.execute(sql)
            return
        except sqlite3.OperationalError as exc:
            name = _stand_in(clone, str(exc))
            if name is None or name in known:
                raise
            known.add(name)


def _stand_in(clone: Any, message: str) -> str | None:
    if found := UNKNOWN_FUNCTION.search(message):
        clone.create_function(found[1], -1, lambda *values: None, deterministic=True)
    elif found := UNKNOWN_COLLATION.search(message):
        clone.create_collation(found[1], lambda one, two: (one > two) - (one < two))
    return found[1] if found else None


def table_of_text(read: Execute, name: str, sql: str) -> Table:
    """The table that a CREATE TABLE would make, with the indexes that it has beside the text.

    ``read`` sees the database that it would be in.  Raises sqlite3.OperationalError.
    """
    clone = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(clone, sql)
        made = table(clone.execute, SchemaObject("table", name, name, sql))
    finally:
        clone.close()
    own = [index for index in made.indexes if index.origin != "c"]
    beside = [index for index in indexes(read, name) if index.origin == "c"]
    keys = tuple(
        key
        if key.parent_columns
        else key._replace(parent_columns=inspect.primary_key(read, key.parent))
        for key in made.foreign_keys
    )
    return made._replace(indexes=(*own, *beside), foreign_keys=keys)


def index_of_text(read: Execute, table: SchemaObject, sql: str) -> Index | None:
    """The index that a CREATE INDEX would make; None where SQLite refuses it."""
    clone = sqlite3.connect(":memory:", isolation_level=None)
    try:
        create(clone, table.sql or "")
        create(clone, sql)
        made = indexes(clone.execute, table.name)
    except sqlite3.OperationalError:
        return None
    finally:
        clone.close()
    return next((index for index in made if index.origin == "c"), None)
