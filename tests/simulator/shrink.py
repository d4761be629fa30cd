"""Make a failing case smaller, and write it as a test that needs no seed."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.simulator.draw import Odd
from tests.simulator.operations import uses
from tests.simulator.schema import Column, Schema, Style, Table, quote, speaks_of
from tests.simulator.trial import Case, Counts, Finding, Trial, Unusable
from tests.simulator.world import CALM

PLAIN = -1  # the spelling of a table that nothing odd is drawn for
PARTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[(),]|[^(),'"]+""")
ROOM = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


def finding_of(
    case: Case, counts: Counts | None = None, trial: Callable[[Case, Path, Counts], Any] = Trial
) -> Finding | None:
    """Run the case in a folder of its own; None where nothing is wrong, or it can't be made."""
    with tempfile.TemporaryDirectory(prefix="simulate-", dir=ROOM) as folder:
        try:
            trial(case, Path(folder), counts or Counts()).run()
        except Unusable:
            return None
        except Finding as found:
            return found
        except Exception as exc:
            return Finding("the simulator", f"{type(exc).__name__}: {exc}")
    return None


def shrunk(case: Case, oracle: str, find: Callable[[Case], Finding | None] = finding_of) -> Case:
    """A case in which no part can be left out and the same oracle still speaks."""
    for smaller in _smaller(case):
        found = find(smaller)
        if found is not None and found.oracle == oracle:
            return shrunk(smaller, oracle, find)
    return case


def _smaller(case: Case) -> Iterator[Case]:
    """The case without a part of it, large parts first."""
    for migrations in _without_one(case.migrations):
        if migrations:
            yield replace(case, migrations=migrations)
    for number, operations in enumerate(case.migrations):
        for fewer in _without_one(operations):
            if fewer:
                before, after = case.migrations[:number], case.migrations[number + 1 :]
                yield replace(case, migrations=(*before, fewer, *after))
    if case.work:
        yield replace(case, work=())
    if case.settings:
        yield replace(case, settings=())
    schedule = case.schedule
    for less in (CALM, replace(schedule, fault=""), replace(schedule, runners=1), replace(schedule, readers=0),
                 replace(schedule, jumps=False)):  # fmt: skip
        if less != schedule:
            yield replace(case, schedule=less)
    for writes in _without_one(schedule.writes):
        yield replace(case, schedule=replace(schedule, writes=writes))
    schema = case.schema
    for table in schema.tables:
        yield _without_table(case, table)
    for triggers in _without_one(schema.triggers):
        yield _started(case, replace(schema, triggers=triggers))
    for views in _without_one(schema.views):
        yield _started(case, replace(schema, views=views))
    for search in schema.searches:
        fewer = tuple(s for s in schema.searches if s != search)
        start = tuple(sql for sql in case.start if quote(search.name) not in sql)
        yield replace(case, schema=replace(schema, searches=fewer), start=start)
    for number, sql in enumerate(case.start):
        if sql.startswith(("INSERT", "DELETE")):
            yield replace(case, start=case.start[:number] + case.start[number + 1 :])
    for table in schema.tables:
        for columns in _without_one(table.columns):
            (column,) = set(table.columns) - set(columns)
            others = set(uses(schema, column.number)) - {"index", "constraint"}
            if len(columns) and not others:
                yield _without_column(case, table, column)
        for indexes in _without_one(table.indexes):
            yield _started(case, schema.with_table(replace(table, indexes=indexes)))
        for constraints in _without_one(table.constraints):
            yield _redrawn(case, replace(table, constraints=constraints))
        if table.spelling != PLAIN:
            yield _redrawn(case, replace(table, spelling=PLAIN))


def _without_one(parts: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    for number in range(len(parts)):
        yield parts[:number] + parts[number + 1 :]


def _started(case: Case, schema: Schema) -> Case:
    """The case with fewer triggers, views and indexes."""
    gone = _around(case.schema) - _around(schema)
    return replace(case, schema=schema, start=tuple(sql for sql in case.start if sql not in gone))


def _around(schema: Schema) -> set[str]:
    return set(schema.script_around())


def _without_table(case: Case, table: Table) -> Case:
    """The case without the table, and what speaks of it; operations without a subject do nothing."""
    schema = case.schema.without_table(table.number)
    schema = replace(
        schema,
        views=tuple(v for v in schema.views if not _speaks(v.sql, table)),
        triggers=tuple(t for t in schema.triggers if not _speaks(t.sql, table)),
    )
    smaller = _started(case, case.schema)
    for other in schema.tables:
        columns = tuple(
            replace(c, references=None)
            if c.references and c.references.table == table.number
            else c
            for c in other.columns
        )
        own = tuple(c for c in other.constraints if not _speaks(c.sql, table))
        if (columns, own) != (other.columns, other.constraints):
            smaller = _redrawn(smaller, replace(other, columns=columns, constraints=own))
    tables = tuple(smaller.schema.table(t.number) for t in schema.tables)
    return replace(
        smaller,
        schema=replace(schema, tables=tables),
        start=tuple(sql for sql in smaller.start if not _is_about(sql, case.schema, table)),
    )


def _speaks(sql: str, table: Table) -> bool:
    return any(speaks_of(sql, n) for n in (table.number, *(c.number for c in table.columns)))


def _is_about(sql: str, schema: Schema, table: Table) -> bool:
    return sql == _created(schema, table) or quote(table.name) in sql


def _created(schema: Schema, table: Table) -> str:
    style = Style(schema) if table.spelling == PLAIN else Odd(schema, table.spelling)
    return schema.created(table, style, late=False)


def _redrawn(case: Case, table: Table) -> Case:
    """The case with another definition of a table."""
    schema = case.schema.with_table(table)
    old, new = (_created(s, s.table(table.number)) for s in (case.schema, schema))
    start = tuple(new if sql == old else sql for sql in case.start)
    return _started(replace(case, start=start), schema)


def _without_column(case: Case, table: Table, column: Column) -> Case:
    smaller = _redrawn(case, table.without_column(column.number))
    name, into = quote(column.name), f"INSERT INTO {quote(table.name)} ("
    start = []
    for sql in smaller.start:
        if sql.startswith(into) and name in sql:
            names, values = _lists(sql[len(into) - 1 :])
            if name in names:
                values.pop(names.index(name))
                names.remove(name)
            sql = f"{into}{', '.join(names)}) VALUES ({', '.join(values)})"
        if not sql.startswith(f"ALTER TABLE {quote(table.name)} ADD COLUMN {name}"):
            start.append(sql)
    return replace(smaller, start=tuple(start))


def _lists(sql: str) -> tuple[list[str], list[str]]:
    """The names and the values of ``(a, b) VALUES (1, 'x, y')``."""
    found: list[list[str]] = []
    depth = 0
    for part in PARTS.findall(sql):
        depth += (part == "(") - (part == ")")
        if part == "(" and depth == 1:
            found.append([""])
        elif part == "," and depth == 1:
            found[-1].append("")
        elif depth:
            found[-1][-1] += part
    names, values = ([part.strip() for part in parts] for parts in found)
    return names, values


def as_test(case: Case, seed: int, found: Finding) -> str:
    """The source of a test that fails as the seed does, whatever the drawing becomes later."""
    return f'''"""Seed {seed}: {found.oracle}."""

from tests.simulator.operations import *
from tests.simulator.schema import *
from tests.simulator.trial import Case, Counts, Trial
from tests.simulator.world import Schedule

CASE = {case!r}


def test_seed_{seed}(tmp_path):
    Trial(CASE, tmp_path, Counts()).run()
'''
