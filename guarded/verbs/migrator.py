"""The migrator that a migration gets: verbs and questions, and nothing else.

As in playhouse, a call describes an operation, and ``migrator.migrate(…)`` runs it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from guarded.errors import Refused, nearest
from guarded.verbs import columns, constraints, tables
from guarded.verbs.deeds import Deeds
from guarded.verbs.perform import Performer

Verb = Callable[..., Deeds]


class Operation:
    """A verb with its arguments; ``migrate`` runs it."""

    def __init__(self, performer: Performer, verb: Verb, arguments: tuple[Any, ...]) -> None:
        self.performer, self.verb, self.arguments = performer, verb, arguments
        self.has_run = False

    @property
    def name(self) -> str:
        return self.verb.__name__

    def run(self) -> None:
        self.has_run = True
        self.performer.perform(self.verb, self.arguments)


def _method(verb: Verb) -> Any:
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def describe(migrator: GuardedMigrator, *arguments: Any, **options: Any) -> Operation:
        bound = signature.bind(None, *arguments, **options)
        bound.apply_defaults()
        described = Operation(migrator._performer, verb, bound.args[1:])
        migrator._described.append(described)
        return described

    return describe


class GuardedMigrator:
    """playhouse's verbs with guards; a new one for each run of a migration."""

    def __init__(self, performer: Performer) -> None:
        self._performer = performer
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
                raise Refused(f"migrate(…) takes operations one by one, and not {operation!r}")
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
        raise AttributeError(f"there is no verb '{name}'{nearest(name, known)}")

    def check_all_ran(self) -> None:
        """Raise Refused when a verb was called but never handed to ``migrate``."""
        for described in self._described:
            if not described.has_run:
                raise Refused(
                    f"{described.name}(…) was called, and not run; hand it to migrator.migrate(…)"
                )
