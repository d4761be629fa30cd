"""Databases to measure on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from guarded.backends.sqlite.connect import SqliteFile
from guarded.run import Runner
from server.migrations.migrate import MIGRATIONS, PROJECT


def before_hybrid_storage(path: Path, meetings: int) -> None:
    """The schema before migration 4, with so many meetings and two participants for each."""
    Runner(PROJECT, SqliteFile(path), backup=False).up(MIGRATIONS[2])
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        connection.execute(
            f"""
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {meetings})
            INSERT INTO meetings (meeting_id, title, description, created_by, start_time, end_time,
                source_channel_id, max_participants, invitation_token)
            SELECT 'mtg_' || lower(hex(randomblob(6))), 'Meeting ' || i, 'Agenda of meeting ' || i,
                lower(hex(randomblob(16))), '2025-12-12 10:00:00.000 +00:00',
                '2025-12-12 11:00:00.000 +00:00', NULL, i % 50,
                CASE WHEN i % 3 = 0 THEN lower(hex(randomblob(16))) END
            FROM n
            """
        )
        connection.execute(
            "INSERT INTO meeting_participants (meeting_id, user_id) "
            "SELECT meeting_id, lower(hex(randomblob(16))) FROM meetings, (SELECT 1 UNION SELECT 2)"
        )
        connection.execute("COMMIT")


def without_history(path: Path) -> None:
    """As another tool would find it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("DROP TABLE schema_history")


def statements(path: Path) -> list[str]:
    """What `up` would execute on this database."""
    return [sql for part in statements_by_migration(path) for sql in part]


def statements_by_migration(path: Path) -> list[list[str]]:
    forecast = Runner(PROJECT, SqliteFile(path)).forecast()
    return [[sql for step in o.steps for sql in step.statements] for o in forecast.outcomes]


def rebuild_by_hand(path: Path, definition: str = "INTEGER NOT NULL") -> list[str]:
    """meetings with another max_participants, as SQLite's manual has it."""
    with closing(sqlite3.connect(path)) as connection:
        (text,) = connection.execute(
            "SELECT sql FROM sqlite_master WHERE name = 'meetings'"
        ).fetchone()
        indexes = connection.execute(
            "SELECT sql FROM sqlite_master WHERE type = 'index' AND tbl_name = 'meetings' AND sql "
            "IS NOT NULL"
        ).fetchall()
        names = ", ".join(row[1] for row in connection.execute("PRAGMA table_info(meetings)"))
    wanted = text.replace('"max_participants" INTEGER', f'"max_participants" {definition}')
    assert wanted != text
    return [
        wanted.replace('"meetings"', '"meetings_new"', 1),
        f"INSERT INTO meetings_new ({names}) SELECT {names} FROM meetings",
        "DROP TABLE meetings",
        "PRAGMA legacy_alter_table = ON",
        "ALTER TABLE meetings_new RENAME TO meetings",
        "PRAGMA legacy_alter_table = OFF",
        *(sql for (sql,) in indexes),
    ]
