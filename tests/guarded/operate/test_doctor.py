from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest

from guarded.backends.interface import Patience
from guarded.backends.sqlite import files as surroundings
from guarded.backends.sqlite.connect import SqliteFile
from guarded.errors import OnlyCopy
from guarded.findings import Severity
from guarded.operate.doctor import examine as examined
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import MIGRATE, as_unprivileged, copy_legacy, migration, row_counts


@pytest.fixture
def runner(path):
    copy_legacy("after3", path)
    runner = Runner(PROJECT, SqliteFile(path), Patience(1))
    runner.up()
    return runner


FINE, NOTE, WARNING, PROBLEM = Severity.FINE, Severity.NOTE, Severity.WARNING, Severity.PROBLEM


def examine(runner):
    return list(examined(runner))


def found(runner, subject):
    findings = [f for f in examine(runner) if f.subject == subject]
    assert all(f.remedy for f in findings if f.severity in (WARNING, PROBLEM))
    return [(f.severity, f.sentence) for f in findings]


def test_a_healthy_database_has_no_finding_to_act_on(runner):
    assert {f.severity for f in examine(runner)} == {FINE}


def test_an_examination_changes_nothing(runner, path):
    before = path.read_bytes(), sorted(path.parent.rglob("*"))
    examine(runner)
    assert (path.read_bytes(), sorted(path.parent.rglob("*"))) == before


def test_a_missing_database_is_a_problem(path):
    findings = examine(Runner(PROJECT, SqliteFile(path)))
    assert [(f.severity, f.subject) for f in findings] == [(FINE, "versions"), (PROBLEM, "file")]


def test_pending_migrations_are_a_note(path):
    copy_legacy("after3", path)
    findings = found(Runner(PROJECT, SqliteFile(path)), "migrations")
    assert findings[0] == (NOTE, "'add_hmac_auth' is pending")


def test_drift_is_found(runner, connect):
    connect().execute("DROP INDEX meetings_created_by")
    connect().execute("ALTER TABLE meetings DROP COLUMN description")
    assert found(runner, "drift") == [
        (PROBLEM, "table 'meetings': column 'description' is missing"),
        (WARNING, "table 'meetings': index on (created_by) is missing"),
    ]


def test_damage_is_found(runner, path, connect):
    with path.open("r+b") as file:
        file.seek(4096 * 10)
        file.write(b"\xff" * 4096 * 5)
    findings = found(runner, "integrity")
    assert findings[0][0] == PROBLEM
    assert "the file is damaged" in findings[0][1]


def test_dangling_keys_are_found(runner, connect):
    connection = connect()
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("DELETE FROM meetings")
    assert found(runner, "foreign keys")[0] == (
        WARNING,
        "7 rows of 'external_participants' refer to no row of 'meetings'",
    )


def test_rows_without_a_key_are_found(path, connect):
    copy_legacy("after3", path)
    connect().execute("INSERT INTO nonce_cache (nonce) VALUES (NULL)")
    runner = Runner(PROJECT, SqliteFile(path))
    runner.up()
    assert found(runner, "keys") == [
        (WARNING, "1 rows of 'nonce_cache' have no nonce, which is their primary key")
    ]


def test_who_has_it_open_and_who_holds_the_lock(runner, path):
    code = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print(flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    (opener,) = found(runner, "in use")
    (holder,) = found(runner, "lock")
    assert opener[1].startswith(f"process {process.pid} (")
    assert holder[1].startswith(f"process {process.pid} (")
    process.communicate()


def test_a_hot_journal_is_found_and_left_alone(runner, path):
    code = (
        "import sqlite3, os, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_size = 1'); c.execute('BEGIN')\n"
        "c.execute('UPDATE meetings SET title = hex(randomblob(9000))')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)])
    ((severity, sentence),) = found(runner, "journal")
    assert severity == WARNING
    assert "was interrupted" in sentence


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_another_owner_are_found(runner, path, connect):
    connection = connect()
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("UPDATE meetings SET title = 'x'")
    os.chown(path, 1234, 1234)
    for name in ("-wal", "-shm"):
        severity, sentence = found(runner, path.name + name)[0]
        assert severity == PROBLEM
        assert "belongs to another user than the database" in sentence
    assert found(runner, "folder")[1][0] == WARNING


def test_a_file_that_may_not_be_written_is_found(runner, path):
    path.chmod(0o444)
    path.parent.chmod(0o555)
    done = subprocess.run(
        [sys.executable, str(MIGRATE), "doctor", "--database", str(path)],
        capture_output=True,
        text=True,
        **as_unprivileged(),
    )
    assert done.returncode == 1
    assert f"problem  file: this user may not write '{path}'" in done.stdout
    assert "problem  folder: this user may not write the folder" in done.stdout


@pytest.mark.parametrize(
    ("kind", "severity"),
    [("9p", PROBLEM), ("fuse.sshfs", PROBLEM), ("nfs4", PROBLEM), ("ext4", FINE), ("xfs", FINE)],
)
def test_a_mount_where_locks_do_not_reach_is_a_problem(runner, path, monkeypatch, kind, severity):
    monkeypatch.setattr(surroundings, "_mount_of", lambda _: (kind, ["rw"]))
    findings = [f for f in examine(runner) if f.subject == "mount"]
    assert [f.severity for f in findings] == [severity]
    if severity == PROBLEM:
        assert "docker compose exec server python migrations/migrate.py" in findings[0].remedy


def test_the_mount_of_the_temporary_folder_is_read_from_the_system(path):
    kind, options = surroundings._mount_of(path)
    if sys.platform == "linux":
        assert kind
        assert "rw" in options


# The former server's ORM was killed while it rebuilt `meetings`.


def interrupt(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE meetings_backup AS SELECT * FROM meetings")
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_rows_that_are_only_in_a_leftover_stop_the_run(path, connect):
    copy_legacy("after3", path)
    interrupt(path, "DELETE FROM meetings")
    runner = Runner(PROJECT, SqliteFile(path))
    with pytest.raises(OnlyCopy):
        runner.forecast()
    with pytest.raises(OnlyCopy) as caught:
        runner.up()
    assert str(caught.value).startswith(
        "table 'meetings_backup' has 20 rows and 'meetings' has none: the former server's ORM was "
        "interrupted while it rebuilt 'meetings'; get them back with: "
    )
    ((severity, sentence),) = found(runner, "leftover")
    assert severity == PROBLEM
    assert "was interrupted while it rebuilt 'meetings'" in sentence
    for statement in caught.value.remedy.partition(": ")[2].split("; then "):
        connect().execute(statement)
    assert row_counts(connect())["meetings"] == 20
    assert runner.up().outcomes


def test_rows_whose_table_is_gone_stop_the_run_too(path, connect):
    copy_legacy("after3", path)
    interrupt(path, "DROP TABLE meetings")
    runner = Runner(PROJECT, SqliteFile(path))
    with pytest.raises(OnlyCopy, match="get them back with: ALTER TABLE") as caught:
        runner.up()
    connect().execute(caught.value.remedy.partition(": ")[2])
    assert row_counts(connect())["meetings"] == 20


def test_a_leftover_beside_the_rows_is_only_a_warning(path):
    copy_legacy("after3", path)
    interrupt(path)
    runner = Runner(PROJECT, SqliteFile(path))
    assert runner.up().outcomes
    assert found(runner, "leftover")[0][0] == WARNING


def test_files_of_dropped_values_are_counted_and_missed(runner, path):
    ((severity, sentence),) = found(runner, "dropped values")
    assert severity is FINE
    assert sentence.startswith("1 file, 0.0 MB, for the down of their migrations")
    (file,) = path.parent.glob("backups/*.kept.*")
    text = file.read_text()
    file.write_text(text.replace("1", "2"))
    assert found(runner, "dropped values")[1][0] is WARNING
    file.unlink()
    ((severity, sentence),) = found(runner, "dropped values")
    assert severity is WARNING
    assert sentence.startswith(f"'{file}' with ")
    assert sentence.endswith(" dropped values is missing")
    file.with_name(file.name.replace("Z.", "Z.other_")).write_text(text)
    assert (NOTE, "1 file, 0.0 MB, that no down needs") in found(runner, "dropped values")


def test_copies_that_restore_put_aside_are_counted(runner, path):
    (taken,) = [copy.path for copy in runner.backend.copies()]
    aside = runner.backend.restore(PROJECT, taken, runner.patience, lambda done, total: None)
    sentences = [sentence for _, sentence in found(runner, "backups")]
    assert sentences[1].startswith("1 that restore put aside, ")
    assert sentences[1].endswith(f"the newest is '{aside}'")


def test_a_damaged_file_is_a_finding_after_what_is_around_it(runner, path):
    path.write_bytes(path.read_bytes()[:5000])
    findings = examine(runner)
    assert {"versions", "file", "folder", "space"} <= {f.subject for f in findings}
    assert findings[-1].severity is PROBLEM
    assert "is damaged: database disk image is malformed" in findings[-1].sentence
    assert findings[-1].remedy == "restore a backup"


def test_texts_in_rows_that_are_not_utf8_are_told(runner, connect):
    """Whatever is around them: a NUL, other tables of other programs, generated columns."""
    connect().executescript(
        r"""
        CREATE TABLE "their café" (a TEXT, b, loud TEXT AS (upper(a)), PRIMARY KEY (a)) WITHOUT ROWID;
        INSERT INTO "their café" (a, b) VALUES ('é', x'e9'), (CAST(x'e9' AS TEXT), 5), ('z', '☃'),
            ('y', 'a' || char(0) || CAST(x'80' AS TEXT)), ('x', 'a' || char(0) || 'é');
        CREATE VIEW seen AS SELECT a FROM "their café";
        UPDATE meetings SET title = CAST(x'63616663e9' AS TEXT);
        """
    )
    ((count,),) = connect().execute("SELECT count(*) FROM meetings")
    have = "1 row has" if count == 1 else f"{count} rows have"
    assert sorted(found(runner, "texts")) == [
        (WARNING, f"table 'meetings': {have} a text in 'title' that is no UTF-8"),
        (WARNING, "table 'their café': 1 row has a text in 'a' that is no UTF-8"),
        (WARNING, "table 'their café': 1 row has a text in 'b' that is no UTF-8"),
    ]
    connect().execute("UPDATE meetings SET title = 'café'")
    connect().execute('DROP TABLE "their café"')
    assert found(runner, "texts") == []


def test_rows_of_no_table_among_the_id_marks_are_told(runner, connect):
    connect().executescript(
        """
        INSERT INTO sqlite_sequence VALUES (NULL, 5), ('it''s gone', NULL);
        UPDATE sqlite_sequence SET seq = 'abc' WHERE name = 'Invitations';
        """
    )
    told = {f.sentence: f.remedy for f in examine(runner) if f.subject == "ids"}
    assert len(told) == 3
    for remedy in told.values():
        connect().execute(remedy)
    assert found(runner, "ids") == []


def test_a_list_in_another_order_than_the_history_is_a_problem(runner, path):
    listed = [PROJECT.listed[1], PROJECT.listed[0], *PROJECT.listed[2:]]
    swapped = Runner(PROJECT._replace(listed=listed), SqliteFile(path), Patience(1))
    ((severity, sentence),) = found(swapped, "migrations")
    assert severity is PROBLEM
    assert "was applied after it" in sentence


def test_a_unique_index_over_equal_rows_is_told_with_a_remedy_that_works(connect, make_runner):
    connection = connect()
    connection.executescript(
        """
        CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
        CREATE UNIQUE INDEX one_a ON t (a);
        PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET sql = 'CREATE INDEX one_a ON t (a)' WHERE name = 'one_a';
        """
    )
    connection = connect()
    connection.executescript(
        """
        INSERT INTO t VALUES (1, 'x'), (2, 'x');
        PRAGMA writable_schema = ON;
        UPDATE sqlite_master SET sql = 'CREATE UNIQUE INDEX one_a ON t (a)' WHERE name = 'one_a';
        """
    )
    (told,) = [f for f in examine(make_runner({})) if f.subject == "integrity"]
    assert told.sentence == "index 'one_a' is unique, and rows share a value; no row is lost"
    assert told.remedy == 'change or delete all but one of them, then REINDEX "one_a"'
    connection = connect()
    connection.execute("UPDATE t SET a = 'y' WHERE id = 2")
    connection.execute('REINDEX "one_a"')
    assert found(make_runner({}), "integrity") == [(FINE, "ok")]


@pytest.mark.parametrize(
    "sql", ["CREATE TABLE schema_history (version INT)", "CREATE VIEW schema_history AS SELECT 1"]
)
def test_a_history_of_another_tool_is_a_finding(connect, make_runner, sql):
    connect().execute(sql)
    runner = make_runner({"step": migration("pass")})
    assert found(runner, "integrity") == [(FINE, "ok")]
    ((severity, sentence),) = found(runner, "migrations")
    assert severity is PROBLEM
    assert "'schema_history' belongs to another tool" in sentence
