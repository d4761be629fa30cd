"""What a person sees at a terminal, recorded by tmux: ``python -m tests.recordings`` writes the page.

Each scene is a database to begin with and the command lines that are typed.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT, copy_legacy, migration, project_files

PAGE = ROOT / "docs" / "recordings.md"
MIGRATE = "python migrations/migrate.py"
HYBRID = "update_meetings_hybrid_storage"
FAILING = migration(
    """
    migrator.migrate(
        migrator.add_column("meetings", "color", CharField(null=True)),
        migrator.sql("UPDATE meetings SET color = 'blue' WHERE titel = 'Standup'"),
    )
    """
)


class Scene(NamedTuple):
    """``legacy`` names a database of tests/legacy, to which ``meetings`` are added; ``is_migrated``
    and ``fails`` say what was done before.  A ``watched`` scene is looked at while it runs."""

    title: str
    command: str
    legacy: str | None = None
    meetings: int = 0
    is_migrated: bool = False
    fails: bool = False
    watched: bool = False


SCENES = (
    Scene("The first run", MIGRATE),
    Scene("Nothing to do", MIGRATE, "after3", is_migrated=True),
    Scene("What a run would do", f"{MIGRATE} plan", "after3"),
    Scene("Where each migration stands", f"{MIGRATE} status", "after3"),
    Scene("A migration that fails", MIGRATE, "after3", is_migrated=True, fails=True),
    Scene("A way back that loses rows", f"{MIGRATE} down {HYBRID}", "after3", is_migrated=True),
    Scene("500,000 meetings", MIGRATE, "after3", meetings=500_000, watched=True),
)
ADD_MEETINGS = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?)
INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time, status, source_user_id)
SELECT 'mtg_many_' || n, 'Meeting ' || n, 'user' || n % 1000, '2025-12-12 10:00:00',
    '2025-12-12 11:00:00', 'ended', 'source' || n FROM number
"""


def set_up(scene: Scene, folder: Path) -> Path:
    """Put the project and the scene's database into the folder; return where the person stands."""
    for name in project_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    server = folder / "server"
    (folder / "data").mkdir(exist_ok=True)
    path = folder / "data" / "meetings.sqlite"
    if scene.legacy is not None:
        copy_legacy(scene.legacy, path)
    if scene.meetings:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(ADD_MEETINGS, [scene.meetings])
    if scene.is_migrated:
        run = [sys.executable, "migrations/migrate.py", "up", "--no-backup"]
        subprocess.run(run, cwd=server, env=environment(), check=True, stdout=subprocess.DEVNULL)
    if scene.fails:
        (server / "migrations" / "add_color.py").write_text(FAILING)
        listing = server / "migrations" / "migrate.py"
        last = '    "add_user_links",\n'
        listing.write_text(listing.read_text().replace(last, f'{last}    "add_color",\n'))
    return server


def environment() -> dict[str, str]:
    """That of a person who has activated the project's environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), "TERM": "xterm", "LANG": "C.UTF-8"}


def masked(text: str, *, times: bool = True) -> str:
    """Without what differs from run to run: times, stamps, the folder, a default that stands in."""
    text = re.sub(r"/\S+/data/", "/…/data/", text)
    text = re.sub(r"X''[0-9a-f]{32}''", "X''…''", text)
    text = re.sub(r"\d+\.\d+ s\b", "0.1 s", text) if times else text
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-22 10:15:00", text)
    text = re.sub(r"\d{8}T\d{6}\.\d{6}Z", "20261122T101500.123456Z", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
