from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from guarded.backends.interface import Patience
from guarded.backends.sqlite import backup
from guarded.backends.sqlite.connect import SqliteFile
from guarded.backends.sqlite.restore import restore
from guarded.errors import (
    BackupFailed,
    DatabaseLocked,
    MigrationFailed,
    RestoreRefused,
)
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import copy_legacy, migration, row_counts, schema_of
from tests.guarded.test_run import ADD, CREATE


def quiet(*_):
    pass


@pytest.fixture
def runner(path):
    return Runner(PROJECT, SqliteFile(path), Patience(1))


def put_back(file, path, wait=1.0):
    return restore(PROJECT, file, SqliteFile(path), Patience(wait), quiet)


def content(connection):
    tables = row_counts(connection)
    rows = {t: sorted(connection.execute(f'SELECT * FROM "{t}"'), key=repr) for t in tables}
    return schema_of(connection), rows


# Taking one.


def test_every_run_that_changes_something_takes_a_backup_first(runner, path, connect):
    copy_legacy("after3", path)
    before = content(connect())
    done = runner.up()
    assert backup.backups_of(path) == [done.backup]
    assert content(connect(done.backup)) == before
    assert {entry.backup for entry in runner.state().entries} == {str(done.backup)}
    assert runner.up().backup is None
    assert len(backup.backups_of(path)) == 1


def test_an_empty_database_gets_no_backup_and_neither_does_a_run_without(
    path, make_project, make_runner
):
    runner = make_runner({"create": CREATE})
    assert runner.up().backup is None
    runner = Runner(make_project({"create": CREATE, "add": ADD}), SqliteFile(path), backup=False)
    assert runner.up().outcomes
    assert runner.up().backup is None
    assert backup.backups_of(path) == []


def test_a_backup_is_for_the_owner_alone(runner, path):
    copy_legacy("after3", path)
    if os.geteuid() == 0:
        os.chown(path, 1234, 2345)
    done = runner.up()
    status = done.backup.stat()
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert (status.st_uid, status.st_gid) == (path.stat().st_uid, path.stat().st_gid)
    assert stat.S_IMODE(done.backup.parent.stat().st_mode) == 0o700


def test_the_newest_five_are_kept(path):
    copy_legacy("after1", path)
    taken = []
    for _ in range(7):
        with SqliteFile(path).connected(Patience()) as connection:
            taken.append(backup.take(connection, path, quiet).path)
    not_its_own = [
        backup.folder_of(path) / name
        for name in (
            "other.sqlite.20200101T000000Z",
            f"{path.name}.1-before-the-upgrade-Z",
            f"{path.name}.2.20200101T000000Z",
        )
    ]
    for other in not_its_own:
        other.touch()
    SqliteFile(path).prune_backups(taken[-1])
    assert all(other.exists() for other in not_its_own)
    assert len(set(taken)) == 7
    assert set(backup.backups_of(path)) == {found for found in taken if found.exists()}
    assert len(backup.backups_of(path)) == 5
    assert not taken[0].exists()


def test_a_backup_stays_although_the_clock_was_set_back(path, make_runner):
    copy_legacy("after1", path)
    backup.folder_of(path).mkdir()
    later = [backup.folder_of(path) / f"{path.name}.2099010{n}T000000Z" for n in range(1, 7)]
    for file in later:
        shutil.copyfile(path, file)
    taken = make_runner({"create": CREATE}).up().backup
    assert backup.backups_of(path) == [taken, *later[-4:]]


def test_a_backup_whose_name_is_not_on_the_disk_is_none(path, monkeypatch):
    copy_legacy("after1", path)
    backup.folder_of(path).mkdir()
    fsync = os.fsync

    def fails_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EIO, "the disk failed")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_for_folders)
    with pytest.raises(BackupFailed, match="the disk failed"):
        SqliteFile(path).back_up(Patience(), quiet)
    assert list(backup.folder_of(path).iterdir()) == []


def test_a_run_that_fails_pushes_out_no_backup(path, make_runner):
    files = {"create": CREATE, "fail": migration("1 / 0")}
    copy_legacy("after1", path)
    runner = make_runner(files)
    runner.up("create")
    before = backup.backups_of(path)
    for _ in range(7):
        with pytest.raises(MigrationFailed):
            runner.up()
    assert backup.backups_of(path) == before
    assert len(before) == 1


def test_a_backup_has_what_is_only_in_the_log(runner, path, connect):
    copy_legacy("after3", path)
    writer = connect()
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("INSERT INTO nonce_cache (nonce) VALUES ('in the log')")
    assert path.with_name(path.name + "-wal").stat().st_size
    done = runner.up()
    found = connect(done.backup).execute("SELECT count(*) FROM nonce_cache WHERE nonce LIKE 'in%'")
    assert found.fetchone() == (1,)


def test_a_killed_backup_leaves_files_that_the_next_one_removes(path):
    copy_legacy("after1", path)
    folder = backup.folder_of(path)
    folder.mkdir()
    half = folder / f"{path.name}.20200101T000000Z.partial"
    half.write_bytes(b"half")
    os.utime(half, (0, 0))
    going_on = folder / f"{path.name}.20200101T000001Z.partial"
    going_on.write_bytes(b"of another process")
    with SqliteFile(path).connected(Patience()) as connection:
        taken = backup.take(connection, path, quiet).path
    assert set(folder.iterdir()) == {taken, going_on}


def test_too_little_space_is_reported_before_anything_is_written(path, monkeypatch, runner):
    copy_legacy("after3", path)
    before = path.read_bytes()
    usage = shutil.disk_usage(path.parent)._replace(free=100_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BackupFailed, match=r"needs 1.2 MB, and 0.1 MB are free"):
        runner.up()
    assert path.read_bytes() == before
    assert list(backup.folder_of(path).iterdir()) == []


def test_a_damaged_database_gets_no_backup_and_no_run(path, runner):
    copy_legacy("after3", path)
    with path.open("r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xff" * 4096 * 5)
    with pytest.raises(BackupFailed, match="the database is damaged: .*Page 1.*; restore a backup"):
        runner.up()
    assert list(backup.folder_of(path).iterdir()) == []


def test_progress_ends_with_all_pages(path):
    copy_legacy("after3", path)
    seen = []
    with SqliteFile(path).connected(Patience()) as connection:
        backup.take(connection, path, lambda done, total: seen.append((done, total)))
    assert seen[-1] == (46, 46)


# Putting one back.


def test_restore_brings_back_schema_and_rows(runner, path, connect):
    copy_legacy("after3", path)
    before = content(connect())
    taken = runner.up().backup
    after = content(connect())
    aside = put_back(taken, path)
    assert content(connect()) == before
    assert content(connect(aside)) == after
    assert runner.up().outcomes


SERVER = (
    "import sqlite3, sys\n"
    "c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)\n"
    "print(c.execute('SELECT count(*) FROM meetings').fetchone(), flush=True)\n"
    "for line in sys.stdin:\n"
    "    print(c.execute(line).fetchall(), flush=True)\n"
)


@pytest.fixture
def server(path):
    """A process that has the database open, as a server has, and runs what it is told."""
    processes = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout.readline() == "(20,)\n"

        def ask(sql):
            process.stdin.write(sql + "\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        ask.process = process
        return ask

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_server_that_has_the_file_open_sees_what_was_restored(runner, path, server, connect):
    copy_legacy("after3", path)
    taken = runner.up().backup
    ask = server()
    put_back(taken, path)
    assert ask("SELECT count(*) FROM meeting_participants") == "[(61,)]"
    assert ask("INSERT INTO nonce_cache (nonce) VALUES ('after')") == "[]"
    found = connect().execute("SELECT count(*) FROM nonce_cache WHERE nonce = 'after'")
    assert found.fetchone() == (1,)


def test_restore_names_a_server_that_has_a_transaction_open(runner, path, server):
    copy_legacy("after3", path)
    taken = runner.up().backup
    before = path.read_bytes()
    ask = server()
    ask("BEGIN")
    ask("SELECT count(*) FROM meetings")
    with pytest.raises(DatabaseLocked, match=f"by process {ask.process.pid} "):
        put_back(taken, path, wait=0.1)
    assert path.read_bytes() == before


def test_an_old_log_does_not_spoil_the_restored_database(runner, path, server, connect):
    """A server with a write-ahead log was killed and left it; the database is restored."""
    copy_legacy("after3", path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        before = content(connection)
    taken = runner.up().backup
    ask = server()
    ask("UPDATE meetings SET title = 'only in the log'")
    ask.process.kill()
    ask.process.wait()
    assert path.with_name(path.name + "-wal").stat().st_size
    put_back(taken, path)
    assert content(connect()) == before
    assert connect().execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_restore_is_refused_while_a_server_has_the_log_open(runner, path, server):
    copy_legacy("after3", path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    taken = runner.up().backup
    ask = server()
    with pytest.raises(DatabaseLocked, match=f"by process {ask.process.pid} "):
        put_back(taken, path, wait=0.1)


def test_restore_where_there_is_no_database_any_more(runner, path, connect):
    copy_legacy("after3", path)
    taken = runner.up().backup
    path.unlink()
    path.with_name(path.name + "-wal").write_bytes(b"of another file")
    aside = put_back(taken, path)
    assert row_counts(connect())["meetings"] == 20
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"of another file"


def test_restore_over_a_database_with_a_damaged_page(runner, path, connect):
    copy_legacy("after3", path)
    with SqliteFile(path).connected(Patience()) as connection:
        taken = backup.take(connection, path, quiet).path
    good = content(connect())
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(8192))
    damaged = path.read_bytes()
    aside = put_back(taken, path)
    assert content(connect()) == good
    assert aside.read_bytes() == damaged


def test_restore_over_a_file_that_is_no_database(runner, path, connect):
    copy_legacy("after3", path)
    path.chmod(0o640)
    taken = runner.up().backup
    path.write_bytes(b"scrambled" * 1000)
    aside = put_back(taken, path)
    assert aside.read_bytes() == b"scrambled" * 1000
    assert row_counts(connect())["meetings"] == 20
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def spoil(file: Path, kind: str) -> Path:
    if kind == "truncated":
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2)
    elif kind == "damaged":
        with file.open("r+b") as opened:
            opened.seek(4096 * 10)
            opened.write(b"\xff" * 4096 * 5)
    elif kind == "text":
        file.write_text("no database" * 1000)
    elif kind == "foreign":
        file.unlink()
        connection = sqlite3.connect(file)
        connection.execute("CREATE TABLE meetings (a)")  # no more of ours than a name
        connection.close()
    elif kind == "future":
        connection = sqlite3.connect(file)
        connection.execute(
            "CREATE TABLE schema_history AS SELECT 1 AS id, 'add_video' AS migration, 'up' AS "
            "direction, '' AS checksum, '' AS at, 0 AS duration_ms, '' AS versions, NULL AS "
            "backup, '[]' AS made"
        )
        connection.commit()
        connection.close()
    elif kind == "missing":
        file.unlink()
    elif kind == "copied in a write":
        file.with_name(file.name + "-journal").write_bytes(b"hot")
    return file


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        pytest.param("truncated", "malformed|damaged", id="truncated"),
        pytest.param("damaged", "the database is damaged", id="damaged"),
        pytest.param("text", "file is not a database", id="text"),
        pytest.param("foreign", "none of this application's tables", id="foreign"),
        pytest.param("future", "does not list 'add_video'; update the code first", id="future"),
        pytest.param("missing", "there is no such file", id="missing"),
        pytest.param("copied in a write", "in the middle of a write", id="with a journal"),
    ],
)
def test_a_bad_backup_is_refused_and_nothing_is_touched(runner, path, kind, says):
    copy_legacy("after3", path)
    taken = spoil(runner.up().backup, kind)
    before = path.read_bytes(), sorted(path.parent.rglob("*"))
    with pytest.raises(RestoreRefused, match=f"was not restored: .*{says}"):
        put_back(taken, path)
    assert (path.read_bytes(), sorted(path.parent.rglob("*"))) == before


def test_the_database_is_no_backup_of_itself(path):
    copy_legacy("after3", path)
    with pytest.raises(RestoreRefused, match="it is the database itself"):
        put_back(path, path)


def test_what_a_killed_restore_left_is_no_obstacle(runner, path, connect):
    copy_legacy("after3", path)
    before = content(connect())
    taken = runner.up().backup
    for name in (".restoring", ".restoring.partial"):
        path.with_name(f"{path.name}{name}").write_bytes(b"half a copy")
    put_back(taken, path)
    assert content(connect()) == before
    assert not list(path.parent.glob("*.restoring*"))


def test_a_killed_restore_leaves_the_database_as_it_was_or_as_it_shall_be(runner, path, connect):
    copy_legacy("after3", path)
    before = content(connect())
    taken = runner.up().backup
    after = content(connect())
    for wait in (0, 0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02):
        child = os.fork()
        if child == 0:
            put_back(taken, path)
            os._exit(0)
        time.sleep(wait)
        os.kill(child, 9)
        os.waitpid(child, 0)
        assert content(connect()) in (before, after)
    put_back(taken, path)
    assert content(connect()) == before
