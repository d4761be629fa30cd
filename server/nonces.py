"""Nonces that signed requests have used up, so that no request counts twice.

The rule: every nonce of an accepted request that was created at or after the floor is on record,
and nothing created before the floor is accepted.  The floor only rises.

- A clock that is set back brings no request back: the floor stays, and so does the record.
- Housekeeping forgets a nonce only by raising the floor above it.
- A database that was replaced, or restored from a backup, takes nothing back: the record is in
  memory, and in the file ``….nonces`` beside the database, which no backup holds.  The next process
  reads that file.  A power cut may lose its last lines; a request that writes has its nonce in the
  table ``nonce_cache``, too, on the disk before the work begins.

A clock that was years ahead leaves a floor in the future.  Then every request is refused until
somebody removes the file; the start says so.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from hashlib import blake2b
from pathlib import Path

from server.db.folders import write_private
from server.db.troubles import Trouble, Unusable

log = logging.getLogger("server")

TOLERANCE = 300  # seconds that ``created`` may differ from our clock
KEPT = 2 * TOLERANCE  # the oldest nonce that a clock 5 minutes behind could use again
BUCKET = 60  # seconds of ``created`` that are forgotten at once


class Nonces:
    """Safe to use from many threads.  Eight bytes of a hash stand for a nonce."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.floor = 0
        self._lock = threading.Lock()
        self._used: dict[int, set[int]] = {}
        self._read()
        self._write()
        if self.floor > time.time() + TOLERANCE:
            log.warning(
                "the clock was set back: signed requests are refused until %s; if the clock was "
                "wrong before, stop the server and remove '%s'",
                time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(self.floor)),
                path,
            )

    def use(self, nonce: str, created: int) -> bool:
        """Use up a nonce; False if it was used before, or may have been."""
        mark = _mark(nonce)
        with self._lock:
            if created < self.floor:
                return False
            bucket = self._used.setdefault(created // BUCKET, set())
            if mark in bucket:
                return False
            bucket.add(mark)
            try:
                os.write(self._file, f"{created} {mark}\n".encode())
            except OSError as exc:
                raise Unusable(Trouble("disk_full", f"'{self.path}': {exc.strerror}")) from exc
            return True

    def add(self, nonce: str, created: int) -> None:
        """Put a nonce that the database remembers on record."""
        with self._lock:
            self._used.setdefault(created // BUCKET, set()).add(_mark(nonce))

    def forget(self, now: float) -> None:
        """Raise the floor above what is too old to be accepted, and drop it."""
        oldest = int(now - KEPT) // BUCKET
        with self._lock:
            gone = [bucket for bucket in self._used if bucket < oldest]
            if gone:
                for bucket in gone:
                    del self._used[bucket]
                self.floor = max(self.floor, (max(gone) + 1) * BUCKET)
                outdated = self._file
                self._write()
                os.close(outdated)

    def close(self) -> None:
        os.close(self._file)

    def _read(self) -> None:
        try:
            lines = self.path.read_text().splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            created, _, mark = line.partition(" ")
            if mark == "floor" and created.isdigit():
                self.floor = int(created)
            elif created.isdigit() and mark.isdigit():  # a power cut may leave half a line
                self._used.setdefault(int(created) // BUCKET, set()).add(int(mark))

    def _write(self) -> None:
        lines = [f"{self.floor} floor"]
        for bucket, marks in self._used.items():
            lines += (f"{bucket * BUCKET} {mark}" for mark in marks)
        write_private(self.path, "\n".join(lines) + "\n")
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)


def _mark(nonce: str) -> int:
    return int.from_bytes(blake2b(nonce.encode(), digest_size=8).digest(), "big")
