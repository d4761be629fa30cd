"""States of the world that tests start from."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from textwrap import dedent, indent

import pytest

from guarded import diff
from guarded.backends.interface import Patience
from guarded.backends.sqlite.connect import SqliteFile
from guarded.backends.sqlite.inspect import Inspector
from guarded.backends.sqlite.text import fold
from guarded.project import Models, Project
from guarded.run import Runner
from guarded.schema import Schema
from server.migrations.migrate import migrator
from tests import apsw_driver, postgres

ROOT = Path(__file__).parent.parent
MIGRATE = ROOT / "server" / "migrations" / "migrate.py"
# Of the former server; without the one that has a history.
LEGACY = sorted(
    {path.stem for path in (ROOT / "tests" / "legacy").glob("*.sqlite")} - {"first_edition"}
)


def project_files() -> list[str]:
    """The files of the project, as a clone or the sdist has them, by their paths in it."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    sources = next(ROOT.glob("*.egg-info/SOURCES.txt"), None)
    if done.returncode and sources is not None:  # an sdist
        names = [name for name in sources.read_text().splitlines() if ".egg-info/" not in name]
    else:
        names = done.stdout.splitlines()
    return sorted(name for name in names if (ROOT / name).is_file())


def below_where(out: str) -> str:
    """Return the output without the first line, which names the database: test_where holds it."""
    return re.sub(r"\Adatabase \S.*\n", "", out)


Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_URL", "DB_PATH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be; there is none yet."""
    return tmp_path / "meetings.sqlite"


def copy_legacy(name: str, to: Path) -> Path:
    return Path(shutil.copyfile(ROOT / "tests" / "legacy" / f"{name}.sqlite", to))


@pytest.fixture
def cli(path: Path) -> Cli:
    """The real command line, in a process of its own, on ``path``."""

    def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(MIGRATE), "--database", str(path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, **options)
        done.stdout = below_where(done.stdout)
        return done

    return run


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Project]:
    """A project with a short list of migrations of its own: name to the text of the file."""

    def make(files: Mapping[str, str], *, persistent: tuple = (), in_memory: tuple = ()) -> Project:
        folder = tmp_path / "migrations"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.py").write_text(text)
        return Project(
            name="test",
            version="test",
            directory=folder,
            listed=list(files),
            models=lambda: Models(persistent, in_memory),
            migrator=migrator,
            location=lambda: str(tmp_path / "meetings.sqlite"),
        )

    return make


@pytest.fixture
def file(path: Path) -> SqliteFile:
    """How runs open the database."""
    return SqliteFile(path)


@pytest.fixture(params=["Python's SQLite", "a newer SQLite"])
def either_sqlite(request: pytest.FixtureRequest, path: Path) -> SqliteFile:
    """For a test with `file = either_sqlite`: SQLite as it is, and with all its native ALTERs."""
    return SqliteFile(path) if request.param == "Python's SQLite" else apsw_driver.File(path)


@pytest.fixture
def make_runner(make_project: Callable[..., Project], file: SqliteFile) -> Callable[..., Runner]:
    def make(files: Mapping[str, str], **models: tuple) -> Runner:
        return Runner(make_project(files, **models), file, Patience(5))

    return make


@pytest.fixture
def connect(path: Path):
    """Connections with foreign keys on, to ``path`` if nothing else is said; closed at the end."""
    connections = []

    def open_one(where: Path | str = path) -> sqlite3.Connection:
        connection = sqlite3.connect(where, isolation_level=None)
        connection.execute("PRAGMA foreign_keys = ON")
        connections.append(connection)
        return connection

    yield open_one
    for connection in connections:
        connection.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgres", metavar="BIN", help="a folder with PostgreSQL's programs")
    parser.addoption("--served", default="sqlite", help="what tests/server serves: or postgresql")


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> Iterator[postgres.Server]:
    """A running PostgreSQL, of this process of the tests."""
    binaries = request.config.getoption("--postgres")
    with postgres.running(Path(binaries) if binaries else None) as server:
        yield server


@pytest.fixture
def postgres_url(
    postgres_server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The URL of an empty database on it, with the server's own pg_dump first in the PATH."""
    monkeypatch.setenv("PATH", f"{postgres_server.binaries}{os.pathsep}{os.environ['PATH']}")
    with postgres_server.database() as name:
        yield postgres_server.url(name)


def populate(path: Path, meetings: int) -> None:
    """Add meetings of four participants each."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"""
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {meetings})
            INSERT INTO meetings (meeting_id, title, created_by, start_time, end_time)
                SELECT 'mtg_' || i, 'Meeting ' || i, 'user_' || (i % 97), '2025-12-12 10:00:00',
                    '2025-12-12 11:00:00' FROM n;
            WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4)
            INSERT INTO meeting_participants (meeting_id, user_id)
                SELECT meeting_id, 'user_' || ((rowid + i) % 97) FROM meetings, n
                WHERE meeting_id NOT IN (SELECT meeting_id FROM meeting_participants);
            """
        )


def row_counts(connection: sqlite3.Connection) -> dict[str, int]:
    names = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' "
        "ESCAPE '\\'"
    ).fetchall()
    return {
        name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
        for (name,) in names
    }


def schema_of(connection: sqlite3.Connection) -> list[tuple]:
    return connection.execute(
        "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name"
    ).fetchall()


def as_unprivileged() -> dict[str, object]:
    """Arguments for subprocess that make a file's mode count, also when root runs the tests."""
    return {"preexec_fn": _drop_capabilities} if os.geteuid() == 0 else {}


def _drop_capabilities() -> None:
    bounding_set_drop, dac_override, dac_read_search = 24, 1, 2  # <linux/prctl.h>, capability.h
    for capability in (dac_override, dac_read_search):
        if ctypes.CDLL(None).prctl(bounding_set_drop, capability, 0, 0, 0):
            raise OSError("root can't give up reading and writing everything")


def migration(up: str, down: str | None = None) -> str:
    """The text of a migration file."""
    text = '"""A migration of a test."""\n\nfrom peewee import *\n\n\n'
    text += f"def up(migrator, db):\n{indent(dedent(up), '    ')}\n"
    if down is not None:
        text += f"\n\ndef down(migrator, db):\n{indent(dedent(down), '    ')}\n"
    return text


@pytest.fixture
def apply(make_runner: Callable[..., Runner]) -> Callable[..., list[tuple[str, str, str]]]:
    """Run migrations with these bodies, one run for each; gives the steps of the last."""
    files: dict[str, str] = {}

    def run(*bodies: str) -> list[tuple[str, str, str]]:
        for body in bodies:
            name = f"change_{len(files)}"
            files[name] = migration(body)
            try:
                done = make_runner(files).up()
            except Exception:
                del files[name]
                raise
        return [(s.action.value, str(s.target), s.note) for o in done.outcomes for s in o.steps]

    return run


def ruff(text: str, *command: str) -> str:
    """What ruff says about a migration of this text; nothing where it is not installed."""
    program = shutil.which("ruff", path=str(Path(sys.executable).parent))
    if program is None:
        return ""
    name = ROOT / "server" / "migrations" / "new.py"  # whose rules apply; there is no such file
    whole = [program, *command, "--quiet", "--stdin-filename", str(name), "-"]
    done = subprocess.run(whole, input=text, capture_output=True, text=True, cwd=ROOT)
    return done.stdout + done.stderr


FAULTS = pytest.StashKey[dict[str, int]]()


@pytest.fixture
def count_fault(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Count one fault of a kind, or so many, that was survived."""
    counts = request.config.stash.setdefault(FAULTS, {})

    def count(kind: str, number: int = 1) -> None:
        counts[kind] = counts.get(kind, 0) + number

    return count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many faults were tried; one that is not survived fails its test."""
    counts = terminalreporter.config.stash.get(FAULTS, {})
    for kind, count in counts.items():
        terminalreporter.write_line(f"survived {count:>6}  {kind}")


def declared_schema(models: Sequence[type]) -> Schema:
    return SqliteFile(Path()).declared(models)


def live_schema(connection: sqlite3.Connection) -> Schema:
    return Inspector(connection.execute).schema()


def compare(declared: Schema, live: Schema) -> tuple[diff.Difference, ...]:
    return diff.compare(declared, live, fold)
