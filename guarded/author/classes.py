"""The classes that a written migration declares: new models, what they refer to, kinds of fields.

Each has a name of its own, whatever the names of the models are.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Collection
from typing import Any

import peewee
from peewee import AutoField, CompositeKey, Field, ForeignKeyField

from guarded.author import source
from guarded.author.field_source import (
    attribute_names,
    constraint,
    implied_column,
    properties,
    sizes,
    stored_as,
    type_of,
)
from guarded.author.source import Call, list_of, string, tuple_of
from guarded.backends.interface import Names
from guarded.schema import Column, Schema

# Names of Peewee's that a migration may need for something else.
NEEDED = {"Check", "CompositeKey", "Default", "Model", "SQL"} | {
    name
    for name, value in vars(peewee).items()
    if isinstance(value, type) and issubclass(value, Field)
}


class Classes:
    def __init__(self, names: Names, declared: Schema, new: Collection[Any]) -> None:
        """``declared`` has the tables of all models; ``new`` are the models of which tables are to
        be created."""
        self._spelled, self._declared, self._new = names, declared, new
        self._taken: set[str] = set()
        self._models: dict[Any, str] = {}  # a class with all of the model
        self._texts: list[str] = []
        self._stubs: dict[Any, str] = {}  # a class with the fields that keys refer to
        self._referred: dict[Any, dict[str, Field]] = {}
        self._kinds: dict[str, str] = {}  # field classes by type
        self._playhouse: set[str] = set()

    # What calls speak of.

    def declare(self, model: Any) -> str:
        """The name of a class with all of the model, of which the table can be created."""
        name = self._models[model] = self._free(model.__name__)
        self._texts.append(self._model(model, name))
        return name

    def refer(self, model: Any, field: Field) -> str:
        """The name of a class that a foreign key to this field can refer to."""
        if model in self._models:
            return self._models[model]
        if model not in self._stubs:
            # A circle of keys: the model's own class comes later.
            name = f"{model.__name__}Key" if model in self._new else model.__name__
            self._stubs[model] = self._free(name)
        self._referred.setdefault(model, {})[field.name] = field
        return self._stubs[model]

    def field(self, field: Field, *, named: bool = False, default: str | None = None) -> Call:
        """One field; ``named``: it stands in a class, under its own name.

        ``default`` is source for the rows that are there when the column is added.
        """
        cls = stored_as(field)
        attribute = attribute_names(field.model)[field.name]
        is_key = field.primary_key and (cls is None or not issubclass(cls, AutoField))
        start = ["primary_key=True"] if is_key else []
        start += [f"default={default}"] if default is not None else []
        is_other = named and field.column_name != implied_column(field, attribute)
        end = [f"column_name={string(field.column_name)}"] if is_other else []
        if cls is None:
            column = self._column_of(field)
            kind = self.type_of(column, type(field).__name__)
            own = properties(column, self._spelled)
            return kind._replace(arguments=[*start, *kind.arguments, *end, *own])
        if cls.__module__ != "peewee":
            self._playhouse.add(cls.__name__)
        key = self._key(field, named) if isinstance(field, ForeignKeyField) else []
        null = ["null=True"] if field.null else []
        own = [f"collation={string(field.collation)}"] if field.collation else []
        if field.constraints:
            own.append(list_of(map(constraint, field.constraints), "constraints="))
        return Call(cls.__name__, [*key, *null, *start, *sizes(field), *end, *own])

    def column(self, column: Column) -> Call:
        """A field for a column that a table has: to put it back."""
        kind = self.type_of(column)
        own = properties(column, self._spelled)
        return kind._replace(arguments=[*kind.arguments, *own])

    def type_of(self, column: Column, name: str = "") -> Call:
        """A field of the column's type alone; ``name`` is for a class, if it takes one."""
        known = type_of(column, self._spelled)
        if known is not None:
            return known
        type_ = self._spelled.one_line(column.type)
        if type_ not in self._kinds:
            words = re.findall("[A-Za-z]+", type_)
            self._kinds[type_] = self._free(name or f"{''.join(w.title() for w in words)}Field")
        return Call(self._kinds[type_])

    def bare(self, field: Field) -> Call:
        """A field of the field's type alone."""
        while isinstance(field, ForeignKeyField):
            field = field.rel_field
        if isinstance(field, AutoField):
            return Call("IntegerField")
        cls = stored_as(field)
        if cls is None:
            return self.type_of(self._column_of(field), type(field).__name__)
        return Call(self.field(field).name, sizes(field))

    def text(self) -> str:
        """All of them, in an order in which Python can read them."""
        stubs = [self._stub(model, name) for model, name in self._stubs.items()]
        kinds = [
            f"class {name}(Field):\n    field_type = {string(type_)}\n"
            for type_, name in self._kinds.items()
        ]
        return "\n\n".join([*kinds, *stubs, *self._texts])

    def imports(self, text: str) -> str:
        """The import lines for the names of Peewee that the source uses."""
        nodes = list(ast.walk(ast.parse(text)))
        own = {node.name for node in nodes if isinstance(node, ast.ClassDef)}
        used = {node.id for node in nodes if isinstance(node, ast.Name)} - own
        used = {name for name in used if not hasattr(builtins, name)}
        from_peewee = [n for n in used - self._playhouse if hasattr(peewee, n)]
        lines = [_import("peewee", from_peewee)] if from_peewee else []
        playhouse = used & self._playhouse
        lines += [_import("playhouse.sqlite_ext", playhouse)] if playhouse else []
        return "".join(lines)

    # Their source.

    def _model(self, model: Any, name: str) -> str:
        """Without database and indexes, with key and constraints."""
        meta, attributes = model._meta, attribute_names(model)
        out = [f"class {name}(Model):"]
        for field in meta.sorted_fields:
            call = self.field(field, named=True)
            out += source.lines(call._replace(keyword=f"{attributes[field.name]} = "), 4)
        out += ["", "    class Meta:", *_setting("table_name", string(meta.table_name))]
        if isinstance(meta.primary_key, CompositeKey):
            names = [string(attributes[name]) for name in meta.primary_key.field_names]
            out += _setting("primary_key", Call("CompositeKey", names))
        elif meta.primary_key is False:
            out += _setting("primary_key", "False")
        options = {"strict_tables": meta.strict_tables, "without_rowid": meta.without_rowid}
        out += [f"        {option} = True" for option, is_on in options.items() if is_on]
        if settings := meta.table_settings:
            texts = [settings] if isinstance(settings, str) else settings
            out += _setting("table_settings", tuple_of(map(string, texts)))
        if meta.constraints:
            out += _setting("constraints", tuple_of(map(constraint, meta.constraints)))
        return "\n".join(out) + "\n"

    def _stub(self, model: Any, name: str) -> str:
        """As much of a model as a foreign key to these fields of it needs: they and its key."""
        attributes = attribute_names(model)
        key = model._meta.primary_key
        fields = [key] if isinstance(key, Field) and not isinstance(key, CompositeKey) else []
        fields += [f for f in self._referred[model].values() if f is not key]
        out = [f"class {name}(Model):"]
        for field in fields:
            call = self._without_key(field, attributes[field.name])
            out += source.lines(call._replace(keyword=f"{attributes[field.name]} = "), 4)
        out += ["", "    class Meta:", *_setting("table_name", string(model._meta.table_name)), ""]
        return "\n".join(out)

    def _without_key(self, field: Field, attribute: str) -> Call:
        """The field as a column that refers to nothing."""
        if not isinstance(field, ForeignKeyField):
            return self.field(field, named=True)
        kind = self.bare(field)
        arguments = ["primary_key=True"] if field.primary_key else []
        if field.column_name != attribute:
            arguments.append(f"column_name={string(field.column_name)}")
        return kind._replace(arguments=[*arguments, *kind.arguments])

    def _key(self, field: ForeignKeyField, named: bool) -> list[str | Call]:
        """Return the arguments that say what it refers to, and how."""
        model, rel_field = field.rel_model, field.rel_field
        attribute = attribute_names(model)[rel_field.name]
        out: list[str | Call] = []
        if named and model is field.model:
            out.append('"self"')
        else:
            out.append(self.refer(model, rel_field))
        if not named:
            out.append(f"field={out[0]}.{attribute}")
        elif not rel_field.primary_key:
            out.append(f"field={string(attribute)}")
        for action in ("on_delete", "on_update", "deferrable", "constraint_name"):
            if value := getattr(field, action):
                out.append(f"{action}={string(value)}")
        return [*out, "index=False"]

    def _column_of(self, field: Field) -> Column:
        """As the database has it; of a model that is not the project's, only the type is known."""
        fold = self._spelled.fold
        table = self._declared.get(fold(field.model._meta.table_name))
        for column in table.columns if table is not None else ():
            if fold(column.name) == fold(field.column_name):
                return column
        database = peewee.SqliteDatabase(":memory:")
        context = database.get_sql_context()
        type_, _ = context.sql(field.ddl_datatype(context)).query()
        return Column(field.column_name, type_, field.null, None, 0, "")

    def _free(self, name: str) -> str:
        """A name for a class that nothing else in the file has."""
        name = "".join(word[:1].upper() + word[1:] for word in name.split("_")) or "Table"
        if name in NEEDED or keyword.iskeyword(name):
            name = f"Own{name}"
        number, free = 1, name
        while free in self._taken:
            number += 1
            free = f"{name}{number}"
        self._taken.add(free)
        return free


def _setting(name: str, value: str | Call) -> list[str]:
    """A line of a model's Meta."""
    if isinstance(value, Call):
        return source.lines(value._replace(keyword=f"{name} = "), 8)
    return source.lines(f"{name} = {value}", 8)


def _import(module: str, names: Collection[str]) -> str:
    ordered = sorted(names, key=lambda name: (not name.isupper(), name.islower(), name.lower()))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= source.WIDTH:
        return f"{line}\n"
    inner = "".join(f"    {name},\n" for name in ordered)
    return f"from {module} import (\n{inner})\n"
