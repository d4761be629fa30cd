"""What Peewee's own tests of its migrator hold on SQLite, held here on files with rows.

Where the guarded verbs do it otherwise, the case says so: playhouse rebuilds a table from its text
by regular expressions, and drops what the expressions do not find.
"""

from __future__ import annotations

import pytest
from peewee import IntegrityError

from guarded.errors import MigrationFailed, Refused, RowsDoNotFit

SCHEMA = """
CREATE TABLE person (
    id INTEGER NOT NULL PRIMARY KEY, first_name VARCHAR(255) NOT NULL, last_name VARCHAR(255) NOT NULL, dob DATE
);
CREATE UNIQUE INDEX person_first_name_last_name ON person (first_name, last_name);
CREATE TABLE tag (id INTEGER NOT NULL PRIMARY KEY, tag VARCHAR(255) NOT NULL);
CREATE UNIQUE INDEX tag_tag ON tag (tag);
CREATE TABLE page (
    id INTEGER NOT NULL PRIMARY KEY, name TEXT, user_id INTEGER, FOREIGN KEY (user_id) REFERENCES user (id)
);
CREATE INDEX page_user_id ON page (user_id);
CREATE TABLE user (id CHAR(20) NOT NULL PRIMARY KEY, password VARCHAR(8) NOT NULL DEFAULT 'secret');
CREATE TABLE indexed (
    id INTEGER NOT NULL PRIMARY KEY, first_name VARCHAR(10) NOT NULL DEFAULT '', last_name VARCHAR(10), data INTEGER UNIQUE
);
CREATE INDEX indexed_first_name ON indexed (first_name);
CREATE INDEX indexed_both ON indexed (last_name, data);
CREATE UNIQUE INDEX "indexed odd, name" ON indexed ("first_name", last_name) WHERE data > 1;
INSERT INTO person VALUES (1, 'Charles', 'Leifer', NULL), (2, 'Huey', 'Kitty', '2011-05-04'), (3, 'Mickey', 'Dog', NULL);
INSERT INTO tag VALUES (1, 'one'), (2, 'two'), (3, '3');
INSERT INTO user VALUES ('huey', 'a'), ('5', 'b');
INSERT INTO page VALUES (1, 'first', NULL), (2, 'second', NULL);
INSERT INTO indexed VALUES (1, 'a', 'x', 1), (2, 'b', 'y', 2), (3, 'c', NULL, 3);
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


@pytest.fixture
def migrate(apply, database):
    """Run verbs of the migrator, each in the class of Peewee's fields; gives a query's rows."""

    def run(*verbs: str, then: str) -> list[tuple]:
        for verb in verbs:
            apply(f"import datetime\nmigrator.migrate(migrator.{verb})")
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return database.execute(then).fetchall()

    return run


COLUMNS = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info('{}')"
INDEXES = "SELECT name, \"unique\", origin FROM pragma_index_list('{}') ORDER BY name"
KEYS = 'SELECT "from", "table", "to", on_delete, on_update FROM pragma_foreign_key_list(\'{}\')'


# Columns that come.

ADDED = [
    pytest.param("DateTimeField(null=True)", [(None,)] * 3, id="nullable, no default"),
    pytest.param("CharField(default='')", [("",)] * 3, id="an empty string"),
    pytest.param("BooleanField(default=False)", [(0,)] * 3, id="False"),
    pytest.param("BooleanField(default=True)", [(1,)] * 3, id="True"),
    pytest.param("DecimalField(max_digits=10, decimal_places=5, default=0)", [(0,)] * 3, id="a Decimal"),
    pytest.param("TextField(default='it''s \"(here)\"')", [("its \"(here)\"",)] * 3, id="quotes and parentheses"),
    pytest.param("TextField(default=\"it's (a, b)\")", [("it's (a, b)",)] * 3, id="an apostrophe and a comma"),
    pytest.param("TextField(default='%s %%')", [("%s %%",)] * 3, id="what a driver takes for a parameter"),
    pytest.param("IntegerField(default=lambda: 7)", [(7,)] * 3, id="a callable"),
    pytest.param("DateField(default=datetime.date(2026, 1, 2))", [("2026-01-02",)] * 3, id="a date"),
    pytest.param("BlobField(default=b'\\x00')", [(b"\x00",)] * 3, id="bytes"),
    pytest.param("FloatField(default=1.5)", [(1.5,)] * 3, id="a float"),
    pytest.param("IntegerField(null=True, constraints=[Check('value > 0')])", [(None,)] * 3, id="with a CHECK"),
    pytest.param("TextField(constraints=[SQL(\"DEFAULT 'x'\")])", [("x",)] * 3, id="a default of the database"),
    pytest.param("TextField(null=True, collation='NOCASE')", [(None,)] * 3, id="with a collation"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "rows"), ADDED)
def test_add_column(migrate, field, rows):
    found = migrate(f"add_column('person', 'value', {field})", then="SELECT value FROM person")
    assert found == rows


def test_add_column_with_a_current_time(migrate):
    verb = "add_column('person', 'at', DateTimeField(default=datetime.datetime.now))"
    rows = migrate(verb, then="SELECT count(DISTINCT at), min(at) IS NOT NULL FROM person")
    assert rows == [(1, 1)]


def test_add_a_column_that_is_indexed_and_one_that_is_unique(migrate):
    verbs = (
        "add_column('tag', 'kind', IntegerField(null=True, index=True))",
        "add_column('tag', 'code', IntegerField(null=True, unique=True))",
    )
    assert migrate(*verbs, then=INDEXES.format("tag")) == [
        ("tag_code", 1, "c"),
        ("tag_kind", 0, "c"),
        ("tag_tag", 1, "c"),
    ]


def test_add_a_unique_column_without_a_value_for_each_row_is_refused(migrate):
    with pytest.raises(RowsDoNotFit, match=r"tag\.code can't be unique: 3 rows would share"):
        migrate("add_column('tag', 'code', IntegerField(default=1, unique=True))", then="SELECT 1")


def test_add_a_not_null_column_without_default_is_refused_where_there_are_rows(migrate):
    with pytest.raises(RowsDoNotFit, match="not null but has no default"):
        migrate("add_column('person', 'value', CharField())", then="SELECT 1")


def test_add_a_foreign_key_column(migrate, apply):
    apply(
        """
class Person(Model):
    class Meta:
        table_name = "person"
owner = ForeignKeyField(Person, Person.id, null=True, on_delete="SET NULL", on_update="CASCADE")
migrator.migrate(migrator.add_column("tag", "owner_id", owner))"""
    )
    assert migrate(then=KEYS.format("tag")) == [("owner_id", "person", "id", "SET NULL", "CASCADE")]


# Columns that go.


def test_drop_column(migrate):
    verbs = ("drop_column('person', 'last_name', cascade=False)", "drop_column('person', 'dob')")
    with pytest.raises(Refused, match="index 'person_first_name_last_name' needs it"):
        migrate(*verbs, then="SELECT 1")
    verbs = ("drop_index('person', 'person_first_name_last_name')", *verbs)
    rows = [(1, "Charles"), (2, "Huey"), (3, "Mickey")]
    assert migrate(*verbs, then="SELECT * FROM person ORDER BY id") == rows


def test_drop_a_column_with_its_own_index(migrate):
    assert migrate("drop_column('tag', 'tag')", then=INDEXES.format("tag")) == []


def test_drop_a_foreign_key_column(migrate):
    assert migrate("drop_column('page', 'user_id')", then=KEYS.format("page")) == []


def test_drop_a_unique_column_of_a_table_with_other_indexes(migrate):
    verbs = (
        "drop_index('indexed', 'indexed odd, name')",
        "drop_index('indexed', 'indexed_both')",
        "drop_column('indexed', 'data')",
    )
    assert migrate(*verbs, then=INDEXES.format("indexed")) == [("indexed_first_name", 0, "c")]


# Names.


def test_rename_column(migrate):
    verb = "rename_column('person', 'first_name', 'first')"
    assert migrate(verb, then="SELECT first FROM person WHERE id = 2") == [("Huey",)]


def test_rename_a_foreign_key_column(migrate):
    verb = "rename_column('page', 'user_id', 'author_id')"
    assert migrate(verb, then=KEYS.format("page")) == [
        ("author_id", "user", "id", "NO ACTION", "NO ACTION")
    ]


def test_rename_the_column_that_a_key_refers_to(migrate):
    verb = "rename_column('user', 'id', 'username')"
    assert migrate(verb, then=KEYS.format("page")) == [
        ("user_id", "user", "username", "NO ACTION", "NO ACTION")
    ]


def test_a_renamed_column_keeps_its_indexes(migrate):
    verb = "rename_column('indexed', 'first_name', 'first')"
    rows = migrate(verb, then="SELECT sql FROM sqlite_master WHERE name = 'indexed odd, name'")
    assert rows == [
        ('CREATE UNIQUE INDEX "indexed odd, name" ON indexed ("first", last_name) WHERE data > 1',)
    ]


def test_a_rename_to_a_column_that_is_there_is_refused(migrate):
    with pytest.raises(Refused, match="there is a column 'last_name' too"):
        migrate("rename_column('person', 'first_name', 'last_name')", then="SELECT 1")


def test_rename_table(migrate):
    verbs = ("rename_table('person', 'people')", "rename_table('user', 'a user''s')")
    assert migrate(*verbs, then="SELECT count(*) FROM people")[0] == (3,)


# NOT NULL, defaults, types.


def test_add_and_drop_not_null(migrate):
    verbs = ("drop_not_null('person', 'first_name')", "add_not_null('page', 'name')")
    assert migrate(*verbs, then=COLUMNS.format("person"))[1] == (
        "first_name",
        "VARCHAR(255)",
        0,
        None,
    )


def test_not_null_where_there_are_nulls_is_refused(migrate):
    with pytest.raises(RowsDoNotFit, match="2 rows have no value there"):
        migrate("add_not_null('person', 'dob')", then="SELECT 1")


def test_not_null_of_a_foreign_key_keeps_the_key(migrate):
    verbs = ("fill('page', 'user_id', '5')", "add_not_null('page', 'user_id')")
    assert migrate(*verbs, then=KEYS.format("page"))[0][:3] == ("user_id", "user", "id")


DEFAULTS = [
    pytest.param("'user', 'password', 'it\\'s'", "'it''s'", id="text that ends in an apostrophe and s"),
    pytest.param("'user', 'password', SQL(\"lower('X')\")", "lower('X')", id="a function"),
    pytest.param("'user', 'password', \"upper('x')\"", "upper('x')", id="text that is SQL already"),
    pytest.param("'indexed', 'data', 7", "7", id="a number"),
    pytest.param("'indexed', 'data', -1", "-1", id="a negative number"),
    pytest.param("'person', 'dob', SQL('CURRENT_DATE')", "CURRENT_DATE", id="the time"),
    pytest.param("'person', 'dob', \"datetime('now')\"", "datetime('now')", id="a function of the time"),
    pytest.param("'indexed', 'last_name', ''", "''", id="an empty string"),
    pytest.param("'indexed', 'last_name', SQL(\"'a' || 'b'\")", "'a' || 'b'", id="an expression"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "default"), DEFAULTS)
def test_add_column_default(migrate, arguments, default):
    table, column = arguments.split("'")[1], arguments.split("'")[3]
    found = migrate(
        f"add_column_default({arguments})",
        then=f"SELECT dflt_value FROM pragma_table_info('{table}') WHERE name = '{column}'",
    )
    assert found == [(default,)]


def test_drop_column_default(migrate):
    verbs = ("drop_column_default('user', 'password')",)
    assert migrate(*verbs, then=COLUMNS.format("user"))[1] == ("password", "VARCHAR(8)", 1, None)


TYPES = [
    pytest.param("'tag', 'tag', TextField()", "TEXT", id="to text"),
    pytest.param("'person', 'dob', DateTimeField()", "DATETIME", id="to a time"),
    pytest.param("'indexed', 'data', CharField()", "VARCHAR(255)", id="of a unique column"),
    pytest.param(
        "'indexed', 'last_name', CharField(max_length=80)", "VARCHAR(80)", id="a longer one"
    ),
]


@pytest.mark.parametrize(("arguments", "type_"), TYPES)
def test_alter_column_type(migrate, database, arguments, type_):
    table, column = arguments.split("'")[1], arguments.split("'")[3]
    indexes = database.execute(INDEXES.format(table)).fetchall()
    assert migrate(
        f"alter_column_type({arguments})",
        then=f"SELECT type FROM pragma_table_info('{table}') WHERE name = '{column}'",
    ) == [(type_,)]
    assert database.execute(INDEXES.format(table)).fetchall() == indexes


# Indexes.


def test_add_index(migrate):
    verbs = (
        "add_index('person', ('last_name', 'dob'))",
        "add_index('person', ('dob',), True)",
        "add_index('person', ('last_name',), where=SQL('dob IS NOT NULL'), name='some')",
    )
    assert migrate(*verbs, then=INDEXES.format("person")) == [
        ("person_dob", 1, "c"),
        ("person_first_name_last_name", 1, "c"),
        ("person_last_name_dob", 0, "c"),
        ("some", 0, "c"),
    ]


def test_a_unique_index_is_held(migrate, database):
    migrate("add_index('user', ('password',), True)", then="SELECT 1")
    with pytest.raises(Exception, match="UNIQUE constraint failed"):
        database.execute("INSERT INTO user VALUES ('x', 'a')")


def test_drop_index(migrate):
    verbs = ("drop_index('indexed', 'indexed_both')", "drop_index('indexed', 'indexed odd, name')")
    assert migrate(*verbs, then=INDEXES.format("indexed")) == [
        ("indexed_first_name", 0, "c"),
        ("sqlite_autoindex_indexed_1", 1, "u"),
    ]


def test_every_index_outlives_a_rebuild(migrate, database):
    before = database.execute("SELECT sql FROM sqlite_master WHERE type = 'index'").fetchall()
    verb = "alter_column_type('indexed', 'data', FloatField())"
    assert migrate(verb, then="SELECT sql FROM sqlite_master WHERE type = 'index'") == before


# Constraints.


def test_add_and_drop_a_check(migrate, database):
    verbs = ("add_constraint('indexed', 'some', Check('data < 10'))",)
    migrate(*verbs, then="SELECT 1")
    with pytest.raises(Exception, match="CHECK constraint failed: some"):
        database.execute("UPDATE indexed SET data = 11 WHERE id = 1")
    migrate("drop_constraint('indexed', 'some')", then="SELECT 1")
    database.execute("UPDATE indexed SET data = 11 WHERE id = 1")


def test_add_unique(migrate):
    verb = "add_unique('person', 'last_name', 'dob')"
    found = migrate(verb, then="SELECT origin FROM pragma_index_list('person') ORDER BY origin")
    assert found == [("c",), ("u",)]


KEYED = [
    pytest.param("", ("NO ACTION", "NO ACTION"), id="plain"),
    pytest.param(", 'CASCADE'", ("CASCADE", "NO ACTION"), id="ON DELETE"),
    pytest.param(", on_update='SET NULL'", ("NO ACTION", "SET NULL"), id="ON UPDATE"),
    pytest.param(", on_delete='RESTRICT', on_update='CASCADE'", ("RESTRICT", "CASCADE"), id="both"),
]


@pytest.mark.parametrize(("options", "actions"), KEYED)
def test_add_and_drop_a_foreign_key(migrate, options, actions):
    verb = f"add_foreign_key_constraint('tag', 'id', 'person', 'id'{options})"
    assert migrate(verb, then=KEYS.format("tag")) == [("id", "person", "id", *actions)]
    assert migrate("drop_foreign_key_constraint('tag', 'id')", then=KEYS.format("tag")) == []


def test_a_key_that_rows_break_is_refused(migrate):
    with pytest.raises(RowsDoNotFit, match="3 rows have a value that is not there"):
        migrate("add_foreign_key_constraint('tag', 'tag', 'user', 'id')", then="SELECT 1")


# Several at once, and failure.


def test_operations_in_one_call(migrate):
    verbs = (
        "add_column('tag', 'n', IntegerField(default=0)), migrator.rename_column('tag', 'tag', 'name'), "
        "migrator.add_index('tag', ('n', 'name')), migrator.drop_not_null('tag', 'n')"
    )
    assert migrate(verbs, then="SELECT * FROM tag") == [(1, "one", 0), (2, "two", 0), (3, "3", 0)]


def test_a_failure_leaves_all_as_it_was(apply, database):
    before = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    with pytest.raises((MigrationFailed, IntegrityError)):
        apply(
            "migrator.migrate(migrator.add_column('tag', 'n', IntegerField(default=0)))\n"
            "db.execute_sql('INSERT INTO tag (id, tag) VALUES (1, 1)')"
        )
    assert database.execute("SELECT type, name, sql FROM sqlite_master").fetchall() == before
