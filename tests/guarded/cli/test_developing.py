"""A developer's day: the models are edited in a copy of the project, and the tool leads on."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from guarded.scripts import checksum
from tests.conftest import LEGACY, ROOT, below_where, copy_legacy, schema_of

EDITS = [
    (
        "    mute_on_join = BooleanField(default=False, constraints=[Default(0)])\n",
        "    mute_on_join = BooleanField(default=False, constraints=[Default(0)])\n"
        '    color = CharField(default="blue")\n',
    ),
    ("    description = TextField(null=True)\n", "    summary = TextField(null=True)\n"),
    (
        'Meeting.add_index(Meeting.created_by, name="meetings_created_by")\n',
        'Meeting.add_index(Meeting.created_by, name="meetings_created_by")\n'
        'Meeting.add_index(Meeting.created_by, Meeting.start_time, name="meetings_of_owner")\n',
    ),
    ("constraints=[Default(\"'open'\")]", "constraints=[Default(\"'invitation_only'\")]"),
    (
        "class ExternalSession(Model):",
        'class Room(PersistentModel):\n    """A room with a fixed link."""\n\n'
        "    name = CharField(unique=True)\n"
        '    meeting = ForeignKeyField(Meeting, on_delete="CASCADE", null=True)\n'
        '    capacity = IntegerField(default=10, constraints=[Check("capacity > 0")])\n\n'
        '    class Meta:\n        table_name = "rooms"\n\n\n'
        "class ExternalSession(Model):",
    ),
    ("    Invitation,\n)", "    Invitation,\n    Room,\n)"),
    (
        "    CharField,\n    DatabaseProxy,",
        "    CharField,\n    Check,\n    DatabaseProxy,\n    ForeignKeyField,",
    ),
]


@pytest.fixture
def copy(tmp_path):
    """A copy of the project, and a way to run its own command line in it."""
    folder = tmp_path / "project"
    for package in ("guarded", "server"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)

    def run(*arguments, database=tmp_path / "dev.sqlite"):
        script = folder / "server" / "migrations" / "migrate.py"
        command = [sys.executable, str(script), "--database", str(database), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, stdin=subprocess.DEVNULL, cwd=folder
        )
        done.stdout = below_where(done.stdout)
        return done

    run.folder = folder
    return run


def edit_models(folder: Path) -> None:
    file = folder / "server" / "db" / "model.py"
    text = file.read_text()
    for old, new in EDITS:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file.write_text(text)


def test_from_an_edited_model_to_a_migrated_database(copy, tmp_path):
    assert copy().returncode == 0
    assert copy("check").stdout == "no difference\n"
    edit_models(copy.folder)

    done = copy("check")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "breaks   table 'meetings': column 'summary' is missing",
        "breaks   table 'meetings': column 'color' is missing",
        "differs  table 'meetings': index on (created_by, start_time) is missing",
        "extra    table 'meetings': column 'description' is declared by no model",
        "breaks   table 'rooms' is missing",
        "differs  table 'ServerSettings': column 'registration_mode' has default 'open', and should "
        "have 'invitation_only'",
    ]

    done = copy("new", "add_rooms", "--from-models")
    assert (done.returncode, done.stderr) == (0, "")
    assert "decide   1 open question, on lines that begin with # DECIDE: \n" in done.stdout
    file = copy.folder / "server" / "migrations" / "add_rooms.py"
    assert '    "add_rooms",\n]' in (copy.folder / "server/migrations/migrate.py").read_text()
    if shutil.which("ruff", path=Path(sys.executable).parent):
        for check in (["check"], ["format", "--check"]):
            command = [Path(sys.executable).parent / "ruff", *check, file]
            assert subprocess.run(command, cwd=copy.folder, capture_output=True).returncode == 0

    done = copy("verify")
    assert done.returncode == 1
    assert "not decided: is this a rename? If not, drop 'description'" in done.stdout
    text = file.read_text()
    lines = [line for line in text.splitlines(keepends=True) if "# DECIDE" not in line]
    file.write_text("".join(lines))
    done = copy("verify")
    assert done.returncode == 0, done.stdout
    assert "holds    add_rooms" in done.stdout

    for name in LEGACY:
        database = copy_legacy(name, tmp_path / f"{name}.sqlite")
        done = copy(database=database)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        done = copy("check", database=database)
        extras = {line.split()[0] for line in done.stdout.splitlines()}
        assert done.returncode == 0, done.stdout
        assert extras <= {"extra", "no"}
        done = copy("rehearse", database=database)
        assert done.stdout == "nothing to rehearse\n"
        assert copy("down", "--yes", database=database).returncode == 0
        assert copy(database=database).returncode == 0
    assert copy("check", "--strict", database=database).returncode == 1


def test_new_writes_a_file_that_runs(copy):
    done = copy("new", "add_nothing_yet", "--json")
    made = Path(json.loads(done.stdout)["path"])
    assert made.read_text().startswith('"""Add nothing yet."""\n')
    done = copy("verify")
    assert done.returncode == 0
    assert "empty    add_nothing_yet" in done.stdout
    assert "warning line 4: up is empty" in done.stdout
    assert "applying add_nothing_yet" in copy().stdout


def test_new_keeps_the_byte_order_mark_of_the_list(copy):
    file = copy.folder / "server/migrations/migrate.py"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    assert copy("new", "add_nothing_yet").returncode == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    assert b'    "add_nothing_yet",\n]' in file.read_bytes()


def test_new_without_a_difference_writes_nothing(copy):
    before = sorted(copy.folder.rglob("*.py"))
    done = copy("new", "add_rooms", "--from-models")
    assert (done.returncode, done.stdout) == (
        0,
        "nothing to write: the migrations create what the models declare\n",
    )
    assert sorted(copy.folder.rglob("*.py")) == before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("add_hmac_auth", "there is a migration of that name, listed or excluded"),
        ("index", "there is a migration of that name, listed or excluded"),
        ("taken", "exists already"),
        ("add.x", "a name is verb_object"),
    ],
)
def test_new_refuses_a_name(copy, name, says):
    (copy.folder / "server/migrations/taken").mkdir()
    before = (copy.folder / "server/migrations/migrate.py").read_bytes()
    done = copy("new", name)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert (copy.folder / "server/migrations/migrate.py").read_bytes() == before


def test_check_works_on_a_file_that_may_not_be_written(copy, tmp_path):
    copy()
    (tmp_path / "dev.sqlite").chmod(0o444)
    assert copy("check").returncode == 0


def test_check_tells_of_files_and_of_what_is_pending(copy):
    copy("up", "add_hmac_auth")
    (copy.folder / "server/migrations/stray.py").touch()
    done = copy("check", "--json")
    found = [(d["kind"], d["sentence"]) for d in json.loads(done.stdout)["differences"]]
    assert found[0] == ("file", "'stray.py' is neither listed nor excluded")
    assert ("history", "'add_meetings_system' is pending") in found
    assert done.returncode == 1


def test_check_finds_a_table_of_both_databases(copy):
    copy()
    file = copy.folder / "server/db/model.py"
    file.write_text(
        file.read_text().replace("    Invitation,\n)", "    Invitation,\n    ExternalSession,\n)")
    )
    done = copy("check")
    assert (
        "table 'ExternalSessions' belongs to a persistent model and to one in memory" in done.stdout
    )
    assert done.returncode == 1


@pytest.mark.parametrize("form", ["text", "mermaid", "dot", "sql", "json"])
def test_schema_in_every_format(copy, form):
    assert "does not exist; name another, or make it" in copy("schema").stderr
    copy()
    done = copy("schema", "--format", form)
    assert (done.returncode, below_where(done.stderr)) == (0, "")
    assert "meetings" in done.stdout
    if form == "json":
        names = [table["name"] for table in json.loads(done.stdout)["tables"]]
        assert names[:2] == ["client_sessions", "nonce_cache"]
    if form == "sql":
        remade = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sqlite3,sys; sqlite3.connect(':memory:').executescript(sys.stdin.read())",
            ],
            input=done.stdout,
            text=True,
        )
        assert remade.returncode == 0


def test_every_command_helps_with_an_example(copy):
    commands = [
        line.split()[0] for line in copy("--help").stdout.partition("Commands:\n")[2].splitlines()
    ]
    assert len(commands) == 17
    for name in commands:
        done = copy(name, "--help")
        assert done.returncode == 0
        assert f"Example: migrate.py {name}" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(shell):
    variable = "_SERVER_MIGRATE_COMPLETE"
    script = Path(sys.executable).parent / "server-migrate"
    done = subprocess.run(
        [script], capture_output=True, text=True, env={**os.environ, variable: f"{shell}_source"}
    )
    assert variable in done.stdout
    at = "add_s" if shell == "fish" else "2"
    words = {"COMP_WORDS": "server-migrate up add_s", "COMP_CWORD": at}
    done = subprocess.run(
        [script],
        capture_output=True,
        text=True,
        env={**os.environ, **words, variable: f"{shell}_complete"},
    )
    assert "add_server_settings" in done.stdout
    assert "add_hmac_auth" not in done.stdout


def test_a_text_that_is_accepted_as_the_same_is_nothing_to_do(copy, connect, tmp_path):
    folder = copy.folder / "server" / "migrations"
    assert copy().returncode == 0
    connection = connect(tmp_path / "dev.sqlite")
    connection.execute(
        "INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time, "
        "invited_participants) VALUES ('mtg_1', 'Plans', 'ada', '2025-12-12', '2025-12-13', "
        """'["bob"]')"""
    )
    before = schema_of(connection), connection.execute("SELECT * FROM meetings").fetchall()
    file, listing = folder / "update_meetings_hybrid_storage.py", folder / "migrate.py"
    old = checksum(file)
    file.write_text(f"{file.read_text()}\n# The same in other words.\n")

    edited = "'update_meetings_hybrid_storage' was edited after it was applied on 20"
    done = copy()
    assert (done.returncode, done.stdout) == (2, "")
    assert edited in done.stderr
    assert edited in copy("check").stdout

    text = listing.read_text()
    known = re.search(r"^REWORDED = \{\n.*?^\}\n", text, re.MULTILINE | re.DOTALL).group()
    for name, texts in (("update_meetings_hybrid_storage", ["0" * 64]), ("add_hmac_auth", [old])):
        listing.write_text(text.replace(known, f"REWORDED = {{{name!r}: {texts}}}\n"))
        assert edited in copy().stderr

    texts = ["0" * 64, old]
    listing.write_text(
        text.replace(known, f"REWORDED = {{'update_meetings_hybrid_storage': {texts}}}\n")
    )
    assert copy().stdout.startswith("nothing to do: ")
    assert copy("check").stdout == "no difference\n"
    assert copy("fake").stdout.startswith("nothing to do")
    assert (
        schema_of(connection),
        connection.execute("SELECT * FROM meetings").fetchall(),
    ) == before
    assert copy("down", "update_meetings_hybrid_storage", "--yes").returncode == 0
    members = connection.execute("SELECT user_id, role FROM meeting_participants").fetchall()
    assert members == [("ada", "meeting_owner"), ("bob", "meeting_member")]
