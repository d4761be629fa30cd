"""Wait until another process lets the database go, and say for whom.

Polls instead of sleeping in SQLite's busy handler, so that a signal ends the wait at once.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from server.migrations.engine.errors import DatabaseLocked

POLL = 0.05  # seconds
PATIENCE = 1.0  # seconds of waiting before it is worth a word
OnWait = Callable[[list[str]], None]
Result = TypeVar("Result")


def when_free(work: Callable[[], Result], path: Path, wait: float, on_wait: OnWait) -> Result:
    """What ``work`` gives, as soon as SQLite lets it; it is called anew each time.

    ``wait``: seconds; ``on_wait`` is called once, with the holders, when it takes long.  Raises
    DatabaseLocked.
    """
    started = time.monotonic()
    told = False
    while True:
        try:
            return work()
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc):
                raise
            from server.migrations.engine.processes import holders

            waited = time.monotonic() - started
            if waited >= wait:
                raise DatabaseLocked(str(path), wait, holders(path)) from exc
            if waited >= PATIENCE and not told:
                on_wait(holders(path))
                told = True
        time.sleep(min(POLL, max(0.0, wait - waited)))
