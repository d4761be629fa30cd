"""The schema that models declare: they are created as temporary tables, and looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import peewee
from peewee import SQL, BooleanField, ForeignKeyField

from guarded import defaults
from guarded.backends.postgresql import describe
from guarded.backends.postgresql.text import literal, meaning, portable
from guarded.schema import Schema, Table

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer


def declared_schema(server: PostgresqlServer, models: Sequence[Any]) -> Schema:
    """Nobody else sees the tables, and they are gone with the connection."""
    database: Any = server.database_to_migrate()
    with database.bind_ctx(models, bind_refs=False, bind_backrefs=False), database:
        execute = database.connection().execute
        with ported(models):
            for model in peewee.sort_models(models):  # type: ignore[attr-defined]
                for name in _parents(model, models):
                    execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name}")
                model._schema.create_table(safe=False, temporary=True)
                model._schema.create_indexes(safe=False)
        found = dict(describe.schema(execute, where=describe.TEMPORARY))
        for model in models:
            name = model._meta.table_name
            found[name] = found[name]._replace(
                python_defaults=_defaults(database, model, found[name])
            )
        names = {model._meta.table_name for model in models}
        return {name: table for name, table in found.items() if name in names}


def _parents(model: Any, models: Sequence[Any]) -> Iterator[str]:
    """The tables that it refers to and that are not declared with it, with their keys alone."""
    declared = {other._meta.table_name for other in models}
    for field in model._meta.sorted_fields:
        if isinstance(field, ForeignKeyField) and field.rel_model._meta.table_name not in declared:
            key = field.rel_field
            type_ = key.ddl_datatype(model._meta.database.get_sql_context()).sql
            type_ = type_.replace("SERIAL", "INTEGER")
            yield (
                f'"{field.rel_model._meta.table_name}" ("{key.column_name}" {type_} PRIMARY KEY)'
            )


@contextmanager
def ported(models: Sequence[Any]) -> Iterator[None]:
    """Let models that were written for SQLite be created here, see ``text.portable``."""
    before = [(f, f.constraints) for model in models for f in model._meta.sorted_fields]
    for field, constraints in before:
        if constraints:
            field.constraints = [
                SQL(text) for c in constraints if (text := _ported(field, c)) is not None
            ]
    try:
        yield
    finally:
        for field, constraints in before:
            field.constraints = constraints


def _ported(field: Any, constraint: Any) -> str | None:
    text = str(getattr(constraint, "sql", constraint))
    kind = "BOOLEAN" if isinstance(field, BooleanField) else "TEXT"
    return portable(f"x {kind} {text}").removeprefix(f"x {kind}").strip() or None


def _defaults(database: Any, model: Any, table: Table) -> dict[str, str | None]:
    storages = {column.name: column.storage.partition("(")[0] for column in table.columns}
    values = {f.column_name: defaults.stored(database, f) for f in model._meta.sorted_fields}
    return {
        column: meaning(literal(value), storages.get(column, ""))
        for column, value in values.items()
        if value is not None
    }
