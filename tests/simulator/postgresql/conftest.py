"""The databases that cases are run on, on the server of the session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.postgres import Server
from tests.simulator.postgresql.trial import Bench


@pytest.fixture(scope="session")
def bench(postgres_server: Server) -> Iterator[Bench]:
    with closing(Bench(postgres_server)) as found:
        yield found
