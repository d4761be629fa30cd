"""/metrics: true counts, and the same word on the state as /readyz and doctor."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
import urllib.request
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families

from server.migrations.migrate import MIGRATIONS
from tests.conftest import MIGRATE
from tests.server.world import Guest, free_port, migrate


class Metrics:
    """What a server says at its METRICS_PORT, by name and labels."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            families = list(text_string_to_metric_families(answer.read().decode()))
        self.samples = [sample for family in families for sample in family.samples]

    def __call__(self, name: str, **labels: str) -> float | None:
        """The sum of the samples with these labels; None if there is none."""
        found = [
            s.value for s in self.samples if s.name == name and labels.items() <= s.labels.items()
        ]
        return sum(found) if found else None


@pytest.fixture
def start(serve):
    def started(**environ):
        port = free_port()
        api = serve(METRICS_PORT=str(port), **environ)
        api.metrics_port = port
        return api

    return started


def migrate_py(path, *arguments):
    command = [sys.executable, str(MIGRATE), "--database", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_requests_errors_sessions_and_guests_are_counted(start, path):
    migrate(path)
    api = start().ready()
    owner = api.user()
    api.user()
    api.user(expires_at="2020-01-01 00:00:00")
    token = owner.meeting(allow_external=True)["invitation_token"]
    waiting, admitted, _ = Guest(api, token), Guest(api, token), Guest(api, token)
    for guest in (waiting, admitted):
        assert guest("POST", "/admission").status == 200
    here = f"/meetings/{owner('GET', '/meetings').body['meetings'][0]['meeting_id']}/guests"
    assert owner("POST", f"{here}/{admitted.session_id}/admit").status == 200
    api("GET", "/nowhere")
    api("GET", "/join/wrong")
    found = Metrics(api.metrics_port)
    assert found("meeting_sessions") == 2
    assert {s: found("meeting_guests", state=s) for s in ("registered", "waiting", "admitted")} == {
        "registered": 1,
        "waiting": 1,
        "admitted": 1,
    }
    assert found("meeting_requests_total", route="/meetings", method="POST", status="201") == 1
    assert found("meeting_requests_total", route="/join/{token}", method="POST") == 3
    assert found("meeting_requests_total", route="/join/{token}", status="404") == 1
    assert found("meeting_requests_total", route="-", status="404") == 1
    assert found("meeting_request_seconds_count", route="/meetings") == 2
    assert found("process_resident_memory_bytes") > 10_000_000


def test_age_and_size_of_the_newest_backup_are_told(start, path):
    migrate(path)
    api = start().ready()
    assert Metrics(api.metrics_port)("meeting_backup_age_seconds") is None
    assert migrate_py(path, "backup").returncode == 0
    older = next((path.parent / "backups").iterdir())
    then = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() - 5000))
    older = older.rename(older.with_name(f"{path.name}.{then}"))
    found = Metrics(api.metrics_port)
    assert 5000 <= found("meeting_backup_age_seconds") < 5060
    assert found("meeting_backup_bytes") == older.stat().st_size
    assert migrate_py(path, "backup").returncode == 0
    found = Metrics(api.metrics_port)
    assert found("meeting_backup_age_seconds") < 60
    assert found("meeting_backups") == 2


def test_letters_that_failed_are_counted(start, path):
    migrate(path)
    api = start(SMTP_URL=f"smtp://127.0.0.1:{free_port()}").ready()
    assert api("POST", "/sign-in", {"email": "a@example.org"}).status == 202
    for _ in range(100):
        found = Metrics(api.metrics_port)
        if found("meeting_letters_total", result="failed"):
            break
        time.sleep(0.05)
    assert found("meeting_letters_total", result="failed") == 1
    assert found("meeting_letters_total", result="sent") == 0


def nothing(path):
    pass


def behind(path):
    path.unlink()
    assert migrate_py(path, "up", "add_server_settings").returncode == 0


def missing(path):
    path.unlink()


def damaged(path):
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * (path.stat().st_size - 4096))


def changed(path):
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE schema_history SET checksum = 'x' WHERE id = 5")


def other(path):
    path.write_bytes(b"no database " * 1000)


@pytest.mark.parametrize(
    ("change", "code", "schema", "doctor"),
    [
        pytest.param(nothing, None, "current", "all 5 are applied", id="current"),
        pytest.param(behind, "not_ready", "pending", "'add_user_links' is pending", id="behind"),
        pytest.param(missing, "not_ready", "pending", "there is no database at", id="missing"),
        pytest.param(damaged, "database_damaged", None, "is damaged", id="damaged"),
        pytest.param(
            other, "database_damaged", "unreadable", "is not an SQLite database", id="other"
        ),
        pytest.param(
            changed,
            "inconsistent_history",
            "inconsistent",
            "'add_user_links' is changed",
            id="edited",
        ),
    ],
)
def test_readyz_metrics_and_doctor_agree(start, path, change, code, schema, doctor):
    migrate(path)
    change(path)
    api = start(STAY_ON_FAULT="1")
    answer = api.until(503 if code else 200)
    assert (answer.code if code else None) == code
    found = Metrics(api.metrics_port)
    assert found("meeting_ready") == (0 if code else 1)
    assert found("meeting_fault") == (1 if code else None)
    if code:
        assert found("meeting_fault", code=code) == 1
    if schema:
        assert found("meeting_schema", state=schema) == 1
    assert found("meeting_schema") == 1
    pending = {"behind": 2, "missing": len(MIGRATIONS)}.get(change.__name__, 0)
    assert found("meeting_migrations_pending") == pending
    assert found("meeting_sessions") == (None if code else 0)
    done = migrate_py(path, "doctor")
    assert doctor in done.stdout + done.stderr
    # What is pending is no fault of the database.
    assert (done.returncode != 0) == (bool(code) and change is not behind), done.stdout
