"""What the catalogue said is kept for as long as nothing could have changed it."""

from __future__ import annotations

import psycopg
import pytest

from guarded.backends.postgresql.connect import locate
from guarded.backends.postgresql.inspect import Inspector


@pytest.fixture
def server(postgres_url):
    found = locate(postgres_url)
    with found.connected() as connection:
        connection.execute("CREATE TABLE t (id int); CREATE VIEW v AS SELECT id FROM t")
    return found


@pytest.fixture
def sent(monkeypatch):
    """The statements that go to the server."""
    found: list[str] = []
    execute = psycopg.Cursor.execute

    def spy(self, query, *arguments, **options):
        found.append(str(query))
        return execute(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", spy)
    return found


def test_a_question_is_sent_once_in_a_transaction(server, sent):
    with server.connected() as connection:
        connection.execute("BEGIN")
        inspector = Inspector(connection)
        first = inspector.schema(), inspector.objects()
        del sent[:]
        assert (inspector.schema(), inspector.objects()) == first
        assert sent == []


CHANGES = {
    "a statement": lambda c: c.execute("ALTER TABLE t ADD x int"),
    "a function": lambda c: c.execute("SELECT widen()"),
    "many": lambda c: c.cursor().executemany("SELECT widen()", [()]),
    "the end of a savepoint": lambda c: c.execute("ROLLBACK TO here"),
    "a copy": lambda c: c.cursor().copy("COPY (SELECT widen()) TO STDOUT").__enter__().read(),
}


@pytest.mark.parametrize("case", CHANGES)
def test_whatever_else_is_sent_lets_it_be_asked_again(server, case):
    with server.connected() as connection:
        connection.execute(
            "CREATE FUNCTION widen() RETURNS void LANGUAGE sql AS 'ALTER TABLE t ADD x int'"
        )
        connection.execute("BEGIN; SAVEPOINT here")
        if case == "the end of a savepoint":
            connection.execute("ALTER TABLE t ADD x int")
        inspector = Inspector(connection)
        before = inspector.table("t")
        CHANGES[case](connection)
        assert len(inspector.table("t").columns) != len(before.columns)


def test_a_block_that_is_undone_lets_it_be_asked_again(server):
    with server.connected() as connection:
        connection.execute("BEGIN")
        inspector = Inspector(connection)
        before = inspector.table("t")
        with connection.transaction(force_rollback=True):
            connection.execute("ALTER TABLE t ADD x int")
            assert len(inspector.table("t").columns) == 2
        assert inspector.table("t") == before


def test_outside_of_a_transaction_others_are_seen_at_once(server):
    with server.connected() as connection, server.connected() as other:
        inspector = Inspector(connection)
        assert len(inspector.table("t").columns) == 1
        other.execute("ALTER TABLE t ADD x int")
        assert len(inspector.table("t").columns) == 2


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("t", "table 't'"),
        ("v", "view 'v'"),
        ("i", "index 'i' of table 't'"),
        ("s", "sequence 's'"),
        ("kind", "type 'kind'"),
        ("f", None),
        ("T", None),
    ],
)
def test_the_relation_of_a_name(server, name, found):
    with server.connected() as connection:
        connection.execute(
            "CREATE INDEX i ON t (id); CREATE SEQUENCE s; CREATE TYPE kind AS (a int);"
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"
        )
        relation = Inspector(connection).relation(name)
        assert (relation.described if relation else None) == found
