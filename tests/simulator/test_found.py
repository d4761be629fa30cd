"""Faults that the simulator found, each shrunk to a script: the start, a migration, its way back."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.inspect import Inspector
from guarded.errors import MigrationError
from tests.conftest import migration, schema_of

KEY = "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT"
# The start, up, down, and a query that gives the same before and after both.
THERE_AND_BACK = [
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, NULL), (2, 'y'), (3, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL(\"DEFAULT 'x'\")])))",
        id="NULL in a column with a default comes back as NULL",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x' COLLATE NOCASE); INSERT INTO t VALUES (1, 'X'), (2, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL(\"DEFAULT 'x' COLLATE NOCASE\")])))",
        id="a value that its collation takes for the default comes back",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.rename_table('t', 'u')); migrator.migrate(migrator.drop_table('u'))",
        f"migrator.migrate(migrator.sql('{KEY.replace('TABLE t', 'TABLE u')})'), migrator.rename_table('u', 't'))",
        id="a table made by SQL has its rows again before it is renamed",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "for _ in 'twice': migrator.migrate(migrator.alter_column_type('t', 'a', IntegerField()))",
        "migrator.migrate(migrator.alter_column_type('t', 'a', TextField()))",
        id="a type that is altered twice is altered back",
    ),
    pytest.param(
        'CREATE TABLE t (id INTEGER PRIMARY KEY, "check" TEXT, a TEXT CHECK (a <> \'no\')); INSERT INTO t VALUES (1, 2, 3)',
        "migrator.migrate(migrator.drop_column('t', 'check'))",
        "migrator.migrate(migrator.add_column('t', 'check', TextField(null=True)))",
        id="a keyword is no column that has its name",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.drop_not_null('t', 'a')); migrator.migrate(migrator.add_not_null('t', 'a'))",
        "migrator.migrate(migrator.drop_not_null('t', 'a')); migrator.migrate(migrator.add_not_null('t', 'a'))",
        id="what was so at the start is so again, though it was changed later",
    ),
    pytest.param(
        f"{KEY} NOT NULL CONSTRAINT c CHECK (a <> 'no')); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.add_constraint('t', 'c', SQL(\"CHECK (a <> 'no')\"))); migrator.migrate(migrator.drop_constraint('t', 'c'))",
        "migrator.migrate(migrator.add_constraint('t', 'c', SQL(\"CHECK (a <> 'no')\"))); migrator.migrate(migrator.drop_constraint('t', 'c'))",
        id="a constraint that was found and then dropped is there again",
    ),
    pytest.param(
        f"{KEY} DEFAULT CURRENT_TIMESTAMP); INSERT INTO t VALUES (1, NULL), (2, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL('DEFAULT CURRENT_TIMESTAMP')])))",
        id="NULL in a column whose default is the time comes back as NULL",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'), migrator.drop_table('t'))",
        "migrator.migrate(migrator.sql('CREATE TABLE t (id INTEGER PRIMARY KEY)'), migrator.add_column('t', 'a', TextField(null=True)))",
        id="a column that went before its table comes back into its rows",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, NULL)",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL(\"DEFAULT 'x'\")])), migrator.drop_column_default('t', 'a'))",
        id="NULL comes back although a default still waited when it went",
    ),
    pytest.param(
        f"{KEY}, CONSTRAINT \"tab\there\" UNIQUE (a)); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.drop_constraint('t', 'tab\\there')); db.execute_sql(\"INSERT INTO t VALUES (2, 'x')\"); db.execute_sql('DELETE FROM t WHERE id = 2')",
        "migrator.migrate(migrator.add_constraint('t', 'tab\\there', SQL('UNIQUE (a)')))",
        id="a constraint goes by its name, whatever its blanks",
    ),
    pytest.param(
        f"{KEY}, g AS (length(a)) STORED); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.sql('CREATE TRIGGER r AFTER UPDATE OF g ON t BEGIN DELETE FROM t; END'))",
        "migrator.migrate(migrator.sql('DROP TRIGGER r'))",
        id="a trigger on a generated column is sound, though it never fires",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True)), migrator.add_column_default('t', 'a', 'x'), migrator.drop_column_default('t', 'a'))",
        id="a default that was found comes back with its column",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.drop_table('t'))",
        f"migrator.migrate(migrator.sql('{KEY})'), migrator.add_column_default('t', 'a', 'x'), migrator.drop_column_default('t', 'a'))",
        id="a default that was found comes back with its table",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.drop_column_default('t', 'a'))",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.drop_column_default('t', 'a'))",
        id="a default that was found and then dropped is there again",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.add_column_default('t', 'a', 'z'))",
        "migrator.migrate(migrator.add_column_default('t', 'a', 'x'), migrator.add_column_default('t', 'a', 'w'))",
        id="a default that was found and then changed is as it was",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'x'); INSERT INTO t VALUES (1, 'y')",
        "migrator.migrate(migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL(\"DEFAULT 'z'\")])), migrator.add_column_default('t', 'a', 'z'))",
        "migrator.migrate(migrator.drop_column_default('t', 'a'), migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', TextField(null=True)), migrator.add_column_default('t', 'a', 'x'))",
        id="the default of a column that was made is none that was found",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.alter_column_type('t', 'a', TextField())); migrator.migrate(migrator.alter_column_type('t', 'a', BlobField()))",
        "migrator.migrate(migrator.alter_column_type('t', 'a', TextField())); migrator.migrate(migrator.alter_column_type('t', 'a', CharField()))",
        id="a type that was found and then altered is as it was",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.alter_column_type('t', 'a', TextField()), migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', CharField(null=True))); migrator.migrate(migrator.alter_column_type('t', 'a', TextField())); migrator.migrate(migrator.alter_column_type('t', 'a', CharField()))",
        id="a type that was found comes back with its column",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.rename_column('t', 'old', 'a'), migrator.rename_column('t', 'a', 'new'))",
        "migrator.migrate(migrator.rename_column('t', 'new', 'a'), migrator.rename_column('t', 'a', 'old'))",
        id="a column that had its name already has it again",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.rename_table('old', 't'), migrator.rename_table('t', 'new'))",
        "migrator.migrate(migrator.rename_table('new', 't'), migrator.rename_table('t', 'old'))",
        id="a table that had its name already has it again",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.add_column('t', 'b', IntegerField(null=True)), migrator.drop_column('t', 'b'), migrator.rename_column('t', 'a', 'b'))",
        "migrator.migrate(migrator.rename_column('t', 'b', 'a'), migrator.add_column('t', 'b', IntegerField(null=True)), migrator.drop_column('t', 'b'))",
        id="a column that was made is told from one that gets its name",
    ),
    pytest.param(
        f"{KEY} DEFAULT 'd'); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', IntegerField(default=1)), migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', IntegerField(default=1))); migrator.migrate(migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', TextField(null=True, constraints=[SQL(\"DEFAULT 'd'\")])))",
        id="values come back into the column that was there first",
    ),
    pytest.param(
        f"{KEY}); INSERT INTO t VALUES (1, 'x')",
        "migrator.migrate(migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', IntegerField(default=1))); db.execute_sql('UPDATE t SET a = 2'); migrator.migrate(migrator.drop_column('t', 'a'))",
        "migrator.migrate(migrator.add_column('t', 'a', IntegerField(default=1))); migrator.migrate(migrator.drop_column('t', 'a'), migrator.add_column('t', 'a', TextField(null=True)))",
        id="values of a column that was made do not come back",
    ),
    pytest.param(
        f"{KEY}); CREATE TABLE u (id INTEGER PRIMARY KEY, b TEXT); INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (2, 'y')",
        "migrator.migrate(migrator.add_column('u', 'a', TextField(null=True)), migrator.drop_table('u'), migrator.rename_table('t', 'u'))",
        "migrator.migrate(migrator.rename_table('u', 't'), migrator.sql('CREATE TABLE u (id INTEGER PRIMARY KEY, b TEXT, a TEXT)'), migrator.drop_column('u', 'a')); assert [c[1] for c in db.execute_sql('PRAGMA table_info(u)')] == ['id', 'b']",
        id="a table that was dropped is told from one that gets its name",
    ),
    pytest.param(
        f"{KEY}, b TEXT NOT NULL DEFAULT 'd'); INSERT INTO t VALUES (1, 'x', 'y')",
        "migrator.migrate(migrator.drop_not_null('t', 'a'), migrator.drop_column('t', 'a'), migrator.rename_column('t', 'b', 'a'), migrator.drop_not_null('t', 'a'))",
        "migrator.migrate(migrator.add_not_null('t', 'a'), migrator.rename_column('t', 'a', 'b'), migrator.add_column('t', 'a', TextField(null=True)), migrator.add_not_null('t', 'a'))",
        id="a fact about a column is none about one that gets its name",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("start", "up", "down"), THERE_AND_BACK)
def test_down_brings_back(connect, make_runner, start, up, down):
    connection = connect()
    connection.executescript(start)
    columns = ", ".join(f'"{row[1]}"' for row in connection.execute("PRAGMA table_info(t)"))
    look = f"SELECT {columns} FROM t ORDER BY 1"
    types = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info('t') ORDER BY 1"

    def seen():
        constraints = Inspector(connection.execute).table("t").constraints
        rows = (connection.execute(sql).fetchall() for sql in (look, types))
        return *rows, constraints

    before = seen()
    runner = make_runner({"a": migration(up, down)})
    runner.up()
    runner.down()
    assert seen() == before
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("start", "up", "rows"),
    [
        pytest.param(
            f"{KEY} REFERENCES t, b INTEGER REFERENCES t); INSERT INTO t VALUES (1, NULL, 1), (2, NULL, NULL)",
            "migrator.migrate(migrator.drop_column('t', 'b'),"
            " migrator.add_column('t', 'b', IntegerField(null=True, constraints=[SQL('DEFAULT 7')])))",
            [(1, None, 7), (2, None, 7)],
            id="a column with the name of one that was dropped does not take its values",
        ),
        pytest.param(
            f"{KEY}, b BIGINT); INSERT INTO t VALUES (1, 'x', -1)",
            "migrator.migrate(migrator.alter_column_type('t', 'b', TextField()), migrator.alter_column_type('t', 'b', BlobField()))",
            [(1, "x", "-1")],
            id="a value goes through both types",
        ),
        pytest.param(
            f"{KEY}); INSERT INTO t VALUES (1, 'x')",
            "migrator.migrate(migrator.add_column('t', 'b', TextField(null=True, constraints=[SQL(\"DEFAULT (lower('A'))\")])), migrator.add_column_default('t', 'b', 'z'))",
            [(1, "x", "a")],
            id="rows have the default that the column came with",
        ),
        pytest.param(
            'CREATE TABLE "t(" (id INTEGER PRIMARY KEY, a); CREATE VIEW t AS SELECT * FROM "t("; INSERT INTO "t(" VALUES (1, \'x\')',
            "migrator.migrate(migrator.add_index('t(', ('a',), where=SQL('\"a\" IS NOT NULL')))",
            [(1, "x")],
            id="a table with a bracket in its name has an index",
        ),
    ],
)
def test_up_gives(connect, make_runner, start, up, rows):
    connection = connect()
    connection.executescript(start)
    make_runner({"a": migration(up)}).up()
    assert connection.execute("SELECT * FROM t").fetchall() == rows
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize(
    ("start", "up", "words"),
    [
        pytest.param(
            f'{KEY}); CREATE VIEW v AS SELECT id, "a" FROM t',
            "migrator.migrate(migrator.drop_column('t', 'a'))",
            "view 'v'",
            id="a view that has the column in double quotes",
        ),
        pytest.param(
            f'{KEY}); CREATE TABLE u (x); CREATE TRIGGER r AFTER INSERT ON u BEGIN DELETE FROM t WHERE "a" = 1; END',
            "migrator.migrate(migrator.drop_column('t', 'a'))",
            "trigger 'r'",
            id="a trigger that has the column in double quotes",
        ),
        pytest.param(
            "CREATE TABLE t (id INTEGER PRIMARY KEY) STRICT; INSERT INTO t VALUES (1)",
            "migrator.migrate(migrator.add_column('t', 'a', DoubleField(null=True, constraints=[SQL(\"DEFAULT X'00'\")])))",
            "'t.a' can't be added|non-REAL value",
            id="a default that the rows of a STRICT table can't have",
        ),
        pytest.param(
            f"{KEY}); CREATE TABLE u (id INTEGER PRIMARY KEY, t REFERENCES t (id)); INSERT INTO t VALUES (1, 'x'); INSERT INTO u VALUES (1, 1)",
            "migrator.migrate(migrator.sql('UPDATE u SET t = 7'), migrator.rename_table('u', 'v'))",
            "1 row of 'v' that refer to no row of 't'",
            id="a key that points nowhere, in a table that was renamed since",
        ),
        pytest.param(
            "CREATE TABLE t (a TEXT, b TEXT, PRIMARY KEY (a, b)) STRICT; INSERT INTO t VALUES ('x', 'y')",
            "migrator.migrate(migrator.drop_not_null('t', 'a'))",
            "it is in the primary key",
            id="NULL in the key of a STRICT table",
        ),
        pytest.param(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO t VALUES (1, -9223372036854775808)",
            "migrator.migrate(migrator.alter_column_type('t', 'a', DoubleField()))",
            "another value",
            id="the least integer as a real",
        ),
    ],
)
def test_it_is_refused(connect, make_runner, start, up, words):
    connection = connect()
    connection.executescript(start)
    before = schema_of(connection)
    with pytest.raises(MigrationError, match=words):
        make_runner({"a": migration(up)}).up()
    assert schema_of(connection) == before
