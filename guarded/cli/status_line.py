"""The line at the end of a terminal that says what runs now."""

from __future__ import annotations

import threading
import time

import click

from guarded.cli import output

CLEAR = "\r\x1b[K"
PATIENT = 0.5  # seconds until it is worth a line that something still runs


class StatusLine:
    """Tells on stderr what runs now and for how long, in one line that is wiped.

    A thread of its own draws it: what runs may be one statement of many seconds.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._text, self._reached, self._since, self._is_drawn = "", "", 0.0, False

    def show(self, text: str) -> None:
        """From now on this runs."""
        with self._lock:
            self._text, self._reached = " ".join(text.split()), ""
            self._since = time.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw, daemon=True)
            self._thread.start()

    def change(self, text: str) -> None:
        """The same goes on, and is this far."""
        with self._lock:
            self._text = " ".join(text.split())

    def reach(self, text: str) -> None:
        """The same goes on; this stands behind it."""
        with self._lock:
            self._reached = f", {text}"

    def wipe(self) -> None:
        with self._lock:
            self._text = ""
            self._wipe()

    def close(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        self.wipe()

    def _draw(self) -> None:
        while not self._ended.wait(0.25):
            with self._lock:
                seconds = time.monotonic() - self._since
                if not self._text or seconds < PATIENT:
                    continue
                behind = f"{self._reached}, {seconds:.1f} s"
                room = output.columns() - len(behind) - 6
                self._is_drawn = True
                line = f"{CLEAR}now  {output.shortened(self._text, room)}{behind}"
                click.echo(line, nl=False, err=True)

    def _wipe(self) -> None:
        if self._is_drawn:
            click.echo(CLEAR, nl=False, err=True)
            self._is_drawn = False
