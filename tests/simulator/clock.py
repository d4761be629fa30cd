"""The clock of a case: SQLite's stands still, Python's moves as the case says."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import apsw

SYSTEM = "clocked"  # the virtual file system whose connections go by this clock
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
JULIAN = 210866760000000  # milliseconds from the start of SQLite's days to that of Unix


class Clock:
    """``passed`` is what monotonic clocks count; ``jumped`` only moves the time of day."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.passed, self.jumped = 0.0, 0.0

    def monotonic(self) -> float:
        return self.passed

    def time(self) -> float:
        return (START + timedelta(seconds=self.passed + self.jumped)).timestamp()

    def now(self, zone: timezone) -> datetime:
        """No two answers are the same as long as nothing jumps."""
        self.passed += 0.001
        return datetime.fromtimestamp(self.time(), zone)


CLOCK = Clock()


class Clocked(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(SYSTEM, "")

    def xCurrentTimeInt64(self) -> int:  # noqa: N802
        # Rows have the same time in the database and in what it is compared with.
        return JULIAN + int(START.timestamp() * 1000)


REGISTERED = Clocked()


def set_clock(connection: Any) -> None:
    """Give a connection of Python's own driver this clock's CURRENT_TIMESTAMP."""
    connection.create_function("current_timestamp", 0, lambda: f"{START:%Y-%m-%d %H:%M:%S}")
