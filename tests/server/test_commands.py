"""`python -m server` with a command, on the host."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from click.testing import CliRunner

from server.commands import cli
from tests.conftest import ROOT
from tests.server.test_sessions import session, sign_in
from tests.server.world import User, migrate


@pytest.fixture(scope="module")
def migrated(tmp_path_factory):
    path = tmp_path_factory.mktemp("commands") / "meetings.sqlite"
    migrate(path)
    return path


@pytest.fixture
def command(path):
    def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "server", *arguments],
            cwd=ROOT,
            env={**os.environ, "DB_PATH": str(path), **environ},
            capture_output=True,
            text=True,
        )

    return run


def test_a_session_that_is_added_signs_at_once(command, api):
    done = command("session", "add", "Me@Example.org")
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    user = User(api, made["user_id"], made["client_id"], made["session_secret"])
    assert user.meeting()["created_by"] == "me@example.org"


def test_an_invitation_signs_in_where_nobody_else_may(command, api):
    assert command("settings", "registration_mode", "invitation_only").returncode == 0
    done = command("invite", "a@example.org")
    assert done.returncode == 0, done.stderr
    code = done.stdout.partition("the code ")[2][:6]
    assert session(api, "a@example.org", code).status == 201


def test_settings_change_beside_a_running_server(command, api):
    assert command("settings", "server_name", "Ours").stdout == 'server_name is "Ours"\n'
    done = command("settings", "allowed_email_suffixes", "@a.org, .b.org")
    assert done.stdout == 'allowed_email_suffixes is ["@a.org", ".b.org"]\n'
    assert api("GET", "/settings").body["server_name"] == "Ours"


def test_an_address_is_tied_to_a_user(command, api, path):
    for user_id in ("an-old-id", "another-id"):
        done = command("user", "link", "A@example.org", user_id)
        assert done.stdout == f"a@example.org signs in as {user_id}\n"
    code = sign_in(api, "a@example.org")
    assert session(api, "a@example.org", code).body["user_id"] == "another-id"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT email, user_id FROM user_links").fetchall() == [
            ("a@example.org", "another-id")
        ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["session", "add", "nobody"], "'nobody' is no e-mail address"),
        (["session", "add"], "Missing argument 'EMAIL'"),
        (["invite", "a@b\n@c"], "is no e-mail address"),
        (["settings", "port", "1"], "'port' is not one of"),
        (["settings", "registration_mode", "closed"], "registration_mode: Input should be"),
        (["settings", "server_name", ""], "server_name: String should have at least 1"),
        (["user", "link", "a@example.org", ""], "an id has 1 to 255 characters"),
        (["serve"], "No such command 'serve'"),
        (["user"], "Missing command"),
    ],
)
def test_wrong_usage_is_one_line_and_2(migrated, monkeypatch, arguments, says):
    monkeypatch.setenv("DB_PATH", str(migrated))
    done = CliRunner().invoke(cli, arguments, prog_name="python -m server")
    assert (done.exit_code, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "the database is behind: add_hmac_auth"),
        ({"DB_PATH": "/no/such/folder/a.sqlite"}, "the folder '/no/such/folder' does not exist"),
        ({"PORT": "x"}, "PORT is 'x'"),
    ],
)
def test_a_database_that_can_not_be_used_is_one_line_and_2(command, environ, says):
    done = command("session", "add", "a@example.org", **environ)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_lock_that_another_process_holds_is_one_line_and_2(command, path):
    migrate(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        done = command("session", "add", "a@example.org", BUSY_TIMEOUT="0.1")
    assert (done.returncode, done.stderr) == (
        2,
        "error: another process is writing to the database; try again\n",
    )


def test_help_names_every_command(command):
    done = command("--help")
    assert done.returncode == 0
    for name in ("session", "invite", "settings", "user"):
        assert f"  {name} " in done.stdout
