"""A migration written from the difference between what the listed ones make and the models.

An open question becomes a comment that begins with DECIDE; `verify` fails until it is gone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from guarded import diff
from guarded.author import columns, constraints, source, tables
from guarded.author.classes import Classes
from guarded.author.operations import ALTER, CREATE, DROP_INDEX, INDEX, RENAME, Ask, Operation, Work
from guarded.author.renames import renames
from guarded.author.source import Call
from guarded.backends.interface import Backend, Session
from guarded.diff import Difference

DECIDE = "# DECIDE: "
TEMPLATE = """{title}


def up(migrator, db):
    migrator.migrate(
        # migrator.add_column("table", "column", CharField(null=True)),
    )


def down(migrator, db):
    migrator.migrate(
        # migrator.drop_column("table", "column"),
    )
"""
WRITERS: dict[str, Callable[[Work, Difference], Iterator[Operation]]] = {
    "table": tables.table,
    "module": tables.module,
    "column": columns.column,
    "type": columns.type_,
    "nullability": columns.nullability,
    "default": columns.default,
    "index": constraints.index,
    "foreign key": constraints.foreign_key,
    "check": constraints.check,
}


def template(name: str) -> str:
    return TEMPLATE.format(title=_docstring(name))


def write(
    name: str, backend: Backend, made: Session, models: Sequence[Any], ask: Ask
) -> str | None:
    """Return the text of the file; None when there is nothing to change.

    ``made`` is a scratch database as the listed migrations make it; the renames are done there.
    """
    declared, fold = backend.declared(models), backend.names.fold
    operations = list(renames(made, backend.names, declared, ask))
    live = made.inspector.schema()
    found = tables.in_order(diff.compare(declared, live, fold), fold)
    by_table = {fold(model._meta.table_name): model for model in models}
    new = [by_table[fold(d.table)] for d in found if d.kind == "table" and d.wanted is not None]
    classes = Classes(backend.names, declared, new)
    work = Work(made, backend.names, classes, by_table, declared, live, found, ask)
    operations += [operation for d in found for operation in _operations(work, d)]
    if not operations:
        return None
    operations.sort(key=lambda operation: operation.stage)
    body = _function("up", [(o.decide_up, o.up) for o in operations])
    body += "\n\n" + _function("down", [(o.decide_down, o.down) for o in _undone(operations)])
    declarations = classes.text()
    parts = [f"{_docstring(name)}\n", classes.imports(declarations + body)]
    parts += [f"\n{declarations}"] if declarations else []
    return "\n".join(part for part in parts if part) + "\n\n" + body


def _undone(operations: Sequence[Operation]) -> list[Operation]:
    """Return the order of the way back: a new index goes after the new tables whose keys refer to
    it, and before an old one of its name comes back."""
    late = {CREATE: 1, INDEX: 2, DROP_INDEX: 3, RENAME: 4}
    backwards = list(operations[::-1])
    backwards.sort(key=lambda operation: late.get(operation.stage, 0))
    return backwards


def _operations(work: Work, d: Difference) -> Iterator[Operation]:
    if d.kind in WRITERS:
        yield from WRITERS[d.kind](work, d)
    else:
        yield Operation(ALTER, decide_up=f"{d.sentence}; there is no verb for it")


def _function(name: str, parts: Sequence[tuple[str, Sequence[Call]]]) -> str:
    if not any(doubt or calls for doubt, calls in parts):
        return f"def {name}(migrator, db):\n    pass\n"
    out = [f"def {name}(migrator, db):", "    migrator.migrate("]
    for doubt, calls in parts:
        if doubt:
            out += [f"        {line}" for line in _comment(doubt)]
        for call in calls:
            out += source.lines(call, 8, ",")
    return "\n".join([*out, "    )", ""])


def _comment(doubt: str) -> list[str]:
    words = textwrap.wrap(" ".join(doubt.split()), source.WIDTH - 8 - len(DECIDE))
    return [f"{DECIDE}{words[0]}", *(f"# {line}" for line in words[1:])]


def _docstring(name: str) -> str:
    title = name.replace("_", " ").capitalize() + "."
    return "\n".join(textwrap.wrap(f'"""{title}', source.WIDTH - len('"""'))) + '"""'
