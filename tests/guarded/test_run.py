from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from peewee import CharField, Model

from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import (
    BrokenPromise,
    ChangedMigration,
    DatabaseLocked,
    MigrationFailed,
    Refused,
    RowsDoNotFit,
    UnusableMigration,
)
from guarded.run import Runner
from guarded.steps import Direction, Made, table
from tests.conftest import ROOT, migration, row_counts, schema_of

CREATE = migration(
    """
    class Tag(Model):
        name = CharField()
        class Meta:
            table_name = "tags"
    migrator.migrate(migrator.create_table(Tag))
    """,
    "migrator.migrate(migrator.drop_table('tags'))",
)
ADD = migration(
    "migrator.migrate(migrator.add_column('tags', 'color', CharField(default='red')))",
    "migrator.migrate(migrator.drop_column('tags', 'color'))",
)
FAIL = migration(
    """
    migrator.migrate(migrator.add_column('tags', 'size', IntegerField(null=True)))
    db.execute_sql('INSERT INTO tags (nope) VALUES (1)')
    """
)


def test_up_applies_in_order_and_twice_is_once(make_runner, path):
    runner = make_runner({"create": CREATE, "add": ADD})
    assert [o.name for o in runner.up().outcomes] == ["create", "add"]
    before = path.read_bytes()
    assert runner.up().outcomes == ()
    assert path.read_bytes() == before


def test_up_stops_after_the_target(make_runner):
    runner = make_runner({"create": CREATE, "add": ADD})
    assert [o.name for o in runner.up("create").outcomes] == ["create"]
    assert [o.name for o in runner.up().outcomes] == ["add"]


def test_down_undoes_up(make_runner, connect):
    runner = make_runner({"create": CREATE, "add": ADD})
    runner.up("create")
    before = [row for row in schema_of(connect()) if row[1] == "tags"]
    runner.up()
    assert [o.name for o in runner.down().outcomes] == ["add"]
    assert [row for row in schema_of(connect()) if row[1] == "tags"] == before
    assert [o.name for o in runner.down("create").outcomes] == ["create"]
    assert row_counts(connect()) == {"schema_history": 4}


def test_down_keeps_what_was_there_before(make_runner, connect):
    connect().executescript(
        "CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT, color TEXT NOT NULL DEFAULT 'red');"
        "INSERT INTO tags VALUES (1, 'a', 'blue')"
    )
    runner = make_runner({"create": CREATE, "add": ADD})
    runner.up()
    steps = [step for outcome in runner.down("create").outcomes for step in outcome.steps]
    assert [(s.action.value, str(s.target), s.note) for s in steps] == [
        ("skip", "tags.color", "kept: it is older than this migration"),
        ("skip", "tags", "kept: it is older than this migration"),
    ]
    assert connect().execute("SELECT * FROM tags").fetchall() == [(1, "a", "blue")]


def test_down_without_down_is_refused_before_anything_runs(make_runner):
    runner = make_runner({"create": CREATE, "add": migration("pass")})
    runner.up()
    with pytest.raises(UnusableMigration, match=r"has no down\(migrator, db\)"):
        runner.down("create")


def test_fake_records_without_running(make_runner, connect):
    runner = make_runner({"create": CREATE, "add": ADD})
    assert [o.name for o in runner.fake("create").outcomes] == ["create"]
    assert row_counts(connect()) == {"schema_history": 1}
    assert [s.state.value for s in runner.state().standings()] == ["applied", "pending"]


def test_fake_reports_what_the_schema_lacks(make_runner):
    class Tag(Model):
        name = CharField()

        class Meta:
            table_name = "tags"

    done = make_runner({"create": CREATE}, persistent=(Tag,)).fake()
    assert [o.name for o in done.outcomes] == ["create"]
    assert [d.sentence for d in done.differences] == ["table 'tags' is missing"]


def test_fake_accepts_an_edited_file_and_keeps_what_down_may_drop(make_runner, connect):
    make_runner({"create": CREATE}).up()
    runner = make_runner({"create": CREATE.replace("A migration", "An edited migration")})
    with pytest.raises(ChangedMigration):
        runner.up()
    runner.fake("create")
    assert runner.up().outcomes == ()
    runner.down()
    assert row_counts(connect()) == {"schema_history": 3}


def test_losses_are_what_down_would_drop(make_runner, connect):
    runner = make_runner({"create": CREATE, "add": ADD})
    runner.up()
    connect().execute("INSERT INTO tags (name) VALUES ('a')")
    said = [str(loss) for loss in runner.losses("create")]
    assert said == ["column tags.color: 1 rows", "table tags: 1 rows"]
    assert [str(loss) for loss in runner.losses()] == ["column tags.color: 1 rows"]


def test_history_tells_what_when_and_by_which_version(make_runner, connect):
    runner = make_runner({"create": CREATE})
    runner.up()
    (entry,) = runner.state().entries
    assert (entry.migration, entry.direction, entry.made) == (
        "create",
        Direction.UP,
        Made(frozenset({table("tags")})),
    )
    assert entry.versions == f"test, SQLite {sqlite3.sqlite_version}"
    assert abs(time.time() - time.mktime(time.strptime(entry.at, "%Y-%m-%d %H:%M:%S"))) < 86400
    assert len(entry.checksum) == 64


# Failure.


def test_a_failure_leaves_nothing_of_the_whole_run(make_runner, connect):
    runner = make_runner({"create": CREATE, "add": ADD, "fail": FAIL})
    with pytest.raises(MigrationFailed) as caught:
        runner.up()
    assert "up of 'fail' failed: table tags has no column named nope" in str(caught.value)
    assert "(line 9 of fail.py)" in str(caught.value)
    assert "the last statement was: INSERT INTO tags (nope) VALUES (1)" in str(caught.value)
    assert schema_of(connect()) == []


def test_an_exception_in_python_names_the_line_and_the_statement_before(make_runner):
    text = migration("migrator.migrate(migrator.sql('CREATE TABLE x (a)'))\n1 / 0")
    with pytest.raises(MigrationFailed, match=r"ZeroDivisionError.*line 8.*CREATE TABLE x"):
        make_runner({"a": text}).up()


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("def up(migrator, db):\n    raise SystemExit(0)", MigrationFailed, "SystemExit: 0"),
        ("async def up(migrator, db):\n    1 / 0", Refused, "'a' has to be a plain function"),
        ("def up(migrator, db):\n    yield 1", Refused, "'a' has to be a plain function"),
    ],
)
def test_a_file_that_is_no_migration_is_not_applied(make_runner, text, error, says):
    runner = make_runner({"a": text})
    with pytest.raises(error, match=says):
        runner.up()
    assert runner.state().entries == ()


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        (
            "add_index('tags', ('name',), unique=True)",
            "UNIQUE constraint failed: tags.name: there are rows that don't fit; change",
        ),
        (
            "add_unique('tags', 'name')",
            "UNIQUE constraint failed: tags.name: there are rows that don't fit; change",
        ),
        (
            "add_constraint('tags', 'short', Check('name < 0'))",
            "tags.short can't be added: 2 rows have a value that it forbids",
        ),
    ],
)
def test_rows_that_do_not_fit_are_reported(make_runner, connect, verb, says):
    connect().executescript("CREATE TABLE tags (name); INSERT INTO tags VALUES ('a'), ('a')")
    with pytest.raises((MigrationFailed, RowsDoNotFit), match=says):
        make_runner({"a": migration(f"migrator.migrate(migrator.{verb})")}).up()
    assert connect().execute("SELECT name FROM tags").fetchall() == [("a",), ("a",)]


def test_a_schema_that_breaks_the_models_is_rolled_back(make_runner, connect):
    class Tag(Model):
        name = CharField()
        size = CharField(null=True)

        class Meta:
            table_name = "tags"

    class Shelf(Model):
        class Meta:
            table_name = "shelves"

    runner = make_runner({"create": CREATE}, persistent=(Tag, Shelf))
    with pytest.raises(BrokenPromise) as caught:
        runner.up()
    assert caught.value.findings == (
        "table 'shelves' is missing",
        "table 'tags': column 'size' is missing",
    )
    assert schema_of(connect()) == []


def test_a_harmless_difference_from_the_models_is_reported(make_runner):
    class Tag(Model):
        name = CharField(index=True)

        class Meta:
            table_name = "tags"

    done = make_runner({"create": CREATE}, persistent=(Tag,)).up()
    (difference,) = done.differences
    assert difference.sentence == "table 'tags': index on (name) is missing"


def test_a_migration_that_needs_rows_is_not_stopped_by_the_forecast(make_runner, connect):
    connect().executescript("CREATE TABLE one (a); INSERT INTO one VALUES (5)")
    text = migration(
        "a = db.execute_sql('SELECT a FROM one').fetchone()[0]\n"
        "migrator.migrate(migrator.sql(f'CREATE TABLE made_{a} (b)'))"
    )
    runner = make_runner({"a": text})
    assert "'NoneType' object is not subscriptable" in runner.forecast().unforeseen
    runner.up()
    assert "made_5" in row_counts(connect())


# The lock.


def test_a_runner_waits_and_tells_for_whom(make_runner, connect, path):
    code = (
        "import sqlite3, sys, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('CREATE TABLE busy (a)')\n"
        "c.execute('BEGIN IMMEDIATE'); print('held', flush=True); time.sleep(1.6)\n"
        "c.execute('COMMIT')\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    told = []
    runner = make_runner({"create": CREATE})
    runner.patience = Patience(5, told.append)
    assert runner.up().outcomes
    assert len(told) == 1
    assert told[0][0].startswith(f"process {holder.pid} (")
    holder.communicate()


def test_a_runner_gives_up_when_told(make_runner, connect):
    holder = connect()
    holder.execute("CREATE TABLE busy (a)")
    holder.execute("BEGIN IMMEDIATE")
    runner = make_runner({"create": CREATE})
    runner.patience = Patience(0.2)
    with pytest.raises(DatabaseLocked, match=r"database is locked: waited 0.2 s for "):
        runner.up()
    holder.execute("ROLLBACK")
    assert runner.up().outcomes


def test_a_reader_only_delays_the_commit(make_runner, connect, path):
    reader = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    reader.executescript("CREATE TABLE busy (a); INSERT INTO busy VALUES (1)")
    reader.execute("BEGIN")
    assert reader.execute("SELECT * FROM busy").fetchall() == [(1,)]
    threading.Timer(0.5, lambda: reader.execute("COMMIT")).start()
    assert make_runner({"create": CREATE}).up().outcomes
    assert "tags" in row_counts(connect())
    reader.close()


def test_foreign_keys_are_off_while_it_runs(make_runner):
    text = migration("assert db.execute_sql('PRAGMA foreign_keys').fetchone() == (0,)")
    assert make_runner({"a": text}).up().outcomes


def test_of_many_runners_at_once_one_works(make_project, path):
    """Eight processes start at one moment: one applies, the others find nothing to do."""
    project = make_project({"create": CREATE, "add": ADD})
    code = textwrap.dedent(
        f"""
        import sys
        from pathlib import Path
        from guarded.backends.sqlite.connect import SqliteFile
        from guarded.project import Models
        from guarded.run import Runner
        from server.migrations.migrate import PROJECT
        project = PROJECT._replace(
            directory=Path({str(project.directory)!r}), listed={list(project.listed)},
            models=lambda: Models(()))
        sys.stdin.read()
        print(len(Runner(project, SqliteFile(Path({str(path)!r}))).up().outcomes))
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        for _ in range(8)
    ]
    for process in processes:
        process.stdin.close()
    applied = sorted(process.stdout.read() for process in processes)
    for process in processes:
        process.stdout.close()
    assert [process.wait() for process in processes] == [0] * 8
    assert applied == ["0\n"] * 7 + ["2\n"]


# Signals.

LONG = """
    db.execute_sql('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n'
                   ' LIMIT 1000000000) SELECT count(*) FROM n')
"""
SLOW = migration(f"    migrator.migrate(migrator.sql('CREATE TABLE slow (a)')){LONG}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_long_statement_rolls_back(make_runner, connect, path, number):
    project = make_runner({"slow": SLOW}).project
    code = textwrap.dedent(
        f"""
        import signal
        from pathlib import Path
        from guarded.backends.sqlite.connect import SqliteFile
        from guarded.project import Models
        from guarded.run import Runner
        from server.migrations.migrate import PROJECT
        project = PROJECT._replace(
            directory=Path({str(project.directory)!r}), listed=["slow"], models=lambda: Models(()))
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        try:
            Runner(project, SqliteFile(Path({str(path)!r}))).up()
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE) as child:
        held, end = connect(), time.monotonic() + 30
        held.execute("PRAGMA busy_timeout = 0")
        while time.monotonic() < end and child.poll() is None:
            try:
                held.execute("BEGIN IMMEDIATE")
                held.execute("ROLLBACK")
                time.sleep(0.01)
            except sqlite3.OperationalError:  # it has the lock
                break
        time.sleep(0.5)
        child.send_signal(number)
        assert child.communicate(timeout=30)[0] == b"interrupted\n"
    assert schema_of(connect()) == []


SWALLOWED = """
    import os, signal, time
    try:  # as a callback of SQLite does
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        pass
    migrator.migrate(migrator.sql('CREATE TABLE made (a)'))
"""


def test_a_signal_that_nobody_saw_ends_the_run(make_runner, connect):
    # A shell lets what it starts in the background ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            make_runner({"a": migration(SWALLOWED)}).up()
    finally:
        signal.signal(signal.SIGINT, before)
    assert schema_of(connect()) == []
    make_runner({"a": migration("migrator.migrate(migrator.sql('CREATE TABLE made (a)'))")}).up()


def test_a_full_disk_is_reported_as_such(make_runner, connect):
    """max_page_count stands in for a disk: SQLite ends the transaction in the same way."""
    connect().execute("CREATE TABLE t (a)")
    text = migration(
        """
        db.execute_sql('PRAGMA max_page_count = 20')
        db.execute_sql('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 99999)'
                       ' INSERT INTO t SELECT i FROM n')
        """
    )
    with pytest.raises(MigrationFailed, match="database or disk is full"):
        make_runner({"a": text}).up()
    assert row_counts(connect()) == {"t": 0}


def test_statements_after_the_end_of_the_transaction_are_refused(make_runner, connect):
    connect().execute("CREATE TABLE t (a)")
    text = migration(
        """
        db.execute_sql('PRAGMA max_page_count = 20')
        try:
            db.execute_sql('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n'
                           ' LIMIT 99999) INSERT INTO t SELECT i FROM n')
        except Exception:
            pass
        db.execute_sql('CREATE TABLE half (a)')
        """
    )
    with pytest.raises(Refused, match="the transaction ended before 'a' did"):
        make_runner({"a": text}).up()
    assert row_counts(connect()) == {"t": 0}


# Peewee's own convention.


def test_a_file_for_pwmigrate_runs_unchanged_twice(make_runner, connect):
    text = textwrap.dedent(
        '''
        """Add karma."""
        from peewee import *

        def up(migrator, db):
            class User(Model):
                name = CharField()
                class Meta:
                    database = db
                    table_name = "users"
            db.create_tables([User])
            User.create(name="a")
            migrator.migrate(
                migrator.add_column("users", "karma", IntegerField(default=0)),
                migrator.add_index("users", ("karma", "name"), True))

        def down(migrator, db):
            migrator.migrate(
                migrator.drop_index("users", "users_karma_name"),
                migrator.drop_column("users", "karma"))
            db.execute_sql("DROP TABLE users")
        '''
    )
    runner = make_runner({"0001_karma": text})
    runner.up()
    assert connect().execute("SELECT name, karma FROM users").fetchall() == [("a", 0)]
    connect().execute("DROP TABLE schema_history")
    connect().execute("DELETE FROM users")
    runner.up()
    assert connect().execute("SELECT name, karma FROM users").fetchall() == [("a", 0)]


def test_its_down_may_drop_the_table_that_its_up_created(make_runner, connect):
    text = textwrap.dedent(
        """
        from peewee import *

        def up(migrator, db):
            class User(Model):
                class Meta:
                    database = db
            db.create_tables([User])

        def down(migrator, db):
            db.execute_sql('DROP TABLE "user"')
        """
    )
    runner = make_runner({"0001_users": text})
    runner.up()
    runner.down()
    assert row_counts(connect()) == {"schema_history": 2}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files for others")
def test_a_database_that_root_makes_belongs_to_the_owner_of_the_folder(make_runner, path):
    os.chown(path.parent, 1234, 2345)
    make_runner({"create": CREATE}).up()
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 2345)


def test_a_run_of_many_migrations_looks_at_all_tables_as_often_as_one_of_few(
    make_project, tmp_path, monkeypatch
):
    from guarded.backends.sqlite import inspect

    looks = []
    kinds_of_tables = inspect.kinds_of_tables

    def counting(execute):
        looks.append(1)
        return kinds_of_tables(execute)

    monkeypatch.setattr(inspect, "kinds_of_tables", counting)
    counts = []
    for count in (3, 30):
        body = "migrator.migrate(migrator.sql('CREATE TABLE t{} (a)'))"
        names = {f"m{count}_{n:02}": migration(body.format(n)) for n in range(count)}
        looks.clear()
        Runner(make_project(names), SqliteFile(tmp_path / f"{count}.sqlite"), backup=False).up()
        counts.append(len(looks))
    assert counts[0] == counts[1]
