"""A ``down`` leaves what its ``up`` found, of every kind and under every name, and undoes the rest."""

from __future__ import annotations

import sqlite3

import pytest

from guarded.errors import Refused
from tests.conftest import migration, schema_of

OLDER = """
CREATE TABLE people (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', age INT, code INT UNIQUE,
    boss INT REFERENCES people (id), CONSTRAINT grown CHECK (age > 0), CHECK (age < 200), CONSTRAINT pair UNIQUE (name, age)
);
CREATE INDEX people_age ON people (age);
INSERT INTO people VALUES (1, 'ada', 36, 1, NULL), (2, 'bob', NULL, 2, 1);
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(OLDER)
    return connection


@pytest.fixture
def up_and_down(make_runner):
    """Run calls of the migrator up, and others down; gives the steps of the way down."""

    def run(up: str, down: str) -> list[tuple[str, str]]:
        runner = make_runner({"step": migration(f"m = migrator\n{up}", f"m = migrator\n{down}")})
        runner.up()
        done = runner.down()
        return [(s.action.value, str(s.target)) for o in done.outcomes for s in o.steps]

    return run


def everything(database):
    rows = database.execute("SELECT rowid, * FROM people").fetchall()
    history = ("schema_history", "sqlite_sequence")
    return [row for row in schema_of(database) if row[2] not in history], rows


FOUND = [
    pytest.param("m.add_not_null('people', 'name')", "m.drop_not_null('people', 'name')", id="NOT NULL"),
    pytest.param("m.drop_not_null('people', 'age')", "m.add_not_null('people', 'age')", id="nullable, and NULLs in it"),
    pytest.param("m.add_column_default('people', 'name', 'x')", "m.drop_column_default('people', 'name')", id="a default"),
    pytest.param("m.drop_column_default('people', 'age')", "m.add_column_default('people', 'age', 5)", id="no default"),
    pytest.param("m.alter_column_type('people', 'name', TextField())", "m.alter_column_type('people', 'name', CharField())", id="a type"),
    pytest.param("m.add_constraint('people', 'grown', Check('age > 0'))", "m.drop_constraint('people', 'grown')", id="a CHECK"),
    pytest.param("m.add_constraint('people', None, Check('age < 200'))", "m.drop_constraint('people', Check('age  <  200'))", id="a CHECK without a name"),
    pytest.param("m.drop_constraint('people', Check('age < 100'))", "m.add_constraint('people', None, Check('age < 100'))", id="no CHECK of that text"),
    pytest.param("m.add_unique('people', 'code')", "m.drop_constraint('people', 'uniq_code')", id="a UNIQUE without a name"),
    pytest.param("m.add_unique('people', 'name', 'age')", "m.drop_constraint('people', 'pair')", id="a UNIQUE by its own name"),
    pytest.param("m.add_foreign_key_constraint('people', 'boss', 'people', 'id')", "m.drop_foreign_key_constraint('people', 'boss')", id="a foreign key"),
    pytest.param("m.add_constraint('people', None, Check('age < 200'))", "m.drop_constraint('people', Check('age<200'))", id="a CHECK with other blanks"),
    pytest.param("m.add_foreign_key_constraint('people', 'boss', 'people', 'id')", "m.drop_constraint('people', 'fk_people_boss_refs_people')", id="a foreign key by its name"),
    pytest.param("m.add_column('people', 'age', IntegerField(null=True))", "m.drop_column('people', 'age')", id="a column"),
    pytest.param("m.add_column('people', 'code', IntegerField(null=True, unique=True))", "m.drop_constraint('people', 'uniq_code')", id="the UNIQUE of a column"),
    pytest.param("m.add_index('people', ('age',))", "m.drop_index('people', 'people_age')", id="an index"),
    pytest.param("m.rename_table('persons', 'people')", "m.rename_table('people', 'persons')", id="the name of a table"),
    pytest.param("m.rename_column('people', 'years', 'age')", "m.rename_column('people', 'age', 'years')", id="the name of a column"),
]  # fmt: skip


@pytest.mark.parametrize(("up", "down"), FOUND)
def test_what_was_there_before_stays(database, up_and_down, up, down):
    before = everything(database)
    steps = up_and_down(f"m.migrate({up})", f"m.migrate({down})")
    assert {action for action, _ in steps} == {"skip"}
    assert everything(database) == before


RENAMED = [
    pytest.param("m.add_unique('people', 'code'), m.rename_column('people', 'code', 'sign')", "m.drop_constraint('people', 'uniq_sign'), m.rename_column('people', 'sign', 'code')", id="a UNIQUE, by its new name"),
    pytest.param("m.add_unique('people', 'code'), m.rename_column('people', 'code', 'sign')", "m.rename_column('people', 'sign', 'code'), m.drop_constraint('people', 'uniq_code')", id="a UNIQUE, by its old name"),
    pytest.param("m.add_constraint('people', None, Check('age < 200')), m.rename_column('people', 'age', 'years')", "m.rename_column('people', 'years', 'age'), m.drop_constraint('people', Check('age < 200'))", id="a CHECK, by its text"),
    pytest.param("m.add_foreign_key_constraint('people', 'boss', 'people', 'id'), m.rename_table('people', 'persons')", "m.drop_constraint('persons', 'fk_persons_boss_refs_persons'), m.rename_table('persons', 'people')", id="a foreign key, by the new name of its table"),
]  # fmt: skip


@pytest.mark.parametrize(("up", "down"), RENAMED)
def test_a_constraint_without_a_name_stays_though_its_columns_are_renamed(
    database, up_and_down, up, down
):
    _, rows = everything(database)
    assert "skip" in {action for action, _ in up_and_down(f"m.migrate({up})", f"m.migrate({down})")}
    assert everything(database)[1] == rows
    ((text,),) = database.execute("SELECT sql FROM sqlite_master WHERE name = 'people'")
    text = text.replace('"', "")
    assert "code INT UNIQUE" in text
    assert "REFERENCES people (id)" in text
    assert "CHECK (age < 200)" in text


def test_what_was_found_is_known_by_its_new_name(database, up_and_down):
    up = "m.migrate(m.rename_column('people', 'name', 'nick'), m.add_not_null('people', 'nick'))"
    down = "m.migrate(m.rename_column('people', 'nick', 'name'), m.drop_not_null('people', 'name'))"
    assert up_and_down(up, down) == [("rename", "people.nick"), ("skip", "people.name")]
    ((not_null,),) = database.execute(
        "SELECT \"notnull\" FROM pragma_table_info('people') WHERE name = 'name'"
    )
    assert not_null == 1


def test_what_was_changed_after_it_was_found_is_undone(database, up_and_down):
    up = "m.migrate(m.add_column('people', 'age', IntegerField(null=True)))\n"
    up += "m.migrate(m.add_column_default('people', 'age', 7))"
    assert up_and_down(up, "m.migrate(m.drop_column_default('people', 'age'))") == [
        ("alter", "people.age"),
        ("edit", "people"),
    ]


MADE = [
    pytest.param(
        "m.migrate(m.add_column('people', 'x', IntegerField(null=True)), m.rename_table('people', 'all'))",
        "m.migrate(m.rename_table('all', 'people'), m.drop_column('people', 'x'))",
        [("rename", "all"), ("drop", "people.x")],
        id="a column of a table that was renamed after it",
    ),
    pytest.param(
        "m.migrate(m.rename_table('people', 'all'), m.add_column('all', 'x', IntegerField(null=True)))",
        "m.migrate(m.rename_table('all', 'people'), m.drop_column('people', 'x'))",
        [("rename", "all"), ("drop", "people.x")],
        id="a column of a table that was renamed before it",
    ),
    pytest.param(
        "m.migrate(m.add_column('people', 'x', IntegerField(null=True)), m.rename_column('people', 'x', 'y'))",
        "m.migrate(m.rename_column('people', 'y', 'x'), m.drop_column('people', 'x'))",
        [("rename", "people.y"), ("drop", "people.x")],
        id="a column that was renamed",
    ),
    pytest.param(
        "m.migrate(m.sql('CREATE TABLE a (b)'), m.rename_table('a', 'c'))",
        "m.migrate(m.rename_table('c', 'a'), m.drop_table('a'))",
        [("rename", "c"), ("drop", "a")],
        id="a table that was renamed",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("up", "down", "steps"), MADE)
def test_what_was_made_is_undone_under_every_name(database, up_and_down, up, down, steps):
    before = everything(database)
    assert up_and_down(up, down) == steps
    after = everything(database)
    assert after[1] == before[1]
    assert [row[:2] for row in after[0]] == [row[:2] for row in before[0]]


def test_a_default_that_complete_table_found_stays(database, up_and_down):
    up = """
class Person(Model):
    name = TextField(constraints=[SQL("DEFAULT 'x'")])
    class Meta:
        table_name = "people"
m.migrate(m.complete_table(Person))"""
    down = "m.migrate(m.drop_column_default('people', 'name'))"
    assert up_and_down(up, down) == [("skip", "people.name")]


def test_the_last_column_is_not_dropped(database, apply):
    database.execute("CREATE TABLE alone (a)")
    with pytest.raises(Refused, match="table 'alone', which has no other column"):
        apply("migrator.migrate(migrator.drop_column('alone', 'a'))")


def test_of_two_keys_on_a_column_the_one_that_is_named_is_dropped(connect, apply):
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE a (id INTEGER PRIMARY KEY);
        CREATE TABLE b (id INTEGER PRIMARY KEY);
        CREATE TABLE c (n INT REFERENCES a (id), CONSTRAINT own FOREIGN KEY (n) REFERENCES b (id));
        INSERT INTO a VALUES (1); INSERT INTO b VALUES (1); INSERT INTO c VALUES (1);
        """
    )
    with pytest.raises(Refused, match="by its name: fk_c_n_refs_a, fk_c_n_refs_b, own"):
        apply("migrator.migrate(migrator.drop_foreign_key_constraint('c', 'n'))")
    apply("migrator.migrate(migrator.drop_constraint('c', 'fk_c_n_refs_a'))")
    (sql,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'c'").fetchone()
    assert sql == "CREATE TABLE c (n INT, CONSTRAINT own FOREIGN KEY (n) REFERENCES b (id))"


def test_a_rename_may_put_strings_of_other_tables_into_their_own_quotes(connect, apply):
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE a (x INT);
        CREATE TABLE other (status TEXT DEFAULT "open" CHECK (status <> "none"));
        INSERT INTO a VALUES (1);
        """
    )
    apply("migrator.migrate(migrator.rename_column('a', 'x', 'y'))")
    assert connection.execute("SELECT y FROM a").fetchall() == [(1,)]


REFUSED = [
    pytest.param("add_unique('people')", "names no column", id="a UNIQUE of nothing"),
    pytest.param("add_index('people', ())", "names no column", id="an index on nothing"),
    pytest.param("add_column_default('people', 'age', SQL('(1'))", "no CREATE TABLE any more", id="a text that does not close"),
    pytest.param("fill('people', 'age', 'agee')", "can't be filled: no such column: agee", id="a slip in an expression"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "words"), REFUSED)
def test_what_can_not_be_meant_is_said_before(database, make_runner, verb, words):
    runner = make_runner({"step": migration(f"migrator.migrate(migrator.{verb})")})
    with pytest.raises(Refused, match=words):
        runner.forecast()
    with pytest.raises(Refused, match=words):
        runner.up()


def test_a_unique_of_the_table_serves_a_model_and_an_index_made_beside_it_goes(
    database, make_runner
):
    model = """
class People(Model):
    name = CharField(constraints=[SQL("DEFAULT 'x'")])
    age = IntegerField(null=True)
    code = IntegerField(null=True, unique=True)
    boss = IntegerField(null=True, index=True)
    class Meta:
        indexes = [(("name", "age"), True), (("age", "name"), True)]
m.migrate(m.create_table(People))"""
    before = everything(database)
    down = "migrator.migrate(migrator.drop_table('people'))"
    runner = make_runner({"step": migration(f"m = migrator{model}", down)})
    done = runner.up()
    assert [(s.action.value, str(s.target), s.note) for o in done.outcomes for s in o.steps] == [
        ("skip", "people", "already there"),
        ("skip", "people_code", "already there as sqlite_autoindex_people_1"),
        ("create", "people_boss", ""),
        ("skip", "people_name_age", "already there as sqlite_autoindex_people_2"),
        ("create", "people_age_name", ""),
    ]
    done = runner.down()
    assert [(s.action.value, str(s.target), s.note) for o in done.outcomes for s in o.steps] == [
        ("skip", "people", "kept: it is older than this migration"),
        ("drop", "people_age_name", ""),
        ("drop", "people_boss", ""),
    ]
    assert everything(database) == before


def test_an_index_that_a_migration_names_is_made_beside_a_unique(database, apply):
    """So that it stays when the constraint goes."""
    apply(
        "migrator.migrate(migrator.add_index('people', ('code',), True),"
        " migrator.drop_constraint('people', 'uniq_code'))"
    )
    with pytest.raises(sqlite3.IntegrityError, match=r"people\.code"):
        database.execute("INSERT INTO people (code) VALUES (1)")
