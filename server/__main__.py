"""Serve: ``python -m server``.  Never migrates; waits for a current schema.

With arguments it is a command for the host, see ``server.commands``.

Exit status: 0 after SIGTERM or Ctrl-C; 78 (EX_CONFIG of sysexits.h) when settings, code and
database don't go together, which no restart can mend.
"""

from __future__ import annotations

import logging
import sys

from guarded.backends.sqlite.connect import locate
from guarded.errors import UnusableDatabase
from server.settings import DEFAULT_DATABASE, BadSetting, settings

EX_CONFIG = 78
LOG_LINE = "%(asctime)s %(levelname)s %(message)s"


def main() -> int:
    if len(sys.argv) > 1:
        from server.commands import cli

        cli(prog_name="python -m server")
    try:
        from server import serving
        from server.db.opened import make_private
        from server.state import AlreadyServed, Server, only_process
    except ModuleNotFoundError as exc:
        return _refuse(f"{exc.name} is not installed; pip install '.[server]'")
    try:
        configured = settings()
        logging.basicConfig(
            level=configured.log_level.upper(), format=LOG_LINE, datefmt="%Y-%m-%d %H:%M:%S%z"
        )
        logging.getLogger("peewee").setLevel(logging.INFO)  # its SQL comes with the values
        file = locate(configured.database)
        file.check()
        if file.path.parent == DEFAULT_DATABASE.parent:
            make_private(file.path.parent)
        with only_process(file):
            server = Server(file, configured)
            readiness = server.look()
            if readiness.contradiction:
                return _refuse(readiness.contradiction)
            if not readiness.is_current:
                logging.getLogger("server").warning("not ready: %s", readiness.message)
            serving.run(server)
            return _refuse(server.failed) if server.failed else 0
    except (BadSetting, UnusableDatabase, AlreadyServed, serving.CannotListen, OSError) as exc:
        return _refuse(str(exc))


def _refuse(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
