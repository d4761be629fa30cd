"""A schema with rows, drawn from a seed: every kind of table, column, constraint, index and name."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.simulator.schema import (
    Column,
    Constraint,
    Index,
    Reference,
    Schema,
    Search,
    Style,
    Table,
    Trigger,
    View,
    hidden_rowid,
    named,
    quote,
    text,
)

NAMES = (
    "items", "orders", "a", "Name", "order", "select", "group", "with space", 'quo"te', "[square",
    "back`tick", "it's", "dot.ted", "naïve", "größe", "1st", "semi;colon", "UPPER", "x--y",
    "per%cent", "question?", "😀", "a_b", "check", "index", "key", "default", "old", "new", "values",
    "comma,s", "paren(", "star/*", "tab\there",
)  # fmt: skip
TYPES = (
    "INTEGER", "INT", "BIGINT", "TEXT", "VARCHAR(255)", "REAL", "NUMERIC", "DECIMAL(10, 2)", "BLOB",
    "", "DATETIME", "BOOLEAN", "DOUBLE PRECISION", "CHAR(3)", "text", "FLOAT", "JSON",
)  # fmt: skip
FLOATING = ("REAL", "FLOAT", "DOUBLE PRECISION")
STRICT_TYPES = ("INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY")
NUMBERS = (
    "0",
    "1",
    "-1",
    "2",
    "7",
    "255",
    "4294967296",
    "9007199254740993",
    "-9223372036854775808",
)
REALS = ("0.5", "-0.25", "1e308", "1.5e-9", "3.0")
TEXTS = (
    "",
    "a",
    "A",
    "a ",
    "b",
    "o'clock",
    "ünï",
    "007",
    "1e3",
    "12",
    "😀",
    "x" * 300,
    "line\nend",
    "null",
    "-- no",
)
BLOBS = ("X''", "X'00FF'", "X'FF'", "X'61'", "zeroblob(3000)")
COLLATIONS = ("NOCASE", "RTRIM", "BINARY")
ACTIONS = (
    "",
    " ON DELETE CASCADE",
    " ON DELETE SET NULL ON UPDATE CASCADE",
    " DEFERRABLE INITIALLY DEFERRED",
)


class Odd(Style):
    """Any spelling that SQLite takes, drawn from a number."""

    def __init__(self, schema: Schema, spelling: int) -> None:
        super().__init__(schema)
        self.random = Random(spelling)

    def word(self, words: str) -> str:
        chosen = self.random.choice((words, words, words.lower(), words.title()))
        return chosen.replace(" ", self.random.choice((" ", " ", "  ", "\n    ", " /* , */ ")))

    def name(self, name: str) -> str:
        ways = [quote(name)]
        if (
            name.isascii()
            and name.isidentifier()
            and len(name) > 5
            and name not in ("select", "values")
        ):
            ways.append(name if name.lower() not in RESERVED else quote(name))
        if "]" not in name:
            ways.append(f"[{name}]")
        ways.append("`" + name.replace("`", "``") + "`")
        return self.random.choice(ways)

    def comment(self, words: str) -> str:
        return f" /* {words} */" if words else ""

    def whole(self, name: str, lines: list[str], options: str) -> str:
        between = self.random.choice((", ", ",\n    ", " , "))
        options = f" {options}" if options else ""
        return f"{self.word('CREATE TABLE')} {self.name(name)} ({between.join(lines)}){options}"


RESERVED = {"default", "values", "select"}


class Draw:
    """Draws from one Random.  A name is given twice only when nothing has it any more."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.taken: set[str] = set()
        self.free: list[str] = []
        self.last = 0

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def number(self) -> int:
        self.last += 1
        return self.last

    def name(self) -> str:
        name = self.random.choice(NAMES)
        while name.lower() in self.taken:
            name = f"{self.random.choice(NAMES)}{len(self.taken)}"
        self.taken.add(name.lower())
        return name

    def name_again(self) -> str:
        """One that something else had before, if there is one."""
        return self.random.choice(self.free) if self.free else self.name()

    def plain_name(self) -> str:
        """One that Peewee takes for a field."""
        name = f"{self.random.choice(('come', 'more', 'extra', 'other'))}{len(self.taken)}"
        self.taken.add(name)
        return name

    # Values, as SQL.

    def value(self, type_: str, *, strict: bool = False) -> str:
        kind = type_.upper()
        if kind in ("INT", "INTEGER") and strict:
            return self.random.choice(NUMBERS)
        if kind == "REAL" and strict:
            return self.random.choice(REALS)
        if kind == "TEXT" and strict:
            return text(self.random.choice(TEXTS))
        if kind == "BLOB" and strict:
            return self.random.choice(BLOBS)
        like = NUMBERS if "INT" in kind else REALS if kind in FLOATING else ()
        if like and self.chance(0.8):
            return self.random.choice(like)
        # One version of SQLite gives a float more digits in a text than another.
        numbers = [n for n in NUMBERS if kind not in FLOATING or len(n) < 16]
        return self.random.choice(
            (self.random.choice(numbers), self.random.choice(REALS), text(self.random.choice(TEXTS)),
             text(self.random.choice(TEXTS)), self.random.choice(BLOBS))
        )  # fmt: skip

    def default(self, type_: str, *, strict: bool) -> str:
        if self.chance(0.1) and not strict:
            return self.random.choice(
                ("CURRENT_TIMESTAMP", "(1 + 2)", "(lower('ABC'))", "TRUE", "-5")
            )
        found = self.value(type_, strict=strict)
        return "X'00'" if "(" in found else found

    # Parts.

    def column(self, strict: bool, earlier: list[Column]) -> Column:
        type_ = self.random.choice(STRICT_TYPES if strict else TYPES)
        number = self.number()
        column = Column(number, self.name(), type_)
        mine = named(number)
        plain = [c for c in earlier if c.generated is None]
        if plain and self.chance(0.08):
            base = named(self.random.choice(plain).number)
            sql = self.random.choice((f"length({base})", f"coalesce({base}, 0)", f"typeof({base})"))
            return replace(
                column, type="ANY" if strict else type_, generated=sql, stored=self.chance(0.5)
            )
        if self.chance(0.4):
            column = replace(column, default=self.default(type_, strict=strict))
        if (self.chance(0.25) and column.default not in (None, "CURRENT_TIMESTAMP")) or self.chance(
            0.15
        ):
            column = replace(column, not_null=True)
        if column.not_null and self.chance(0.1):
            column = replace(column, conflict=self.random.choice(("IGNORE", "REPLACE", "ABORT")))
        if self.chance(0.08) and "(" not in str(column.default):
            column = replace(column, unique=True)
        if self.chance(0.15):
            sql = (f"{mine} IS NULL OR length({mine}) < 9000", f"{mine} IS NOT 'forbidden'",
                   f"typeof({mine}) <> 'nothing'")  # fmt: skip
            column = replace(column, check=self.random.choice(sql))
        if self.chance(0.12):
            column = replace(column, collate=self.random.choice(COLLATIONS))
        if self.chance(0.15):
            column = replace(
                column, comment=self.random.choice(("a comment", "( one, more", "it's", "-- two"))
            )
        return column

    def table(self, schema: Schema) -> Table:
        random = self.random
        number, strict = self.number(), self.chance(0.12)
        table = Table(number, self.name(), (), strict=strict, spelling=random.randrange(1 << 30))
        kind = random.choice(("rowid", "rowid", "numbered", "numbered", "none", "text", "several"))
        columns: list[Column] = []
        if kind in ("rowid", "numbered"):
            key = Column(self.number(), self.name(), "INTEGER")
            columns.append(key)
            table = replace(table, key=(key.number,), numbered=kind == "numbered")
        elif kind == "text":
            key = Column(self.number(), self.name(), "TEXT", not_null=self.chance(0.5))
            columns.append(key)
            table = replace(table, key=(key.number,), without_rowid=self.chance(0.5))
        for _ in range(random.randint(2, 5)):
            columns.append(self.column(strict, columns))
        if kind == "several":
            keys = [c for c in columns if c.generated is None][:2]
            table = replace(
                table,
                key=tuple(c.number for c in keys),
                without_rowid=self.chance(0.4) and len(keys) > 1,
            )
        elif kind == "text" and table.without_rowid:
            columns[0] = replace(columns[0], not_null=True)
        parents = [
            (t, c) for t in schema.tables for c in t.columns if t.key == (c.number,) or c.unique
        ]
        parents = [(t, c) for t, c in parents if not strict and not c.collate]
        if parents and self.chance(0.6):
            parent, to = random.choice(parents)
            one = Column(self.number(), self.name(), to.type)
            if self.chance(0.6):
                one = replace(
                    one, references=Reference(parent.number, to.number, random.choice(ACTIONS))
                )
            else:
                sql = f"FOREIGN KEY ({named(one.number)}) REFERENCES {named(parent.number)} ({named(to.number)}){random.choice(ACTIONS)}"
                table = replace(
                    table, constraints=(Constraint(self.name() if self.chance(0.7) else "", sql),)
                )
            columns.append(one)
        table = replace(table, columns=tuple(columns))
        late = [c for c in columns[2:] if self.may_be_late(c, table)]
        if late and self.chance(0.4):
            chosen = random.choice(late)
            columns = [c for c in columns if c is not chosen]
            columns.append(replace(chosen, is_late=True))
        table = replace(table, columns=tuple(columns))
        plain = [c for c in columns if c.generated is None]
        if self.chance(0.3):
            table = replace(table, constraints=(*table.constraints, self.constraint(table)))
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            table = replace(table, indexes=(*table.indexes, self.index(table, plain)))
        return table

    def may_be_late(self, column: Column, table: Table) -> bool:
        constant = column.default is None or column.default[0] not in "(C"
        # SQLite gives rows older than the column the digits as they are spelled, and TRUE as it is.
        constant = constant and column.default not in (*REALS, "TRUE")
        fits = not column.not_null or column.default is not None
        bound = column.unique or column.generated or column.references or column.number in table.key
        return (
            constant
            and fits
            and not bound
            and column.check is None
            and not any(named(column.number) in c.sql for c in table.constraints)
            and not any(named(column.number) in (c.generated or "") for c in table.columns)
        )

    def constraint(self, table: Table) -> Constraint:
        plain = [c for c in table.columns if c.generated is None]
        one = named(self.random.choice(plain).number)
        if self.chance(0.3):
            return Constraint(self.name() if self.chance(0.6) else "", f"UNIQUE ({one})")
        sql = (f"CHECK ({one} IS NOT 'never')", f"CHECK (length({one}) < 8000 OR {one} IS NULL)")
        return Constraint(self.name() if self.chance(0.7) else "", self.random.choice(sql))

    def index(self, table: Table, columns: list[Column]) -> Index:
        random = self.random
        some = random.sample(columns, min(len(columns), random.choice((1, 1, 1, 2))))
        parts = [named(c.number) for c in some]
        if self.chance(0.2):
            parts[0] += random.choice((" COLLATE NOCASE", " DESC"))
        elif self.chance(0.12):
            parts[0] = f"typeof({parts[0]})"
        where = f"{named(some[0].number)} IS NOT NULL" if self.chance(0.2) else ""
        unique = self.chance(0.15) and "typeof" not in parts[0]
        return Index(self.name(), ", ".join(parts), unique, where)

    def trigger(self, schema: Schema) -> Trigger | None:
        """At most one for an event of a table: the order of several is nowhere promised."""
        random = self.random
        on, log = random.choice(schema.tables), random.choice(schema.tables)
        event = random.choice(("INSERT", "DELETE", "UPDATE"))
        if log is on or any(t.table == on.number and event in t.sql for t in schema.triggers):
            return None
        to = [c for c in log.columns if c.generated is None and not c.references]
        of = random.choice(on.columns)
        row = "OLD" if event == "DELETE" else "NEW"
        if event == "UPDATE" and self.chance(0.5):
            event = f"UPDATE OF {named(of.number)}"
        target = random.choice(to)
        body = random.choice((
            f"INSERT OR IGNORE INTO {named(log.number)} ({named(target.number)}) VALUES ({row}.{named(of.number)});",
            f"UPDATE OR IGNORE {named(log.number)} SET {named(target.number)} = {row}.{named(of.number)};",
            f"DELETE FROM {named(log.number)} WHERE {named(target.number)} = {row}.{named(of.number)};",
        ))  # fmt: skip
        when = f"WHEN {row}.{named(of.number)} IS NOT NULL " if self.chance(0.2) else ""
        sql = f"AFTER {event} ON {named(on.number)} {when}BEGIN {body} END"
        return Trigger(self.name(), on.number, sql)

    def view(self, schema: Schema) -> View:
        table = self.random.choice(schema.tables)
        columns = self.random.sample(table.columns, min(len(table.columns), 2))
        listed = ", ".join(f"{named(c.number)}" for c in columns)
        where = f" WHERE {named(columns[0].number)} IS NOT NULL" if self.chance(0.4) else ""
        return View(self.name(), f"SELECT {listed} FROM {named(table.number)}{where}")

    def schema(self) -> Schema:
        schema = Schema()
        for _ in range(self.random.choice((1, 2, 2, 3))):
            schema = schema.with_table(self.table(schema))
        if self.chance(0.15):
            columns = tuple(self.plain_name() for _ in range(self.random.randint(1, 2)))
            schema = replace(schema, searches=(Search(self.number(), self.plain_name(), columns),))
        return self.with_objects(schema)

    def with_objects(self, schema: Schema) -> Schema:
        """The schema with triggers and views."""
        for _ in range(self.random.choice((0, 0, 1, 2))):
            if (trigger := self.trigger(schema)) is not None:
                schema = replace(schema, triggers=(*schema.triggers, trigger))
        for _ in range(self.random.choice((0, 0, 1))):
            schema = replace(schema, views=(*schema.views, self.view(schema)))
        return schema

    # Rows.

    def rows(self, schema: Schema, table: Table, *, late: bool) -> list[str]:
        """INSERTs, some of which may not fit."""
        columns = [c for c in table.columns if c.generated is None and (late or not c.is_late)]
        found = []
        for _ in range(self.random.choice((0, 2, 3, 5)) if not late else 2):
            some = self.given(table, columns)
            values = [self.cell(schema, table, c) for c in some]
            names = ", ".join(quote(c.name) for c in some)
            into = f"INSERT INTO {quote(table.name)}"
            found.append(
                f"{into} ({names}) VALUES ({', '.join(values)})"
                if some
                else f"{into} DEFAULT VALUES"
            )
        return found

    def given(self, table: Table, columns: list[Column]) -> list[Column]:
        """The columns that an INSERT names."""
        return [c for c in columns if c.number in table.key or self.chance(0.85)]

    def cell(self, schema: Schema, table: Table, column: Column) -> str:
        if table.alias == column.number:
            return str(self.random.choice((1, 2, 3, 5, 8, 100, -4, 5000000000)))
        parent: Any = column.references
        if parent is not None and schema.has(parent.table):
            to, at = schema.table(parent.table), schema.names[parent.column]
            return f"(SELECT {quote(at)} FROM {quote(to.name)} ORDER BY 1 LIMIT 1)"
        if not column.not_null and self.chance(0.2):
            return "NULL"
        return self.value(column.type, strict=table.strict)

    def start(self, schema: Schema) -> list[str]:
        """The statements that make the database; INSERTs that do not fit are for the caller to
        leave out."""
        found = []
        for table in schema.tables:
            odd = Odd(schema, table.spelling)
            found.append(schema.created(table, odd, late=False))
            found += [
                schema.created_index(table, i) for i in table.indexes if not _is_late(table, i)
            ]
            found += self.rows(schema, table, late=False)
            for column in table.columns:
                if column.is_late:
                    definition = schema._column(replace(table, key=()), column, Style(schema))
                    found.append(f"ALTER TABLE {quote(table.name)} ADD COLUMN {definition}")
                    found += self.rows(schema, table, late=True)
            found += [schema.created_index(table, i) for i in table.indexes if _is_late(table, i)]
            if table.alias is None and not table.without_rowid and self.chance(0.5):
                name, rowid = quote(table.name), hidden_rowid(table)
                found.append(
                    f"DELETE FROM {name} WHERE {rowid} = (SELECT min({rowid}) FROM {name})"
                )
            if table.numbered and self.chance(0.7):
                name = quote(table.name)
                key = quote(schema.names[table.key[0]])
                found.append(f"DELETE FROM {name} WHERE {key} = (SELECT max({key}) FROM {name})")
        for search in schema.searches:
            found.append(schema.created_search(search))
            values = ", ".join(text(self.random.choice(TEXTS[1:])) for _ in search.columns)
            found.append(f"INSERT INTO {quote(search.name)} VALUES ({values})")
        found += [schema.created_view(v) for v in schema.views]
        found += [schema.created_trigger(t) for t in schema.triggers]
        return found


def _is_late(table: Table, index: Index) -> bool:
    return any(c.is_late and named(c.number) in index.parts + index.where for c in table.columns)
