"""Serve: ``python -m server``.  Never migrates; waits for a current schema.

With arguments it is a command for the host, see ``server.commands``.

Exit status: 0 after SIGTERM or Ctrl-C; 78 (EX_CONFIG of sysexits.h) when settings, code and
database don't go together, which no restart can mend.  With STAY_ON_FAULT=1 it stays up instead,
live and not ready, and looks again: see ``server.faulted``.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from guarded.errors import UnusableDatabase
from server import logs
from server.settings import (
    DEFAULT_DATABASE,
    BadSetting,
    address_anyway,
    settings,
    stays_on_fault,
)

EX_CONFIG = 78
TRY_AGAIN = 5.0  # seconds


def main() -> int:
    if len(sys.argv) > 1:
        from server.commands import cli

        cli(prog_name="python -m server")
    try:
        from server import serving  # noqa: F401
    except ModuleNotFoundError as exc:
        return _refuse(f"{exc.name} is not installed; pip install '.[server]'")
    try:
        is_patient = stays_on_fault()
    except BadSetting as exc:
        return _refuse(str(exc))
    if is_patient:
        return _stay()
    why = _serve()
    return 0 if why is None else _refuse(why)


def _serve() -> str | None:
    """Serve until a signal; the reason when that is not possible, or no longer."""
    from server import serving
    from server.db.folders import ClosedFolder, is_open
    from server.db.served import AlreadyServed, locate
    from server.state import Server

    faults = (BadSetting, UnusableDatabase, AlreadyServed, serving.CannotListen)
    try:
        configured = settings()
        logs.configure(configured.log_level)
        served = locate(configured.database)
        if (why := served.prepare()) is not None:
            return why
        with served.only_process():
            server = Server(served, configured)
            readiness = server.look()
            if readiness.contradiction and not configured.stay_on_fault:
                return readiness.contradiction
            serving.run(server)
            return server.failed
    except PermissionError as exc:
        folder = Path(exc.filename or DEFAULT_DATABASE).parent
        return str(exc if is_open(folder) else ClosedFolder(folder))
    except (*faults, OSError) as exc:
        return str(exc)


def _stay() -> int:
    """Serve as soon as that is possible, until a signal."""
    from server import faulted

    logs.configure("info")
    told = None
    while (why := _serve()) is not None:
        if why != told:
            logging.getLogger("server").error("%s", why)
        told = why
        if not faulted.stay(why, *address_anyway(), TRY_AGAIN):
            break
    return 0


def _refuse(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
