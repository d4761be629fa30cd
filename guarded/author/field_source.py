"""Peewee models and fields as Python source, frozen for a migration.

Only what reaches the database is written: a custom field becomes the Peewee field that stores it,
and a default in Python is left out.
"""

from __future__ import annotations

import ast
import builtins
import re
from typing import Any

from peewee import (
    AutoField,
    CompositeKey,
    DecimalField,
    Field,
    ForeignKeyField,
    SqliteDatabase,
)

from guarded.author import source
from guarded.author.source import Call
from guarded.schema import Column

PEEWEES = ("peewee", "playhouse")
# Peewee's field for a type as SQLite stores it; any other type becomes a TextField.
FIELDS = {
    "INTEGER": "IntegerField",
    "INT": "IntegerField",
    "BIGINT": "BigIntegerField",
    "SMALLINT": "SmallIntegerField",
    "TEXT": "TextField",
    "REAL": "FloatField",
    "FLOAT": "FloatField",
    "DOUBLE": "DoubleField",
    "BLOB": "BlobField",
    "DATETIME": "DateTimeField",
    "DATE": "DateField",
    "TIME": "TimeField",
    "BOOLEAN": "BooleanField",
    "ANY": "AnyField",
    "": "BareField",
}


def model_source(model: Any) -> str:
    """Return the model as a class, with key and constraints, without database and indexes."""
    meta = model._meta
    out = [f"class {model.__name__}(Model):"]
    for field in meta.sorted_fields:
        call = field_call(field, named=True)
        out += source.lines(call._replace(keyword=f"{field.name} = "), 4)
    out += ["", "    class Meta:", f"        table_name = {source.string(meta.table_name)}"]
    if isinstance(meta.primary_key, CompositeKey):
        names = ", ".join(source.string(name) for name in meta.primary_key.field_names)
        out.append(f"        primary_key = CompositeKey({names})")
    elif meta.primary_key is False:
        out.append("        primary_key = False")
    options = {"strict_tables": meta.strict_tables, "without_rowid": meta.without_rowid}
    out += [f"        {option} = True" for option, is_on in options.items() if is_on]
    if meta.constraints:
        out += source.pack("constraints", [_sql(constraint) for constraint in meta.constraints], 8)
    return "\n".join(out) + "\n"


def stub_source(model: Any, *wanted: Field) -> str:
    """Return a class with only the model's key and these fields, for a foreign key to them."""
    fields = {field.name: field for field in (model._meta.primary_key, *wanted)}
    out = [f"class {model.__name__}(Model):"]
    for name, field in fields.items():
        out += source.lines(field_call(field, named=True)._replace(keyword=f"{name} = "), 4)
    out += [
        "",
        "    class Meta:",
        f"        table_name = {source.string(model._meta.table_name)}",
        "",
    ]
    return "\n".join(out)


def field_call(field: Field, *, named: bool = False, default: str | None = None) -> Call:
    """Return the source of a field; ``named`` if it stands in a class, under its own name.

    ``default`` is source of the value for existing rows.
    """
    cls = next(c for c in type(field).__mro__ if c.__module__.partition(".")[0] in PEEWEES)
    arguments = []
    if isinstance(field, ForeignKeyField):
        is_self = named and field.rel_model is field.model
        arguments.append('"self"' if is_self else field.rel_model.__name__)
        if not named:
            arguments.append(f"field={field.rel_model.__name__}.{field.rel_field.name}")
        elif not field.rel_field.primary_key:
            arguments.append(f"field={source.string(field.rel_field.name)}")
        for action in ("on_delete", "on_update"):
            if value := getattr(field, action):
                arguments.append(f"{action}={source.string(value)}")
        arguments.append("index=False")
    if field.primary_key and not isinstance(field, AutoField):
        arguments.append("primary_key=True")
    if field.null:
        arguments.append("null=True")
    if default is not None:
        arguments.append(f"default={default}")
    if getattr(field, "max_length", 255) != 255:
        arguments.append(f"max_length={getattr(field, 'max_length')}")  # noqa: B009
    elif isinstance(field, DecimalField):
        arguments += [f"max_digits={field.max_digits}", f"decimal_places={field.decimal_places}"]
    if named and field.column_name != field.name:
        arguments.append(f"column_name={source.string(field.column_name)}")
    if field.collation:
        arguments.append(f"collation={source.string(field.collation)}")
    if field.constraints:
        constraints = ", ".join(_sql(constraint) for constraint in field.constraints)
        arguments.append(f"constraints=[{constraints}]")
    return Call(cls.__name__, arguments)


def column_call(column: Column) -> Call:
    """Return a field for an existing column, to put it back later."""
    arguments = []
    match = re.fullmatch(r"(N?VARCHAR|CHAR)\s*\((\d+)\)", column.type, re.IGNORECASE)
    if match:
        name = "CharField" if "VAR" in match.group(1).upper() else "FixedCharField"
        arguments += [] if match.group(2) == "255" else [f"max_length={match.group(2)}"]
    else:
        name = FIELDS.get(column.type.upper(), "TextField")
    if column.nullable:
        arguments.append("null=True")
    if column.default is not None:
        arguments.append(f"constraints=[Default({source.string(column.default)})]")
    return Call(name, arguments)


def imports(text: str) -> str:
    """Return the import of the Peewee names that the source uses."""
    import peewee

    nodes = list(ast.walk(ast.parse(text)))
    own = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
    named = {node.id for node in nodes if isinstance(node, ast.Name)} - own
    used = [name for name in named if hasattr(peewee, name) and not hasattr(builtins, name)]
    names = sorted(used, key=lambda name: (not name.isupper(), name))
    if not names:
        return ""
    line = f"from peewee import {', '.join(names)}"
    if len(line) <= 100:
        return line + "\n"
    inner = "".join(f"    {name},\n" for name in names)
    return f"from peewee import (\n{inner})\n"


def _sql(node: Any) -> str:
    """Return a constraint as source, by its text: the database sees nothing else."""
    text = getattr(node, "sql", None)
    if not isinstance(text, str):
        text, _ = SqliteDatabase(":memory:").get_sql_context().sql(node).query()
    if match := re.fullmatch(r"DEFAULT\s+(.*)", str(text), re.IGNORECASE | re.DOTALL):
        return f"Default({source.string(match.group(1))})"
    return f"SQL({source.string(str(text))})"
