"""Where SQLite can change a schema by itself, the SQL is that of playhouse's SchemaMigrator."""

from __future__ import annotations

import shutil

import peewee
import pytest
from peewee import SqliteDatabase
from playhouse.migrate import SchemaMigrator

from tests.conftest import migration, row_counts

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT, "group" TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY,
    customer INT REFERENCES customers (id) ON DELETE CASCADE,
    pieces INT NOT NULL,
    price INT,
    CONSTRAINT some CHECK (pieces > 0)
);
CREATE TABLE logs (what TEXT);
CREATE INDEX customers_name ON customers (name);
INSERT INTO customers VALUES (1, 'Ada', NULL, 'a'), (2, 'Bob', 'late', 'b');
INSERT INTO orders VALUES (1, 1, 3, 10), (2, 2, 1, 20);
INSERT INTO logs VALUES ('opened');
"""
EVERY = [
    "drop_column('customers', 'note')",
    "drop_column('customers', 'group')",
    "rename_column('orders', 'pieces', 'count')",
    "rename_column('customers', 'name', 'full name')",
    "rename_table('customers', 'buyers')",
    "rename_table('logs', 'log')",
    "drop_table('logs')",
    "add_index('orders', ('customer',))",
    "add_index('orders', ('customer', 'pieces'), True)",
    "add_index('customers', ('group',), unique=True, name='by_group')",
    "drop_index('customers', 'customers_name')",
    "sql('INSERT INTO logs VALUES (?)', ('closed',))",
]
NEWER = [
    "add_not_null('orders', 'price')",
    "drop_not_null('orders', 'pieces')",
    "add_constraint('orders', 'fair', Check('price < 100'))",
    "drop_constraint('orders', 'some')",
]
CASES = [(sqlite, call) for sqlite in ("Python's SQLite", "a newer SQLite") for call in EVERY]
CASES += [("a newer SQLite", call) for call in NEWER]


@pytest.fixture
def file(either_sqlite):
    return either_sqlite


@pytest.fixture
def database(connect):
    """Rows, and foreign keys on."""
    connection = connect()
    connection.executescript(SHOP)
    return connection


def by_playhouse(call: str, database: SqliteDatabase) -> list[str]:
    """The statements that playhouse alone executes for the call; it looks at the schema, too."""
    found = []
    execute = database.execute_sql

    def noting(sql, params=None):
        found.append(sql)
        return execute(sql, params)

    with database.connection_context():
        database.execute_sql = noting
        migrator = SchemaMigrator.from_database(database)
        eval(f"migrator.{call}", {**vars(peewee), "migrator": migrator}).run()
    return [sql for sql in found if not sql.upper().startswith(("SELECT", "PRAGMA"))]


@pytest.mark.parametrize(("either_sqlite", "call"), CASES, indirect=["either_sqlite"])
def test_a_step_has_the_statements_of_playhouse(file, database, make_runner, path, tmp_path, call):
    before = row_counts(database)
    copy = file.at(shutil.copyfile(path, tmp_path / "copy.sqlite"))
    wanted = by_playhouse(call, copy.database_to_migrate())

    done = make_runner({"change": migration(f"migrator.migrate(migrator.{call})")}).up()
    (step,) = done.outcomes[0].steps
    assert list(step.statements) == wanted
    assert len(wanted) == 1

    after = row_counts(database)
    kept = [name for name in before if name in after and not call.startswith("sql")]
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.mark.parametrize(
    "call",
    ["drop_not_null('t', 'a')", "drop_constraint('t', 'c')", "add_not_null('t', 'b')"],
)
def test_comments_beside_what_changes_stay(file, connect, make_runner, call):
    connection = connect()
    connection.executescript(
        "CREATE TABLE t (a /* one */ NOT NULL /* two */, b /* three */,"
        " /* four */ CONSTRAINT c CHECK (a > 0) /* five */); INSERT INTO t VALUES (1, 2)"
    )
    make_runner({"a": migration(f"migrator.migrate(migrator.{call})")}).up()
    ((sql,),) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 't'")
    words = ("one", "two", "three", "four", "five")
    assert [word for word in words if f"/* {word} */" not in sql] == []
