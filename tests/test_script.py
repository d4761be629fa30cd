"""build-and-start.sh, as far as it goes without a Docker engine, and how make finds a Python."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import venv
from contextlib import closing
from pathlib import Path

import peewee
import pytest

from tests.conftest import ROOT, migration, project_files

SCRIPT = ROOT / "build-and-start.sh"


def run(*arguments, **options):
    options = {"cwd": "/", **options}
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, **options)


def executable(file: Path, *lines: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    file.chmod(0o755)
    return file


def test_help_names_every_option():
    done = run("--help")
    assert done.returncode == 0
    for option in ("--postgres", "--no-docker", "--migrate-only", "--down"):
        assert option in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--fly"], "there is no --fly; see --help"), (["--down", "--down"], "one option at a time")],
)
def test_wrong_usage_is_one_line(arguments, says):
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_missing_python_is_reported(tmp_path):
    done = run("--migrate-only", env={"PATH": "/usr/bin:/bin", "PYTHON": "no-such-python"})
    assert done.returncode == 2
    assert done.stderr == (
        "build-and-start.sh: no-such-python is missing; install Python 3.10 or newer\n"
    )


def test_down_does_not_stop_a_process_that_reuses_the_number(tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copy(SCRIPT, tmp_path)
    tools = tmp_path / "bin"  # and no docker
    tools.mkdir()
    for name in ("bash", "basename", "cat", "dirname", "env", "grep", "ps", "readlink", "rm"):
        (tools / name).symlink_to(shutil.which(name))
    link = tmp_path / "elsewhere"
    link.symlink_to(tmp_path / SCRIPT.name)
    with subprocess.Popen(["sleep", "60"]) as other:
        (tmp_path / "data" / "server.pid").write_text(str(other.pid))
        done = subprocess.run([link, "--down"], capture_output=True, env={"PATH": str(tools)})
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert other.poll() is None
        other.kill()


# A Python that is too old, and an environment that can't be used.


@pytest.fixture
def old_python(tmp_path):
    """It reads the lines of a script from stdin and says that it is 3.8."""
    code = (
        "import sys; sys.version_info = (3, 8, 10); sys.version = '3.8.10 (default)'; "
        "exec(sys.stdin.read())"
    )
    return executable(
        tmp_path / "old" / "python3", f'shift; exec {sys.executable} -c "{code}" "$@"'
    )


@pytest.mark.parametrize("command", [["make", "migrate"], ["./build-and-start.sh", "--no-docker"]])
def test_a_python_that_is_too_old_is_named_with_one_that_would_do(project, old_python, command):
    shutil.rmtree(project / ".venv")
    newer = executable(old_python.with_name("python3.14"))
    environ = {**os.environ, "PYTHON": str(old_python)}
    environ["PATH"] = f"{newer.parent}:{environ['PATH']}"
    done = subprocess.run(command, cwd=project, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if "too old" in line]
    assert line.startswith(f"{Path(command[0]).name}: Python 3.8.10 (")
    assert line.endswith(") is too old; install 3.10 or newer, or set PYTHON=python3.14")
    assert not (project / ".venv").exists()


def drop_stale(folder):
    command = f". {ROOT}/deploy/python.sh; drop_stale .venv"
    done = subprocess.run(["sh", "-c", command], cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


def test_an_environment_that_works_stays(project):
    assert drop_stale(project) == ""
    assert (project / ".venv" / "bin" / "python").exists()
    shutil.rmtree(project / ".venv")
    assert drop_stale(project) == ""


def test_an_environment_whose_python_is_gone_is_made_anew(project):
    python = project / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.2")
    # make only says what it would do; it has no network here.
    done = subprocess.run(
        ["make", "--dry-run", "migrate"], cwd=project, capture_output=True, text=True
    )
    assert done.stderr == "making .venv anew: its Python is gone\n"
    assert "-m venv .venv" in done.stdout
    assert not (project / ".venv").exists()


def test_an_environment_that_was_moved_or_is_of_another_python_is_made_anew(project):
    pip = project / ".venv" / "bin" / "pip"
    pip.write_text("#!/nowhere/.venv/bin/python\n")
    assert drop_stale(project) == "making .venv anew: it was moved\n"
    venv.create(project / ".venv", with_pip=False)
    assert "it has no pip" in drop_stale(project)
    (project / ".venv").symlink_to("/nowhere/.venv")
    assert drop_stale(project) == "making .venv anew: its Python is gone\n"
    assert not (project / ".venv").is_symlink()


# The server as a local process.


@pytest.fixture
def project(tmp_path):
    """The project as a clone has it, with an environment that has all and needs no network."""
    folder = tmp_path / "project"
    for name in project_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    environment = folder / ".venv"
    venv.create(environment, with_pip=False, symlinks=True)
    (libraries,) = environment.glob("lib/*/site-packages")
    (libraries / "all.pth").write_text(str(Path(peewee.__file__).parent))
    executable(environment / "bin" / "pip")
    for mark in (".python", ".server"):
        (environment / mark).touch()
    yield folder
    subprocess.run([folder / "build-and-start.sh", "--down"], env={"PATH": os.defpath})


@pytest.fixture
def start(project, tmp_path):
    """Start from another folder, on a port of one's own: status, the lines, the last error."""

    def call(*arguments, **settings):
        environ = {**os.environ, "PORT": str(free_port()), **settings}
        done = subprocess.run(
            [project / "build-and-start.sh", *(arguments or ["--no-docker"])],
            cwd=tmp_path,
            env={name: value for name, value in environ.items() if value},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout.splitlines(), done.stderr

    return call


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def process(project: Path) -> str:
    return (project / "data" / "server.pid").read_text().strip()


@pytest.mark.parametrize(
    "setting", [{"DB_PATH": "own/db.sqlite"}, {"DATABASE_URL": "sqlite:///own/db.sqlite"}], ids=str
)
def test_both_halves_use_the_database_that_is_named(start, project, tmp_path, setting):
    (tmp_path / "own").mkdir()
    status, lines, err = start(**setting)
    assert (status, err) == (0, "")
    assert lines[-1].startswith("ready at http://127.0.0.1:")
    assert not (project / "data" / "meetings.sqlite").exists()
    with closing(sqlite3.connect(tmp_path / "own" / "db.sqlite")) as connection:
        assert connection.execute("SELECT count(*) FROM schema_history").fetchone() == (5,)
    assert (tmp_path / "own" / "db.sqlite.nonces").exists()


def test_a_database_on_another_server_is_migrated_and_served(start, project, postgres_url):
    port = str(free_port())
    for _ in range(2):
        status, lines, err = start(PORT=port, DATABASE_URL=postgres_url)
        assert (status, err) == (0, "")
        assert lines[-1] == f"ready at http://127.0.0.1:{port}"
    assert "nothing to do: 5 of 5 applied, the newest is add_user_links" in lines
    assert f"the server runs already at port {port} (process {process(project)})" in lines
    assert start("--migrate-only", DATABASE_URL=postgres_url)[1][-1] == lines[-2]
    assert not (project / "data" / "meetings.sqlite").exists()


def test_a_running_server_of_older_code_or_at_another_port_is_started_again(start, project):
    port = str(free_port())
    assert start(PORT=port)[0] == 0
    first = process(project)
    _, lines, _ = start(PORT=port)
    assert f"the server runs already at port {port} (process {first})" in lines
    changed = project / "server" / "ics.py"
    changed.write_text(changed.read_text() + "\n")
    status, lines, _ = start(PORT=port)
    assert status == 0
    assert "the server runs with older code or other settings; it is started again" in lines
    second = process(project)
    assert second != first
    other = str(free_port())
    status, lines, _ = start(PORT=other)
    assert status == 0
    assert f"the server runs at port {port}; it is started again at port {other}" in lines
    assert lines[-1] == f"ready at http://127.0.0.1:{other}"
    assert start("--down")[1] == ["stopped the local process"]


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"PORT": "http"}, "PORT is 'http', and has to be a port, from 1 to 65535"),
        ({"PORT": "70000"}, "PORT is '70000', and has to be a port, from 1 to 65535"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL is 'loud', and has to be one of"),
        ({"BUSY_TIMEOUT": "soon"}, "BUSY_TIMEOUT is 'soon', and has to be a number of seconds"),
        ({"ADMINS": "me"}, "ADMINS is 'me', and has to be e-mail addresses"),
        ({"PUBLIC_URL": "example.org"}, "PUBLIC_URL is 'example.org', and has to be where"),
        ({"SMTP_URL": "mail"}, "SMTP_URL is 'mail:…', and has to be like smtp://"),
        ({"TRUSTED_PROXIES": "proxy"}, "TRUSTED_PROXIES is 'proxy', and has to be IP addresses"),
        ({"DATABASE_URL": "mysql://h/d"}, "names a kind of database that is not supported"),
        ({"DB_PATH": ":memory:"}, "names no file"),
    ],
    ids=lambda value: "=".join(*value.items()) if isinstance(value, dict) else "",
)
def test_a_bad_setting_is_one_line_before_anything_is_done(start, project, setting, says):
    status, lines, err = start(**setting)
    assert (status, lines) == (2, [])
    assert err.startswith("build-and-start.sh: ")
    assert says in err
    assert err.count("\n") == 1
    assert not (project / "data" / "meetings.sqlite").exists()


@pytest.mark.parametrize("option", ["--no-docker", "--migrate-only"])
def test_a_file_is_not_taken_where_the_rows_are_in_postgresql(start, project, option, tmp_path):
    password = project / "data" / "postgres.password"
    password.touch()
    status, lines, err = start(option)
    assert (status, lines) == (2, [])
    assert err == (
        "build-and-start.sh: this installation is on PostgreSQL; use --postgres, or to go back to the "
        f"SQLite file, rename '{password}' first\n"
    )
    assert not (project / "data" / "meetings.sqlite").exists()
    assert start("--migrate-only", DB_PATH=str(tmp_path / "other.sqlite"))[0] == 0


def test_a_server_that_has_ended_is_not_waited_for(start):
    begun = time.monotonic()
    status, _, err = start(HOST="192.0.2.1")
    assert status == 2
    assert "build-and-start.sh: the server ended: " in err
    assert "192.0.2.1" in err
    assert time.monotonic() - begun < 45


def test_a_server_that_can_not_serve_is_not_waited_for(start, project, tmp_path):
    """It stays up and says why, as in a container, and no migration mends it."""
    database = {"DB_PATH": str(tmp_path / "db.sqlite")}
    assert start(**database)[0] == 0
    first = int(process(project))
    (project / "data" / "server.pid").unlink()
    begun = time.monotonic()
    status, _, err = start(STAY_ON_FAULT="1", **database)
    os.kill(first, signal.SIGTERM)
    assert status == 2
    assert "build-and-start.sh: the server can't serve: " in err
    assert "another process serves" in err
    assert time.monotonic() - begun < 45


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def test_the_upgrade_of_the_readme_works_in_a_new_shell(start, project, tmp_path):
    """What the block says, with a local process for the container."""
    section = (ROOT / "README.md").read_text().partition("## Back up, upgrade, go back")[2]
    block = re.search(r"```sh\n(git pull\n.*?)```", section, re.DOTALL)[1]
    git(project, "init", "-q", "-b", "main")
    git(project, "add", ".")
    git(project, "commit", "-q", "-m", "before")
    newer = tmp_path / "newer"
    git(tmp_path, "clone", "-q", str(project), str(newer))
    name = "add_meeting_color"
    (newer / "server" / "migrations" / f"{name}.py").write_text(
        migration(
            """
            migrator.migrate(
                migrator.add_column("meetings", "color", CharField(default="blue")),
            )
            """,
            """
            migrator.migrate(migrator.drop_column("meetings", "color"))
            """,
        )
    )
    listing = newer / "server" / "migrations" / "migrate.py"
    old = '    "add_user_links",\n'
    listing.write_text(listing.read_text().replace(old, f'{old}    "{name}",\n'))
    git(newer, "add", ".")
    git(newer, "commit", "-q", "-m", "after")
    git(project, "remote", "add", "origin", str(newer))
    git(project, "fetch", "-q")
    git(project, "branch", "--set-upstream-to=origin/main")

    port = str(free_port())
    assert start(PORT=port)[0] == 0
    first = process(project)
    done = subprocess.run(
        ["bash", "-e", "-c", block.replace("build-and-start.sh", "build-and-start.sh --no-docker")],
        cwd=project,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PORT": port},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.index(f"would do {name}") < done.stdout.index(f"applying {name}")
    assert done.stdout.endswith(f"ready at http://127.0.0.1:{port}\n")
    assert process(project) != first


DOCKER = """
case "$*" in
  "info --format"*) echo Debian ;;
  "compose ps"*) echo container ;;
  inspect*) echo exited ;;
  "compose logs"*) echo "error: PORT is in use" ;;
esac
"""


def test_a_container_that_has_ended_is_not_waited_for(start, tmp_path):
    tools = executable(tmp_path / "tools" / "docker", DOCKER).parent
    path = f"{tools}:{os.environ['PATH']}"
    begun = time.monotonic()
    script = tmp_path / "project" / "build-and-start.sh"
    done = subprocess.run(
        [script],
        env={**os.environ, "PATH": path, "PORT": str(free_port())},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.endswith("the server ended: error: PORT is in use\n")
    assert time.monotonic() - begun < 45
    other = {**os.environ, "PATH": path, "DB_PATH": "/srv/other.sqlite"}
    done = subprocess.run([script], env=other, capture_output=True, text=True)
    assert done.returncode == 2
    assert "DB_PATH names '/srv/other.sqlite'; unset it, or use --no-docker" in done.stderr
    other = {**os.environ, "PATH": path, "DATABASE_URL": "postgresql://me:secret@db/meetings"}
    done = subprocess.run([script, "--postgres"], env=other, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == (
        "build-and-start.sh: the container's database is PostgreSQL in another container, and "
        "DATABASE_URL or DB_PATH names 'postgresql:…'; unset it, or use --no-docker\n"
    )


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    scripts = [SCRIPT, ROOT / "deploy" / "python.sh"]
    done = subprocess.run(["shellcheck", *scripts], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
