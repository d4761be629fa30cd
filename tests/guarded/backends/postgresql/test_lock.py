"""Nobody queues behind a run that waits: it asks for its locks for a moment, again and again."""

from __future__ import annotations

import threading
import time

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.errors import DatabaseLocked, UnforeseenLock
from guarded.patience import Patience
from guarded.run import Runner
from guarded.steps import Watcher
from tests.conftest import migration

LONGEST = 0.5  # seconds that a bystander may wait


@pytest.fixture
def server(postgres_url, tmp_path):
    found = locate(postgres_url, folder=tmp_path / "backups")
    with found.connected() as connection:
        connection.execute("CREATE TABLE meetings (id serial PRIMARY KEY, title text)")
        connection.execute("INSERT INTO meetings (title) VALUES ('a')")
        connection.execute("CREATE TABLE other (id serial PRIMARY KEY)")
    return found


@pytest.fixture
def runner(server, make_project):
    def make(body, wait):
        said = []
        project = make_project({"a": migration(body)})
        return Runner(project, server, Patience(wait, said.extend), backup=False), said

    return make


class Bystander(threading.Thread):
    """Reads a table again and again, and knows how long the slowest time took."""

    def __init__(self, server, table):
        super().__init__()
        self.server, self.table, self.longest, self.count = server, table, 0.0, 0
        self.ends = threading.Event()

    def run(self):
        with self.server.connected() as connection:
            while not self.ends.is_set():
                started = time.monotonic()
                connection.execute(f"SELECT count(*) FROM {self.table}")
                self.longest = max(self.longest, time.monotonic() - started)
                self.count += 1
                time.sleep(0.01)


ADD = "migrator.migrate(migrator.add_column('{}', 'x', IntegerField(default=1)))\n"
BOTH = ADD.format("other") + ADD.format("meetings")


@pytest.mark.parametrize("table", ["meetings", "other"])
def test_an_idle_reader_is_named_and_nobody_queues_behind_the_run(server, runner, table):
    with server.connected(application_name="reporting") as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meetings")
        bystander = Bystander(server, table)
        bystander.start()
        try:
            run, said = runner(BOTH, 3)
            with pytest.raises(DatabaseLocked, match=r"pid \d+ \(postgres, reporting, idle in tr"):
                run.up()
        finally:
            bystander.ends.set()
            bystander.join()
    assert bystander.longest < LONGEST and bystander.count > 20
    assert len(said) == 1 and "reporting" in said[0]
    with server.connected() as connection:
        assert connection.execute("SELECT * FROM meetings").fetchall() == [(1, "a")]


def test_the_run_goes_on_when_the_reader_has_ended(server, runner):
    with server.connected() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meetings")
        timer = threading.Timer(1, lambda: reader.execute("COMMIT"))
        timer.start()
        run, _ = runner(BOTH, 10)
        assert run.up().outcomes
        timer.join()


@pytest.fixture
def family(server):
    with server.connected() as connection:
        connection.execute(
            "CREATE TABLE members (id serial PRIMARY KEY, meeting int REFERENCES meetings, a int)"
        )
        connection.execute("INSERT INTO members (meeting) VALUES (1)")
    return server


ADD_KEY = (
    "migrator.migrate(migrator.add_column('other', 'm', IntegerField(null=True)),"
    " migrator.add_foreign_key_constraint('other', 'm', 'meetings', 'id'))"
)
INDEX = "migrator.migrate(migrator.add_index('meetings', ('title',)))"


@pytest.mark.parametrize("body", [ADD_KEY, INDEX], ids=["parent of a new key", "new index"])
def test_readers_go_on_where_the_database_lets_them(server, runner, body):
    with server.connected() as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM meetings")
        run, said = runner(body, 0)
        assert run.up().outcomes and said == []


class Heard(Watcher):
    """The migrations that began, and why a run started over."""

    def __init__(self, on_again=lambda: None):
        self.begun, self.again, self.on_again = [], [], on_again

    def begins(self, name, direction):
        self.begun.append(name)

    def starts_over(self, why):
        self.again.append(why)
        self.on_again()


@pytest.mark.parametrize(
    ("body", "sql"),
    [
        pytest.param(ADD_KEY, "UPDATE meetings SET title = 'b'", id="parent of a new key"),
        pytest.param(INDEX, "UPDATE meetings SET title = 'b'", id="new index"),
        pytest.param(
            "migrator.migrate(migrator.drop_table('members'))",
            "SELECT * FROM meetings",
            id="parent of a table that goes",
        ),
        pytest.param(
            "migrator.migrate(migrator.drop_foreign_key_constraint('members', 'meeting'))",
            "SELECT * FROM meetings",
            id="parent of a key that goes",
        ),
        pytest.param(
            "migrator.migrate(migrator.drop_column('members', 'meeting'))",
            "SELECT * FROM meetings",
            id="parent of a column that goes",
        ),
        pytest.param(
            "migrator.migrate(migrator.drop_constraint('members', 'members_meeting_fkey'))",
            "SELECT * FROM meetings",
            id="parent of a constraint that goes",
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('ALTER TABLE \"meetings\" ADD x INT'))",
            "SELECT * FROM meetings",
            id="a statement's table",
        ),
        pytest.param(
            "db.execute_sql('CREATE TABLE made (id INT REFERENCES meetings)')",
            "UPDATE meetings SET title = 'b'",
            id="a statement's parent",
        ),
        pytest.param(
            "db.execute_sql('CREATE INDEX titles ON meetings (title)')",
            "UPDATE meetings SET title = 'b'",
            id="a statement's index",
        ),
    ],
)
def test_all_that_has_to_be_locked_is_locked_before_the_first_step(family, runner, body, sql):
    with family.connected(application_name="reporting") as other:
        other.execute("BEGIN")
        other.execute(sql)
        run, _ = runner(body, 0.5)
        run.watcher = Heard()
        with pytest.raises(DatabaseLocked, match="reporting"):
            run.up()
        assert run.watcher.begun == run.watcher.again == []
        other.execute("COMMIT")
        assert run.up().outcomes


# The row of the parent is locked for the check of the key.
INSERT = "db.execute_sql('INSERT INTO members (meeting) VALUES (1)')"


def test_a_lock_that_no_step_named_is_waited_for_without_holding_others_up(family, runner):
    run, said = runner(ADD.format("other") + INSERT, 10)
    with family.connected(application_name="reporting") as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM meetings FOR UPDATE")
        bystander = Bystander(family, "other")
        bystander.start()
        timer = threading.Timer(3, lambda: other.execute("COMMIT"))
        run.watcher = Heard(timer.start)
        try:
            assert run.up().outcomes
        finally:
            bystander.ends.set()
            bystander.join()
            timer.join()
    assert run.watcher.begun == ["a", "a"] and len(said) == 1 and "reporting" in said[0]
    assert run.watcher.again == ["another session had locked 'meetings', 'members'"]
    assert bystander.longest < LONGEST
    with family.connected() as connection:
        assert connection.execute("SELECT count(*) FROM members").fetchall() == [(2,)]


def test_who_keeps_a_lock_that_no_step_named_is_told(family, runner, tmp_path):
    body = "migrator.migrate(migrator.drop_column('members', 'a'))\n" + INSERT
    run, _ = runner(body, 0.5)
    run.backup = True
    with family.connected(application_name="reporting") as other:
        other.execute("UPDATE members SET a = 7")
        other.execute("BEGIN")
        other.execute("SELECT * FROM meetings FOR UPDATE")
        with pytest.raises(DatabaseLocked, match="reporting"):
            run.up()
    assert not [file for file in (tmp_path / "backups").rglob("*") if file.is_file()]
    assert len(run.up().outcomes) == 1
    assert len([file for file in (tmp_path / "backups").rglob("*") if file.is_file()]) == 2


def test_a_lock_of_a_table_that_nothing_names_is_told_plainly(family, runner):
    """Only the text that EXECUTE puts together names the table."""
    run, _ = runner(
        'migrator.migrate(migrator.sql("DO $$ BEGIN IF EXISTS (SELECT FROM pg_locks WHERE '
        "relation = to_regclass('public.meet' || 'ings')) THEN EXECUTE 'LOCK public.meet' || "
        "'ings'; END IF; END $$\"))",
        0.5,
    )
    with family.connected() as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM meetings")
        with pytest.raises(UnforeseenLock, match="that no step names: waited 0.2 s for .* by: DO"):
            run.up()
    assert run.up().outcomes
