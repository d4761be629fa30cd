"""An edit of the stored text leaves every row and every other object as it is."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
from contextlib import closing

import apsw
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guarded.backends.sqlite import catalogue
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import MigrationError
from guarded.run import Runner
from guarded.steps import Action
from tests import apsw_driver
from tests.conftest import live_schema, migration, schema_of

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


# Of another process, which has read the schema before: statements until an empty line, each
# answered with its first row, "none", or the reason why it was refused.
OTHER_PROCESS = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA foreign_keys = ON")
for line in sys.stdin:
    try:
        print(connection.execute(line).fetchone(), flush=True)
    except sqlite3.IntegrityError as exc:
        print(type(exc).__name__, flush=True)
"""
REFUSED = "IntegrityError"
NEW = "INSERT INTO pets (name, owner, weight) VALUES "
OBEYED = [
    pytest.param(EDITS[0], [(NEW + "('a', 1, NULL)", REFUSED)], id="not null"),
    pytest.param(EDITS[1], [("INSERT INTO owners (id) VALUES (9)", "None")], id="nullable"),
    pytest.param(
        EDITS[2],
        [("INSERT INTO pets (id) VALUES (9) RETURNING weight", "(7.5,)")],
        id="a default",
    ),
    pytest.param(
        EDITS[4],
        [("INSERT INTO pets (id) VALUES (9) RETURNING name", "(None,)")],
        id="no default",
    ),
    pytest.param(EDITS[5], [(NEW + "('a', 1, 100)", REFUSED)], id="a check"),
    pytest.param(
        EDITS[6], [("INSERT INTO pets (legs) VALUES (10) RETURNING legs", "(10,)")], id="no check"
    ),
    pytest.param(
        EDITS[7],
        [
            (NEW + "('a', 99, 1)", REFUSED),
            ("DELETE FROM owners WHERE id = 1", "None"),
            ("SELECT count(*) FROM pets WHERE owner = 1", "(0,)"),
        ],
        id="a foreign key",
    ),
    pytest.param(
        EDITS[8],
        [("SELECT type FROM pragma_table_info('pets') WHERE name = 'name'", "('TEXT',)")],
        id="a type",
    ),
]


@pytest.mark.parametrize(("verb", "said"), OBEYED)
def test_an_open_connection_of_another_process_obeys_at_once(pets, make_runner, path, verb, said):
    command = [sys.executable, "-c", OTHER_PROCESS, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:

        def ask(sql):
            print(sql, file=other.stdin, flush=True)
            return other.stdout.readline().strip()

        assert ask("SELECT count(*) FROM pets JOIN owners") == "(3,)"
        make_runner({"a": migration(f"migrator.migrate(migrator.{verb})")}).up()
        assert [(sql, ask(sql)) for sql, _ in said] == said
        other.stdin.close()
    assert pets.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


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
        parts += ["CONSTRAINT few CHECK (id <> -1)"] if name == "b b" else []
        parts += ["/* a, note ) */"] if rng.random() < 0.3 else []
        columns.append(" ".join(parts))
    key = rng.choice(["id INTEGER PRIMARY KEY", "id INTEGER PRIMARY KEY AUTOINCREMENT", "id"])
    tail = rng.choice(["", "\n", ", CONSTRAINT many CHECK (id > -9) -- rows\n"])
    made = [f"CREATE TABLE t ({key}, {', '.join(columns)}{tail})", "CREATE TABLE log (n)"]
    rows = [f'INSERT INTO t (id, "{names[0]}") VALUES ({n}, {rng.choice(VALUES)})' for n in (3, 5)]
    made += rows
    for name in names[len(columns) : rng.randint(len(columns), 5)]:
        default = rng.choice(VALUES)
        null = "NOT NULL " if default != "NULL" and rng.random() < 0.3 else ""
        column = f'"{name}" {rng.choice(TYPES)} {null}DEFAULT {default}'
        made.append(f"ALTER TABLE t ADD COLUMN {column}")
        made.append(f"INSERT INTO t (id) VALUES ({rng.randint(10, 10**6)})")
    made += ['CREATE INDEX t_i ON t ("a" DESC)'] if rng.random() < 0.5 else []
    changed = "AFTER UPDATE ON t BEGIN INSERT INTO log VALUES (new.id); END"
    made += [f"CREATE TRIGGER t_u {changed}"] if rng.random() < 0.5 else []
    return made


# Of the same affinity, as Peewee's field for it writes it.
FIELDS = {
    "TEXT": "CharField(null=True)",
    "VARCHAR(9)": "TextField(null=True)",
    "REAL": "DoubleField(null=True)",
    "INTEGER": "BigIntegerField(null=True)",
    "NUMERIC": "DecimalField(null=True)",
    "DATETIME": "DateField(null=True)",
}


def make_verbs(rng: random.Random, columns: list[tuple[str, str]]) -> list[str]:
    verbs = ["drop_constraint('t', 'few')"] if rng.random() < 0.3 else []
    for name, type_ in rng.sample(columns, rng.randint(1, len(columns))):
        default = rng.choice(["5", "'x'", "2.5", "b'z'"])
        choices = [
            f"add_column_default('t', {name!r}, {default})",
            f"drop_column_default('t', {name!r})",
            f"fill('t', {name!r}, '1', where='\"{name}\" IS NULL'), "
            f"migrator.add_not_null('t', {name!r})",
            f"drop_not_null('t', {name!r})",
            f"add_constraint('t', 'k{len(verbs)}', SQL('CHECK (id <> 0)'))",
            f"fill('t', {name!r}, 'id'), migrator.add_foreign_key_constraint("
            f"'t', {name!r}, 't', 'id', on_delete='SET NULL')",
        ]
        if type_ in FIELDS:
            choices.append(f"alter_column_type('t', {name!r}, {FIELDS[type_]})")
        verbs.append(rng.choice(choices))
    return verbs


class Rebuilding(Defensive):
    """A build that has neither its own ALTER TABLE for constraints nor a way to edit the text."""

    def database_to_migrate(self):
        database = super().database_to_migrate()
        database.server_version = (3, 40, 0)
        return database


def everything_after(project, file, path):
    """Schema, texts and rows after the run; or why it was refused."""
    try:
        Runner(project, file, backup=False).up()
    except MigrationError as exc:
        return str(exc).replace(project.listed[0], "it")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = connection.execute("SELECT rowid, * FROM t ORDER BY rowid").fetchall()
        kinds = connection.execute('SELECT typeof(a), typeof("b b") FROM t ORDER BY rowid')
        texts = [row for row in schema_of(connection) if row[1] != "schema_history"]
        log = connection.execute("SELECT * FROM log").fetchall()
        schema = {t: table for t, table in live_schema(connection).items() if t in ("t", "log")}
        return schema, texts, rows, kinds.fetchall(), log


EXAMPLES = 1000 if os.environ.get("EDITS") == "full" else 100


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10**9))
def test_a_random_edit_gives_what_a_rebuild_gives(make_project, tmp_path, seed):
    rng = random.Random(seed)
    made = make_table(rng)
    contents = []
    verbs: list[str] = []
    for way, kind in (("edit", SqliteFile), ("rebuild", Rebuilding)):
        path = tmp_path / f"{way}.sqlite"
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for sql in made:
                connection.execute(sql)
            known = connection.execute("PRAGMA table_info(t)").fetchall()
        verbs = verbs or make_verbs(rng, [row[1:3] for row in known if row[1] != "id"])
        project = make_project(
            {f"a{seed}{way}": migration(f"migrator.migrate(migrator.{', migrator.'.join(verbs)})")}
        )
        contents.append(everything_after(project, kind(path), path))
    assert contents[0] == contents[1]
