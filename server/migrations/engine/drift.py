"""Two schemas in, their differences out.

What only spells the same thing in another way is no difference: quotes, case, VARCHAR(255) for
TEXT, another name of an index.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from server.migrations.engine.introspection import Column, ForeignKey
from server.migrations.engine.shape import Schema, TableShape, inside, spelling
from server.migrations.engine.sql.names import fold
from server.migrations.engine.sql.tokens import tokens

BREAKS, DIFFERS, EXTRA = "breaks", "differs", "extra"
RANK = {BREAKS: 0, DIFFERS: 1, EXTRA: 2}


@dataclass(frozen=True)
class Difference:
    """One thing that two schemas disagree about.

    ``severity``: BREAKS (the models can't work), DIFFERS, or EXTRA (nobody declared it).  ``kind``
    is what it is about: table, column, type, nullability, default, collation, generated, primary
    key, option, foreign key, check or index.  ``wanted`` and ``found`` are its values, None where
    there is none.
    """

    severity: str
    table: str
    kind: str
    subject: str
    sentence: str
    wanted: Any = None
    found: Any = None


def compare(declared: Schema, live: Schema) -> tuple[Difference, ...]:
    """In the order of the tables, the worst first within a table."""
    found: list[Difference] = []
    for name, table in declared.items():
        if name in live:
            found += sorted(_compare_table(table, live[name]), key=lambda d: RANK[d.severity])
        else:
            sentence = f"table '{table.name}' is missing"
            found.append(Difference(BREAKS, table.name, "table", table.name, sentence, table))
    for name, table in live.items():
        if name not in declared:
            sentence = f"table '{table.name}' is declared by no model"
            found.append(Difference(EXTRA, table.name, "table", table.name, sentence, found=table))
    return tuple(found)


def _compare_table(declared: TableShape, live: TableShape) -> Iterable[Difference]:
    has = {fold(column.name): column for column in live.columns}
    for wanted in declared.columns:
        found = has.pop(fold(wanted.name), None)
        if found is None:
            yield _difference(BREAKS, live, "column", wanted.name, "is missing", wanted)
        else:
            yield from _compare_column(declared, live, wanted, found)
    for column in has.values():
        if column.nullable or column.default is not None or column.generated or column.primary_key:
            severity, sentence = EXTRA, "is declared by no model"
        else:
            severity, sentence = BREAKS, "must have a value, and no model gives it one"
        yield _difference(severity, live, "column", column.name, sentence, found=column)
    if (wanted_key := _key(declared)) != (key := _key(live)):
        sentence = f"is ({', '.join(key)}), and should be ({', '.join(wanted_key)})"
        yield _difference(BREAKS, live, "primary key", "", sentence, wanted_key, key)
    elif declared.is_numbered and not (live.is_numbered or live.without_rowid):
        sentence = "is no alias of the rowid, so that SQLite does not number it"
        yield _difference(BREAKS, live, "primary key", "", sentence, wanted_key, key)
    for option in ("autoincrement", "strict", "without_rowid"):
        wanted_option, found_option = getattr(declared, option), getattr(live, option)
        if wanted_option != found_option:
            sentence = "is missing" if wanted_option else "is declared by no model"
            name = option.upper().replace("_", " ")
            yield _difference(DIFFERS, live, "option", name, sentence, wanted_option, found_option)
    yield from _compare_each(
        live,
        "foreign key",
        {_key_text(key): key for key in declared.foreign_keys},
        {_key_text(key): key for key in live.foreign_keys},
    )
    yield from _compare_each(live, "check", declared.checks, live.checks)
    yield from _compare_each(
        live,
        "index",
        {str(index): index for index in declared.indexes},
        {str(index): index for index in live.indexes},
    )


def _compare_each(
    live: TableShape, kind: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterable[Difference]:
    for text, value in wanted.items():
        if text not in found:
            yield _difference(DIFFERS, live, kind, text, "is missing", value)
    for text, value in found.items():
        if text not in wanted:
            # Whoever made an index beside the table can drop it again; a constraint is part of it.
            severity = EXTRA if kind == "index" and value.sql else DIFFERS
            yield _difference(severity, live, kind, text, "is declared by no model", found=value)


def _compare_column(
    declared: TableShape, live: TableShape, wanted: Column, found: Column
) -> Iterable[Difference]:
    def differs(severity: str, kind: str, sentence: str) -> Difference:
        text = f"table '{live.name}': column '{found.name}' {sentence}"
        return Difference(severity, live.name, kind, found.name, text, wanted, found)

    exact = declared.strict or live.strict
    if affinity(wanted.type, exact) != affinity(found.type, exact):
        was = found.type or "without type"
        yield differs(DIFFERS, "type", f"is {was}, and should be {wanted.type}")
    # PRIMARY KEY means NOT NULL in SQL; that SQLite takes NULL there is an old fault that it keeps
    # (https://www.sqlite.org/quirks.html), and no reason to rebuild every table of an old database.
    if wanted.nullable != found.nullable and not (wanted.primary_key and found.primary_key):
        if wanted.nullable:
            yield differs(BREAKS, "nullability", "is NOT NULL, and the model may write NULL")
        else:
            yield differs(DIFFERS, "nullability", "may be NULL, and should be NOT NULL")
    if not _same_default(declared, wanted, found):
        was = f"default {found.default}" if found.default is not None else "no default"
        should = wanted.default if wanted.default is not None else "none"
        yield differs(DIFFERS, "default", f"has {was}, and should have {should}")
    name = fold(wanted.name)
    collations = [schema.collations.get(name, "binary") for schema in (declared, live)]
    if collations[0] != collations[1]:
        sentence = f"has collation {collations[1]}, and should have {collations[0]}"
        yield differs(DIFFERS, "collation", sentence)
    expressions = [schema.expressions.get(name) for schema in (declared, live)]
    if (wanted.generated, expressions[0]) != (found.generated, expressions[1]):
        was = should = "not generated"
        if expressions[1]:
            was = f"generated as ({expressions[1]}), {found.generated.lower()}"
        if expressions[0]:
            should = f"generated as ({expressions[0]}), {wanted.generated.lower()}"
        yield differs(DIFFERS, "generated", f"is {was}, and should be {should}")


def _difference(
    severity: str,
    live: TableShape,
    kind: str,
    subject: str,
    sentence: str,
    wanted: Any = None,
    found: Any = None,
) -> Difference:
    quoted = f" '{subject}'" if kind == "column" else f" {subject}" if subject else ""
    named = "" if kind in ("index", "option") else kind
    text = f"table '{live.name}': {named}{quoted} {sentence}".replace(":  ", ": ")
    return Difference(severity, live.name, kind, subject, text, wanted, found)


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
    while parts and parts[0].text == "(" and len(inner := inside(parts)) == len(parts) - 2:
        parts = inner
    text = spelling(parts)
    return {"true": "1", "false": "0"}.get(text, text)


def affinity(text: str, exact: bool = False) -> str:
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


def _key(table: TableShape) -> list[str]:
    key = [column for column in table.columns if column.primary_key]
    return [fold(c.name) for c in sorted(key, key=lambda c: c.primary_key)]


def _key_text(key: ForeignKey) -> str:
    columns = ", ".join(map(fold, key.columns))
    parent = f"{fold(key.parent)} ({', '.join(map(fold, key.parent_columns))})"
    return f"({columns}) to {parent} on delete {key.on_delete} on update {key.on_update}"
