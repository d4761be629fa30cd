"""What stands under a name and is not what was asked for is told, and never skipped."""

from __future__ import annotations

import pytest

from guarded.errors import MigrationError
from tests.conftest import migration, schema_of

OLDER = """
CREATE TABLE t (
    id INTEGER PRIMARY KEY, a TEXT, b INT NOT NULL DEFAULT 1, c TEXT COLLATE NOCASE,
    g INT GENERATED ALWAYS AS (b + 1), CONSTRAINT k CHECK (b > 0)
);
CREATE INDEX t_plain ON t (a);
CREATE INDEX t_folded ON t (a COLLATE NOCASE);
CREATE TABLE child (
    id INTEGER PRIMARY KEY, t_id INT REFERENCES t (id), other INT,
    late INT REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED, one INT UNIQUE ON CONFLICT REPLACE,
    two INT, UNIQUE (one, two) ON CONFLICT IGNORE
);
CREATE VIEW seen AS SELECT a FROM t;
CREATE TRIGGER busy AFTER INSERT ON t BEGIN SELECT 1; END;
CREATE TABLE exact (a TEXT) STRICT;
INSERT INTO t (id, a, b) VALUES (1, 'x', 1), (2, 'y', 7);
INSERT INTO child VALUES (1, 1, 7, 1, 1, 1);
"""
PARENT = """
T = type('T', (Model,), {'Meta': type('Meta', (), {'table_name': 't'})})
Seen = type('Seen', (Model,), {'Meta': type('Meta', (), {'table_name': 'seen'})})
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(OLDER)
    return connection


REFUSED = [
    pytest.param("add_index('t', ('a',), name='t_folded')", "has another index 't_folded'", id="an index of that name, though another would do"),
    pytest.param("add_column('t', 'b', IntegerField(default=1, constraints=[Check('b < 9')]))", "a column 'b' without CHECK", id="a column without the CHECK"),
    pytest.param("add_column('t', 'a', TextField(null=True, collation='NOCASE'))", "wanted is TEXT NULL COLLATE nocase", id="a column of another collation"),
    pytest.param("add_column('t', 'g', IntegerField(null=True, constraints=[SQL('AS (b * 2)')]))", "generated as", id="a column generated otherwise"),
    pytest.param("add_column('child', 'other', ForeignKeyField(T, null=True))", "is there with no foreign key", id="a column that refers to nothing"),
    pytest.param("add_column('child', 't_id', ForeignKeyField(T, null=True, on_delete='CASCADE'))", "on delete NO ACTION .* should .* on delete CASCADE", id="a column that refers otherwise"),
    pytest.param("drop_table('seen')", "'seen' is a view", id="a view that is to be dropped"),
    pytest.param("add_column('seen', 'n', TextField(null=True))", "'seen' is a view", id="a view that is to grow"),
    pytest.param("drop_table('schema_history')", "may not change schema_history", id="the history"),
    pytest.param("drop_table('sqlite_sequence')", "which is SQLite's own", id="a table of SQLite's"),
    pytest.param("fill('t', 'b', '\"nope\"')", "no column \"nope\"", id="a value in double quotes"),
    pytest.param("fill('t', 'b', '2', where='\"aa\" IS NULL')", "did you mean 'a'", id="a condition in double quotes"),
    pytest.param("add_constraint('t', 'z', Check('\"bb\" > 0'))", "did you mean 'b'", id="a CHECK in double quotes"),
    pytest.param("add_index('t', ('b',), where=SQL('\"aa\" > 0'))", "did you mean 'a'", id="a partial index in double quotes"),
    pytest.param("alter_column_type('t', 'a', IntegerField(), cast='\"aa\" + 1')", "did you mean 'a'", id="a cast in double quotes"),
    pytest.param("add_constraint('t', 'z', SQL('FOREIGN KEY (b) REFERENCES nope (id)'))", "no such table: nope", id="a key to no table"),
    pytest.param("add_foreign_key_constraint('child', 'late', 't', 'id')", "deferrable initially deferred; wanted is .late. to t", id="a key that is checked later"),
    pytest.param("add_column('child', 'late', ForeignKeyField(T, null=True))", "initially deferred, and should refer", id="a column whose key is checked later"),
    pytest.param("add_column('child', 't_id', ForeignKeyField(T, null=True, deferrable='INITIALLY DEFERRED'))", "should refer to t .id. .* deferrable initially deferred", id="a column whose key is checked at once"),
    pytest.param("add_unique('child', 'one')", "another UNIQUE: unique on conflict replace", id="a UNIQUE that replaces rows"),
    pytest.param("add_unique('child', 'one', 'two')", "another UNIQUE: .*on conflict ignore; wanted is unique", id="a UNIQUE of two that ignores rows"),
    pytest.param("add_foreign_key_constraint('child', 'other', 't', 'b')", "foreign key of table 'child' .other. can't refer to t .b., which is not unique; .*add_unique.'t', 'b'.", id="a key to what is not unique"),
    pytest.param("add_constraint('child', 'z', SQL('FOREIGN KEY (other, one) REFERENCES t (b, id)'))", "add_unique.'t', 'b', 'id'.", id="a key to two that are not unique"),
    pytest.param("create_table(Seen)", "table 'seen' can't be created: the name belongs to view 'seen'", id="a table with the name of a view"),
    pytest.param("add_index('t', ('b',), where='b > 1')", "where takes no text: write SQL\\('b > 1'\\)", id="a condition that is a string"),
    pytest.param("add_constraint('child', 'z', Check('otter > 0'))", "no such column: otter; did you mean 'other'.*add_constraint, line", id="a CHECK of a column that is not there"),
    pytest.param("add_constraint('child', 'z', Check('other >'))", "'child' can't be altered: near .*add_constraint, line", id="a CHECK that is no SQL"),
    pytest.param("add_column_default('child', 'other', SQL('(one + 1)'))", "is not constant .add_column_default, line", id="a default that is not constant"),
    pytest.param("add_column('exact', 'at', DateTimeField(null=True))", "STRICT table takes INT, INTEGER, REAL, TEXT, BLOB, ANY, and not (DATETIME|VARCHAR.255.);", id="a type that a STRICT table does not take"),
    pytest.param("alter_column_type('exact', 'a', CharField())", "STRICT table takes INT, INTEGER, REAL, TEXT, BLOB, ANY, and not (DATETIME|VARCHAR.255.);", id="another type that a STRICT table does not take"),
    pytest.param("add_column('child', 'new', AutoField())", "child.new is a primary key, which only a new table gets", id="a key"),
    pytest.param("sql('CREATE TABLE IF NOT EXISTS seen (a)')", "can't create table 'seen': the name belongs to view 'seen'", id="a statement that finds a view for its table"),
    pytest.param("add_column('t', 'n', TextField)", "write TextField\\(\\)", id="a class for a field"),
    pytest.param("add_column('t', 'n', 'TEXT')", "needs a field such as CharField", id="a text for a field"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "says"), REFUSED)
def test_a_verb_that_would_not_do_it_refuses_before_the_run(database, make_runner, verb, says):
    before = schema_of(database)
    runner = make_runner({"step": migration(f"{PARENT}migrator.migrate(migrator.{verb})")})
    for ask in (runner.forecast, runner.up):
        with pytest.raises(MigrationError, match=says):
            ask()
    assert schema_of(database) == before


DONE = [
    pytest.param("rename_column('T', 'A', 'a')", [("skip", "t.a")], id="a column that has this spelling"),
    pytest.param("rename_table('T', 't')", [("skip", "t")], id="a table that has this spelling"),
    pytest.param("add_column('t', 'b', IntegerField(default=1, constraints=[Check('b>0')]))", [("skip", "t.b")], id="a column with the CHECK"),
    pytest.param("add_column('t', 'a', TextField(null=True, index=True))", [("skip", "t.a")], id="a column with an index"),
    pytest.param("add_column('t', 'a', TextField(null=True, unique=True))", [("skip", "t.a"), ("create", "t_a")], id="a column without the unique index"),
    pytest.param("add_column('t', 'g', IntegerField(null=True, constraints=[SQL('AS (b+1)')]))", [("skip", "t.g")], id="a column generated so"),
    pytest.param("add_column('child', 'new', ForeignKeyField(T, null=True))", [("add", "child.new"), ("create", "child_new")], id="a key without a field refers to the primary key"),
    pytest.param("add_index('t', ('b',), name='busy')", [("create", "busy")], id="the name of a trigger is free"),
    pytest.param("fill('t', 'b', '(SELECT max(\"B\") FROM \"t\" AS \"x\") + \"rowid\"')", [("fill", "t.b")], id="names in double quotes"),
    pytest.param("add_foreign_key_constraint('child', 't_id', 't', 'id', on_delete='no  action')", [("skip", "foreign key on child.t_id")], id="an action in another spelling"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "steps"), DONE)
def test_what_is_so_is_so_and_what_lacks_is_added(database, make_runner, verb, steps):
    runner = make_runner({"step": migration(f"{PARENT}migrator.migrate(migrator.{verb})")})
    runner.forecast()
    (outcome,) = runner.up().outcomes
    assert [(s.action.value, str(s.target)) for s in outcome.steps] == steps


def test_rows_that_fit_no_first_key_of_a_table_stop_the_run(database, make_runner):
    key = "SQL('FOREIGN KEY (b) REFERENCES child (id)')"
    body = f"migrator.migrate(migrator.add_constraint('t', 'key', {key}))"
    runner = make_runner({"step": migration(body)})
    for ask in (runner.forecast, runner.up):
        with pytest.raises(MigrationError, match="t.b can't refer to child.id: 1 row has a value"):
            ask()


def test_a_key_that_can_not_be_read_is_checked_at_the_end(database, make_runner):
    key = "SQL('FOREIGN KEY (b) REFERENCES child /* its key */')"
    body = f"migrator.migrate(migrator.add_constraint('t', 'key', {key}))"
    with pytest.raises(MigrationError, match="1 row of 't' that refer to no row of 'child'"):
        make_runner({"step": migration(body)}).up()


def test_operations_are_handed_over_one_by_one(database, make_runner):
    body = "migrator.migrate([migrator.drop_index('t', 't_plain')])"
    with pytest.raises(MigrationError, match=r"migrate\(…\) takes verbs one by one"):
        make_runner({"step": migration(body)}).forecast()
