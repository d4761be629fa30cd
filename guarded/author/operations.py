"""The operations of a written migration, and what their writers look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from guarded import defaults
from guarded.author.classes import Classes
from guarded.author.field_source import stored_as
from guarded.author.source import Call
from guarded.backends.interface import Names, Session
from guarded.diff import Difference
from guarded.schema import Schema

# Is this so?  None: nobody there to ask.
Ask = Callable[[str], "bool | None"]


class Operation(NamedTuple):
    """``stage`` orders what must come before what; no call where only a person can say."""

    stage: int
    up: Sequence[Call] = ()
    down: Sequence[Call] = ()
    decide_up: str = ""
    decide_down: str = ""


RENAME, CREATE, DROP_INDEX, ADD, ALTER, CONSTRAIN, INDEX, DROP = range(8)


@dataclass(frozen=True)
class Work:
    """``made`` is the schema as the listed migrations make it, with the renames done;
    ``models`` are by folded name of the table."""

    session: Session
    names: Names
    classes: Classes
    models: Mapping[str, Any]
    declared: Schema
    made: Schema
    differences: Sequence[Difference]
    ask: Ask

    def field(self, d: Difference) -> Any:
        """The field of the column that a difference is about."""
        fold = self.names.fold
        model = self.models[fold(d.table)]
        fields = {fold(field.column_name): field for field in model._meta.sorted_fields}
        return fields[fold(d.subject)]

    def change(self, kind: str, table: str, subject: str) -> Difference | None:
        """The difference of this kind about that subject, if there is one."""
        fold = self.names.fold
        wanted = fold(table), fold(subject)
        of_kind = (d for d in self.differences if d.kind == kind)
        return next((d for d in of_kind if (fold(d.table), fold(d.subject)) == wanted), None)

    def default(self, field: Any) -> Any:
        """A constant default in Python, as the database stores it; None when there is none."""
        return defaults.stored(self.session.database, field)

    def is_kept(self, field: Any, value: Any) -> bool:
        """Return True if the field that is written stores this value as it is."""
        cls = stored_as(field)
        return (
            cls is None or defaults.stored_value(self.session.database, cls, field, value) == value
        )
