"""Tables, columns and indexes as values that can be compared: what SQLite and the text tell."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from typing import Any

from guarded import history
from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect, unknown
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
        if kinds.get(o.name) != "shadow"
        and o.name != history.TABLE
        # Litestream's own, https://litestream.io/how-it-works/.
        and not o.name.startswith("_litestream_")
    }


def table(execute: Execute, stored: SchemaObject, kind: str | None = None) -> Table:
    """All about one table; of one whose module is not known here, its name and text."""
    sql = stored.sql or ""
    try:
        text: CreateTable | None = parse(sql)
    except UnreadableTable:
        text = None
    if kind is None:
        may_be_other = text is None or "_" in stored.name  # a shadow is named owner_part
        kind = inspect.kind_of(execute, stored.name)[0] if may_be_other else "table"
    try:
        plain = inspect.columns(execute, stored.name)
    except sqlite3.OperationalError as exc:
        if (thing := unknown.named_in(str(exc))) is None:
            raise
        return Table(stored.name, sql, (), kind="unreadable", unreadable=thing)
    if [c.name for c in plain] == [inspect.UNREADABLE]:
        return Table(stored.name, sql, (), kind="unreadable", unreadable="module of this table")
    if text is None:
        return Table(stored.name, sql, plain, kind=kind)
    found = _of_text(stored.name, sql, kind, plain)
    own_indexes = indexes(execute, stored.name, plain)
    has_own_key = any(index.origin == "pk" for index in own_indexes)
    return found._replace(
        indexes=own_indexes,
        foreign_keys=_foreign_keys(execute, stored.name, text),
        is_numbered=sum(bool(c.primary_key) for c in plain) == 1 and not has_own_key,
    )


# Verbs look at their table again and again, and its text is the same each time.
@lru_cache(maxsize=256)
def _of_text(name: str, sql: str, kind: str, plain: tuple[Column, ...]) -> Table:
    """Return the table as its text tells it, without its indexes and keys."""
    text = parse(sql)
    definitions = {fold(column.name): column for column in text.columns}
    return Table(
        name,
        sql,
        tuple(_complete(text, column, definitions.get(fold(column.name))) for column in plain),
        (),
        (),
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
        False,
        kind,
        {name: spelling(c.definition) for name, c in text.names_of_constraints().items()},
    )


def rowid_alias(execute: Execute, table: str) -> str | None:
    """The column that is the rowid, and so is numbered by SQLite.

    A key of one INTEGER column is; ``INT`` or ``DESC`` is not, and has an index of its own,
    https://www.sqlite.org/lang_createtable.html#rowid.
    """
    key = inspect.primary_key(execute, table)
    indexes = execute(f"PRAGMA index_list({quote(table)})")
    return key[0] if len(key) == 1 and all(row[3] != "pk" for row in indexes) else None


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


def _complete(text: CreateTable, column: Column, definition: ColumnDefinition | None) -> Column:
    storage = column.type.upper() if text.strict else affinity(column.type)
    column = column._replace(storage=storage, meaning=meaning(column.default, storage))
    if definition is None:
        return column
    collate, generated = definition.constraint("COLLATE"), definition.constraint("GENERATED")
    return column._replace(
        collation=fold(collate.tokens[-1].name or "") if collate else "binary",
        expression=spelling(inside(generated.tokens), text.names) if generated else "",
        constraints=tuple(_clauses(text, definition)),
    )


def _clauses(text: CreateTable, column: ColumnDefinition) -> Iterator[str]:
    for constraint in column.constraints:
        if constraint.kind in ("CHECK", "UNIQUE", "GENERATED"):
            yield text.text(constraint)
        elif any(token.keyword == "AUTOINCREMENT" for token in constraint.tokens):
            yield "AUTOINCREMENT"


@lru_cache(maxsize=1024)
def meaning(default: str | None, storage: str = "BLOB") -> str | None:
    """A default in one spelling, by which it is compared: for a constant, the value as stored.

    Words that are no keyword, and names in double quotes, are strings here,
    https://www.sqlite.org/quirks.html#double_quoted_string_literals_are_accepted.
    """
    if default is None:
        return None
    parts: Sequence[Token] = tokens(default)
    while parts and parts[0].text == "(" and len(inner := inside(parts)) == len(parts) - 2:
        parts = inner
    if any(part.text == "(" for part in parts) or len(parts) > 2:
        return spelling(parts, frozenset())
    if parts[-1].keyword.startswith("CURRENT_"):
        return parts[-1].keyword
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as scratch:
        try:
            sql = " ".join(part.text for part in parts)
            scratch.execute(f"CREATE TABLE t (c {storage} DEFAULT {sql})")
            scratch.execute("INSERT INTO t DEFAULT VALUES")
            (value,) = scratch.execute("SELECT quote(c) FROM t").fetchone()
        except sqlite3.OperationalError:
            return spelling(parts, frozenset())
    return None if value == "NULL" else str(value)


def _check(text: CreateTable, constraint: Constraint) -> Check:
    parts = inside(constraint.tokens)
    written = text.sql[parts[0].start : parts[-1].end]
    columns = frozenset(fold(column.name) for column in text.columns) & constraint.names
    return Check(written, constraint.name, spelling(parts, text.names), columns)


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


def _index_text(sql: str, columns: frozenset[str]) -> tuple[list[str], str]:
    """The indexed expressions and the condition of a CREATE INDEX, in one spelling."""
    parts: list[list[Token]] = [[]]
    depth, words = 0, tokens(sql)
    for position, word in enumerate(words):
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and parts[0]:
            rest = words[position + 1 :]
            return [spelling(part, columns) for part in parts], spelling(rest[1:], columns)
        if depth == 1 and word.text == ",":
            parts.append([])
        elif depth > 1 or (depth == 1 and word.text != "("):
            parts[-1].append(word)
    return [spelling(part, columns) for part in parts], ""


def indexes(
    execute: Execute, table: str, columns: Sequence[Column] | None = None
) -> tuple[Index, ...]:
    """By name, with what is compared; those of constraints among them.

    ``columns`` are the table's, where the caller knows them.
    """
    dependents = inspect.dependents(execute, table)
    texts = {o.name: o.sql for o in dependents if o.kind == "index"}
    known = inspect.columns(execute, table) if columns is None else columns
    names_here = frozenset(fold(c.name) for c in known)
    found = []
    for row in list(execute(f"PRAGMA index_list({quote(table)})")):
        parts = tuple(execute(f"PRAGMA index_xinfo({quote(row[1])})"))
        found.append(_index(row, parts, texts.get(row[1]), names_here))
    return tuple(sorted(found, key=lambda index: index.name))


@lru_cache(maxsize=1024)
def _index(
    listed: tuple[Any, ...],
    columns: tuple[tuple[Any, ...], ...],
    sql: str | None,
    names_here: frozenset[str],
) -> Index:
    """One index, of its rows in the two pragmas and its text."""
    _, name, unique, origin, partial = listed
    rows = [row for row in columns if row[5]]
    names = tuple(row[2] for row in rows)
    expressions, where = _index_text(sql, names_here) if sql else ([], "")
    parts = []
    for position, (_, _, column, descending, collation, _) in enumerate(rows):
        part = fold(column) if column is not None else expressions[position]
        part += "" if collation == "BINARY" else f" collate {fold(collation)}"
        parts.append(part + (" desc" if descending else ""))
    return Index(name, names, bool(unique), bool(partial), origin, sql, tuple(parts), where)


# Empty tables in memory, to try a change on before it is made.


def table_of_text(read: Execute, name: str, sql: str) -> Table:
    """The table that a CREATE TABLE would make, with the indexes that it has beside the text.

    ``read`` sees the database that it would be in.  Raises sqlite3.OperationalError.
    """
    clone = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _create(clone, sql)
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


@lru_cache(maxsize=256)
def index_of_text(table: SchemaObject, sql: str) -> Index | None:
    """The index that a CREATE INDEX would make; None where SQLite refuses it."""
    clone = sqlite3.connect(":memory:", isolation_level=None)
    try:
        _create(clone, table.sql or "")
        _create(clone, sql)
        made = indexes(clone.execute, table.name)
    except sqlite3.OperationalError:
        return None
    finally:
        clone.close()
    return next((index for index in made if index.origin == "c"), None)


def _create(clone: sqlite3.Connection, sql: str) -> None:
    try:
        clone.execute(sql)
    except sqlite3.OperationalError as exc:
        if unknown.named_in(str(exc)) is None:
            raise
        unknown.StandIns(clone).execute(sql)
