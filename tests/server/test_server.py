"""The server as a process, beside its database."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT
from server.settings import BadSetting, settings
from server.signing import sign
from tests.conftest import MIGRATE, ROOT, as_unprivileged, copy_legacy, populate

SECRET = "a secret"
CLIENT = "client-1"
JSON = {"Content-Type": "application/json"}


class Api:
    """One server process, and requests to it."""

    def __init__(self, path: Path, *, preexec_fn=None, **environ: str) -> None:
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "server"],
            cwd=ROOT,
            preexec_fn=preexec_fn,
            env={**os.environ, "DB_PATH": str(path), "PORT": str(self.port), **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, method: str, path: str, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {**JSON, **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read()), answer.headers
        finally:
            connection.close()

    def signed(self, method: str, path: str, body, nonce=None, at=None, secret=SECRET):
        nonce, at = nonce or secrets.token_hex(8), str(at or int(time.time()))
        signature = sign(secret, method, path, at, nonce, json.dumps(body).encode())
        return self(
            method,
            path,
            body,
            {
                "X-Client-Id": CLIENT,
                "X-Timestamp": at,
                "X-Nonce": nonce,
                "X-Signature": signature,
            },
        )

    def until(self, status: int, seconds: float = 10.0):
        """The first answer of /readyz with this status."""
        end = time.monotonic() + seconds
        while True:
            try:
                answer = self("GET", "/readyz")
                if answer[0] == status:
                    return answer
            except OSError:
                assert self.process.poll() is None, self.process.stderr.read()
            assert time.monotonic() < end, f"no {status} within {seconds} s"
            time.sleep(0.05)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        err = self.process.communicate(timeout=40)[1]
        return self.process.returncode, err


@pytest.fixture
def serve(path):
    started = []

    def start(**options):
        started.append(Api(path, **options))
        return started[-1]

    yield start
    for api in started:
        if api.process.poll() is None:
            api.process.kill()
            api.process.communicate()


def migrate(path: Path) -> None:
    Runner(PROJECT, SqliteFile(path), Patience(20)).up()


def add_session(path: Path, expires: str | None = None) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "INSERT INTO client_sessions (client_id, session_secret, user_id, expires_at) "
            "VALUES (?, ?, 'user-1', ?)",
            (CLIENT, SECRET, expires),
        )


MEETING = {
    "title": "Kick-off",
    "start_time": "2026-12-01T10:00:00Z",
    "end_time": "2026-12-01T11:00:00+00:00",
    "invited_participants": ["a@example.com"],
    "allow_external": True,
}


def test_it_waits_for_a_current_schema_and_never_migrates(serve, path):
    api = serve()
    _, body, headers = api.until(503)
    assert body["error"]["pending"] == MIGRATIONS
    assert body["error"]["command"] == "cd server && python migrations/migrate.py"
    assert headers["Retry-After"] == "1"
    assert api("GET", "/healthz")[:2] == (200, {"status": "alive"})
    assert api("GET", "/meetings")[0] == 503
    assert not path.exists()

    migrate(path)
    _, body, _ = api.until(200, seconds=2)
    assert body == {"status": "ready", "migration": MIGRATIONS[-1]}
    assert api("GET", "/meetings")[:2] == (200, [])
    assert api("GET", "/version")[1] == {
        "version": "1.0.0",
        "sqlite": sqlite3.sqlite_version,
        "migration": MIGRATIONS[-1],
    }
    with closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
    assert "ExternalSessions" not in names


def test_the_server_ends_cleanly_and_removes_its_log(serve, path):
    migrate(path)
    add_session(path)
    api = serve()
    api.until(200)
    assert api.signed("POST", "/meetings", MEETING)[0] == 201
    assert path.with_name(path.name + "-wal").stat().st_size
    assert api.stop()[0] == 0
    assert not path.with_name(path.name + "-wal").exists()
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        assert connection.execute("SELECT title FROM meetings").fetchall() == [("Kick-off",)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(
            "UPDATE schema_history SET migration = 'add_video' WHERE id = 4",
            "error: the database is ahead of this code: 'add_video' (applied on",
            id="ahead",
        ),
        pytest.param(
            "UPDATE schema_history SET checksum = 'x' WHERE id = 4",
            "error: 'update_meetings_hybrid_storage' was edited after it was applied on",
            id="changed",
        ),
    ],
)
def test_a_state_that_no_restart_helps_ends_with_78(serve, path, change, says):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(change)
    status, err = serve().ended()
    assert status == 78
    assert says in err


def test_a_database_that_gets_ahead_ends_the_server_too(serve, path):
    migrate(path)
    api = serve()
    api.until(200)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE schema_history SET migration = 'add_video' WHERE id = 4")
    status, err = api.ended()
    assert status == 78
    assert "update the code, or restore a backup from before" in err


def test_a_database_that_may_not_be_written_is_waited_for(serve, path):
    migrate(path)
    path.chmod(0o444)
    api = serve(**as_unprivileged())
    _, body, _ = api.until(503)
    assert "attempt to write a readonly database; check owner and mode" in body["error"]["message"]
    path.chmod(0o644)
    api.until(200, seconds=3)


def test_a_second_process_is_refused_with_the_reason(serve, path):
    migrate(path)
    serve().until(200)
    status, err = serve().ended()
    assert status == 78
    assert "another process serves" in err
    assert "guests live in the memory of one process" in err


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"PORT": "http"}, "PORT is 'http', and has to be a port, from 1 to 65535"),
        ({"PORT": "0"}, "PORT is '0'"),
        ({"BUSY_TIMEOUT": "-1"}, "BUSY_TIMEOUT is '-1', and has to be a number of seconds"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud', and has to be one of critical, error"),
    ],
)
def test_a_bad_setting_is_named(environ, says):
    with pytest.raises(BadSetting, match=says):
        settings(environ)


@pytest.mark.parametrize("location", ["postgresql://h/db", "/no/such/folder/a.sqlite"])
def test_a_bad_database_ends_with_78(serve, location):
    status, err = serve(DB_PATH=location).ended()
    assert status == 78
    assert err.count("\n") == 1


def test_every_error_has_one_shape(serve, path):
    migrate(path)
    api = serve()
    api.until(200)
    for method, where, status, code in (
        ("GET", "/nope", 404, "not_found"),
        ("DELETE", "/meetings", 405, "method_not_allowed"),
        ("GET", "/meetings/nope", 404, "not_found"),
        ("GET", "/meetings?limit=0", 422, "invalid"),
        ("GET", "/guests/nope", 404, "not_found"),
        ("POST", "/meetings", 422, "invalid"),
    ):
        found, body, _ = api(method, where)
        assert (found, body["error"]["code"]) == (status, code)
        assert body["error"]["message"]


# Signatures.


def test_a_request_is_signed_once(serve, path):
    migrate(path)
    add_session(path)
    api = serve()
    api.until(200)
    status, body, _ = api.signed("POST", "/meetings", MEETING, nonce="n1")
    assert status == 201
    assert body["created_by"] == "user-1"
    assert body["start_time"] == "2026-12-01T10:00:00Z"
    assert body["invited_participants"] == ["a@example.com"]
    for options, code in (
        ({"nonce": "n1"}, "repeated"),
        ({"secret": "another"}, "unsigned"),
        ({"at": int(time.time()) - 3600}, "unsigned"),
    ):
        status, body, _ = api.signed("POST", "/meetings", MEETING, **options)
        assert (status, body["error"]["code"]) == (401, code)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "UPDATE client_sessions SET expires_at = '2020-01-01 00:00:00.000 +00:00'"
        )
    assert api.signed("POST", "/meetings", MEETING)[1]["error"]["code"] == "expired"
    assert len(api("GET", "/meetings")[1]) == 1


def test_old_meetings_are_listed_whatever_their_dates_are(serve, path):
    copy_legacy("after4", path)
    migrate(path)
    api = serve()
    api.until(200)
    assert len(api("GET", "/meetings")[1]) == 20


# Guests.


def test_guests_are_seen_by_every_thread_and_gone_after_a_restart(serve, path):
    migrate(path)
    add_session(path)
    api = serve()
    api.until(200)
    _, meeting, _ = api.signed("POST", "/meetings", MEETING)
    guest = {
        "invitation_token": meeting["invitation_token"],
        "display_name": "G",
        "identity_key_public": "k",
        "signed_pre_key": "s",
    }
    where = f"/meetings/{meeting['meeting_id']}/guests"
    status, made, _ = api("POST", where, guest)
    assert status == 201
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(api("GET", f"/guests/{made['session_id']}")[0]))
        for _ in range(24)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [200] * 24
    assert api("POST", where, {**guest, "invitation_token": "x"})[0] == 403
    assert api.stop()[0] == 0
    for file in path.parent.iterdir():
        assert b"ExternalSessions" not in file.read_bytes()
    again = serve()
    again.until(200)
    assert again("GET", f"/guests/{made['session_id']}")[0] == 404


# Housekeeping.


def test_expired_rows_are_deleted(serve, path):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            """
            INSERT INTO nonce_cache VALUES ('old', '2025-12-12 10:00:00.000 +00:00'),
                ('older', '2025-12-12T10:00:00.000Z'), ('odd', 'CURRENT_TIMESTAMP'),
                ('new', datetime('now', '-9 minutes'));
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1300)
                INSERT INTO nonce_cache SELECT 'n' || i, '2025-12-12 10:00:00' FROM n;
            INSERT INTO client_sessions (client_id, session_secret, user_id, expires_at) VALUES
                ('a', 's', 'u', '2025-12-12 10:00:00'), ('b', 's', 'u', datetime('now', '+1 day')),
                ('c', 's', 'u', NULL);
            INSERT INTO Invitations (email, token, expires_at, used, invited_by) VALUES
                ('a', '1', datetime('now', '+1 day'), 1, 'u'),
                ('b', '2', '2025-12-12 10:00:00.000 +00:00', 0, 'u'),
                ('c', '3', datetime('now', '+1 day'), 0, 'u');
            """
        )
        api = serve(PURGE_INTERVAL="0.2")
        api.until(200)
        wanted = [[("new",), ("odd",)], [("b",), ("c",)], [("3",)]]
        for _ in range(100):
            found = [
                connection.execute(sql).fetchall()
                for sql in (
                    "SELECT nonce FROM nonce_cache ORDER BY 1",
                    "SELECT client_id FROM client_sessions ORDER BY 1",
                    "SELECT token FROM Invitations ORDER BY 1",
                )
            ]
            if found == wanted:
                break
            time.sleep(0.05)
    assert found == wanted
    assert api.stop()[0] == 0


# Beside a migration.


def test_reads_go_on_and_writes_say_that_they_wait(serve, path):
    migrate(path)
    add_session(path)
    api = serve(BUSY_TIMEOUT="0.3")
    api.until(200)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    assert api("GET", "/meetings")[0] == 200
    started = time.monotonic()
    status, body, headers = api.signed("POST", "/meetings", MEETING)
    assert 0.3 <= time.monotonic() - started < 5
    assert (status, body["error"]["code"], headers["Retry-After"]) == (503, "busy", "1")
    holder.execute("ROLLBACK")
    holder.close()
    assert api.signed("POST", "/meetings", MEETING)[0] == 201


def test_a_thousand_requests_while_an_old_database_is_migrated(serve, path):
    """No 500, and whatever was acknowledged is there."""
    copy_legacy("after3", path)
    populate(path, int(os.environ.get("MEETINGS", "5000")))
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    add_session(path)
    api = serve()
    api.until(503)
    run = subprocess.Popen(
        [sys.executable, str(MIGRATE), "--database", str(path)], stdout=subprocess.DEVNULL
    )
    statuses, acknowledged = Counter(), []
    waiting = list(range(1000))

    def work():
        while waiting:
            try:
                number = waiting.pop()
            except IndexError:
                return
            if number % 2:
                status, body, _ = api.signed("POST", "/meetings", MEETING)
                if status == 201:
                    acknowledged.append(body["meeting_id"])
            else:
                status = api("GET", "/meetings?limit=5")[0]
            statuses[status] += 1
            if status == 503 and run.poll() is None:
                time.sleep(0.02)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run.wait() == 0
    assert set(statuses) <= {200, 201, 503}, statuses
    assert sum(statuses.values()) == 1000
    api.until(200, seconds=3)
    assert api.signed("POST", "/meetings", MEETING)[0] == 201
    with closing(sqlite3.connect(path)) as connection:
        stored = {row[0] for row in connection.execute("SELECT meeting_id FROM meetings")}
        assert set(acknowledged) <= stored
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_server_imports_nothing_that_migrates():
    code = (
        "import sys, server.__main__, server.app, server.state\n"
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
    assert set(eval(done.stdout)) <= allowed
