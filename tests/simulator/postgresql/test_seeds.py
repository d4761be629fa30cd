"""Fixed seeds show no fault on PostgreSQL, and a seed gives the same again."""

from __future__ import annotations

import pytest

from guarded.kept import Keeper
from tests.postgres import FULL
from tests.simulator.postgresql.cases import drawn
from tests.simulator.postgresql.trial import as_test
from tests.simulator.shrink import shrunk
from tests.simulator.trial import Counts, Finding


def test_no_seed_shows_a_fault(bench):
    counts = Counts()
    found = {seed: bench.finding_of(drawn(seed), counts) for seed in range(1, 9)}
    assert {seed: str(finding) for seed, finding in found.items() if finding} == {}
    assert counts.applied > 2
    assert counts.refused > 0


def test_a_seed_draws_the_same_case():
    assert repr(drawn(11)) == repr(drawn(11)) != repr(drawn(12))


@pytest.mark.skipif(not FULL, reason="takes a minute; make test-postgres")
def test_a_lost_row_is_found_again_in_the_same_words_and_shrunk(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(Keeper, "keep", lambda *_: 0)  # what is dropped is lost
    finds = ((seed, bench.finding_of(drawn(seed))) for seed in range(1, 60))
    seed, found = next((seed, found) for seed, found in finds if found is not None)
    assert str(bench.finding_of(drawn(seed))) == str(found)
    small = shrunk(drawn(seed), found.oracle, bench.finding_of)
    assert sum(map(len, small.migrations)) == 1
    assert len(small.schema.tables) == 1
    spaces = {}
    exec(as_test(small, seed, found), spaces)
    with pytest.raises(Finding, match=found.oracle):
        spaces[f"test_seed_{seed}"](bench, tmp_path)
