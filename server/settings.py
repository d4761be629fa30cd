"""What the environment says, read in one place.

Nothing else in this project reads an environment variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_DATABASE = ROOT / "data" / "meetings.sqlite"


class BadSetting(ValueError):
    """A variable that can't be used; says which, and what it may be."""

    def __init__(self, name: str, value: str, wanted: str) -> None:
        super().__init__(f"{name} is '{value}', and has to be {wanted}")


class Settings(NamedTuple):
    """Of the server; each field is the variable of its name in capitals.

    ``busy_timeout``: seconds that a write waits for the lock of the database before it answers 503.
    ``purge_interval``: seconds between two rounds of housekeeping.
    """

    database: str
    host: str = "127.0.0.1"
    port: int = 3000
    busy_timeout: float = 5.0
    purge_interval: float = 60.0
    log_level: str = "info"


def database_location(environ: Mapping[str, str] = os.environ) -> str:
    """URL or path of the database: DATABASE_URL, else DB_PATH, else data/meetings.sqlite."""
    return environ.get("DATABASE_URL") or environ.get("DB_PATH") or str(DEFAULT_DATABASE)


def settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Raises BadSetting."""
    defaults = Settings(database_location(environ))
    levels = ("critical", "error", "warning", "info", "debug")
    level = (environ.get("LOG_LEVEL") or defaults.log_level).lower()
    if level not in levels:
        raise BadSetting("LOG_LEVEL", level, f"one of {', '.join(levels)}")
    return Settings(
        database=defaults.database,
        host=environ.get("HOST") or defaults.host,
        port=int(_number(environ, "PORT", defaults.port, whole=True)),
        busy_timeout=_number(environ, "BUSY_TIMEOUT", defaults.busy_timeout),
        purge_interval=_number(environ, "PURGE_INTERVAL", defaults.purge_interval),
        log_level=level,
    )


def _number(environ: Mapping[str, str], name: str, default: float, *, whole: bool = False) -> float:
    text = environ.get(name, "")
    if not text:
        return default
    wanted = "a port, from 1 to 65535" if whole else "a number of seconds, more than 0"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        raise BadSetting(name, text, wanted) from None
    if not 0 < value < (65536 if whole else float("inf")):
        raise BadSetting(name, text, wanted)
    return value
