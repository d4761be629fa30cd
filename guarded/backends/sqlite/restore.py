"""Replace the database by a backup.

The backup is copied and checked before anything is replaced.  If SQLite can open the database, its
content is replaced in place, in one transaction with exclusive access, so that a process that has
the file open can't go on writing into a deleted file.  A copy of the old content is kept.

A damaged file is moved aside with its log and journal, which would corrupt the new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from guarded import copies, history
from guarded.backends.interface import Execute, OnProgress, Origin, Patience
from guarded.backends.sqlite import backup, inspect, processes
from guarded.backends.sqlite.connect import SqliteFile, companions
from guarded.backends.sqlite.lock import when_free
from guarded.errors import (
    BackupFailed,
    DamagedDatabase,
    DatabaseLocked,
    RestoreRefused,
)
from guarded.project import Project
from guarded.status import read_state


def restore(
    project: Project,
    file: Path,
    database: SqliteFile,
    patience: Patience,
    on_progress: OnProgress,
) -> Path | None:
    """Replace the database by the content of ``file``; return the copy of the old content.

    Refuses a file that is damaged, of something else, or of a newer version of this code.  Raises
    RestoreRefused and DatabaseLocked, and then nothing was touched.
    """
    path = database.path
    if not file.is_file():
        raise RestoreRefused(file, "there is no such file", "name a backup")
    if path.exists() and file.samefile(path):
        raise RestoreRefused(file, "it is the database itself", "name a backup")
    if (journal := Path(f"{file}-journal")).exists() and journal.stat().st_size:
        raise RestoreRefused(
            file,
            f"'{journal.name}' beside it says that it was copied in the middle of a write",
            "open it with SQLite once, which undoes that write, or name another backup",
        )
    with _staged(file, path, on_progress) as staging:
        with closing(backup.open_read_only(staging, "immutable=1")) as connection:
            _check_content(project, file, inspect.Inspector(connection.execute))
        aside = path.with_name(copies.copy_name(path.name, Origin.RESTORE))
        if path.exists() and not backup.check_openable(path):
            with suppress(DamagedDatabase):
                _replace_content(staging, path, aside, patience, on_progress)
                return aside
        return _replace_file(staging, path, aside)


def _check_content(project: Project, file: Path, inspector: inspect.Inspector) -> None:
    state = read_state(project, inspector)
    if unlisted := [name for name in state.applied if name not in project.listed]:
        raise RestoreRefused(
            file,
            f"it is ahead of this code, which does not list '{unlisted[0]}'",
            "update the code first",
        )
    if not inspector.has_table(history.TABLE) and not any(
        _has_key(inspector.execute, model) for model in project.models().persistent
    ):
        raise RestoreRefused(
            file, "it has none of this application's tables", "name a backup of this database"
        )


def _has_key(execute: Execute, model: Any) -> bool:
    """Return True if there is the model's table, with its key, and not only the name."""
    columns = [field.column_name for field in model._meta.get_primary_keys()]
    table = model._meta.table_name
    return inspect.has_table(execute, table) and all(
        inspect.has_column(execute, table, column) for column in columns
    )


@contextmanager
def _staged(file: Path, path: Path, on_progress: OnProgress) -> Iterator[Path]:
    """Make a checked copy beside the database, with what was only in the log of ``file``."""
    staging = path.with_name(f"{path.name}.restoring")
    for left in (staging, Path(f"{staging}.partial")):  # by a restore that was killed
        left.unlink(missing_ok=True)
    try:
        try:
            log = Path(f"{file}-wal")
            more = () if log.exists() and log.stat().st_size else ("immutable=1",)
            with closing(backup.open_read_only(file, *more)) as source:
                backup.copy(source, staging, path if path.exists() else path.parent, on_progress)
        except (BackupFailed, sqlite3.Error) as exc:
            why = exc.why if isinstance(exc, BackupFailed) else str(exc)
            raise RestoreRefused(file, why, "name a whole backup; nothing was touched") from exc
        yield staging
    finally:
        staging.unlink(missing_ok=True)


def _replace_content(
    staging: Path,
    path: Path,
    aside: Path,
    patience: Patience,
    on_progress: OnProgress,
) -> None:
    with (
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as target,
        closing(backup.open_read_only(staging, "immutable=1")) as source,
    ):
        # Exclusive mode keeps the lock between the transactions that follow.
        target.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            when_free(lambda: target.execute("BEGIN EXCLUSIVE"), path, patience)
        except DatabaseLocked as exc:
            users = processes.openers([path, *companions(path)])
            raise DatabaseLocked(str(path), patience.wait, users or exc.holders) from exc
        target.execute("COMMIT")
        backup.copy(target, aside, path, on_progress)  # also looks for damage
        # Out of the write-ahead log first: a database in it can't change its page size.
        target.execute("PRAGMA journal_mode = DELETE")
        source.backup(target)


def _replace_file(staging: Path, path: Path, aside: Path) -> Path | None:
    """Replace a database that is missing or damaged."""
    files = [found for found in (path, *companions(path)) if found.exists()]
    if users := processes.openers(files):
        raise DatabaseLocked(str(path), 0, users)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    for found in files:
        found.rename(aside.with_name(aside.name + found.name[len(path.name) :]))
    staging.chmod(mode)
    staging.rename(path)
    copies.sync(path.parent)
    return aside if files else None
