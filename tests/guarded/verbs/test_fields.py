"""A default that a verb writes is the value that Peewee's field would have stored."""

from __future__ import annotations

import uuid

import pytest
from peewee import Model, SqliteDatabase

from guarded.errors import Refused
from tests.conftest import migration

HEAD = """
import datetime
import enum
import uuid
from decimal import Decimal

from playhouse.sqlite_ext import JSONField


class Color(enum.Enum):
    RED = "red"


class Shade(str, enum.Enum):
    DARK = "dark"


class Size(enum.IntEnum):
    ONE = 1


class ColorField(CharField):
    def db_value(self, value):
        return value.value if isinstance(value, Color) else value


class LoudField(TextField):
    def db_value(self, value):
        return fn.upper(value)


"""
FIELDS = [
    pytest.param("ColorField(default=Color.RED)", id="a member of an Enum by a field of its own"),
    pytest.param("CharField(default=Shade.DARK)", id="a member of a str Enum"),
    pytest.param("IntegerField(default=Size.ONE)", id="a member of an IntEnum"),
    pytest.param("TextField(default=Shade.DARK)", id="a text that is a member"),
    pytest.param("DecimalField(max_digits=8, decimal_places=2, default=Decimal('0.50'))", id="a Decimal"),
    pytest.param("DecimalField(decimal_places=2, auto_round=True, default=Decimal('0.555'))", id="a Decimal that is rounded"),
    pytest.param("UUIDField(default=uuid.UUID(int=7))", id="a UUID"),
    pytest.param("BinaryUUIDField(default=uuid.UUID(int=7))", id="a UUID as bytes"),
    pytest.param("DateField(default=datetime.date(2020, 1, 2))", id="a date"),
    pytest.param("TimeField(default=datetime.time(3, 4))", id="a time"),
    pytest.param("DateTimeField(default=datetime.datetime(2020, 1, 2, 3, 4))", id="a date with a time"),
    pytest.param("TimestampField(default=datetime.datetime(2020, 1, 2), utc=True)", id="a timestamp"),
    pytest.param("IPField(default='1.2.3.4')", id="an address"),
    pytest.param("BlobField(default=b'\\x00x')", id="bytes"),
    pytest.param("JSONField(default={'a': [1]})", id="an expression of the database's"),
    pytest.param("LoudField(default='it is')", id="a function of the database's"),
    pytest.param("BooleanField(default=True)", id="a truth"),
    pytest.param("FloatField(default=1)", id="a float"),
    pytest.param("TextField(default=5)", id="a number in a text"),
    pytest.param("JSONField(default=lambda: {'a': 1})", id="an expression that is called for"),
]  # fmt: skip


def with_head(text: str) -> str:
    return text.replace("from peewee import *\n", f"from peewee import *\n{HEAD}", 1)


@pytest.mark.parametrize("field", FIELDS)
def test_a_verb_stores_what_the_field_stores(connect, make_runner, field):
    database = SqliteDatabase(":memory:")
    names: dict = {}
    exec(f"from peewee import *\n{HEAD}", names)
    model = type("Own", (Model,), {"value": eval(field, names)})
    with database.bind_ctx([model]):
        model.create_table()
        model.create()
        (wanted,) = database.execute_sql("SELECT value, typeof(value) FROM own").fetchall()

    connect().executescript("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    body = f"""migrator.migrate(migrator.add_column("t", "added", {field}))
nullable = {field}
nullable.null = True
migrator.migrate(migrator.add_column("t", "filled", nullable))
migrator.migrate(migrator.apply_default("t", "filled", {field}))"""
    make_runner({"step": with_head(migration(body, "pass"))}).up()
    read = "SELECT added, typeof(added), filled, typeof(filled) FROM t"
    assert connect().execute(read).fetchall() == [wanted * 2]


def test_a_default_without_a_field_is_stored_as_its_own_field_would(connect, make_runner):
    connect().executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, u TEXT, d TEXT, n DECIMAL(8, 2))"
    )
    body = """migrator.migrate(
    migrator.add_column_default("t", "u", uuid.UUID(int=7)),
    migrator.add_column_default("t", "d", datetime.date(2020, 1, 2)),
    migrator.add_column_default("t", "n", Decimal("0.50")),
)"""
    make_runner({"step": with_head(migration(body, "pass"))}).up()
    connect().execute("INSERT INTO t (id) VALUES (1)")
    read = connect().execute("SELECT u, d, n FROM t").fetchall()
    assert read == [(uuid.UUID(int=7).hex, "2020-01-02", 0.5)]


@pytest.mark.parametrize("value", ["Color.RED", "{'a': 1}", "[1]", "object"])
def test_a_default_that_no_database_can_store_is_refused(connect, make_runner, value):
    connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)")
    body = f'migrator.migrate(migrator.add_column_default("t", "c", {value}))'
    runner = make_runner({"step": with_head(migration(body, "pass"))})
    with pytest.raises(
        Refused, match="no database can store .*; give the value that it should hold"
    ):
        runner.up()


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("(cast(strftime('%s', 'now') as int))", "cast(strftime('%s', 'now') as int)"),
        ("cast(strftime('%s', 'now') as int)", "cast(strftime('%s', 'now') as int)"),
        ("(1) + (2)", "(1) + (2)"),
        ("(')' || '(')", "')' || '('"),
        ("-1.5", "-1.5"),
        ("x'00'", "x'00'"),
    ],
)
def test_an_expression_has_one_pair_of_parentheses(connect, make_runner, given, stored):
    connect().execute("CREATE TABLE t (id INTEGER PRIMARY KEY, c TEXT)")
    body = f"migrator.migrate(migrator.add_column_default('t', 'c', SQL({given!r})))"
    make_runner({"step": migration(body)}).up()
    (row,) = connect().execute("SELECT dflt_value FROM pragma_table_info('t') WHERE name = 'c'")
    assert row == (stored,)
