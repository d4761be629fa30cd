"""The sweep in short: some operations on databases of every oddity.  ``make real`` does them all."""

from __future__ import annotations

import pytest

from tests.real import worlds
from tests.real.__main__ import main, sweep
from tests.real.trial import Verdict

ONE_IN = 9  # operations, so that it takes seconds


@pytest.mark.parametrize("name", worlds.WORLDS)
def test_every_verb_does_it_or_refuses_for_a_true_reason(tmp_path, name):
    trials = list(sweep(worlds.make(name, tmp_path), of_each=1, parts=ONE_IN))
    assert len(trials) > 10
    failed = [t for t in trials if t.verdict in (Verdict.WRONG, Verdict.NEEDLESS)]
    assert [(t.operation, t.source, t.words) for t in failed] == []


def test_the_sweep_sees_what_goes_wrong(tmp_path, monkeypatch):
    # A rebuild that forgets the rows: every one of its operations is told.
    monkeypatch.setattr("guarded.backends.sqlite.rebuild._copy", lambda *arguments: "SELECT 1")
    monkeypatch.setattr("guarded.backends.sqlite.rebuild._count", lambda *arguments: 0)
    trials = sweep(worlds.make("spelling", tmp_path), of_each=1, verb="add_unique")
    verdicts = {trial.verdict for trial in trials}
    assert Verdict.WRONG in verdicts


def test_without_a_folder_it_says_how_to_use_it(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["real"])
    assert main() == 2
    assert "make real DIR=folder" in capsys.readouterr().out
