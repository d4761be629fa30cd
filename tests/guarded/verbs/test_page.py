"""docs/verbs.md has every verb with its arguments, and its examples do what the page says."""

from __future__ import annotations

import inspect
import re

import pytest

from guarded.steps import Action
from guarded.verbs.migrator import GuardedMigrator
from tests.conftest import ROOT, migration

PAGE = (ROOT / "docs" / "verbs.md").read_text()
QUESTIONS = {"has_table", "has_column", "has_index"}
VERBS = {
    name
    for name in vars(GuardedMigrator)
    if not name.startswith("_") and name not in {*QUESTIONS, "migrate", "check_all_ran"}
}
# A verb's section: the text, its example, and what the first and the second run print.
SECTIONS = {
    name: (text, *re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    for name, text in re.findall(r"^### `(\w+)`\n(.*?)(?=^#)", PAGE, re.MULTILINE | re.DOTALL)
}
(MODELS,) = re.findall(r"^```python\n(class Author.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SETUP = (
    "migrator.migrate(*map(migrator.create_table, (Author, Book, Shelf)),\n"
    "    migrator.sql('INSERT INTO authors (name) VALUES (NULL), (?)', ('nobody',)),\n"
    "    migrator.sql(\"INSERT INTO books (title) VALUES ('A'), ('B')\"),\n"
    "    migrator.sql(\"INSERT INTO shelves (room) VALUES ('hall')\"))"
)


def file(example: str, body: str | None = None) -> str:
    """A migration of the page's models, and of an example's own model where it has one."""
    model, call = re.fullmatch(r"(class .*?\n\n\n)?(migrator\..*)", example, re.DOTALL).groups()
    text = migration(body or f"migrator.migrate({call})", "pass")
    head = "from peewee import *\n"
    return text.replace(head, f"{head}\n\n{MODELS}\n\n{model or ''}")


def show(done) -> list[str]:
    """The steps as they are printed, without edits and rebuilds: they are up to SQLite's version."""
    steps = [step for outcome in done.outcomes for step in outcome.steps]
    steps = [step for step in steps if step.action not in (Action.EDIT, Action.REBUILD)]
    notes = [(": " if s.action is Action.SKIP else " ") + s.note if s.note else "" for s in steps]
    return [f"{s.action.value:<7} {s.target}{note}" for s, note in zip(steps, notes)]


def test_the_page_has_every_verb_and_question_and_no_other():
    assert set(SECTIONS) == VERBS
    for name in QUESTIONS | VERBS:
        assert f"`{name}(" in PAGE


@pytest.mark.parametrize("name", sorted(VERBS))
def test_a_verb_is_documented_with_its_arguments(name):
    parameters = list(inspect.signature(getattr(GuardedMigrator, name)).parameters.values())[1:]
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    text = f"`{name}{inspect.Signature(bare)}`".replace("'", '"')
    section = SECTIONS[name][0]
    assert text in section
    for word in ("Looks at", "Skips", "Refuses"):
        assert f"**{word}**" in section


@pytest.mark.parametrize("name", sorted(VERBS))
def test_an_example_does_what_the_page_says_and_skips_when_run_again(make_runner, name):
    _, example, *printed = SECTIONS[name]
    runner = make_runner({"books": file("migrator.", SETUP), "example": file(example)})
    runner.up("books")
    first, again = show(runner.up()), show(runner.again("example"))
    assert not any(line.startswith("skip ") for line in first)
    assert all(line.startswith("skip ") for line in again)
    lines = [f"first    {line}" for line in first] + [f"again    {line}" for line in again]
    assert [text.splitlines() for text in printed] == [lines]
