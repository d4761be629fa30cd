"""Our command line on migrations in another folder: ``ours.py FOLDER ARGUMENT…``."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])
gc.set_threshold(100_000)  # as migrate.py does when it is run as a file

from server.migrations.cli import console
from server.migrations.engine.project import Models, Project
from server.migrations.migrate import cli

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    names = sorted(name[:-3] for name in os.listdir(folder) if name.endswith(".py"))  # noqa: PTH208
    project = Project(folder, names, {}, lambda: Models((), ()), "bench")
    console.run(cli, project, sys.argv[2:])
