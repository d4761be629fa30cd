"""A schema as the simulator knows it: values that write their own SQL.

A table and a column is known by its number.  Texts name them by it, so that a rename changes one
name and every text follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

NAMED = re.compile("‹(\\d+)›")


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def named(number: int) -> str:
    """The name of a table or column, in a text."""
    return f"‹{number}›"


def speaks_of(sql: str, number: int) -> bool:
    return named(number) in sql


@dataclass(frozen=True)
class Reference:
    table: int
    column: int
    actions: str = ""


@dataclass(frozen=True)
class Column:
    """``default``, ``check`` and ``generated`` are SQL.  ``is_late``: some rows are older."""

    number: int
    name: str
    type: str = "TEXT"
    not_null: bool = False
    default: str | None = None
    unique: bool = False
    check: str | None = None
    collate: str = ""
    generated: str | None = None
    stored: bool = False
    references: Reference | None = None
    conflict: str = ""
    comment: str = ""
    is_late: bool = False


@dataclass(frozen=True)
class Constraint:
    """A constraint of the whole table; ``sql`` is the text after its name."""

    name: str
    sql: str

    @property
    def kind(self) -> str:
        return self.sql.split(" ", 1)[0]


@dataclass(frozen=True)
class Index:
    name: str
    parts: str
    unique: bool = False
    where: str = ""


@dataclass(frozen=True)
class Table:
    """``key``: the columns of its primary key; ``numbered``: AUTOINCREMENT."""

    number: int
    name: str
    columns: tuple[Column, ...]
    key: tuple[int, ...] = ()
    numbered: bool = False
    strict: bool = False
    without_rowid: bool = False
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[Index, ...] = ()
    spelling: int = 0

    def column(self, number: int) -> Column:
        return next(c for c in self.columns if c.number == number)

    def has(self, number: int) -> bool:
        return any(c.number == number for c in self.columns)

    @property
    def alias(self) -> int | None:
        """The column that is the rowid."""
        if len(self.key) != 1 or self.without_rowid:
            return None
        return self.key[0] if self.column(self.key[0]).type.upper() == "INTEGER" else None

    def with_column(self, column: Column) -> Table:
        if not self.has(column.number):
            return replace(self, columns=(*self.columns, column))
        columns = tuple(column if c.number == column.number else c for c in self.columns)
        return replace(self, columns=columns)

    def without_column(self, number: int) -> Table:
        columns = tuple(c for c in self.columns if c.number != number)
        indexes = tuple(i for i in self.indexes if not speaks_of(i.parts + i.where, number))
        own = tuple(c for c in self.constraints if not speaks_of(c.sql, number))
        return replace(self, columns=columns, indexes=indexes, constraints=own)


def hidden_rowid(table: Table) -> str:
    """A name that reaches the rowid past the columns."""
    taken = {c.name.lower() for c in table.columns}
    return next(name for name in ("rowid", "_rowid_", "oid") if name not in taken)


@dataclass(frozen=True)
class Trigger:
    """``sql`` is the text after its name, ``table`` what it is on."""

    name: str
    table: int
    sql: str


@dataclass(frozen=True)
class View:
    name: str
    sql: str


@dataclass(frozen=True)
class Search:
    """A virtual table fts5 with its content in a table, kept by triggers, or of its own."""

    number: int
    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    tables: tuple[Table, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    views: tuple[View, ...] = ()
    searches: tuple[Search, ...] = ()
    names: dict[int, str] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        found = {t.number: t.name for t in self.tables}
        found |= {c.number: c.name for t in self.tables for c in t.columns}
        found |= {s.number: s.name for s in self.searches}
        object.__setattr__(self, "names", found)

    def table(self, number: int) -> Table:
        return next(t for t in self.tables if t.number == number)

    def has(self, number: int) -> bool:
        return number in self.names

    def with_table(self, table: Table) -> Schema:
        if not any(t.number == table.number for t in self.tables):
            return replace(self, tables=(*self.tables, table))
        tables = tuple(table if t.number == table.number else t for t in self.tables)
        return replace(self, tables=tables)

    def without_table(self, number: int) -> Schema:
        return replace(
            self,
            tables=tuple(t for t in self.tables if t.number != number),
            triggers=tuple(t for t in self.triggers if t.table != number),
        )

    def with_column(self, table: int, column: Column) -> Schema:
        return self.with_table(self.table(table).with_column(column))

    def children(self, table: int) -> list[tuple[Table, int]]:
        """Foreign keys of other tables, and of its own: the table, and the column that is meant."""
        found = [
            (t, c.references.column)
            for t in self.tables
            for c in t.columns
            if c.references is not None and c.references.table == table
        ]
        for t in self.tables:
            for constraint in t.constraints:
                if constraint.kind == "FOREIGN" and speaks_of(
                    constraint.sql.partition("REFERENCES")[2], table
                ):
                    numbers = NAMED.findall(constraint.sql.partition("REFERENCES")[2])[1:]
                    found += [(t, int(n)) for n in numbers]
        return found

    # As SQL.

    def sql(self, template: str) -> str:
        return NAMED.sub(lambda m: quote(self.names[int(m[1])]), template)

    def created(self, table: Table, style: Style | None = None, *, late: bool = True) -> str:
        """CREATE TABLE; without the late columns if asked for."""
        style = style or Style(self)
        lines = [self._column(table, c, style) for c in table.columns if late or not c.is_late]
        alone = len(table.key) == 1 and not any(table.column(k).generated for k in table.key)
        if table.key and not alone:
            lines.append(f"{style.word('PRIMARY KEY')} ({self._names(table.key, style)})")
        for constraint in table.constraints:
            name = (
                f"{style.word('CONSTRAINT')} {style.name(constraint.name)} "
                if constraint.name
                else ""
            )
            lines.append(name + style.sql(constraint.sql))
        options = ", ".join(
            o for o, on in (("WITHOUT ROWID", table.without_rowid), ("STRICT", table.strict)) if on
        )
        return style.whole(table.name, lines, options)

    def _names(self, numbers: tuple[int, ...], style: Style) -> str:
        return ", ".join(style.name(self.names[n]) for n in numbers)

    def _column(self, table: Table, column: Column, style: Style) -> str:
        words = [style.name(column.name)]
        if column.type:
            words.append(column.type)
        if table.key == (column.number,):
            words.append(style.word("PRIMARY KEY"))
            if table.numbered:
                words.append(style.word("AUTOINCREMENT"))
        if column.not_null:
            words.append(style.word("NOT NULL"))
            if column.conflict:
                words.append(f"ON CONFLICT {column.conflict}")
        if column.unique:
            words.append(style.word("UNIQUE"))
        if column.default is not None:
            words.append(f"{style.word('DEFAULT')} {column.default}")
        if column.check is not None:
            words.append(f"{style.word('CHECK')} ({style.sql(column.check)})")
        if column.collate:
            words.append(f"COLLATE {column.collate}")
        if column.references is not None:
            parent = column.references
            words.append(
                f"{style.word('REFERENCES')} {style.name(self.names[parent.table])} "
                f"({style.name(self.names[parent.column])}){parent.actions}"
            )
        if column.generated is not None:
            kind = "STORED" if column.stored else "VIRTUAL"
            words.append(f"AS ({style.sql(column.generated)}) {kind}")
        return " ".join(words) + style.comment(column.comment)

    def created_index(self, table: Table, index: Index) -> str:
        where = f" WHERE {index.where}" if index.where else ""
        unique = "UNIQUE " if index.unique else ""
        return self.sql(
            f"CREATE {unique}INDEX {quote(index.name)} ON {named(table.number)} ({index.parts}){where}"
        )

    def created_trigger(self, trigger: Trigger) -> str:
        return self.sql(f"CREATE TRIGGER {quote(trigger.name)} {trigger.sql}")

    def created_view(self, view: View) -> str:
        return self.sql(f"CREATE VIEW {quote(view.name)} AS {view.sql}")

    def created_search(self, search: Search) -> str:
        columns = ", ".join(map(quote, search.columns))
        return f"CREATE VIRTUAL TABLE {quote(search.name)} USING fts5 ({columns})"

    def script(self) -> Iterator[str]:
        """All of it."""
        for table in self.tables:
            yield self.created(table)
        for search in self.searches:
            yield self.created_search(search)
        yield from self.script_around()

    def script_around(self) -> Iterator[str]:
        """Indexes, views and triggers."""
        for table in self.tables:
            yield from (self.created_index(table, i) for i in table.indexes)
        yield from map(self.created_view, self.views)
        yield from map(self.created_trigger, self.triggers)


class Style:
    """The plain spelling of a CREATE TABLE; subclasses have odder ones."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def word(self, words: str) -> str:
        return words

    def name(self, name: str) -> str:
        return quote(name)

    def sql(self, template: str) -> str:
        return NAMED.sub(lambda m: self.name(self.schema.names[int(m[1])]), template)

    def comment(self, words: str) -> str:
        return ""

    def whole(self, name: str, lines: list[str], options: str) -> str:
        return f"CREATE TABLE {self.name(name)} ({', '.join(lines)})" + (
            f" {options}" if options else ""
        )
