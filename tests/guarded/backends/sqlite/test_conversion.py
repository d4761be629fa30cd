"""A change of type that would alter stored values for good is foreseen; any other comes back."""

from __future__ import annotations

import pytest

from guarded.errors import Refused
from tests.conftest import migration

OLDER = """
CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT, r REAL, z, w);
INSERT INTO t VALUES
    (1, '007', 1.5, 1, 3.0), (2, '7', 2.0, 'z', 1.5), (3, 'x', 1e300, NULL, NULL);
CREATE TABLE strict (id INTEGER PRIMARY KEY, s TEXT, n REAL, a ANY) STRICT;
INSERT INTO strict VALUES (1, '5', 5.5, 'x'), (2, 'six', 6, 7.5), (3, NULL, NULL, x'00');
CREATE TABLE keyed (id INT PRIMARY KEY, v TEXT);
INSERT INTO keyed VALUES (NULL, 'a'), (NULL, 'b'), (3, 'c');
"""


@pytest.fixture
def database(connect):
    connection = connect()
    connection.executescript(OLDER)
    return connection


def rows(database):
    return [
        database.execute(f"SELECT rowid, * FROM {name}").fetchall()
        for name in ("t", "strict", "keyed")
    ]


def altered(make_runner, table, column, up, down):
    verb = "migrator.migrate(migrator.alter_column_type('{}', '{}', {}))"
    text = migration(verb.format(table, column, up), verb.format(table, column, down))
    return make_runner({"step": text})


@pytest.mark.parametrize(
    ("table", "column", "up", "down"),
    [
        pytest.param("t", "r", "TextField()", "FloatField()", id="reals as text, and whole ones"),
        pytest.param("t", "r", "BareField()", "FloatField()", id="without a type"),
        pytest.param("t", "s", "BlobField()", "TextField()", id="text as it is"),
        pytest.param("strict", "n", "AnyField()", "FloatField()", id="any in a STRICT table"),
    ],
)
def test_values_come_back(database, make_runner, table, column, up, down):
    before = rows(database)
    runner = altered(make_runner, table, column, up, down)
    runner.up()
    runner.down()
    assert rows(database) == before


@pytest.mark.parametrize(
    ("table", "column", "up", "said"),
    [
        pytest.param(
            "t", "s", "IntegerField()", "1 row would get another value", id="leading zeros"
        ),
        pytest.param(
            "t",
            "s",
            "FloatField()",
            "2 rows would get another value",
            id="a text that becomes another",
        ),
        pytest.param("t", "z", "BareField(constraints=[])", "", id="nothing to change"),
        pytest.param("t", "z", "FloatField()", "1 row would get another", id="an integer for good"),
        pytest.param("t", "w", "IntegerField()", "1 row would get another", id="a real for good"),
        pytest.param(
            "strict",
            "s",
            "IntegerField()",
            "1 row would be refused by the STRICT table, for a TEXT value",
            id="no number in a STRICT table",
        ),
        pytest.param(
            "strict",
            "n",
            "IntegerField()",
            "1 row would be refused by the STRICT table, for a TEXT value that is no number, a fraction",
            id="a half in a STRICT table",
        ),
        pytest.param(
            "strict",
            "a",
            "FloatField()",
            "2 rows would be refused by the STRICT table, for a TEXT value that is no number, or a BLOB value",
            id="text and bytes in a STRICT table",
        ),
        pytest.param(
            "strict",
            "s",
            "BlobField()",
            "2 rows would be refused by the STRICT table, for a value that is no BLOB",
            id="text as bytes in a STRICT table",
        ),
        pytest.param(
            "keyed",
            "id",
            "IntegerField()",
            "2 rows would get an id",
            id="NULL in what becomes the rowid",
        ),
    ],
)
def test_values_that_would_not_come_back_are_counted(
    database, make_runner, table, column, up, said
):
    runner = altered(make_runner, table, column, up, "TextField()")
    if not said:
        runner.up()
        return
    for ask in (runner.forecast, runner.up):
        with pytest.raises(Refused, match=f"can't become .*: {said}"):
            ask()


CHECKED = """
CREATE TABLE place (id INTEGER PRIMARY KEY, "a long" FLOAT CHECK ("a long" BETWEEN -180 AND 180),
    n INTEGER, s TEXT COLLATE NOCASE, CHECK (n > 0), CHECK (length(s) > 1 AND s <> 'NO'));
INSERT INTO place VALUES (1, 7.5, 5, '12'), (2, NULL, NULL, NULL), (3, 10.0, 9, 'yes');
"""


@pytest.mark.parametrize(
    ("column", "type_", "sentence"),
    [
        ("a long", "TextField()", "1 row would break CHECK .*BETWEEN -180 AND 180"),
        ("n", "TextField()", None),
        ("s", "IntegerField()", None),
        ("n", "FloatField()", None),
    ],
)
def test_a_check_that_the_new_values_break_is_foreseen(
    connect, make_runner, column, type_, sentence
):
    database = connect()
    database.executescript(CHECKED)
    before = database.execute("SELECT * FROM place").fetchall()
    verb = f"migrator.migrate(migrator.alter_column_type('place', '{column}', {type_}))"
    runner = make_runner({"step": migration(verb)})
    if sentence is None:
        runner.up()
        return
    for ask in (runner.forecast, runner.up):
        with pytest.raises(Refused, match=sentence):
            ask()
    assert database.execute("SELECT * FROM place").fetchall() == before


def test_a_column_that_is_only_planned_has_no_value_that_could_not_stay(connect, make_runner):
    """In double quotes its name would be a string on the database that has no such column."""
    database = connect()
    database.executescript("CREATE TABLE strict (id INTEGER PRIMARY KEY) STRICT")
    database.execute("INSERT INTO strict VALUES (1), (2)")
    body = """
    migrator.migrate(migrator.add_column('strict', 'size', IntegerField(default=0)))
    migrator.migrate(migrator.alter_column_type('strict', 'size', Of('INT')))
    """
    runner = make_runner({"step": OF + migration(body)})
    planned = [str(step.target) for step in runner.forecast().outcomes[0].steps]
    done = runner.up()
    assert [str(step.target) for step in done.outcomes[0].steps] == planned
    assert database.execute("SELECT id, size FROM strict").fetchall() == [(1, 0), (2, 0)]


def test_values_that_the_run_turns_into_others_are_not_counted_as_they_are(connect, make_runner):
    database = connect()
    database.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY, a CHAR(3))")
    database.execute("INSERT INTO t VALUES (1, '-1')")
    body = """
    migrator.migrate(migrator.alter_column_type('t', 'a', Of('NUMERIC')))
    migrator.migrate(migrator.alter_column_type('t', 'a', FloatField()))
    """
    runner = make_runner({"step": OF + migration(body)})
    assert len(runner.forecast().outcomes[0].steps) > 1
    runner.up()
    assert database.execute("SELECT a, typeof(a) FROM t").fetchall() == [(-1.0, "real")]


OF = """
from peewee import Field


class Of(Field):
    def __init__(self, type_):
        super().__init__()
        self.field_type = type_


"""
