"""The first line names the database, and what a message suggests can be pasted."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import MIGRATE, copy_legacy


@pytest.fixture
def stand(tmp_path, monkeypatch):
    """Call the command line from a folder of its own, as somebody who stands there."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(MIGRATE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)

    return call


def test_the_first_line_names_the_database_from_where_one_stands(stand, tmp_path, monkeypatch):
    assert stand("--database", "a.sqlite").stdout.startswith("database a.sqlite (new)\n")
    assert stand("--database", "a.sqlite").stdout.startswith("database a.sqlite\nnothing to do")
    below = str(tmp_path / "here" / "a.sqlite")
    assert stand("--database", below).stdout.startswith("database a.sqlite\n")
    monkeypatch.chdir(MIGRATE.anchor)
    assert stand("--database", below).stdout.startswith(f"database {below[1:]}\n")
    monkeypatch.setenv("DB_PATH", below)
    assert stand().stdout.startswith(f"database {below[1:]}\n")


QUESTIONS = ["plan", "status", "check", "schema", "history", "doctor", "rehearse"]


@pytest.mark.parametrize("command", [*QUESTIONS, "up", "down", "fake", "backup"])
def test_every_command_names_it(stand, tmp_path, command):
    copy_legacy("first_edition", tmp_path / "a.sqlite")
    done = stand("--database", "../a.sqlite", command)
    assert done.stdout.startswith("database ../a.sqlite\n"), done.stderr
    assert "\ndatabase " not in "\n" + stand("--database", "../a.sqlite", command, "--json").stderr


@pytest.mark.parametrize("form", ["mermaid", "dot", "sql"])
def test_a_schema_for_a_file_has_no_other_line_in_it(stand, tmp_path, form):
    copy_legacy("after4", tmp_path / "a.sqlite")
    done = stand("--database", "../a.sqlite", "schema", "--format", form)
    assert "database" not in done.stdout.splitlines()[0]
    assert done.stderr == "database ../a.sqlite\n"


@pytest.mark.parametrize("command", ["verify"])
def test_a_command_that_opens_no_database_names_none(stand, tmp_path, command):
    done = stand("--database", "a.sqlite", command)
    assert (done.returncode, "a.sqlite" in done.stdout) == (0, False)
    assert not [*Path().iterdir()]


@pytest.mark.parametrize("command", ["plan", "status", "check", "up --dry-run"])
def test_a_question_about_a_new_database_makes_none(stand, command):
    done = stand("--database", "a.sqlite", *command.split())
    assert done.returncode in (0, 1)
    assert done.stdout.startswith("database a.sqlite (new)\n")
    assert not [*Path().iterdir()]


@pytest.mark.parametrize(
    "command", ["down", "rehearse", "backup", "history", "schema", "rename a b"]
)
def test_the_others_refuse_one_that_is_not_there(stand, command):
    done = stand("--database", "a.sqlite", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0] == "error: 'a.sqlite' does not exist; name another, or make it"
    assert lines[1].endswith("migrate.py --database a.sqlite")
    assert len(lines) == 2
    assert not [*Path().iterdir()]


def test_doctor_says_that_there_is_none_and_that_this_is_wrong(stand):
    done = stand("--database", "a.sqlite", "doctor")
    assert done.returncode == 1
    assert "problem  file: there is no database at 'a.sqlite' yet" in done.stdout


# Command lines that messages suggest.


def suggested(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The command lines in what was printed: each stands alone at the end of its line."""
    return re.findall(
        r"^(?: +run: | +|next .*, then |.*; take one with: )(\S*python\S* .*)$",
        done.stdout + done.stderr,
        re.MULTILINE,
    )


def nothing(path: Path) -> None:
    """Leave the folder empty."""


def migrated(path: Path) -> None:
    assert (
        subprocess.run(
            [sys.executable, MIGRATE, "--database", path], capture_output=True
        ).returncode
        == 0
    )


def with_a_backup(path: Path) -> None:
    migrated(path)
    command = [sys.executable, MIGRATE, "--database", path, "backup"]
    assert subprocess.run(command, capture_output=True).returncode == 0


def damaged_with_a_backup(path: Path) -> None:
    with_a_backup(path)
    content = path.read_bytes()
    path.write_bytes(content[:8192] + b"\xff" * 8192 + content[16384:])


def truncated_with_a_backup(path: Path) -> None:
    damaged_with_a_backup(path)
    path.write_bytes(path.read_bytes()[:5000])


def with_rows(path: Path) -> None:
    migrated(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE ServerSettings SET server_name = 'Ours'")
        connection.commit()


@pytest.mark.parametrize("name", ["a.sqlite", "it's a.sqlite"])
@pytest.mark.parametrize(
    ("prepare", "arguments"),
    [
        pytest.param(nothing, ["down"], id="no database: make it"),
        pytest.param(nothing, ["doctor"], id="doctor: make it"),
        pytest.param(migrated, ["doctor"], id="doctor: take a backup"),
        pytest.param(damaged_with_a_backup, ["doctor"], id="doctor: restore"),
        pytest.param(damaged_with_a_backup, ["backup"], id="damaged: restore"),
        pytest.param(truncated_with_a_backup, ["status"], id="truncated: restore"),
        pytest.param(truncated_with_a_backup, ["up"], id="truncated, up: restore"),
        pytest.param(with_rows, ["down", "add_server_settings"], id="down: --yes"),
        pytest.param(migrated, ["backups"], id="backups: take one"),
        pytest.param(with_a_backup, ["restore"], id="restore: backups"),
        pytest.param(
            with_a_backup,
            ["backups", "prune", "--include", "by-hand", "--keep", "0"],
            id="prune: --yes",
        ),
    ],
)
def test_every_suggested_command_line_can_be_pasted(stand, prepare, arguments, name):
    prepare(Path(name))
    commands = suggested(stand("--database", name, *arguments, stdin=subprocess.DEVNULL))
    assert commands
    for command in commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert stand("--database", name, "check").returncode in (0, 1)
    assert {file.name.split(".sqlite")[0] for file in Path().iterdir()} <= {name[:-7], "backups"}


@pytest.fixture
def checkout(tmp_path):
    """A copy of the server, whose migrations a test may change."""
    folder = tmp_path / "a checkout"
    shutil.copytree(MIGRATE.parents[1], folder / "server", ignore=shutil.ignore_patterns("__py*"))
    return folder / "server" / "migrations" / "migrate.py"


def test_the_command_after_new_can_be_pasted(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = [sys.executable, os.path.relpath(checkout), "new", "add_colors"]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("wrote    a checkout/server/migrations/add_colors.py\n")
    (command,) = suggested(done)
    pasted = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert pasted.returncode == 0, pasted.stderr
    assert "add_colors" in pasted.stdout


def test_the_command_after_a_rename_can_be_pasted(checkout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call = [sys.executable, os.path.relpath(checkout), "--database", "a.sqlite"]
    assert subprocess.run(call, capture_output=True).returncode == 0
    old, new = "add_user_links", "add_links_of_users"
    (checkout.parent / f"{old}.py").rename(checkout.parent / f"{new}.py")
    checkout.write_text(checkout.read_text().replace(old, new))
    done = subprocess.run(call, capture_output=True, text=True)
    assert f"'{new}' has the text of '{old}'" in done.stderr
    (command,) = suggested(done)
    assert subprocess.run(command, shell=True, capture_output=True).returncode == 0
    assert "nothing to do" in subprocess.run(call, capture_output=True, text=True).stdout
