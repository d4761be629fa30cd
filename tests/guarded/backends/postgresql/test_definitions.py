"""A schema is made anew from its definitions, with everything in it."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from guarded.backends.postgresql.definitions import definitions
from guarded.backends.postgresql.scratch import make

RICH = Path(__file__).with_name("rich.sql").read_text()


@pytest.fixture
def rich(postgres_url):
    """A connection to a database with everything that issue 15 names."""
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(RICH)
        yield connection


def test_what_was_made_anew_has_the_same_definitions(rich):
    before = definitions(rich.execute)
    kinds = {definition.kind for definition in before}
    assert kinds == {
        "type", "domain", "sequence", "owned sequence", "function", "table", "partition",
        "constraint", "foreign key", "index", "attached index", "statistics", "view",
        "materialized view", "trigger", "trigger state", "rule", "policy", "row security", "comment",
    }  # fmt: skip
    with rich.transaction(force_rollback=True):
        rich.execute("CREATE SCHEMA other; SET LOCAL search_path = other, public")
        assert make(rich, before) == []
        rich.execute("SET LOCAL search_path = other")  # and nothing of the first is left in it
        after = definitions(rich.execute)
        assert {d.sql.replace("public.citext", "citext") for d in after} == {d.sql for d in before}


def test_an_object_finds_those_it_needs_and_not_their_namesakes(rich):
    """A view that was replaced needs a later one, and a function the rows of a table."""
    rich.execute("CREATE VIEW late AS SELECT 1 AS id, ''::citext AS \"Name\"")
    rich.execute('CREATE OR REPLACE VIEW named AS SELECT id, "Name" FROM late')
    before = definitions(rich.execute)
    with rich.transaction(force_rollback=True):
        rich.execute("CREATE SCHEMA other; SET LOCAL search_path = other, public")
        assert make(rich, before) == []
        rich.execute("SET LOCAL search_path = other")
        assert not [d.name for d in definitions(rich.execute) if "public.late" in d.sql]
        rich.execute("DROP SCHEMA other CASCADE")


def test_what_can_not_be_made_is_told_and_the_rest_is_there(rich):
    before = definitions(rich.execute)
    with rich.transaction(force_rollback=True):
        rich.execute("CREATE SCHEMA other; SET LOCAL search_path = other")
        failed = {definition.name: why for definition, why in make(rich, before)}
        assert 'type "citext" does not exist' in failed["Mixed Case"]
        assert "child" not in failed and rich.execute("TABLE other.child").fetchall() == []


def test_reading_definitions_takes_no_lock_on_a_table(rich, postgres_url):
    """Someone holds the strongest lock on every table, and nobody waits."""
    with psycopg.connect(postgres_url, autocommit=True) as other, other.transaction():
        for (table,) in rich.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'public'::regnamespace"
        ).fetchall():
            other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        before = definitions(other.execute)
    assert before == definitions(rich.execute)
