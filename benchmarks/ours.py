"""Our command line on migrations in another folder: ``ours.py FOLDER ARGUMENT…``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from guarded.cli.commands import run
from guarded.project import Models
from server.migrations.migrate import PROJECT

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py"))  # noqa: PTH208
    project = PROJECT._replace(
        directory=folder, listed=names, excluded={}, models=lambda: Models(()), version="bench"
    )
    run(project, sys.argv[2:])
