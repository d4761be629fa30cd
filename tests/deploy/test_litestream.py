"""Litestream beside the server and its migrations: nothing is lost on either side."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import MIGRATE, ROOT, copy_legacy, populate

LITESTREAM = shutil.which("litestream", path=str(Path(sys.executable).parent))


def migrate(path, *arguments, **options):
    command = [sys.executable, str(MIGRATE), "--database", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **options)


def content(path: Path) -> list[str]:
    """The whole database as text; Litestream's own tables change all the time."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [line for line in connection.iterdump() if "_litestream_" not in line]


class Replica:
    """A replica of a database, which deploy/litestream.yml makes, elsewhere."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self.config = folder / "litestream.yml"
        text = (ROOT / "deploy" / "litestream.yml").read_text()
        text = text.replace("/var/lib/meeting-server/meetings.sqlite", str(path))
        self.config.write_text(text.replace("/mnt/other-machine/meetings", str(folder / "replica")))
        self.start()

    def start(self) -> None:
        command = [LITESTREAM, "replicate", "-config", str(self.config)]
        with (self.folder / "litestream.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=30)

    def content(self) -> list[str]:
        self.count = getattr(self, "count", 0) + 1
        out = self.folder / f"out{self.count}.sqlite"
        command = [
            LITESTREAM,
            "restore",
            "-config",
            str(self.config),
            "-o",
            str(out),
            str(self.path),
        ]
        if subprocess.run(command, capture_output=True, timeout=60).returncode:
            return []
        return content(out)

    def until_equal(self) -> list[str]:
        """What both sides hold, as soon as they hold the same."""
        end = time.monotonic() + 30
        while (there := self.content()) != (here := content(self.path)):
            log = (self.folder / "litestream.log").read_text()
            assert time.monotonic() < end, (set(here) ^ set(there), log[-2000:])
            time.sleep(0.5)
        return here


@pytest.fixture
def replica(path, tmp_path):
    copy_legacy("after3", path)
    populate(path, 2000)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    made = Replica(path, folder)
    yield made
    made.process.kill()
    made.process.wait()


def test_a_run_a_rehearsal_and_a_restore_lose_nothing(replica, path):
    before = replica.until_equal()
    done = migrate(path, "rehearse")
    assert done.returncode == 0, done.stderr
    assert replica.until_equal() == before

    done = migrate(path)
    assert done.returncode == 0, done.stderr
    after = replica.until_equal()
    assert after != before
    assert sum('INTO "meetings"' in line or "INTO meetings " in line for line in after) == sum(
        'INTO "meetings"' in line or "INTO meetings " in line for line in before
    )

    # It reads all the time, and restore needs the file alone: it says who has it.
    (backup,) = (path.parent / "backups").glob("*Z")
    done = migrate(path, "--wait", "2", "restore", str(backup), input="y\n")
    assert done.returncode == 2
    assert "litestream replicate" in done.stderr
    assert replica.until_equal() == after

    replica.stop()
    done = migrate(path, "restore", str(backup), input="y\n")
    assert done.returncode == 0, done.stderr
    assert content(path) == before
    replica.start()
    assert replica.until_equal() == before
    assert migrate(path).returncode == 0
    replica.until_equal()
