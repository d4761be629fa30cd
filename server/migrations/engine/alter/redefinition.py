"""Tables that wait for a rebuild, and what every verb of the migrator needs around it.

Several changes of one table in one ``migrator.migrate(…)`` are one rebuild.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from peewee import OperationalError, SqliteDatabase
from playhouse import migrate as playhouse

from server.migrations.engine import introspection
from server.migrations.engine.alter import compiling
from server.migrations.engine.alter.rebuild import rebuild
from server.migrations.engine.errors import Refused
from server.migrations.engine.introspection import SchemaObject
from server.migrations.engine.record import Record
from server.migrations.engine.sql.create_table import CreateTable, UnreadableTable, parse
from server.migrations.engine.sql.names import fold
from server.migrations.engine.watch import Watch

Verb = TypeVar("Verb", bound=Callable[..., Any])
Edit = Callable[[CreateTable], CreateTable]


class Operation(playhouse.Operation):  # type: ignore[misc]
    """A verb that was called, as in playhouse: ``migrate()`` runs it."""

    has_run = False

    def run(self) -> None:
        self.has_run = True
        super().run()


def operation(verb: Verb) -> Verb:
    """As playhouse's: calling the verb describes an operation."""

    @functools.wraps(verb)
    def describe(migrator: Redefinitions, *arguments: Any, **options: Any) -> Operation:
        described = Operation(migrator, verb, *arguments, **options)
        migrator.described.append(described)
        return described

    return describe  # type: ignore[return-value]


class Redefinition:
    """A table that waits for its rebuild; ``values`` as in rebuild()."""

    def __init__(self, stored: SchemaObject, definition: CreateTable) -> None:
        self.stored, self.definition = stored, definition
        self.values: dict[str, str] = {}


class Redefinitions(playhouse.SqliteMigrator):  # type: ignore[misc]
    """The ground under the guarded migrator's verbs."""

    def __init__(self, database: SqliteDatabase, record: Record, watch: Watch) -> None:
        super().__init__(database)
        self.record, self.watch = record, watch
        self.read = database.connection().execute
        self._pending: dict[str, Redefinition] = {}
        self.described: list[Operation] = []

    def migrate(self, *operations: Any) -> None:
        """Run the operations in order."""
        for item in operations:
            item.run()
        self.settle()

    def finish(self) -> None:
        """At the end of a migration.  Raises Refused when a verb was called, and never run."""
        self.settle()
        for described in self.described:
            if not described.has_run:
                raise Refused(
                    f"{described.fn.__name__}(…) was called, and not run; hand it to "
                    "migrator.migrate(…)"
                )

    def execute_sql(self, sql: str | None, params: Any = None) -> Any:
        return self.database.execute_sql(sql, params)

    def existing(self, table: str) -> SchemaObject:
        """The table as it is stored; from here on the migration means to change it."""
        self.watch.name(("table", table))
        found = introspection.find(self.read, table, "table")
        if found is None:
            raise Refused(f"there is no table '{table}'")
        return found

    def existing_column(self, table: str, column: str) -> tuple[SchemaObject, str]:
        """The table, and the column as ``table.column``."""
        stored = self.existing(table)
        try:
            name = self.definition(stored).column(column).name
        except KeyError:
            raise Refused(f"table '{stored.name}' has no column '{column}'") from None
        return stored, f"{stored.name}.{name}"

    def lacks(self, table: str, column: str) -> bool:
        """Whether there is no such column, and so nothing of it to drop: a noted skip."""
        stored = self.existing(table)
        if any(fold(c.name) == fold(column) for c in self.definition(stored).columns):
            return False
        self.record.skip(f"{stored.name}.{column}", "not there")
        return True

    def definition(self, stored: SchemaObject) -> CreateTable:
        """What the table's definition is, or will be after its rebuild."""
        if pending := self._pending.get(fold(stored.name)):
            return pending.definition
        try:
            return parse(stored.sql or "")
        except UnreadableTable:
            raise Refused(
                f"table '{stored.name}' can't be altered: it is no ordinary table"
            ) from None

    def is_pending(self, table: str, column: str | None = None) -> bool:
        """Whether a rebuild waits, and would have this column."""
        pending = self._pending.get(fold(table))
        if pending is None or column is None:
            return pending is not None
        return any(fold(c.name) == fold(column) for c in pending.definition.columns)

    def edit(
        self,
        stored: SchemaObject,
        change: Edit,
        action: str,
        subject: str,
        note: str = "",
        values: Mapping[str, str] | None = None,
    ) -> None:
        """Add a change to the table's next rebuild."""
        definition = change(self.definition(stored))
        pending = self._pending.setdefault(fold(stored.name), Redefinition(stored, definition))
        pending.definition = definition
        pending.values.update(values or {})
        self.record.note(action, subject, note)

    def settle(self) -> None:
        """Do the rebuilds that wait."""
        while self._pending:
            _, pending = self._pending.popitem()
            table = pending.stored.name
            step = self.record.step("rebuild", table)
            what = f"table '{table}' can't be rebuilt"
            with self.refusing_broken(what), self.watch.trusting(), step:
                rebuild(self.read, self.execute_sql, table, pending.definition, pending.values)

    @contextmanager
    def creating(self, kind: str, name: str) -> Iterator[None]:
        """A step that makes something which its ``down`` may drop."""
        self.settle()
        self.watch.name((kind, name))
        with self.record.step("create", name):
            yield
        self.record.made.add(f"{kind} {name}")

    @contextmanager
    def refusing_broken(self, what: str) -> Iterator[None]:
        """Raise Refused when the block leaves a view or trigger that SQLite can't compile."""
        with self.watch.trusting():
            before = compiling.broken(self.read)
        try:
            yield
        except OperationalError as exc:
            if str(exc).startswith("error in "):  # SQLite's own words for the same
                raise Refused(f"{what}: {exc}; drop or change that first") from exc
            raise
        with self.watch.trusting():
            after = compiling.broken(self.read)
        if new := [f"{o} ({why})" for o, why in after.items() if o not in before]:
            raise Refused(f"{what}: {', '.join(new)} needs it; drop or change that first")
