"""What a person sees and answers: `backups`, `backups prune`, `restore` without a file."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from guarded.backends.sqlite.backup import backups_of, copies_of
from guarded.backends.sqlite.connect import SqliteFile
from guarded.cli.session import Session
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import MIGRATE, as_unprivileged, copy_legacy, row_counts

HYBRID = "update_meetings_hybrid_storage"


def kept_files(path):
    return SqliteFile(path).kept_files()


@pytest.fixture
def migrated(path):
    """A database with rows, one backup by hand, two of runs, and a file of dropped values."""
    copy_legacy("after3", path)
    runner = Runner(PROJECT, SqliteFile(path))
    runner.backend.back_up(runner.patience, lambda done, total: None, by_hand=True)
    runner.up(HYBRID)
    runner.up()
    return path


def ask(path, *arguments, answer):
    """Run a command on a terminal and give it an answer: status, stdout, stderr."""
    terminal, inside = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, str(MIGRATE), "--database", str(path), *arguments],
        stdin=inside,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(terminal, answer.encode())
    out, err = done.communicate(timeout=60)
    os.close(terminal)
    os.close(inside)
    return done.returncode, out, err


def test_backups_lists_each_with_age_size_migration_and_origin(cli, migrated):
    done = cli("backups")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    words = [" ".join(line.split()) for line in lines if not line.lstrip().startswith("/")]
    assert [word for word in words if "by a run" in word or "by hand" in word] == [
        word for word in words if word[:1].isdigit()
    ]
    heads = [word.split(" ago ")[1].split(" ", 2)[2] for word in words if " ago " in word]
    assert heads == [
        f"at {HYBRID}",
        "before the first migration",
        "before the first migration",
        next(head for head in heads if "rows" in head),
    ]
    assert heads[-1].endswith("rows, needed by its down")
    for file in (*backups_of(migrated), *[kept.path for kept in kept_files(migrated)]):
        assert any(line.strip() == str(file) for line in lines)
    assert lines[-1].startswith("total    3 backups, ")
    assert "1 file of dropped values" in lines[-1]
    assert all(len(line) <= 80 for line in lines if str(migrated.parent) not in line)


def test_without_a_database_there_is_none(cli, path):
    done = cli("backups")
    assert (done.returncode, done.stdout) == (0, "there is none\n")
    assert not path.exists()


def test_prune_removes_backups_of_runs_and_says_which(cli, migrated):
    by_hand, first, second = backups_of(migrated)
    shown = cli("backups", "prune", "--keep", "1", "--dry-run").stdout
    assert shown.startswith(f"would go {first}\n")
    assert backups_of(migrated) == [by_hand, first, second]
    assert cli("backups", "prune", "--keep", "1").stdout.startswith(f"removed  {first}\n")
    assert backups_of(migrated) == [by_hand, second]
    assert cli("backups", "prune").stdout.endswith("nothing to do\n")
    assert len(kept_files(migrated)) == 1


def test_prune_asks_before_what_is_lost_for_good(cli, migrated):
    everything = ["backups", "prune", "--keep", "0", "--include", "by-hand"]
    everything += ["--include", "dropped-values"]
    (kept,) = kept_files(migrated)
    before = backups_of(migrated)
    done = cli(*everything, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert f"lost for good: '{before[0]}': made by hand\n" in done.stderr
    assert f"lost for good: '{kept.path}': " in done.stderr
    error, run = done.stderr.splitlines()[-2:]
    assert error == "error: pass --yes to remove these"
    assert run.endswith(f"{shlex.join(everything)} --yes")
    status, _, err = ask(migrated, *everything, answer="n\n")
    assert (status, err.endswith("error: not confirmed\n")) == (2, True)
    assert (backups_of(migrated), kept_files(migrated)) == (before, [kept])
    assert ask(migrated, *everything, answer="y\n")[0] == 0
    assert (backups_of(migrated), kept_files(migrated)) == ([], [])
    # `down` says so before it goes without these values.
    done = cli("down", HYBRID, stdin=subprocess.DEVNULL)
    assert (done.returncode, "dropped values is missing" in done.stderr) == (2, True)


def test_prune_can_leave_the_values_that_a_down_needs(cli, migrated):
    (kept,) = kept_files(migrated)
    other = kept.path.with_name(kept.path.name.replace("Z.", "Z.other_"))
    other.write_bytes(kept.path.read_bytes())
    remedy = [line for line in cli("doctor").stdout.splitlines() if "--include" in line]
    words = remedy[0].split("migrate.py ")[1].split()
    done = cli(*words, "--yes")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"removed  {other}")
    assert kept_files(migrated) == [kept]


def test_restore_without_a_file_offers_the_list_and_asks(cli, migrated, connect):
    (by_hand, *_) = backups_of(migrated)
    old = row_counts(connect(by_hand))
    done = cli("restore", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    error, run = done.stderr.splitlines()
    assert error == "error: name a backup of it"
    assert run.endswith(f"migrate.py --database {migrated} backups")
    assert ask(migrated, "restore", answer="\x04")[0] == 2  # the end of the input
    assert row_counts(connect(migrated)) != old
    status, out, err = ask(migrated, "restore", answer="9\n3\n")
    assert status == 0
    assert err.index("by a run") < err.index("by hand") < err.index("Restore which number")
    assert "9 is not in the range" in err
    assert f"restored {Session.near(migrated)} from {by_hand}\n" in out
    assert row_counts(connect(migrated)) == old
    (aside,) = [copy for copy in copies_of(migrated) if copy.origin.value == "restore"]
    assert ask(migrated, "restore", answer="1\n")[0] == 0  # undoes that
    assert "meeting_participants" not in row_counts(connect(migrated))
    assert aside.path.exists()


@pytest.mark.parametrize("command", [["backups"], ["backups", "prune"], ["restore"]], ids=" ".join)
def test_a_folder_that_may_not_be_read_is_one_line(cli, migrated, command):
    folder = migrated.parent / "backups"
    folder.chmod(0)
    done = cli(*command, **as_unprivileged())
    folder.chmod(0o700)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"error: '{folder}' may not be read by this user; run this as the owner of the database\n"
    )


def test_restore_without_any_backup_says_so(cli, path):
    done = cli("restore")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr == f"error: '{path}' was not restored: there is no backup of it; name a file\n"
    )


def complete(words: list[str], **environ: str) -> list[str]:
    """What a shell offers for the last word, as type and value."""
    done = subprocess.run(
        [sys.executable, str(MIGRATE)],
        env={
            **os.environ,
            **environ,
            "_MIGRATE_PY_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["migrate.py", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_a_shell_completes_backups_and_files(migrated):
    files = [f"plain,{file}" for file in reversed(backups_of(migrated))]
    place = {"DB_PATH": str(migrated)}
    assert complete(["restore", ""], **place) == files
    assert complete(["--database", str(migrated), "restore", str(migrated.parent)]) == files
    start = str(backups_of(migrated)[0])[:-3]
    assert complete(["restore", start], **place) == [files[-1]]
    assert complete(["restore", "/tmp/x"], **place) == ["file,/tmp/x"]
    assert complete(["restore", ""], DB_PATH="mysql://h/d") == ["file,"]
    assert complete(["--database", "x"]) == ["file,x"]
    assert complete(["backups", "prune", "--include", "by"]) == ["plain,by-hand"]
    assert set(complete(["down", "add_m"], **place)) == {"plain,add_meetings_system"}


def test_the_completion_works_in_bash(migrated):
    """The line of the README, in a real bash."""
    name = Path(sys.executable).parent / "server-migrate"
    script = f"""
        eval "$(_SERVER_MIGRATE_COMPLETE=bash_source {name})"
        COMP_WORDS=({name} restore '') COMP_CWORD=2
        _server_migrate_completion {name}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "DB_PATH": str(migrated)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == [str(file) for file in reversed(backups_of(migrated))]
