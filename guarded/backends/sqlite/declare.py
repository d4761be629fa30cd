"""The schema that models declare: they are created, on a database in memory, and looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from peewee import SqliteDatabase

from guarded.backends.sqlite import describe
from guarded.backends.sqlite.text import fold, literal
from guarded.schema import Schema


def declared_schema(models: Sequence[Any], register: Callable[[Any], None]) -> Schema:
    """``register`` gives a connection the application's own functions and collations."""
    scratch = SqliteDatabase(":memory:")
    with scratch.bind_ctx(models), scratch.connection_context():
        register(scratch.connection())
        scratch.create_tables(models)
        schema = dict(describe.schema(scratch.connection().execute))
    for model in models:
        table = schema[fold(model._meta.table_name)]
        storages = {fold(column.name): column.storage for column in table.columns}
        defaults = {
            name: describe.meaning(literal(field.db_value(field.default)), storages.get(name, ""))
            for field in model._meta.sorted_fields
            if field.default is not None and not callable(field.default)
            if (name := fold(field.column_name))
        }
        schema[fold(table.name)] = table._replace(python_defaults=defaults)
    return schema
