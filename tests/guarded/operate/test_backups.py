"""The copies of a database and the files of dropped values, listed and removed."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, nullcontext

import pytest

from guarded.backends.interface import Origin, Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.operate import backups
from guarded.operate.backups import Use
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import copy_legacy

HYBRID = "update_meetings_hybrid_storage"


def quiet(*_):
    pass


@pytest.fixture
def runner(path):
    """On a database with rows that has every migration; one of them dropped values."""
    copy_legacy("after3", path)
    runner = Runner(PROJECT, SqliteFile(path), Patience(5))
    runner.up()
    return runner


def by_hand(runner):
    return runner.backend.back_up(runner.patience, quiet, by_hand=True).path


def test_runs_push_out_their_own_backups_and_none_taken_by_hand(runner):
    mine = [by_hand(runner) for _ in range(3)]
    for _ in range(4):
        runner.down()
        runner.up()
    held = backups.copies(runner)
    assert [each.copy.path for each in held if each.copy.origin is Origin.BY_HAND] == mine[::-1]
    assert len([each for each in held if each.copy.origin is Origin.RUN]) == 5
    assert [each.copy.at for each in held] == sorted((h.copy.at for h in held), reverse=True)


def test_a_copy_tells_its_newest_migration(runner, path):
    first, second = backups.copies(runner)[0], by_hand(runner)
    runner.down()
    third = by_hand(runner)
    found = {each.copy.path: each.newest for each in backups.copies(runner)}
    assert found[first.copy.path] is None
    assert found[second] == PROJECT.listed[-1]
    assert found[third] == PROJECT.listed[-2]
    third.write_bytes(b"no database at all" * 100)
    (damaged,) = [each for each in backups.copies(runner) if each.copy.path == third]
    assert (damaged.newest, damaged.why) == (None, "is not an SQLite database")
    assert path.exists()


def test_a_copy_that_restore_kept_is_one_too(runner):
    taken = by_hand(runner)
    aside = runner.backend.restore(PROJECT, taken, runner.patience, quiet)
    assert (aside, Origin.RESTORE) in [
        (each.copy.path, each.copy.origin) for each in backups.copies(runner)
    ]


def test_a_copy_that_somebody_laid_beside_the_database_is_nobodys_backup(runner, path):
    own = path.with_name(f"{path.name}.20200101T000000Z")
    own.write_bytes(path.read_bytes())
    odd = path.parent / "backups" / f"{path.name}.20209999T999999Z"
    odd.touch()
    assert {own, odd} & {each.copy.path for each in backups.copies(runner)} == set()


def test_dropped_values_are_needed_until_their_down(runner, path):
    (values,) = backups.values(runner)
    assert (values.file.migration, values.use) == (HYBRID, Use.DATABASE)
    assert values.rows > 0
    assert values.file.size == values.file.path.stat().st_size
    path.write_bytes(b"damaged" * 1000)
    assert [each.use for each in backups.values(runner)] == [Use.UNKNOWN]


def test_dropped_values_may_be_needed_by_a_backup_alone(runner):
    (before,) = [each.copy.path for each in backups.copies(runner)]
    aside = runner.backend.restore(PROJECT, before, runner.patience, quiet)
    (values,) = backups.values(runner)
    assert (values.use, values.rows > 0) == (Use.COPY, True)
    aside.unlink()
    assert [each.use for each in backups.values(runner)] == [Use.NONE]


class Opaque(SqliteFile):
    """A kind of database whose copies can't be looked into."""

    def reading_copy(self, copy):
        return nullcontext()


def test_the_history_tells_of_copies_that_can_not_be_looked_into(path, runner):
    runner.down()
    runner.up()
    by_hand(runner)
    seen = [(each.newest, each.why) for each in backups.copies(runner)]
    opaque = Runner(PROJECT, Opaque(path), Patience(5))
    assert [(each.newest, each.why) for each in backups.copies(opaque)] == seen
    assert seen[-1] == (None, "")
    assert [each.use for each in backups.values(opaque)] == [Use.DATABASE]
    path.unlink()
    assert {each.why for each in backups.copies(opaque)} == {"its content can't be shown here"}


def test_without_a_database_the_copies_are_still_there(runner, path):
    path.unlink()
    assert len(backups.copies(runner)) == 1
    assert [each.use for each in backups.values_at_rest(runner)] == [Use.UNKNOWN]
    backups.remove(runner, [], backups.values(runner))
    assert backups.values(runner) == []
    assert not path.exists()


@pytest.mark.parametrize(
    ("origins", "keep", "left"),
    [
        pytest.param({Origin.RUN}, 1, ["run", "hand", "hand"], id="runs but the newest"),
        pytest.param({Origin.RUN}, 0, ["hand", "hand"], id="runs"),
        pytest.param({Origin.RUN, Origin.BY_HAND}, 1, ["run", "hand"], id="the newest of each"),
        pytest.param(set(), 0, ["run", "run", "hand", "hand"], id="nothing asked for"),
        pytest.param({Origin.RUN}, 5, ["run", "run", "hand", "hand"], id="fewer than may stay"),
    ],
)
def test_the_newest_of_each_origin_stay(runner, origins, keep, left):
    by_hand(runner)
    runner.down()
    by_hand(runner)
    newest_first = list(reversed(runner.backend.copies()))
    backups.remove(runner, backups.surplus(newest_first, origins, keep), [])
    found = sorted(copy.origin.value.removeprefix("by ") for copy in runner.backend.copies())
    assert found == sorted(left)
    assert newest_first[0] in runner.backend.copies() or Origin.BY_HAND in origins or not keep


def test_dropped_values_go_only_while_no_run_is_under_way(runner, path):
    """A run that has not committed yet has a file that no history names."""
    begun = threading.Event()

    def hold():
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            begun.set()
            time.sleep(0.5)
            connection.execute("ROLLBACK")

    holder = threading.Thread(target=hold)
    holder.start()
    begun.wait()
    started = time.monotonic()
    (values,) = backups.values_at_rest(runner)
    assert time.monotonic() - started > 0.3
    holder.join()
    backups.remove(runner, [], [values])
    assert runner.backend.kept_files() == []
    assert [why for why in runner.unkept(HYBRID) if "is missing" in why]
