"""The judge takes no difference for a fault that two right ways may have."""

from __future__ import annotations

import pytest

from tests.simulator.operations import AddColumn, AddIndex, Statement
from tests.simulator.schema import Column, Index, Schema, Table
from tests.simulator.trial import Case, Counts, Trial

KEY = Column(2, "id", "INTEGER")


def table(*columns: Column, **options) -> Schema:
    return Schema((Table(1, "t", (KEY, *columns), (2,), **options),))


@pytest.mark.parametrize(
    ("schema", "rows", "operation", "work", "settings"),
    [
        pytest.param(
            table(Column(3, "a", collate="NOCASE"), indexes=(Index("one", "‹3› COLLATE NOCASE"),)),
            ["INSERT INTO t VALUES (1, 'x')"],
            AddIndex(1, 3, name="two"),
            [],
            [],
            id="an index with its column's collation is equal to one that names it",
        ),
        pytest.param(
            table(Column(3, "a", default="CURRENT_TIMESTAMP")),
            ["INSERT INTO t (id) VALUES (1)"],
            Statement(1, 3, sql="INSERT INTO ‹1› (‹2›) VALUES (2)"),
            ["INSERT INTO t (id) VALUES (3)"],
            [],
            id="the time is the same on both sides",
        ),
        pytest.param(
            table(Column(3, "a")),
            ["INSERT INTO t VALUES (1, '\N{GRINNING FACE}'), (2, '\uff41')"],
            AddColumn(1, new=Column(4, "b")),
            ["INSERT INTO t SELECT 3, a, NULL FROM t ORDER BY a LIMIT 1"],
            ["PRAGMA encoding = 'UTF-16'"],
            id="UTF-16 has an order of its own",
        ),
    ],
)  # fmt: skip
def test_no_fault_is_seen(tmp_path, schema, rows, operation, work, settings):
    start = (*schema.script(), *rows)
    Trial(
        Case(schema, start, ((operation,),), tuple(work), tuple(settings)), tmp_path, Counts()
    ).run()
