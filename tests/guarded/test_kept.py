"""Values that an ``up`` drops come back by its ``down``."""

from __future__ import annotations

import json
import shutil
import stat

import pytest

from guarded.errors import KeptFailed, MigrationFailed
from guarded.kept import checksum
from guarded.run import Runner
from guarded.steps import Action
from tests.conftest import migration, row_counts

SCHEMA = """
CREATE TABLE owners (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE pets (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT DEFAULT 'none', photo BLOB, weight REAL,
    owner INTEGER REFERENCES owners (id), twice INTEGER AS (id * 2)
);
CREATE TABLE log (what TEXT);
CREATE TRIGGER pets_new AFTER INSERT ON pets BEGIN INSERT INTO log VALUES ('new'); END;
CREATE TRIGGER pets_changed AFTER UPDATE ON pets BEGIN INSERT INTO log VALUES ('changed'); END;
INSERT INTO owners VALUES (1, 'ann'), (2, 'bob');
INSERT INTO pets (name, photo, weight, owner) VALUES
    ('rex', x'00ff', 9e999, 1), ('it''s "tom"', NULL, 4.25, 2), ('none', x'', -0.5, NULL),
    ('böb 📒', x'61', NULL, 1);
DELETE FROM log;
"""
DROP = {
    "name": (
        "drop_column('pets', 'name')",
        "add_column('pets', 'name', CharField(null=True, constraints=[Default(\"'none'\")]))",
    ),
    "photo": ("drop_column('pets', 'photo')", "add_column('pets', 'photo', BlobField(null=True))"),
    "weight": (
        "drop_column('pets', 'weight')",
        "add_column('pets', 'weight', FloatField(null=True))",
    ),
}


def drop(*names):
    up = ", ".join(f"migrator.{DROP[name][0]}" for name in names)
    down = ", ".join(f"migrator.{DROP[name][1]}" for name in reversed(names))
    return migration(f"migrator.migrate({up})", f"migrator.migrate({down})")


TABLE = migration(
    "migrator.migrate(migrator.drop_table('pets'))",
    """
    migrator.migrate(migrator.sql(
        "CREATE TABLE IF NOT EXISTS pets (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, photo BLOB, "
        "weight REAL, owner INTEGER REFERENCES owners (id), twice INTEGER AS (id * 2))"
    ))
    """,
)


@pytest.fixture
def pets(connect):
    connection = connect()
    connection.executescript(SCHEMA)
    return connection


def files(path):
    return sorted(path.parent.glob("backups/*.kept.*"))


@pytest.mark.parametrize(
    "names", [("name",), ("photo",), ("weight",), ("name", "photo", "weight")], ids=" ".join
)
def test_dropped_columns_come_back_with_their_values(pets, make_runner, path, names):
    columns = "id, name, photo, weight, owner, twice"
    before = pets.execute(f"SELECT {columns} FROM pets").fetchall()
    runner = make_runner({"a": drop(*names)})
    runner.up()
    (file,) = files(path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    pets.execute("INSERT INTO pets (owner) VALUES (2)")  # newer: gets the default
    pets.execute("DELETE FROM log")
    (outcome,) = runner.down().outcomes
    after = pets.execute(f"SELECT {columns} FROM pets").fetchall()
    assert after[:-1] == before
    new = pets.execute("SELECT name, photo, weight FROM pets WHERE id = 5").fetchone()
    assert new == ("none", None, None)
    refills = [s for s in outcome.steps if s.action is Action.REFILL]
    assert {str(s.target) for s in refills} == {f"pets.{name}" for name in names}
    assert row_counts(pets)["log"] == 0  # triggers rest
    assert files(path) == []
    assert pets.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_rows_with_the_default_or_without_a_value_are_not_kept(pets, make_runner, path):
    make_runner({"a": drop("name")}).up()
    head, *rows = files(path)[0].read_text().splitlines()
    assert json.loads(head)["rows"] == len(rows) == 3
    assert [json.loads(row)[1] for row in rows] == ["rex", 'it\'s "tom"', "böb 📒"]


def test_a_dropped_table_comes_back_with_its_rows(pets, make_runner, path):
    before = pets.execute("SELECT * FROM pets").fetchall()
    runner = make_runner({"a": TABLE})
    runner.up()
    (outcome,) = runner.down().outcomes
    assert pets.execute("SELECT * FROM pets").fetchall() == before
    assert outcome.steps[-1].note == "4 rows"


@pytest.mark.parametrize("rows", ["some", "none"])
def test_a_dropped_table_gives_out_no_id_twice(pets, make_runner, path, rows):
    pets.execute("DELETE FROM pets WHERE id > 2" if rows == "some" else "DELETE FROM pets")
    runner = make_runner({"a": TABLE})
    runner.up()
    runner.down()
    assert pets.execute("INSERT INTO pets (name) VALUES ('new') RETURNING id").fetchone() == (5,)
    assert files(path) == []


def test_a_table_that_comes_back_without_marks_has_none(connect, make_runner):
    connection = connect()
    connection.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (3)"
    )
    down = "migrator.migrate(migrator.sql('CREATE TABLE t (id INTEGER PRIMARY KEY)'))"
    runner = make_runner({"a": migration("migrator.migrate(migrator.drop_table('t'))", down)})
    runner.up()
    runner.down()
    assert connection.execute("SELECT id FROM t").fetchall() == [(3,)]
    assert ("t",) not in connection.execute("SELECT name FROM sqlite_sequence").fetchall()


def test_a_kept_file_of_an_earlier_version_knows_no_mark(pets, make_runner, path):
    runner = make_runner({"a": TABLE})
    runner.up()
    (file,) = files(path)
    head, _, rows = file.read_text().partition("\n")
    told = {key: value for key, value in json.loads(head).items() if key != "mark"}
    file.write_text(f"{json.dumps(told)}\n{rows}")
    pets.execute(
        "UPDATE schema_history SET made = replace(made, ?, ?)",
        (runner.state().applied["a"].made.kept.sha256, checksum(file)),
    )
    runner.down()
    assert pets.execute("SELECT count(*) FROM pets").fetchone() == (4,)


def test_rows_that_no_longer_fit_are_counted_and_left_out(pets, make_runner, path):
    runner = make_runner({"a": TABLE, "b": migration("pass", "pass")})
    runner.up()
    pets.execute("DELETE FROM owners WHERE id = 1")
    (_, outcome) = runner.down("a").outcomes
    assert [s.note for s in outcome.steps if s.action is Action.REFILL] == ["2 rows, 2 fit no more"]
    assert pets.execute("SELECT owner FROM pets ORDER BY id").fetchall() == [(2,), (None,)]
    assert pets.execute("PRAGMA foreign_key_check").fetchall() == []


def test_values_of_rows_that_are_gone_are_counted(pets, make_runner, path):
    runner = make_runner({"a": drop("weight")})
    runner.up()
    pets.execute("DELETE FROM pets WHERE id = 1")
    (outcome,) = runner.down().outcomes
    assert outcome.steps[-1].note == "2 rows, 1 fit no more"


def test_a_table_without_a_key_is_told_before_down(connect, make_runner):
    connection = connect()
    connection.executescript("CREATE TABLE notes (a, b); INSERT INTO notes VALUES (1, 'x')")
    up = "migrator.migrate(migrator.drop_column('notes', 'b'))"
    down = "migrator.migrate(migrator.add_column('notes', 'b', TextField(null=True)))"
    runner = make_runner({"a": migration(up, down)})
    runner.up()
    assert runner.unkept() == ["table 'notes' has no primary key"]
    runner.down()
    assert connection.execute("SELECT * FROM notes").fetchall() == [(1, None)]


def test_rows_with_no_value_in_their_key_get_none_of_another(connect, make_runner):
    connection = connect()
    connection.executescript(
        "CREATE TABLE notes (a TEXT PRIMARY KEY, b TEXT);"
        "INSERT INTO notes VALUES (NULL, 'x'), (NULL, 'y'), ('z', 'z')"
    )
    up = "migrator.migrate(migrator.drop_column('notes', 'b'))"
    down = "migrator.migrate(migrator.add_column('notes', 'b', TextField(null=True)))"
    runner = make_runner({"a": migration(up, down)})
    runner.up()
    assert runner.unkept() == ["2 rows of table 'notes' with NULL in the key"]
    runner.down()
    assert connection.execute("SELECT b FROM notes").fetchall() == [(None,), (None,), ("z",)]


@pytest.mark.parametrize("harm", ["missing", "changed"])
def test_a_file_that_is_gone_or_changed_is_told_and_not_used(pets, make_runner, path, harm):
    runner = make_runner({"a": drop("weight")})
    runner.up()
    (file,) = files(path)
    if harm == "missing":
        file.unlink()
    else:
        file.write_text(file.read_text().replace("4.25", "5.25"))
    assert runner.unkept() == [
        f"'{file}' with 3 dropped values {'is missing' if harm == 'missing' else 'was changed'}"
    ]
    (outcome,) = runner.down().outcomes
    assert Action.REFILL not in {step.action for step in outcome.steps}
    assert pets.execute("SELECT DISTINCT weight FROM pets").fetchall() == [(None,)]


def test_a_run_that_fails_leaves_no_file(pets, make_runner, path):
    runner = make_runner({"a": drop("name"), "b": migration("db.execute_sql('nonsense')")})
    with pytest.raises(MigrationFailed):
        runner.up()
    assert files(path) == []


def test_a_runner_that_keeps_nothing_keeps_nothing(pets, make_project, file, path):
    runner = Runner(make_project({"a": drop("name")}), file, keep=False)
    runner.up()
    assert files(path) == []
    assert runner.unkept() == []


def test_a_folder_that_can_not_be_written_stops_the_run(pets, make_project, file, path):
    (path.parent / "backups").write_text("a file in the place of the folder")
    runner = Runner(make_project({"a": drop("name")}), file, backup=False)
    before = pets.execute("SELECT * FROM pets").fetchall()
    with pytest.raises(KeptFailed, match="dropped values can't be kept"):
        runner.up()
    assert pets.execute("SELECT * FROM pets").fetchall() == before


def test_down_of_a_database_of_an_earlier_version_asks_nothing_new(pets, make_runner):
    """Its history does not know of kept values."""
    runner = make_runner({"a": drop("name")})
    runner.up()
    pets.execute("UPDATE schema_history SET made = '[]'")
    assert runner.unkept() == []
    runner.down()
    assert pets.execute("SELECT DISTINCT name FROM pets").fetchall() == [("none",)]


def test_a_text_that_is_no_utf_8_comes_back_as_it_was(connect, make_runner):
    connection = connect()
    connection.executescript(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);"
        "INSERT INTO t VALUES (1, CAST(X'ff41' AS TEXT)), (2, 'plain'), (3, X'ff')"
    )
    up = "migrator.migrate(migrator.drop_column('t', 'a'))"
    down = "migrator.migrate(migrator.add_column('t', 'a', TextField(null=True)))"
    runner = make_runner({"step": migration(up, down)})
    runner.up()
    runner.down()
    assert connection.execute("SELECT id, hex(a), typeof(a) FROM t").fetchall() == [
        (1, "FF41", "text"),
        (2, "706C61696E", "text"),
        (3, "FF", "blob"),
    ]


def test_each_drop_needs_the_room_of_its_own_values(make_project, file, connect, monkeypatch):
    """What was dropped before it is in the file already."""
    connect().executescript(f"""{SCHEMA}
        WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 1000)
        INSERT INTO pets (name, photo, weight) SELECT 'tom', zeroblob(10000), n FROM number;
    """)
    usage = shutil.disk_usage(".")._replace(free=20_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    runner = Runner(make_project({"gone": drop("photo", "weight")}), file, backup=False)
    (outcome,) = runner.up().outcomes
    assert [step.rows for step in outcome.steps if step.rows] == [1003, 1003]
    runner.down()
    usage = usage._replace(free=1_000_000)
    with pytest.raises(KeptFailed, match=r"about 1\d\.\d MB are needed, and 1\.0 MB are free"):
        runner.up()


@pytest.mark.parametrize("key", ["", "DEFERRABLE INITIALLY DEFERRED"])
def test_rows_come_back_after_those_that_they_refer_to(connect, make_runner, key):
    """A down of raw SQL makes all tables before any is filled."""
    tables = (
        "CREATE TABLE par (id INTEGER PRIMARY KEY)",
        f"CREATE TABLE kid (id INTEGER PRIMARY KEY, p INTEGER REFERENCES par (id) {key})",
        f"CREATE TABLE kidskid (id INTEGER PRIMARY KEY, k INTEGER REFERENCES kid (id) {key})",
    )
    database = connect()
    database.executescript(";".join(tables))
    database.executescript(
        "INSERT INTO par VALUES (1); INSERT INTO kid VALUES (5, 1); INSERT INTO kidskid VALUES (7, 5)"
    )
    drop = "\n".join(
        f"migrator.migrate(migrator.drop_table('{name}'))" for name in ("kidskid", "kid", "par")
    )
    make = "\n".join(f"db.execute_sql({sql!r})" for sql in tables)
    files = {"step": migration(drop, make)}
    make_runner(files).up()
    steps = make_runner(files).down().outcomes[0].steps
    assert [str(s.target) for s in steps if s.note == "1 rows"] == ["par", "kid", "kidskid"]
    assert database.execute("SELECT * FROM kid, kidskid").fetchall() == [(5, 1, 7, 5)]
