"""Peewee's fields, and defaults of columns, as SQL."""

from __future__ import annotations

import re
from typing import Any

from peewee import SQL, Field, ForeignKeyField

from guarded.errors import Refused
from guarded.verbs.perform import Look

# A default that needs no parentheses of its own: a literal, a word, or what is in some already.
PLAIN = re.compile(r"[-+]?[\w.]+|[xX]?'(?:[^']|'')*'|\"[^\"]*\"|\((?:[^()]|\([^()]*\))*\)")


def column_definition(look: Look, field: Field) -> str:
    context = look.playhouse.make_context()
    context.sql(field.ddl(context))
    if isinstance(field, ForeignKeyField):
        look.playhouse.add_inline_fk_sql(context, field)
        if field.deferrable:  # playhouse leaves it out
            context.literal(f" DEFERRABLE {field.deferrable}")
    sql, params = context.query()
    assert not params, "a column definition has no parameters"
    return str(sql)


def type_of(look: Look, field: Field) -> str:
    context = look.playhouse.make_context()
    sql, _ = context.sql(field.ddl_datatype(context)).query()
    return str(sql)


def value_of(look: Look, field: Field, value: Any) -> str:
    """As SQL.  A BlobField knows how to store bytes only once it has a model."""
    stored = value if isinstance(value, bytes) else field.db_value(value)
    return look.names.literal(stored)


def default_sql(look: Look, default: Any) -> str:
    """A default as playhouse takes it: a value, ``SQL('…')``, or text that is SQL already."""
    if default is None:
        raise Refused("a default must not be None; use drop_column_default")
    if callable(default) and not isinstance(default, SQL):
        default = default()
    if isinstance(default, SQL):
        text = str(default.sql).strip()
        return text if PLAIN.fullmatch(text) else f"({text})"
    if isinstance(default, str) and default.endswith((")", "'")):
        return default if default[0] in "'(" else f"({default})"
    return look.names.literal(default)
