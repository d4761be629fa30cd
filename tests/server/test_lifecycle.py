"""The server as a process: it starts, waits for a schema, and ends."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from server import __version__
from server.migrations.migrate import MIGRATIONS
from server.settings import BadSetting, settings
from tests.conftest import MIGRATE, ROOT, as_unprivileged
from tests.server.world import MEETING, free_port, migrate


def test_it_waits_for_a_current_schema_and_never_migrates(serve, path):
    api = serve()
    answer = api.until(503)
    assert answer.body["error"]["pending"] == MIGRATIONS
    assert answer.body["error"]["command"] == "cd server && python migrations/migrate.py"
    assert answer.headers["Retry-After"] == "1"
    assert api("GET", "/healthz")[:2] == (200, {"status": "alive"})
    assert api("GET", "/settings").code == "not_ready"
    assert not path.exists()

    migrate(path)
    ready = api.until(200, seconds=2)
    assert ready.body == {"status": "ready", "migration": MIGRATIONS[-1]}
    assert api("GET", "/settings").status == 200
    assert api("GET", "/version").body == {
        "version": __version__,
        "sqlite": sqlite3.sqlite_version,
        "migration": MIGRATIONS[-1],
    }
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert not names & {"ExternalSessions", "live_participants"}


def test_it_ends_cleanly_and_takes_its_log_along(api, path):
    api.user().meeting()
    assert path.with_name(path.name + "-wal").stat().st_size
    assert api.stop()[0] == 0
    assert not path.with_name(path.name + "-wal").exists()
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        assert connection.execute("SELECT title FROM meetings").fetchall() == [("Kick-off",)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            "UPDATE schema_history SET migration = 'add_video', checksum = 'x' WHERE id = 5",
            "error: the database is ahead of this code: 'add_video' (applied on",
            id="ahead",
        ),
        pytest.param(
            "UPDATE schema_history SET checksum = 'x' WHERE id = 5",
            "error: 'add_user_links' was edited after it was applied on",
            id="changed",
        ),
    ],
)
def test_what_no_restart_can_mend_ends_with_78(serve, path, change, says):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(change)
    status, log = serve().ended()
    assert status == 78
    assert says in log


def test_a_database_that_gets_ahead_ends_the_server_too(api, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE schema_history SET migration = 'add_video', checksum = 'x' WHERE id = 5"
        )
    status, log = api.ended()
    assert status == 78
    assert "update the code, or restore a backup from before" in log


def test_code_that_changes_beside_it_does_not_end_it(path, tmp_path):
    """A git pull, or a migration that is half written, is not what this process runs."""
    import shutil

    migrate(path)
    clone = tmp_path / "clone"
    shutil.copytree(ROOT / "server", clone / "server")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "server"],
        cwd=clone,
        env={**os.environ, "PYTHONPATH": str(clone), "DB_PATH": str(path), "PORT": str(port)},
        stderr=subprocess.PIPE,
        text=True,
    )

    def status() -> int | None:
        import urllib.error
        import urllib.request

        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                return answer.status
        except urllib.error.HTTPError as exc:
            return exc.code
        except OSError:
            return None

    try:
        for _ in range(100):
            if status() == 200:
                break
            time.sleep(0.1)
        folder = clone / "server" / "migrations"
        (folder / "add_user_links.py").write_text("syntax error(")
        listing = folder / "migrate.py"
        listing.write_text(listing.read_text().replace('"add_hmac_auth",', ""))
        (folder / "add_hmac_auth.py").unlink()
        time.sleep(2.5)
        assert status() == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "Traceback" not in log


def test_a_rehearsal_beside_it_does_not_disturb_it(api, path):
    done = subprocess.run(
        [sys.executable, str(MIGRATE), "--database", str(path), "rehearse"], capture_output=True
    )
    assert done.returncode == 0
    for _ in range(15):
        assert api("GET", "/readyz").status == 200
        time.sleep(0.1)


def test_a_database_that_may_not_be_written_is_waited_for(serve, path):
    migrate(path)
    path.chmod(0o444)
    api = serve(**as_unprivileged())
    answer = api.until(503)
    assert (
        "attempt to write a readonly database; check owner and mode"
        in (answer.body["error"]["message"])
    )
    path.chmod(0o644)
    api.until(200, seconds=3)


def test_a_second_process_is_refused_with_the_reason(api, serve):
    status, log = serve().ended()
    assert status == 78
    assert "another process serves" in log
    assert "guests live in the memory of one process" in log


def test_a_lock_that_root_made_first_is_good_for_every_user(serve, path):
    migrate(path)
    lock = path.with_name(f"{path.name}.serving")
    first = serve().ready()
    assert first.stop()[0] == 0
    assert lock.stat().st_mode & 0o444 == 0o444
    if os.geteuid() == 0:
        os.chown(lock, 65534, 65534)  # whoever serves now may not write it
    serve(**as_unprivileged()).ready()


def test_a_port_in_use_ends_with_78(serve, path, tmp_path):
    migrate(path)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        status, log = serve(port=port).ended()
    assert status == 78
    assert log.splitlines()[-1] == (
        f"error: port {port} of '127.0.0.1' is in use; stop what uses it, or set PORT to another"
    )


def test_a_host_that_is_not_here_ends_with_78(serve, path):
    migrate(path)
    status, log = serve(HOST="192.0.2.1").ended()
    assert status == 78
    assert "error: can't listen on '192.0.2.1' port" in log


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PORT": "http"}, "PORT is 'http', and has to be a port, from 1 to 65535"),
        ({"PORT": "0"}, "PORT is '0'"),
        ({"PORT": "٣"}, "PORT is '٣'"),
        ({"METRICS_PORT": "70000"}, "METRICS_PORT is '70000', and has to be a port"),
        ({"METRICS_PORT": "3000"}, "METRICS_PORT is '3000', and has to be another port"),
        ({"BUSY_TIMEOUT": "-1"}, "BUSY_TIMEOUT is '-1', and has to be a number of seconds"),
        ({"BUSY_TIMEOUT": "nan"}, "BUSY_TIMEOUT is 'nan'"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud', and has to be one of critical, error"),
        ({"PUBLIC_URL": "meet.example.org"}, "PUBLIC_URL is 'meet.example.org'"),
        ({"PUBLIC_URL": "https://x.org/a"}, "PUBLIC_URL is 'https://x.org/a'"),
        ({"PUBLIC_URL": "https://[x"}, "PUBLIC_URL is"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8, x"}, "TRUSTED_PROXIES is 'x', and has to be IP"),
        ({"ADMINS": "a@x.org, boss"}, "ADMINS is 'boss', and has to be e-mail addresses"),
        ({"STAY_ON_FAULT": "yes"}, "STAY_ON_FAULT is 'yes', and has to be 0 or 1"),
        ({"SMTP_URL": "http://x"}, "SMTP_URL is 'http:…', and has to be like smtp://user"),
        ({"SMTP_URL": "smtp://u:secret@h:x"}, "SMTP_URL is 'smtp:…'"),
        ({"SMTP_URL": "smtp://h", "MAIL_FROM": "x"}, "MAIL_FROM is 'x'"),
    ],
)
def test_a_bad_setting_is_named(environ, says):
    with pytest.raises(BadSetting) as caught:
        settings(environ)
    assert str(caught.value).startswith(says)
    assert "secret" not in str(caught.value)


def test_settings_are_read_as_they_are_meant():
    read = settings(
        {
            "PUBLIC_URL": "https://meet.example.org/",
            "TRUSTED_PROXIES": "10.0.0.0/8 ::1",
            "ADMINS": "A@x.org,b@x.org",
            "SMTP_URL": "smtp://me%40x.org:p%3A@mail.x.org",
        }
    )
    assert read.public_url == "https://meet.example.org"
    assert [str(network) for network in read.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert read.admins == ("a@x.org", "b@x.org")
    assert read.mail[:6] == ("mail.x.org", 587, "me@x.org", "p:", False, "me@x.org")
    smtps = settings({"SMTP_URL": "smtps://h", "PUBLIC_URL": "https://meet.x.org"}).mail
    assert (smtps.port, smtps.is_tls, smtps.sender) == (465, True, "meetings@meet.x.org")


@pytest.mark.parametrize("location", ["mysql://h/db", "postgresql://h", "/no/such/folder/a.sqlite"])
def test_a_bad_database_ends_with_78(serve, location):
    status, log = serve(DB_PATH=location).ended()
    assert status == 78
    assert log.count("\n") == 1


def test_secrets_are_for_the_owner_alone(api, path):
    api.user().meeting()
    for name in ("", "-wal", "-shm", ".nonces"):
        assert path.with_name(path.name + name).stat().st_mode & 0o077 == 0, name


def test_lines_of_the_log_have_a_time(api):
    for line in api.log.read_text().splitlines():
        assert time.strptime(line[:24], "%Y-%m-%d %H:%M:%S%z")


def test_debug_logs_routes_and_no_secret_of_a_path(serve, path):
    migrate(path)
    api = serve(LOG_LEVEL="debug").ready()
    api("GET", "/join/the-token-of-a-meeting")
    assert api.logged("GET /join/{token} 404")
    assert "the-token-of-a-meeting" not in api.log.read_text()


# Beside a migration.


def test_reads_go_on_and_writes_say_that_they_wait(serve, path):
    migrate(path)
    api = serve(BUSY_TIMEOUT="0.3").ready()
    user = api.user()
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        assert user("GET", "/meetings").status == 200
        started = time.monotonic()
        answer = user("POST", "/meetings", MEETING)
        assert 0.3 <= time.monotonic() - started < 5
        assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")
    assert user("POST", "/meetings", MEETING).status == 201


def test_the_server_imports_nothing_that_migrates():
    code = (
        "import sys, server.__main__, server.app, server.state, server.serving\n"
        "print([m for m in sys.modules if m.startswith(('server.migrations', 'click', 'playhouse'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    engine = "server.migrations.engine"
    reading = (
        "errors",
        "sql",
        "sql.names",
        "introspection",
        "scripts",
        "history",
        "plan",
        "listing",
    )
    allowed = {"server.migrations", engine, *(f"{engine}.{name}" for name in reading)}
    assert set(eval(done.stdout)) <= allowed, done.stderr


# STAY_ON_FAULT: live and not ready in place of 78.


def test_it_stays_up_and_says_why_until_the_fault_is_mended(serve, path):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        ((checksum,),) = connection.execute("SELECT checksum FROM schema_history WHERE id = 5")
        connection.execute("UPDATE schema_history SET checksum = 'x' WHERE id = 5")
    api = serve(STAY_ON_FAULT="1")
    answer = api.until(503)
    assert answer.code == "inconsistent_history"
    assert "'add_user_links' was edited after it was applied" in answer.body["error"]["message"]
    assert api("GET", "/healthz").status == 200
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE schema_history SET checksum = ? WHERE id = 5", [checksum])
        api.until(200, seconds=3)
        connection.execute("UPDATE schema_history SET checksum = 'x' WHERE id = 5")
    assert api.until_code("inconsistent_history", 3)
    assert api("GET", "/settings").status == 503
    status, log = api.stop()
    assert status == 0
    assert log.count("was edited after it was applied") == 2


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"ADMINS": "boss"}, "ADMINS is 'boss'"),
        ({"DB_PATH": "mysql://h/db"}, "mysql"),
        ({"DB_PATH": "/no/such/folder/a.sqlite"}, "/no/such/folder"),
    ],
)
def test_a_fault_in_the_settings_is_told_and_not_looped_on(serve, environ, says):
    api = serve(STAY_ON_FAULT="1", **environ)
    answer = api.until(503)
    assert answer.code == "fault"
    assert says in answer.body["error"]["message"]
    assert api("GET", "/healthz").body == {"status": "alive"}
    time.sleep(6)  # it has tried again by now
    api.until(503)
    started = time.monotonic()
    status, log = api.stop()
    assert status == 0
    assert time.monotonic() - started < 5
    assert len([line for line in log.splitlines() if says in line]) == 1
    assert "Traceback" not in log


@pytest.mark.parametrize("mode", [0o500, 0o000])
def test_a_folder_that_is_closed_is_told_with_the_line_to_run(serve, tmp_path, mode):
    folder = tmp_path / "closed"
    folder.mkdir()
    migrate(folder / "meetings.sqlite")
    folder.chmod(mode)
    user = as_unprivileged()
    api = serve(STAY_ON_FAULT="1", DB_PATH=str(folder / "meetings.sqlite"), **user)
    said = api.until(503).body["error"]["message"]
    assert f"'{folder}' belongs to " in said
    assert f"'{folder}'" in said.partition("; chown -R ")[2], said
    folder.chmod(0o777)
    (folder / "meetings.sqlite").chmod(0o666)
    api.until(200, seconds=10)


def test_it_takes_over_when_the_other_process_has_ended(api, serve):
    second = serve(STAY_ON_FAULT="1")
    assert second.until(503).code == "fault"
    api.stop()
    second.until(200, seconds=10)
    assert second.stop()[0] == 0


def test_it_waits_for_a_port_in_use(serve, path):
    migrate(path)
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        api = serve(STAY_ON_FAULT="1", port=taken.getsockname()[1])
        says = "is in use; stop what uses it"
        assert api.logged(says, seconds=30)
        time.sleep(6)  # it has tried again by now
        assert api.process.poll() is None
        assert api.log.read_text().count(says) == 1
    api.until(200, seconds=10)
