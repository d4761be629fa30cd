"""The bench writes its table into docs/figures.md, and only there."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import BEGIN, END, HEAD, put
from tests.conftest import ROOT

FIGURES = ROOT / "docs" / "figures.md"


def between(text: str) -> list[str]:
    return text.partition(BEGIN)[2].partition(END)[0].strip("\n").splitlines()


def test_the_figures_are_as_the_bench_writes_them(tmp_path):
    page = FIGURES.read_text()
    _, *head_and_rows = between(page)
    assert head_and_rows[: len(HEAD)] == HEAD
    assert len(head_and_rows) > 20
    copy = tmp_path / "figures.md"
    copy.write_text(page)
    put(copy, between(page))
    assert copy.read_text() == page


def test_the_bench_replaces_the_table_and_nothing_else(tmp_path):
    copy = tmp_path / "figures.md"
    copy.write_text(FIGURES.read_text())
    put(copy, ["a", "b"])
    before, after = FIGURES.read_text().partition(BEGIN)[0], FIGURES.read_text().partition(END)[2]
    assert copy.read_text() == f"{before}{BEGIN}\na\nb\n{END}{after}"


def test_a_page_without_marks_is_refused(tmp_path):
    copy = tmp_path / "other.md"
    copy.write_text("nothing")
    with pytest.raises(SystemExit):
        put(copy, ["a"])
    assert copy.read_text() == "nothing"
