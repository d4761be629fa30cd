"""The machine with the primary is lost: at any moment of a run, and while people write.

``make test-cluster``; takes about half an hour, most of it Patroni's wait for a primary that is gone.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest

from server.migrations.migrate import MIGRATIONS
from tests.cluster.nodes import Cluster, cluster
from tests.conftest import MIGRATE
from tests.server.world import Api, migrate, traffic

MEETINGS = 100_000
WRITES = 10_000
SECONDS = 10  # within which a server is ready again after the new primary answers
MOMENTS = 20  # besides the one in the fourth migration; the last are after the run

ROWS = f"""
INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time)
  SELECT 'mtg_' || i, 'Meeting ' || i, 'user' || i % 50, now(), now() FROM generate_series(1, {MEETINGS}) i;
INSERT INTO meeting_participants (meeting_id, user_id)
  SELECT 'mtg_' || i, 'user' || i % 50 + person FROM generate_series(1, {MEETINGS}) i, generate_series(0, 1) person;
"""


class State(NamedTuple):
    """The applied migrations, and a checksum of each other table with its columns."""

    applied: list[str]
    tables: dict[str, str]


def state(connection: psycopg.Connection) -> State:
    query = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
    names = sorted(name for (name,) in connection.execute(query))
    tables = {}
    for name in names:
        if name != "schema_history":
            columns = connection.execute(
                "SELECT column_name, data_type, is_nullable, column_default FROM "
                "information_schema.columns WHERE table_schema = 'public' AND table_name = %s "
                "ORDER BY column_name",
                [name],
            ).fetchall()
            written = ", ".join(f'"{column[0]}"' for column in columns)
            rows = connection.execute(
                f'SELECT count(*), sum(hashtextextended(row({written})::text, 0)) FROM "{name}"'
            ).fetchall()
            tables[name] = hashlib.sha256(repr((columns, rows)).encode()).hexdigest()
    applied = connection.execute("SELECT migration FROM schema_history ORDER BY id").fetchall()
    return State([name for (name,) in applied], tables)


class Run(NamedTuple):
    """What every run starts from, what it leads to, and the seconds that it takes."""

    before: State
    after: State
    seconds: float


@pytest.fixture(scope="module")
def nodes(request) -> Iterator[Cluster]:
    binaries = request.config.getoption("--postgres")
    with cluster(Path(binaries) if binaries else None) as found:
        yield found


@pytest.fixture(scope="module")
def run(nodes) -> Run:
    """The database ``old``, three migrations old, and one run that nothing interrupts."""
    with nodes.connect() as connection:
        connection.execute("CREATE DATABASE old")
    done = up(nodes, "old", MIGRATIONS[2])
    assert done.returncode == 0, done.stderr
    with nodes.connect("old") as connection:
        connection.execute(ROWS)
        before = state(connection)
    copy(nodes, "whole")
    started = time.monotonic()
    done = up(nodes, "whole")
    seconds = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    with nodes.connect("whole") as connection:
        after = state(connection)
    assert before.applied == MIGRATIONS[:3] and after.applied == MIGRATIONS
    assert before.tables != after.tables
    return Run(before, after, seconds)


def copy(nodes: Cluster, name: str) -> None:
    with nodes.connect() as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE old")


def command(nodes: Cluster, database: str, *arguments: str) -> list[str]:
    return [sys.executable, str(MIGRATE), "--database", nodes.url(database), *arguments]


def up(nodes: Cluster, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = command(nodes, database, "up", "--no-backup", *arguments)
    return subprocess.run(words, capture_output=True, text=True, timeout=120)


def fills(nodes: Cluster, database: str, ended: Callable[[], bool]) -> None:
    """Wait until the fourth migration writes the new column of every meeting."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND state = 'active' "
        "AND query ILIKE 'update%%invited_participants%%'"
    )
    with nodes.connect() as connection:
        while not ended():
            if connection.execute(query, [database]).fetchone() != (0,):
                return
            time.sleep(0.005)
    raise AssertionError("the run ended before it wrote")


@pytest.mark.parametrize("moment", ["fourth", *range(MOMENTS)])
def test_a_run_that_loses_its_primary_has_done_all_or_nothing(nodes, run, path, moment):
    database = f"moment_{moment}"
    nodes.until_whole()
    copy(nodes, database)
    api = Api(path, DATABASE_URL=nodes.url(database))
    try:
        assert api.until(503).body["error"]["pending"] == MIGRATIONS[3:]
        words = command(nodes, database, "up", "--no-backup")
        running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if moment == "fourth":
            fills(nodes, database, lambda: running.poll() is not None)
        else:
            time.sleep(run.seconds * 1.2 * (moment + 0.5) / MOMENTS)
        lost = nodes.lose_primary()
        nodes.until_it_answers()
        answers = time.monotonic()
        with nodes.connect(database) as connection:
            found = state(connection)
        assert found in (run.before, run.after)
        if moment == "fourth":
            assert found == run.before
        seen_again(api, is_ready=found == run.after, seconds=answers + SECONDS - time.monotonic())
        print(f"{len(found.applied)} applied; served {time.monotonic() - answers:.1f} s later")

        _, errors = running.communicate(timeout=120)
        assert running.returncode in (0, 2) and "Traceback" not in errors, errors
        done = up(nodes, database)
        assert done.returncode == 0, done.stderr
        with nodes.connect(database) as connection:
            assert state(connection) == run.after
        api.until(200, SECONDS)
        status, log = api.stop()
        assert status == 0 and "Traceback" not in log, log
    finally:
        api.kill()
    lost.start()


def seen_again(api: Api, *, is_ready: bool, seconds: float) -> None:
    """Wait until the server has found the new primary, and says what is so of its schema."""
    if is_ready:
        api.until(200, seconds)
    else:
        assert api.until_code("not_ready", seconds).body["error"]["pending"] == MIGRATIONS[3:]


def test_no_acknowledged_write_is_lost_with_three_primaries(nodes, path):
    nodes.until_whole()
    with nodes.connect() as connection:
        connection.execute("CREATE DATABASE live")
    migrate(nodes.url("live"))
    api = Api(path, DATABASE_URL=nodes.url("live")).ready()
    try:
        with traffic(api.user()) as seen:
            for part in (1, 2, 3):
                nodes.until_whole()
                until_made(seen, WRITES * part // 4)
                lost = nodes.lose_primary()
                nodes.until_it_answers()
                api.until(200, SECONDS)
                lost.start()
            until_made(seen, WRITES)
        nodes.until_whole()
        with nodes.connect("live") as connection:
            there = {row[0] for row in connection.execute("SELECT meeting_id FROM meetings")}
        print(f"{len(seen.made)} acknowledged, answers {dict(seen.statuses)}, {len(there)} there")
        assert set(seen.made) <= there and len(seen.made) >= WRITES
        assert set(seen.statuses) == {201, 503}
        status, log = api.stop()
        assert status == 0 and "Traceback" not in log, log
    finally:
        api.kill()


def until_made(seen, count: int) -> None:
    end = time.monotonic() + 300
    while len(seen.made) < count:
        assert time.monotonic() < end, f"{len(seen.made)} of {count}"
        time.sleep(0.05)
