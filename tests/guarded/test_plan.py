from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guarded import history, plan
from guarded.errors import (
    AheadDatabase,
    ChangedMigration,
    MissingMigration,
    OutOfOrder,
    UnknownMigration,
)
from guarded.history import Entry
from guarded.scripts import Script
from guarded.steps import Direction, Found

LISTED = [Script(name, Path(), f"sum-{name}") for name in "abc"]


def applied(*names, checksum="sum-"):
    return {
        name: Entry(at, name, Direction.UP, f"{checksum}{name}", f"day {at}", 0, "", None, "[]")
        for at, name in enumerate(names)
    }


@pytest.mark.parametrize(
    ("done", "target", "names"),
    [
        pytest.param("", None, "abc", id="fresh: all"),
        pytest.param("a", None, "bc", id="one behind: the rest"),
        pytest.param("abc", None, "", id="current: nothing"),
        pytest.param("a", "b", "b", id="through the target"),
        pytest.param("ab", "a", "", id="target applied: nothing"),
    ],
)
def test_plan_up_takes_pending_ones_through_the_target(done, target, names):
    assert "".join(s.name for s in plan.plan_up(LISTED, applied(*done), target)) == names


@pytest.mark.parametrize(
    ("done", "target", "names"),
    [
        pytest.param("abc", None, "c", id="the newest"),
        pytest.param("abc", "b", "cb", id="back through the target"),
        pytest.param("abc", "a", "cba", id="everything"),
        pytest.param("", None, "", id="nothing applied: nothing"),
        pytest.param("a", "b", "", id="target not applied: nothing"),
    ],
)
def test_plan_down_takes_applied_ones_back_through_the_target(done, target, names):
    assert "".join(s.name for s in plan.plan_down(LISTED, applied(*done), target)) == names


@pytest.mark.parametrize("planner", [plan.plan_up, plan.plan_down, plan.plan_fake])
def test_an_unknown_target_gets_a_suggestion(planner):
    scripts = [Script("add_users", Path(), "x")]
    with pytest.raises(UnknownMigration, match="'add_user'; did you mean 'add_users'"):
        planner(scripts, {}, "add_user")


def test_fake_records_what_is_pending_and_what_was_edited():
    done = {**applied("a"), **applied("b", checksum="old-")}
    assert [s.name for s in plan.plan_fake(LISTED, done)] == ["b", "c"]
    assert [s.name for s in plan.plan_fake(LISTED, done, "b")] == ["b"]


@pytest.mark.parametrize(
    ("scripts", "done", "error", "says"),
    [
        pytest.param(
            LISTED,
            applied("a", "x"),
            AheadDatabase,
            "'x' .applied on day 1. is not listed",
            id="unlisted",
        ),
        pytest.param(
            LISTED,
            applied("a", checksum="old-"),
            ChangedMigration,
            "'a' was edited after it was applied on day 0; restore the file 'a.py'",
            id="edited",
        ),
        pytest.param(
            [Script("a", Path(), None)],
            {},
            MissingMigration,
            "'a' is listed, but its file 'a.py' is missing",
            id="missing",
        ),
        pytest.param(
            [Script("a", Path(), None)],
            applied("a"),
            MissingMigration,
            "applied on day 0, but its file",
            id="missing and applied",
        ),
        pytest.param(
            LISTED,
            applied("b", "a"),
            OutOfOrder,
            "'a' is listed before 'b', but was applied after it, on day 1",
            id="another order",
        ),
        pytest.param(
            LISTED,
            applied("a", "c"),
            OutOfOrder,
            "'b' is pending, but listed before 'c', which was applied on day 1",
            id="inserted",
        ),
    ],
)
def test_contradictions_are_errors_of_their_own(scripts, done, error, says):
    with pytest.raises(error, match=says):
        plan.check(scripts, done)


def test_an_edited_file_may_be_recorded_anew():
    plan.check(LISTED, applied("a", checksum="old-"), changed=False)


def test_standings_tell_every_state():
    scripts = [*LISTED, Script("d", Path(), None)]
    done = {**applied("a"), **applied("b", checksum="old-"), **applied("x")}
    assert [(s.name, s.state.value) for s in plan.standings(scripts, done)] == [
        ("a", "applied"),
        ("b", "changed"),
        ("c", "pending"),
        ("d", "missing"),
        ("x", "unlisted"),
    ]


moves = st.lists(st.tuples(st.sampled_from(["up", "down"]), st.sampled_from([None, *"abc"])))


@given(moves)
def test_any_way_up_and_down_stays_in_order_and_ends_complete(walk):
    entries = []

    def run(direction, target):
        planner = plan.plan_up if direction == "up" else plan.plan_down
        standing = history.applied(entries)
        plan.check(LISTED, standing)
        chosen = planner(LISTED, standing, target)
        for script in chosen:
            way = Direction(direction)
            entries.append(Entry(0, script.name, way, script.checksum, "", 0, "", None, "[]"))
        return chosen

    for direction, target in walk:
        run(direction, target)
        assert list(history.applied(entries)) == list("abc")[: len(history.applied(entries))]
    run("up", None)
    assert list(history.applied(entries)) == list("abc")
    assert run("up", None) == ()


def test_a_history_of_before_has_facts_without_a_value():
    row = Entry(
        1, "a", Direction.UP, "", "", 0, "", None, '[["found", "alter_column_type", "t", "c"]]'
    )
    assert row.made.found == {Found("alter_column_type", "t", "c", None)}
