"""Compare models, migration files, list, history and live schema.

Reads only, takes no lock, and works on a file that may not be written.
"""

from __future__ import annotations

from guarded import diff, plan
from guarded.diff import BREAKS, DIFFERS, Difference
from guarded.errors import InconsistentHistory
from guarded.run import Runner
from guarded.status import State, read_state, tables_in_memory, tables_of, unknown_files


def check(runner: Runner) -> list[Difference]:
    """Return every difference: of the files first, then of the schema."""
    project, fold = runner.project, runner.backend.names.fold
    found = [
        _about("file", name, f"'{name}' is neither listed nor excluded")
        for name in unknown_files(project)
    ]
    in_memory = set(map(fold, tables_in_memory(project)))
    for name in tables_of(project):
        if fold(name) in in_memory:
            sentence = f"table '{name}' belongs to a persistent model and to one in memory"
            found.append(Difference(BREAKS, name, "table", name, sentence))
    with runner.backend.reading(runner.patience) as inspector:
        found += _of_history(read_state(project, inspector))
        found += diff.with_models(project, runner.backend, inspector)
    return found


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
