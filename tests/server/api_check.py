"""Run schemathesis with all its checks on a server, unsigned and signed: ``make test-api``.

With ``postgresql`` as its argument, on a PostgreSQL database.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import postgres
from tests.conftest import ROOT
from tests.server.world import Api, migrate

SECONDS = os.environ.get("SECONDS", "100")  # for each of the two runs


def main() -> int:
    if "postgresql" in sys.argv[1:]:
        with postgres.running() as server, server.database() as name:
            return check(DATABASE_URL=server.url(name))
    return check()


def check(**database: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meetings.sqlite"
        migrate(database.get("DATABASE_URL", path))
        api = Api(path, ADMINS="me@example.org", TRUSTED_PROXIES="127.0.0.1", **database).ready()
        session = Path(folder) / "session.json"
        command = [sys.executable, "-m", "server", "session", "add", "me@example.org"]
        environ = {**os.environ, "DB_PATH": str(path), **database}
        session.write_bytes(subprocess.check_output(command, cwd=ROOT, env=environ))
        worst = max(run(api), run(api, API_SESSION=str(session)))
        status, log = api.stop()
    if status or "Traceback" in log:
        sys.stderr.write(log)
        return 1
    return worst


def run(api: Api, **environ: str) -> int:
    command = [
        Path(sys.executable).with_name("schemathesis"), "run", f"{api.url}/openapi.json",
        "--checks", "all", "--continue-on-failure", "--max-time", SECONDS, "--warnings", "off",
    ]  # fmt: skip
    hooks = {"SCHEMATHESIS_HOOKS": "tests.server.api_hooks", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **hooks, **environ}).returncode


if __name__ == "__main__":
    sys.exit(main())
