"""The units for systemd: read by systemd itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.server.world import migrate

FOLDER = ROOT / "deploy" / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir())
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd is not installed"
)


@pytest.fixture(scope="module")
def units(tmp_path_factory) -> Path:
    """The units, with the programs of this machine in place of those at /opt."""
    folder = tmp_path_factory.mktemp("units")
    for name in UNITS:
        text = (FOLDER / name).read_text()
        here = str(Path(sys.executable).parent)
        (folder / name).write_text(text.replace("/opt/meeting-server/.venv/bin", here))
    return folder


@needs_systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_in_a_unit(units, name):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(units / name)], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if "meeting-server" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
def test_the_server_is_hardened(units):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20",
         str(units / "meeting-server.service")],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_backup_is_taken_and_the_newest_14_stay(path):
    """The commands of the unit, on a database here."""
    migrate(path)
    text = (FOLDER / "meeting-server-backup.service").read_text()
    commands = re.findall(r"^ExecStart=\S+/python (.*)$", text, re.MULTILINE)
    assert len(commands) == 2
    folder = path.parent / "backups"
    folder.mkdir()
    for day in range(10, 30):
        (folder / f"{path.name}.by-hand.202601{day}T000000.000000Z").touch()
    for command in commands:
        done = subprocess.run(
            [sys.executable, *shlex.split(command)], cwd=ROOT / "server",
            env={**os.environ, "DB_PATH": str(path)}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    left = sorted(file.name for file in folder.iterdir())
    assert len(left) == 14
    assert "by-hand.20260117" in left[0]


def test_the_units_name_each_other_and_files_that_are_there():
    text = "".join((FOLDER / name).read_text() for name in UNITS)
    assert set(re.findall(r"meeting-server[\w-]*\.(?:service|timer)", text)) <= set(UNITS)
    assert (ROOT / "server" / "migrations" / "migrate.py").is_file()
    assert "RestartPreventExitStatus=78" in text
