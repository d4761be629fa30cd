"""Peewee's fields, and defaults of columns, as SQL."""

from __future__ import annotations

import re
from datetime import date, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from peewee import SQL, Field, ForeignKeyField, Model, Node

from guarded.errors import Refused
from guarded.verbs.perform import Look

STRINGS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
# A default that needs no parentheses: a literal or a word.
PLAIN = re.compile(rf"[-+]?[\w.]+|[xX]?{STRINGS.pattern}")
# What Peewee teaches the drivers, beside numbers, texts and bytes.
STORABLE = (int, float, str, bytes, bytearray, memoryview, Decimal, date, time)


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


def with_parent(field: Field) -> Field:
    """The same field; a foreign key that says no field refers to the primary key."""
    meta = getattr(getattr(field, "rel_model", None), "_meta", None)
    if isinstance(field, ForeignKeyField) and meta is not None:
        rel = field.rel_field
        if not isinstance(rel, Field):
            field.rel_field = meta.combined[rel] if rel else meta.primary_key
    return field


def type_of(look: Look, field: Field) -> str:
    context = look.playhouse.make_context()
    sql, params = context.sql(field.ddl_datatype(context)).query()
    return "" if params else str(sql)  # a BareField has no type


def value_of(look: Look, field: Field, value: Any) -> str:
    """As SQL, as the field stores it.  Raises Refused for what no database can store."""
    stored = _bound(field).db_value(value)
    if isinstance(stored, Node):  # an expression, such as json('…')
        sql, params = look.playhouse.make_context().literal("SELECT ").sql(stored).query()
        ((stored,),) = look.inspector.execute(sql, tuple(params))
    return _literal(look, stored)


def _bound(field: Field) -> Field:
    """The field, or one like it in a model: a BlobField knows only there how to store bytes."""
    if isinstance(field, ForeignKeyField) or getattr(field, "model", None) is not None:
        return field
    bound = field.clone()
    type("Bound", (Model,), {"bound": bound})
    return bound


def _literal(look: Look, value: Any) -> str:
    if isinstance(value, UUID):
        value = value.hex  # as UUIDField stores it
    if value is None or isinstance(value, STORABLE):
        return look.names.literal(value)
    raise Refused(f"no database can store {value!r}; give the value that it should hold")


def default_sql(look: Look, default: Any) -> str:
    """A default as playhouse takes it: a value, ``SQL('…')``, or text that is SQL already."""
    if default is None:
        raise Refused("a default must not be None; use drop_column_default")
    if callable(default) and not isinstance(default, SQL):
        default = default()
    if isinstance(default, SQL):
        text = str(default.sql).strip()
        return text if PLAIN.fullmatch(text) or _is_enclosed(text) else f"({text})"
    if isinstance(default, str) and default.endswith((")", "'")):
        return default if default[0] in "'(" else f"({default})"
    return _literal(look, default)


def _is_enclosed(text: str) -> bool:
    """Return True if the first parenthesis is closed by the last, and not before."""
    depth, plain = 0, STRINGS.sub("", text)
    for place, mark in enumerate(plain):
        depth += (mark == "(") - (mark == ")")
        if depth == 0:
            return place == len(plain) - 1 and mark == ")"
    return False
