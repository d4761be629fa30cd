"""A database that the first edition of the engine migrated."""

from __future__ import annotations

import pytest

from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from guarded.steps import Kind
from server.migrations.migrate import MIGRATIONS, PROJECT
from tests.conftest import copy_legacy, row_counts

APPLIED = MIGRATIONS[:4]  # what the first edition had


@pytest.fixture
def database(path, connect):
    copy_legacy("first_edition", path)
    return connect()


def test_there_is_nothing_to_do(database, cli, path):
    before = path.read_bytes()
    assert cli("up", APPLIED[-1]).stdout.startswith("nothing to do: 4 of ")
    for line, name in zip(cli("status").stdout.splitlines(), APPLIED):
        assert line.startswith(f"applied   {name}")
    assert path.read_bytes() == before
    assert cli().returncode == 0
    assert cli("check", "--strict").stdout == "no difference\n"


def test_down_brings_back_what_the_newest_migration_moved(database, cli):
    assert cli("down", "--yes").returncode == 0
    found = database.execute("SELECT meeting_id, user_id, role FROM meeting_participants")
    assert found.fetchall() == [
        ("mtg_1", "ada", "meeting_owner"),
        ("mtg_2", "bob", "meeting_owner"),
        ("mtg_1", "bob", "meeting_member"),
        ("mtg_1", "eve@example.com", "meeting_member"),
    ]
    assert database.execute("SELECT title FROM meetings").fetchall() == [("Plans",), ("Talk 😀",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert cli().returncode == 0
    assert cli("check", "--strict").stdout == "no difference\n"


def test_down_drops_all_that_was_made_and_says_which_rows_go(database, cli):
    done = cli("down", "add_hmac_auth")
    assert done.returncode == 2
    assert "lost for good: table meetings: 2 rows\n" in done.stderr
    assert "lost for good: table client_sessions: 1 rows\n" in done.stderr
    assert cli("down", "add_hmac_auth", "--yes").returncode == 0
    assert row_counts(database) == {"schema_history": 8}
    assert cli().returncode == 0
    assert cli("check", "--strict").stdout == "no difference\n"


def test_the_words_of_its_history_are_read_as_what_they_name(database, path):
    entries = Runner(PROJECT, SqliteFile(path)).state().entries
    assert [entry.migration for entry in entries] == APPLIED
    made = {target for entry in entries for target in entry.made.targets}
    tables = {str(target) for target in made if target.kind is Kind.TABLE}
    assert tables == {
        "client_sessions",
        "nonce_cache",
        "meetings",
        "meeting_participants",
        "ServerSettings",
        "Invitations",
    }
    columns = {str(target) for target in made if target.kind is Kind.COLUMN}
    assert columns == {"meetings.invited_participants"}
