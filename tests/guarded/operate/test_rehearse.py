from __future__ import annotations

import sqlite3

import pytest

from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import MigrationFailed, NotSafeTwice
from guarded.operate.rehearse import rehearse
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import LEGACY, copy_legacy, migration
from tests.guarded.test_run import CREATE, FAIL


def quiet(*_):
    pass


@pytest.mark.parametrize("name", LEGACY)
def test_a_rehearsal_tells_and_changes_nothing(name, path):
    copy_legacy(name, path)
    before = path.read_bytes(), sorted(path.parent.iterdir())
    done = rehearse(Runner(PROJECT, SqliteFile(path)), None, quiet)
    assert (path.read_bytes(), sorted(path.parent.iterdir())) == before
    assert [outcome.name for outcome in done.outcomes] == list(PROJECT.listed)
    assert 0 < done.locked_ms <= done.duration_ms
    assert done.rows["client_sessions"] == (20, 20)
    assert done.rows.get("meeting_participants", (None, None))[1] is None
    assert done.repeated == ()


def test_a_rehearsal_needs_no_write_lock(path):
    copy_legacy("after3", path)
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert rehearse(Runner(PROJECT, SqliteFile(path)), None, quiet).outcomes
    writer.execute("ROLLBACK")
    writer.close()


def test_a_rehearsal_names_steps_that_were_not_skipped_the_second_time(make_runner, connect):
    connect().execute("CREATE TABLE t (a)")
    runner = make_runner({"a": migration("db.execute_sql('ALTER TABLE t RENAME TO u')")})
    with pytest.raises(Exception, match=r"changed|dropped"):
        rehearse(runner, None, quiet)
    body = "migrator.migrate(migrator.sql('INSERT INTO t VALUES (1)'))"
    done = rehearse(make_runner({"a": migration(body)}), None, quiet)
    assert [(name, step.action.value) for name, step in done.repeated] == [("a", "run")]
    assert done.rows == {"t": (0, 1)}


def test_a_rehearsal_fails_as_the_run_would(make_runner, connect, path):
    connect().execute("CREATE TABLE t (a)")
    with pytest.raises(MigrationFailed, match="'fail' failed"):
        rehearse(make_runner({"create": CREATE, "fail": FAIL}), None, quiet)
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, "migrations"]


def test_a_rehearsal_says_that_the_second_run_failed(make_runner, connect):
    connect().executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    body = "db.execute_sql('CREATE TABLE u AS SELECT a FROM t')"
    with pytest.raises(NotSafeTwice, match=r"'a' ran once.*already exists") as caught:
        rehearse(make_runner({"a": migration(body)}), None, quiet)
    assert isinstance(caught.value.__cause__, MigrationFailed)


def test_nothing_pending_is_nothing_to_rehearse(make_runner):
    runner = make_runner({"create": CREATE})
    assert rehearse(runner, None, quiet) is None
    runner.up()
    assert rehearse(runner, None, quiet).outcomes == ()


@pytest.mark.parametrize("call", ["db.execute_sql({!r})", "migrator.migrate(migrator.sql({!r}))"])
def test_a_statement_that_finds_its_object_there_is_skipped(make_runner, connect, call):
    connect().executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    statements = [
        "CREATE TABLE IF NOT EXISTS u (a)",
        "CREATE INDEX IF NOT EXISTS t_a ON t (a)",
        "CREATE VIEW IF NOT EXISTS v AS SELECT a FROM t",
        "CREATE TRIGGER IF NOT EXISTS t AFTER INSERT ON t BEGIN DELETE FROM u; END",
        "DROP TABLE IF EXISTS other",
    ]
    body = "\n".join(call.format(sql) for sql in statements)
    runner = make_runner({"a": migration(body)})
    done = rehearse(runner, None, quiet)
    assert [s.action.value for o in done.outcomes for s in o.steps] == [*["run"] * 4, "skip"]
    runner.up()
    notes = [s.note for s in runner.again("a").outcomes[0].steps]
    assert notes == [*["already there"] * 4, "not there"]
    assert done.repeated == ()


def test_a_statement_that_makes_a_table_anew_is_not_skipped(make_runner, connect):
    connect().executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    body = "db.execute_sql('DROP TABLE IF EXISTS u'); db.execute_sql('CREATE TABLE u (a)')"
    done = rehearse(make_runner({"a": migration(body)}), None, quiet)
    assert [step.target.name for _, step in done.repeated] == [
        "DROP TABLE IF EXISTS u",
        "CREATE TABLE u (a)",
    ]
