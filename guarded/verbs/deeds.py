"""The values that a verb yields: a deed to be done, or why there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from guarded.changes import Change
from guarded.steps import Action, Target


class Skip(NamedTuple):
    """Nothing to do, and why.  ``is_so``: what the verb asks for was so already."""

    target: Target
    why: str
    is_so: bool = False


class So(NamedTuple):
    """Return what a verb of this name would find to be so already; no step of its own."""

    verb: str
    target: Target


class Deed(NamedTuple):
    """A change to be made, and the step that it is.

    ``makes``: the target was not there before.  ``loses``: its values go with it.  ``counts``: the
    step is a skip when no row was changed.  ``empties``: no value is left there.
    ``is_raw``: a statement of the migration's own.
    """

    action: Action
    target: Target
    change: Change
    note: str = ""
    renamed_to: str | None = None
    makes: bool = False
    loses: bool = False
    counts: bool = False
    is_raw: bool = False
    empties: bool = False


Deeds = Iterator[Skip | So | Deed]


def constraint_name(name: Any, constraint: Any = None) -> str:
    """The name, or the text of a constraint that has none: one of Peewee's ``Check`` or ``SQL``."""
    if isinstance(name, str):
        return name  # which may have blanks of any kind
    node = constraint if name is None else name
    return " ".join(str(getattr(node, "sql", node)).split())


def unique_name(columns: Iterable[str]) -> str:
    """The name of the constraint that ``add_unique`` makes."""
    return f"uniq_{'_'.join(columns)}"
