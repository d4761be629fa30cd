"""Imports of the server point one way."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import ROOT
from tests.test_architecture import imports_of

SERVER = ROOT / "server"
FILES = [f for f in SERVER.rglob("*.py") if "migrations" not in f.relative_to(SERVER).parts]


def users_of(*packages: str) -> set[str]:
    return {
        str(file.relative_to(SERVER))
        for file in FILES
        if any(name == p or name.startswith(f"{p}.") for name in imports_of(file) for p in packages)
    }


def test_a_driver_is_imported_by_the_database_package_alone():
    assert {Path(name).parts[0] for name in users_of("sqlite3")} == {"db"}
    assert users_of("psycopg", "guarded.backends.postgresql") == {"db/remote.py"}


def test_the_engine_is_asked_by_the_gate_alone():
    """Others find the file by it, and open nothing but that."""
    engine = ("history", "plan", "run", "scripts", "status", "verbs", "operate", "author", "cli")
    modules = [f"guarded.{name}" for name in engine]
    assert users_of("server.migrations", *modules) == {"readiness.py"}


def test_the_environment_is_read_in_one_place():
    reading = [f.name for f in FILES if "environ" in f.read_text() or "getenv" in f.read_text()]
    assert reading == ["settings.py"]


def test_no_module_is_long():
    assert [f.name for f in FILES if len(f.read_text().splitlines()) > 350] == []
