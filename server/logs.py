"""The log: one line for each event, with its time, its level, and the id of the request."""

from __future__ import annotations

import logging
import re
import secrets
from contextvars import ContextVar

LINE = "%(asctime)s %(levelname)s %(request)s%(message)s"
TIME = "%Y-%m-%d %H:%M:%S%z"
REQUEST_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}")

_request: ContextVar[str] = ContextVar("request", default="")


class OneLine(logging.Formatter):
    """A message never makes a second line, so that no client can write lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        current = _request.get()
        record.request = f"[{current}] " if current else ""
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        record.message = " ".join(record.message.splitlines())
        return super().formatMessage(record)


def configure(level: str) -> None:
    """Log to stderr.  Peewee's SQL stays out at every level: it comes with the values."""
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(LINE, TIME))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("peewee").setLevel(logging.INFO)


def begin_request(given: str | None) -> str:
    """Give the request an id that its lines in the log have, and return it.

    ``given`` is the id that a trusted proxy chose; one of another shape does not count.
    """
    known = given if given and REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    _request.set(known)
    return known
