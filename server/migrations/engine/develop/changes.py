"""What the steps of a run say that they change, so that it is not taken for a loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.migrations.engine.runner import Run
from server.migrations.engine.sql.names import fold
from server.migrations.engine.sql.tokens import tokens


@dataclass(frozen=True)
class Changes:
    """All folded.  ``renamed``: a table or ``table.column`` to its new name; ``filled``: the table
    and column of each assignment."""

    renamed: Mapping[str, str]
    filled: frozenset[tuple[str, str]]

    @classmethod
    def of(cls, done: Run) -> Changes:
        steps = [step for outcome in done.outcomes for step in outcome.steps]
        renamed = {
            fold(step.subject): fold(step.note.removeprefix("to "))
            for step in steps
            if step.action == "rename"
        }
        filled = (pair for step in steps for sql in step.statements for pair in assigned(sql))
        return cls(renamed, frozenset(filled))


def assigned(sql: str) -> set[tuple[str, str]]:
    """The table and each column that an UPDATE sets, folded; nothing of another statement."""
    words = tokens(sql)
    if not words or words[0].keyword != "UPDATE":
        return set()
    place = 3 if words[1].keyword == "OR" else 1
    place += 2 if words[place + 1].text == "." else 0
    table, columns, is_name, depth = fold(words[place].name or ""), set(), True, 0
    start = next(i for i, word in enumerate(words) if word.keyword == "SET")
    for word in words[start + 1 :]:
        depth += (word.text == "(") - (word.text == ")")
        if depth == 0 and word.keyword in ("FROM", "WHERE", "RETURNING"):
            break
        if is_name and word.name is not None:
            columns.add((table, fold(word.name)))
        elif word.text == "=":
            is_name = False
        elif depth == 0 and word.text == ",":
            is_name = True
    return columns
