"""States of the world that tests of the server start from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.world import Api, User, migrate

ADMIN = "admin@example.org"


@pytest.fixture
def serve(path):
    """Starts server processes on ``path``."""
    started = []

    def start(**options) -> Api:
        started.append(Api(path, **options))
        return started[-1]

    yield start
    for api in started:
        api.kill()


@pytest.fixture
def api(serve, path) -> Api:
    """A server of this test alone, on a current database."""
    migrate(path)
    return serve().ready()


@pytest.fixture(scope="session")
def shared(tmp_path_factory, request) -> Iterator[Api]:
    """One server for all tests that leave it as it was; it trusts the tests as a proxy.

    On PostgreSQL with ``--served postgresql``.
    """
    path = tmp_path_factory.mktemp("shared") / "meetings.sqlite"
    on = {
        "ADMINS": ADMIN,
        "TRUSTED_PROXIES": "127.0.0.1",
        "PUBLIC_URL": "",
        "PURGE_INTERVAL": "3600",
    }
    if request.config.getoption("--served") == "postgresql":
        server = request.getfixturevalue("postgres_server")
        with server.database() as name:
            yield from _serving(path, DATABASE_URL=server.url(name), **on)
    else:
        yield from _serving(path, **on)


def _serving(path: Path, **environ: str) -> Iterator[Api]:
    migrate(environ.get("DATABASE_URL", path))
    api = Api(path, **environ).ready()
    yield api
    status, log = api.stop()
    assert status == 0
    assert "Traceback" not in log, log


@pytest.fixture
def user(shared) -> User:
    return shared.user()


@pytest.fixture
def other(shared) -> User:
    return shared.user()


@pytest.fixture(scope="session")
def admin(shared) -> User:
    return shared.user(ADMIN)
