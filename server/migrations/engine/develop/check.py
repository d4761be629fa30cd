"""Whether models, migration files, list, history and live schema say the same.

Reads only, takes no lock, and works on a file that may not be written.
"""

from __future__ import annotations

import sqlite3

from server.migrations.engine import drift, plan, shape
from server.migrations.engine.drift import BREAKS, DIFFERS, Difference
from server.migrations.engine.errors import InconsistentHistory
from server.migrations.engine.runner import Runner
from server.migrations.engine.sql.names import fold
from server.migrations.engine.state import State, read_state


def check(runner: Runner) -> list[Difference]:
    """Every disagreement: of the files first, then of the schema.  No database has no tables."""
    models = runner.project.models()
    found = [
        _about("file", name, f"'{name}' is neither listed nor excluded") for name in runner.strays()
    ]
    in_memory = {fold(model._meta.table_name) for model in models.in_memory}
    for model in models.persistent:
        if fold(name := model._meta.table_name) in in_memory:
            sentence = f"table '{name}' is claimed by the database and by the one in memory"
            found.append(Difference(BREAKS, name, "table", name, sentence))

    def look(connection: sqlite3.Connection | None) -> list[Difference]:
        execute = connection.execute if connection else None
        live = shape.live_schema(execute) if execute else {}
        differences = drift.compare(shape.declared_schema(models.persistent), live)
        return [*_of_history(read_state(runner.project, execute)), *differences]

    return found + runner.read(look)


def _of_history(state: State) -> list[Difference]:
    try:
        plan.check(state.scripts, state.applied)
    except InconsistentHistory as exc:
        return [_about("history", "", str(exc))]
    return [
        _about("history", script.name, f"'{script.name}' is pending")
        for script in plan.plan_up(state.scripts, state.applied)
    ]


def _about(kind: str, subject: str, sentence: str) -> Difference:
    return Difference(DIFFERS, "", kind, subject, sentence)
