"""An edit of the stored text leaves every row and every other object as it is."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded.backends.sqlite import catalogue
from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from guarded.steps import Action
from tests import apsw_driver
from tests.conftest import migration, schema_of

SCHEMA = """
CREATE TABLE owners (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE);
CREATE TABLE pets ( -- the pets
    id INTEGER PRIMARY KEY,
    name VARCHAR(20) DEFAULT 'none', /* as "called" */
    owner INTEGER,
    legs INT DEFAULT 4 CONSTRAINT few CHECK (legs < 9),
    weight REAL
);
CREATE INDEX pets_name ON pets (name COLLATE NOCASE) WHERE legs > 2;
CREATE VIEW heavy AS SELECT name, weight FROM pets WHERE weight > 10;
CREATE TABLE log (what TEXT);
CREATE TRIGGER pets_changed AFTER UPDATE ON pets BEGIN INSERT INTO log VALUES (new.name); END;
INSERT INTO owners (name) VALUES ('ann'), ('bob');
INSERT INTO pets (name, owner, weight) VALUES ('rex', 1, 30.5), ('tom', 2, 4), ('joe', NULL, 0.5);
DELETE FROM owners WHERE id = 2; UPDATE pets SET owner = 1 WHERE owner = 2; DELETE FROM log;
"""
EDITS = [
    "add_not_null('pets', 'weight')",
    "drop_not_null('owners', 'name')",
    "add_column_default('pets', 'weight', 7.5)",
    "add_column_default('pets', 'name', 'nobody')",
    "drop_column_default('pets', 'name')",
    "add_constraint('pets', 'light', Check('weight < 100'))",
    "drop_constraint('pets', 'few')",
    "add_foreign_key_constraint('pets', 'owner', 'owners', 'id', on_delete='CASCADE')",
    "alter_column_type('pets', 'name', TextField(null=True))",
]


@pytest.fixture
def pets(connect):
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


def everything(connection):
    tables = ("owners", "pets", "log", "sqlite_sequence")
    rows = {t: connection.execute(f"SELECT rowid, * FROM {t}").fetchall() for t in tables}
    rows["sqlite_sequence"] = [row for row in rows["sqlite_sequence"] if row[1] == "owners"]
    return rows | {"heavy": connection.execute("SELECT * FROM heavy").fetchall()}


@pytest.mark.parametrize("verb", EDITS)
def test_an_edit_changes_one_text_and_nothing_else(pets, make_runner, verb):
    rows, before = everything(pets), schema_of(pets)
    (outcome,) = make_runner({"a": migration(f"migrator.migrate(migrator.{verb})")}).up().outcomes
    assert [step.action for step in outcome.steps][-1] is Action.EDIT
    assert everything(pets) == rows
    table = "owners" if "'owners', 'name')" in verb else "pets"
    after = [row for row in schema_of(pets) if row[2] != "schema_history"]
    assert [a for a, b in zip(after, before) if a != b] == [
        row for row in after if row[1] == table and row[0] == "table"
    ]
    assert pets.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert pets.execute("PRAGMA foreign_key_check").fetchall() == []
    comments = pets.execute("SELECT sql FROM sqlite_master WHERE name = 'pets'").fetchone()[0]
    assert "-- the pets" in comments and '/* as "called" */' in comments


def test_an_open_connection_of_another_process_obeys_at_once(pets, make_runner):
    pets.execute("SELECT * FROM pets").fetchall()  # has read the schema
    body = "migrator.migrate(migrator.add_not_null('pets', 'weight'),"
    body += " migrator.add_constraint('pets', 'light', Check('weight < 100')),"
    body += " migrator.add_foreign_key_constraint('pets', 'owner', 'owners', 'id'))"
    make_runner({"a": migration(body)}).up()
    for values in ("'a', 1, NULL", "'a', 1, 100", "'a', 99, 1"):
        with pytest.raises(sqlite3.IntegrityError):
            pets.execute(f"INSERT INTO pets (name, owner, weight) VALUES ({values})")


def test_several_edits_of_one_table_are_one(pets, make_runner):
    body = f"migrator.migrate({', '.join(f'migrator.{verb}' for verb in EDITS)})"
    (outcome,) = make_runner({"a": migration(body)}).up().outcomes
    edits = [str(step.target) for step in outcome.steps if step.action is Action.EDIT]
    assert sorted(edits) == ["owners", "pets"]


def test_one_that_needs_a_rebuild_makes_it_one_rebuild(pets, make_runner):
    body = "migrator.migrate(migrator.add_not_null('pets', 'weight'),"
    body += " migrator.add_unique('pets', 'name'), migrator.drop_constraint('pets', 'few'))"
    (outcome,) = make_runner({"a": migration(body)}).up().outcomes
    assert [s.action for s in outcome.steps if s.action in (Action.EDIT, Action.REBUILD)] == [
        Action.REBUILD
    ]


# Rows that are older than their column read its default from the text.


@pytest.mark.parametrize("is_filled", [False, True], ids=["not filled", "one filled"])
@pytest.mark.parametrize(
    "verb",
    [
        "add_column_default('t', 'c', 'new')",
        "drop_column_default('t', 'c')",
        "drop_column_default('t', 'c'), migrator.add_not_null('t', 'c')",
        "add_column_default('t', 'c', 'new'), migrator.add_not_null('t', 'c')",
        "alter_column_type('t', 'c', CharField(null=True))",
    ],
)
@pytest.mark.parametrize(
    "table",
    [
        pytest.param("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", id="rowid"),
        pytest.param("CREATE TABLE t (id TEXT PRIMARY KEY, a TEXT) WITHOUT ROWID", id="key"),
        pytest.param("CREATE TABLE t (rowid TEXT, id TEXT, a TEXT)", id="a column named rowid"),
    ],
)
def test_a_value_of_a_row_that_is_older_than_its_column_stays(
    connect, make_runner, table, verb, is_filled
):
    connection = connect()
    connection.executescript(
        f"{table}; INSERT INTO t (id, a) VALUES (1, 'x'), (2, 'y');"
        "ALTER TABLE t ADD COLUMN c TEXT DEFAULT 'old'; CREATE INDEX t_c ON t (c);"
        "CREATE TABLE log (n); CREATE TRIGGER t_u AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (1); END;"
        "INSERT INTO t (id, a, c) VALUES (3, 'z', 'own');"
    )
    if is_filled:
        connection.execute("UPDATE t SET c = 'filled' WHERE id = 2")
        connection.execute("DELETE FROM log")
    before = connection.execute("SELECT * FROM t ORDER BY id").fetchall()
    make_runner({"a": migration(f"migrator.migrate(migrator.{verb})")}).up()
    assert connection.execute("SELECT * FROM t ORDER BY id").fetchall() == before
    assert connection.execute(
        "SELECT c FROM t INDEXED BY t_c WHERE c > '' ORDER BY 1"
    ).fetchall() == (sorted((row[-1],) for row in before))
    assert connection.execute("SELECT count(*) FROM log").fetchone() == (0,)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


class Defensive(apsw_driver.File):
    """A build whose connections begin with the defensive flag set."""

    def database_to_migrate(self):
        database = super().database_to_migrate()
        connect = database._connect

        def defensive():
            connection = connect()
            connection.apsw.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            return connection

        database._connect = defensive
        return database


def test_a_build_with_the_defensive_flag_rebuilds(pets, make_project, path):
    rows = everything(pets)
    body = "migrator.migrate(migrator.add_column_default('pets', 'weight', 7.5))"
    done = Runner(make_project({"a": migration(body)}), Defensive(path), backup=False).up()
    assert "INSERT INTO" in " ".join(done.outcomes[0].steps[-1].statements)
    assert everything(pets) == rows
    pets.execute("INSERT INTO pets (name) VALUES ('new')")
    assert pets.execute("SELECT weight FROM pets WHERE name = 'new'").fetchone() == (7.5,)


def test_a_new_text_that_would_be_another_table_is_refused(pets):
    from guarded.backends.sqlite.inspect import find
    from guarded.backends.sqlite.text import CreateTable
    from guarded.errors import Refused

    stored = find(pets.execute, "pets", "table")
    other = CreateTable(stored.sql.replace("owner INTEGER", "owner TEXT"))
    with pytest.raises(Refused, match="can't be changed in place"):
        catalogue.edit(pets.execute, pets.execute, stored, other, [], lambda run: run())
    assert find(pets.execute, "pets", "table") == stored
    assert pets.execute("PRAGMA writable_schema").fetchone() == (0,)


# The same as a rebuild.

TYPES = ["INTEGER", "TEXT", "VARCHAR(9)", "REAL", "BLOB", "NUMERIC", "", "DATETIME"]
VALUES = ["NULL", "0", "-7", "'a'", "'12'", "''", "2.5", "x'00ff'", "'it''s'"]


def make_table(rng: random.Random) -> list[str]:
    """A table with rows, some of them older than some of its columns."""
    names = ["a", "b b", "c", "Dé", "e"]
    columns = []
    for name in names[: rng.randint(2, 3)]:
        parts = [f'"{name}"', rng.choice(TYPES)]
        parts += [f"DEFAULT {rng.choice(VALUES)}"] if rng.random() < 0.5 else []
        parts += ["/* a, note ) */"] if rng.random() < 0.3 else []
        columns.append(" ".join(parts))
    key = rng.choice(["id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id"])
    made = [f"CREATE TABLE t ({key}, {', '.join(columns)}{rng.choice(['', chr(10)])})"]
    rows = [f'INSERT INTO t (id, "{names[0]}") VALUES ({n}, {rng.choice(VALUES)})' for n in (3, 5)]
    made += rows
    for name in names[len(columns) : rng.randint(len(columns), 5)]:
        default = rng.choice(VALUES)
        made.append(f'ALTER TABLE t ADD COLUMN "{name}" {rng.choice(TYPES)} DEFAULT {default}')
        made.append(f"INSERT INTO t (id) VALUES ({rng.randint(10, 10**6)})")
    made += ['CREATE INDEX t_i ON t ("a" DESC)'] if rng.random() < 0.5 else []
    return made


def make_verbs(rng: random.Random, columns: list[str]) -> list[str]:
    verbs = []
    for name in rng.sample(columns, rng.randint(1, len(columns))):
        default = rng.choice(["5", "'x'", "2.5", "b'z'"])
        verbs.append(
            rng.choice(
                [
                    f"add_column_default('t', {name!r}, {default})",
                    f"drop_column_default('t', {name!r})",
                    f"fill('t', {name!r}, '1', where='\"{name}\" IS NULL'), "
                    f"migrator.add_not_null('t', {name!r})",
                    f"add_constraint('t', 'k{len(verbs)}', SQL('CHECK (id <> 0)'))",
                ]
            )
        )
    return verbs


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_a_random_edit_gives_what_a_rebuild_gives(make_project, tmp_path, seed):
    rng = random.Random(seed)
    made = make_table(rng)
    contents = []
    verbs: list[str] = []
    for way in ("edit", "rebuild"):
        path = tmp_path / f"{way}.sqlite"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for sql in made:
                connection.execute(sql)
            names = [row[1] for row in connection.execute("PRAGMA table_info(t)") if row[1] != "id"]
        verbs = verbs or make_verbs(rng, names)
        project = make_project(
            {f"a{seed}{way}": migration(f"migrator.migrate(migrator.{', migrator.'.join(verbs)})")}
        )
        file = SqliteFile(path) if way == "edit" else Defensive(path)
        Runner(project, file, backup=False).up()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            columns = connection.execute("PRAGMA table_xinfo(t)").fetchall()
            rows = connection.execute("SELECT rowid, * FROM t ORDER BY rowid").fetchall()
            contents.append((columns, rows))
    assert contents[0] == contents[1]
