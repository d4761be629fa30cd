"""Three nodes of Patroni with etcd on this machine, with PostgreSQL of their own.

Needs etcd and patroni; on Debian: ``apt install etcd-server patroni``.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from tests import postgres

# Seconds.  The first is how long Patroni waits for a primary that says nothing: its minimum.
TTL, LOOP, RETRY = 20, 2, 5
PATIENCE = 120.0
# A node's state once it follows or leads; "streaming" has been written since Patroni 3.0.3.
UP = {"running", "streaming"}


class Node:
    """One machine: Patroni, and the PostgreSQL that it starts."""

    def __init__(self, name: str, folder: Path, ports: tuple[int, int]) -> None:
        self.name, self.data, self.settings = name, folder / name, folder / f"{name}.json"
        self.rest_port, self.port = ports
        self._log = folder / f"{name}.log"
        self._patroni: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._patroni = subprocess.Popen(
                ["patroni", self.settings], stdout=log, stderr=log, **postgres.as_nobody()
            )

    def end(self, number: int = signal.SIGKILL) -> None:
        """By SIGKILL everything at once, as when the machine is lost."""
        assert self._patroni is not None
        self._patroni.send_signal(number)
        with suppress(FileNotFoundError):
            server = int((self.data / "postmaster.pid").read_text().split()[0])
            postgres.end(server, signal.SIGKILL if number == signal.SIGKILL else signal.SIGQUIT)
        self._patroni.wait(PATIENCE)
        self._patroni = None

    @property
    def is_started(self) -> bool:
        return self._patroni is not None


class Cluster:
    """``postgres`` needs no password on any of the nodes."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    def url(self, database: str) -> str:
        """The URL that names every node, and wants the one that takes writes."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)
        return f"postgresql://postgres@{hosts}/{database}?target_session_attrs=read-write"

    def connect(self, database: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=2)

    def members(self) -> list[dict[str, Any]]:
        """The members as a node that lives sees them; none while no node answers."""
        for node in self.nodes:
            if node.is_started:
                with (
                    suppress(OSError, ValueError),
                    urllib.request.urlopen(
                        f"http://127.0.0.1:{node.rest_port}/cluster", timeout=2
                    ) as answer,
                ):
                    return json.load(answer)["members"]
        return []

    def until_whole(self) -> None:
        """Wait until every node is up, and the primary waits for a standby with each COMMIT."""

        def is_whole() -> bool:
            members = [each for each in self.members() if each["state"] in UP]
            return len(members) == len(self.nodes) and {"leader", "sync_standby"} <= {
                each["role"] for each in members
            }

        until(is_whole, "three nodes")

    def lose_primary(self) -> Node:
        """Kill the node that is the primary now."""
        (name,) = (each["name"] for each in self.members() if each["role"] == "leader")
        (node,) = (each for each in self.nodes if each.name == name)
        node.end()
        return node

    def until_it_answers(self) -> None:
        """Wait for a primary."""

        def answers() -> bool:
            with suppress(psycopg.OperationalError):
                self.connect().close()
                return True
            return False

        until(answers, "a primary")


def until(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, f"no {what} within {PATIENCE:.0f} s"
        time.sleep(0.05)


@contextmanager
def cluster(binaries: Path | None) -> Iterator[Cluster]:
    """Three nodes that are up.  ``binaries``: PostgreSQL's, or those of the package."""
    for program in ("etcd", "patroni"):
        assert shutil.which(program), (
            f"{program} is missing; on Debian: apt install etcd-server patroni"
        )
    ports = postgres.free_ports(12)  # all at once: nobody listens yet
    with postgres.own_folder() as folder, _etcd(folder, ports[:6]) as hosts:
        programs = postgres.usable(binaries, folder)
        nodes = [Node(f"p{i}", folder, (ports[6 + i], ports[9 + i])) for i in range(3)]
        for node in nodes:
            node.settings.write_text(json.dumps(_settings(node, folder, programs, hosts)))
        found = Cluster(nodes)
        try:
            for node in nodes:
                node.start()
            found.until_whole()
            yield found
        finally:
            for node in nodes:
                if node.is_started:
                    node.end(signal.SIGTERM)


@contextmanager
def _etcd(folder: Path, ports: list[int]) -> Iterator[list[str]]:
    peers = [f"http://127.0.0.1:{port}" for port in ports[3:]]
    initial = ",".join(f"e{i}={peer}" for i, peer in enumerate(peers))
    processes = []
    try:
        for i, peer in enumerate(peers):
            client = f"http://127.0.0.1:{ports[i]}"
            options = {
                "name": f"e{i}",
                "data-dir": folder / f"e{i}",
                "listen-client-urls": client,
                "advertise-client-urls": client,
                "listen-peer-urls": peer,
                "initial-advertise-peer-urls": peer,
                "initial-cluster": initial,
            }
            words = [f"--{name}={value}" for name, value in options.items()]
            with (folder / f"e{i}.log").open("wb") as log:
                processes.append(
                    subprocess.Popen(
                        ["etcd", *words], stdout=log, stderr=log, **postgres.as_nobody()
                    )
                )
        yield [f"127.0.0.1:{port}" for port in ports[:3]]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _settings(node: Node, folder: Path, programs: Path, hosts: list[str]) -> dict[str, Any]:
    rest = f"127.0.0.1:{node.rest_port}"
    place = f"127.0.0.1:{node.port}"
    trusted = ["host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust"]
    return {
        "scope": "meetings",
        "name": node.name,
        "restapi": {"listen": rest, "connect_address": rest},
        "etcd3": {"hosts": hosts},
        "bootstrap": {
            "dcs": {
                "ttl": TTL,
                "loop_wait": LOOP,
                "retry_timeout": RETRY,
                "synchronous_mode": True,
                "postgresql": {"use_pg_rewind": True},
            },
            "initdb": [{"auth": "trust"}, {"encoding": "UTF8"}, {"locale": "C"}],
            "pg_hba": ["local all all trust", *trusted],
        },
        "postgresql": {
            "listen": place,
            "connect_address": place,
            "data_dir": str(node.data),
            "bin_dir": str(programs),
            "pgpass": str(folder / f"{node.name}.pgpass"),
            "authentication": {
                "superuser": {"username": "postgres"},
                "replication": {"username": "replicator"},
                "rewind": {"username": "postgres"},
            },
            "parameters": {"unix_socket_directories": str(folder), "shared_buffers": "64MB"},
        },
    }
