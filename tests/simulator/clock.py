"""The clock of a case: the real one, or one that stands still until the case moves it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import apsw

SYSTEM = "clocked"  # the virtual file system whose connections go by this clock
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
JULIAN = 210866760000000  # milliseconds from the start of SQLite's days to that of Unix


class Clock:
    """``passed`` is what monotonic clocks count; ``jumped`` only moves the time of day."""

    def __init__(self) -> None:
        self.real_time = time.time
        self.is_still, self.passed, self.jumped = False, 0.0, 0.0

    def reset(self, *, is_still: bool) -> None:
        self.is_still, self.passed, self.jumped = is_still, 0.0, 0.0

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
        now = START.timestamp() if CLOCK.is_still else CLOCK.real_time()
        return JULIAN + int(now * 1000)


REGISTERED = Clocked()
