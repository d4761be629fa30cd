from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from guarded.backends.sqlite.connect import SqliteFile, UnusableDatabase, locate
from server.settings import DEFAULT_DATABASE, database_location
from tests.conftest import ROOT, as_unprivileged


@pytest.mark.parametrize(
    ("location", "path"),
    [
        pytest.param("a.sqlite", "a.sqlite", id="path"),
        pytest.param("/d/a b.sqlite", "/d/a b.sqlite", id="absolute path"),
        pytest.param("sqlite:///d/a.sqlite", "d/a.sqlite", id="relative URL"),
        pytest.param("sqlite:////d/a.sqlite", "/d/a.sqlite", id="absolute URL"),
        pytest.param("SQLite:////d/a%20b.sqlite", "/d/a b.sqlite", id="quoted URL"),
        pytest.param("C:\\d\\a.sqlite", "C:\\d\\a.sqlite", id="a drive is no scheme"),
    ],
)
def test_a_location_names_a_file(location, path):
    assert locate(location).path == Path(path)


@pytest.mark.parametrize(
    ("location", "says"),
    [
        pytest.param("postgresql://u:secret@h/db", "not supported", id="another database"),
        pytest.param("sqlite://host/db", "names a host", id="a host"),
        pytest.param(":memory:", "names no file", id="memory"),
        pytest.param("sqlite:///", "names no file", id="empty URL"),
        pytest.param("sqlite:///:memory:", "names no file", id="memory URL"),
    ],
)
def test_a_location_that_names_no_file_is_refused(location, says):
    with pytest.raises(UnusableDatabase, match=says) as caught:
        locate(location)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "location"),
    [
        pytest.param({"DATABASE_URL": "a", "DB_PATH": "b"}, "a", id="URL first"),
        pytest.param({"DB_PATH": "b"}, "b", id="then the path"),
        pytest.param({"DATABASE_URL": ""}, str(DEFAULT_DATABASE), id="empty is not set"),
    ],
)
def test_environment_says_where_the_database_is(environ, location):
    assert database_location(environ) == location


def test_reading_gives_none_and_makes_nothing_while_there_is_no_file(path):
    with SqliteFile(path).reading() as connection:
        assert connection is None
    assert not path.exists()


def fill(path: Path, journal_mode: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    connection.close()


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_reading_changes_no_byte(path, journal_mode):
    fill(path, journal_mode)
    before = path.read_bytes()
    with SqliteFile(path).reading() as connection:
        assert connection.execute("SELECT * FROM t").fetchall() == [(1,)]
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("INSERT INTO t VALUES (2)")
    assert path.read_bytes() == before


def test_reading_sees_what_is_only_in_the_log_of_another_process(path):
    fill(path, "wal")
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("INSERT INTO t VALUES (2)")
    with SqliteFile(path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (2,)
    writer.close()


READ = (
    "import sys; from pathlib import Path; from server.db.connection import *\n"
    "try:\n"
    "    with SqliteFile(Path(sys.argv[1])).reading() as c:\n"
    "        print(c.execute('SELECT count(*) FROM t').fetchone()[0])\n"
    "except UnusableDatabase as exc:\n"
    "    print(exc)\n"
)


def read_as_unprivileged(path: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT)},
        **as_unprivileged(),
    )
    return done.stdout.strip() or done.stderr


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_reading_needs_no_permission_to_write(path, journal_mode):
    fill(path, journal_mode)
    path.chmod(0o444)
    path.parent.chmod(0o555)
    assert read_as_unprivileged(path) == "1"


def test_reading_says_that_the_file_may_not_be_read(path):
    fill(path, "delete")
    path.chmod(0o000)
    assert "may not be read by this user" in read_as_unprivileged(path)


def test_reading_recovers_what_a_killed_process_left(path):
    fill(path, "delete")
    code = (
        "import sqlite3, os, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1')\n"
        "c.execute('BEGIN')\n"
        "c.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 9999)"
        " INSERT INTO t SELECT i FROM n')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)])
    assert path.with_name(path.name + "-journal").stat().st_size
    with SqliteFile(path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(lambda p: p.mkdir(), "is a directory", id="a directory"),
        pytest.param(lambda p: p.write_bytes(b"x" * 4096), "not an SQLite database", id="text"),
        pytest.param(lambda p: p.parent.rmdir(), "does not exist", id="no folder"),
    ],
)
def test_reading_names_what_is_wrong_with_the_file(tmp_path, prepare, says):
    path = tmp_path / "d" / "a.sqlite"
    path.parent.mkdir()
    prepare(path)
    with pytest.raises(UnusableDatabase, match=says), SqliteFile(path).reading():
        pass


def test_an_empty_file_is_an_empty_database(path):
    path.touch()
    with SqliteFile(path).reading() as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert path.stat().st_size == 0
