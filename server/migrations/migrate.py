"""Change the schema of the meeting server's database: ``python migrations/migrate.py``.

playhouse's SchemaMigrator, guarded by introspection: the package ``guarded`` looks before each of
its operations, runs all that is pending in one transaction, and keeps a way back.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
if not __package__:  # run as a file: find the packages, whatever the working directory is
    sys.path[0] = str(HERE.parents[2])
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until the command runs: end without a traceback

from guarded.cli.commands import run
from guarded.project import Models, Project
from server import __version__, settings

# In the order in which they run.  A new one goes to the end; an applied one is never edited.
MIGRATIONS = [
    "add_hmac_auth",
    "add_meetings_system",
    "add_server_settings",
    "update_meetings_hybrid_storage",
    "add_user_links",
]

# Files of the former server's time that are never run, and why.
EXCLUDED = {
    "001_external_session_boolean_admitted": "ExternalSession is in memory only",
    "add_device_id_to_sessions": "add_hmac_auth does it",
    "add_meeting_invitations": "duplicates add_meetings_system",
    "run_hybrid_storage_migration.py.standalone": "standalone test script",
    "index": "the old automatic runner, deprecated",
}

# Checksums of earlier texts of a migration that mean the same to a database that has it.
REWORDED = {
    "update_meetings_hybrid_storage": [
        "a3bcdcaecd5c4c41eaea4807e7c9ee5ec351ac531bbdc6b0dadaaae7b6ddf306",
        "83f7ae6af34bcc83fc048708bb5548b61a78eb1e2f26502036fc476cd5783bb3",
        "827e6a09034e115007dfd83fb4f4cbb0d0ee0ebf49013ab5d81b1f271f56c9b8",
    ],
}


def models() -> Models:
    from server.db.model import IN_MEMORY, PERSISTENT

    return Models(PERSISTENT, IN_MEMORY)


def migrator(database: Any) -> Any:
    from playhouse.migrate import SchemaMigrator

    return SchemaMigrator.from_database(database)


PROJECT = Project(
    name="meeting-server",
    version=__version__,
    directory=HERE.parent,
    listed=MIGRATIONS,
    excluded=EXCLUDED,
    reworded=REWORDED,
    models=models,
    migrator=migrator,
    location=settings.database_location,
    listing=HERE,
    command="python migrations/migrate.py",
    backups=settings.data_folder() / "backups",
)


def main() -> None:
    run(PROJECT)


if __name__ == "__main__":
    main()
