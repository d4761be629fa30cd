"""A migration that does what its steps don't say is rolled back, and told exactly."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.ledger import SqliteLedger
from guarded.errors import BrokenPromise, Refused
from tests.conftest import migration, row_counts, schema_of

WORLD = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, parent_id INT REFERENCES parent (id));
CREATE TABLE other (id INTEGER PRIMARY KEY, what TEXT);
CREATE TRIGGER other_gone AFTER DELETE ON other BEGIN DELETE FROM child; END;
CREATE TRIGGER parent_log AFTER UPDATE ON parent BEGIN INSERT INTO other (what) VALUES ('u'); END;
CREATE TABLE lone (a);
CREATE VIEW names AS SELECT name FROM parent;
INSERT INTO parent VALUES (1, 'a'), (2, 'b');
INSERT INTO child VALUES (1, 1), (2, 2), (7, 2);
INSERT INTO other VALUES (1, 'x'), (2, 'y');
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(WORLD)
    return connection


ADD = "migrator.migrate(migrator.add_column('parent', 'age', IntegerField(null=True)))\n"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            "db.execute_sql('DELETE FROM child WHERE id = 7')",
            "'a' left table 'child' with 2 of 3 rows, and no step of it names that table",
            id="rows deleted",
        ),
        pytest.param(
            "db.execute_sql('INSERT INTO child DEFAULT VALUES')\n"
            "db.execute_sql('DELETE FROM child WHERE id < 99')",
            "'a' left table 'child' with 0 of 3 rows",
            id="rows added and deleted",
        ),
        pytest.param(
            "class Other(Model):\n    class Meta: database = db\nOther.delete().execute()",
            "'a' left table 'other' with 0 of 2 rows",
            id="rows deleted by a model",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('DELETE FROM other'))",
            "'a' left table 'child' with 0 of 3 rows .by trigger 'other_gone'.",
            id="rows deleted by a trigger only",
        ),
        pytest.param(
            "for i in (1, 2):\n    db.execute_sql('DELETE FROM child WHERE id = ?', (i,))",
            "with 1 of 3 rows",
            id="one statement twice",
        ),
        pytest.param(
            "db.connection().execute('DELETE FROM child')",
            "wrote table 'child' past Peewee",
            id="past Peewee",
        ),
        pytest.param(
            "db.execute_sql('DROP TRIGGER other_gone')",
            "'a' dropped trigger 'other_gone' of table 'other', and no step of it names that",
            id="a trigger",
        ),
        pytest.param("db.execute_sql('DROP VIEW names')", "'a' dropped view 'names'", id="a view"),
        pytest.param(
            "db.execute_sql('DROP TABLE child')", "'a' dropped table 'child'", id="a table"
        ),
        pytest.param(
            "db.execute_sql('ALTER TABLE child RENAME COLUMN parent_id TO p')",
            "'a' changed table 'child'",
            id="a table changed",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('DELETE FROM parent WHERE id = 2'))",
            "'a' left 2 rows of 'child' that refer to no row of 'parent'",
            id="dangling by delete",
        ),
        pytest.param(
            "db.execute_sql('UPDATE child SET parent_id = 9 WHERE id = 1')",
            "'a' left 1 row of 'child' that refer to no row of 'parent'",
            id="dangling by update of the child",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('UPDATE other SET what = what'))\n"
            "db.execute_sql('UPDATE parent SET id = 9 WHERE id = 1')",
            "'a' left 1 row of 'child' that refer to no row of 'parent'",
            id="dangling by update of the parent",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('ALTER TABLE other ADD COLUMN p INT DEFAULT 7 '\n"
            "    'REFERENCES parent (id)'))",
            "'a' left 2 rows of 'other' that refer to no row of 'parent'",
            id="dangling by a default",
        ),
        pytest.param(
            "migrator.migrate(\n"
            "    migrator.fill('other', 'what', '1'),\n"
            "    migrator.add_foreign_key_constraint('other', 'what', 'parent', 'id'),\n"
            "    migrator.alter_column_type('other', 'what', IntegerField(null=True), cast='9'))",
            "'a' left 2 rows of 'other' that refer to no row of 'parent'",
            id="dangling by a key and then another type",
        ),
        pytest.param(
            "migrator.migrate(\n"
            "    migrator.rename_table('child', 'kid'),\n"
            "    migrator.rename_column('kid', 'parent_id', 'p'),\n"
            "    migrator.drop_foreign_key_constraint('kid', 'p'))\n"
            "migrator.migrate(migrator.sql('ALTER TABLE kid ADD COLUMN o INT DEFAULT 9 '\n"
            "    'REFERENCES other (id)'))",
            "'a' left 3 rows of 'kid' that refer to no row of 'other'",
            id="dangling in a renamed table",
        ),
        pytest.param(
            "migrator.migrate(\n"
            "    migrator.fill('child', 'parent_id', '9', where='id = 1'),\n"
            "    migrator.rename_table('child', 'kid'),\n"
            "    migrator.alter_column_type('kid', 'parent_id', TextField(null=True)))",
            "'a' left 1 row of 'kid' that refer to no row of 'parent'",
            id="dangling in a table that is renamed, and then rebuilt",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('DROP TRIGGER other_gone'),\n"
            "    migrator.fill('child', 'parent_id', '9', where='id = 1'),\n"
            "    migrator.sql('ALTER TABLE child RENAME TO kid'),\n"
            "    migrator.fill('kid', 'parent_id', 'parent_id'))",
            "'a' left 1 row of 'kid' that refer to no row of 'parent'",
            id="dangling in a table that a statement renames, and then written",
        ),
        pytest.param(
            "migrator.migrate(migrator.fill('child', 'parent_id', '9', where='id = 1'),\n"
            "    migrator.rename_table('child', 'a'), migrator.rename_table('lone', 'child'),\n"
            "    migrator.rename_table('a', 'lone'), migrator.fill('lone', 'parent_id', 'parent_id'))",
            "'a' left 1 row of 'lone' that refer to no row of 'parent'",
            id="dangling in tables that change their names with each other",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql(\"DELETE FROM sqlite_sequence WHERE name = 'child'\"))",
            "the id mark of table 'child' fell from 7 to 0",
            id="an id mark",
        ),
    ],
)
def test_an_unannounced_change_is_rolled_back(database, make_runner, body, says):
    rows, schema = row_counts(database), schema_of(database)
    with pytest.raises(BrokenPromise, match=f"rolled back: .*{says}"):
        make_runner({"a": migration(ADD + body)}).up()
    assert (row_counts(database), schema_of(database)) == (rows, schema)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("migrator.migrate(migrator.sql('DELETE FROM child'))", id="rows, by verb"),
        pytest.param("migrator.migrate(migrator.sql('DROP VIEW names'))", id="a view, by verb"),
        pytest.param("migrator.migrate(migrator.drop_table('lone'))", id="a table, by verb"),
        pytest.param(
            "migrator.migrate(migrator.add_column('child', 'x', IntegerField(null=True)))\n"
            "db.execute_sql('DELETE FROM child')",
            id="rows of a table that a verb names",
        ),
        pytest.param("db.execute_sql('UPDATE child SET parent_id = NULL')", id="values"),
        pytest.param(
            "class Tag(Model):\n    name = CharField()\n    class Meta: database = db\n"
            "db.create_tables([Tag])\nTag.create(name='x')",
            id="rows of a table of its own",
        ),
        pytest.param("db.execute_sql('CREATE VIEW v AS SELECT 1')", id="something new"),
        pytest.param("with db.atomic():\n    db.execute_sql('SELECT 1')", id="a savepoint"),
    ],
)
def test_an_announced_change_is_kept(database, make_runner, body):
    assert len(make_runner({"a": migration(body)}).up().outcomes) == 1


def test_keys_that_dangled_before_do_not_stop_a_run(database, make_runner):
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("INSERT INTO child VALUES (8, 99)")
    body = "db.execute_sql('UPDATE child SET parent_id = 1 WHERE id = 2')"
    assert make_runner({"a": migration(body)}).up().outcomes
    with pytest.raises(BrokenPromise, match="left 1 row of 'child'"):
        body = "db.execute_sql('UPDATE child SET parent_id = 98 WHERE id = 2')"
        make_runner({"a": migration(body.replace("98", "1")), "b": migration(body)}).up()


@pytest.mark.parametrize(
    "body",
    [
        "migrator.rename_table('child', 'kid'), migrator.rename_column('kid', 'parent_id', 'p')",
        "migrator.rename_table('parent', 'mother')",
        "migrator.add_not_null('child', 'parent_id')",
        "migrator.add_column('child', 'o', IntegerField(null=True)),"
        "migrator.add_foreign_key_constraint('child', 'o', 'other', 'id')",
    ],
)
def test_keys_that_dangled_before_stop_no_change_of_their_table(database, make_runner, body):
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("INSERT INTO child VALUES (8, 99)")
    assert make_runner({"a": migration(f"migrator.migrate({body})")}).up().outcomes


def test_a_table_with_dangling_keys_can_be_rebuilt(database, apply):
    database.execute("PRAGMA foreign_keys = OFF")
    database.execute("INSERT INTO child VALUES (8, 99)")
    apply("migrator.migrate(migrator.add_column_default('child', 'parent_id', 1))")
    assert len(database.execute("PRAGMA foreign_key_check").fetchall()) == 1


@pytest.mark.parametrize(
    "body",
    [
        "db.execute_sql('COMMIT')",
        "db.commit()",
        "db.rollback()",
        "db.connection().executescript('CREATE TABLE x (a);')",
        "try:\n    db.commit()\nexcept Exception:\n    pass",
    ],
)
def test_a_migration_can_not_end_the_transaction(database, make_runner, body):
    schema = schema_of(database)
    with pytest.raises(Refused, match=r"'a' may not (COMMIT|ROLLBACK) the transaction"):
        make_runner({"a": migration(ADD + body)}).up()
    assert schema_of(database) == schema


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("db.execute_sql('DELETE FROM Schema_History')", "may not change schema_history"),
        ("db.execute_sql('DROP TABLE schema_history')", "may not change schema_history"),
        ("db.execute_sql(\"ATTACH '{}' AS other\")", "may not attach another file"),
    ],
)
def test_the_history_and_other_files_are_out_of_reach(database, make_runner, tmp_path, body, says):
    schema = schema_of(database)
    other = tmp_path / "other.sqlite"
    with pytest.raises(Refused, match=says):
        make_runner({"a": migration(ADD + body.format(other))}).up()
    assert schema_of(database) == schema
    assert not other.exists()


def test_an_untouched_table_is_not_counted(database):
    """However large it is: only what is written is looked at, and only before the first time."""
    sent = []
    ledger = SqliteLedger(database, {})
    database.execute("BEGIN")
    database.set_trace_callback(sent.append)
    with ledger.migration("a"):
        ledger.before("ALTER TABLE parent ADD COLUMN x", ())
        assert [sql for sql in sent if "count(" in sql] == []
        for _ in range(3):
            ledger.before("INSERT INTO lone VALUES (1)", ())
    assert [sql for sql in sent if "count(" in sql] == ['SELECT count(*) FROM "lone"']


def test_a_check_that_is_named_like_a_column_holds_no_rows(database, make_runner):
    database.execute("CREATE TABLE boxes (id INTEGER PRIMARY KEY, size INT)")
    database.execute("INSERT INTO boxes VALUES (1, 3), (2, 5)")
    runner = make_runner(
        {
            "a": migration(
                "migrator.migrate(migrator.add_constraint('boxes', 'size', Check('size > 0')))",
                "migrator.migrate(migrator.drop_constraint('boxes', 'size'))",
            )
        }
    )
    runner.up()
    assert runner.losses() == []
    runner.down()
    assert database.execute("SELECT * FROM boxes").fetchall() == [(1, 3), (2, 5)]
    database.execute("INSERT INTO boxes VALUES (3, -1)")


@pytest.mark.parametrize("order", [1, -1])
def test_a_delete_that_is_meant_hides_no_other(database, make_runner, order):
    database.executescript(
        "CREATE TABLE log (what TEXT); INSERT INTO log VALUES ('kept');"
        "CREATE TABLE logs (what TEXT); INSERT INTO logs VALUES ('meant'), ('meant');"
    )
    rows = row_counts(database)
    bodies = [
        "migrator.migrate(migrator.sql('DELETE FROM logs'))",
        "db.execute_sql('DELETE FROM log')",
    ]
    with pytest.raises(BrokenPromise, match="'a' left table 'log' with 0 of 1 rows"):
        make_runner({"a": migration("\n".join(bodies[::order]))}).up()
    assert row_counts(database) == rows
    make_runner({"a": migration(bodies[0])}).up()
    assert row_counts(database) == {**rows, "logs": 0, "schema_history": 1}


def test_a_down_that_deletes_names_the_rows_of_that_table_alone(database, make_runner):
    database.executescript(
        "CREATE TABLE log (what TEXT); INSERT INTO log VALUES ('kept');"
        "CREATE TABLE logs (what TEXT); INSERT INTO logs VALUES ('meant'), ('meant');"
    )
    runner = make_runner(
        {"a": migration("pass", "migrator.migrate(migrator.sql('DELETE FROM logs'))")}
    )
    runner.up()
    assert [str(loss) for loss in runner.losses()] == ["rows of table logs: up to 2"]


CREATE_TAGS = """
class Tag(Model):
    name = CharField(index=True)
    class Meta:
        table_name = "tags"
migrator.migrate(migrator.create_table(Tag))
"""
RENAME = "migrator.migrate(migrator.rename_table('tags', 'labels'))"
RENAME_BACK = "migrator.migrate(migrator.rename_table('labels', 'tags'))"


@pytest.mark.parametrize(
    "rename",
    [
        pytest.param(RENAME, id="by verb"),
        pytest.param(
            "migrator.migrate(migrator.rename_table('tags', 't'), migrator.rename_table('t', 'labels'))",
            id="twice",
        ),
    ],
)
def test_a_table_is_dropped_by_its_last_name(connect, make_runner, rename):
    runner = make_runner(
        {"a": migration(CREATE_TAGS + rename, "migrator.migrate(migrator.drop_table('labels'))")}
    )
    runner.up()
    connect().execute("INSERT INTO labels (name) VALUES ('red'), ('blue')")
    assert [str(loss) for loss in runner.losses()] == ["table labels: 2 rows"]
    runner.down()
    assert row_counts(connect()) == {"schema_history": 2}


def test_a_down_through_a_rename_names_the_rows_of_the_table(connect, make_runner):
    runner = make_runner(
        {
            "create": migration(CREATE_TAGS, "migrator.migrate(migrator.drop_table('tags'))"),
            "rename": migration(RENAME, RENAME_BACK),
        }
    )
    runner.up()
    connect().execute("INSERT INTO labels (name) VALUES ('red'), ('blue')")
    assert runner.losses() == []
    assert [str(loss) for loss in runner.losses("create")] == ["table labels: 2 rows"]
    runner.down("create")
    assert row_counts(connect()) == {"schema_history": 4}


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param("migrator.rename_table('child', 'kid')", id="its table"),
        pytest.param("migrator.rename_column('child', 'parent_id', 'p')", id="its column"),
        pytest.param("migrator.rename_table('parent', 'folk')", id="the parent"),
        pytest.param("migrator.sql('ALTER TABLE child RENAME TO kid')", id="by a statement"),
        pytest.param(
            "migrator.rename_table('child', 'kid'), migrator.fill('kid', 'parent_id', 'parent_id')",
            id="and written again",
        ),
        pytest.param(
            "migrator.sql('CREATE TABLE copy (id INTEGER PRIMARY KEY, parent_id INTEGER '\n"
            "    'REFERENCES parent (id))'),\n"
            "migrator.sql('INSERT INTO copy SELECT id, parent_id FROM child'),\n"
            "migrator.drop_table('child'), migrator.rename_table('copy', 'child')",
            id="a copy by hand",
        ),
    ],
)
def test_a_row_that_pointed_nowhere_before_may_be_renamed(database, connect, make_runner, steps):
    connection = connect()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE child SET parent_id = 9 WHERE id = 1")
    write = "migrator.fill('child', 'parent_id', 'parent_id')"
    drop = "migrator.sql('DROP TRIGGER other_gone')"
    make_runner({"a": migration(f"migrator.migrate({drop}, {write},\n{steps})")}).up()
    found = connect().execute("PRAGMA foreign_key_check").fetchall()
    assert len(found) == 1
