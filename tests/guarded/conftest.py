"""States of the world for tests of the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guarded.project import Project
from tests.guarded import both


@pytest.fixture(params=both.KINDS)
def world(
    request: pytest.FixtureRequest, path: Path, make_project: Callable[..., Project]
) -> Iterator[both.World]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        found, connection = both.open_sqlite(path, make_project)
    else:
        url = request.getfixturevalue("postgres_url")
        found, connection = both.open_postgresql(url, path.parent / "backups", make_project)
    yield found
    connection.close()
