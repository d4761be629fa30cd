"""50,000 requests and 15,000 guests on the container, with its figures: ``make load-containers``."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import secrets
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

from tests.conftest import ROOT
from tests.containers.test_containers import Installation

GUESTS, REQUESTS = 15_000, 50_000
THREADS = 8
COVERED = '("@method" "@authority" "@path" "@query" "content-digest")'
MEETING = {
    "title": "Load", "start_time": "2036-12-01T10:00:00Z", "end_time": "2036-12-01T11:00:00Z",
    "allow_external": True,
}  # fmt: skip


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Client:
    """One connection that is kept, and a session."""

    def __init__(self, port: int, client_id: str, secret: str) -> None:
        self.port, self.client_id, self.secret = port, client_id, secret
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def __call__(self, method: str, path: str, document=None, headers=None) -> tuple[int, bytes]:
        body = b"" if document is None else json.dumps(document).encode()
        all_headers = {
            "Content-Type": "application/json",
            **(headers or self.signature(method, path, body)),
        }
        for _ in range(2):
            try:
                self.connection.request(method, path, body or None, all_headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):  # it was kept for long enough
                self.connection.close()
                if headers is None:
                    all_headers |= self.signature(method, path, body)
        raise ConnectionError(path)

    def signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
        parameters = (
            f'{COVERED};created={int(time.time())};nonce="{secrets.token_hex(8)}"'
            f';keyid="{self.client_id}";alg="hmac-sha256"'
        )
        lines = [
            f'"@method": {method}', f'"@authority": 127.0.0.1:{self.port}', f'"@path": {path}',
            '"@query": ?', f'"content-digest": {digest}', f'"@signature-params": {parameters}',
        ]  # fmt: skip
        made = hmac.new(self.secret.encode(), "\n".join(lines).encode(), "sha256").digest()
        return {
            "Content-Digest": digest,
            "Signature-Input": f"load={parameters}",
            "Signature": f"load=:{base64.b64encode(made).decode()}:",
        }


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        made = Installation(clone)
        made.environ["TRUSTED_PROXIES"] = "172.16.0.0/12"
        try:
            started = time.monotonic()
            done = made.script()
            assert done.returncode == 0, done.stderr
            say(f"clean clone to ready: {time.monotonic() - started:.1f} s")
            made.compose("stop")
            started = time.monotonic()
            made.compose("start")
            made.until(200, 30)
            say(f"start to ready: {time.monotonic() - started:.1f} s")
            size = made.run(
                "docker", "image", "inspect", "-f", "{{.Size}}", made.environ["SERVER_IMAGE"]
            )
            say(f"image: {int(size.stdout) / 1e6:.0f} MB")
            load(made)
        finally:
            made.compose("down", "-v", "--rmi", "all")


def load(made: Installation) -> None:
    sessions = [(secrets.token_hex(8), secrets.token_hex(16)) for _ in range(THREADS)]
    with closing(sqlite3.connect(made.database, isolation_level=None, timeout=20)) as connection:
        connection.executemany(
            "INSERT INTO client_sessions (client_id, session_secret, user_id) VALUES (?, ?, ?)",
            [(*session, f"user{number}@example.org") for number, session in enumerate(sessions)],
        )
    say(f"memory at the start: {memory(made) / 2**20:.0f} MB")
    statuses: Counter = Counter()

    def guests(number: int, client: Client) -> None:
        for place in range(GUESTS // THREADS):
            if place % 100 == 0:  # so many take part in one meeting
                status, body = client("POST", "/meetings", MEETING)
                assert status == 201, body
                token = json.loads(body)["invitation_token"]
            origin = {"X-Forwarded-For": f"10.{number}.{place // 250}.{place % 250 + 1}"}
            status, body = client("POST", f"/join/{token}", {"display_name": "Guest"}, origin)
            statuses["guest", status] += 1
            if status == 201:
                guest = json.loads(body)
                bearer = {"Authorization": f"Bearer {guest['secret']}", **origin}
                status, _ = client("POST", f"/guests/{guest['session_id']}/admission", None, bearer)
                statuses["asks", status] += 1

    def requests(number: int, client: Client) -> None:
        for place in range(REQUESTS // THREADS):
            status, _ = client("GET", "/sessions") if place % 20 else client("POST", "/calls", {})
            statuses["request", status] += 1

    for work, count in ((guests, GUESTS), (requests, REQUESTS)):
        started = time.monotonic()
        threads = [
            threading.Thread(target=work, args=(number, Client(made.port, *session)))
            for number, session in enumerate(sessions)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds = time.monotonic() - started
        say(
            f"{count:,} {work.__name__}: {count / seconds:.0f}/s, memory at most {memory(made) / 2**20:.0f} MB"
        )
    say(f"answers: {dict(statuses)}")
    assert statuses["guest", 201] == 5000  # as many as the server takes
    assert statuses["guest", 201] + statuses["guest", 409] == GUESTS
    assert statuses["request", 200] + statuses["request", 201] == REQUESTS
    assert made.container("{{.State.OOMKilled}} {{.RestartCount}}") == "false 0"
    assert made.ready()[0] == 200
    say("all of it held")


def memory(made: Installation) -> int:
    """The most that the container has had in memory, in bytes."""
    files = "/sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes"
    done = made.compose("exec", "-T", "server", "sh", "-c", f"cat {files} 2>/dev/null")
    return int(done.stdout.split()[0])


if __name__ == "__main__":
    main()
