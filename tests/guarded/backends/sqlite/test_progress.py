"""How far a statement is, told from the steps that SQLite takes."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.progress import expected, told

ROWS = 20_000


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(
        f"""
        CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b INT);
        CREATE TABLE p (id INTEGER PRIMARY KEY, t INT);
        CREATE TABLE keyed (a TEXT PRIMARY KEY, b INT) WITHOUT ROWID;
        CREATE INDEX t_b ON t (b);
        CREATE INDEX p_t ON p (t);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
        INSERT INTO t SELECT i, 'a' || i, i % 100 FROM n;
        INSERT INTO p SELECT id, id FROM t;
        INSERT INTO keyed SELECT a, b FROM t;
        """
    )
    return connection


def shares(connection, sql):
    told_shares = []
    steps = expected(connection.execute, sql, ())
    with told(connection, steps, told_shares.append):
        connection.execute(sql)
    return told_shares


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE t SET a = 'x' || id",
        "UPDATE t SET b = b + 1",
        "INSERT INTO p (t) SELECT id FROM t",
        "CREATE INDEX t_a ON t (a)",
        "DELETE FROM t WHERE a LIKE 'a%'",
    ],
)
def test_the_shares_rise_to_about_one(database, sql):
    seen = shares(database, sql)
    assert len(seen) > 5
    assert seen == sorted(seen)
    assert 0.8 < seen[-1] <= 1


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("UPDATE keyed SET b = b + 1", id="no rowids"),
        pytest.param(
            "UPDATE t SET b = (SELECT max(t) FROM p WHERE p.t >= t.id)", id="a loop in it"
        ),
        pytest.param("UPDATE t SET b = 1 WHERE id = 7", id="one row"),
        pytest.param("CREATE TABLE other (a)", id="no row"),
    ],
)
def test_where_it_is_not_known_nothing_is_told(database, sql):
    database.execute("DELETE FROM t WHERE id > 300")
    assert shares(database, sql) == []


def test_a_statement_that_is_wrong_is_left_to_say_so_itself(database):
    assert expected(database.execute, "UPDATE t SET nope = 1", ()) == 0
