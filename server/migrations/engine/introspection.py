"""What the database has now.  Reads only, one table at a time, and never a table's rows.

Every function takes ``execute``: anything that runs one SQL statement and gives its rows, such as
``sqlite3.Connection.execute`` or ``peewee.Database.execute_sql``.  Names are compared as SQLite
does, without regard to ASCII case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from server.migrations.engine.sql.names import fold, literal, quote

Execute = Callable[..., Iterable[Any]]

# Rows of sqlite_master that SQLite or a virtual table makes and keeps by itself.
INTERNAL = "name LIKE 'sqlite\\_%' ESCAPE '\\'"


class SchemaObject(NamedTuple):
    """A table, index, trigger or view with the text that made it (None: made by a constraint)."""

    kind: str
    name: str
    table: str
    sql: str | None

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"


class Column(NamedTuple):
    """``default`` is SQL text; ``primary_key`` the place in the key, from 1, or 0;
    ``generated`` is VIRTUAL, STORED or empty."""

    name: str
    type: str
    nullable: bool
    default: str | None
    primary_key: int
    generated: str


class Index(NamedTuple):
    """``columns`` has None for an expression; ``origin`` is c (CREATE INDEX), u (UNIQUE) or pk."""

    name: str
    columns: tuple[str | None, ...]
    unique: bool
    partial: bool
    origin: str
    sql: str | None


class ForeignKey(NamedTuple):
    """``parent_columns`` are the parent's primary key where the declaration names none."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    on_delete: str
    on_update: str


def objects(execute: Execute, *kinds: str) -> list[SchemaObject]:
    """All that people made, or what of it is of these kinds, in the order of creation."""
    of_kind = f" AND type IN ({', '.join(map(literal, kinds))})" if kinds else ""
    rows = execute(
        f"SELECT type, name, tbl_name, sql FROM sqlite_master WHERE NOT {INTERNAL}{of_kind}"
    )
    return [SchemaObject(*row) for row in rows]


def find(execute: Execute, name: str, *kinds: str) -> SchemaObject | None:
    """The object of that name, of one of these kinds if any is given."""
    rows = execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name = ? COLLATE NOCASE", (name,)
    )
    found = [SchemaObject(*row) for row in rows]
    return next((o for o in found if not kinds or o.kind in kinds), None)


def has_table(execute: Execute, name: str) -> bool:
    return find(execute, name, "table") is not None


def dependents(execute: Execute, table: str) -> list[SchemaObject]:
    """Indexes and triggers of this table that have a text of their own, in order of creation."""
    rows = execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE tbl_name = ? COLLATE NOCASE "
        "AND type IN ('index', 'trigger') AND sql IS NOT NULL ORDER BY rowid",
        (table,),
    )
    return [SchemaObject(*row) for row in rows]


def columns(execute: Execute, table: str) -> tuple[Column, ...]:
    """In their order, with the generated ones and without a virtual table's hidden ones."""
    kinds = {0: "", 2: "VIRTUAL", 3: "STORED"}
    return tuple(
        Column(name, type_, not not_null, default, key, kinds[hidden])
        for _, name, type_, not_null, default, key, hidden in execute(
            f"PRAGMA table_xinfo({quote(table)})"
        )
        if hidden in kinds
    )


def column(execute: Execute, table: str, name: str) -> Column | None:
    return next((c for c in columns(execute, table) if fold(c.name) == fold(name)), None)


def has_column(execute: Execute, table: str, name: str) -> bool:
    return column(execute, table, name) is not None


def indexes(execute: Execute, table: str) -> tuple[Index, ...]:
    texts = {o.name: o.sql for o in dependents(execute, table)}
    found = []
    for _, name, unique, origin, partial in list(execute(f"PRAGMA index_list({quote(table)})")):
        names = tuple(row[2] for row in execute(f"PRAGMA index_info({quote(name)})"))
        found.append(Index(name, names, bool(unique), bool(partial), origin, texts.get(name)))
    return tuple(sorted(found, key=lambda index: index.name))


def has_index(execute: Execute, table: str, name: str) -> bool:
    return any(fold(index.name) == fold(name) for index in indexes(execute, table))


def foreign_keys(execute: Execute, table: str) -> tuple[ForeignKey, ...]:
    """In the order of declaration."""
    parts: dict[int, list[Any]] = {}
    for row in list(execute(f"PRAGMA foreign_key_list({quote(table)})")):
        parts.setdefault(row[0], []).append(row)
    keys = []
    for number in sorted(parts, reverse=True):  # SQLite numbers them backwards
        rows = sorted(parts[number], key=lambda row: int(row[1]))
        parent, on_update, on_delete = rows[0][2], rows[0][5], rows[0][6]
        parent_columns = tuple(row[4] for row in rows)
        if None in parent_columns:
            parent_columns = primary_key(execute, parent)
        keys.append(
            ForeignKey(tuple(row[3] for row in rows), parent, parent_columns, on_delete, on_update)
        )
    return tuple(keys)


def primary_key(execute: Execute, table: str) -> tuple[str, ...]:
    in_key = [c for c in columns(execute, table) if c.primary_key]
    return tuple(c.name for c in sorted(in_key, key=lambda c: c.primary_key))


def children(execute: Execute, parent: str) -> list[str]:
    """The other tables with a foreign key to this one."""
    rows = execute(
        "SELECT DISTINCT child.name FROM sqlite_master AS child, "
        "pragma_foreign_key_list(child.name) AS key WHERE child.type = 'table' "
        'AND key."table" = ? COLLATE NOCASE AND child.name <> ? COLLATE NOCASE',
        (parent, parent),
    )
    return [str(row[0]) for row in rows]
