"""Sign-in codes that were sent by e-mail; in memory only."""

from __future__ import annotations

import secrets
import threading
import time

LIFE = 600.0  # seconds
TRIES = 5
MOST = 10_000  # codes at a time; the oldest goes first


class Codes:
    """One code for an address at a time.  Safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: dict[str, tuple[str, float]] = {}

    def make(self, email: str) -> str:
        """A new code of six digits, in the place of an older one."""
        code = six_digits()
        with self._lock:
            self._codes.pop(email, None)
            while len(self._codes) >= MOST:
                del self._codes[next(iter(self._codes))]
            self._codes[email] = (code, time.monotonic() + LIFE)
        return code

    def take(self, email: str, code: str) -> bool:
        """Use a code up; False, in the same time, for a wrong one and where there is none."""
        with self._lock:
            known, until = self._codes.get(email, ("", 0.0))
            is_right = secrets.compare_digest(known.encode(), code.encode())
            if is_right and (is_right := time.monotonic() < until):
                del self._codes[email]
            return is_right

    def give_back(self, email: str, code: str) -> None:
        """Make a code valid again, because the sign-in that used it could not be written."""
        with self._lock:
            self._codes.setdefault(email, (code, time.monotonic() + LIFE))

    def drop(self, email: str) -> None:
        """Forget the code after too many wrong tries."""
        with self._lock:
            self._codes.pop(email, None)

    def forget_old(self) -> None:
        now = time.monotonic()
        with self._lock:
            for email in [e for e, (_, until) in self._codes.items() if until < now]:
                del self._codes[email]


def six_digits() -> str:
    return f"{secrets.randbelow(1_000_000):06}"
