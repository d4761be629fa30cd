"""Nobody queues behind a run that waits: it asks for its locks for a moment, again and again."""

from __future__ import annotations

import threading
import time

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.errors import DatabaseLocked
from guarded.patience import Patience
from guarded.run import Runner
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


def test_a_lock_that_no_step_foresaw_is_told_as_a_lock(server, runner):
    with server.connected() as writer:
        writer.execute("BEGIN")
        writer.execute("UPDATE meetings SET title = 'b'")
        body = (
            "migrator.migrate(migrator.add_column('other', 'm', IntegerField(null=True)),"
            " migrator.add_foreign_key_constraint('other', 'm', 'meetings', 'id'))"
        )
        run, _ = runner(body, 0.5)
        started = time.monotonic()
        with pytest.raises(DatabaseLocked):
            run.up()
        assert time.monotonic() - started < 5
        writer.execute("COMMIT")
    assert run.up().outcomes
