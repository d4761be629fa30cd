"""Places to try things, and what they leave: nothing."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.errors import UnusableDatabase

RICH = Path(__file__).with_name("rich.sql").read_text()
LEFT = (
    "SELECT datname FROM pg_database WHERE datname LIKE 'guarded%' "
    "UNION ALL SELECT nspname FROM pg_namespace WHERE nspname LIKE 'guarded%'"
)


@pytest.fixture
def server(postgres_url, tmp_path) -> PostgresqlServer:
    return locate(postgres_url, folder=tmp_path / "backups")


@pytest.fixture
def role(postgres_server, postgres_url):
    """A role that may create no database, and what it may otherwise be granted."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE worker LOGIN PASSWORD 'a:b\\c'")
        yield "worker"
        name = connection.info.dbname
        connection.execute("REASSIGN OWNED BY worker TO postgres; DROP OWNED BY worker")
        connection.execute(f"REVOKE ALL ON DATABASE {name} FROM worker")
    with postgres_server.connect() as connection:
        connection.execute("DROP ROLE worker")


def rows(server: PostgresqlServer, query: str) -> list[tuple]:
    with server.connected() as connection:
        return connection.execute(query).fetchall()


def test_a_scratch_database_is_empty_and_gone_afterwards(server):
    with server.connected() as connection:
        connection.execute("CREATE TABLE here (id int)")
    with server.scratch() as scratch:
        assert rows(scratch, "SELECT count(*) FROM pg_class WHERE relname = 'here'") == [(0,)]
        assert rows(scratch, "SELECT current_schema()") == [("public",)]
        with scratch.scratch() as second:
            assert second.parameters["dbname"] != scratch.parameters["dbname"]
    assert rows(server, LEFT) == []


def test_a_scratch_database_goes_with_whoever_still_uses_it(server):
    with pytest.raises(ZeroDivisionError):  # noqa: SIM117
        with server.scratch() as scratch:
            user = scratch.connect()
            1 / 0  # noqa: B018
    user.close()
    assert rows(server, LEFT) == []


def test_a_scratch_database_has_the_schema_of_the_search_path(postgres_url):
    server = locate(f"{postgres_url}?options=-csearch_path%3D%22My%5C%20App%22")
    with locate(postgres_url).connected() as connection:
        connection.execute('CREATE SCHEMA "My App"')
    with server.scratch() as scratch:
        assert rows(scratch, "SELECT current_schema()") == [("My App",)]


def test_who_may_not_create_a_database_is_told_both_ways(server, role):
    with pytest.raises(UnusableDatabase, match="--scratch URL, or ALTER ROLE .worker. CREATEDB"):  # noqa: SIM117
        with server.at(user=role).scratch():
            pass


def test_a_scratch_url_gives_a_schema_of_its_own(server, role, postgres_server):
    with postgres_server.database() as name:
        with postgres_server.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} OWNER TO {role}")
        url = postgres_server.url(name, role)
        limited = locate(str(server.at(user=role)), scratch_url=url)
        with limited.scratch() as scratch, scratch.scratch() as second:
            for place in (scratch, second):
                with place.connected() as connection:
                    connection.execute("CREATE TABLE tried (id int)")
            assert scratch.parameters["dbname"] == second.parameters["dbname"] == name
        assert rows(locate(url), LEFT) == []
        with postgres_server.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} OWNER TO postgres")


def test_the_database_itself_is_no_scratch(server, postgres_url):
    twice = locate(postgres_url, scratch_url=postgres_url)
    with pytest.raises(UnusableDatabase, match="is the database itself"):  # noqa: SIM117
        with twice.scratch():
            pass


def test_a_copy_has_every_object_and_row(server):
    from guarded.backends.postgresql.definitions import definitions

    with server.connected() as connection:
        connection.execute(RICH)
        connection.execute(
            "INSERT INTO \"Mixed Case\" (\"Name\", note) VALUES ('a', '100 %'), ('b', NULL)"
        )
        before = definitions(connection.execute)
    with server.copy(None, lambda done, total: None) as copy, copy.connected() as connection:
        assert {*definitions(connection.execute)} == {*before}
        notes = connection.execute('SELECT id, note FROM "Mixed Case" ORDER BY id').fetchall()
        assert notes == [(1, "100 %"), (2, None)]
    assert rows(server, LEFT) == []


def test_a_copy_into_a_scratch_database_empties_it_again(server, postgres_server):
    with server.connected() as connection:
        connection.execute("CREATE TABLE here (id int); CREATE SCHEMA more; CREATE TABLE more.t ()")
    with postgres_server.database() as name:
        url = postgres_server.url(name)
        told = locate(str(server), scratch_url=url)
        for _ in range(2):
            with told.copy(None, lambda done, total: None) as copy:
                assert rows(copy, "TABLE more.t") == rows(copy, "TABLE here") == []
        with locate(url).connected() as connection:
            connection.execute("CREATE TABLE in_use (id int)")
        with pytest.raises(UnusableDatabase, match="is not empty: it has 'in_use'"):  # noqa: SIM117
            with told.copy(None, lambda done, total: None):
                pass
        assert rows(locate(url), "TABLE in_use") == []
