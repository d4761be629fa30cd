"""Foresee a run by running it on a clone of the schema, without rows.

Changes nothing.  Does not foresee what depends on rows.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from guarded import promises
from guarded.backends.interface import Backend, Inspector, Locks
from guarded.errors import MigrationFailed, Refused
from guarded.project import Project
from guarded.scripts import Script
from guarded.status import tables_in_memory
from guarded.steps import Action, Direction, Kind, Made, Outcome, Pass, Step, Target, takes
from guarded.verbs.perform import Rows, run_script


class Forecast(NamedTuple):
    """``findings`` are changes that no step would announce.  ``unforeseen`` says where and why the
    forecast ended early: a migration may need rows to go on."""

    outcomes: tuple[Outcome, ...]
    findings: tuple[str, ...] = ()
    unforeseen: str | None = None


def forecast(
    project: Project,
    backend: Backend,
    inspector: Inspector | None,
    scripts: Iterable[Script],
    direction: Direction,
    made: Callable[[Script], Made | None],
    *,
    asks_rows: bool = False,
) -> Forecast:
    """Run the scripts on a clone of what ``inspector`` sees (None: an empty database).

    ``asks_rows`` also looks at the rows, as far as possible, before each verb that could fail on
    them.  Raises Refused when a verb refuses.
    """
    outcomes: list[Outcome] = []
    with backend.clone(inspector) as session:
        ledger = backend.ledger(session, tables_in_memory(project))
        known = inspector if inspector is not None and asks_rows else session.inspector
        rows = Rows(known, is_foreseen=True)
        unforeseen = None
        for script in scripts:
            try:
                outcome = run_script(
                    project,
                    backend,
                    session,
                    script,
                    direction,
                    ledger,
                    made(script),
                    rows,
                    weighs=asks_rows,
                )
            except MigrationFailed as exc:
                if exc.is_sure and asks_rows:
                    raise
                unforeseen = str(exc)
                break
            if inspector is not None and asks_rows:
                steps = tuple(_counted(step, backend, inspector) for step in outcome.steps)
                outcome = outcome._replace(steps=steps)
            outcomes.append(outcome)
        findings = () if unforeseen else tuple(promises.about_the_whole(ledger.left()))
    if inspector is not None and asks_rows:
        planned = [step for outcome in outcomes for step in outcome.steps]
        outcomes = weighed(outcomes, backend.locks(planned, inspector.schema()), inspector.count)
    return Forecast(tuple(outcomes), findings, unforeseen)


def weighed(
    outcomes: Iterable[Outcome], locks: Locks, count: Callable[[str], int]
) -> list[Outcome]:
    """Return the outcomes with the passes for which others wait: with rows, and who it is.

    ``count`` gives the rows of a table, by the name that it had before the run.
    """
    names: dict[str, str] = {}  # a table's name now to its name before
    rows = functools.cache(count)

    def weigh(step: Step) -> Step:
        passes = step.passes
        if step.action is Action.FILL and not passes:  # row by row, of which a clone has none
            passes = (Pass(step.target.table),)
        before = [each._replace(table=names.get(each.table, each.table)) for each in passes]
        if step.target.kind is Kind.TABLE and step.renamed_to is not None:
            names[step.renamed_to] = names.get(step.target.table, step.target.table)
        return step._replace(
            passes=tuple(
                each._replace(rows=rows(each.table), waits=locks[each.table].value)
                for each in before
                if each.table in locks and rows(each.table)
            )
        )

    return [o._replace(steps=tuple(weigh(step) for step in o.steps)) for o in outcomes]


def _counted(step: Step, backend: Backend, inspector: Inspector) -> Step:
    """The step with the rows that it takes or passes over, as far as they are there now."""
    if step.action not in (Action.DROP, Action.FILL, Action.REBUILD) or not step.target.table:
        return step
    table = inspector.table(step.target.table)
    if table is None or table.unreadable or table.kind != "table":
        return step
    try:
        if step.action is not Action.DROP:
            return step._replace(rows=inspector.count(table.name))
        if not step.takes:
            return step
        lost = _losses_of(step.takes, backend, inspector)
    except Refused:  # by a collation that this process lacks; the step itself may do without
        return step
    return step._replace(rows=sum(loss.rows for loss in lost))


class Loss(NamedTuple):
    """A table, column or rows that would be lost.  ``rows`` is the number of rows with a value
    there; for a DELETE it is the largest possible number, since its condition is not evaluated."""

    target: Target
    rows: int

    def __str__(self) -> str:
        if self.target.kind is Kind.ROWS:
            return f"rows of table {self.target}: up to {self.rows}"
        return f"{self.target.kind.value} {self.target}: {self.rows} rows"


def losses(backend: Backend, inspector: Inspector, foreseen: Forecast) -> list[Loss]:
    """Return the tables, columns and rows whose values the run would lose."""
    steps = [step for outcome in foreseen.outcomes for step in outcome.steps]
    return _losses_of(takes(steps), backend, inspector)


def _losses_of(targets: Iterable[Target], backend: Backend, inspector: Inspector) -> list[Loss]:
    found = []
    fold, quote = backend.names.fold, backend.names.quote
    for target in targets:
        table = inspector.table(target.table)
        if table is None:
            continue
        if target.kind is not Kind.COLUMN:
            rows = inspector.count(table.name)
        elif any(fold(c.name) == fold(target.name or "") for c in table.columns):
            rows = inspector.count(table.name, f"{quote(target.name or '')} IS NOT NULL")
        else:
            continue
        if rows:
            found.append(Loss(target, rows))
    return found
