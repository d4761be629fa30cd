"""Foreign keys that a run adds to tables that have rows: SQLite looks at no row then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from guarded.backends.interface import Execute
from guarded.backends.sqlite import describe, inspect
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.orphans import dangling
from guarded.backends.sqlite.text import fold
from guarded.changes import AddConstraint, Change, RenameColumn, RenameTable, SetType
from guarded.schema import ForeignKey

Columns = tuple[str, ...]  # folded


def dangling_under_new(
    read: Execute, before: Iterable[SchemaObject], changes: Sequence[Change]
) -> Iterator[tuple[str, set[tuple[Any, ...]]]]:
    """Yield tables with the rows that a new key leaves without a parent, as ``dangling`` has them.

    ``before`` are the tables at the start of the run, and ``changes`` all that verbs did.  A key
    whose rows the verb looked at is left out, unless values may have changed since.
    """
    old = {fold(item.name): item for item in before}
    checked = set() if any(isinstance(c, SetType) for c in changes) else _checked(changes)
    for table in inspect.objects(read, "table"):
        name, _ = _first_name(changes, fold(table.name))
        if name not in old or old[name].sql == table.sql:
            continue
        keys = {(fold(k.parent), _folded(k)) for k in inspect.foreign_keys(read, table.name)}
        keys -= {(parent, columns) for parent, columns in keys if (name, columns) in checked}
        if new := keys and keys - _known(read, old[name], keys, changes, fold(table.name)):
            rows = dangling(read, table.name)
            yield table.name, {row for row in rows if (fold(row[2]), row[3]) in new}


def _known(
    read: Execute,
    old: SchemaObject,
    keys: set[tuple[str, Columns]],
    changes: Sequence[Change],
    table: str,
) -> set[tuple[str, Columns]]:
    """Those of the keys that the table had before, under the names of then."""
    made = describe.table_of_text(read, old.name, old.sql or "")
    had = {(fold(key.parent), _folded(key)) for key in made.foreign_keys}
    # A parent that is gone was renamed by a statement of the migration's own.
    renamed = {columns for parent, columns in had if not inspect.has_table(read, parent)}
    found = set()
    for parent, columns in keys:
        then = tuple(str(_first_name(changes, table, column)[1]) for column in columns)
        if (_first_name(changes, parent)[0], then) in had or then in renamed:
            found.add((parent, columns))
    return found


def _first_name(
    changes: Sequence[Change], table: str, column: str | None = None
) -> tuple[str, str | None]:
    """The folded names at the start of the run, of what has these now."""
    for change in reversed(changes):
        if isinstance(change, RenameTable) and fold(change.new_name) == table:
            table = fold(change.table)
        elif isinstance(change, RenameColumn) and fold(change.table) == table:
            column = fold(change.column) if column == fold(change.new_name) else column
    return table, column


def _checked(changes: Sequence[Change]) -> set[tuple[str, Columns]]:
    adding = (c for c in changes if isinstance(c, AddConstraint) and c.checked)
    return {(fold(c.table), tuple(map(fold, c.checked))) for c in adding}


def _folded(key: ForeignKey) -> Columns:
    return tuple(map(fold, key.columns))
