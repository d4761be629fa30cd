"""A project of one's own, from `python -m guarded init` on."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import as_unprivileged, below_where, ruff


@pytest.fixture
def call(tmp_path):
    """The command line, as somebody calls it in the folder of an application."""
    root = tmp_path / "shop"
    root.mkdir()

    def run(*arguments: str, cwd: Path = root, **options) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, **options)
        done.stdout = below_where(done.stdout)
        return done

    run.root = root
    return run


def test_without_a_command_it_helps(call):
    done = call("-m", "guarded")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: python -m guarded [OPTIONS] [COMMAND]")
    assert "init" in done.stdout


@pytest.mark.parametrize(
    ("folder", "file", "command"),
    [
        pytest.param((), "migrations/migrate.py", "python migrations/migrate.py", id="not given"),
        pytest.param(
            ("db/changes",), "db/changes/migrate.py", "python db/changes/migrate.py", id="below"
        ),
        pytest.param((".",), "migrate.py", "python migrate.py", id="here"),
        pytest.param(
            ("my files",), "my files/migrate.py", "python 'my files/migrate.py'", id="a blank"
        ),
        pytest.param(
            ("../other/m",), "../other/m/migrate.py", "python m/migrate.py", id="elsewhere"
        ),
        pytest.param(
            ('a "b" \\',), 'a "b" \\/migrate.py', "python 'a \"b\" \\/migrate.py'", id="marks"
        ),
    ],
)
def test_a_new_project_works_at_once_from_anywhere(call, tmp_path, folder, file, command):
    done = call("-m", "guarded", "init", *folder)
    path = (call.root / file).resolve()
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"wrote    {path}\nnext     list your models in it, then {command} new NAME --from-models\n"
    )
    for cwd in (call.root, path.parent, tmp_path):
        done = call(str(path), cwd=cwd)
        assert (done.returncode, done.stdout, done.stderr) == (
            0,
            "nothing to do: 0 of 0 applied\n",
            "",
        )
    root = path.parents[len(Path(command.split(maxsplit=1)[1].strip("'")).parts) - 1]
    doctor, typed = call(str(path), "doctor"), shlex.join([sys.executable, str(path)])
    assert (
        f"there is no database at '{root / 'database.sqlite'}' yet\n           {typed}\n"
        in doctor.stdout
    )
    assert call(str(path), "--version").stdout == f"{root.name} 1.0\n"
    assert sorted(p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".pyc") == [path]


def test_the_file_reads_as_this_project_does(call):
    call("-m", "guarded", "init")
    text = (call.root / "migrations" / "migrate.py").read_text()
    assert ruff(text, "check") == ""
    assert ruff(text, "format", "--check") == ""
    assert len(text.splitlines()) < 55


def test_nothing_is_overwritten(call):
    file = call.root / "migrations" / "migrate.py"
    file.parent.mkdir()
    file.write_text("mine")
    done = call("-m", "guarded", "init")
    assert (done.returncode, done.stdout, file.read_text()) == (2, "", "mine")
    assert done.stderr == (
        f"error: '{file.parent}' has a migrate.py already; name another folder\n"
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("a", "b"), "Got unexpected extra argument (b) (see --help)"),
        (("--fly",), "No such option '--fly'. (see --help)"),
        (("",), "FOLDER is empty (see --help)"),
        (("file",), "'{root}/file' is not a folder; name another folder"),
        (("file/below",), "'{root}/file/below' is not a folder; name another folder"),
        (
            ("locked/below",),
            "'{root}/locked/below' can't be written: Permission denied; check its owner and mode",
        ),
    ],
)
def test_bad_input_is_one_line(call, arguments, says):
    (call.root / "file").touch()
    (call.root / "locked").mkdir(mode=0o500)
    done = call("-m", "guarded", "init", *arguments, **as_unprivileged())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {says.format(root=call.root)}\n"


def test_the_commands_of_a_project_are_in_its_migrate_py(call):
    done = call("-m", "guarded", "up")
    assert done.returncode == 2
    assert done.stderr == (
        "error: a project's migrate.py has the command 'up'; run that (see --help)\n"
    )
    assert list(call.root.iterdir()) == []


def test_an_unknown_command_is_one_line(call):
    done = call("-m", "guarded", "inti")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: No such command 'inti'. Did you mean 'init'? (see --help)\n"


def test_the_environment_names_the_database_of_a_new_project(call):
    call("-m", "guarded", "init")
    elsewhere = call.root / "elsewhere.sqlite"
    done = call("migrations/migrate.py", "doctor", env={**os.environ, "DB_PATH": str(elsewhere)})
    assert f"there is no database at '{elsewhere}' yet" in done.stdout
