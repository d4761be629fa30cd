"""A word that is no command is answered with the one that is meant."""

from __future__ import annotations

import pytest

from guarded.cli.commands import cli as command_line
from guarded.cli.meant import MEANT


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["help"], "--help"),
        (["rollback"], "down"),
        (["migrate"], "up"),
        (["upgrade"], "up"),
        (["make"], "new --from-models"),
        (["statsu"], "status"),
        (["STATUS"], "status"),
        (["rolback"], "down"),
        (["downgrade", "base"], "down"),
        (["makemigrations", "--json"], "new --from-models"),
        (["add_server_settings"], "up add_server_settings"),
        (["backups", "prun"], "prune"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_the_line_names_what_is_meant(cli, path, typed, meant):
    done = cli(*typed)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"did you mean '{meant}'?" in done.stderr
    assert not path.exists()


@pytest.mark.parametrize("typed", [["fly"], ["backups", "migrate"]])
def test_a_word_that_is_like_none_gets_the_help(cli, path, typed):
    done = cli(*typed)
    assert done.returncode == 2
    assert done.stderr == f"error: No such command '{typed[-1]}' (see --help)\n"
    assert not path.exists()


@pytest.mark.parametrize("word", sorted(set(MEANT.values())))
def test_every_word_leads_to_a_command_that_is_there(cli, word):
    assert cli(*word.partition(" --from")[0].split(), "--help").returncode == 0


def test_no_word_hides_a_command():
    assert MEANT.keys() & command_line.commands.keys() == set()
