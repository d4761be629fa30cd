"""What the environment says, read in one place.

Nothing else in this project reads an environment variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_DATABASE = ROOT / "data" / "meetings.sqlite"


def database_location(environ: Mapping[str, str] = os.environ) -> str:
    """URL or path of the database: DATABASE_URL, else DB_PATH, else data/meetings.sqlite."""
    return environ.get("DATABASE_URL") or environ.get("DB_PATH") or str(DEFAULT_DATABASE)
