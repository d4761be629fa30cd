"""build-and-start.sh, as far as it goes without a Docker engine."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "build-and-start.sh"


def run(*arguments, **options):
    return subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, cwd="/", **options)


def test_help_names_every_option():
    done = run("--help")
    assert done.returncode == 0
    for option in ("--no-docker", "--migrate-only", "--down"):
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


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shellcheck_finds_nothing():
    done = subprocess.run(["shellcheck", SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
