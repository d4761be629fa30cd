"""A server process, and people who use it."""

from __future__ import annotations

import http.client
import importlib.util
import itertools
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from guarded.backends.interface import Patience
from guarded.cli.session import locate
from guarded.run import Runner
from server.migrations.migrate import PROJECT
from tests.conftest import ROOT

MEETING = {
    "title": "Kick-off",
    "start_time": "2036-12-01T10:00:00Z",
    "end_time": "2036-12-01T11:00:00+00:00",
}
OVER = {"start_time": "2020-01-01T10:00:00Z", "end_time": "2020-01-01T11:00:00Z"}
_numbers = itertools.count(1)


def docs_client() -> Any:
    """The client of the documentation."""
    spec = importlib.util.spec_from_file_location("docs_client", ROOT / "docs" / "client.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CLIENT = docs_client()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def migrate(path: Path | str) -> None:
    """``path``, or the URL of a PostgreSQL database."""
    Runner(PROJECT, locate(PROJECT, str(path)), Patience(20), backup=False).up()


class Answer(NamedTuple):
    status: int
    body: Any
    headers: Any

    @property
    def code(self) -> str:
        return self.body["error"]["code"]


class Api:
    """One server process, and requests to it."""

    def __init__(
        self, path: Path, *, preexec_fn=None, port=None, logs: Path | None = None, **environ: str
    ) -> None:
        self.path, self.port = path, port or free_port()
        self.database = environ.get("DATABASE_URL")  # of PostgreSQL, in place of the path
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = (logs or path.parent) / f"server{next(_numbers)}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "server"],
                cwd=ROOT,
                preexec_fn=preexec_fn,
                env={**os.environ, "DB_PATH": str(path), "PORT": str(self.port), **environ},
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

    def __call__(self, method: str, path: str, document=None, timeout=30, **headers) -> Answer:
        """An unsigned request."""
        body = None if document is None else json.dumps(document)
        return self.raw(method, path, body, timeout=timeout, **headers)

    def raw(self, method: str, path: str, body=None, timeout=30, **headers) -> Answer:
        """``headers``: with _ in place of -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with closing(connection):
            connection.request(method, path, body, {"Content-Type": "application/json", **named})
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers.get_content_type() == "application/json"
            body = json.loads(text) if is_json and text else text
            return Answer(answer.status, body, answer.headers)

    def user(self, user_id: str | None = None, **columns: Any) -> User:
        """A user with a session of its own, put into the database as it is."""
        user_id = user_id or f"user{next(_numbers)}@example.org"
        row = {
            "client_id": secrets.token_hex(8),
            "session_secret": secrets.token_hex(16),
            "user_id": user_id,
            **columns,
        }
        self.insert("client_sessions", row)
        return User(self, user_id, row["client_id"], row["session_secret"])

    def insert(self, table: str, row: Mapping[str, Any]) -> None:
        names = ", ".join(row)
        if self.database is not None:
            marks = ", ".join(["%s"] * len(row))
            with psycopg.connect(self.database, autocommit=True) as connection:
                sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"
                connection.execute(sql, list(row.values()))
            return
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=20)) as connection:
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", [*row.values()])

    def rows(self, sql: str) -> list[tuple]:
        """The rows of a query on its database."""
        if self.database is not None:
            with psycopg.connect(self.database) as connection:
                return connection.execute(sql).fetchall()
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def until(self, status: int, seconds: float = 10.0) -> Answer:
        """The first answer of /readyz with this status."""
        end = time.monotonic() + seconds
        found = None
        while True:
            with suppress(OSError):
                found = self("GET", "/readyz")
                if found.status == status:
                    return found
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, f"{found} in place of {status}"
            time.sleep(0.05)

    def until_code(self, code: str, seconds: float) -> Answer:
        end = time.monotonic() + seconds
        while True:
            answer = self("GET", "/readyz")
            if answer.status == 503 and answer.code == code:
                return answer
            assert time.monotonic() < end, f"{answer} in place of {code}"
            time.sleep(0.05)

    def ready(self) -> Api:
        self.until(200)
        return self

    def memory(self) -> int:
        """Bytes that the process holds now."""
        status = Path(f"/proc/{self.process.pid}/statm").read_text()
        return int(status.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def logged(self, says: str, seconds: float = 5) -> list[str]:
        """Wait for lines of the log that say this; the line of a request comes after its answer."""
        end = time.monotonic() + seconds
        while True:
            found = [line for line in self.log.read_text().splitlines() if says in line]
            if found or time.monotonic() > end:
                return found
            time.sleep(0.02)

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Exit status and the whole log."""
        return self.process.wait(timeout=40), self.log.read_text()

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class User:
    """Signs requests as docs/client.py does."""

    def __init__(self, api: Api, user_id: str, client_id: str, secret: str) -> None:
        self.api, self.user_id, self.client_id, self.secret = api, user_id, client_id, secret
        self._client = CLIENT.Client(api.url, client_id, secret)

    def __call__(self, method: str, path: str, document=None, **headers) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Answer(*self._client(method, path, document, **named))

    def meeting(self, **fields: Any) -> dict:
        answer = self("POST", "/meetings", {**MEETING, **fields})
        assert answer.status == 201, answer
        return answer.body


class Traffic(NamedTuple):
    """The answers by status, and the meetings that were acknowledged."""

    statuses: Counter[int]
    made: list[str]


@contextmanager
def traffic(user: User, *, reads: bool = False) -> Iterator[Traffic]:
    """Let four threads write meetings, and list them with ``reads``, while the block runs."""
    seen, is_over = Traffic(Counter(), []), threading.Event()

    def work() -> None:
        while not is_over.is_set():
            answer = user("POST", "/meetings", MEETING)
            seen.statuses[answer.status] += 1
            if answer.status == 201:
                seen.made.append(answer.body["meeting_id"])
            if reads:
                seen.statuses[user("GET", "/meetings").status] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def origin() -> dict[str, str]:
    """Headers of an address that no other test comes from, where the proxy is trusted."""
    number = next(_numbers)
    return {"X_Forwarded_For": f"203.0.{number // 250}.{number % 250 + 1}"}


class Guest:
    """A guest of a meeting, with the secret of its registration."""

    def __init__(self, api: Api, token: str, name: str = "Gast") -> None:
        self.api, self.origin = api, origin()
        made = api("POST", f"/join/{token}", {"display_name": name}, **self.origin)
        assert made.status == 201, made
        self.session_id, self.secret = made.body["session_id"], made.body["secret"]

    def __call__(self, method: str, what: str = "", secret: str | None = None) -> Answer:
        bearer = {"Authorization": f"Bearer {secret or self.secret}"}
        return self.api(method, f"/guests/{self.session_id}{what}", **bearer, **self.origin)
