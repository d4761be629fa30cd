"""Rows are counted as they are, also where an index is not."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.inspect import Inspector

IS_ORPHAN = "a IS NOT NULL AND NOT EXISTS (SELECT 1 FROM p WHERE p.id = t.a)"


@pytest.fixture(params=["", " WITHOUT ROWID"])
def tables(request, connect):
    """Rows with an index on their values, which a count of orphans reads in order."""
    connection = connect()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.executescript(
        "CREATE TABLE p (id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1), (2);"
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b TEXT){request.param};"
        "CREATE INDEX t_a ON t (a);"
        "INSERT INTO t VALUES (1, 1, 'long' || hex(zeroblob(99))), (2, NULL, 'x'), (3, 9, 'y')"
    )
    return connection


def test_a_condition_is_counted(tables):
    inspector = Inspector(tables.execute)
    assert inspector.count("t", IS_ORPHAN) == 1
    assert inspector.count("t", "b > 'x'") == 1
    assert inspector.count("t", "a IS NULL") == 1


def test_an_index_that_lacks_entries_is_not_believed(tables):
    (index,) = tables.execute("SELECT * FROM sqlite_master WHERE name = 't_a'")
    tables.execute("PRAGMA writable_schema = ON")
    tables.execute("DELETE FROM sqlite_master WHERE name = 't_a'")
    tables.execute("PRAGMA writable_schema = RESET")
    tables.execute("INSERT INTO t VALUES (4, 7, 'z')")
    tables.execute("PRAGMA writable_schema = ON")
    tables.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
    tables.execute("PRAGMA writable_schema = RESET")
    assert tables.execute("SELECT count(*) FROM t INDEXED BY t_a").fetchone() == (3,)
    assert Inspector(tables.execute).count("t", IS_ORPHAN) == 2
