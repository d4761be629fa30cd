"""Calls of the migrator's verbs, as source."""

from __future__ import annotations

import math
import re
from typing import Any

from guarded.author.field_source import field_call
from guarded.author.source import Call, string
from guarded.backends.interface import Names
from guarded.diff import Difference
from guarded.schema import Index

NEUTRAL = {"INTEGER": "0", "REAL": "0", "NUMERIC": "0", "BLOB": 'b""'}


def verb(name: str, *arguments: str | Call) -> Call:
    quoted = [a if isinstance(a, Call) else string(a) for a in arguments]
    return Call(f"migrator.{name}", quoted)


def filled(d: Difference, field: Any) -> list[Call]:
    """Return calls that fill rows without a value, and then refuse such rows."""
    value = python_default(field) or NEUTRAL.get(d.wanted.storage, '""')
    call = bare(field_call(getattr(field, "rel_field", field)))
    call = call._replace(arguments=[*call.arguments, f"default={value}"])
    fill = verb("apply_default", d.table, d.subject, call)
    return [fill, verb("add_not_null", d.table, d.subject)]


def sql_default(field: Any) -> str | None:
    """Return the SQL default among the field's constraints."""
    texts = [str(getattr(c, "sql", "")) for c in field.constraints or ()]
    return next((text for text in texts if text.upper().startswith("DEFAULT")), None)


def python_default(field: Any) -> str | None:
    """Return the source of a constant default, as the database stores it."""
    if field.default is None or callable(field.default):
        return None
    value = field.db_value(field.default)
    if isinstance(value, str):
        return string(value)
    if isinstance(value, (bytearray, memoryview)):  # of a BlobField
        value = bytes(value)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    return repr(value) if isinstance(value, (bool, int, float, bytes)) else None


def set_default(d: Difference, column: Any) -> Call:
    if column.default is None:
        return verb("drop_column_default", d.table, d.subject)
    return verb("add_column_default", d.table, d.subject, Call("SQL", [string(column.default)]))


def add_index(names: Names, table: str, index: Index) -> Call:
    if index.where or not all(re.fullmatch(r"\w+", part) for part in index.parts):
        return run_sql(names, if_not_exists(index.sql or ""))
    columns = ", ".join(map(string, index.parts)) + ("," if len(index.parts) == 1 else "")
    arguments = [string(table), f"({columns})"]
    arguments += ["unique=True"] if index.unique else []
    return Call("migrator.add_index", [*arguments, f"name={string(index.name)}"])


def bare(call: Call) -> Call:
    """Return the field with its type alone."""
    kept = [a for a in call.arguments if re.match(r"(max_|decimal_)", str(a))]
    return call._replace(arguments=kept)


def run_sql(names: Names, text: str) -> Call:
    return Call("migrator.sql", [string(names.one_line(text))])


def if_not_exists(text: str) -> str:
    pattern = r"^(CREATE\s+(?:UNIQUE\s+)?(?:TABLE|INDEX))\s+"
    return re.sub(pattern, r"\1 IF NOT EXISTS ", text, flags=re.IGNORECASE)
