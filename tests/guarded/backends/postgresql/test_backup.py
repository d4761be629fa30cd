"""Dumps: whole, private, and without a password in sight."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
import time
from pathlib import Path

import pytest

from guarded.backends.interface import Origin, Patience
from guarded.backends.postgresql import programs
from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.cli.commands import cli
from guarded.cli.session import Session
from guarded.errors import BackupFailed
from tests.conftest import migration

NOBODY_WAITS = Patience(5)


def quiet(done: int, total: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def server(postgres_url, tmp_path) -> PostgresqlServer:
    found = locate(postgres_url, folder=tmp_path / "data" / "backups")
    with found.connected() as connection:
        connection.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
        connection.execute(
            "INSERT INTO notes SELECT i, 'note ' || i FROM generate_series(1, 500) i"
        )
    return found


def test_a_backup_is_whole_private_and_listed(server):
    taken = server.back_up(NOBODY_WAITS, quiet)
    assert taken.is_whole and stat.S_IMODE(taken.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(server.folder.stat().st_mode) == 0o700
    (copy,) = server.copies()
    assert (copy.path, copy.origin) == (taken.path, Origin.RUN)
    restore = programs.find("pg_restore", server)
    script = programs.run([restore, "-f", "-", str(taken.path)], taken.path)
    assert "500\tnote 500" in script


def test_backups_by_hand_stay_and_those_of_runs_go(server):
    by_hand = server.back_up(NOBODY_WAITS, quiet, by_hand=True)
    taken = [server.back_up(NOBODY_WAITS, quiet).path for _ in range(7)]
    server.prune_backups(taken[-1])
    assert [copy.path for copy in server.copies()] == [by_hand.path, *taken[-5:]]


def test_two_servers_with_a_database_of_one_name_share_no_backup(tmp_path):
    places = ["h1/db", "h2/db", "h1:5433/db", "/db?host=/run/pg", "h1/db%2F"]
    names = {locate(f"postgresql://{place}", folder=tmp_path).file_name for place in places}
    assert len(names) == len(places)
    assert not [name for name in names if "/" in name]


def test_the_password_is_in_no_argument_and_no_message(server, monkeypatch, tmp_path):
    """The program sees the password in a private file, and its arguments don't have it."""
    spy = tmp_path / "spy"
    spy.mkdir()
    real = programs.find("pg_dump", server)
    script = spy / "pg_dump"
    script.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then exec {real} --version; fi\n'
        f'echo "$@" > {spy}/arguments\ncp "$PGPASSFILE" {spy}/passwords\n'
        f'stat -c %a "$PGPASSFILE" > {spy}/mode\nexec {real} "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{spy}{os.pathsep}{os.environ['PATH']}")
    word = "se:cr\\et"
    server.at(password=word).back_up(NOBODY_WAITS, quiet)
    assert "cr" not in (spy / "arguments").read_text().replace("notes", "")
    assert (spy / "passwords").read_text() == f"*:*:{server.parameters['dbname']}:*:se\\:cr\\\\et\n"
    assert (spy / "mode").read_text() == "600\n"


def test_libpq_reads_a_password_that_was_escaped(server, postgres_server):
    """A server that asks for one: the file of passwords works with every character."""
    word = "se:cr\\et @/%"
    hba = postgres_server.folder / "data" / "pg_hba.conf"
    before = hba.read_text()
    with server.connected() as connection:
        connection.execute(f"CREATE ROLE guest LOGIN SUPERUSER PASSWORD '{word}'")
        hba.write_text(f"host all guest 127.0.0.1/32 scram-sha-256\n{before}")
        connection.execute("SELECT pg_reload_conf()")
        try:
            guest = server.at(user="guest", password=word)
            until = time.monotonic() + 5
            while "cr" in str(_failure(server.at(user="guest", password="wrong"))) or (
                _failure(server.at(user="guest", password="wrong")) is None
            ):
                assert time.monotonic() < until, "the server did not read its file anew"
                time.sleep(0.05)
            assert guest.back_up(NOBODY_WAITS, quiet).is_whole
            with pytest.raises(Exception, match="check the user, and the password"):
                server.at(user="guest", password="wrong").connect()
        finally:
            hba.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("DROP ROLE guest")


def _failure(server: PostgresqlServer) -> Exception | None:
    try:
        server.connect().close()
    except Exception as exc:
        return exc
    return None


@pytest.mark.parametrize(
    ("script", "words"),
    [
        pytest.param(None, "there is no pg_dump here: install postgresql-client-", id="none"),
        pytest.param("echo 'pg_dump (PostgreSQL) 9.6.24'", "is of version 9, and the", id="old"),
    ],
)
def test_without_a_pg_dump_that_can_the_package_is_named(
    server, monkeypatch, tmp_path, script, words
):
    if script:
        (tmp_path / "pg_dump").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "pg_dump").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(programs, "FOLDERS", ())
    with pytest.raises(BackupFailed, match=words):
        server.back_up(NOBODY_WAITS, quiet)
    assert not server.folder.exists()


def test_a_dump_that_fails_leaves_nothing(server):
    with server.connected() as connection:
        connection.execute("CREATE ROLE poor LOGIN")
        try:
            with pytest.raises(BackupFailed, match="permission denied for table notes"):
                server.at(user="poor").back_up(NOBODY_WAITS, quiet)
        finally:
            connection.execute("DROP ROLE poor")
    assert list(server.folder.iterdir()) == []


def test_an_interrupted_dump_ends_the_program_and_leaves_nothing(server, monkeypatch):
    def interrupt(self: subprocess.Popen[bytes], *arguments: object, **options: object) -> None:
        pids.append(self.pid)
        raise KeyboardInterrupt

    pids: list[int] = []
    program = programs.find("pg_dump", server)
    assert programs.find("pg_restore", server)
    monkeypatch.setattr(programs, "find", lambda name, server: program)
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        server.back_up(NOBODY_WAITS, quiet)
    assert not Path(f"/proc/{pids[0]}").exists() and list(server.folder.iterdir()) == []


def test_others_write_while_a_dump_is_made(server):
    """The dump is of one moment, and nobody waits for it."""
    stop = threading.Event()
    waits = []

    def write() -> None:
        with server.connected() as connection:
            for number in range(1000, 100_000):
                started = time.monotonic()
                connection.execute("INSERT INTO notes VALUES (%s, 'new')", (number,))
                waits.append(time.monotonic() - started)
                if stop.wait(0.002):
                    return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert server.back_up(NOBODY_WAITS, quiet).is_whole
    finally:
        stop.set()
        writer.join()
    assert len(waits) > 5 and max(waits) < 2


def test_up_says_that_later_changes_of_others_are_not_in_its_backup(server, make_project, capsys):
    project = make_project({"a": migration("db.execute_sql('CREATE TABLE t (id int)')")})
    arguments = ["--database", str(server)]
    cli.main(arguments, obj=Session(project), standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    (place,) = [n for n, line in enumerate(lines) if line.startswith("backup   ")]
    assert lines[place + 1].strip() == ("what others committed between it and the run is not in it")
    (file,) = (project.directory / "backups").iterdir()
    assert file.name in lines[place]
