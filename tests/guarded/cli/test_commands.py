"""What a person types and sees.  With a short list of migrations of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from guarded.backends.sqlite.backup import backups_of
from guarded.cli.commands import run as run_commands
from guarded.cli.session import Session
from tests.conftest import (
    MIGRATE,
    ROOT,
    as_unprivileged,
    below_where,
    copy_legacy,
    migration,
    schema_of,
)
from tests.guarded.test_run import ADD, CREATE


@pytest.fixture
def project(make_project):
    return make_project({"create": CREATE, "add": ADD})


@pytest.fixture
def call(project, path, capsys):
    """Run the command line in this process on the short list: status, stdout, stderr."""
    before = signal.getsignal(signal.SIGTERM)

    def run(*arguments, on=project):
        with pytest.raises(SystemExit) as caught:
            run_commands(on, ["--database", str(path), *arguments])
        out, err = capsys.readouterr()
        return caught.value.code, below_where(out), err

    yield run
    signal.signal(signal.SIGTERM, before)


near = Session.near


def without_times(out):
    return [re.sub(r"\d+\.\d+ s$", "… s", line) for line in out.splitlines()]


def test_up_shows_a_line_for_each_migration_and_step(call):
    status, out, err = call()
    assert (status, err) == (0, "")
    assert without_times(out) == [
        "applying create",
        "           create  tags",
        "applying add",
        "           add     tags.color",
        "committed 2 migrations in … s",
    ]
    assert call("up") == (0, "nothing to do: 2 of 2 applied, the newest is add\n", "")


def test_up_to_a_migration(call):
    assert call("up", "create")[1].startswith("applying create\n")
    assert call("status")[0] == 1
    assert call("up", "create")[1] == "nothing to do: 1 of 2 applied, the newest is create\n"


def test_status_says_where_each_stands(call, path):
    status, out, _ = call("status")
    assert status == 1
    assert out.splitlines()[:2] == ["pending   create", "pending   add"]
    assert not path.exists()
    call("up")
    status, out, _ = call("status")
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[:2]] == [
        ["applied", "create"],
        ["applied", "add"],
    ]


@pytest.mark.parametrize("command", [["plan"], ["up", "--dry-run"]])
def test_plan_shows_the_sql_and_changes_nothing(call, path, command):
    status, out, _ = call(*command)
    assert status == 0
    assert 'CREATE TABLE "tags"' in out
    assert "\"color\" VARCHAR(255) NOT NULL DEFAULT 'red';" in out
    assert out.startswith("apply    create\n")
    assert not path.exists()


def test_down_says_what_goes_and_wants_a_yes(call, connect, path, project):
    call()
    connect().execute("INSERT INTO tags (name) VALUES ('a')")
    status, out, err = call("down", "create")
    assert (status, out) == (2, "")
    assert err == (
        "lost for good: column tags.color: 1 rows\nlost for good: table tags: 1 rows\n"
        "error: pass --yes to drop these rows\n"
        f"  run: {project.command} --database {path} down create --yes\n"
    )
    status, out, err = call("down", "create", "--yes")
    (backup,) = backups_of(path)
    assert (status, err) == (0, "")
    assert without_times(out) == [
        "undoing  add",
        "           drop    tags.color",
        "undoing  create",
        "           drop    tags",
        f"backup   {near(backup)}",
        "committed 2 migrations in … s",
    ]


def test_down_that_loses_nothing_does_not_ask(call):
    call()
    assert call("down")[0] == 0
    assert call("down", "add")[1] == "nothing to do: 1 of 2 applied, the newest is create\n"


def test_fake_and_history(call):
    assert call("fake", "create")[1] == "recorded create\n"
    status, out, _ = call("history")
    assert status == 0
    assert [line.split()[3:5] for line in out.splitlines()] == [["recorded", "create"]]


def test_json_is_one_document(call, path):
    done = json.loads(call("--json")[1])
    assert done["database"] == str(path)
    assert [item["name"] for item in done["done"]] == ["create", "add"]
    assert done["done"][0]["steps"][0] == {
        "action": "create",
        "subject": "tags",
        "kind": "table",
        "note": "",
        "rows": None,
        "statements": [
            'CREATE TABLE "tags" ("id" INTEGER NOT NULL PRIMARY KEY, "name" VARCHAR(255) NOT NULL)'
        ],
        "passes": [],
    }
    assert json.loads(call("up", "--json")[1])["done"] == []
    standings = json.loads(call("status", "--json")[1])["migrations"]
    assert [(s["name"], s["state"]) for s in standings] == [
        ("create", "applied"),
        ("add", "applied"),
    ]
    assert len(json.loads(call("history", "--json")[1])["history"]) == 2
    assert json.loads(call("plan", "--json")[1])["plan"] == []
    status, out, _ = call("up", "nope", "--json")
    assert (status, json.loads(out)["error"]["type"]) == (2, "UnknownMigration")


def test_verbose_shows_the_sql_and_the_traceback(call):
    assert 'CREATE TABLE "tags"' in call("-v")[1]
    assert "Traceback" in call("up", "nope", "-v")[2]
    assert "Traceback" not in call("up", "nope")[2]


def test_options_may_stand_before_or_after_the_command(call):
    assert call("--json", "status")[1] == call("status", "--json")[1]


# Contradictions, each told with file and date, and not acted upon.


def told(call, project, line):
    """The one line of `up`, which refuses; `status` has a line for it too."""
    status, out, err = call("up", on=project)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert line in call("status", on=project)[1]
    return err


def test_an_edited_file_is_reported(call, project):
    call()
    file = project.directory / "create.py"
    file.write_text(file.read_text() + "\n# edited\n")
    err = told(call, project, "changed   create")
    assert "'create' was edited after it was applied on 20" in err
    assert f"restore the file '{file}'" in err


def test_a_missing_file_is_reported(call, project):
    call()
    file = project.directory / "create.py"
    file.unlink()
    err = told(call, project, "missing   create")
    assert "'create' is listed, and was applied on 20" in err
    assert f"its file '{file}' is missing" in err


def test_a_database_ahead_of_the_code_is_reported(call, project):
    call()
    (project.directory / "add.py").unlink()
    err = told(call, project._replace(listed=["create"]), "unlisted  add")
    assert "the database is ahead of this code: 'add' (applied on 20" in err


def test_another_order_is_reported(call, project):
    call()
    swapped = project._replace(listed=["add", "create"])
    err = told(call, swapped, "applied   add")
    assert "'add' is listed before 'create', but was applied after it, on 20" in err
    status, out, err = call("status", on=swapped)
    assert status == 1 and out.count("applied") == 2
    assert err.startswith("warning: 'add' is listed before 'create', but was applied after it")


def test_a_name_listed_twice_or_excluded_is_refused(call, project):
    for changed, why in (
        ({"listed": ["add", "add"]}, "it is listed twice"),
        ({"excluded": {"add": "too old"}}, "it is excluded: too old"),
    ):
        status, _, err = call(on=project._replace(**changed))
        assert (status, err) == (2, f"error: 'add' can't be run: {why}\n")


def test_an_inserted_migration_is_out_of_order(call, make_project):
    call()
    project = make_project({"create": CREATE, "between": migration("pass"), "add": ADD})
    status, _, err = call("up", on=project)
    assert status == 2
    assert "'between' is pending, but listed before 'add', which was applied on 20" in err


def test_a_stray_file_is_a_warning(call, project):
    (project.directory / "stray.py").touch()
    status, _, err = call()
    assert status == 0
    assert err == (
        "warning: 'stray.py' is neither listed nor excluded in migrate.py, and is never run\n"
    )


# Bad input: one clear line, exit status 2, nothing touched.


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(["up", "ad"], "no migration is named 'ad'; did you mean 'add'?", id="name"),
        pytest.param(["fly"], "No such command 'fly'", id="command"),
        pytest.param(["--fly"], "No such option", id="option"),
        pytest.param(["--wait", "long"], "not a valid float", id="number"),
        pytest.param(["status", "x"], "unexpected extra argument (x)", id="argument"),
        pytest.param(["--database", "mysql://h/d"], "'mysql://…' names a kind", id="scheme"),
        pytest.param(["--database", ""], "names no file", id="empty, as from an unset variable"),
    ],
)
def test_wrong_usage_is_one_line(call, path, arguments, says):
    status, out, err = call(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert err.count("\n") == 1
    assert not path.exists()


@pytest.mark.parametrize(
    "arguments", [["--json", "--fly"], ["--json", "fly"], ["--wait", "--json"]]
)
def test_wrong_usage_is_a_document_too(call, arguments):
    status, out, _ = call(*arguments)
    assert status == 2
    assert json.loads(out)["error"]["type"]


def test_a_run_is_committed_when_its_output_can_not_be_printed(path):
    copy_legacy("after1", path)
    command = f"{sys.executable} {MIGRATE} --database {path}"
    full = subprocess.run(f"{command} > /dev/full", shell=True, capture_output=True, text=True)
    assert full.returncode == 2
    assert full.stderr.endswith(
        "No space left on device; committed, but printing the result failed\n"
    )
    closed = subprocess.run(f"{command} >&-", shell=True, capture_output=True, text=True)
    assert (closed.returncode, closed.stderr) == (0, "")


def one_line_error(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(lambda p: p.write_bytes(b"no" * 999), "is not an SQLite database", id="text"),
        pytest.param(lambda p: p.mkdir(), "is a directory", id="a directory"),
        pytest.param(lambda p: p.parent.rmdir(), "does not exist", id="no folder"),
        pytest.param(os.mkfifo, "is no regular file", id="a pipe"),
        pytest.param(
            lambda p: p.symlink_to(p), "can't be reached: Too many", id="a link to itself"
        ),
        pytest.param(lambda p: p.symlink_to("/no/x"), "folder '/no' does not", id="a link to none"),
        pytest.param(
            lambda p: copy_legacy("after3", p).write_bytes(p.read_bytes()[:5000]),
            "database disk image is malformed; restore a backup",
            id="truncated",
        ),
    ],
)
def test_a_file_that_is_no_database_is_left_alone(cli, path, prepare, says):
    prepare(path)
    before = path.read_bytes() if path.is_file() else None
    one_line_error(cli(), says)
    assert (path.read_bytes() if path.is_file() else None) == before


def test_doctor_fails_where_there_can_be_no_database(cli, path):
    assert cli("doctor").returncode == 1
    path.parent.rmdir()
    one_line_error(cli("doctor"), "does not exist; create the folder")


def test_a_read_only_file_with_nothing_pending_is_fine(cli, path):
    assert cli().returncode == 0
    path.chmod(0o444)
    path.parent.chmod(0o555)
    done = cli(**as_unprivileged())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("nothing to do")


def test_a_read_only_file_with_work_pending_is_reported(cli, path):
    copy_legacy("after3", path)
    path.chmod(0o444)
    one_line_error(cli(**as_unprivileged()), "attempt to write a readonly database")


def test_a_folder_that_may_not_be_written_is_reported(cli, path):
    copy_legacy("after3", path)
    path.parent.chmod(0o555)
    before = path.read_bytes()
    one_line_error(cli(**as_unprivileged()), "may not be written by this user")
    assert path.read_bytes() == before
    path.unlink()
    path.parent.chmod(0o755)


@pytest.mark.parametrize(
    ("command", "status"),
    [("up", 0), ("status", 1), ("plan", 0), ("check", 1), ("schema", 0), ("backup", 0)],
)
def test_a_reader_that_is_kept_out_waits(cli, path, command, status):
    """As by a large run in SQLite's default journal mode, when its cache is full."""
    copy_legacy("after3", path)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        one_line_error(cli("--wait", "0.2", command), f"is locked by process {os.getpid()} (")
        timer = threading.Timer(0.5, writer.execute, ["COMMIT"])
        timer.start()
        done = cli("--wait", "20", command)
        timer.join()
    assert done.returncode == status, done.stderr


def test_a_locked_database_is_waited_for_and_given_up(cli, path):
    copy_legacy("after3", path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    done = cli("--wait", "1.2")
    assert time.monotonic() - started > 1.2
    lines = done.stderr.splitlines()
    assert done.returncode == 2
    assert lines[0].startswith("warning: waiting up to 1.2 s for the write lock, held by process")
    assert lines[1].startswith(f"error: database is locked by process {os.getpid()} (")
    holder.execute("ROLLBACK")
    holder.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_says_that_nothing_changed(path, number):
    copy_legacy("after3", path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    before = schema_of(holder)
    process = subprocess.Popen(
        [sys.executable, str(MIGRATE), "--database", str(path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline().startswith("warning: waiting")
    process.send_signal(number)
    assert process.stderr.read() == "error: interrupted; nothing was changed\n"
    assert process.wait() == 2
    process.stderr.close()
    holder.execute("ROLLBACK")
    assert schema_of(holder) == before
    holder.close()


def test_it_runs_from_anywhere(path):
    for folder, script in ((ROOT / "server", "migrations/migrate.py"), (ROOT, str(MIGRATE))):
        done = subprocess.run(
            [sys.executable, script, "--database", str(path)],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr


def test_environment_names_the_database(path, monkeypatch):
    monkeypatch.setenv("DB_PATH", str(path))
    command = [sys.executable, str(MIGRATE), "status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert json.loads(done.stdout)["database"] == str(path)


def test_the_default_is_the_data_folder_of_the_checkout(tmp_path):
    shutil.copytree(ROOT / "server", tmp_path / "server")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "data").mkdir()
    command = [sys.executable, "migrations/migrate.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "server")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "meetings.sqlite").exists()


def test_output_can_be_piped_into_head(path):
    done = subprocess.run(
        f"{sys.executable} {MIGRATE} --database {path} plan | head -2",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert (below_where(done.stdout), done.stderr) == ("apply    add_hmac_auth\n", "")


# Looking after a database.


def test_backup_and_restore(call, connect, path):
    assert call("backup")[0] == 2
    call()
    connect().execute("INSERT INTO tags (name) VALUES ('before')")
    status, out, _ = call("backup")
    assert status == 0
    taken = out.split()[1]
    connect().execute("DELETE FROM tags")
    status, out, err = call("restore", taken)
    assert (status, err) == (0, "")
    assert out.startswith(f"restored {near(path)} from {taken}\nkept     {near(path)}.replaced.")
    assert connect().execute("SELECT name FROM tags").fetchall() == [("before",)]


def test_rehearse_tells_and_changes_nothing(call, path):
    status, out, _ = call("rehearse")
    assert (status, out) == (2, "")
    copy_legacy("after1", path)
    before = path.read_bytes()
    status, out, _ = call("rehearse")
    assert status == 0
    assert out.startswith("would do create\n")
    assert "rows     tags: no table before, 0 after" in out
    assert out.endswith("again    every step was skipped\n")
    assert path.read_bytes() == before
    assert json.loads(call("rehearse", "--json")[1])["rehearsal"]["repeated"] == []


def test_doctor_exits_with_the_answer(call, path):
    assert call("doctor")[0] == 1
    call()
    assert call("doctor")[0] == 0
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 8192)
    status, out, err = call("doctor", "--json")
    problems = [f for f in json.loads(out)["findings"] if f["severity"] == "problem"]
    assert status == 1
    assert problems[0]["subject"] == "integrity"
    assert problems[0]["remedy"]
    assert err == ""


HYBRID = "update_meetings_hybrid_storage"  # what it drops has rows in it


def test_no_lock_is_held_while_a_question_is_asked(cli, path):
    copy_legacy("after3", path)
    assert cli().returncode == 0
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(MIGRATE), "--database", str(path), "down", HYBRID],
        stdin=inside,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    asked = ""
    while "Go on?" not in asked:
        asked += os.read(process.stderr.fileno(), 1000).decode()
    assert asked.startswith("lost for good: column meetings.invited_participants: 20 rows\n")
    holder = sqlite3.connect(path, isolation_level=None, timeout=0)
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("ROLLBACK")
    holder.close()
    os.write(terminal, b"n\n")
    assert process.wait() == 2
    assert below_where(process.stdout.read()) == ""
    assert process.stderr.read().endswith("error: not confirmed; nothing was changed\n")
    for stream in (process.stdout, process.stderr):
        stream.close()
    os.close(terminal)
    os.close(inside)
    assert cli("status").returncode == 0


def test_plan_ends_as_up_does(make_project, path, capsys):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    project = make_project({"step": migration("db.execute_sql('DROP TABLE t')")})
    for command in ("plan", "up"):
        with pytest.raises(SystemExit) as ended:
            run_commands(project, ["--database", str(path), command])
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert "'step' dropped table 't'" in said
