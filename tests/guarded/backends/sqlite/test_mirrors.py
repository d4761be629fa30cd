"""Triggers that keep a virtual table in step with a table go on, and are no collateral."""

from __future__ import annotations

import pytest

from guarded.errors import Refused
from tests.conftest import migration

NOTES = """
CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, seen INT, x REAL);
CREATE TABLE log (what TEXT);
CREATE VIRTUAL TABLE found USING fts5 (body, content = 'notes', content_rowid = 'id');
CREATE VIRTUAL TABLE own USING fts4 (body);
CREATE VIRTUAL TABLE bare USING fts5 (body, content = '');
CREATE VIRTUAL TABLE places USING rtree (id, low, high);
CREATE TRIGGER note_new AFTER INSERT ON notes BEGIN
    INSERT INTO found (rowid, body) VALUES (NEW.id, NEW.body);
    INSERT INTO own (docid, body) VALUES (NEW.id, NEW.body);
    INSERT INTO places VALUES (NEW.id, NEW.x, NEW.x);
END;
CREATE TRIGGER note_gone AFTER DELETE ON notes BEGIN
    INSERT INTO found (found, rowid, body) VALUES ('delete', OLD.id, OLD.body);
    DELETE FROM own WHERE docid = OLD.id;
    DELETE FROM places WHERE id = OLD.id;
END;
CREATE TRIGGER note_changed AFTER UPDATE OF body ON notes WHEN OLD.body <> NEW.body BEGIN
    INSERT INTO found (found, rowid, body) VALUES ('delete', OLD.id, OLD.body);
    INSERT INTO found (rowid, body) VALUES (NEW.id, NEW.body);
    UPDATE OR REPLACE own SET body = NEW.body WHERE docid = NEW.id;
END;
CREATE TRIGGER note_seen AFTER UPDATE ON notes BEGIN INSERT INTO log VALUES (NEW.body); END;
INSERT INTO notes VALUES (3, 'apple pie', 1, 0.5), (8, 'plum', 1, 1.5);
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(NOTES)
    return connection


@pytest.fixture
def run(make_runner):
    def run_body(body: str):
        runner = make_runner({"step": migration(body)})
        assert runner.forecast().findings == ()
        (outcome,) = runner.up().outcomes
        return [(s.action.value, str(s.target), s.note) for s in outcome.steps]

    return run_body


def matches(database, word):
    return [
        database.execute(f"SELECT rowid FROM {name} WHERE {name} MATCH ?", (word,)).fetchall()
        for name in ("found", "own")
    ]


def test_fill_keeps_search_indexes_in_step_while_other_triggers_rest(database, run):
    body = "migrator.migrate(migrator.fill('notes', 'body', \"replace(body, 'apple', 'cherry')\"))"
    assert run(body) == [("fill", "notes.body", "while note_seen rest")]
    assert matches(database, "cherry") == [[(3,)], [(3,)]]
    assert matches(database, "apple") == [[], []]
    assert database.execute("SELECT count(*) FROM log").fetchone() == (0,)
    database.execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")


@pytest.mark.parametrize(
    "body",
    [
        "migrator.migrate(migrator.sql('DELETE FROM notes WHERE id = 3'))",
        "db.execute_sql(\"INSERT INTO notes VALUES (9, 'fig', 1, 2.5)\")",
    ],
)
def test_a_statement_of_its_own_may_move_the_rows_of_an_index(database, run, body):
    run(body)
    ids = database.execute("SELECT id FROM notes ORDER BY id").fetchall()
    assert database.execute("SELECT id FROM places ORDER BY id").fetchall() == ids
    assert database.execute("SELECT docid FROM own ORDER BY docid").fetchall() == ids


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("migrator.migrate(migrator.drop_table('found_data'))", "'found_data' is a part of a virtual"),
        ("migrator.migrate(migrator.fill('own_content', 'c0body', 'NULL'))", "'own_content' is a part"),
        ("migrator.migrate(migrator.sql('DROP TABLE places_node'))", "part of the virtual table 'places'"),
        ("db.execute_sql('DELETE FROM own_segments')", "a part of the virtual table 'own'"),
        ("migrator.migrate(migrator.fill('bare', 'body', \"'x'\"))", "'bare' is an index without values"),
        ("migrator.migrate(migrator.fill('found', 'body', \"'x'\"))", "an index over 'notes'"),
    ],
)  # fmt: skip
def test_the_parts_of_a_virtual_table_are_out_of_reach(database, make_runner, body, says):
    runner = make_runner({"step": migration(body)})
    for ask in (runner.forecast, runner.up):
        with pytest.raises(Refused, match=says):
            ask()


def test_a_module_that_is_connected_in_a_run_writes_nothing(connect, make_runner):
    """R*Tree compiles its writes when it is connected, whoever asks for it."""
    connect().executescript(
        """
        CREATE TABLE a_table (id INTEGER PRIMARY KEY);
        CREATE VIRTUAL TABLE places USING rtree (id, low, high);
        INSERT INTO places VALUES (1, 2, 3);
        """
    )
    verb = "migrator.add_column('a_table', 'come', CharField(null=True, index=True))"
    make_runner({"step": migration(f"migrator.migrate({verb})")}).up()
    assert connect().execute("SELECT * FROM places").fetchall() == [(1, 2.0, 3.0)]


def test_a_search_index_follows_a_cast(connect, run):
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE notes (id INTEGER PRIMARY KEY, body TEXT, size TEXT);
        CREATE VIRTUAL TABLE found USING fts5 (body, content = 'notes', content_rowid = 'id');
        CREATE VIRTUAL TABLE older USING fts4 (body, content="notes");
        CREATE VIRTUAL TABLE part USING fts5 (body, content = 'notes', content_rowid = 'id');
        CREATE TRIGGER note_changed AFTER UPDATE ON notes BEGIN
            INSERT INTO found (found, rowid, body) VALUES ('delete', OLD.id, OLD.body);
            INSERT INTO found (rowid, body) VALUES (NEW.id, NEW.body);
        END;
        INSERT INTO notes VALUES (3, 'apple', 'x'), (8, 'plum', 'y');
        INSERT INTO found (found) VALUES ('rebuild');
        INSERT INTO older (older) VALUES ('rebuild');
        INSERT INTO part (rowid, body) VALUES (8, 'plum');
        """
    )
    cast = "migrator.alter_column_type('notes', 'body', IntegerField(), cast='id + 40')"
    assert run(f"migrator.migrate({cast})")[-1] == ("rebuild", "notes", "")
    for name in ("found", "older"):
        for word, ids in (("43", [(3,)]), ("apple", [])):
            sql = f"SELECT rowid FROM {name} WHERE {name} MATCH ?"
            assert connection.execute(sql, (word,)).fetchall() == ids
    connection.execute("INSERT INTO found (found, rank) VALUES ('integrity-check', 1)")
    # It did not have what its table has, and that is its own affair.
    assert connection.execute("SELECT rowid FROM part WHERE part MATCH '43'").fetchall() == []


def test_a_cast_that_a_search_index_of_its_own_can_not_follow_is_refused(database, make_runner):
    cast = "migrator.alter_column_type('notes', 'body', IntegerField(), cast='id + 40')"
    runner = make_runner({"step": migration(f"migrator.migrate({cast})")})
    for ask in (runner.forecast, runner.up):
        with pytest.raises(Refused, match="'own' would keep .* trigger 'note_changed'"):
            ask()


def test_a_refill_counts_no_row_of_a_search_index(database, make_runner):
    drop = "migrator.migrate(migrator.drop_column('notes', 'seen'))"
    add = "migrator.migrate(migrator.add_column('notes', 'seen', IntegerField(null=True)))"
    database.executescript(
        """
        CREATE TRIGGER every_change AFTER UPDATE ON notes BEGIN
            INSERT INTO found (found, rowid, body) VALUES ('delete', OLD.id, OLD.body);
            INSERT INTO found (rowid, body) VALUES (NEW.id, NEW.body);
        END;
        """
    )
    runner = make_runner({"step": migration(drop, add)})
    runner.up()
    (outcome,) = runner.down().outcomes
    assert [s.note for s in outcome.steps if s.action.value == "refill"] == ["2 rows"]
