"""Examine an SQLite database from the outside in, for doctor.

Reads only, and looks at the files before SQLite opens them.
"""

from __future__ import annotations

import functools
import re
import shlex
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from guarded.backends.interface import Execute, Origin, Patience
from guarded.backends.sqlite import backup, inspect, integrity, leftovers, processes, unknown
from guarded.backends.sqlite.backup import megabytes
from guarded.backends.sqlite.connect import SqliteFile, companions
from guarded.backends.sqlite.files import look_around
from guarded.backends.sqlite.health import ailments
from guarded.backends.sqlite.text import literal, quote
from guarded.findings import Finding, Severity
from guarded.project import Project
from guarded.status import tables_of
from guarded.steps import Kind

NOT_UTF8 = re.compile("[\udc80-\udcff]")  # how a connection hands on such bytes: surrogateescape
BEYOND_ASCII = "*[^\1-\x7f]*"  # for GLOB


def examine(file: SqliteFile, project: Project, patience: Patience) -> Iterator[Finding]:
    path = file.path
    yield from _survived("files", lambda: look_around(path))
    yield from _survived("in use", lambda: _users(path))
    yield from _survived("backups", lambda: _backups(path, project))
    with file.reading(patience) as inspector:
        if inspector is None:
            return
        for subject, look in (
            ("journal mode", _journal_mode),
            ("integrity", functools.partial(_integrity, path)),
            ("foreign keys", _foreign_keys),
            ("leftover", _leftovers),
            ("keys", _empty_keys),
            ("ids", _id_marks),
            ("views and triggers", _broken),
            ("schema", _texts),
            ("texts", _texts_in_rows),
        ):
            yield from _survived(subject, functools.partial(look, inspector, project))


def _survived(subject: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """One examination; that it failed is a finding, too."""
    try:
        yield from look()
    except Exception as exc:  # a patient in any state
        thing = unknown.named_in(str(exc))
        severity = Severity.NOTE if thing else Severity.PROBLEM
        why = f"{thing} is not known here" if thing else f"{type(exc).__name__}: {exc}"
        remedy = "" if thing else "see the other findings; a damaged file needs a backup"
        yield Finding(severity, subject, f"could not be examined: {why}", remedy)


def _users(path: Path) -> Iterator[Finding]:
    for user in processes.openers([path, *companions(path)]):
        yield Finding(Severity.NOTE, "in use", f"{user} has it open")
    for holder in processes.holders(path):
        yield Finding(
            Severity.WARNING,
            "lock",
            f"{holder} holds a write lock",
            "wait for it, or stop that process",
        )


def _backups(path: Path, project: Project) -> Iterator[Finding]:
    copies = backup.copies_of(path)
    aside = [copy for copy in copies if copy.origin is Origin.RESTORE]
    taken = [copy for copy in copies if copy.origin is not Origin.RESTORE]
    if taken:
        size = megabytes(sum(copy.size for copy in taken))
        sentence = f"{len(taken)}, {size}, the newest is '{taken[-1].path}'"
        yield Finding(Severity.FINE, "backups", sentence)
    else:
        yield Finding(Severity.NOTE, "backups", "there is none", f"{project.command} backup")
    if aside:
        size = megabytes(sum(copy.size for copy in aside))
        sentence = f"{len(aside)} that restore put aside, {size}, the newest is '{aside[-1].path}'"
        yield Finding(Severity.FINE, "backups", sentence)


def _journal_mode(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    ((mode,),) = inspector.execute("PRAGMA journal_mode")
    yield Finding(Severity.FINE, "journal mode", mode)


def _integrity(path: Path, inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    found = integrity.check(inspector.execute, deep=True)
    newest = shlex.quote(str(taken[-1])) if (taken := backup.backups_of(path)) else None
    remedy = f"{project.command} restore {newest}" if newest else "restore a backup"
    yield from integrity.findings(found, remedy)


def _foreign_keys(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    execute = inspector.execute
    for child in inspect.kinds_of_tables(execute):
        if not (keys := inspect.foreign_keys(execute, child)):
            continue
        try:
            rows = list(execute(f"PRAGMA foreign_key_check({quote(child)})"))
        except sqlite3.OperationalError as exc:
            if "mismatch" not in str(exc):
                raise
            yield Finding(
                Severity.WARNING,
                "foreign keys",
                f"table '{child}': {'; '.join(map(str, keys))}: the columns referred to are not "
                "unique, so every write fails while foreign keys are on",
                "make them unique with an index, or drop the foreign key",
            )
            continue
        for parent in sorted({str(row[2]) for row in rows}):
            count = sum(row[2] == parent for row in rows)
            yield Finding(
                Severity.WARNING,
                "foreign keys",
                f"{count} rows of '{child}' refer to no row of '{parent}'",
                f"PRAGMA foreign_key_check('{child}') lists them: correct or delete them",
            )


def _leftovers(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    return leftovers.findings(inspector.execute, tables_of(project))


def _id_marks(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    if not inspector.has_table("sqlite_sequence"):
        return
    rows = inspector.execute(
        "SELECT name FROM sqlite_sequence WHERE typeof(seq) <> 'integer' OR name IS NULL"
    )
    for (table,) in list(rows):
        if table is None or not inspector.has_table(table):
            words = "no table's name" if table is None else f"the name '{table}' of no table"
            remedy = f"DELETE FROM sqlite_sequence WHERE name IS {literal(table)}"
            yield Finding(
                Severity.WARNING, "ids", f"sqlite_sequence has a row with {words}", remedy
            )
            continue
        yield Finding(
            Severity.WARNING,
            "ids",
            f"sqlite_sequence has no number for table '{table}': ids may be given out twice",
            f"UPDATE sqlite_sequence SET seq = (SELECT max(rowid) FROM {quote(table)}) "
            f"WHERE name = {literal(table)}",
        )


def _broken(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    for target, why in ailments(inspector.execute).items():
        if target.kind is not Kind.FOREIGN_KEY:
            remedy = "drop it, or make it anew"
            sentence = f"{target.described} can't be used: {why}"
            yield Finding(Severity.WARNING, "views and triggers", sentence, remedy, target)


def _texts(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    for item in inspect.objects(inspector.execute):
        if NOT_UTF8.search(item.sql or ""):
            yield Finding(
                Severity.WARNING,
                "schema",
                f"the text of {item} has bytes that are no UTF-8",
                "a verb that has to write that text anew will refuse; nothing else does",
            )


def _texts_in_rows(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    """SQLite stores any bytes as a text; Python and PostgreSQL then refuse to read them."""
    for table, kind in inspect.kinds_of_tables(inspector.execute).items():
        if kind == "table" and not table.startswith("sqlite_"):
            for column, rows in _not_utf8(inspector.execute, table).items():
                have = "1 row has" if rows == 1 else f"{rows} rows have"
                yield Finding(
                    Severity.WARNING,
                    "texts",
                    f"table '{table}': {have} a text in '{column}' that is no UTF-8",
                    "an application may fail to read it: read it as CAST(… AS BLOB), decode it "
                    "as what it was written in, often latin-1, and write it anew",
                )


def _not_utf8(execute: Execute, table: str) -> Counter[str]:
    """Count such texts of each column.  SQLite sorts out the plain ones, where nearly all are."""
    columns = [column.name for column in inspect.columns(execute, table) if not column.generated]
    texts = [f"iif(typeof({quote(name)}) = 'text', {quote(name)}, NULL)" for name in columns]
    # GLOB reads no further than a NUL.
    odd = " OR ".join(f"{text} GLOB ?1 OR instr({text}, char(0))" for text in texts)
    rows = execute(
        f"SELECT {', '.join(texts)} FROM {inspect.unindexed(execute, table)} WHERE {odd}",
        (BEYOND_ASCII,),
    )
    return Counter(
        column
        for row in rows
        for column, text in zip(columns, row)
        if text is not None and NOT_UTF8.search(text)
    )


def _empty_keys(inspector: inspect.Inspector, project: Project) -> Iterator[Finding]:
    """SQLite lets NULL into a primary key that is no integer, https://sqlite.org/quirks.html."""
    for table in tables_of(project):
        for column in inspect.primary_key(inspector.execute, table):
            if rows := inspector.count(table, f"{SqliteFile.names.quote(column)} IS NULL"):
                yield Finding(
                    Severity.WARNING,
                    "keys",
                    f"{rows} rows of '{table}' have no {column}, which is their primary key",
                    f"give them one, or delete them: {column} IS NULL",
                )
