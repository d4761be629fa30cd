"""Verbs on a schema with all kinds of objects: each is kept, or named in a refusal."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guarded.backends.postgresql.connect import locate
from guarded.errors import BrokenPromise, Refused
from guarded.patience import Patience
from guarded.run import Runner
from tests.conftest import migration

RICH = (Path(__file__).parent / "rich.sql").read_text()
ROWS = """
INSERT INTO "Mixed Case" ("Name", feel, n, note) VALUES ('a', 'happy', 2, 'x'), ('b', 'sad', 3, 'y');
INSERT INTO rooms (owner, used) VALUES (1, '[1,3)'), (2, '[5,7)');
INSERT INTO events VALUES ('2025-05-05', 'e'), ('2030-01-01', 'f');
INSERT INTO parent VALUES (1, 'p');
INSERT INTO child VALUES (2, 'c', 3);
REFRESH MATERIALIZED VIEW counted;
"""


@pytest.fixture
def server(postgres_url, tmp_path):
    found = locate(postgres_url, folder=tmp_path / "backups")
    with found.connected() as connection:
        connection.execute(RICH + ROWS)
    return found


@pytest.fixture
def run(server, make_project):
    def run(up, down=None, *, is_undone=False):
        project = make_project({"a": migration(up, down or "pass")})
        runner = Runner(project, server, Patience(5), backup=False)
        done = runner.up()
        if is_undone:
            runner.down()
        return [(s.action.value, str(s.target)) for o in done.outcomes for s in o.steps]

    return run


def dump(server, postgres_server):
    """The schema as pg_dump writes it, without the history."""
    command = [postgres_server.binaries / "pg_dump", "--schema-only", "-T", "schema_history*"]
    done = subprocess.run([*command, str(server)], capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("\\")]
    return sorted(line.rstrip(",") for line in lines)  # a column that comes back stands at the end


def rows(server, query):
    with server.connected() as connection:
        return connection.execute(query).fetchall()


@pytest.mark.parametrize(
    ("up", "down"),
    [
        pytest.param(
            "add_column('Mixed Case', 'New Col', CharField(default='100 %'))",
            "drop_column('Mixed Case', 'New Col')",
            id="add_column",
        ),
        pytest.param(
            "add_column('events', 'place', CharField(default='here', index=True))",
            "drop_column('events', 'place')",
            id="add_column to a partitioned table",
        ),
        pytest.param(
            "add_column('parent', 'd', IntegerField(null=True))",
            "drop_column('parent', 'd')",
            id="add_column to a table that others inherit from",
        ),
        pytest.param(
            "rename_column('Mixed Case', 'Name', 'Title')",
            "rename_column('Mixed Case', 'Title', 'Name')",
            id="rename_column",
        ),
        pytest.param(
            "rename_column('Mixed Case', 'n', 'm')",
            "rename_column('Mixed Case', 'm', 'n')",
            id="rename_column of a trigger and a check",
        ),
        pytest.param(
            "rename_table('Mixed Case', 'plain')",
            "rename_table('plain', 'Mixed Case')",
            id="rename_table",
        ),
        pytest.param(
            "rename_table('events', 'happenings')",
            "rename_table('happenings', 'events')",
            id="rename_table of a partitioned table",
        ),
        pytest.param(
            "add_not_null('Mixed Case', 'note')",
            "drop_not_null('Mixed Case', 'note')",
            id="add_not_null",
        ),
        pytest.param(
            "add_column_default('rooms', 'used', SQL(\"'[1,2)'::int4range\"))",
            "drop_column_default('rooms', 'used')",
            id="add_column_default",
        ),
        pytest.param(
            "add_constraint('Mixed Case', 'short', Check('length(note) < 9'))",
            "drop_constraint('Mixed Case', 'short')",
            id="add_constraint",
        ),
        pytest.param(
            "add_unique('Mixed Case', 'note', 'n')",
            "drop_constraint('Mixed Case', 'uniq_note_n')",
            id="add_unique",
        ),
        pytest.param(
            "add_index('rooms', ('owner', 'next'), where=SQL('next > 0'))",
            "drop_index('rooms', 'rooms_owner_next')",
            id="add_index",
        ),
        pytest.param(
            "add_index('events', ('kind', 'at'))",
            "drop_index('events', 'events_kind_at')",
            id="add_index on a partitioned table",
        ),
        pytest.param(
            "add_foreign_key_constraint('passing', 'x', 'Mixed Case', 'id', 'CASCADE')",
            "drop_foreign_key_constraint('passing', 'x')",
            id="add_foreign_key_constraint",
        ),
        pytest.param(
            "fill('Mixed Case', 'note', \"'100 %'\")", "fill('rooms', 'next', '9')", id="fill"
        ),
    ],
)
def test_all_is_as_it_was_after_a_down(server, postgres_server, run, up, down):
    before = dump(server, postgres_server)
    count = (
        'SELECT (SELECT count(*) FROM "Mixed Case"), (SELECT count(*) FROM events), count(*) FROM'
    )
    steps = run(f"migrator.migrate(migrator.{up})", f"migrator.migrate(migrator.{down})")
    assert steps[0][0] != "skip"
    with server.connected() as connection:  # the views are there and work
        assert connection.execute("SELECT count(*) FROM named_twice").fetchall() == [(1,)]
        connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY counted")
    run(f"migrator.migrate(migrator.{up})", f"migrator.migrate(migrator.{down})", is_undone=True)
    assert dump(server, postgres_server) == before
    assert rows(server, f"{count} rooms") == [(2, 2, 2)]


@pytest.mark.parametrize(
    ("verb", "names"),
    [
        ("drop_column('Mixed Case', 'Name')", "view 'named'"),
        ("drop_column('Mixed Case', 'note')", "index 'by Name', constraint 'the note' needs it"),
        ("drop_column('Mixed Case', 'n')", "trigger 'touched'"),
        ("drop_column('rooms', 'next')", "statistics 'correlated'"),
        ("drop_column('rooms', 'owner')", "policy 'own_rooms'"),
        ("drop_column('rooms', 'used')", "constraint 'rooms_owner_used_excl'"),
        ("drop_column('events', 'kind')", "the primary key"),
        ("drop_column('events_2025', 'kind')", "the primary key"),
        ("drop_table('Mixed Case')", "table 'rooms' refers to it"),
        ("drop_table('rooms')", "counted"),
        ("alter_column_type('Mixed Case', 'Name', CharField())", "view named"),
        ("alter_column_type('Mixed Case', 'id', BigIntegerField())", "generated column|view named"),
    ],
)
def test_a_drop_that_would_take_others_along_names_them(server, postgres_server, run, verb, names):
    before = dump(server, postgres_server)
    with pytest.raises(Refused, match=names):
        run(f"migrator.migrate(migrator.{verb})")
    assert dump(server, postgres_server) == before


FUNCTION = (
    "CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN TRUNCATE events_2025; RETURN NULL; END $$; "
    "CREATE TRIGGER empty AFTER DELETE ON child EXECUTE FUNCTION empty()"
)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(
            "db.execute_sql('TRUNCATE events')", "table 'events' with 0 of 2 rows", id="truncate"
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('TRUNCATE \"Mixed Case\" CASCADE'))",
            "'rooms' with 0 of 2 rows",
            id="truncate and cascade",
        ),
        pytest.param(
            "db.execute_sql('DELETE FROM events')", "'events_2025' with 0 of 1", id="partitions"
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('DELETE FROM \"Mixed Case\"'))",
            "'rooms' with 0 of 2 rows",
            id="a cascade",
        ),
        pytest.param(
            f'migrator.migrate(migrator.sql("""{FUNCTION}"""))\n'
            "migrator.migrate(migrator.sql('DELETE FROM child'))",
            "events_2025",
            id="a trigger that truncates",
        ),
        pytest.param(
            "db.execute_sql('DROP POLICY own_rooms ON rooms')",
            "dropped policy 'own_rooms'",
            id="policy",
        ),
        pytest.param(
            "db.execute_sql('DROP RULE quiet ON passing')", "dropped rule 'quiet'", id="rule"
        ),
        pytest.param(
            "db.execute_sql('DROP MATERIALIZED VIEW counted')", "dropped view 'counted'", id="view"
        ),
        pytest.param(
            "migrator.migrate(migrator.sql('DROP FUNCTION touch() CASCADE'))",
            "dropped trigger 'touched' of table 'Mixed Case'.*dropped trigger 'asleep'",
            id="a cascade that drops triggers",
        ),
        pytest.param(
            "db.execute_sql('ALTER TABLE rooms DISABLE ROW LEVEL SECURITY')",
            "changed table 'rooms'",
            id="row security",
        ),
        pytest.param(
            "db.execute_sql('ALTER TABLE \"Mixed Case\" DISABLE TRIGGER touched')",
            "changed trigger 'touched'",
            id="a trigger switched off",
        ),
        pytest.param(
            "db.execute_sql('REVOKE SELECT ON rooms FROM PUBLIC')",
            "changed table 'rooms'",
            id="grant",
        ),
        pytest.param(
            "db.execute_sql(\"COMMENT ON TABLE rooms IS 'x'\")",
            "changed table 'rooms'",
            id="comment",
        ),
    ],
)
def test_an_unannounced_change_is_rolled_back(server, postgres_server, run, body, says):
    before = dump(server, postgres_server)
    with pytest.raises(BrokenPromise, match=says):
        run(body)
    assert dump(server, postgres_server) == before
    assert rows(server, "SELECT count(*) FROM events") == [(2,)]


@pytest.mark.parametrize(
    "body",
    [
        "migrator.migrate(migrator.sql('DELETE FROM events'))",
        "migrator.migrate(migrator.sql('TRUNCATE events'))",
        "migrator.migrate(migrator.sql('DELETE FROM parent'))",
        "migrator.migrate(migrator.sql('UPDATE events SET at = at + 10000'))",
        "migrator.migrate(migrator.sql('DROP TABLE events'))",
        "migrator.migrate(migrator.drop_table('events'))",
        "migrator.migrate(migrator.drop_table('child'))",
    ],
)
def test_an_announced_change_is_kept(run, body):
    assert run(body)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (
            "db.execute_sql('CREATE INDEX CONCURRENTLY i ON rooms (owner)')",
            r"CONCURRENTLY.*migrator\.add_index",
        ),
        ("db.execute_sql('VACUUM rooms')", "may not VACUUM"),
        ("db.execute_sql('SELECT 1; COMMIT')", "may not COMMIT the transaction"),
        ("db.connection().cursor().execute(b'rollback')", "may not ROLLBACK the transaction"),
        (
            "migrator.migrate(migrator.sql(\"ALTER TYPE mood ADD VALUE 'new'\"),"
            ' migrator.sql("UPDATE \\"Mixed Case\\" SET feel = \'new\'"))',
            "new value",
        ),
    ],
)
def test_what_no_transaction_can_do_is_refused(server, postgres_server, run, body, says):
    before = dump(server, postgres_server)
    with pytest.raises(Refused, match=says):
        run(body)
    assert dump(server, postgres_server) == before


def test_a_function_with_an_atomic_body_is_no_end_of_the_transaction(run):
    run(
        'migrator.migrate(migrator.sql("CREATE FUNCTION two() RETURNS integer LANGUAGE sql '
        'BEGIN ATOMIC SELECT 1; SELECT 2; END"))'
    )


def test_ids_go_on_after_rows_with_ids_of_their_own(server, run):
    run("migrator.migrate(migrator.sql('INSERT INTO \"Mixed Case\" (id) VALUES (70)'))")
    assert rows(server, 'INSERT INTO "Mixed Case" ("Name") VALUES (\'n\') RETURNING id') == [(71,)]


def test_a_table_is_created_while_checks_of_its_parent_are_deferred(run, server):
    with server.connected() as connection:
        connection.execute(
            "CREATE TABLE boss (id int PRIMARY KEY, mate int REFERENCES boss DEFERRABLE"
            " INITIALLY DEFERRED)"
        )
    run(
        "db.execute_sql('INSERT INTO boss VALUES (1, 2), (2, 1)')\n"
        "class Boss(Model):\n    class Meta: table_name = 'boss'\n"
        "class Desk(Model):\n    boss = ForeignKeyField(Boss)\n"
        "    class Meta: table_name = 'desk'\n"
        "migrator.migrate(migrator.create_table(Desk))\n"
        "db.execute_sql('INSERT INTO desk (boss_id) VALUES (1)')"
    )
    assert rows(server, "SELECT count(*) FROM desk") == [(1,)]
