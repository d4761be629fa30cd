"""Databases that need functions and collations which only their application registers."""

from __future__ import annotations

import sqlite3

import pytest

from guarded.backends.sqlite.unknown import StandIns, named_in
from guarded.errors import Refused
from tests.conftest import migration

NEEDS = """
CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT COLLATE spoken, pages INT);
CREATE INDEX books_title ON books (title);
CREATE TABLE tags (tag TEXT COLLATE spoken PRIMARY KEY, color TEXT, size INT) WITHOUT ROWID;
CREATE TABLE plain (id INTEGER PRIMARY KEY, a TEXT NOT NULL, b INT UNIQUE);
CREATE VIEW sorted AS SELECT sort_key(title) AS k, pages FROM books;
CREATE TRIGGER plain_gone AFTER DELETE ON plain BEGIN
    INSERT INTO books (title) VALUES (sort_key(OLD.a)); END;
INSERT INTO books VALUES (1, 'One', 10), (2, 'two', NULL);
INSERT INTO tags VALUES ('a', 'red', 1), ('B', 'blue', 2), ('c', NULL, 3);
INSERT INTO plain VALUES (1, 'x', 5), (2, 'y', 6);
"""


def compare(one: str, two: str) -> int:
    return (one.lower() > two.lower()) - (one.lower() < two.lower())


@pytest.fixture
def database(connect, path):
    """Made by its application; a connection that knows what that knows."""
    connection = connect()
    connection.create_collation("spoken", compare)
    connection.create_function("sort_key", 1, str.lower, deterministic=True)
    connection.executescript(NEEDS)
    return connection


WORK = [
    "drop_not_null('plain', 'a')",
    "add_unique('plain', 'a')",
    "drop_column('plain', 'a')",
    "rename_column('plain', 'a', 'c')",
    "rename_table('plain', 'other')",
    "alter_column_type('plain', 'a', BlobField())",
    "drop_constraint('plain', 'uniq_b')",
    "add_column('books', 'price', IntegerField(default=0))",
    "drop_index('books', 'books_title')",
    "drop_table('tags')",
]


@pytest.mark.parametrize("verb", WORK)
def test_what_needs_none_of_it_works(database, make_runner, verb):
    runner = make_runner({"step": migration(f"migrator.migrate(migrator.{verb})")})
    if "'a'" in verb and ("drop_column" in verb or "rename_column" in verb):
        database.execute("DROP TRIGGER plain_gone")  # which speaks of that column
    foreseen = runner.forecast()
    done = runner.up()
    actions = [step.action for step in done.outcomes[0].steps]
    assert actions == [step.action for step in foreseen.outcomes[0].steps]
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("SELECT * FROM sorted ORDER BY k").fetchall() == [
        ("one", 10),
        ("two", None),
    ]


NEEDED = [
    pytest.param("add_index('books', ('title', 'pages'))", "index 'books_title_pages' can't be made", id="an index"),
    pytest.param("add_unique('books', 'pages')", "table 'books' can't be rebuilt", id="a rebuild with such an index"),
    pytest.param("add_not_null('tags', 'size')", "can't be counted here", id="rows in that order"),
    pytest.param("drop_column('tags', 'color')", r"column tags\.color can't be dropped", id="rows that lie in that order"),
    pytest.param("fill('books', 'pages', 'sort_key(title)')", "table 'books' can't be filled", id="a fill"),
    pytest.param("sql('UPDATE tags SET size = 1')", "the statement can't be run", id="a statement"),
    pytest.param("add_index('tags', ('size',), unique=True)", "can't be counted here", id="a question about rows"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "words"), NEEDED)
def test_what_needs_it_is_refused_by_name_and_foreseen(database, make_runner, verb, words):
    before = database.execute("SELECT * FROM sqlite_master").fetchall()
    runner = make_runner({"step": migration(f"migrator.migrate(migrator.{verb})")})
    with pytest.raises(Refused, match=f"{words}.*does not know .*register it in the project"):
        runner.forecast()
    with pytest.raises(Refused, match=f"{words}.*does not know .*register it in the project"):
        runner.up()
    assert database.execute("SELECT * FROM sqlite_master").fetchall() == before
    tags = [("a", "red", 1), ("B", "blue", 2), ("c", None, 3)]
    assert database.execute("SELECT * FROM tags").fetchall() == tags


def test_a_stand_in_never_compares_values():
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (a TEXT)")
    connection.execute("INSERT INTO t VALUES ('x'), ('y')")
    with pytest.raises(sqlite3.OperationalError, match="no such collation sequence: spoken"):
        StandIns(connection).execute("CREATE INDEX i ON t (a COLLATE spoken)")
    connection.close()


MESSAGES = [
    pytest.param("no such collation sequence: unicase", "collation unicase", id="a collation"),
    pytest.param("no such function: title_sort", "function title_sort", id="a function"),
    pytest.param("unknown function: f()", "function f", id="in an expression"),
    pytest.param("no such module: vec0", "module vec0", id="a module"),
    pytest.param("no query solution", "the collation of its key", id="the order of the rows"),
    pytest.param("no such table: a", None, id="no application's"),
]


@pytest.mark.parametrize(("message", "thing"), MESSAGES)
def test_the_unknown_thing_of_a_message(message, thing):
    assert named_in(message) == thing
