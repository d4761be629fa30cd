"""Put back what an ``up`` dropped, once its tables and columns are there again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from guarded import kept
from guarded.changes import Refill
from guarded.kept import Part
from guarded.steps import Action, Kind, Step, Target
from guarded.verbs.perform import Look, Performer


def refill(performer: Performer, file: Path, wanted: set[Target]) -> None:
    """Fill these tables and columns from the file, a step for each part of it."""
    # A column may have gone before its table: it comes back into the table's rows.
    for kind in (Kind.TABLE, Kind.COLUMN):
        waiting = {target for target in wanted if target.kind is kind}
        while waiting:
            now = _without_parents(performer.look, waiting)
            for part, rows in kept.parts(file):
                if part.target in now:
                    _fill(performer, part, rows)
                for _ in rows:  # the next part is behind them
                    pass
            waiting -= now


def _without_parents(look: Look, targets: set[Target]) -> set[Target]:
    """Return those that refer to no table of the others, or all if each does: rows need their
    parents first."""
    fold = look.names.fold
    tables = {fold(target.table) for target in targets}

    def waits(target: Target) -> bool:
        table = look.inspector.table(target.table)
        parents = {fold(key.parent) for key in table.foreign_keys} if table else set()
        return bool((parents & tables) - {fold(target.table)})

    return {target for target in targets if not waits(target)} or targets.copy()


def _fill(performer: Performer, part: Part, rows: Iterator[tuple[Any, ...]]) -> None:
    ddl = performer.look.ddl
    with performer.step(Step(Action.REFILL, part.target)) as told:
        ddl.apply(Refill(part.target.table, part.key, part.columns, rows, part.mark))
        left = part.rows - ddl.refilled
        told["note"] = f"{ddl.refilled} rows" + (f", {left} fit no more" if left else "")
        told["rows"] = ddl.refilled
