"""Whatever fails and whenever: wholly before or wholly after, and a plain run finishes.

The tests try some points; `make faults`, which sets FAULTS=full, tries every one and prints how
many were tried.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from peewee import SqliteDatabase

from guarded.backends.sqlite.backup import backups_of
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import MigrationError
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.apsw_driver import File
from tests.conftest import MIGRATE, copy_legacy, populate, row_counts, schema_of
from tests.faulty_disk import CUT, FAIL, FULL, Disk, FaultySystem

EVERYTHING = os.environ.get("FAULTS") == "full"
SOME = 25  # points of each kind, when not everything is tried


@pytest.fixture(scope="module")
def populated(tmp_path_factory):
    """after3 with 400 more meetings, and what it looks like when it is done."""
    folder = tmp_path_factory.mktemp("populated")
    path = copy_legacy("after3", folder / "before.sqlite")
    populate(path, 400)
    done = shutil.copyfile(path, folder / "after.sqlite")
    Runner(PROJECT, SqliteFile(done), backup=False).up()
    return path, look(path), look(done)


def look(path: Path):
    """All that the file holds, but for when a migration ran."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        columns = [row[1] for row in connection.execute("PRAGMA table_info(meetings)")]
        names = ", ".join(columns)
        meetings = connection.execute(f"SELECT {names} FROM meetings ORDER BY 1").fetchall()
        return schema_of(connection), row_counts(connection), meetings


def points(count: int) -> list[int]:
    """Every point, or some that are spread over all of them, the first and the last included."""
    if EVERYTHING or count <= SOME:
        return list(range(1, count + 1))
    return sorted({1 + round(i * (count - 1) / (SOME - 1)) for i in range(SOME)})


def in_a_child(work) -> int:
    """Run in a fork; 0 when it worked, 2 for one of our errors, else how it died."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except MigrationError:
            status = 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.fixture
def survived(populated, path, count_fault):
    """Check the file after a fault, finish the job, and count the point."""

    def check(kind: str, *, done: bool) -> None:
        _, before, after = populated
        assert look(path) in ([after] if done else [before, after])
        Runner(PROJECT, SqliteFile(path), backup=False).up()
        assert look(path) == after
        count_fault(kind)

    return check


def run_on(disk: Disk, path: Path) -> None:
    system = FaultySystem("faulty", disk)
    Runner(PROJECT, File(path, system.name, cache_size=10), backup=False).up()


@pytest.mark.parametrize("kind", [FAIL, FULL, CUT])
def test_a_run_survives_a_fault_of_the_disk(populated, path, survived, kind):
    shutil.copyfile(populated[0], path)
    count = Disk()
    run_on(count, path)
    assert count.done > 200
    for point in points(count.done):
        shutil.copyfile(populated[0], path)
        status = in_a_child(lambda point=point: run_on(Disk(kind, point), path))
        assert status in ((9,) if kind == CUT else (0, 2)), f"point {point} of {count.done}"
        survived(f"the disk {kind}", done=status == 0)


def run_until(statement: int, path: Path) -> int:
    """Run, and kill this process before a statement; gives how many statements there are."""
    execute_sql = SqliteDatabase.execute_sql
    count = 0

    def counting(self, sql, params=None):
        nonlocal count
        count += 1
        if count == statement:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute_sql(self, sql, params)

    SqliteDatabase.execute_sql = counting
    try:
        Runner(PROJECT, SqliteFile(path), backup=False).up()
    finally:
        SqliteDatabase.execute_sql = execute_sql
    return count


def test_a_run_killed_between_two_statements_is_finished_by_the_next(populated, path, survived):
    shutil.copyfile(populated[0], path)
    count = run_until(0, path)
    assert count > 10
    for point in points(count):
        shutil.copyfile(populated[0], path)
        assert in_a_child(lambda point=point: run_until(point, path)) == -signal.SIGKILL
        survived("a kill between two statements", done=False)


WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
number = 0
while True:
    connection.execute("INSERT INTO nonce_cache (nonce) VALUES (?)", (f"live {number}",))
    print(number, flush=True)
    number += 1
    time.sleep(0.002)
"""
READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
while True:
    rows = connection.execute("SELECT count(*) FROM meetings").fetchone()[0]
    assert rows == 420, rows
    print(rows, flush=True)
"""


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_runners_beside_a_live_writer_and_a_live_reader(populated, path, count_fault, journal_mode):
    shutil.copyfile(populated[0], path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    live = [
        subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
        for code in (WRITER, READER)
    ]
    for process in live:
        process.stdout.readline()
    runners = [
        subprocess.Popen(
            [sys.executable, str(MIGRATE), "--database", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(10)
    ]
    results = [(process.communicate()[0], process.returncode) for process in runners]
    time.sleep(0.1)
    assert [process.poll() for process in live] == [None, None]
    for process in live:
        process.kill()
    acknowledged = [int(line) for line in live[0].communicate()[0].splitlines()]
    live[1].communicate()
    assert [status for _, status in results] == [0] * 10, results
    assert sum("committed " in out for out, _ in results) == 1
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT nonce FROM nonce_cache WHERE nonce LIKE 'live %'")
        assert {f"live {number}" for number in acknowledged} <= {row[0] for row in found}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        history = connection.execute("SELECT migration FROM schema_history ORDER BY id")
        assert [row[0] for row in history] == MIGRATIONS
    count_fault("rows of a live writer", len(acknowledged))


# A file system that is too small.

CAN_MOUNT = sys.platform == "linux" and os.geteuid() == 0


@pytest.fixture
def small_disk(tmp_path):
    """A function that gives a folder on a file system with this many bytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = []

    def make(size: int) -> Path:
        if mounted:
            subprocess.run(["umount", folder], check=True)
            mounted.clear()
        options = ["-t", "tmpfs", "-o", f"size={size}"]
        subprocess.run(["mount", *options, "none", folder], check=True)
        mounted.append(size)
        return folder

    yield make
    if mounted:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.skipif(not (EVERYTHING and CAN_MOUNT), reason="needs root and `make faults`")
def test_a_run_survives_a_full_file_system(populated, small_disk, count_fault):
    """From just the size of the database to enough for the run: in the run, and at COMMIT."""
    source, before, after = populated
    size = source.stat().st_size
    page = os.sysconf("SC_PAGE_SIZE")
    seen = set()
    for extra in range(0, 2 * size, 2 * page):
        path = small_disk(size + extra) / "meetings.sqlite"
        shutil.copyfile(source, path)
        file = File(path, cache_size=10)
        status = in_a_child(lambda file=file: Runner(PROJECT, file, backup=False).up())
        assert status in (0, 2)
        seen.add(status)
        assert look(path) in ([after] if status == 0 else [before, after])
        count_fault("a full file system")
    assert seen == {0, 2}


@pytest.mark.skipif(not (EVERYTHING and CAN_MOUNT), reason="needs root and `make faults`")
def test_a_backup_that_fills_the_file_system_leaves_nothing(populated, small_disk, monkeypatch):
    """The check of the free space is fooled, as by another process that writes meanwhile."""
    source, before, _ = populated
    size = source.stat().st_size
    usage = shutil.disk_usage(source.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    for extra in range(0, size, 8 * 4096):
        path = small_disk(size + extra) / "meetings.sqlite"
        shutil.copyfile(source, path)
        with suppress(MigrationError):
            Runner(PROJECT, SqliteFile(path)).up()
        assert look(path) == before
        assert backups_of(path) == []
        assert [p.name for p in path.parent.iterdir()] in (
            ["backups", path.name],
            [path.name, "backups"],
        )
