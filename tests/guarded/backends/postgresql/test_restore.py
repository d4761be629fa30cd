"""A dump takes the place of the database, and what was there is kept."""

from __future__ import annotations

import threading
from contextlib import suppress

import psycopg
import pytest

from guarded.backends.interface import Patience
from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.backends.postgresql.definitions import definitions
from guarded.errors import DatabaseLocked, RestoreRefused
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT

PATIENCE = Patience(5)


def quiet(done: int, total: int) -> None:
    """Nobody looks at the progress."""


@pytest.fixture
def server(postgres_url, postgres_server, tmp_path) -> PostgresqlServer:
    found = locate(postgres_url, folder=tmp_path / "backups")
    yield found
    with postgres_server.connect() as connection:  # what a restore kept
        name = found.parameters["dbname"]
        query = "SELECT datname FROM pg_database WHERE datname LIKE %s"
        for (left,) in connection.execute(query, (f"{name}\\_%",)).fetchall():
            connection.execute(f"DROP DATABASE {left} WITH (FORCE)")


@pytest.fixture
def backup(server):
    """A backup with two migrations and a meeting, of a database that went on."""
    Runner(PROJECT, server, backup=False).up(MIGRATIONS[1])
    execute(
        server,
        "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time) "
        "VALUES ('m1', 'kept', 'owner', now(), now())",
    )
    taken = server.back_up(PATIENCE, quiet, by_hand=True)
    Runner(PROJECT, server, backup=False).up()
    return taken.path


def execute(server: PostgresqlServer, query: str) -> list[tuple]:
    with server.connected() as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


def databases(server: PostgresqlServer) -> set[str]:
    name = server.parameters["dbname"]
    query = f"SELECT datname FROM pg_database WHERE datname LIKE '{name}%'"
    return {row[0] for row in execute(server, query)}


def test_the_database_is_as_the_backup_was_and_the_old_one_is_kept(server, backup):
    before = execute(server, "TABLE schema_history")
    kept = server.restore(PROJECT, backup, PATIENCE, quiet)
    assert len(execute(server, "TABLE schema_history")) == 2
    assert execute(server, "SELECT title FROM meetings") == [("kept",)]
    assert execute(server.at(dbname=kept), "TABLE schema_history") == before
    Runner(PROJECT, server, backup=False).up()
    assert execute(server, "SELECT invited_participants FROM meetings") == [("[]",)]


def test_every_object_and_the_settings_of_the_database_come_back(server):
    from tests.guarded.backends.postgresql.test_definitions import RICH

    name = server.parameters["dbname"]
    execute(server, RICH)
    Runner(PROJECT, server, backup=False).up(MIGRATIONS[0])
    execute(server, f"ALTER DATABASE {name} SET work_mem = '7MB'")
    execute(server, f"ALTER DATABASE {name} CONNECTION LIMIT 17")
    execute(server, f"COMMENT ON DATABASE {name} IS 'it''s; ours'")
    execute(server, f"GRANT CREATE ON DATABASE {name} TO pg_monitor")
    settings = (
        "SELECT datconnlimit, datacl::text, shobj_description(oid, 'pg_database'), "
        "current_setting('work_mem') FROM pg_database WHERE datname = current_database()"
    )

    def everything() -> tuple:
        with server.connected() as connection:
            grants = (
                "SELECT relname, relacl::text FROM pg_class WHERE relacl IS NOT NULL ORDER BY 1"
            )
            return (
                {*definitions(connection.execute)},
                connection.execute(settings).fetchall(),
                connection.execute(grants).fetchall(),
            )

    before = everything()
    taken = server.back_up(PATIENCE, quiet).path
    server.restore(PROJECT, taken, PATIENCE, quiet)
    assert everything() == before


def test_others_are_named_and_ended_only_on_a_clear_yes(server, backup):
    with server.connected(application_name="the app") as other:
        other.execute("SELECT 1")
        with pytest.raises(DatabaseLocked, match=r"pid \d+ \(postgres, the app, since"):
            server.restore(PROJECT, backup, PATIENCE, quiet)
        assert other.execute("SELECT count(*) FROM schema_history").fetchone() == (5,)
        assert databases(server) == {server.parameters["dbname"]}
        asked: list[str] = []
        server.restore(PROJECT, backup, PATIENCE, quiet, lambda users: not asked.extend(users))
        assert len(asked) == 1 and "the app" in asked[0]
        with pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    assert len(execute(server, "TABLE schema_history")) == 2


def test_clients_that_come_back_at_once_don_t_keep_it_from_being_replaced(server, backup):
    """As the pool of a running server does."""
    stop = threading.Event()
    seen = set()

    def come_back() -> None:
        while not stop.is_set():
            with suppress(Exception), server.connected() as connection:
                while not stop.wait(0.005):
                    query = "SELECT count(*) FROM schema_history"
                    seen.add(connection.execute(query).fetchone()[0])

    threads = [threading.Thread(target=come_back) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            server.restore(PROJECT, backup, PATIENCE, quiet, lambda users: True)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert seen <= {5, 2} and len(execute(server, "TABLE schema_history")) == 2


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(None, "there is no such file", id="no file"),
        pytest.param(b"PGDMP half", "was not restored", id="half a dump"),
        pytest.param(b"-- SQL\n", "name a backup that pg_dump -Fc made", id="no dump"),
    ],
)
def test_what_is_no_whole_dump_is_refused_and_nothing_is_touched(server, backup, content, words):
    file = backup.with_name("other")
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(RestoreRefused, match=words) as raised:
        server.restore(PROJECT, file, PATIENCE, quiet, lambda users: True)
    assert "\n" not in str(raised.value)
    assert len(execute(server, "TABLE schema_history")) == 5
    assert databases(server) == {server.parameters["dbname"]}


def test_a_dump_that_was_cut_is_refused(server, backup):
    content = backup.read_bytes()
    backup.write_bytes(content[: len(content) * 3 // 4])
    with pytest.raises(RestoreRefused):
        server.restore(PROJECT, backup, PATIENCE, quiet)
    assert len(execute(server, "TABLE schema_history")) == 5
    assert databases(server) == {server.parameters["dbname"]}


def test_a_backup_of_something_else_is_refused(server, postgres_server, tmp_path):
    with postgres_server.database() as name:
        other = locate(postgres_server.url(name), folder=tmp_path / "other")
        execute(other, "CREATE TABLE meetings (id int)")
        taken = other.back_up(PATIENCE, quiet).path
    with pytest.raises(RestoreRefused, match="none of this application's tables"):
        server.restore(PROJECT, taken, PATIENCE, quiet)


def test_a_backup_of_newer_code_is_refused(server, backup):
    older = PROJECT._replace(listed=MIGRATIONS[:1])
    with pytest.raises(RestoreRefused, match=f"does not list '{MIGRATIONS[1]}'"):
        server.restore(older, backup, PATIENCE, quiet)
    assert databases(server) == {server.parameters["dbname"]}


def test_a_role_that_may_not_create_a_database_is_told(server, backup):
    execute(server, "CREATE ROLE worker LOGIN")
    try:
        with pytest.raises(RestoreRefused, match='ALTER ROLE "worker" CREATEDB'):
            server.at(user="worker").restore(PROJECT, backup, PATIENCE, quiet)
    finally:
        execute(server, "DROP ROLE worker")


def test_a_missing_database_is_made_from_the_backup(server, backup, postgres_server):
    name = server.parameters["dbname"]
    with postgres_server.connect() as connection:
        connection.execute(f"DROP DATABASE {name}")
    assert server.restore(PROJECT, backup, PATIENCE, quiet) is None
    assert len(execute(server, "TABLE schema_history")) == 2
