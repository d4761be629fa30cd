"""The primary is lost, its standby takes over, and the URL names both: nothing needs a restart."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.migrations.migrate import MIGRATIONS
from tests import postgres
from tests.conftest import MIGRATE
from tests.server.world import Api, migrate, traffic

SECONDS = 10  # within which a server is ready again after the new primary answers


@pytest.fixture
def pair(request):
    """A primary and its standby, and the URL of a database on whichever is the primary."""
    binaries = request.config.getoption("--postgres")
    with (
        postgres.running(Path(binaries) if binaries else None) as primary,
        postgres.standby(primary) as other,
    ):
        with primary.connect() as connection:
            connection.execute("CREATE DATABASE meetings")
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in (primary, other))
        yield primary, other, f"postgresql://postgres@{hosts}/meetings"


def promote(server: postgres.Server) -> None:
    with server.connect() as connection:
        assert connection.execute("SELECT pg_promote()").fetchone() == (True,)


def test_the_server_goes_on_with_the_new_primary_and_has_every_acknowledged_write(pair, path):
    primary, other, url = pair
    migrate(url)
    api = Api(path, DATABASE_URL=url).ready()
    try:
        with traffic(api.user()) as seen:
            time.sleep(1)
            primary.kill()
            before = len(seen.made)
            api.until_code("database_unreachable", 10)
            promote(other)
            api.until(200, SECONDS)
            time.sleep(1)
        with other.connect("meetings") as connection:
            there = {row[0] for row in connection.execute("SELECT meeting_id FROM meetings")}
        assert set(seen.made) <= there and len(seen.made) > before > 0
        assert set(seen.statuses) == {201, 503}
        status, log = api.stop()
        assert status == 0 and "Traceback" not in log, log
    finally:
        api.kill()


def test_a_run_that_loses_its_primary_is_finished_by_a_plain_run(pair):
    primary, other, url = pair
    command = [sys.executable, str(MIGRATE), "--database", url]
    assert subprocess.run([*command, "up", MIGRATIONS[2]], capture_output=True).returncode == 0
    with primary.connect("meetings") as connection:
        connection.execute(
            "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time) "
            "SELECT 'mtg_' || i, 'Meeting ' || i, 'u', now(), now() FROM generate_series(1, 20000) i"
        )
        run = subprocess.Popen(
            [*command, "up", "--no-backup"], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
        while run.poll() is None and connection.execute(query).fetchone() == (0,):
            time.sleep(0.005)
        time.sleep(0.05)
        primary.kill()
    promote(other)
    _, errors = run.communicate(timeout=90)
    assert run.returncode in (0, 2), errors
    done = subprocess.run([*command, "up", "--no-backup"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert subprocess.run([*command, "check", "--strict"], capture_output=True).returncode == 0
    with other.connect("meetings") as connection:
        assert connection.execute("SELECT count(*) FROM meetings").fetchone() == (20000,)
        rows = connection.execute("SELECT migration FROM schema_history ORDER BY id").fetchall()
        assert [name for (name,) in rows] == MIGRATIONS
