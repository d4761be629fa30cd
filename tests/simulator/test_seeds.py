"""Fixed seeds show no fault, and a seed gives the same output again."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from guarded.kept import Keeper
from tests.simulator.__main__ import attempt
from tests.simulator.shrink import as_test, finding_of, shrunk
from tests.simulator.trial import Counts, Finding, drawn


@pytest.mark.parametrize("first", range(1, 201, 25))
def test_no_seed_shows_a_fault(first):
    counts = Counts()
    found = {seed: attempt(seed, counts) for seed in range(first, first + 25)}
    assert {seed: str(finding) for seed, finding in found.items() if finding} == {}
    assert counts.applied > 5
    assert counts.refused > 0


def test_a_seed_gives_the_same_output_byte_for_byte():
    command = (sys.executable, "-m", "tests.simulator", "--seed", "7", "--count", "10")
    outputs = [
        subprocess.run(
            command, env={**os.environ, "PYTHONHASHSEED": salt}, capture_output=True, check=True
        ).stdout
        for salt in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert b"10 seeds from 7" in outputs[0]


def test_a_seed_draws_the_same_case():
    assert repr(drawn(11)) == repr(drawn(11)) != repr(drawn(12))


def test_a_lost_row_is_found_and_shrunk_to_a_test(monkeypatch, tmp_path):
    monkeypatch.setattr(Keeper, "keep", lambda *_: 0)  # what is dropped is lost
    finds = ((seed, finding_of(drawn(seed))) for seed in range(1, 60))
    seed, found = next((seed, found) for seed, found in finds if found is not None)
    small = shrunk(drawn(seed), found.oracle)
    assert sum(map(len, small.migrations)) == 1
    (table,) = small.schema.tables
    assert len(table.columns) <= 3
    assert len(small.start) <= 3
    spaces = {}
    exec(as_test(small, seed, found), spaces)
    with pytest.raises(Finding, match=found.oracle):
        spaces[f"test_seed_{seed}"](tmp_path)
