"""Facts about the ``up`` of a migration, so that its ``down`` undoes nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from guarded.schema import Column
from guarded.steps import Found, Kind, Made, Target
from guarded.verbs.deeds import constraint_name, unique_name

if TYPE_CHECKING:
    from guarded.verbs.perform import Look

# The verbs that undo each other: a ``down`` leaves alone what its ``up`` found to be so.
INVERSES = {
    "add_not_null": ("drop_not_null",),
    "drop_not_null": ("add_not_null",),
    "add_column_default": ("drop_column_default", "add_column_default"),
    "drop_column_default": ("add_column_default",),
    "alter_column_type": ("alter_column_type",),
    "add_constraint": ("drop_constraint",),
    "drop_constraint": ("add_constraint", "add_unique"),
    "add_unique": ("drop_constraint",),
    "add_foreign_key_constraint": ("drop_foreign_key_constraint",),
    "drop_foreign_key_constraint": ("add_foreign_key_constraint",),
    "rename_table": ("rename_table",),
    "rename_column": ("rename_column",),
}


class Undo:
    """The facts that an ``up`` made and found, by the names that they have now."""

    def __init__(self, fold: Callable[[str], str], made: Made) -> None:
        self._fold = fold
        self._made = {self._key(target) for target in made.targets}
        self._found = {self._folded(fact) for fact in made.found}
        self._gone = {self._key(target) for target in made.gone}
        self._gone_found = {self._folded(fact) for fact in made.gone_found}

    def _folded(self, fact: Found) -> Found:
        return fact._replace(table=self._fold(fact.table), name=self._name(fact.name))

    def come_back(self, target: Target) -> None:
        """Know again what the ``up`` made and found of a table or column that it dropped."""
        table, name = self._fold(target.table), self._fold(target.name or "")
        is_table = target.kind is Kind.TABLE
        self._made |= {k for k in self._gone if k[1] == table and (is_table or k[2] == name)}
        self._found |= {
            f for f in self._gone_found if f.table == table and (is_table or f.name == name)
        }

    def follow(self, target: Target, new_name: str) -> None:
        """Know the facts by the names that they have from here on."""
        new, old = self._fold(new_name), self._key(target)
        self._found = {renamed(found, target, new, self._fold) for found in self._found}
        self._made = {_moved(key, old, new) for key in self._made}

    def facts(self, verb: str, target: Target) -> list[Found]:
        """Return what the ``up`` found to be so already that this verb would change."""
        place = self._fold(target.table), self._name(target.name or "")
        return [f for f in self._found if f.verb in INVERSES[verb] and (f.table, f.name) == place]

    def _name(self, name: str) -> str:
        """One spelling; a constraint without a name goes by its text, whatever its blanks."""
        return self._fold("".join(name.split()) if "(" in name else name)

    def kept(self, target: Target) -> str | None:
        """Return why a drop is not done, or None."""
        is_own = self._key(target) in self._made
        return None if is_own else "kept: it is older than this migration"

    def _key(self, target: Target) -> tuple[Kind, str, str]:
        # An index or trigger is known by its name alone.
        is_named = target.kind in (Kind.INDEX, Kind.TRIGGER)
        table = "" if is_named else self._fold(target.table)
        return target.kind, table, self._fold(target.name or "")


def renamed(found: Found, target: Target, new_name: str, fold: Callable[[str], str]) -> Found:
    """The same fact after its table, column or constraint was renamed."""
    if fold(found.table) != fold(target.table):
        return found
    if target.kind is Kind.TABLE:
        return found._replace(table=new_name)
    is_of_constraint = found.verb in ("add_unique", "add_constraint", "drop_constraint")
    is_of_kind = is_of_constraint == (target.kind is Kind.CONSTRAINT)
    is_renamed = is_of_kind and fold(found.name) == fold(target.name or "")
    return found._replace(name=new_name) if is_renamed else found


def _moved(
    key: tuple[Kind, str, str], old: tuple[Kind, str, str], new_name: str
) -> tuple[Kind, str, str]:
    """The same key, as ``Undo._key`` makes it, after what ``old`` is the key of was renamed."""
    if old[0] is Kind.TABLE and key[1] == old[1]:
        return key[0], new_name, key[2]
    return (old[0], old[1], new_name) if key == old else key


def subject(verb: str, arguments: Sequence[Any]) -> Target:
    """Return the target of one of INVERSES by its arguments alone: it may refuse to look."""
    if verb in ("add_constraint", "drop_constraint"):
        return Target(Kind.CONSTRAINT, str(arguments[0]), constraint_name(*arguments[1:]))
    table, *names = map(str, arguments)
    if verb == "rename_table":
        return Target(Kind.TABLE, table)
    if verb == "add_unique":
        return Target(Kind.CONSTRAINT, table, unique_name(names))
    kind = Kind.FOREIGN_KEY if "foreign_key" in verb else Kind.COLUMN
    return Target(kind, table, names[0])


def value_of(look: Look, fact: Found) -> str | None:
    """Return the name, type or default that the fact is about; None for a verb with one effect."""
    if fact.verb.startswith("rename_"):
        return fact.name or fact.table
    if fact.verb not in ("alter_column_type", "add_column_default"):
        return None
    column = _column(look, fact)
    assert column is not None, "a verb looks for it first"
    return column.type if fact.verb == "alter_column_type" else column.default


def holds(look: Look, fact: Found) -> bool:
    """Return True if it is still so: then the ``down`` leaves it alone, else it sets it back.

    Where nothing tells otherwise, too: its column is gone, or an older history has no value.
    """
    if fact.value is None:
        return True
    if fact.verb.startswith("rename_"):
        return look.is_same(fact.name or fact.table, fact.value)
    column = _column(look, fact)
    if column is None:
        return True
    if fact.verb == "alter_column_type":
        return look.names.spelling(column.type) == look.names.spelling(fact.value)
    wanted = look.ddl.default(fact.table, column, fact.value)
    return column.default is not None and column.meaning == wanted


def _column(look: Look, fact: Found) -> Column | None:
    table = look.table(fact.table)
    return look.column(table, fact.name) if table is not None else None
