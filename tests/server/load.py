"""Load, with the figures printed: ``make test-load``.  Needs wrk for its first part."""

from __future__ import annotations

import atexit
import http.client
import os
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path

from tests.conftest import MIGRATE, copy_legacy, populate
from tests.server.test_limits import CHUNK, head, send_chunks
from tests.server.world import MEETING, Api, migrate, origin

REQUESTS = 50_000
MEGABYTE = 2**20


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def timed(work) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def wrk(api: Api) -> None:
    """200 connections for 20 seconds: no answer of 5xx."""
    for where in ("/healthz", "/settings", "/meetings"):
        done = subprocess.run(
            ["wrk", "-t2", "-c200", "-d20s", "--timeout", "10s", f"{api.url}{where}"],
            capture_output=True,
            text=True,
            check=True,
        )
        rate = re.search(r"Requests/sec:\s+(\S+)", done.stdout)[1]
        errors = re.search(r"Socket errors: (.*)", done.stdout)
        say(f"wrk {where}: {rate} requests/s, socket errors: {errors[1] if errors else 'none'}")
    log = api.log.read_text()
    assert "Traceback" not in log
    answers = counted(api)
    say(f"answers: {dict(answers)}")
    assert not [status for status in answers if status >= 500]


def counted(api: Api) -> Counter:
    with closing(http.client.HTTPConnection("127.0.0.1", int(api.metrics))) as connection:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    found = Counter()
    for status, count in re.findall(r'requests_total\{.*status="(\d+)"\} (\d+)', text):
        found[int(status)] += int(count)
    return found


def write_lock(api: Api) -> None:
    """The lock held by another, 200 unsigned POSTs waiting: health in less than a second."""
    with closing(sqlite3.connect(api.path, isolation_level=None)) as holder, ExitStack() as stack:
        holder.execute("BEGIN IMMEDIATE")
        for _ in range(200):
            connection = socket.create_connection(("127.0.0.1", api.port))
            stack.enter_context(closing(connection))
            connection.sendall(head("POST", "/meetings", "Content-Length: 9") + b'{"a": "b"')
        worst = max(timed(lambda: api("GET", "/healthz")) for _ in range(20))
    say(f"write lock held, 200 unsigned POSTs: /healthz within {worst * 1000:.0f} ms")
    assert worst < 1


def gigabyte(api: Api) -> None:
    before = api.memory()
    answers = []
    with closing(socket.create_connection(("127.0.0.1", api.port))) as connection:
        connection.sendall(
            head("POST", "/sign-in", "X-Forwarded-For: 10.1.1.1", "Transfer-Encoding: chunked")
        )
        reading = threading.Thread(target=lambda: answers.append(connection.recv(100)))
        reading.start()
        sent = send_chunks(connection, 1 << 30)
        reading.join()
    grown = (api.memory() - before) / MEGABYTE
    status = answers[0].split()[1].decode()
    say(
        f"1 GB in chunks of {len(CHUNK)}: {status} after {sent / MEGABYTE:.0f} MB, {grown:.1f} MB more"
    )
    assert status == "413"
    assert grown < 20


def slow_clients(api: Api) -> None:
    with ExitStack() as stack:
        for _ in range(1200):
            connection = socket.create_connection(("127.0.0.1", api.port))
            stack.enter_context(closing(connection))
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        worst = max(timed(lambda: api("GET", "/settings", **origin())) for _ in range(20))
    say(f"1,200 slow clients: others served within {worst * 1000:.0f} ms")
    assert worst < 1


def memory(api: Api) -> None:
    """Signed reads on kept connections, and public ones between."""
    before, sizes, statuses = None, [], Counter()
    users = [api.user() for _ in range(8)]
    done = 0

    def work(user, count: int) -> None:
        for number in range(count):
            where, method = ("/meetings", "GET") if number % 10 else ("/calls", "POST")
            answer = user(method, where, {} if method == "POST" else None)
            statuses[answer.status] += 1

    started = time.monotonic()
    while done < REQUESTS:
        threads = [threading.Thread(target=work, args=(user, 625)) for user in users]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done += 625 * len(users)
        sizes.append(api.memory() / MEGABYTE)
        before = before or sizes[0]
    rate = done / (time.monotonic() - started)
    text = " ".join(f"{size:.0f}" for size in sizes)
    say(f"{done:,} signed requests ({rate:.0f}/s), {dict(statuses)}: MB after each 5,000: {text}")
    assert not [status for status in statuses if status >= 500]
    assert statistics.mean(sizes[-2:]) - sizes[1] < 20


def beside_a_migration(folder: Path, *, meetings: int, writes: int) -> None:
    """Signed writes while migrate.py works: none lost, no 500."""
    path = folder / "old.sqlite"
    copy_legacy("after3", path)
    populate(path, meetings)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    api = Api(path)
    atexit.register(api.kill)
    api.until(503)
    user = api.user()
    run = subprocess.Popen(
        [sys.executable, str(MIGRATE), "--database", str(path)], stdout=subprocess.DEVNULL
    )
    statuses, made, left = Counter(), [], list(range(writes))

    def work() -> None:
        while left:
            try:
                left.pop()
            except IndexError:
                return
            while True:
                answer = user("POST", "/meetings", MEETING)
                statuses[answer.status] += 1
                if answer.status == 201:
                    made.append(answer.body["meeting_id"])
                    break
                time.sleep(0.05)

    threads = [threading.Thread(target=work) for _ in range(16)]
    seconds = timed(lambda: [t.start() for t in threads] and [t.join() for t in threads])
    assert run.wait() == 0
    with closing(sqlite3.connect(path)) as connection:
        stored = {row[0] for row in connection.execute("SELECT meeting_id FROM meetings")}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    say(
        f"writes beside migrate.py: {dict(statuses)} in {seconds:.1f} s, lost: {len(set(made) - stored)}"
    )
    assert len(made) == writes
    assert set(made) <= stored
    assert set(statuses) <= {201, 503}
    assert api.stop()[0] == 0


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "meetings.sqlite"
        migrate(path)
        with closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            metrics = str(probe.getsockname()[1])
        api = Api(path, METRICS_PORT=metrics, TRUSTED_PROXIES="127.0.0.1").ready()
        api.metrics = metrics
        atexit.register(api.kill)
        say(f"at the start: {api.memory() / MEGABYTE:.0f} MB, {os.cpu_count()} cores")
        if shutil.which("wrk"):
            wrk(api)
        else:
            say("wrk is missing: its part is left out")
        write_lock(api)
        gigabyte(api)
        slow_clients(api)
        memory(api)
        status, log = api.stop()
        assert (status, "Traceback" in log) == (0, False), log
        beside_a_migration(Path(folder), meetings=50_000, writes=1000)
    say("all of it held")


if __name__ == "__main__":
    main()
