"""The promises on both kinds of database: a change that no step names is rolled back, and told."""

from __future__ import annotations

import pytest

from guarded.errors import BrokenPromise, MigrationFailed, Refused, RowsDoNotFit
from tests.conftest import migration


@pytest.fixture
def database(world):
    world.run(
        "CREATE TABLE parent (id SERIAL, name TEXT)",
        "CREATE TABLE child (id SERIAL, parent_id INTEGER REFERENCES parent (id))",
        "CREATE TABLE pet (id SERIAL, parent_id INTEGER REFERENCES parent (id) ON DELETE CASCADE)",
        "CREATE TABLE other (id SERIAL, what TEXT)",
        "CREATE TABLE lone (child TEXT)",
        "CREATE VIEW names AS SELECT name FROM parent",
        "CREATE INDEX other_what ON other (what)",
    )
    world.trigger("other_gone", "DELETE", "other", "DELETE FROM child")
    world.run(
        "INSERT INTO parent (name) VALUES ('a'), ('b'), ('c')",
        "INSERT INTO child (parent_id) VALUES (1), (2), (2)",
        "INSERT INTO pet (parent_id) VALUES (3)",
        "INSERT INTO other (what) VALUES ('x'), ('y')",
        "INSERT INTO lone VALUES ('l')",
    )
    return world


ADD = "migrator.migrate(migrator.add_column('parent', 'age', IntegerField(null=True)))\n"
DROP_TRIGGER = "'DROP TRIGGER other_gone' + ' ON other' * (not isinstance(db, SqliteDatabase))"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            "db.execute_sql('DELETE FROM child WHERE id = 3')",
            "'a' left table 'child' with 2 of 3 rows, and no step of it names that table",
            id="rows deleted",
        ),
        pytest.param(
            "db.execute_sql('INSERT INTO child (parent_id) VALUES (NULL)')\n"
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
            "migrator.migrate(migrator.sql(\"UPDATE lone SET child = 'x'\"))\n"
            "db.execute_sql('DELETE FROM child')",
            "'a' left table 'child' with 0 of 3 rows",
            id="rows of a table named like a column",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('INSERT INTO lone SELECT id FROM child'))\n"
            "db.execute_sql('DELETE FROM child')",
            "'a' left table 'child' with 0 of 3 rows",
            id="rows of a table that is read",
        ),
        pytest.param(
            "db.connection().execute('DELETE FROM child')",
            "table 'child'",
            id="past Peewee",
        ),
        pytest.param(
            f"db.execute_sql({DROP_TRIGGER})",
            "'a' dropped trigger 'other_gone' of table 'other', and no step of it names that",
            id="a trigger",
        ),
        pytest.param("db.execute_sql('DROP VIEW names')", "'a' dropped view 'names'", id="a view"),
        pytest.param(
            "db.execute_sql('DROP INDEX other_what')",
            "'a' dropped index 'other_what' of table 'other'",
            id="an index",
        ),
        pytest.param(
            "db.execute_sql('DROP TABLE child')", "'a' dropped table 'child'", id="a table"
        ),
        pytest.param(
            "db.execute_sql('ALTER TABLE child RENAME COLUMN parent_id TO p')",
            "'a' changed table 'child'",
            id="a table changed",
        ),
    ],
)
def test_an_unannounced_change_is_rolled_back(database, body, says):
    rows, schema = database.counts(), database.schema()
    with pytest.raises(BrokenPromise, match=f"rolled back: .*{says}"):
        database.runner({"a": migration(ADD + body)}).up()
    assert (database.counts(), database.schema()) == (rows, schema)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("migrator.migrate(migrator.sql('DELETE FROM child'))", id="rows, by verb"),
        pytest.param("migrator.migrate(migrator.sql('DROP VIEW names'))", id="a view, by verb"),
        pytest.param("migrator.migrate(migrator.drop_table('lone'))", id="a table, by verb"),
        pytest.param(
            "migrator.migrate(migrator.sql('DROP TABLE lone'))",
            id="a table, by statement",
        ),
        pytest.param(
            f"migrator.migrate(migrator.sql({DROP_TRIGGER}), migrator.sql('DELETE FROM other'))",
            id="a trigger, by statement",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql(\"INSERT INTO lone VALUES ('100 %')\"),"
            " migrator.sql('WITH gone AS (SELECT 1) DELETE FROM lone'))",
            id="rows added and deleted by verb",
        ),
        pytest.param(
            "migrator.migrate(migrator.add_column('child', 'x', IntegerField(null=True)))\n"
            "db.execute_sql('DELETE FROM child')",
            id="rows of a table that a verb names",
        ),
        pytest.param("db.execute_sql('UPDATE child SET parent_id = NULL')", id="values"),
        pytest.param("db.execute_sql(\"INSERT INTO lone VALUES ('%')\")", id="rows added"),
        pytest.param(
            "class Tag(Model):\n    name = CharField()\n    class Meta: database = db\n"
            "db.create_tables([Tag])\nTag.create(name='x')\nTag.delete().execute()",
            id="rows of a table of its own",
        ),
        pytest.param("db.execute_sql('CREATE VIEW v AS SELECT 1')", id="something new"),
        pytest.param("with db.atomic():\n    db.execute_sql('SELECT 1')", id="a savepoint"),
        pytest.param(
            "with db.atomic() as step:\n    db.execute_sql('DELETE FROM child')\n"
            "    step.rollback()",
            id="rows deleted in a savepoint that is undone",
        ),
    ],
)
def test_an_announced_change_is_kept(database, body):
    assert len(database.runner({"a": migration(body)}).up().outcomes) == 1


@pytest.mark.parametrize(
    "body",
    [
        "db.execute_sql('COMMIT')",
        "db.commit()",
        "db.rollback()",
        "db.connection().execute('COMMIT')",
        "db.connection().execute('ROLLBACK')",
        "try:\n    db.commit()\nexcept Exception:\n    pass",
    ],
)
def test_a_migration_can_not_end_the_transaction(database, body):
    schema = database.schema()
    with pytest.raises(Refused, match="transaction"):
        database.runner({"a": migration(ADD + body)}).up()
    assert database.schema() == schema


@pytest.mark.parametrize("sql", ["DELETE FROM schema_history", "DROP TABLE schema_history"])
def test_the_history_is_out_of_reach(database, sql):
    schema = database.schema()
    with pytest.raises(Refused, match="schema_history"):
        database.runner({"a": migration(ADD + f"db.execute_sql('{sql}')")}).up()
    assert database.schema() == schema


def test_a_cascade_is_told(database):
    body = "migrator.migrate(migrator.sql('DELETE FROM parent WHERE id = 3'))"
    with pytest.raises(BrokenPromise, match="'pet'"):
        database.runner({"a": migration(body)}).up()
    assert database.counts()["pet"] == 1


def test_a_down_that_deletes_tells_whose_rows(database):
    runner = database.runner(
        {"a": migration("pass", "migrator.migrate(migrator.sql('DELETE FROM lone'))")}
    )
    runner.up()
    assert [str(loss) for loss in runner.losses()] == ["rows of table lone: up to 1"]


@pytest.mark.parametrize("way", ["migrator.migrate(migrator.sql({!r}))", "db.execute_sql({!r})"])
@pytest.mark.parametrize(
    ("sql", "says"),
    [
        pytest.param("ALTER TABEL parent ADD a INT", "syntax error", id="bad syntax"),
        pytest.param("DELETE FROM nowhere", "nowhere", id="unknown table"),
        pytest.param("UPDATE parent SET nothing = 1", "nothing", id="unknown column"),
        pytest.param("CREATE TABLE parent (id INT)", "already exists", id="there already"),
    ],
)
def test_plan_raises_what_up_raises_where_the_schema_shows_it(database, way, sql, says):
    runner = database.runner({"a": migration(way.format(sql))})
    with pytest.raises(MigrationFailed, match=says) as planned:
        runner.forecast()
    with pytest.raises(MigrationFailed, match=says) as run:
        runner.up()
    assert str(planned.value) == str(run.value) and "\n" not in str(run.value)


def test_plan_does_not_raise_what_the_rows_may_change(database):
    body = (
        "count, = db.execute_sql('SELECT count(*) FROM parent').fetchone()\n"
        "db.execute_sql('CREATE TABLE made (id INT)' if count == 3 else 'CREATE TABEL made')"
    )
    runner = database.runner({"a": migration(body)})
    assert "syntax error" in runner.forecast().unforeseen
    assert runner.up().outcomes


@pytest.mark.parametrize(
    "definition",
    [
        'UNIQUE ("some, word")',
        'UNIQUE (n, "some, word")',
        'FOREIGN KEY ("Größe") REFERENCES "Other one" ("Some Id")',
        'FOREIGN KEY ("Größe") REFERENCES "Other one" ("Some Id") ON DELETE CASCADE',
    ],
)
def test_plan_refuses_a_constraint_in_sql_that_rows_break(world, definition):
    world.run(
        'CREATE TABLE "Other one" ("Some Id" INTEGER PRIMARY KEY)',
        'CREATE TABLE t (n INTEGER, "some, word" INTEGER, "Größe" INTEGER)',
        "INSERT INTO t VALUES (1, 7, 4)",
        "INSERT INTO t VALUES (1, 7, NULL)",
    )
    up = f"migrator.migrate(migrator.add_constraint('t', 'c', SQL({definition!r})))"
    with pytest.raises(RowsDoNotFit):
        world.runner({"a": migration(up)}).forecast()


@pytest.mark.parametrize("way", ["migrator.migrate(migrator.sql({!r}))", "db.execute_sql({!r})"])
def test_plan_does_not_refuse_what_a_statement_before_it_mends(world, way):
    world.run(
        "CREATE TABLE p (q INTEGER PRIMARY KEY)",
        "CREATE TABLE c (g INTEGER)",
        "INSERT INTO c VALUES (7)",
    )
    key = "migrator.migrate(migrator.add_foreign_key_constraint('c', 'g', 'p', 'q'))"
    runner = world.runner({
        "rows": migration(way.format("INSERT INTO p VALUES (7)")), "key": migration(key)
    })  # fmt: skip
    assert not runner.forecast().unforeseen
    assert len(runner.up().outcomes) == 2
