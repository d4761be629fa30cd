"""Objects that need what a change drops or renames."""

from __future__ import annotations

from collections.abc import Iterable

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.health import mentioned, trigger_event
from guarded.backends.sqlite.inspect import SchemaObject
from guarded.backends.sqlite.text import CreateTable, fold, index_body, mentions, quote
from guarded.changes import DropColumn, DropTable, RenameColumn, RenameTable
from guarded.schema import ForeignKey
from guarded.steps import Kind, Target


def affected(
    read: Execute, change: DropTable | DropColumn | RenameTable | RenameColumn
) -> list[Target]:
    """Return the objects that go or change along."""
    if isinstance(change, DropTable):
        own = inspect.dependents(read, change.table)
        return [Target(Kind.ID_MARK, change.table), *(o.target for o in own)]
    if isinstance(change, DropColumn):
        indexes = _indexes_of(read, change)
        return [o.target for o in indexes if not _is_about_others(read, o, change)]
    if isinstance(change, RenameTable):
        moved = [Target(Kind.TABLE, change.new_name), Target(Kind.ID_MARK, change.table)]
        return moved + _mentioning(read, change.table)
    return _mentioning(read, change.column)


def obstacles(
    read: Execute,
    change: DropColumn,
    definition: CreateTable,
    children: Iterable[tuple[str, ForeignKey]],
) -> list[str]:
    """Return what keeps the column from being dropped, each by kind and name."""
    indexes = _indexes_of(read, change)
    found = [f"index '{o.name}'" for o in indexes if _is_about_others(read, o, change)]
    found += definition.obstacles(change.column)
    others = [c for c in definition.columns if fold(c.name) != fold(change.column)]
    if all(c.constraint("GENERATED") for c in others):
        found.append(f"table '{change.table}', which has no other column,")
    for child, key in children:
        if fold(change.column) in map(fold, key.parent_columns):
            found.append(f"the foreign key of table '{child}'")
    for trigger in inspect.dependents(read, change.table):
        if trigger.kind == "trigger" and fold(change.column) in map(
            fold, trigger_event(trigger.sql or "")[1]
        ):
            found.append(str(trigger))
    return found


def _indexes_of(read: Execute, change: DropColumn) -> list[SchemaObject]:
    return [
        o
        for o in inspect.dependents(read, change.table)
        if o.kind == "index" and fold(change.column) in _columns_in(read, o)
    ]


def _is_about_others(read: Execute, index: SchemaObject, change: DropColumn) -> bool:
    return _columns_in(read, index) != {fold(change.column)}


def _columns_in(read: Execute, index: SchemaObject) -> set[str]:
    """The columns that the index needs, folded; a string is none, whatever it spells."""
    rows = read(f"PRAGMA index_xinfo({quote(index.name)})")
    plain = {fold(row[2]) for row in rows if row[5] and row[2] is not None}
    all_columns = {fold(c.name) for c in inspect.columns(read, index.table)}
    return plain | (mentioned(index_body(index.sql or "")) & all_columns)


def _mentioning(read: Execute, name: str) -> list[Target]:
    """A rename rewrites the text of every object that speaks of the old name."""
    return [o.target for o in inspect.objects(read) if mentions(o.sql, name)]
