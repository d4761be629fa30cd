"""Two schemas in, their differences out.

What only spells the same thing in another way is no difference: quotes, case, VARCHAR(255) for
TEXT, another name of an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from server.migrations.engine.introspection import Column, ForeignKey
from server.migrations.engine.names import fold
from server.migrations.engine.shape import Schema, TableShape, spelling
from server.migrations.engine.tokens import tokens

BREAKS, DIFFERS, EXTRA = "breaks", "differs", "extra"


@dataclass(frozen=True)
class Difference:
    """``severity``: BREAKS (the models can't work), DIFFERS, or EXTRA (nobody declared it)."""

    severity: str
    table: str
    subject: str
    sentence: str


def compare(declared: Schema, live: Schema) -> tuple[Difference, ...]:
    """In the order of the tables, the worst first within a table."""
    found: list[Difference] = []
    for name, table in declared.items():
        if name in live:
            found += sorted(_compare_table(table, live[name]), key=lambda d: RANK[d.severity])
        else:
            sentence = f"table '{table.name}' is missing"
            found.append(Difference(BREAKS, table.name, "table", sentence))
    for name, table in live.items():
        if name not in declared:
            sentence = f"table '{table.name}' is declared by no model"
            found.append(Difference(EXTRA, table.name, "table", sentence))
    return tuple(found)


RANK = {BREAKS: 0, DIFFERS: 1, EXTRA: 2}


def _compare_table(declared: TableShape, live: TableShape) -> Iterable[Difference]:
    table = live.name

    def difference(severity: str, subject: str, sentence: str) -> Difference:
        return Difference(severity, table, subject, f"table '{table}': {sentence}")

    has = {fold(column.name): column for column in live.columns}
    for column in declared.columns:
        found = has.pop(fold(column.name), None)
        if found is None:
            yield difference(BREAKS, column.name, f"column '{column.name}' is missing")
            continue
        for severity, sentence in _compare_column(declared, live, column, found):
            yield difference(severity, column.name, f"column '{column.name}' {sentence}")
    for column in has.values():
        if column.nullable or column.default is not None or column.generated or column.primary_key:
            yield difference(EXTRA, column.name, f"column '{column.name}' is declared by no model")
        else:
            sentence = "must have a value, and no model gives it one"
            yield difference(BREAKS, column.name, f"column '{column.name}' {sentence}")
    if (wanted := _key(declared)) != (present := _key(live)):
        sentence = f"the primary key is ({', '.join(present)}), and should be ({', '.join(wanted)})"
        yield difference(BREAKS, "primary key", sentence)
    for option in ("autoincrement", "strict", "without_rowid"):
        if getattr(declared, option) != getattr(live, option):
            word = option.upper().replace("_", " ")
            is_not = "is not" if getattr(declared, option) else "is"
            yield difference(DIFFERS, word, f"it {is_not} {word}, against the model")
    yield from _compare_sets(
        difference,
        "foreign key",
        [_key_text(key) for key in declared.foreign_keys],
        [_key_text(key) for key in live.foreign_keys],
    )
    yield from _compare_sets(difference, "check", declared.checks, live.checks)
    wanted_keys = {index.key for index in declared.indexes}
    present_keys = {index.key for index in live.indexes}
    for index in declared.indexes:
        if index.key not in present_keys:
            yield difference(DIFFERS, index.name, f"{index} is missing ('{index.name}')")
    for index in live.indexes:
        if index.key not in wanted_keys:
            severity = DIFFERS if index.unique else EXTRA
            sentence = f"{index} ('{index.name}') is declared by no model"
            yield difference(severity, index.name, sentence)


def _compare_column(
    declared: TableShape, live: TableShape, wanted: Column, found: Column
) -> Iterable[tuple[str, str]]:
    exact = declared.strict or live.strict
    if (_type(wanted.type, exact)) != (_type(found.type, exact)):
        yield DIFFERS, f"is {found.type or 'without type'}, and should be {wanted.type}"
    # PRIMARY KEY means NOT NULL in SQL; that SQLite takes NULL there is an old fault that it keeps
    # (https://www.sqlite.org/quirks.html), and no reason to rebuild every table of an old database.
    if wanted.nullable != found.nullable and not (wanted.primary_key and found.primary_key):
        if wanted.nullable:
            yield BREAKS, "is NOT NULL, and the model may write NULL"
        else:
            yield DIFFERS, "may be NULL, and should be NOT NULL"
    if not _same_default(declared, wanted, found):
        was = found.default or "no default"
        yield DIFFERS, f"has default {was}, and should have {wanted.default or 'none'}"
    name = fold(wanted.name)
    if declared.collations.get(name, "binary") != live.collations.get(name, "binary"):
        was, should = live.collations.get(name, "binary"), declared.collations.get(name, "binary")
        yield DIFFERS, f"has collation {was}, and should have {should}"
    if (wanted.generated, declared.expressions.get(name)) != (
        found.generated,
        live.expressions.get(name),
    ):
        text = live.expressions.get(name)
        yield DIFFERS, f"is generated as ({text})" if text else "is not generated"


def _same_default(declared: TableShape, wanted: Column, found: Column) -> bool:
    present = _default(found.default)
    if present == _default(wanted.default):
        return True
    python = declared.python_defaults.get(fold(wanted.name))
    return wanted.default is None and python is not None and present == _default(python)


def _default(sql: str | None) -> str | None:
    if sql is None or sql.upper() == "NULL":
        return None
    parts = tokens(sql)
    while len(parts) > 2 and parts[0].text == "(" and parts[-1].text == ")":
        parts = parts[1:-1]
    text = spelling(parts)
    return {"TRUE": "1", "FALSE": "0"}.get(text.upper(), text)


def _type(text: str, exact: bool) -> str:
    """The column's affinity, https://www.sqlite.org/datatype3.html section 3.1."""
    upper = text.upper()
    if exact:
        return upper
    for affinity, words in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in upper for word in words):
            return affinity
    return "NUMERIC" if upper else "BLOB"


def _compare_sets(
    difference: Callable[[str, str, str], Difference],
    subject: str,
    wanted: Sequence[str],
    found: Sequence[str],
) -> Iterable[Difference]:
    for text in wanted:
        if text not in found:
            yield difference(DIFFERS, subject, f"{subject} {text} is missing")
    for text in found:
        if text not in wanted:
            yield difference(DIFFERS, subject, f"{subject} {text} is declared by no model")


def _key(table: TableShape) -> list[str]:
    key = [column for column in table.columns if column.primary_key]
    return [fold(c.name) for c in sorted(key, key=lambda c: c.primary_key)]


def _key_text(key: ForeignKey) -> str:
    columns = ", ".join(map(fold, key.columns))
    parent = f"{fold(key.parent)} ({', '.join(map(fold, key.parent_columns))})"
    return f"({columns}) to {parent} on delete {key.on_delete} on update {key.on_update}"
