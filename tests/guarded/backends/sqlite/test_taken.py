"""What a statement takes away, by its text; and a ``down`` that has one says so before."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.taken import dropped_column, emptied_columns, renamed, replaces_rows
from tests.conftest import migration

DROPPED = [
    pytest.param("ALTER TABLE t DROP COLUMN u", "u", id="with COLUMN"),
    pytest.param('alter table main."t" drop "a ""b"', 'a "b', id="without, and quoted"),
    pytest.param("ALTER TABLE t DROP CONSTRAINT c", None, id="a constraint"),
    pytest.param("ALTER TABLE t RENAME TO u", None, id="another change"),
    pytest.param("DROP TABLE t", None, id="a table"),
]


@pytest.mark.parametrize(("sql", "column"), DROPPED)
def test_the_column_that_goes(sql, column):
    assert dropped_column(sql) == column


EMPTIED = [
    pytest.param("UPDATE t SET a = NULL", {"a"}, id="all rows"),
    pytest.param('UPDATE t SET b = 1, "A" = NULL WHERE c = NULL', {"a"}, id="one of two"),
    pytest.param("UPDATE t SET a = NULL + 1, b = 'c = NULL'", {"a"}, id="what is NULL"),
    pytest.param("UPDATE t SET a = (NULL), b = nullif(1, 1)", {"a", "b"}, id="in other words"),
    pytest.param("UPDATE t SET (a, b) = (NULL, 1), c = 2", {"a"}, id="a list"),
    pytest.param("UPDATE t SET (a, b) = (SELECT NULL, NULL)", {"a", "b"}, id="a SELECT"),
    pytest.param("UPDATE t SET a = coalesce(NULL, b), c = NULL || d", set(), id="by other columns"),
    pytest.param(
        "INSERT INTO t (a) VALUES (1) ON CONFLICT DO UPDATE SET b = NULL", {"b"}, id="an upsert"
    ),
    pytest.param("UPDATE t SET a = 1 WHERE b = NULL", set(), id="in the condition"),
]


@pytest.mark.parametrize(("sql", "columns"), EMPTIED)
def test_the_columns_that_are_emptied(sql, columns):
    assert emptied_columns(sql) == columns


def test_a_parameter_may_empty_a_column():
    sql = "WITH x AS (SELECT ?) UPDATE t SET a = ?, b = 1 + ?, c = ? WHERE d = ?"
    assert emptied_columns(sql, (1, None, None, 3, None)) == {"a", "b"}


REPLACES = [
    pytest.param("REPLACE INTO t VALUES (1)", True, id="REPLACE"),
    pytest.param("WITH x AS (SELECT 1) INSERT OR replace INTO t SELECT * FROM x", True, id="OR REPLACE"),
    pytest.param("UPDATE t SET a = replace(a, 'x', 'y')", False, id="the function"),
    pytest.param("INSERT INTO t VALUES ('OR REPLACE')", False, id="a string"),
]  # fmt: skip


@pytest.mark.parametrize(("sql", "does"), REPLACES)
def test_whether_rows_can_go_for_others(sql, does):
    assert replaces_rows(sql) is does


LOSSES = [
    pytest.param("DELETE FROM t WHERE id = 1", ["rows of table t: up to 2"], id="DELETE"),
    pytest.param("REPLACE INTO t VALUES (9, 1, 1)", ["rows of table t: up to 2"], id="REPLACE"),
    pytest.param("UPDATE OR REPLACE t SET a = 1", ["rows of table t: up to 2"], id="OR REPLACE"),
    pytest.param("ALTER TABLE t DROP COLUMN b", ["column t.b: 2 rows"], id="DROP COLUMN"),
    pytest.param("UPDATE t SET b = NULL", ["column t.b: 2 rows"], id="SET NULL"),
    pytest.param("DROP TABLE t", ["table t: 2 rows"], id="DROP TABLE"),
    pytest.param(
        "UPDATE t SET (a, b) = (a, nullif(1, 1))", ["column t.b: 2 rows"], id="what is NULL"
    ),
    pytest.param("UPDATE t SET b = 3", [], id="another value"),
    pytest.param("INSERT INTO t VALUES (9, 9, 9)", [], id="more rows"),
]


@pytest.mark.parametrize(("sql", "losses"), LOSSES)
@pytest.mark.parametrize("way", ["migrator.migrate(migrator.sql({0!r}))", "db.execute_sql({0!r})"])
def test_a_down_says_what_its_own_sql_takes(connect, make_runner, sql, losses, way):
    connect().executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT UNIQUE, b INT);"
        "INSERT INTO t VALUES (1, 1, 1), (2, 2, 2)"
    )
    runner = make_runner({"step": migration("pass", way.format(sql))})
    runner.up()
    assert [str(loss) for loss in runner.losses()] == losses


def test_a_fill_with_nothing_takes_the_values(connect, make_runner):
    connect().executescript("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2), (NULL)")
    down = "migrator.migrate(migrator.fill('t', 'a', 'null'))"
    runner = make_runner({"step": migration("pass", down)})
    runner.up()
    assert [str(loss) for loss in runner.losses()] == ["column t.a: 2 rows"]


RENAMED = [
    pytest.param('ALTER TABLE t RENAME TO "u v";', (None, "u v"), id="a table"),
    pytest.param("alter table main.t rename column a to b", ("a", "b"), id="a column"),
    pytest.param("ALTER TABLE t RENAME [to] TO 'b'", ("to", "b"), id="without COLUMN, and quoted"),
    pytest.param("ALTER TABLE rename ADD COLUMN a", None, id="another change"),
    pytest.param("SELECT 'ALTER TABLE t RENAME TO u'", None, id="no ALTER TABLE"),
]


@pytest.mark.parametrize(("sql", "names"), RENAMED)
def test_the_names_of_a_rename(sql, names):
    assert renamed(sql) == names


RENAMED_FIRST = [
    pytest.param(
        ["ALTER TABLE t RENAME TO u", "DROP TABLE U"], "table t: 1 rows", id="a table, and dropped"
    ),
    pytest.param(
        ["ALTER TABLE t RENAME TO u", "DELETE FROM u"], "rows of table t: up to 1", id="and emptied"
    ),
    pytest.param(
        ["ALTER TABLE t RENAME COLUMN A TO b", "ALTER TABLE t DROP B"],
        "column t.a: 1 rows",
        id="a column, and dropped",
    ),
    pytest.param(
        ["ALTER TABLE t RENAME a TO b", "ALTER TABLE t RENAME TO u", "UPDATE u SET b = NULL"],
        "column t.a: 1 rows",
        id="both, and set to NULL",
    ),
]


@pytest.mark.parametrize(("statements", "loss"), RENAMED_FIRST)
def test_a_down_that_renames_first_says_what_it_takes(connect, make_runner, statements, loss):
    up = "migrator.migrate(migrator.sql('CREATE TABLE IF NOT EXISTS t (id INTEGER, a TEXT)'))"
    down = "; ".join(f"migrator.migrate(migrator.sql({text!r}))" for text in statements)
    runner = make_runner({"step": migration(up, down)})
    runner.up()
    connect().execute("INSERT INTO t VALUES (1, 'x')")
    assert [str(found) for found in runner.losses()] == [loss]


@pytest.mark.parametrize(
    "rename",
    ["migrator.migrate(migrator.sql({!r}))", "db.execute_sql({!r})"],
    ids=["announced", "past the verbs"],
)
def test_a_down_knows_by_its_new_name_what_statements_made_and_found(connect, make_runner, rename):
    connect().executescript(
        "CREATE TABLE old (id INTEGER, a TEXT); INSERT INTO old VALUES (1, 'x')"
    )
    make = "db.execute_sql('CREATE TABLE IF NOT EXISTS made (id INTEGER)')"
    sent = rename.format("ALTER TABLE made RENAME TO moved")
    column = "migrator.migrate(migrator.sql('ALTER TABLE old RENAME COLUMN a TO b'))"
    down = "migrator.migrate(migrator.drop_table('moved'), migrator.drop_column('old', 'b'))"
    runner = make_runner({"step": migration(f"{make}; {sent}; {column}", down)})
    runner.up()
    (outcome,) = runner.down().outcomes
    steps = [(s.action.value, str(s.target), s.note) for s in outcome.steps]
    why = "kept: it is older than this migration"
    assert steps == [("drop", "moved", ""), ("skip", "old.b", why)]
    assert connect().execute("SELECT b FROM old").fetchall() == [("x",)]
