"""Whether models, migration files, list, history and live schema say the same.

Reads only, takes no lock, and works on a file that may not be written.
"""

from __future__ import annotations

from server.migrations.engine import drift, plan, shape
from server.migrations.engine.drift import BREAKS, DIFFERS, Difference
from server.migrations.engine.errors import InconsistentHistory
from server.migrations.engine.runner import Runner
from server.migrations.engine.sql.names import fold
from server.migrations.engine.state import read_state


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
    with runner.file.reading() as connection:
        execute = connection.execute if connection else None
        state = read_state(runner.project, execute)
        try:
            plan.check(state.scripts, state.applied)
        except InconsistentHistory as exc:
            found.append(_about("history", "", str(exc)))
        else:
            for script in plan.plan_up(state.scripts, state.applied):
                found.append(_about("history", script.name, f"'{script.name}' is pending"))
        live = shape.live_schema(execute) if execute else {}
        return [*found, *drift.compare(shape.declared_schema(models.persistent), live)]


def _about(kind: str, subject: str, sentence: str) -> Difference:
    return Difference(DIFFERS, "", kind, subject, sentence)
