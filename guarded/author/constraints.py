"""Operations for indexes and constraints."""

from __future__ import annotations

import re
from collections.abc import Iterator

from guarded.author.calls import add_index, verb
from guarded.author.operations import (
    ALTER,
    CONSTRAIN,
    DROP_INDEX,
    INDEX,
    Operation,
    Work,
)
from guarded.author.source import Call, string
from guarded.diff import Difference
from guarded.schema import Check, ForeignKey, Index


def index(work: Work, d: Difference) -> Iterator[Operation]:
    found: Index = d.wanted or d.found
    if found.sql is None:
        yield from _unique(work, d, found)
    elif d.wanted is not None:
        yield from new_index(work, d.table, found)
    else:
        drop = verb("drop_index", d.table, found.name)
        yield Operation(DROP_INDEX, [drop], [add_index(work.names, d.table, found)])


def new_index(work: Work, table: str, index: Index) -> Iterator[Operation]:
    if index.sql is not None:  # a constraint's own comes with the constraint
        drop = verb("drop_index", table, index.name)
        yield Operation(INDEX, [add_index(work.names, table, index)])
        # A column of several can't be dropped before the index.
        has_new = len(index.columns) > 1 and any(
            name is None or work.change("column", table, name) for name in index.columns
        )
        yield Operation(CONSTRAIN if has_new else INDEX, [], [drop])


def _unique(work: Work, d: Difference, index: Index) -> Iterator[Operation]:
    """A constraint; one that stands at a column comes and goes with it."""
    names = [name for name in index.columns if name is not None]
    if index.parts != tuple(map(work.names.fold, names)):
        yield Operation(ALTER, decide_up=f"{d.sentence}; there is no verb for it")
        return
    add = verb("add_unique", d.table, *names)
    drop = verb("drop_constraint", d.table, f"uniq_{'_'.join(names)}")
    change = work.change("column", d.table, names[0]) if len(names) == 1 else None
    column = (change.wanted or change.found) if change is not None else None
    is_own = column is not None and any("UNIQUE" in c.upper().split() for c in column.constraints)
    if d.wanted is not None:
        yield from [] if is_own else [Operation(CONSTRAIN, [add], [drop])]
    elif change is None:
        yield Operation(DROP_INDEX, [drop], [add])
    elif not is_own:  # it goes with its column, and has to come back beside it
        yield Operation(DROP_INDEX, [], [add])


def foreign_key(work: Work, d: Difference) -> Iterator[Operation]:
    key: ForeignKey = d.wanted or d.found
    change = work.change("column", d.table, key.columns[0]) if len(key.columns) == 1 else None
    if change is not None and change.wanted is not None and _comes_with(work.field(change)):
        return
    if len(key.columns) == 1:
        drop = verb("drop_foreign_key_constraint", d.table, key.columns[0])
    elif d.wanted is None:
        yield Operation(CONSTRAIN, decide_up=f"{d.sentence}; there is no verb for it")
        return
    else:
        drop = verb("drop_constraint", d.table, _key_name(d.table, key))
    if d.wanted is None:
        yield Operation(DROP_INDEX, [drop], [_add_key(work, d.table, key)])
    else:
        yield Operation(CONSTRAIN, [_add_key(work, d.table, key)], [drop])


def _comes_with(field: object) -> bool:
    texts = [str(getattr(c, "sql", "")) for c in getattr(field, "constraints", None) or ()]
    return hasattr(field, "rel_model") or any("REFERENCES" in text.upper() for text in texts)


def _key_name(table: str, key: ForeignKey) -> str:
    return f"fk_{table}_{'_'.join(key.columns)}_refs_{key.parent}"


def _add_key(work: Work, table: str, key: ForeignKey) -> Call:
    actions = {"on_delete": key.on_delete, "on_update": key.on_update}
    actions = {name: value for name, value in actions.items() if value != "NO ACTION"}
    if len(key.columns) == 1 and not key.deferrable:
        extra = [f"{name}={string(value)}" for name, value in actions.items()]
        add = verb("add_foreign_key_constraint", table, key.columns[0], key.parent)
        return add._replace(arguments=[*add.arguments, string(key.parent_columns[0]), *extra])
    quote = work.names.quote
    text = f"FOREIGN KEY ({', '.join(map(quote, key.columns))}) REFERENCES {quote(key.parent)}"
    text += f" ({', '.join(map(quote, key.parent_columns))})"
    text += "".join(f" {n.replace('_', ' ').upper()} {value}" for n, value in actions.items())
    text += f" {key.deferrable}" if key.deferrable else ""
    return verb("add_constraint", table, _key_name(table, key), Call("SQL", [string(text)]))


def check(work: Work, d: Difference) -> Iterator[Operation]:
    check: Check = d.wanted or d.found
    if _goes_with_its_column(work, d, check):
        return
    text = Call("Check", [string(check.text)])
    if d.wanted is None and check.name is None:
        add = Call("migrator.add_constraint", [string(d.table), "None", text])
        yield Operation(ALTER, [verb("drop_constraint", d.table, text)], [add])
        return
    name = check.name or _name(work, d, check)
    add, drop = verb("add_constraint", d.table, name, text), verb("drop_constraint", d.table, name)
    if d.wanted is None:
        yield Operation(ALTER, [drop], [add])
    else:
        yield Operation(CONSTRAIN, [add], [drop])


def _goes_with_its_column(work: Work, d: Difference, check: Check) -> bool:
    """A CHECK about one column alone is dropped with it; a new one may stand at the new column."""
    if len(check.columns) != 1:
        return False
    change = work.change("column", d.table, next(iter(check.columns)))
    if change is None:
        return False
    if d.wanted is None:
        return change.found is not None
    column = change.wanted
    return column is not None and any(check.text in text for text in column.constraints)


def _name(work: Work, d: Difference, check: Check) -> str:
    """A name for a CHECK that has none in the model, and that no other one has."""
    same = [
        other.wanted.text
        for other in work.differences
        if other.kind == "check" and other.table == d.table and other.wanted is not None
    ]
    names = [_of_words(d.table, text) for text in same]
    name, place = _of_words(d.table, check.text), same.index(check.text)
    number = names[:place].count(name)
    return f"{name}_{number + 1}" if number else name


def _of_words(table: str, text: str) -> str:
    words = re.findall("[a-z0-9]+", text.lower())[:4]
    return f"check_{table}_{'_'.join(words)}"
