"""The file under the server: damaged, cut, replaced, removed, and a full disk."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import threading
import time
from contextlib import closing

import pytest

from tests.server.world import MEETING, Api, migrate


def whole(path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def titles(path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [row[0] for row in connection.execute("SELECT title FROM meetings ORDER BY 1")]


def take_log_in(path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def overwrite(path, start: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(b"\x5a" * 20_000)


def cut(path, size: int) -> None:
    os.truncate(path, size)


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param(lambda path: overwrite(path, 0), id="the first page"),
        pytest.param(lambda path: overwrite(path, 8192), id="a page inside"),
        pytest.param(lambda path: cut(path, 20_000), id="cut"),
        pytest.param(lambda path: cut(path, 0), id="cut to nothing"),
    ],
)
def test_damage_is_told_within_two_seconds_and_a_repair_is_noticed(api, path, harm):
    user = api.user()
    user.meeting()
    take_log_in(path)
    good = path.with_name("good")
    shutil.copy(path, good)
    harm(path)
    api.until_code("database_damaged", 2)
    for method, where in (("GET", "/settings"), ("GET", "/join/x")):
        answer = api(method, where)
        assert (answer.status, answer.code) == (503, "database_damaged")
    for _ in range(20):
        assert user("POST", "/meetings", MEETING).status == 503
    assert api("GET", "/healthz").status == 200
    good.replace(path)
    api.until(200, 4)
    user.meeting()
    log = api.log.read_text()
    assert "Traceback" not in log
    assert log.count("database_damaged: ") == 1
    assert api.stop()[0] == 0
    assert whole(path)


def test_a_replaced_file_is_opened_anew_and_never_written_with_the_old_log(api, path):
    user = api.user()
    other = path.with_name("other")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(other)) as target:
        source.backup(target)
    old = path.with_name("old")
    os.link(path, old)
    for number in range(30):  # in the log of the old file alone
        user.meeting(title=f"old {number}")
    other.replace(path)
    time.sleep(0.2)
    end = time.monotonic() + 5
    while (answer := user("POST", "/meetings", {**MEETING, "title": "new"})).status != 201:
        assert answer.status == 503, answer
        assert time.monotonic() < end
        time.sleep(0.1)
    assert titles(path) == ["new"]
    assert api.stop()[0] == 0
    assert titles(path) == ["new"]
    assert whole(path)
    assert len(titles(old)) == 30  # nothing acknowledged is lost: it is in the file that it was for
    assert whole(old)
    log = api.log.read_text()
    assert "Traceback" not in log
    assert log.count("database_replaced: ") == 1


def test_a_removed_file_is_told_and_not_made_again(api, path):
    user = api.user()
    user.meeting()
    aside = path.with_name("aside")
    path.rename(aside)
    api.until_code("database_missing", 2)
    assert user("GET", "/meetings").code == "database_missing"
    time.sleep(1.2)
    assert api("GET", "/readyz").code == "database_missing"
    assert not path.exists()
    assert len(titles(aside)) == 1
    aside.rename(path)
    api.until(200, 3)
    user.meeting()
    assert api.stop()[0] == 0
    assert len(titles(path)) == 2
    assert "Traceback" not in api.log.read_text()


def test_replacing_it_again_and_again_under_load_harms_no_file(api, path):
    user = api.user()
    take_log_in(path)
    template = path.with_name("template")
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(template)) as target:
        source.backup(target)
    statuses, is_over = set(), threading.Event()

    def write():
        while not is_over.is_set():
            statuses.add(user("POST", "/meetings", MEETING).status)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(3):
        os.link(path, path.with_name(f"kept{number}"))
        shutil.copy(template, path.with_name("next"))
        path.with_name("next").replace(path)
        time.sleep(1.3)
    is_over.set()
    for thread in threads:
        thread.join()
    assert statuses <= {201, 503}
    assert api.stop()[0] == 0
    for file in (path, *path.parent.glob("kept?")):
        assert whole(file), file
    assert "Traceback" not in api.log.read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_told_and_room_is_noticed(small_disk, tmp_path, request):
    path = small_disk / "meetings.sqlite"
    migrate(path)
    api = Api(path, logs=tmp_path)
    request.addfinalizer(api.kill)
    api.ready()
    user = api.user()
    kept = user.meeting()
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"x" * 65536)
                file.flush()
        except OSError:
            pass
    for _ in range(10):
        answer = user("POST", "/meetings", {**MEETING, "description": "x" * 9000})
        assert answer.status in (201, 503), answer
    api.until_code("disk_full", 2)
    assert user("POST", "/meetings", MEETING).code == "disk_full"
    ballast.unlink()
    api.until(200, 3)
    assert user("GET", f"/meetings/{kept['meeting_id']}").status == 200
    user.meeting()
    log = api.log.read_text()
    assert "Traceback" not in log
    assert log.count("disk_full: ") == 1
    assert log.count("disk_full is over") == 1
    assert api.stop()[0] == 0
    assert whole(path)
