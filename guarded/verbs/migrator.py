"""The migrator that a migration gets: verbs and questions, and nothing else.

As in playhouse, a call describes an operation, and ``migrator.migrate(…)`` runs it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from peewee import DeferredForeignKey, Field, ForeignKeyField, Model, Node

from guarded.errors import Refused, nearest
from guarded.verbs import columns, constraints, tables
from guarded.verbs.deeds import Deeds
from guarded.verbs.perform import Performer

Verb = Callable[..., Deeds]
# Other tools' words, where ours is not spelled like them.
MEANT = {
    "execute": "sql",
    "execute_sql": "sql",
    "run_sql": "sql",
    "add_field": "add_column",
    "remove_field": "drop_column",
    "remove_column": "drop_column",
    "alter_column": "alter_column_type",
    "alter_field": "alter_column_type",
    "change_type": "alter_column_type",
    "create_index": "add_index",
    "create_model": "create_table",
    "delete_model": "drop_table",
    "remove_table": "drop_table",
    "create_unique_constraint": "add_unique",
    "create_check_constraint": "add_constraint",
    "create_foreign_key": "add_foreign_key_constraint",
    "set_default": "add_column_default",
    "set_not_null": "add_not_null",
}


class UnknownVerb(Refused, AttributeError):
    """There is no verb of that name."""


class Operation:
    """A verb with its arguments; ``migrate`` runs it."""

    def __init__(
        self, performer: Performer, verb: Verb, arguments: Sequence[Any], line: int | None
    ) -> None:
        self.performer, self.verb, self.arguments, self.line = performer, verb, arguments, line
        self.has_run = False

    def run(self) -> None:
        self.has_run = True
        self.performer.doing = (self.verb.__name__, self.line)
        self.performer.perform(self.verb, self.arguments)
        self.performer.doing = None


def _method(verb: Verb) -> Any:
    @functools.wraps(verb)
    def describe(migrator: GuardedMigrator, *arguments: Any, **options: Any) -> Operation:
        performer, line = migrator._performer, migrator._line()
        performer.doing = (verb.__name__, line)
        described = Operation(performer, verb, _bound(verb, arguments, options), line)
        performer.doing = None
        migrator._described.append(described)
        return described

    return describe


class GuardedMigrator:
    """playhouse's verbs with guards; a new one for each run of a migration."""

    def __init__(self, performer: Performer, path: Path) -> None:
        """``path``: the file of the migration."""
        self._performer, self._path = performer, str(path)
        self._described: list[Operation] = []

    create_table = _method(tables.create_table)
    complete_table = _method(tables.complete_table)
    drop_table = _method(tables.drop_table)
    rename_table = _method(tables.rename_table)
    add_index = _method(tables.add_index)
    drop_index = _method(tables.drop_index)
    sql = _method(tables.sql)
    add_column = _method(columns.add_column)
    drop_column = _method(columns.drop_column)
    rename_column = _method(columns.rename_column)
    fill = _method(columns.fill)
    apply_default = _method(columns.apply_default)
    add_not_null = _method(columns.add_not_null)
    drop_not_null = _method(columns.drop_not_null)
    add_column_default = _method(columns.add_column_default)
    drop_column_default = _method(columns.drop_column_default)
    alter_column_type = _method(columns.alter_column_type)
    add_constraint = _method(constraints.add_constraint)
    drop_constraint = _method(constraints.drop_constraint)
    add_unique = _method(constraints.add_unique)
    add_foreign_key_constraint = _method(constraints.add_foreign_key_constraint)
    drop_foreign_key_constraint = _method(constraints.drop_foreign_key_constraint)

    def migrate(self, *operations: Operation) -> None:
        """Run the operations in order; those of one table that need a rebuild share one."""
        for operation in operations:
            if not isinstance(operation, Operation):
                raise Refused(_remedy(operation))
            operation.run()
        self._performer.settle()

    def has_table(self, name: str) -> bool:
        return self._performer.look.ddl.table(name) is not None

    def has_column(self, table: str, name: str) -> bool:
        found = self._performer.look.ddl.table(table)
        return found is not None and self._performer.look.column(found, name) is not None

    def has_index(self, table: str, name: str) -> bool:
        look = self._performer.look
        found = look.ddl.table(table)
        return found is not None and any(look.is_same(i.name, name) for i in found.indexes)

    def __getattr__(self, name: str) -> Any:
        known = [word for word in dir(type(self)) if not word.startswith("_")]
        meant = f"; did you mean '{MEANT[name]}'?" if name in MEANT else nearest(name, known)
        raise UnknownVerb(f"there is no verb '{name}'{meant}")

    def _line(self) -> int | None:
        """The line of the migration that is being executed."""
        frame = inspect.currentframe()
        while frame is not None and frame.f_code.co_filename != self._path:
            frame = frame.f_back
        return frame.f_lineno if frame is not None else None

    def check_all_ran(self) -> None:
        """Raise Refused when a verb was called but never handed to ``migrate``."""
        for described in self._described:
            if not described.has_run:
                self._performer.doing = ("", described.line)
                name = described.verb.__name__
                raise Refused(f"{name}(…) was called, and not run; hand it to migrator.migrate(…)")


def _remedy(given: object) -> str:
    """Return what to write in place of what ``migrate`` was given."""
    if isinstance(given, str):
        return "migrate(…) takes verbs; hand SQL to it as migrator.sql('…')"
    if isinstance(given, (list, tuple)):
        return "migrate(…) takes verbs one by one; write migrate(*…) for a list"
    if callable(given):
        name = getattr(given, "__name__", "")
        return f"migrate(…) takes verbs with their arguments; write migrator.{name}(…)"
    return f"migrate(…) takes verbs such as migrator.add_column(…), and not {given!r}"


# A slip in the arguments of a verb gets the sentence that mends it, before anything is done.


def _bound(verb: Verb, given: Sequence[Any], options: dict[str, Any]) -> Sequence[Any]:
    """Return the arguments in the order of the verb's parameters.  Raises Refused."""
    signature = _signature(verb)
    try:
        found = signature.bind(*given, **options)
    except TypeError as exc:
        raise Refused(f"{exc}; it is {verb.__name__}{_shown(signature)}") from exc
    found.apply_defaults()
    for name, value in found.arguments.items():
        parameter = signature.parameters[name]
        several = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        for one in value if several else (value,):
            if one is not parameter.default and parameter.annotation in SLIPS:
                SLIPS[parameter.annotation](name, one)
    return found.args


def _signature(verb: Callable[..., Any]) -> inspect.Signature:
    whole = inspect.signature(verb)
    return whole.replace(parameters=list(whole.parameters.values())[1:])  # without the Look


def _shown(signature: inspect.Signature) -> str:
    plain = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
    ]
    return str(inspect.Signature(plain))


def _text(name: str, value: object) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, type) and issubclass(value, Model):
        meta: Any = value._meta
        raise Refused(f"{name} takes a name: write '{meta.table_name}', and not {value.__name__}")
    if isinstance(value, Field) and getattr(value, "column_name", None):
        raise Refused(f"{name} takes a name: write '{value.column_name}', and not the field")
    raise Refused(f"{name} takes a text in quotes, and not {value!r}")


def _text_or_none(name: str, value: object) -> None:
    if value is not None:
        _text(name, value)


def _texts(name: str, value: object) -> None:
    if isinstance(value, str):
        raise Refused(f"{name} takes a list: write ['{value}']")
    if not isinstance(value, (list, tuple)):
        raise Refused(f"{name} takes a list of names, and not {value!r}")
    for one in value:
        _text(f"each of {name}", one)


def _field(name: str, value: object) -> None:
    if isinstance(value, type) and issubclass(value, Field):
        raise Refused(f"{name} lacks its parentheses: write {value.__name__}()")
    if not isinstance(value, Field):
        raise Refused(f"{name} needs a field such as CharField(), and not {value!r}")
    parent = getattr(value, "rel_model", None)
    if isinstance(value, DeferredForeignKey) or (
        isinstance(value, ForeignKeyField) and not hasattr(parent, "_meta")
    ):
        raise Refused(
            f"{name} is a foreign key, and needs the model that it refers to: write a class with "
            "that table's name and key, then ForeignKeyField(Parent, field=Parent.id)"
        )


def _model(name: str, value: object) -> None:
    if not (isinstance(value, type) and issubclass(value, Model)):
        raise Refused(
            f"{name} takes a model, and not {value!r}: write a class with Meta.table_name, as the "
            "table is at this migration"
        )


def _constraint(name: str, value: object) -> None:
    if isinstance(value, str):
        raise Refused(f"{name} takes no text: write Check({value!r}), with Check from peewee")
    if not isinstance(value, Node):
        raise Refused(f"{name} takes Check('…') or SQL('…'), and not {value!r}")


def _condition(name: str, value: object) -> None:
    if isinstance(value, str):
        raise Refused(f"{name} takes no text: write SQL({value!r}), with SQL from peewee")


# By annotation, as the verbs write it.
SLIPS: dict[str, Callable[[str, object], None]] = {
    "str": _text,
    "str | None": _text_or_none,
    "Sequence[str]": _texts,
    "Field": _field,
    "type[Model]": _model,
    "Node": _constraint,
    "Node | None": _condition,
}
