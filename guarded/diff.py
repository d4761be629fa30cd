"""Compare two schemas.

Spelling is not a difference: quotes, case, VARCHAR(255) for TEXT on SQLite, the name of an index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guarded.findings import Severity
from guarded.schema import Column, ForeignKey, Schema, Table

if TYPE_CHECKING:
    from guarded.backends.interface import Backend, Inspector
    from guarded.project import Project

BREAKS, DIFFERS, EXTRA = Severity.BREAKS, Severity.DIFFERS, Severity.EXTRA
RANK = {BREAKS: 0, DIFFERS: 1, EXTRA: 2}
Fold = Callable[[str], str]


@dataclass(frozen=True)
class Difference:
    """One thing that two schemas disagree about.

    ``kind`` is one of table, column, type, nullability, default, collation, generated, primary key,
    option, foreign key, check, index and module (of a virtual table).  ``wanted`` and ``found`` are
    the two values, None if there is none.
    """

    severity: Severity
    table: str
    kind: str
    subject: str
    sentence: str
    wanted: Any = None
    found: Any = None

    @property
    def is_breaking(self) -> bool:
        return self.severity is BREAKS

    @property
    def is_extra(self) -> bool:
        return self.severity is EXTRA


def with_models(
    project: Project, backend: Backend, inspector: Inspector | None
) -> tuple[Difference, ...]:
    """Compare the models with the live schema.  A missing database has no tables."""
    models = project.models().persistent
    if not models:
        return ()
    live = inspector.schema() if inspector else {}
    return compare(backend.declared(models), live, backend.names.fold)


def compare(declared: Schema, live: Schema, fold: Fold) -> tuple[Difference, ...]:
    """Return the differences in the order of the tables, the worst first within a table."""
    found: list[Difference] = []
    for name, table in declared.items():
        if name in live:
            differences = compare_tables(table, live[name], fold)
            found += sorted(differences, key=lambda d: RANK[d.severity])
        else:
            sentence = f"table '{table.name}' is missing"
            found.append(Difference(BREAKS, table.name, "table", table.name, sentence, table))
    for name, table in live.items():
        if name not in declared:
            sentence = f"table '{table.name}' is declared by no model"
            found.append(Difference(EXTRA, table.name, "table", table.name, sentence, found=table))
    return tuple(found)


def compare_tables(declared: Table, live: Table, fold: Fold) -> Iterable[Difference]:
    """Compare two tables of the same name."""
    if "virtual" in (declared.kind, live.kind):
        yield from _compare_virtual(declared, live, fold)
        return
    has = {fold(column.name): column for column in live.columns}
    for wanted in declared.columns:
        found = has.pop(fold(wanted.name), None)
        if found is None:
            yield _difference(BREAKS, live, "column", wanted.name, "is missing", wanted)
        else:
            yield from _compare_columns(declared, live, wanted, found, fold)
    for column in has.values():
        if column.nullable or column.default is not None or column.generated or column.primary_key:
            severity, sentence = EXTRA, "is declared by no model"
        else:
            severity, sentence = BREAKS, "must have a value, and no model gives it one"
        yield _difference(severity, live, "column", column.name, sentence, found=column)
    keys = [tuple(map(fold, table.key)) for table in (declared, live)]
    if keys[0] != keys[1]:
        sentence = f"is ({', '.join(keys[1])}), and should be ({', '.join(keys[0])})"
        yield _difference(BREAKS, live, "primary key", "", sentence, keys[0], keys[1])
    elif declared.is_numbered and not (live.is_numbered or "WITHOUT ROWID" in live.options):
        sentence = "is not numbered; the database will not assign ids"
        yield _difference(BREAKS, live, "primary key", "", sentence, keys[0], keys[1])
    for option in sorted(declared.options ^ live.options):
        is_wanted = option in declared.options
        sentence = "is missing" if is_wanted else "is declared by no model"
        yield _difference(DIFFERS, live, "option", option, sentence, is_wanted, not is_wanted)
    yield from _compare_each(
        live,
        "foreign key",
        {_key_text(key, fold): key for key in declared.foreign_keys},
        {_key_text(key, fold): key for key in live.foreign_keys},
    )
    yield from _compare_each(
        live,
        "check",
        {check.spelling: check for check in declared.checks},
        {check.spelling: check for check in live.checks},
    )
    yield from _compare_each(
        live,
        "index",
        {str(index): index for index in declared.indexes if index.origin != "pk"},
        {str(index): index for index in live.indexes if index.origin != "pk"},
    )


def _compare_virtual(declared: Table, live: Table, fold: Fold) -> Iterable[Difference]:
    """Only the names of the columns: all else is up to the module, and unknown without it."""
    if declared.kind != live.kind:
        should, was = declared.kind == "virtual", live.kind == "virtual"
        words = {True: "a virtual table", False: "an ordinary table"}
        sentence = f"is {words[was]}, and should be {words[should]}"
        yield _difference(BREAKS, live, "module", "", sentence, declared, live)
    elif declared.columns and live.columns:
        wanted = {fold(column.name): column for column in declared.columns}
        found = {fold(column.name): column for column in live.columns}
        for column in (c for name, c in wanted.items() if name not in found):
            yield _difference(BREAKS, live, "column", column.name, "is missing", column)
        for column in (c for name, c in found.items() if name not in wanted):
            sentence = "is declared by no model"
            yield _difference(EXTRA, live, "column", column.name, sentence, found=column)


def _compare_each(
    live: Table, kind: str, wanted: Mapping[str, Any], found: Mapping[str, Any]
) -> Iterable[Difference]:
    for text, value in wanted.items():
        if text not in found:
            yield _difference(DIFFERS, live, kind, text, "is missing", value)
    for text, value in found.items():
        if text not in wanted:
            # An index can be dropped on its own; a constraint is a part of the table.
            severity = EXTRA if kind == "index" and value.sql else DIFFERS
            yield _difference(severity, live, kind, text, "is declared by no model", found=value)


def _compare_columns(
    declared: Table, live: Table, wanted: Column, found: Column, fold: Fold
) -> Iterable[Difference]:
    def differs(severity: Severity, kind: str, sentence: str) -> Difference:
        text = f"table '{live.name}': column '{found.name}' {sentence}"
        return Difference(severity, live.name, kind, found.name, text, wanted, found)

    if wanted.storage != found.storage:
        was = found.type or "without type"
        yield differs(DIFFERS, "type", f"is {was}, and should be {wanted.type}")
    # PRIMARY KEY means NOT NULL in SQL.  SQLite accepts NULL there, an old bug that it keeps
    # (https://www.sqlite.org/quirks.html), and not a reason to rebuild tables of old databases.
    if wanted.nullable != found.nullable and not (wanted.primary_key and found.primary_key):
        if wanted.nullable:
            yield differs(BREAKS, "nullability", "is NOT NULL, and the model may write NULL")
        else:
            yield differs(DIFFERS, "nullability", "may be NULL, and should be NOT NULL")
    if not _same_default(declared, wanted, found, fold):
        was = f"default {found.default}" if found.default is not None else "no default"
        should = wanted.default if wanted.default is not None else "none"
        yield differs(DIFFERS, "default", f"has {was}, and should have {should}")
    if wanted.collation != found.collation:
        sentence = f"has collation {found.collation}, and should have {wanted.collation}"
        yield differs(DIFFERS, "collation", sentence)
    if (wanted.generated, wanted.expression) != (found.generated, found.expression):
        was, should = _generated(found), _generated(wanted)
        yield differs(DIFFERS, "generated", f"is {was}, and should be {should}")


def _generated(column: Column) -> str:
    if not column.generated:
        return "not generated"
    return f"generated as ({column.expression}), {column.generated.lower()}"


def _difference(
    severity: Severity,
    live: Table,
    kind: str,
    subject: str,
    sentence: str,
    wanted: Any = None,
    found: Any = None,
) -> Difference:
    quoted = f" '{subject}'" if kind == "column" else f" {subject}" if subject else ""
    named = "" if kind in ("index", "option", "module") else kind
    text = f"table '{live.name}': {named}{quoted} {sentence}".replace(":  ", ": ")
    return Difference(severity, live.name, kind, subject, text, wanted, found)


def _same_default(declared: Table, wanted: Column, found: Column, fold: Fold) -> bool:
    # Of another type, the same text has another meaning; then the type is the difference.
    if found.meaning == wanted.meaning or found.default == wanted.default:
        return True
    python = declared.python_defaults.get(fold(wanted.name))
    return wanted.default is None and python is not None and found.meaning == python


def _key_text(key: ForeignKey, fold: Fold) -> str:
    return str(
        key._replace(
            columns=tuple(map(fold, key.columns)),
            parent=fold(key.parent),
            parent_columns=tuple(map(fold, key.parent_columns)),
        )
    )
