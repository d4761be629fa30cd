"""Complete and checked dumps of a database, by pg_dump.

A dump is of one moment, and others can write while it is made.  It gets its name only when it is
complete and pg_restore could read its list, so that a file with the name of a backup is one.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from guarded import copies
from guarded.backends.interface import Backup, OnProgress, Origin
from guarded.backends.postgresql import programs
from guarded.errors import BackupFailed

if TYPE_CHECKING:
    from guarded.backends.postgresql.connect import PostgresqlServer

ABANDONED = 3600.0  # seconds since the last write to a dump that is not complete


def take(server: PostgresqlServer, on_progress: OnProgress, *, by_hand: bool = False) -> Backup:
    """Dump the database into the folder of backups.

    Not while a transaction of this process has changed a table: pg_dump would wait for its lock for
    ever.  Raises BackupFailed, and then leaves nothing behind.
    """
    program = programs.find("pg_dump", server)
    reader = programs.find("pg_restore", server)
    folder = server.folder
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_abandoned(folder, server.file_name)
    except OSError as exc:
        why = f"the folder '{folder}' can't be made: {exc.strerror}"
        raise BackupFailed(Path(str(server)), why) from exc
    origin = Origin.BY_HAND if by_hand else Origin.RUN
    target = folder / copies.copy_name(server.file_name, origin)
    partial = target.with_name(f"{target.name}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        # Should a lock be in the way all the same, this says so instead of waiting for ever.
        command = [program, "-Fc", "--lock-wait-timeout=60s", "-f", str(partial)]
        programs.run([*command, "-d", programs.connection_string(server)], target, server)
        programs.run([reader, "--list", str(partial)], target)
        copies.complete(partial, target)
    except OSError as exc:
        raise BackupFailed(target, exc.strerror or str(exc)) from exc
    finally:
        partial.unlink(missing_ok=True)
    return Backup(target, is_whole=True, findings=())


def _remove_abandoned(folder: Path, name: str) -> None:
    for file in folder.iterdir():
        if file.name.startswith(f"{name}.") and file.name.endswith(".partial"):
            with suppress(FileNotFoundError):  # another process's, and complete by now
                if time.time() - file.stat().st_mtime > ABANDONED:
                    file.unlink()
