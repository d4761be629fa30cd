"""A killed run leaves the file wholly before or wholly after, and a plain run finishes.

FAULTS=full in the environment tries many more points; `make faults` sets it.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.conftest import MIGRATE, copy_legacy, populate, row_counts, schema_of

FULL = os.environ.get("FAULTS") == "full"
KILLS = 200 if FULL else 20
ROUNDS = 10 if FULL else 1


@pytest.fixture(scope="module")
def populated(tmp_path_factory):
    """after3 with 5,000 meetings of four participants each, and what it looks like when done."""
    folder = tmp_path_factory.mktemp("populated")
    path = copy_legacy("after3", folder / "before.sqlite")
    populate(path, 5000)
    done = shutil.copyfile(path, folder / "after.sqlite")
    started = time.monotonic()
    Runner(PROJECT, SqliteFile(done)).up()
    return path, look(path), look(done), time.monotonic() - started


def look(path):
    """All that the file holds, but for when a migration ran."""
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    found = schema_of(connection), row_counts(connection), invitees(connection)
    connection.close()
    return found


def invitees(connection):
    columns = [row[1] for row in connection.execute("PRAGMA table_info(meetings)")]
    if "invited_participants" not in columns:
        return None
    return connection.execute("SELECT total(length(invited_participants)) FROM meetings").fetchone()


def run_in_a_fork(path):
    """A child process that migrates: a fork is quicker than a new Python."""
    child = os.fork()
    if child == 0:
        os.close(1)
        try:
            Runner(PROJECT, SqliteFile(path)).up()
        finally:
            os._exit(0)
    return child


@pytest.mark.parametrize("point", range(KILLS))
def test_a_run_killed_at_any_time_is_finished_by_the_next(populated, path, count_fault, point):
    source, before, after, duration = populated
    shutil.copyfile(source, path)
    child = run_in_a_fork(path)
    time.sleep(duration * 1.2 * point / KILLS)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert look(path) in (before, after)
    Runner(PROJECT, SqliteFile(path)).up()
    assert look(path) == after
    count_fault("a kill at any time, with 5,000 meetings")


@pytest.mark.parametrize("start", ["empty", "after3"])
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_of_eight_runners_at_once_one_works(path, count_fault, start, round_):
    if start != "empty":
        copy_legacy(start, path)
    command = [sys.executable, str(MIGRATE), "--database", str(path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    results = [(*process.communicate(), process.returncode) for process in processes]
    assert [status for _, _, status in results] == [0] * 8, results
    assert sorted("committed" in out for out, _, _ in results) == [False] * 7 + [True]
    connection = sqlite3.connect(path)
    history = connection.execute("SELECT migration, direction FROM schema_history ORDER BY id")
    assert history.fetchall() == [(name, "up") for name in MIGRATIONS]
    assert connection.execute("SELECT count(*) FROM ServerSettings").fetchone() == (1,)
    connection.close()
    count_fault("runners, of which eight start at once", 8)
