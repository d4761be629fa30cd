"""The schema of a database as it is now.  Reads only, and never a table's rows.

Functions take ``execute``: anything that runs one SQL statement and gives its rows, such as
``sqlite3.Connection.execute``.  Names are compared as SQLite does, without regard to ASCII case.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from guarded.backends.sqlite.text import fold, literal, quote
from guarded.steps import Kind, Target

if TYPE_CHECKING:
    from guarded.backends.interface import Execute
    from guarded.schema import Column, ForeignKey, Schema, Table


# Rows of sqlite_master that SQLite makes and keeps by itself.
UNREADABLE = "guarded_can_not_read_this"  # the one column of a table whose module is not known here
INTERNAL = "name LIKE 'sqlite\\_%' ESCAPE '\\'"
KINDS = {0: "", 2: "VIRTUAL", 3: "STORED"}  # of generated columns, in PRAGMA table_xinfo


class SchemaObject(NamedTuple):
    """A table, index, trigger or view with the text that made it (None: made by a constraint)."""

    kind: str
    name: str
    table: str
    sql: str | None

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"

    @property
    def target(self) -> Target:
        kind = Kind(self.kind)
        if kind in (Kind.TABLE, Kind.VIEW):
            return Target(kind, self.name)
        return Target(kind, self.table, self.name)


class Inspector:
    """The view of one connection, see ``guarded.backends.interface``."""

    own_types: Mapping[str, str] = {
        "id": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "at": "DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP",
    }

    def __init__(self, execute: Execute) -> None:
        self.execute = execute

    def has_table(self, name: str) -> bool:
        return has_table(self.execute, name)

    def table(self, name: str) -> Table | None:
        from guarded.backends.sqlite import describe

        found = find(self.execute, name, "table")
        return describe.table(self.execute, found) if found else None

    def schema(self) -> Schema:
        from guarded.backends.sqlite import describe

        return describe.schema(self.execute)

    def relation(self, name: str) -> Target | None:
        found = (item.target for item in objects(self.execute))
        named = (t for t in found if t.kind is not Kind.TRIGGER)
        return next((t for t in named if fold(t.name or t.table) == fold(name)), None)

    def is_empty(self) -> bool:
        return not objects(self.execute)

    def script(self) -> list[str]:
        from guarded import history

        kinds = kinds_of_tables(self.execute)
        return [
            item.sql
            for item in objects(self.execute)
            if item.sql and item.table != history.TABLE and kinds.get(item.table) != "shadow"
        ]

    def objects(self) -> Mapping[Target, str | None]:
        return {item.target: item.sql for item in objects(self.execute)}

    def count(self, table: str, condition: str = "") -> int:
        try:
            # All rows are counted by the shortest index.
            return self._count_where(table, condition) if condition else self._count(quote(table))
        except Exception as exc:  # whatever the driver raises
            from guarded.backends.sqlite import unknown
            from guarded.errors import Refused

            if (thing := unknown.named_in(str(exc))) is None:
                if condition or (parts := self._count_documents(table)) is None:
                    raise
                return parts
            if not condition:
                with suppress(Exception):
                    return self._count(unindexed(self.execute, table))
            raise Refused(
                f"the rows of table '{table}' can't be counted here: this process does not know "
                f"{thing}; register it in the project (Project.register)"
            ) from exc

    def id_mark(self, table: str) -> int | None:
        return id_mark(self.execute, table)

    def _count_where(self, table: str, condition: str) -> int:
        """By an index that has all the values, if it lacks no entry; else by the rows themselves.

        The index has the values in order, so that a look for each of them in another table is fast.
        """
        rows = unindexed(self.execute, table)
        counts = f"SELECT count(*), count(CASE WHEN {condition} THEN 1 END) FROM {quote(table)}"
        (plan, *_) = self.execute(f"EXPLAIN QUERY PLAN {counts}")
        if "COVERING INDEX" in str(plan[3]) and rows.endswith(" NOT INDEXED"):
            ((entries, found),) = self.execute(counts)
            if entries == self._count(rows):
                return int(found)
        return self._count(f"{rows} WHERE {condition}")

    def _count_documents(self, table: str) -> int | None:
        """Count what a virtual table holds that can't be scanned; None where that is not known.

        Of a search index without content these are its documents, or the parts of the index where
        it does not keep their sizes.  A table without tables of its own holds nothing.
        """
        kinds = kinds_of_tables(self.execute)
        if kinds.get(table) != "virtual":
            return None
        parts = [n for n, kind in kinds.items() if kind == "shadow" and n.startswith(f"{table}_")]
        for part in (f"{table}_docsize", f"{table}_idx"):
            if part in parts:
                return self._count(quote(part))
        return None if parts else 0

    def _count(self, source: str) -> int:
        return int(next(iter(self.execute(f"SELECT count(*) FROM {source}")))[0])


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
    """In their order, with the generated ones and without a virtual table's hidden ones.

    Without what only the table's text tells: see ``describe.table``.
    """
    from guarded.schema import Column

    return tuple(
        Column(name, type_, not not_null, default, key, KINDS[hidden])
        for _, name, type_, not_null, default, key, hidden in execute(
            f"PRAGMA table_xinfo({quote(table)})"
        )
        if hidden in KINDS
    )


def has_column(execute: Execute, table: str, name: str) -> bool:
    return any(fold(c.name) == fold(name) for c in columns(execute, table))


def foreign_keys(execute: Execute, table: str) -> tuple[ForeignKey, ...]:
    """In the order of declaration."""
    from guarded.schema import ForeignKey

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


def unindexed(execute: Execute, table: str) -> str:
    """The table for a FROM that reads its rows and none of its indexes.

    On a table WITHOUT ROWID, SQLite does not take NOT INDEXED for that; its key is the table.
    """
    indexes = execute(f"PRAGMA index_list({quote(table)})")
    key = next((row[1] for row in indexes if row[3] == "pk"), None)
    if key is None or not kind_of(execute, table)[1]:
        return f"{quote(table)} NOT INDEXED"
    return f"{quote(table)} INDEXED BY {quote(key)}"


def kind_of(execute: Execute, table: str) -> tuple[str, bool]:
    """table, virtual or shadow; and whether it is WITHOUT ROWID."""
    for schema, _, kind, _, without_rowid, _ in execute(f"PRAGMA table_list({quote(table)})"):
        if schema == "main":
            return str(kind), bool(without_rowid)
    return "table", False


def children(execute: Execute, parent: str) -> list[str]:
    """The other tables with a foreign key to this one."""
    rows = execute(
        "SELECT DISTINCT child.name FROM sqlite_master AS child, "
        "pragma_foreign_key_list(child.name) AS key WHERE child.type = 'table' "
        'AND key."table" = ? COLLATE NOCASE AND child.name <> ? COLLATE NOCASE',
        (parent, parent),
    )
    return [str(row[0]) for row in rows]


def kinds_of_tables(execute: Execute) -> dict[str, str]:
    """Each table's name to table, virtual or shadow."""
    rows = execute("PRAGMA table_list")
    return {row[1]: row[2] for row in rows if row[0] == "main"}


def shadows(execute: Execute) -> dict[str, str]:
    """Map each part of a virtual table, folded, to that table."""
    kinds = kinds_of_tables(execute)
    virtual = sorted((n for n, kind in kinds.items() if kind == "virtual"), key=len)
    return {
        fold(name): owner
        for name, kind in kinds.items()
        if kind == "shadow"
        for owner in virtual
        if fold(name).startswith(f"{fold(owner)}_")
    }


def id_marks(execute: Execute) -> dict[str, int]:
    """Return the highest id that each table with AUTOINCREMENT has given out.

    Of two rows for a table, SQLite reads and raises the first.
    """
    if not has_table(execute, "sqlite_sequence"):
        return {}
    marks: dict[str, object] = {}
    for name, mark in execute("SELECT name, seq FROM sqlite_sequence ORDER BY rowid"):
        marks.setdefault(str(name), mark)
    return {name: mark for name, mark in marks.items() if isinstance(mark, int)}


def id_mark(execute: Execute, table: str) -> int | None:
    """The same of one table; None for a table that has given out none, or does not remember it."""
    return {fold(name): mark for name, mark in id_marks(execute).items()}.get(fold(table))


def compile_only(execute: Execute, sql: str, params: Sequence[Any] = ()) -> None:
    """Let SQLite compile a statement, and its authorizer see it, without running it.

    Every call has a text of its own: the driver would keep the statement, and SQLite (seen in
    3.40) crashes when it compiles an EXPLAIN anew after the schema changed.
    """
    execute(f"EXPLAIN /* {next(_COMPILED)} */ {sql}", params).close()


_COMPILED = itertools.count()
