"""Python defaults of Peewee's fields, as the database stores them."""

from __future__ import annotations

import math
from typing import Any

from peewee import Database, Field, Node, Value

# Called, they give the same value every time.
CONSTANT = (bool, bytes, dict, float, int, list, str)
STORED = (bool, bytes, float, int, str)


def stored(database: Database, field: Field) -> bool | bytes | float | int | str | None:
    """The value that the driver gives back for the field's default.

    None where there is no default, where it is computed for each row, and where the database can't
    store it.
    """
    default = field.default
    if any(default is constant for constant in CONSTANT):
        default = default()
    if default is None or callable(default) or isinstance(default, Node):
        return None
    return stored_value(database, type(field), field, default)


def stored_value(
    database: Database, cls: type[Field], field: Field, value: Any
) -> bool | bytes | float | int | str | None:
    """Any value, stored as the class does it; None where the database can't store it."""
    with database.bind_ctx([field.model], bind_refs=False, bind_backrefs=False):
        try:
            found = _read_back(database, cls.db_value(field, value))
        # A field of the application's own may raise anything.
        except Exception:
            return None
    if isinstance(found, (bytearray, memoryview)):
        found = bytes(found)
    is_number = not isinstance(found, float) or not math.isnan(found)
    return found if isinstance(found, STORED) and is_number else None


def _read_back(database: Database, value: Any) -> Any:
    if type(value) in STORED and not isinstance(value, int):
        return value
    if isinstance(value, bool):
        return value
    node = value if isinstance(value, Node) else Value(value, converter=False)
    sql, params = database.get_sql_context().literal("SELECT ").sql(node).query()
    return database.execute_sql(sql, params).fetchone()[0]
