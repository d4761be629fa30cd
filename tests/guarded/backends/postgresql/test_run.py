"""The server's own migrations on PostgreSQL, through the real command line."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from guarded.backends.postgresql.connect import PostgresqlServer, locate
from guarded.backends.postgresql.definitions import definitions
from server.migrations.migrate import MIGRATIONS
from tests.conftest import MIGRATE, below_where
from tests.postgres import FULL

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def server(postgres_url, tmp_path) -> PostgresqlServer:
    return locate(postgres_url, folder=tmp_path / "backups")


@pytest.fixture
def migrate(postgres_url) -> Cli:
    def run(*arguments: str, url: str = postgres_url) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(MIGRATE), *arguments]
        environment = {**os.environ, "DATABASE_URL": url}
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
        done.stdout = below_where(done.stdout)
        return done

    return run


def rows(server: PostgresqlServer, query: str) -> list[tuple]:
    with server.connected() as connection:
        return connection.execute(query).fetchall()


def everything(server: PostgresqlServer) -> set[tuple]:
    with server.connected() as connection:
        return {tuple(d) for d in definitions(connection.execute) if "schema_history" not in str(d)}


def test_all_are_applied_and_then_there_is_nothing_to_do(server, migrate):
    done = migrate()
    assert (done.returncode, done.stderr) == (0, "")
    assert migrate("status").returncode == 0
    before = everything(server), rows(server, "TABLE schema_history")
    again = migrate()
    assert again.stdout.startswith("nothing to do: 5 of 5 applied")
    assert (everything(server), rows(server, "TABLE schema_history")) == before
    checked = migrate("check", "--strict")
    assert (checked.returncode, checked.stdout) == (0, "no difference\n")


def test_a_role_that_can_only_read_finds_nothing_to_do(server, migrate):
    assert migrate().returncode == 0
    with server.connected() as connection:
        connection.execute(
            "CREATE ROLE looker LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO looker"
        )
        connection.execute("ALTER ROLE looker SET default_transaction_read_only = on")
        try:
            done = migrate(url=str(server.at(user="looker")))
            assert done.stdout.startswith("nothing to do"), done.stderr
            assert migrate("status", url=str(server.at(user="looker"))).returncode == 0
        finally:
            connection.execute("DROP OWNED BY looker; DROP ROLE looker")


def test_down_through_all_and_up_again_is_the_same_schema(server, migrate):
    assert migrate("up", "--no-backup").returncode == 0
    before = everything(server)
    down = migrate("down", MIGRATIONS[0], "--yes", "--no-backup")
    assert down.returncode == 0, down.stderr
    assert rows(
        server,
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
        "'public'::regnamespace",
    ) == [("schema_history",)]
    assert migrate("up", "--no-backup").returncode == 0
    assert everything(server) == before


def test_plan_changes_nothing_and_tells_the_sql(server, migrate):
    done = migrate("plan")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'CREATE TABLE "meetings"' in done.stdout and "SERIAL NOT NULL PRIMARY KEY" in done.stdout
    assert everything(server) == set()
    assert rows(server, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'guarded%'") == []


@pytest.mark.skipif(not FULL, reason="takes half a minute; make test-postgres")
def test_verify_holds_on_databases_of_its_own(server, migrate):
    done = migrate("--json", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(verdict["holds"] for verdict in json.loads(done.stdout)["verdicts"])
    assert everything(server) == set()


def test_rehearse_counts_the_rows_of_a_copy(server, migrate):
    assert migrate("up", MIGRATIONS[1], "--no-backup").returncode == 0
    with server.connected() as connection:
        connection.execute(
            "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time) "
            "SELECT 'mtg_' || i, 'a', 'owner', now(), now() FROM generate_series(1, 50) AS i"
        )
    done = migrate("--json", "rehearse")
    assert done.returncode == 0, done.stdout + done.stderr
    rehearsal = json.loads(done.stdout)["rehearsal"]
    assert rehearsal["rows"]["meetings"] == [50, 50] and rehearsal["repeated"] == []
    assert rows(server, "SELECT count(*) FROM schema_history") == [(2,)]


MEETING = "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time) VALUES "
PEOPLE = "INSERT INTO meeting_participants (meeting_id, user_id, role, status) VALUES "


def test_invitees_move_into_their_meeting_and_come_back_with_their_values(server, migrate):
    assert migrate("up", MIGRATIONS[2], "--no-backup").returncode == 0
    with server.connected() as connection:
        connection.execute(
            f"{MEETING} ('m1', 'One', 'owner', now(), now()), ('m2', 'Two', 'owner', now(), now())"
        )
        connection.execute(
            f"{PEOPLE} ('m1', 'owner', 'meeting_owner', 'accepted'), "
            "('m1', 'zoë', 'meeting_manager', 'declined'), "
            "('m1', 'a\"b', 'meeting_member', 'accepted')"
        )
        connection.execute("UPDATE meetings SET max_participants = 7 WHERE meeting_id = 'm1'")
    assert migrate("up", MIGRATIONS[3], "--no-backup").returncode == 0
    found = rows(server, "SELECT meeting_id, invited_participants FROM meetings ORDER BY 1")
    assert [(m, json.loads(text)) for m, text in found] == [("m1", ["zoë", 'a"b']), ("m2", [])]
    with server.connected() as connection:
        connection.execute(
            'UPDATE meetings SET invited_participants = \'["zoë", "new"]\' '
            "WHERE meeting_id = 'm1'"
        )
    down = migrate("down", "--yes", "--no-backup")
    assert down.returncode == 0, down.stderr
    people = rows(
        server, "SELECT meeting_id, user_id, role, status FROM meeting_participants ORDER BY 1, 2"
    )
    assert people == [
        ("m1", "new", "meeting_member", "invited"),
        ("m1", "owner", "meeting_owner", "accepted"),
        ("m1", "zoë", "meeting_manager", "declined"),
        ("m2", "owner", "meeting_owner", "invited"),
    ]
    assert rows(server, "SELECT max_participants FROM meetings ORDER BY meeting_id") == [
        (7,),
        (None,),
    ]
    with server.connected() as connection:  # no id is given out twice
        connection.execute(f"{PEOPLE} ('m2', 'late', 'meeting_member', 'invited')")


def test_a_row_with_an_id_of_its_own_moves_the_sequence(server, migrate):
    assert migrate("up", "--no-backup").returncode == 0
    with server.connected() as connection:
        query = 'INSERT INTO "ServerSettings" DEFAULT VALUES RETURNING id'
        assert connection.execute(query).fetchone() == (2,)


@pytest.mark.parametrize(
    "statement", ["COMMIT", "ROLLBACK", "VACUUM", "CREATE INDEX CONCURRENTLY i ON t (id)"]
)
def test_a_statement_that_can_not_be_in_a_run_is_refused(server, make_project, statement):
    from guarded.errors import MigrationError
    from guarded.run import Runner
    from tests.conftest import migration

    with server.connected() as connection:
        connection.execute("CREATE TABLE t (id int)")
    project = make_project({"a": migration(f"migrator.migrate(migrator.sql({statement!r}))")})
    with pytest.raises(
        MigrationError, match="a run is one|does not do it in a transaction|CONCURRENTLY"
    ):
        Runner(project, server, backup=False).up()
    assert rows(server, "SELECT to_regclass('schema_history')") == [(None,)]


LOSSES = {
    "DELETE": "db.execute_sql('DELETE FROM logs WHERE id > 1')",
    "TRUNCATE": "db.execute_sql('TRUNCATE logs CASCADE')",
    "a cascade": "migrator.migrate(migrator.sql('DELETE FROM parents'))",
    "a trigger": "migrator.migrate(migrator.sql('INSERT INTO parents VALUES (3)'))",
    "the bare connection": "db.connection().execute('DELETE FROM logs')",
    "DROP TRIGGER": "db.execute_sql('DROP TRIGGER parents_gone ON parents')",
    "DROP VIEW": "db.execute_sql('DROP VIEW all_logs')",
    "DROP POLICY": "db.execute_sql('DROP POLICY own ON logs')",
    "another view": "db.execute_sql('CREATE OR REPLACE VIEW all_logs AS SELECT id FROM logs WHERE id > 5')",
}
WORDS = {
    "DELETE": "table 'logs' with 1 of 3 rows",
    "TRUNCATE": "table 'logs' with 0 of 3 rows",
    "a cascade": "table 'logs' with 1 of 3 rows",
    "a trigger": r"table 'logs' with 0 of 3 rows \(by trigger 'parents_gone'\)",
    "the bare connection": "table 'logs' with 0 of 3 rows",
    "DROP TRIGGER": "'a' dropped trigger 'parents_gone' of table 'parents'",
    "DROP VIEW": "'a' dropped view 'all_logs'",
    "DROP POLICY": "'a' dropped policy 'own' of table 'logs'",
    "another view": "'a' changed view 'all_logs'",
}


@pytest.mark.parametrize("case", LOSSES)
def test_a_loss_that_no_verb_named_is_rolled_back_and_told(server, make_project, case):
    from guarded.errors import BrokenPromise
    from guarded.run import Runner
    from tests.conftest import migration

    with server.connected() as connection:
        connection.execute(
            """
            CREATE TABLE parents (id int PRIMARY KEY);
            CREATE TABLE logs (id int PRIMARY KEY, parent int REFERENCES parents ON DELETE CASCADE);
            INSERT INTO parents VALUES (1), (2);
            INSERT INTO logs VALUES (1, NULL), (2, 1), (3, 2);
            CREATE VIEW all_logs AS SELECT id FROM logs;
            CREATE POLICY own ON logs USING (true);
            CREATE FUNCTION empty() RETURNS trigger LANGUAGE plpgsql AS
                $$BEGIN DELETE FROM logs; RETURN NULL; END$$;
            CREATE TRIGGER parents_gone AFTER INSERT ON parents EXECUTE FUNCTION empty();
            """
        )
    before = everything(server)
    project = make_project({"a": migration(LOSSES[case])})
    with pytest.raises(BrokenPromise, match=WORDS[case]):
        Runner(project, server, backup=False).up()
    assert everything(server) == before
    assert rows(server, "SELECT count(*) FROM logs") == [(3,)]


def test_what_a_statement_of_its_own_made_goes_down_with_it(server, make_project):
    from guarded.run import Runner
    from tests.conftest import migration

    up = "db.execute_sql('CREATE TABLE made (id int PRIMARY KEY)')"
    down = "migrator.migrate(migrator.drop_table('made'))"
    runner = Runner(make_project({"a": migration(up, down)}), server, backup=False)
    runner.up()
    runner.down()
    assert rows(server, "SELECT to_regclass('made')") == [(None,)]


def test_a_bad_statement_is_one_line_and_nothing_is_done(server, make_project):
    from guarded.errors import MigrationFailed
    from guarded.run import Runner
    from tests.conftest import migration

    project = make_project({"a": migration("db.execute_sql('SELEC 1 % 2')")})
    with pytest.raises(MigrationFailed) as raised:
        Runner(project, server, backup=False).up()
    assert str(raised.value) == (
        """up of 'a' failed: syntax error at or near "SELEC" (line 7 of a.py); """
        "the last statement was: SELEC 1 % 2"
    )


def test_psycopg_sees_a_percent_sign_as_it_is(server, make_project):
    from guarded.run import Runner
    from tests.conftest import migration

    body = (
        "db.execute_sql(\"CREATE TABLE t AS SELECT '100 %s' AS a, 7 % 4 AS b\")\n"
        "db.execute_sql('INSERT INTO t VALUES (%s, %s)', ('50 %', 1))"
    )
    Runner(make_project({"a": migration(body)}), server, backup=False).up()
    assert rows(server, "SELECT a, b FROM t ORDER BY b DESC") == [("100 %s", 3), ("50 %", 1)]


def test_without_rights_the_grant_is_named(server, migrate):
    with server.connected() as connection:
        connection.execute("CREATE ROLE poor LOGIN")
        try:
            done = migrate(url=str(server.at(user="poor")))
            assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
            assert "permission denied for schema public; GRANT CREATE" in done.stderr
            connection.execute(re.search("GRANT [^;]*", done.stderr).group())
            connection.execute(f"GRANT CREATE ON DATABASE {server.parameters['dbname']} TO poor")
            assert migrate(url=str(server.at(user="poor"))).returncode == 0
            connection.execute("DROP OWNED BY poor")
        finally:
            connection.execute("DROP ROLE poor")


def test_a_column_that_is_not_null_with_a_default_writes_no_row(server, make_project):
    """playhouse's own way writes every row, and reads all of them again."""
    from guarded.run import Runner
    from tests.conftest import migration

    with server.connected() as connection:
        connection.execute("CREATE TABLE wide AS SELECT i AS id FROM generate_series(1, 1000) AS i")
    state = (
        "SELECT relfilenode, (SELECT string_agg(ctid::text || xmin::text, ' ' ORDER BY id) "
        "FROM wide) FROM pg_class WHERE relname = 'wide'"
    )
    before = rows(server, state)
    body = "migrator.migrate(migrator.add_column('wide', 'color', CharField(default='red')))"
    Runner(make_project({"a": migration(body)}), server, backup=False).up()
    assert rows(server, state) == before
    assert rows(server, "SELECT DISTINCT color FROM wide") == [("red",)]
