"""Whatever is killed while a database moves, the target is empty or whole, and the source is as it
was.

FAULTS=full in the environment tries many more points; `make test-postgres` sets it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import time
from contextlib import closing

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.backends.sqlite.connect import SqliteFile
from guarded.operate.move import move
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests import postgres
from tests.conftest import copy_legacy, populate

KILLS = 50 if postgres.FULL else 5
CRASHES = 20 if postgres.FULL else 2
MEETINGS = 3000


def look(server):
    """The number of rows by table."""
    with server.connected() as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' "
            "AND relnamespace = 'public'::regnamespace"
        )
        return {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
            for (name,) in rows.fetchall()
        }


class World:
    """A server of its own, and a file of the former server with 3,000 meetings more."""

    def __init__(self, running, path):
        self.running, self.path = running, path
        copy_legacy("after3", path)
        populate(path, MEETINGS)
        self.content = path.read_bytes()
        server = self.fresh()
        started = time.monotonic()
        self.move(server)
        self.seconds = time.monotonic() - started
        self.whole = look(server)
        with closing(sqlite3.connect(path)) as connection:
            (self.meetings,) = connection.execute("SELECT count(*) FROM meetings").fetchone()

    def fresh(self):
        with self.running.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS trial WITH (FORCE)")
            connection.execute("CREATE DATABASE trial TEMPLATE template0")
        return locate(self.running.url("trial"))

    def move(self, server):
        return move(Runner(PROJECT, SqliteFile(self.path)), server)

    def in_a_fork(self, server):
        child = os.fork()
        if child == 0:
            os.close(1)
            os.close(2)
            try:
                self.move(server)
            finally:
                os._exit(0)
        return child

    def finish(self, server):
        """Empty or whole; and a move again finishes what is empty."""
        assert self.path.read_bytes() == self.content
        for left in self.path.parent.glob(".rehearsal-*"):
            shutil.rmtree(left)
        found = look(server)
        assert found in ({}, self.whole)
        if not found:
            self.move(server)
        assert look(server) == self.whole
        assert self.whole["meetings"] == self.meetings
        assert list(self.path.parent.iterdir()) == [self.path]


@pytest.fixture(scope="module")
def world(request, tmp_path_factory):
    binaries = request.config.getoption("--postgres")
    with postgres.running(binaries and postgres.Path(binaries)) as running:
        yield World(running, tmp_path_factory.mktemp("move") / "meetings.sqlite")


@pytest.mark.parametrize("point", range(KILLS))
def test_a_move_killed_at_any_time_leaves_nothing_or_all(world, count_fault, point):
    server = world.fresh()
    postgres.kill(world.in_a_fork(server), world.seconds * 1.2 * point / KILLS)
    world.finish(server)
    count_fault("a kill of a move to PostgreSQL with 3,000 meetings")


@pytest.mark.parametrize("point", range(CRASHES))
def test_a_target_killed_at_any_time_comes_back_empty_or_whole(world, count_fault, point):
    server = world.fresh()
    postgres.kill(world.in_a_fork(server), world.seconds * 1.2 * point / CRASHES, world.running)
    world.finish(server)
    count_fault("a crash of PostgreSQL in a move of 3,000 meetings")


def test_ctrl_c_leaves_nothing(world):
    server = world.fresh()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            world.move(server)
        except KeyboardInterrupt:
            os._exit(7)
        finally:
            os._exit(0)
    time.sleep(world.seconds / 2)
    os.kill(child, signal.SIGINT)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 7
    assert look(server) == {} and list(world.path.parent.iterdir()) == [world.path]
