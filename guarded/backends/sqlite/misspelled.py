"""Names in double quotes that name nothing: SQLite would take them for strings.

https://www.sqlite.org/quirks.html#double_quoted_string_literals_are_accepted
"""

from __future__ import annotations

from collections.abc import Iterable

from guarded.backends.interface import Execute
from guarded.backends.sqlite import inspect
from guarded.backends.sqlite.text import fold, index_body, tokens
from guarded.changes import AddConstraint, CreateIndex, Fill, SetType
from guarded.errors import Refused, nearest

ROWID = frozenset({"rowid", "_rowid_", "oid"})
WithSql = Fill | SetType | CreateIndex | AddConstraint


def refuse_strings(read: Execute, change: WithSql, columns: Iterable[str]) -> None:
    """Raise Refused for a change whose SQL has such a name; ``columns`` are the table's."""
    known = {fold(name): name for name in columns}
    for sql in _texts(change):
        names = known.keys() | ROWID | {fold(change.table)}
        words = tokens(sql)
        if any(word.keyword == "SELECT" for word in words):
            tables = inspect.objects(read, "table", "view")
            names |= {fold(table.name) for table in tables}
            names |= {fold(c.name) for t in tables for c in inspect.columns(read, t.name)}
        for before, word in zip([None, *words], words):
            is_quoted = word.kind == "quoted" and word.text[0] == '"'
            is_alias = before is not None and before.keyword in ("AS", "COLLATE", "CONSTRAINT")
            if is_quoted and not is_alias and fold(str(word.name)) not in names:
                raise Refused(
                    f"table '{change.table}' has no column {word.text}"
                    f"{nearest(str(word.name), list(known.values()))}; SQLite would take it for a "
                    "string, which has single quotes"
                )


def _texts(change: WithSql) -> list[str]:
    if isinstance(change, Fill):
        return [change.expression, change.where]
    if isinstance(change, SetType):
        return [change.cast or ""]
    if isinstance(change, CreateIndex):
        return [index_body(change.sql)]
    is_check = tokens(change.definition)[0].keyword == "CHECK"
    return [change.definition] if is_check else []
