"""Peewee's fields as source: what a migration freezes of them.

Only what reaches the database is written: a custom field becomes the Peewee field that stores it in
the same way, and a default in Python is left out.
"""

from __future__ import annotations

import keyword
import re
from typing import Any

import peewee
from peewee import DecimalField, Field, ForeignKeyField, SqliteDatabase

from guarded.author.source import Call, list_of, string
from guarded.backends.interface import Names
from guarded.schema import Column

MODULES = ("peewee", "playhouse.sqlite_ext")
# Peewee's field for a type as SQLite stores it.
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
    "ANY": "AnyField",
    "": "BareField",
}
# Types with numbers: the field, and the arguments that it takes the numbers for.
SIZED = {
    "VARCHAR": ("CharField", ("max_length",)),
    "CHAR": ("FixedCharField", ("max_length",)),
    "DECIMAL": ("DecimalField", ("max_digits", "decimal_places")),
}
IMPLIED = ("max_length=255",)


def stored_as(field: Field) -> type[Field] | None:
    """The Peewee class that makes the same column of the same field; None when there is none."""
    for module in MODULES:
        for cls in type(field).__mro__:
            is_field = issubclass(cls, Field) and cls not in (Field, peewee.PrimaryKeyField)
            if is_field and cls.__module__ == module and _makes_the_same(cls, field):
                return cls
    return None


def _makes_the_same(cls: Any, field: Field) -> bool:
    own: Any = type(field)
    if own is cls:
        return True
    if cls.ddl is not own.ddl or cls.ddl_datatype is not own.ddl_datatype:
        return False
    if isinstance(field, ForeignKeyField):
        return cls is ForeignKeyField
    same_type = field.field_type == cls.field_type
    return bool(same_type and field.get_modifiers() == cls.get_modifiers(field))


def sizes(field: Field) -> list[str]:
    if getattr(field, "max_length", 255) != 255:
        return [f"max_length={getattr(field, 'max_length')}"]  # noqa: B009
    if isinstance(field, DecimalField):
        return [f"max_digits={field.max_digits}", f"decimal_places={field.decimal_places}"]
    return []


def type_of(column: Column, names: Names) -> Call | None:
    """A field of this type alone; None when Peewee has none of it."""
    text = names.one_line(column.type)
    if column.storage == "INT":  # of a STRICT table, where it is not the same as INTEGER
        return None
    if name := names.fields.get(text.upper()) or FIELDS.get(text.upper()):
        return Call(name)
    found = re.fullmatch(r"(\w+) ?\((\d+)(?:, ?(\d+))?\)", text)
    sized, sizes = SIZED.get(found[1].upper() if found else "", ("", ()))
    numbers = [n for n in found.groups()[1:] if n] if found else []
    if len(numbers) != len(sizes) or not sized:
        return None
    arguments = [f"{size}={n}" for size, n in zip(sizes, numbers)]
    return Call(sized, [a for a in arguments if a not in IMPLIED])


def properties(column: Column, names: Names) -> list[str | Call]:
    """All that a column has beside its name, its type and its place in the key, as arguments."""
    found: list[str | Call] = ["null=True"] if column.nullable else []
    if column.collation not in ("", "binary"):
        is_plain = re.fullmatch(r"\w+", column.collation)
        name = column.collation.upper() if is_plain else names.quote(column.collation)
        found.append(f"collation={string(name)}")
    texts = [names.one_line(text) for text in column.constraints]
    items = [Call("SQL", [string(text)]) for text in texts]
    if column.default is not None:
        items.insert(0, Call("Default", [string(default_of(column, names))]))
    return [*found, list_of(items, "constraints=")] if items else found


LITERAL = re.compile(r"""[+-]?\s*[\w.]+([eE][+-]\d+)?|[xX]?'([^']|'')*'|"([^"]|"")*\"""", re.DOTALL)


def default_of(column: Column, names: Names) -> str:
    """As SQL that can stand after DEFAULT: an expression has lost its parentheses in what SQLite
    tells of a column."""
    text = names.one_line(column.default or "")
    return text if LITERAL.fullmatch(text) else f"({text})"


def constraint(node: Any) -> Call:
    """A constraint as source: its text is all that the database sees."""
    text = getattr(node, "sql", None)
    if not isinstance(text, str):
        text, _ = SqliteDatabase(":memory:").get_sql_context().sql(node).query()
    if match := re.fullmatch(r"DEFAULT\s+(.*)", str(text), re.IGNORECASE | re.DOTALL):
        return Call("Default", [string(match.group(1))])
    return Call("SQL", [string(str(text))])


def attribute_names(model: Any) -> dict[str, str]:
    """Each field's name in the class that is written, by its name in the application's.

    Another one where the linter minds, or where it would hide a name that the class needs; the
    column keeps its own.
    """
    found: dict[str, str] = {}
    for field in model._meta.sorted_fields:
        name = field.name
        if name != name.lower():
            name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        if name != field.name and (hasattr(peewee.Model, name) or keyword.iskeyword(name)):
            name += "_"
        if name == "l":  # reads like 1
            name = "l_"
        while name in found.values():
            name += "_"
        found[field.name] = name
    return found


def implied_column(field: Field, name: str) -> str:
    """The column that Peewee takes for a field of this name when none is named."""
    is_key = isinstance(field, ForeignKeyField) and not name.endswith("_id")
    return f"{name}_id" if is_key else name
