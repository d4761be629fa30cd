"""The migrations, on an empty file and on every database of the former server."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from pathlib import Path

import pytest

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.findings import Severity
from guarded.plan import State
from guarded.run import Runner
from guarded.schema import Schema
from guarded.steps import Action
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.conftest import (
    LEGACY,
    compare,
    copy_legacy,
    declared_schema,
    live_schema,
    row_counts,
    schema_of,
)

OURS = {
    "client_sessions",
    "nonce_cache",
    "meetings",
    "ServerSettings",
    "Invitations",
    "user_links",
}
FIRST = MIGRATIONS[0]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("fresh") / "fresh.sqlite"
    Runner(PROJECT, SqliteFile(path)).up()
    return path


@pytest.fixture(params=LEGACY)
def legacy(request, path):
    """Name of a database of the former server, copied to ``path``."""
    copy_legacy(request.param, path)
    return request.param


@pytest.fixture
def runner(path):
    return Runner(PROJECT, SqliteFile(path), Patience(5))


def ours(connection: sqlite3.Connection) -> Schema:
    names = {name.lower() for name in OURS}
    schema = live_schema(connection)
    return {name: table for name, table in schema.items() if name in names}


def named_indexes(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = connection.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'")
    return {
        (table, name) for table, name in rows if table in OURS and not name.startswith("sqlite_")
    }


EXPECTED_COLUMNS = {
    "client_sessions": "client_id session_secret user_id device_id device_info expires_at "
    "last_used created_at",
    "nonce_cache": "nonce created_at",
    "meetings": "meeting_id title description created_by start_time end_time is_instant_call "
    "allow_external invitation_token voice_only mute_on_join created_at updated_at "
    "invited_participants",
    "ServerSettings": "id server_name server_picture registration_mode allowed_email_suffixes "
    "created_at updated_at",
    "Invitations": "id email token created_at expires_at used used_at invited_by",
    "user_links": "email user_id created_at",
}
EXPECTED_INDEXES = {
    ("client_sessions", "idx_sessions_user"),
    ("client_sessions", "idx_sessions_expires"),
    ("nonce_cache", "idx_nonce_created"),
    ("meetings", "meetings_created_by"),
    ("meetings", "meetings_start_time"),
    ("meetings", "meetings_end_time"),
    ("meetings", "meetings_is_instant_call"),
    ("Invitations", "invitations_email"),
    ("Invitations", "invitations_token"),
    ("Invitations", "invitations_expires_at"),
    ("user_links", "user_links_user_id"),
}


def test_an_empty_file_gets_the_current_schema(runner, connect):
    done = runner.up()
    assert [outcome.name for outcome in done.outcomes] == MIGRATIONS
    assert done.differences == ()
    connection = connect()
    assert set(row_counts(connection)) == OURS | {"schema_history"}
    for table, names in EXPECTED_COLUMNS.items():
        assert [r[1] for r in connection.execute(f"PRAGMA table_info({table})")] == names.split()
    assert named_indexes(connection) == EXPECTED_INDEXES
    settings = connection.execute("SELECT id, server_name, registration_mode FROM ServerSettings")
    assert settings.fetchall() == [(1, "Meeting Server", "open")]


def test_models_and_migrations_make_the_same_schema(connect, fresh):
    declared = declared_schema(PROJECT.models().persistent)
    live = live_schema(connect(fresh))
    assert compare(declared, live) == ()


def test_an_old_database_ends_with_the_schema_of_a_fresh_one(legacy, runner, connect, fresh):
    done = runner.up()
    assert [outcome.name for outcome in done.outcomes] == MIGRATIONS
    assert done.differences == ()
    expected, found = connect(fresh), connect()
    differences = compare(ours(expected), ours(found))
    assert [d.sentence for d in differences if d.severity != Severity.EXTRA] == []
    assert named_indexes(found) >= EXPECTED_INDEXES
    assert "meeting_participants" not in row_counts(found)
    for table in OURS:
        defaults = [
            {row[1]: row[4] for row in c.execute(f"PRAGMA table_info({table})")}
            for c in (expected, found)
        ]
        assert defaults[0] == defaults[1]


def test_no_row_is_lost_but_those_that_moved(legacy, runner, connect):
    before = row_counts(connect())
    runner.up()
    after = row_counts(connect())
    moved = {"meeting_participants"}
    kept = {name: rows for name, rows in before.items() if name not in moved}
    if "ServerSettings" in kept:
        kept["ServerSettings"] = 1  # the one row is made where it was missing
    assert {name: after[name] for name in kept} == kept
    assert connect().execute("PRAGMA foreign_key_check").fetchall() == []
    assert connect().execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def values(connection, table, columns):
    listed = ", ".join(f'"{name}"' for name in columns)
    return sorted(connection.execute(f'SELECT {listed} FROM "{table}"').fetchall(), key=repr)


def test_every_value_stays_as_it_was(legacy, runner, connect):
    connection = connect()
    before = {}
    gone = {"status", "max_participants", "source_channel_id", "source_user_id"}
    for table in row_counts(connection):
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        columns = [c for c in columns if table != "meetings" or c not in gone]
        if table != "meeting_participants" and row_counts(connection)[table]:
            before[table] = (columns, values(connection, table, columns))
    runner.up()
    for table, (columns, rows) in before.items():
        assert values(connect(), table, columns) == rows


def test_invitees_move_into_their_meeting(legacy, runner, connect):
    connection = connect()
    tables = row_counts(connection)
    expected = defaultdict(list)
    if "meeting_participants" in tables:
        for meeting, user in connection.execute(
            "SELECT p.meeting_id, p.user_id FROM meeting_participants AS p JOIN meetings AS m "
            "ON m.meeting_id = p.meeting_id AND m.created_by <> p.user_id ORDER BY participant_id"
        ):
            expected[meeting].append(user)
        assert len(expected) > 5
    elif "meetings" in tables:
        rows = connection.execute("SELECT meeting_id, invited_participants FROM meetings")
        expected.update((meeting, json.loads(invited)) for meeting, invited in rows)
    runner.up()
    for meeting, invited in connect().execute(
        "SELECT meeting_id, invited_participants FROM meetings"
    ):
        assert json.loads(invited) == expected[meeting]


def test_invitees_that_were_in_the_list_already_stay_in_front(path, runner, connect):
    copy_legacy("after3", path)
    connection = connect()
    meeting, owner = connection.execute(
        "SELECT meeting_id, created_by FROM meetings LIMIT 1"
    ).fetchone()
    connection.execute("DELETE FROM meeting_participants WHERE meeting_id = ?", (meeting,))
    for user in ("zed", owner, 'o"neill é', "amy"):
        connection.execute(
            "INSERT INTO meeting_participants (meeting_id, user_id) VALUES (?, ?)", (meeting, user)
        )
    connection.execute("ALTER TABLE meetings ADD COLUMN invited_participants TEXT")
    connection.execute(
        "UPDATE meetings SET invited_participants = ? WHERE meeting_id = ?",
        ('["x@example.com","amy"]', meeting),
    )
    runner.up()
    found = connect().execute(
        "SELECT invited_participants FROM meetings WHERE meeting_id = ?", (meeting,)
    )
    assert json.loads(found.fetchone()[0]) == ["x@example.com", "amy", "zed", 'o"neill é']


def test_a_broken_list_does_not_stop_the_run(path, runner, connect):
    copy_legacy("after3", path)
    connect().execute("ALTER TABLE meetings ADD COLUMN invited_participants TEXT DEFAULT 'oops['")
    assert runner.up().outcomes


@pytest.mark.parametrize("name", [n for n in LEGACY if n == "extra_tables"])
def test_other_peoples_triggers_views_and_indexes_still_work(name, path, runner, connect):
    copy_legacy(name, path)
    foreign = {row for row in schema_of(connect()) if row[2] not in OURS | {"meeting_participants"}}
    own = {row for row in schema_of(connect()) if row[1].startswith(("trg_", "v_", "ix_"))}
    runner.up()
    connection = connect()
    assert foreign | own <= set(schema_of(connection))
    shown = connection.execute("SELECT count(*) FROM v_meetings").fetchone()
    meant = connection.execute("SELECT count(*) FROM meetings WHERE allow_external = 1").fetchone()
    assert shown == meant != (0,)
    connection.execute("UPDATE meetings SET is_instant_call = 1 - is_instant_call")
    assert connection.execute("SELECT count(*) FROM audit_log").fetchone() == (20,)
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM meetings INDEXED BY ix_meetings_open "
        "WHERE is_instant_call = 0 AND start_time > '2025'"
    ).fetchall()
    assert "ix_meetings_open" in plan[0][3]


def test_the_move_of_invitees_fires_no_trigger(path, runner, connect):
    copy_legacy("extra_tables", path)
    connect().execute(
        "CREATE TRIGGER audit_all AFTER UPDATE ON meetings "
        "BEGIN INSERT INTO audit_log (what) VALUES (NEW.meeting_id); END"
    )
    runner.up()
    assert connect().execute("SELECT count(*) FROM audit_log").fetchone() == (0,)
    connect().execute("UPDATE meetings SET title = 'x'")
    assert connect().execute("SELECT count(*) FROM audit_log").fetchone() == (20,)


def test_down_through_all_and_up_again_is_the_same_schema(legacy, runner, connect):
    before = row_counts(connect())
    runner.up()
    current = schema_of(connect())
    rows = row_counts(connect())
    runner.down(FIRST)
    assert {s.state for s in runner.state().standings()} == {State.PENDING}
    after_down = row_counts(connect())
    for table in before:  # what was there before the first up stays, with its rows
        if table not in ("meeting_participants", "ServerSettings"):
            assert after_down[table] == before[table]
    runner.up()
    assert {row[1]: row for row in schema_of(connect())} == {row[1]: row for row in current}
    assert {**row_counts(connect()), "schema_history": 0} == {**rows, "schema_history": 0}
    assert connect().execute("PRAGMA foreign_key_check").fetchall() == []


def test_down_through_all_leaves_nothing_of_a_fresh_database(runner, connect):
    runner.up()
    runner.down(FIRST)
    assert row_counts(connect()) == {"schema_history": 2 * len(MIGRATIONS)}


HYBRID = "update_meetings_hybrid_storage"
WITH_PARTICIPANTS = ["after2", "after3", "extra_tables", "synced3"]
PARTICIPANTS = (
    "SELECT p.* FROM meeting_participants AS p JOIN meetings USING (meeting_id) "
    "WHERE meeting_id NOT LIKE 'mtg_new%' ORDER BY participant_id"
)
MEETINGS = (
    "SELECT meeting_id, status, max_participants, source_channel_id, source_user_id FROM meetings "
    "WHERE meeting_id NOT LIKE 'mtg_new%' ORDER BY meeting_id"
)


@pytest.mark.parametrize("name", WITH_PARTICIPANTS)
def test_down_brings_back_what_up_dropped(name, path, runner, connect):
    copy_legacy(name, path)
    connection = connect()
    connection.execute("UPDATE meetings SET max_participants = 7 WHERE rowid % 3 = 0")
    before = [connection.execute(sql).fetchall() for sql in (PARTICIPANTS, MEETINGS)]
    assert {row[1] for row in before[1]} > {"scheduled"}  # there is something to bring back
    runner.up()
    for number in range(100):
        values = f"'mtg_new{number}', 'New', 'me', '2026-01-01 10:00:00', '2026-01-01 11:00:00'"
        connection.execute(
            "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time, "
            f"""invited_participants) VALUES ({values}, '["you", "x@example.org"]')"""
        )
    steps = [step for outcome in runner.down(HYBRID).outcomes for step in outcome.steps]
    assert [connection.execute(sql).fetchall() for sql in (PARTICIPANTS, MEETINGS)] == before
    refilled = {str(s.target): s.rows for s in steps if s.action is Action.REFILL}
    assert refilled["meeting_participants"] == len(before[0])
    new = connection.execute(
        "SELECT role, status, count(*) FROM meeting_participants WHERE meeting_id LIKE 'mtg_new%' "
        "GROUP BY 1, 2 ORDER BY 1"
    )
    assert new.fetchall() == [("meeting_member", "invited", 200), ("meeting_owner", "invited", 100)]
    assert list(path.parent.glob("backups/*.kept.*")) == []


def test_nobody_who_was_uninvited_comes_back(path, runner, connect):
    copy_legacy("after3", path)
    connection = connect()
    rows = connection.execute(
        "SELECT meeting_id, user_id FROM meeting_participants AS p JOIN meetings AS m "
        "USING (meeting_id) WHERE user_id <> created_by ORDER BY participant_id"
    ).fetchall()
    meeting, gone = rows[0]
    runner.up()
    listed = json.loads(
        connection.execute(
            "SELECT invited_participants FROM meetings WHERE meeting_id = ?", (meeting,)
        ).fetchone()[0]
    )
    left = json.dumps([user for user in listed if user != gone])
    connection.execute(
        "UPDATE meetings SET invited_participants = ? WHERE meeting_id = ?", (left, meeting)
    )
    runner.down(HYBRID)
    found = connection.execute("SELECT meeting_id, user_id FROM meeting_participants").fetchall()
    assert (meeting, gone) not in found
    assert set(rows) - {(meeting, gone)} <= set(found)


def test_down_without_the_kept_file_takes_the_invitees(path, runner, connect):
    copy_legacy("after3", path)
    before = connect().execute(
        "SELECT p.meeting_id, p.user_id FROM meeting_participants AS p JOIN meetings USING "
        "(meeting_id) ORDER BY 1, participant_id"
    )
    wanted = set(before.fetchall())
    runner.up()
    assert runner.unkept(HYBRID) == []
    (kept,) = path.parent.glob("backups/*.kept.*")
    kept.unlink()
    assert "dropped values is missing" in runner.unkept(HYBRID)[0]
    runner.down(HYBRID)
    connection = connect()
    rows = connection.execute("SELECT meeting_id, user_id, role FROM meeting_participants")
    found = {(meeting, user): role for meeting, user, role in rows}
    owners = dict(connection.execute("SELECT meeting_id, created_by FROM meetings").fetchall())
    assert set(found) == wanted | set(owners.items())
    assert {key for key, role in found.items() if role == "meeting_owner"} == set(owners.items())
    columns = {row[1] for row in connection.execute("PRAGMA table_info(meetings)")}
    assert {"status", "max_participants", "source_channel_id", "source_user_id"} <= columns
    assert "invited_participants" not in columns
    assert connection.execute("SELECT DISTINCT status FROM meetings").fetchall() == [("scheduled",)]


@pytest.mark.parametrize("name", MIGRATIONS)
def test_a_migration_in_the_middle_of_which_something_fails_changes_nothing(
    name, path, tmp_path, connect
):
    """Each of them, with an exception after its first steps."""

    copy_legacy("after3", path)
    connect().execute("DROP INDEX idx_sessions_user")
    before = schema_of(connect())
    folder = tmp_path / "migrations"
    folder.mkdir()
    for listed in MIGRATIONS:
        text = (PROJECT.directory / f"{listed}.py").read_text()
        if listed == name:
            text = text.replace("def up(", "def first_part(").replace("def down(", "def last(")
            text += (
                "\n\ndef up(migrator, db):\n    first_part(migrator, db)\n"
                "    db.execute_sql('SELECT no_such_column')\n"
            )
        (folder / f"{listed}.py").write_text(text)
    runner = Runner(PROJECT._replace(directory=folder), SqliteFile(path))
    with pytest.raises(Exception, match=f"up of '{name}' failed"):
        runner.up()
    assert schema_of(connect()) == before


def test_a_view_on_a_dropped_column_is_named_and_nothing_changes(path, runner, connect):
    copy_legacy("after3", path)
    connect().execute("CREATE VIEW busy AS SELECT title FROM meetings WHERE status = 'ended'")
    before = schema_of(connect())
    with pytest.raises(Exception, match=r"meetings.status can't be dropped: error in view busy"):
        runner.up()
    assert schema_of(connect()) == before
