"""A schema with rows for PostgreSQL, drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.simulator import draw, schema
from tests.simulator.draw import TEXTS
from tests.simulator.postgresql.schema import (
    Column,
    Index,
    Schema,
    Trigger,
    plain_type,
    without_key,
)
from tests.simulator.schema import (
    Constraint,
    Reference,
    Style,
    Table,
    View,
    named,
    quote,
    speaks_of,
    text,
)

SPELLED = -1  # there is one spelling, see tests.simulator.shrink.PLAIN
NUMBERS = ("0", "1", "-1", "2", "7", "255")
SMALL = (*NUMBERS, "32767", "-32768")
INTEGERS = (*SMALL, "2147483647", "-2147483648")
BIG = (*INTEGERS, "9223372036854775807", "-9223372036854775808", "9007199254740993")
FLOATS = ("0", "0.1", "-2.5", "1e30", "1.5e-9", "'NaN'", "'Infinity'", "'-Infinity'", "'-0'")
WORDS = tuple(text(word) for word in TEXTS if len(word) < 20)
LONG = (text("x" * 300), text("ü" * 3000))
VALUES: dict[str, tuple[str, ...]] = {
    "SMALLINT": SMALL,
    "INTEGER": INTEGERS,
    "BIGINT": BIG,
    "REAL": FLOATS,
    "DOUBLE PRECISION": (*FLOATS, "1e308", "0.1234567890123456"),
    "NUMERIC": ("0", "0.10", "-7", "'NaN'", "'Infinity'", "12345678901234567890.123456789"),
    "NUMERIC(8, 2)": ("0", "1.50", "-999999.99", "'NaN'", "7"),
    "TEXT": (*WORDS, *LONG),
    "VARCHAR(255)": WORDS,
    "VARCHAR(10)": tuple(word for word in WORDS if len(word) < 12),
    "CHAR(5)": ("'a'", "'abcde'", "''", "'ü  '"),
    "BOOLEAN": ("TRUE", "FALSE"),
    "TIMESTAMPTZ": (
        "'2024-02-29 12:00:00+00'", "'2020-06-01 00:00:00.123456+05:30'", "'infinity'", "'-infinity'",
        "'0044-03-15 12:00:00+00 BC'", "'10000-01-01 00:00:00+00'",
    ),
    "TIMESTAMP": ("'2024-02-29 12:00:00'", "'1999-12-31 23:59:59.999999'", "'infinity'", "'0044-03-15 00:00:00 BC'"),
    "DATE": ("'2024-02-29'", "'0001-01-01'", "'infinity'", "'0044-03-15 BC'", "'12024-01-01'"),
    "TIME": ("'00:00:00'", "'23:59:59.999999'", "'24:00:00'"),
    "INTERVAL": ("'1 mon'", "'-1 year 2 days 03:04:05.678'", "'00:00:00'", "'400 days'"),
    "BYTEA": ("'\\x'", "'\\x00ff'", "'\\x61'"),
    "JSONB": ("'{}'", "'[]'", "'null'", "'{\"a\": 1}'", "'[1, \"x\", null]'", "'\"text\"'", "'{\"bytes\": \"x\"}'", "'1.10'"),
    "JSON": ("'{}'", "'{\"b\":  1, \"a\": 2}'", "'null'", "'[1,2]'"),
    "UUID": ("'00000000-0000-0000-0000-000000000000'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
    "INTEGER[]": ("'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"),
    "TEXT[]": ("'{}'", "'{a,NULL,\"NULL\",\"\"}'", "'{\"x,y\"}'"),
    "INET": ("'10.0.0.1'", "'::1/64'", "'10.1.2.3/8'"),
    "INT4RANGE": ("'empty'", "'[1,5)'", "'(,)'", "'[3,)'"),
    "BIT(3)": ("'101'", "'000'"),
    "MONEY": ("'1.50'", "'-2'"),
}  # fmt: skip
USUAL = (
    "INTEGER",
    "BIGINT",
    "TEXT",
    "TEXT",
    "VARCHAR(255)",
    "BOOLEAN",
    "TIMESTAMPTZ",
    "NUMERIC(8, 2)",
)
WHOLE = ("SMALLINT", "INTEGER", "BIGINT")
TEXTUAL = ("TEXT", "VARCHAR", "CHAR")
UNORDERED = ("JSON", "POINT")
EXPRESSIONS = {
    "INTEGER": "(1 + 2)", "TEXT": "lower('ABC')", "TIMESTAMPTZ": "CURRENT_TIMESTAMP", "BOOLEAN": "(1 < 2)",
    "DATE": "CURRENT_DATE", "TIMESTAMP": "CURRENT_TIMESTAMP", "BIGINT": "abs(-7)", "NUMERIC": "(1.5 * 2)",
}  # fmt: skip
ACTIONS = (
    "", " ON DELETE CASCADE", " ON DELETE SET NULL ON UPDATE CASCADE", " DEFERRABLE INITIALLY DEFERRED",
    " ON DELETE SET DEFAULT", " ON DELETE RESTRICT DEFERRABLE", " MATCH FULL",
)  # fmt: skip
COMMENTS = ("a comment", "it's", "-- two", "ünï")


class Draw(draw.Draw):
    def value(self, type_: str, **_: Any) -> str:
        return self.random.choice(VALUES.get(type_) or ("'1'",))

    def default(self, type_: str, **_: Any) -> str:
        bare = type_.partition("(")[0]
        if bare in EXPRESSIONS and self.chance(0.2):
            return EXPRESSIONS[bare]
        return self.value(type_)

    def type(self) -> str:
        return self.random.choice(USUAL if self.chance(0.5) else tuple(VALUES))

    def check(self, column: schema.Column) -> str:
        mine, bare = named(column.number), plain_type(column)
        choices = [f"{mine}::text <> 'never'", f"{mine} IS NULL OR {mine}::text <> 'ever'"]
        if bare in WHOLE:
            choices += [f"{mine} <> 13", f"{mine} <> 7", f"{mine} BETWEEN -99999 AND 99999"]
        if bare in TEXTUAL:
            choices += [f"{mine} <> 'a'", f"length({mine}) < 200", f"{mine} IN ('a', 'b') OR {mine} <> 'c'"]  # fmt: skip
        return self.random.choice(choices)

    def column(self, strict: bool, earlier: list[schema.Column]) -> Column:
        number, type_ = self.number(), self.type()
        column = Column(number, self.name(), type_)
        bases = [c for c in earlier if c.generated is None and plain_type(c) in (*WHOLE, "TEXT")]
        if bases and self.chance(0.08):
            base = self.random.choice(bases)
            mine = named(base.number)
            if plain_type(base) == "TEXT":
                type_, sql = self.random.choice(
                    (("INTEGER", f"length({mine})"), ("TEXT", f"upper({mine})"))
                )
            else:
                type_, sql = base.type, f"{mine} % 7"
            return replace(column, type=type_, generated=sql, stored=True)
        if self.chance(0.4):
            column = replace(column, default=self.default(type_))
        if self.chance(0.3 if column.default not in (None, "CURRENT_TIMESTAMP") else 0.15):
            column = replace(column, not_null=True)
        if self.chance(0.08) and plain_type(column) not in UNORDERED:
            column = replace(column, unique=True)
        if self.chance(0.15):
            column = replace(column, check=self.check(column))
        if self.chance(0.15) and plain_type(column) in TEXTUAL:
            column = replace(column, collate=self.random.choice(('"C"', '"POSIX"', "ucs_basic")))
        if self.chance(0.15):
            column = replace(column, comment=self.random.choice(COMMENTS))
        return column

    def table(self, schema_: schema.Schema) -> Table:
        random = self.random
        table = Table(self.number(), self.name(), (), spelling=SPELLED)
        kind = random.choice(("serial", "serial", "identity", "plain", "none", "text", "several"))
        columns: list[schema.Column] = []
        if kind in ("serial", "identity", "plain", "text"):
            type_ = (
                random.choice(WHOLE[1:])
                if kind != "text"
                else random.choice(("TEXT", "VARCHAR(255)", "UUID"))
            )
            identity = {
                "serial": "SERIAL",
                "identity": random.choice(("ALWAYS", "BY DEFAULT")),
            }.get(kind, "")
            key = Column(self.number(), self.name(), type_, identity=identity)
            columns.append(key)
            table = replace(table, key=(key.number,))
        for _ in range(random.randint(2, 5)):
            columns.append(self.column(False, columns))
        keys = [c for c in columns if c.generated is None and plain_type(c) not in UNORDERED][:2]
        if kind == "several" and keys:
            table = replace(table, key=tuple(c.number for c in keys))
        parents = [
            (t, c) for t in schema_.tables for c in t.columns if t.key == (c.number,) or c.unique
        ]
        if parents and self.chance(0.6):
            parent, to = random.choice(parents)
            one = Column(self.number(), self.name(), to.type)
            reference = Reference(parent.number, to.number, random.choice(ACTIONS))
            if self.chance(0.6):
                one = replace(one, references=reference)
            else:
                sql = f"FOREIGN KEY ({named(one.number)}) REFERENCES {named(parent.number)} ({named(to.number)}){reference.actions}"
                table = replace(table, constraints=(Constraint(self.name(), sql),))
            columns.append(one)
        table = replace(table, columns=tuple(columns))
        late = [c for c in columns[2:] if self.may_be_late(c, table)]
        if late and self.chance(0.4):
            chosen = random.choice(late)
            columns = [c for c in columns if c is not chosen]
            columns.append(replace(chosen, is_late=True))
        table = replace(table, columns=tuple(columns))
        if self.chance(0.3):
            table = replace(table, constraints=(*table.constraints, self.constraint(table)))
        for _ in range(random.choice((0, 0, 1, 1, 2))):
            plain = [c for c in columns if plain_type(c) not in UNORDERED]
            if plain:
                table = replace(table, indexes=(*table.indexes, self.index(table, plain)))
        return table

    def constraint(self, table: Table) -> Constraint:
        plain = [c for c in table.columns if plain_type(c) not in UNORDERED and not c.is_late]
        if not plain:
            return Constraint(self.name(), "CHECK (1 = 1)")
        one = self.random.choice(plain)
        if self.chance(0.3):
            some = self.random.sample(plain, min(len(plain), self.random.choice((1, 2))))
            end = self.random.choice(("", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED"))
            return Constraint(
                self.name(), f"UNIQUE ({', '.join(named(c.number) for c in some)}){end}"
            )
        return Constraint(self.name(), f"CHECK ({self.check(one)})")

    def index(self, table: Table, columns: list[schema.Column]) -> Index:
        random = self.random
        some = random.sample(columns, min(len(columns), random.choice((1, 1, 1, 2))))
        parts, method = [named(c.number) for c in some], ""
        is_text = plain_type(some[0]) in ("TEXT", "VARCHAR")
        if is_text and self.chance(0.4):
            parts[0] = random.choice(
                (f"lower({parts[0]})", f"{parts[0]} text_pattern_ops", f'{parts[0]} COLLATE "C"')
            )
        elif self.chance(0.3):
            parts[0] += random.choice((" DESC", " NULLS FIRST", " DESC NULLS LAST"))
        elif len(some) == 1 and self.chance(0.1) and plain_type(some[0]) in (*WHOLE, *TEXTUAL):
            method = "hash"
        where = f"{named(some[0].number)} IS NOT NULL" if self.chance(0.2) else ""
        return Index(self.name(), ", ".join(parts), self.chance(0.15) and not method, where, method)

    def trigger(self, schema_: schema.Schema) -> Trigger | None:
        """It writes into an earlier table, so that none fires itself."""
        random = self.random
        on, log = random.choice(schema_.tables), random.choice(schema_.tables)
        event = random.choice(("INSERT", "DELETE", "UPDATE"))
        to = [
            c for c in log.columns if c.type == "TEXT" and c.generated is None and not c.references
        ]
        if log.number >= on.number or not to:
            return None
        of = random.choice(on.columns)
        row = "OLD" if event == "DELETE" else "NEW"
        if event == "UPDATE" and self.chance(0.5):
            event = f"UPDATE OF {named(of.number)}"
        target, value = named(random.choice(to).number), f"{row}.{named(of.number)}::text"
        here = named(log.number)
        body = random.choice((
            f"INSERT INTO {here} ({target}) VALUES ({value}) ON CONFLICT DO NOTHING",
            f"UPDATE {here} SET {target} = {value}",
            f"DELETE FROM {here} WHERE {target} = {value}",
        ))  # fmt: skip
        when = f" WHEN ({row}.{named(of.number)} IS NOT NULL)" if self.chance(0.2) else ""
        sql = f"AFTER {event} ON {named(on.number)}"
        # WHEN stands behind FOR EACH ROW, so it is a condition of the function here.
        if when:
            body = f"IF {row}.{named(of.number)} IS NOT NULL THEN {body}; END IF"
        return Trigger(self.name(), on.number, sql, body)

    def schema(self) -> Schema:
        found = Schema()
        for _ in range(self.random.choice((1, 2, 2, 3))):
            found = found.with_table(self.table(found))
        return self.with_objects(found)

    def view(self, schema_: schema.Schema) -> View:
        made = super().view(schema_)
        return (
            made
            if self.chance(0.8)
            else replace(made, sql=made.sql.replace("SELECT", "SELECT DISTINCT", 1))
            if not _has_unordered(schema_, made.sql)
            else made
        )

    def cell(self, schema_: schema.Schema, table: Table, column: schema.Column) -> str:
        parent = column.references
        if parent is None:
            for constraint in table.constraints:
                if constraint.kind == "FOREIGN" and speaks_of(
                    constraint.sql.partition("REFERENCES")[0], column.number
                ):
                    numbers = [int(n) for n in schema.NAMED.findall(constraint.sql)]
                    parent = Reference(numbers[1], numbers[2])
        if parent is not None and schema_.has(parent.table) and schema_.has(parent.column):
            to, at = schema_.table(parent.table), schema_.names[parent.column]
            return f"(SELECT {quote(at)} FROM {quote(to.name)} ORDER BY 1 LIMIT 1)"
        if not column.not_null and column.number not in table.key and self.chance(0.2):
            return "NULL"
        return self.value(column.type)

    def given(self, table: Table, columns: list[schema.Column]) -> list[schema.Column]:
        is_numbered = self.chance(0.5)
        return [
            c for c in columns
            if (identity := getattr(c, "identity", "")) != "ALWAYS"
            and (self.chance(0.85) or c.number in table.key)
            and not (is_numbered and identity)
        ]  # fmt: skip

    def start(self, schema_: schema.Schema) -> list[str]:
        found = []
        for table in schema_.tables:
            found.append(schema_.created(table, Style(schema_), late=False))
            found += self.rows(schema_, table, late=False)
            for column in table.columns:
                if column.is_late:
                    definition = schema_._column(without_key(table), column, Style(schema_))
                    found.append(f"ALTER TABLE {quote(table.name)} ADD COLUMN {definition}")
                    found += self.rows(schema_, table, late=True)
            if table.key and self.chance(0.3):
                name, key = quote(table.name), quote(schema_.names[table.key[0]])
                end = self.random.choice(("min", "max"))
                if plain_type(table.column(table.key[0])) in (*WHOLE, "TEXT"):
                    found.append(
                        f"DELETE FROM {name} WHERE {key} = (SELECT {end}({key}) FROM {name})"
                    )
        return [*found, *schema_.script_around()]

    def writes(self, schema_: schema.Schema, count: int) -> list[str]:
        """Writes that ask every rule of the schema."""
        found = []
        for _ in range(count if schema_.tables else 0):
            table = self.random.choice(schema_.tables)
            plain = [c for c in table.columns if c.generated is None]
            column = self.random.choice(plain)
            name, one = quote(table.name), quote(column.name)
            value = self.random.choice((self.value(column.type), "NULL", "'a'"))
            some = [c for c in plain if self.chance(0.8)] or plain
            values = ", ".join(self.cell(schema_, table, c) for c in some)
            found.append(self.random.choice((
                f"INSERT INTO {name} ({', '.join(quote(c.name) for c in some)}) VALUES ({values})",
                f"INSERT INTO {name} ({one}) VALUES ({value})",
                f"UPDATE {name} SET {one} = {value}",
                f"DELETE FROM {name} WHERE {one}::text = {value}::text",
            )))  # fmt: skip
        return found


def _has_unordered(schema_: schema.Schema, sql: str) -> bool:
    columns = (c for t in schema_.tables for c in t.columns if speaks_of(sql, c.number))
    return any(plain_type(c) in UNORDERED for c in columns)
