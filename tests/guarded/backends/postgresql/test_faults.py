"""Whatever is killed, the database is wholly before or wholly after, and a plain run finishes.

FAULTS=full in the environment tries many more points; `make test-postgres` sets it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from guarded.backends.interface import Patience
from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.backends.postgresql.definitions import definitions
from guarded.errors import DatabaseLocked
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests import postgres
from tests.conftest import MIGRATE, migration

KILLS = 100 if postgres.FULL else 6
CRASHES = 100 if postgres.FULL else 3
ROUNDS = 10 if postgres.FULL else 1
MEETINGS = 5000
TEMPLATE = "populated"


def populate(connection: psycopg.Connection) -> None:
    connection.execute(
        f"""
        INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time)
            SELECT 'mtg_' || i, 'Meeting ' || i, 'user_' || i % 97, now(), now()
            FROM generate_series(1, {MEETINGS}) AS i;
        INSERT INTO meeting_participants (meeting_id, user_id)
            SELECT 'mtg_' || i, 'user_' || (i + k) % 97
            FROM generate_series(1, {MEETINGS}) AS i, generate_series(0, 3) AS k;
        """
    )


def look(server: PostgresqlServer) -> tuple:
    """All that the database holds, but for when a migration ran."""
    with server.connected() as connection:
        made = {tuple(definition) for definition in definitions(connection.execute)}
        tables = [name for kind, _, name, _ in made if kind == "table"]
        rows = {
            table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            for table in tables
        }
        invitees = None
        if "meeting_participants" not in tables:
            query = "SELECT sum(length(invited_participants)) FROM meetings"
            invitees = connection.execute(query).fetchone()
        return made, rows, invitees


class World:
    """A server of its own with 5,000 meetings before migration 4, copied for each trial."""

    def __init__(self, running: postgres.Server) -> None:
        self.running = running
        with running.connect() as connection:
            connection.execute(f"CREATE DATABASE {TEMPLATE} TEMPLATE template0")
        source = locate(running.url(TEMPLATE))
        Runner(PROJECT, source, backup=False).up(MIGRATIONS[2])
        with source.connected() as connection:
            populate(connection)
        self.before = look(source)
        server = self.fresh()
        started = time.monotonic()
        Runner(PROJECT, server, backup=False, keep=False).up()
        self.seconds = time.monotonic() - started
        self.after = look(server)

    def fresh(self) -> PostgresqlServer:
        with self.running.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS trial WITH (FORCE)")
            connection.execute(f"CREATE DATABASE trial TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        return locate(self.running.url("trial"))

    def finish(self, server: PostgresqlServer) -> None:
        """Before or after; and a plain run finishes."""
        assert look(server) in (self.before, self.after)
        Runner(PROJECT, server, backup=False, keep=False).up()
        assert look(server) == self.after


@pytest.fixture(scope="module")
def world(request):
    binaries = request.config.getoption("--postgres")
    with postgres.running(binaries and postgres.Path(binaries)) as running:
        yield World(running)


def run_in_a_fork(server: PostgresqlServer) -> int:
    """A child process that migrates: a fork is quicker than a new Python."""
    child = os.fork()
    if child == 0:
        os.close(1)
        os.close(2)
        try:
            Runner(PROJECT, server, backup=False, keep=False).up()
        finally:
            os._exit(0)
    return child


@pytest.mark.parametrize("point", range(KILLS))
def test_a_runner_killed_at_any_time_leaves_before_or_after(world, count_fault, point):
    server = world.fresh()
    postgres.kill(run_in_a_fork(server), world.seconds * 1.2 * point / KILLS)
    world.finish(server)
    count_fault("a kill of the runner, PostgreSQL with 5,000 meetings")


@pytest.mark.parametrize("point", range(CRASHES))
def test_a_server_killed_at_any_time_comes_back_before_or_after(world, count_fault, point):
    server = world.fresh()
    postgres.kill(run_in_a_fork(server), world.seconds * 1.2 * point / CRASHES, world.running)
    world.finish(server)
    count_fault("a crash of PostgreSQL with 5,000 meetings")


def test_a_runner_whose_server_goes_away_says_it_in_one_line(world):
    server = world.fresh()
    command = [sys.executable, str(MIGRATE), "--database", str(server), "up", "--no-backup"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with world.running.connect() as connection:
            query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
            while process.poll() is None and connection.execute(query).fetchone() == (0,):
                time.sleep(0.005)
        world.running.kill()
        _, errors = process.communicate(timeout=90)
    world.running.start()
    assert process.returncode in (0, 2), errors
    if process.returncode:
        assert errors.startswith("error: ") and len(errors.splitlines()) == 1
    world.finish(server)


@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_eight_runners_at_once_one_works(postgres_url, count_fault, round_):
    command = [sys.executable, str(MIGRATE), "--database", postgres_url, "--wait", "120"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    results = [(*process.communicate(), process.returncode) for process in processes]
    assert [status for _, _, status in results] == [0] * 8, results
    assert sorted("committed" in out for out, _, _ in results) == [False] * 7 + [True]
    with locate(postgres_url).connected() as connection:
        history = connection.execute("SELECT migration, direction FROM schema_history ORDER BY id")
        assert history.fetchall() == [(name, "up") for name in MIGRATIONS]
        assert connection.execute('SELECT count(*) FROM "ServerSettings"').fetchone() == (1,)
    count_fault("runners on PostgreSQL, of which eight start at once", 8)


class Bystander:
    """Reads the table again and again, and measures how long it waits."""

    def __init__(self, server: PostgresqlServer, table: str) -> None:
        self.longest, self._stop = 0.0, threading.Event()
        self._arguments = server, table
        self._thread = threading.Thread(target=self._read)

    def _read(self) -> None:
        server, table = self._arguments
        with server.connected() as connection:
            while not self._stop.wait(0.01):
                started = time.monotonic()
                connection.execute(f"SELECT count(*) FROM {table}").fetchall()
                self.longest = max(self.longest, time.monotonic() - started)

    def __enter__(self) -> Bystander:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def busy(postgres_url, make_project):
    """A table with an idle reader, and a migration that alters it."""
    server = locate(postgres_url)
    with server.connected() as connection:
        connection.execute("CREATE TABLE busy (id int PRIMARY KEY); INSERT INTO busy VALUES (1)")
    body = "migrator.migrate(migrator.add_column('busy', 'note', CharField(null=True)))"
    return server, make_project({"a": migration(body)})


def test_nobody_queues_behind_a_run_that_waits_for_an_idle_reader(busy):
    server, project = busy
    told: list[str] = []
    with (
        server.connected(application_name="the idle one") as idle,
        idle.transaction(),
        Bystander(server, "busy") as bystander,
    ):
        idle.execute("SELECT * FROM busy")
        runner = Runner(project, server, Patience(4, told.extend), backup=False)
        started = time.monotonic()
        with pytest.raises(
            DatabaseLocked, match="the idle one, idle in transaction since"
        ) as raised:
            runner.up()
        waited = time.monotonic() - started
    assert "SELECT * FROM busy" in str(raised.value) and "the idle one" in told[0]
    assert 3 < waited < 9
    assert bystander.longest < 0.5
    runner.up()


def test_a_run_goes_on_as_soon_as_the_reader_ends(busy):
    server, project = busy
    with server.connected() as idle:
        idle.execute("BEGIN")
        idle.execute("SELECT * FROM busy")
        threading.Timer(2, lambda: idle.execute("COMMIT")).start()
        done = Runner(project, server, Patience(60), backup=False).up()
    assert [outcome.name for outcome in done.outcomes] == ["a"]


def test_a_second_runner_gives_up_and_says_who_works(postgres_url):
    server = locate(postgres_url)
    runner = Runner(PROJECT, server, Patience(0.3), backup=False)
    with (
        server.transaction(Patience(1), lambda: None),
        pytest.raises(DatabaseLocked, match=r"pid \d+ \(postgres, guarded"),
    ):
        runner.up()
    assert not runner.state().entries
