"""The schema that models declare: they are created, on a database in memory, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import peewee
from peewee import ForeignKeyField, OperationalError, SqliteDatabase

from guarded import defaults
from guarded.backends.sqlite import describe
from guarded.backends.sqlite.text import fold, literal
from guarded.schema import Schema, Table


def declared_schema(models: Sequence[Any], register: Callable[[Any], None]) -> Schema:
    """``register`` gives a connection the application's own functions and collations."""
    scratch = SqliteDatabase(":memory:")
    with scratch.bind_ctx(models), scratch.connection_context():
        register(scratch.connection())
        with with_deferred_keys(models):
            unknown = [
                table
                for m in peewee.sort_models(models)  # type: ignore[attr-defined]
                if (table := _create(m))
            ]
        schema = dict(describe.schema(scratch.connection().execute))
        schema |= {fold(table.name): table for table in unknown}
        for model in models:
            name = fold(model._meta.table_name)
            schema[name] = schema[name]._replace(
                python_defaults=_defaults(scratch, model, schema[name])
            )
    return schema


def _create(model: Any) -> Table | None:
    """Create the model's table and indexes; a table without columns where this process lacks the
    module of a virtual one."""
    try:
        model.create_table()
    except OperationalError as exc:
        if "no such module" not in str(exc):
            raise
        return Table(model._meta.table_name, "", (), kind="virtual")
    return None


@contextmanager
def with_deferred_keys(models: Sequence[Any]) -> Iterator[None]:
    """Let Peewee write the keys of a DeferredForeignKey into CREATE TABLE.

    It leaves them for an ALTER TABLE that SQLite does not have; but SQLite takes a key to a table
    that comes later, https://www.sqlite.org/foreignkeys.html section 3.
    """
    fields = [f for model in models for f in model._meta.sorted_fields]
    deferred = [f for f in fields if isinstance(f, ForeignKeyField) and f.deferred]
    for field in deferred:
        field.deferred = False
    try:
        yield
    finally:
        for field in deferred:
            field.deferred = True


def _defaults(database: SqliteDatabase, model: Any, table: Table) -> dict[str, str | None]:
    storages = {fold(column.name): column.storage for column in table.columns}
    values = {f.column_name: defaults.stored(database, f) for f in model._meta.sorted_fields}
    return {
        fold(column): describe.meaning(literal(value), storages.get(fold(column), ""))
        for column, value in values.items()
        if value is not None
    }
