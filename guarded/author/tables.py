"""Operations for whole tables: created, and dropped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from peewee import ForeignKeyField

from guarded.author.calls import if_not_exists, run_sql, verb
from guarded.author.constraints import new_index
from guarded.author.operations import (
    ALTER,
    CONSTRAIN,
    CREATE,
    DROP,
    DROP_INDEX,
    Operation,
    Work,
)
from guarded.author.source import Call
from guarded.diff import Difference, Fold
from guarded.schema import ForeignKey, Table
from guarded.steps import Kind


def table(work: Work, d: Difference) -> Iterator[Operation]:
    if d.found is not None:
        yield from _dropped(work, d.found)
    elif d.wanted.kind == "virtual":
        yield from _virtual(work, d.wanted)
    else:
        yield from _created(work, d)


def module(work: Work, d: Difference) -> Iterator[Operation]:
    doubt = "drop it, create it anew and move the rows"
    yield Operation(ALTER, decide_up=f"{d.sentence}; {doubt}")


def _created(work: Work, d: Difference) -> Iterator[Operation]:
    model = work.models[work.names.fold(d.table)]
    name = work.classes.declare(model)
    yield Operation(CREATE, [Call("migrator.create_table", [name])], [verb("drop_table", d.table)])
    for index in d.wanted.indexes:
        for made in new_index(work, d.table, index):
            yield made._replace(down=())  # it goes with the table
    for field in _keys_to_later_ones(work, model):
        # Of a circle, no table can be dropped while the others refer to it.
        drop = verb("drop_foreign_key_constraint", d.table, field.column_name)
        yield Operation(CONSTRAIN, [], [drop])


def _keys_to_later_ones(work: Work, model: Any) -> Iterator[ForeignKeyField]:
    fold = work.names.fold
    new = [fold(d.table) for d in work.differences if d.kind == "table" and d.wanted is not None]
    later = new[new.index(fold(model._meta.table_name)) + 1 :]
    for field in model._meta.sorted_fields:
        if isinstance(field, ForeignKeyField) and fold(field.rel_model._meta.table_name) in later:
            yield field


def _virtual(work: Work, wanted: Table) -> Iterator[Operation]:
    if not wanted.sql:
        doubt = "its module is not known here"
        yield Operation(CREATE, decide_up=f"table '{wanted.name}' has to be created; {doubt}")
        return
    create = run_sql(work.names, if_not_exists(wanted.sql))
    yield Operation(CREATE, [create], [verb("drop_table", wanted.name)])


def _dropped(work: Work, gone: Table) -> Iterator[Operation]:
    """A virtual table is seldom declared by a model, so it is dropped only if a person says so."""
    question = f"no model declares the virtual table '{gone.name}'. Shall it be dropped"
    if gone.kind == "virtual" and not work.ask(question):
        return
    texts = [gone.sql, *(index.sql for index in gone.indexes if index.sql)]
    for target, sql in work.session.inspector.objects().items():
        is_own = work.names.fold(target.table) == work.names.fold(gone.name)
        texts += [sql] if target.kind is Kind.TRIGGER and is_own and sql else []
    back = [run_sql(work.names, if_not_exists(text)) for text in texts]
    for key in _keys_in_circles(work, gone):
        drop = verb("drop_foreign_key_constraint", gone.name, key.columns[0])
        yield Operation(DROP_INDEX, [drop])
    yield Operation(DROP, [verb("drop_table", gone.name)], back)


def in_order(differences: Sequence[Difference], fold: Fold) -> list[Difference]:
    """With the tables that go at the end, and of those the children first."""
    waiting = [d for d in differences if d.kind == "table" and d.found is not None]
    ordered = [d for d in differences if d not in waiting]
    while waiting:
        parents = {
            fold(key.parent)
            for d in waiting
            for key in d.found.foreign_keys
            if fold(key.parent) != fold(d.table)
        }
        free = [d for d in waiting if fold(d.table) not in parents] or waiting[:1]
        ordered += free
        waiting = [d for d in waiting if d not in free]
    return ordered


def _keys_in_circles(work: Work, gone: Table) -> Iterator[ForeignKey]:
    """Those to tables that are dropped before this one."""
    fold = work.names.fold
    order = [fold(d.table) for d in work.differences if d.kind == "table" and d.found is not None]
    before = order[: order.index(fold(gone.name))]
    yield from (key for key in gone.foreign_keys if fold(key.parent) in before)
