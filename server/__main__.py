"""Serve: ``python -m server``.  Never migrates; waits for a current schema.

Exit status: 0 after SIGTERM or Ctrl-C; 78 (EX_CONFIG of sysexits.h) when settings, code and
database don't go together, which no restart can mend.
"""

from __future__ import annotations

import logging
import signal
import sys

from guarded.backends.sqlite.connect import locate
from guarded.errors import UnusableDatabase
from server.settings import BadSetting, settings

EX_CONFIG = 78


def main() -> int:
    try:
        import uvicorn

        from server.app import create_app
        from server.state import AlreadyServed, Server, only_process
    except ModuleNotFoundError as exc:
        return _refuse(f"{exc.name} is not installed; pip install '.[server]'")
    try:
        configured = settings()
        logging.basicConfig(level=configured.log_level.upper(), format="%(levelname)s %(message)s")
        file = locate(configured.database)
        file.check()
        with only_process(file):
            server = Server(file, configured)
            readiness = server.look()
            if readiness.contradiction:
                return _refuse(readiness.contradiction)
            if not readiness.is_current:
                logging.getLogger("server").warning("not ready: %s", readiness.message)
            _run(uvicorn, create_app, server)
            return _refuse(server.failed) if server.failed else 0
    except (BadSetting, UnusableDatabase, AlreadyServed, OSError) as exc:
        return _refuse(str(exc))


def _run(uvicorn, create_app, server) -> None:  # type: ignore[no-untyped-def]
    # uvicorn finishes what runs and then sends itself the signal again: by now it shall do nothing.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    config = uvicorn.Config(
        create_app(server),
        host=server.settings.host,
        port=server.settings.port,
        log_level=server.settings.log_level,
        timeout_graceful_shutdown=30,
    )
    web = uvicorn.Server(config)
    server.on_failure = lambda: setattr(web, "should_exit", True)
    web.run()


def _refuse(why: str) -> int:
    sys.stderr.write(f"error: {why}\n")
    return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
