"""A whole case, drawn from a seed."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.simulator.makers import migrations
from tests.simulator.postgresql.draw import Draw
from tests.simulator.postgresql.makers import MAKERS
from tests.simulator.postgresql.wire import KINDS
from tests.simulator.trial import Case
from tests.simulator.world import Schedule

SCHEMAS = ("public", "public", "Mixed Case", "select")
MESSAGES = 150  # about as many go over the wire in a run


def drawn(seed: int) -> Case:
    draw = Draw(Random(seed))
    schema = draw.schema()
    start = tuple(draw.start(schema))
    drawn_ones, now = migrations(draw, schema, MAKERS, (1, 2, 3, 5))
    writing = tuple(draw.writes(now, 6))
    settings = (draw.random.choice(SCHEMAS),)
    return Case(schema, start, drawn_ones, writing, settings, _schedule(draw, schema))


def schema_of(case: Case) -> str:
    """The name of the schema in which all happens."""
    return case.settings[0] if case.settings else SCHEMAS[0]


def _schedule(draw: Draw, schema: Any) -> Schedule:
    """Half of all runs are undisturbed."""
    made = Schedule(draw.random.randrange(1 << 30))
    if draw.chance(0.5):
        return made
    if draw.chance(0.6):
        point = 1.0 if draw.chance(0.2) else draw.random.random()
        way = draw.random.choice(("up", "up", "down"))
        return replace(made, fault=draw.random.choice(KINDS), point=point, way=way)
    writes = tuple(draw.writes(schema, draw.random.choice((1, 3, 6))))
    return replace(made, writes=writes, readers=draw.random.choice((0, 0, 5, 40)))
