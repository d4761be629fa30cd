"""The server on PostgreSQL: what is other than on a file."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests import postgres
from tests.conftest import MIGRATE, ROOT, copy_legacy
from tests.server.test_signatures import send, sign
from tests.server.world import MEETING, Api, User, migrate, traffic


@pytest.fixture(scope="module")
def running(request):
    """A PostgreSQL server that tests may kill."""
    binaries = request.config.getoption("--postgres")
    with postgres.running(Path(binaries) if binaries else None) as server:
        yield server


@pytest.fixture
def url(running):
    with running.database() as name:
        yield running.url(name)


@pytest.fixture
def serve(path, url):
    """Starts server processes on the database."""
    started = []

    def start(**options) -> Api:
        started.append(Api(path, **{"DATABASE_URL": url, **options}))
        return started[-1]

    yield start
    for api in started:
        api.kill()


@pytest.fixture
def api(serve, url) -> Api:
    migrate(url)
    return serve().ready()


def test_it_waits_for_a_current_schema_and_never_migrates(serve, url):
    api = serve()
    answer = api.until(503)
    assert answer.body["error"]["pending"] == MIGRATIONS
    assert api("GET", "/healthz").status == 200
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT to_regclass('meetings')").fetchall() == [(None,)]
    migrate(url)
    assert api.until(200, seconds=4).body["migration"] == MIGRATIONS[-1]
    assert api("GET", "/version").body["postgresql"].startswith("1")
    assert "sqlite" not in api("GET", "/version").body
    assert api.stop()[0] == 0


def test_one_process_serves_a_database(api, serve):
    status, log = serve().ended()
    assert status == 78
    assert "another process serves 'postgresql://" in log
    api.kill()
    serve().ready()


def test_another_process_waits_and_takes_over(api, serve):
    second = serve(STAY_ON_FAULT="1")
    assert second.until(503).code == "fault"
    api.kill()
    second.until(200, seconds=10)
    assert second.stop()[0] == 0


def test_former_users_keep_their_ids_by_the_line_of_the_page(path, url, serve):
    copy_legacy("synced3", path)
    Runner(PROJECT, SqliteFile(path), backup=False).up()
    page = (ROOT / "docs" / "postgresql.md").read_text()
    (line,) = re.findall(r'^sqlite3 data/meetings.sqlite "(.*?)"$', page, re.M | re.S)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(line)
        query = "SELECT lower(email), uuid FROM Users WHERE active ORDER BY email"
        email, user_id = connection.execute(query).fetchone()
    move = [sys.executable, str(MIGRATE), "--database", str(path), "move", url]
    done = subprocess.run(move, capture_output=True, text=True)
    assert done.returncode == 0 and "left     table Users, " in done.stdout, done.stderr
    serve().ready()
    environ = {**os.environ, "DB_PATH": str(path), "DATABASE_URL": url}
    command = [sys.executable, "-m", "server", "session", "add", email]
    made = json.loads(subprocess.check_output(command, cwd=ROOT, env=environ))
    assert made["user_id"] == user_id != email


def test_files_of_its_own_lie_in_the_folder_of_db_path(api, path):
    assert list(path.parent.glob("*.nonces"))
    assert not path.exists()


def test_a_locked_table_is_busy_and_not_for_ever(serve, url):
    migrate(url)
    api = serve(BUSY_TIMEOUT="0.3").ready()
    user = api.user()
    with psycopg.connect(url) as holder:
        holder.execute("LOCK TABLE meetings IN ACCESS EXCLUSIVE MODE")
        for method, document in (("GET", None), ("POST", MEETING)):
            started = time.monotonic()
            answer = user(method, "/meetings", document)
            assert (answer.status, answer.code, answer.headers["Retry-After"]) == (503, "busy", "1")
            assert 0.3 <= time.monotonic() - started < 5
    assert user("POST", "/meetings", MEETING).status == 201


def test_expired_rows_go(serve, url):
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO nonce_cache SELECT 'n' || i, '2025-12-12 10:00:00' "
            "FROM generate_series(1, 1300) AS i;"
            "INSERT INTO nonce_cache VALUES ('new', now() - interval '9 minutes');"
            "INSERT INTO client_sessions (client_id, session_secret, user_id, expires_at) VALUES "
            "('a', 's', 'u', now() - interval '1 s'), ('b', 's', 'u', now() + interval '1 day'), "
            "('c', 's', 'u', NULL);"
            'INSERT INTO "Invitations" (email, token, expires_at, used, invited_by) VALUES '
            "('a', '1', now() + interval '1 day', TRUE, 'u'), ('b', '2', '2025-12-12', FALSE, 'u')"
        )
        api = serve(PURGE_INTERVAL="0.2").ready()
        queries = {
            "SELECT nonce FROM nonce_cache ORDER BY 1": ["new"],
            "SELECT client_id FROM client_sessions ORDER BY 1": ["b", "c"],
            'SELECT token FROM "Invitations" ORDER BY 1': ["1"],
        }
        for _ in range(100):
            found = {sql: [r[0] for r in connection.execute(sql)] for sql in queries}
            if found == queries:
                break
            time.sleep(0.05)
    assert found == queries
    assert api.stop()[0] == 0


def test_a_nonce_counts_once_though_the_record_is_lost(api, serve, path):
    user = api.user()
    headers = sign(user)
    assert send(user, **headers).status == 201
    api.stop()
    for record in path.parent.glob("*.nonces"):
        record.unlink()
    again = serve(port=api.port).ready()
    same = User(again, user.user_id, user.client_id, user.secret)
    assert send(same, **headers).code == "duplicate_request"


def test_commands_work_beside_it(api, path, url):
    done = subprocess.run(
        [sys.executable, "-m", "server", "session", "add", "Me@Example.org"],
        cwd=ROOT,
        env={**os.environ, "DB_PATH": str(path), "DATABASE_URL": url},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    user = User(api, made["user_id"], made["client_id"], made["session_secret"])
    assert user.meeting()["created_by"] == "me@example.org"


def test_a_value_that_it_cannot_hold_is_refused(api):
    user = api.user()
    answer = user("POST", "/meetings", {**MEETING, "description": "a\0b"})
    assert (answer.status, answer.code) == (422, "invalid")
    assert user("GET", "/meetings/%00").status in (404, 422)
    assert "Traceback" not in api.log.read_text()


def test_an_invitee_is_found_as_on_a_file(api):
    owner, ada, bob = api.user(), api.user("ada\"'\\é"), api.user("Bob@Example.org")
    owner.meeting(invited_participants=["ada\"'\\é", "BOB@example.org"])
    owner.meeting(invited_participants=["xada\"'\\é", "ada"])
    for guest in (ada, bob):
        assert len(guest("GET", "/meetings").body["meetings"]) == 1


def test_pages_of_a_list_follow_each_other(api):
    user = api.user()
    made = [user.meeting(start_time=f"2036-12-01T10:00:00.{n}Z")["meeting_id"] for n in "31425"]
    found, cursor = [], None
    while True:
        more = f"&cursor={cursor}" if cursor else ""
        page = user("GET", f"/meetings?limit=2{more}").body
        found += [meeting["meeting_id"] for meeting in page["meetings"]]
        if (cursor := page["cursor"]) is None:
            break
    assert found == [made[place] for place in (1, 3, 0, 2, 4)]
    assert user("GET", "/meetings?cursor=WyJ4IiwieSJd").code == "no_page"


def test_connections_that_the_server_ended_are_opened_anew(api, url):
    user = api.user()
    user.meeting()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'meeting-server'"
        )
        assert user("POST", "/meetings", MEETING).status == 201
    api.until(200, 3)
    assert api.stop()[0] == 0


def test_it_outlives_its_database_server(api, running, url):
    """Killed and started again: 503 meanwhile, nothing acknowledged is lost, no restart."""
    with traffic(api.user()) as seen:
        time.sleep(0.5)
        for _ in range(3):
            running.kill()
            api.until_code("database_unreachable", 5)
            assert api("GET", "/healthz").status == 200
            running.start()
            api.until(200, 10)
            time.sleep(0.3)
    assert set(seen.statuses) == {201, 503}
    with psycopg.connect(url) as connection:
        there = {row[0] for row in connection.execute("SELECT meeting_id FROM meetings")}
    assert set(seen.made) <= there and len(seen.made) > 3
    status, log = api.stop()
    assert status == 0 and "Traceback" not in log, log
    assert log.count("database_unreachable:") == 3


def test_it_starts_while_its_database_server_does_not_answer(serve, running, url):
    migrate(url)
    running.kill()
    try:
        api = serve()
        answer = api.until_code("database_unreachable", 10) if api.until(503) else None
        assert "can't be reached" in answer.body["error"]["message"]
    finally:
        running.start()
    api.until(200, 10)


@pytest.mark.parametrize("sub", ["up", "down"])
def test_a_migration_under_load_is_503_and_never_500(api, url, sub):
    with traffic(api.user(), reads=True) as seen:
        time.sleep(0.3)
        migrate_py = [sys.executable, str(MIGRATE), "--database", url, "--wait", "60"]
        down = [*migrate_py, "down", "update_meetings_hybrid_storage", "--yes", "--no-backup"]
        done = subprocess.run(down, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        api.until(503, 3)
        if sub == "up":
            done = subprocess.run(
                [*migrate_py, "up", "--no-backup"], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            api.until(200, 3)
        time.sleep(0.3)
    assert set(seen.statuses) == {200, 201, 503}
    assert "Traceback" not in api.log.read_text()


def test_the_rights_that_the_page_names_are_enough(serve, url, running):
    migrate(url)
    page = (ROOT / "docs" / "postgresql.md").read_text()
    grants = [line for line in page.splitlines() if line.startswith("GRANT") and " server;" in line]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE server LOGIN")
        try:
            for grant in grants:
                connection.execute(grant)
            api = serve(DATABASE_URL=url.replace("postgres@", "server@"), ADMINS="me@x.org").ready()
            admin = api.user("me@x.org")
            admin.meeting()
            assert admin("POST", "/invitations", {"email": "new@x.org"}).status == 201
            assert admin("PATCH", "/settings", {"server_name": "Acme"}).status == 200
            api.kill()
        finally:
            connection.execute("DROP OWNED BY server; DROP ROLE server")


def test_a_role_without_rights_is_told_in_the_words_of_the_server(serve, url, running):
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE ROLE weak LOGIN")
        try:
            api = serve(DATABASE_URL=url.replace("postgres@", "weak@"))
            message = api.until(503).body["error"]["message"]
            assert "permission denied" in message
        finally:
            connection.execute("DROP OWNED BY weak; DROP ROLE weak")
