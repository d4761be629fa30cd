"""Errors of the engine.  Each says what is the case and what to do.

The command line adds the option that helps, and whether anything was changed.

MigrationError
├── UnusableDatabase      the location names no database, or one that can't be opened
│   └── MissingDatabase       there is none, and this command needs one
├── UnknownMigration      no migration of that name is listed
├── UnusableMigration     its file can't be loaded, or has no up() or down()
├── UnusableName          a new migration can't have this name
├── UnusableFolder        a new project can't have this folder
├── UnusableFile          a file may not be written, or a folder of backups not be read
├── MissingProgram        another program is needed, and is not installed
├── InconsistentHistory   files, list and history contradict each other
│   ├── MissingMigration      listed, but there is no such file
│   ├── ChangedMigration      edited after it was applied
│   ├── AheadDatabase         applied, but not listed: the database is newer than the code
│   ├── RenamedMigration      applied under another name
│   └── OutOfOrder            the list's order contradicts the order in the history
├── ForeignHistory        the table schema_history belongs to another tool
├── DatabaseLocked        another process keeps the write lock
├── UnforeseenLock        another session keeps a lock that a statement needs, and no step named
├── DatabaseFailed        SQLite failed: disk, permissions, damage
├── BackupFailed          the database could not be copied
│   └── DamagedDatabase       because it is damaged
├── KeptFailed            the values that a drop loses could not be kept
├── RestoreRefused        this file can't replace the database
├── Refused               the operation would lose something
│   ├── OnlyCopy              an interrupted rebuild of another tool left the rows elsewhere
│   ├── RowsDoNotFit          rows break the new constraint
│   ├── ValuesDoNotFit        the other database can't hold these values
│   └── InMemoryTable         the table is not in the database file
├── MigrationFailed       an exception inside a migration
└── BrokenPromise         a migration changed what no step announced; found before COMMIT
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class MigrationError(Exception):
    """The message is one line.

    ``is_damage``: the database is damaged; a backup mends it.  ``place``: the verb, line and file
    of the migration that it is about.
    """

    is_damage = False
    place = ""

    def __str__(self) -> str:
        return f"{super().__str__()} ({self.place})" if self.place else super().__str__()


class UnusableDatabase(MigrationError):
    """The database can't be opened as it is."""

    def __init__(
        self, where: str | Path, why: str, remedy: str, *, is_damage: bool = False
    ) -> None:
        self.where, self.why, self.remedy = str(where), why, remedy
        self.is_damage = is_damage
        super().__init__(f"'{where}' {why}; {remedy}")


class MissingDatabase(UnusableDatabase):
    def __init__(self, where: str | Path) -> None:
        super().__init__(where, "does not exist", "name another, or make it")


class UnknownMigration(MigrationError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        self.name, self.known = name, tuple(known)
        super().__init__(f"no migration is named '{name}'{_choices(name, known)}")


class UnusableMigration(MigrationError):
    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"'{name}' can't be run: {why}")


class UnusableName(MigrationError):
    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(f"no new migration can be named '{name}': {why}")


class UnusableFolder(MigrationError):
    def __init__(self, folder: Path, why: str, remedy: str) -> None:
        self.folder, self.why, self.remedy = folder, why, remedy
        super().__init__(f"'{folder}' {why}; {remedy}")


class UnusableFile(MigrationError):
    def __init__(self, file: Path, why: str, remedy: str) -> None:
        self.file, self.why, self.remedy = file, why, remedy
        super().__init__(f"'{file}' {why}; {remedy}")


class MissingProgram(MigrationError):
    def __init__(self, program: str, use: str, remedy: str) -> None:
        self.program, self.use, self.remedy = program, use, remedy
        super().__init__(f"the program '{program}' is not installed, and is needed {use}; {remedy}")


class InconsistentHistory(MigrationError):
    """Files, list and history contradict each other."""


class MissingMigration(InconsistentHistory):
    def __init__(self, name: str, path: Path, applied_at: str | None) -> None:
        self.name, self.path, self.applied_at = name, path, applied_at
        since = f", and was applied on {applied_at}" if applied_at else ""
        super().__init__(
            f"'{name}' is listed{since}, but its file '{path}' is missing; restore the file"
        )


class ChangedMigration(InconsistentHistory):
    def __init__(self, name: str, path: Path, applied_at: str) -> None:
        self.name, self.path, self.applied_at = name, path, applied_at
        super().__init__(
            f"'{name}' was edited after it was applied on {applied_at}; restore the file "
            f"'{path}', and put the change into a new migration"
        )


class AheadDatabase(InconsistentHistory):
    def __init__(self, unlisted: Sequence[tuple[str, str]]) -> None:
        self.unlisted = tuple(unlisted)
        names = ", ".join(f"'{name}' (applied on {at})" for name, at in unlisted)
        super().__init__(
            f"the database is ahead of this code: {names} is not listed; update the code, or "
            "restore a backup from before"
        )


class RenamedMigration(InconsistentHistory):
    def __init__(self, old: str, new: str, applied_at: str) -> None:
        self.old, self.new, self.applied_at = old, new, applied_at
        super().__init__(
            f"'{new}' has the text of '{old}', which was applied on {applied_at} and is not listed "
            "any more; give the file its old name back, or record the new one"
        )


class OutOfOrder(InconsistentHistory):
    def __init__(self, name: str, after: str, applied_at: str, pending: bool) -> None:
        self.name, self.after, self.applied_at, self.pending = name, after, applied_at, pending
        if pending:
            self.why = f"'{name}' is pending, but listed before '{after}', which was applied on "
            self.why += applied_at
            self.remedy = f"move '{name}' to the end of the list"
        else:
            self.why = f"'{name}' is listed before '{after}', but was applied after it, on "
            self.why += applied_at
            self.remedy = "put the list back into the order of the history"
        super().__init__(f"{self.why}; {self.remedy}")


class ForeignHistory(MigrationError):
    def __init__(self, table: str, columns: Sequence[str]) -> None:
        """``table`` with its kind, for it may be a view."""
        self.table, self.columns = table, tuple(columns)
        known = f": its columns are {', '.join(columns)}" if columns else ""
        self.why = f"{table} belongs to another tool{known}"
        self.remedy = "rename or drop it, so that this tool can keep its history there"
        super().__init__(f"{self.why}; {self.remedy}")


class DatabaseLocked(MigrationError):
    def __init__(self, where: str, waited: float, holders: Sequence[str]) -> None:
        self.where, self.waited, self.holders = where, waited, tuple(holders)
        by = f" by {', '.join(holders)}" if holders else ""
        super().__init__(
            f"database is locked{by}: waited {waited:g} s for '{where}'; stop that process or wait "
            "longer"
        )


class UnforeseenLock(MigrationError):
    """``tables`` are those that ``statement`` may need; the run can lock them first, and try again.
    Without any, it is known that the lock was not given, and no more."""

    def __init__(
        self, where: str, waited: float, statement: str, tables: frozenset[str] = frozenset()
    ) -> None:
        self.where, self.statement, self.tables = where, statement, tables
        line = " ".join(statement.split())
        by = f" by: {line}" if line else ""
        super().__init__(
            f"another session keeps a lock on a table that no step names: waited {waited:g} s for "
            f"'{where}'{by}; end that session, or run it again"
        )


class DatabaseFailed(MigrationError):
    def __init__(self, where: str, cause: str, remedy: str, *, is_damage: bool = False) -> None:
        self.where, self.cause, self.is_damage = where, cause, is_damage
        super().__init__(f"'{where}': {cause}; {remedy}")


class BackupFailed(MigrationError):
    def __init__(self, where: Path, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"no copy at '{where}': {why}; fix that, or go without a backup")


class DamagedDatabase(BackupFailed):
    """The database is damaged, and so would be its copy."""

    is_damage = True

    def __init__(self, where: Path, why: str) -> None:
        self.where, self.why = where, f"the database is damaged: {' '.join(why.split())}"
        MigrationError.__init__(self, f"no copy at '{where}': {self.why}; restore a backup")


class KeptFailed(MigrationError):
    """The values that a drop loses could not be kept."""

    def __init__(self, path: Path, why: str) -> None:
        self.path, self.why = path, why
        super().__init__(f"dropped values can't be kept in '{path}': {why}; fix that")


class RestoreRefused(MigrationError):
    def __init__(self, file: Path, why: str, remedy: str) -> None:
        self.file, self.why, self.remedy = file, why, remedy
        super().__init__(f"'{file}' was not restored: {why}; {remedy}")


class Refused(MigrationError):
    """The operation would lose something.  The message names what is in the way."""


class RowsDoNotFit(Refused):
    """Rows break the new constraint; the message says how many."""


class ValuesDoNotFit(Refused):
    """``values`` has a sentence about each of them, up to a number of them."""

    def __init__(self, values: Sequence[str], count: int, remedy: str) -> None:
        self.values, self.count = tuple(values), count
        number = "1 value does" if count == 1 else f"{count} values do"
        super().__init__(f"{number} not fit, the first: {self.values[0]}; {remedy}")


class InMemoryTable(Refused):
    def __init__(self, table: str, model: str) -> None:
        self.table, self.model = table, model
        super().__init__(
            f"'{table}' lives in memory only, and no migration can reach it; change the model "
            f"{model} instead and restart the server"
        )


class OnlyCopy(Refused):
    def __init__(self, story: str, remedy: str) -> None:
        self.story, self.remedy = story, remedy
        super().__init__(f"{story}; {remedy}")


class MigrationFailed(MigrationError):
    """``is_sure``: it would fail in the same way whatever the rows are.  ``statement`` is the last
    one that was sent."""

    def __init__(
        self,
        name: str,
        direction: str,
        cause: str,
        where: str,
        *,
        is_sure: bool = False,
        statement: str = "",
    ) -> None:
        self.name, self.direction, self.cause, self.where = name, direction, cause, where
        self.is_sure, self.statement = is_sure, statement
        super().__init__(f"{direction} of '{name}' failed: {cause}{where}")


class NotSafeTwice(MigrationError):
    """The first run of a migration went well, and a second one failed."""

    def __init__(self, name: str, cause: MigrationError) -> None:
        self.name = name
        super().__init__(
            f"'{name}' ran once, and is not safe to run twice: {cause}; "
            "make its steps skip what is done"
        )


class BrokenPromise(MigrationError):
    def __init__(self, findings: Sequence[str]) -> None:
        self.findings = tuple(findings)
        super().__init__(f"rolled back: {'; '.join(findings)}")


def line_in(path: Path, exc: BaseException) -> int | None:
    """Return the line of the file that the exception came through last."""
    import traceback

    frames = traceback.extract_tb(exc.__traceback__)
    return next((f.lineno for f in reversed(frames) if Path(f.filename) == path), None)


MANY = 8  # names of migrations in one message


def nearest(name: str, known: Sequence[str]) -> str:
    """Return "; did you mean …?" with the nearest name, or an empty string."""
    near = closest(name, known)
    return "" if near is None else f"; did you mean '{near}'?"


def closest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that is spelled most alike, if one is near enough."""
    from difflib import get_close_matches

    spelled = {other.lower(): other for other in known}
    near = get_close_matches(name.lower(), spelled, n=1)
    return spelled[near[0]] if near else None


def _choices(name: str, known: Sequence[str]) -> str:
    """The nearest name, or all, or of many the newest."""
    if not known or (near := nearest(name, known)):
        return near if known else "; none is listed"
    if len(known) > MANY:
        return f"; the newest of {len(known)} are {', '.join(known[-MANY:])}"
    return f"; there are {', '.join(known)}"
