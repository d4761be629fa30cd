"""The world around a run, in one thread: its SQLite, clock and disk, and who else is at work.

Everything that happens beside the engine is drawn from a seed, and happens between two statements.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

import apsw
import greenlet
from peewee import SqliteDatabase

from guarded import copies
from guarded.backends.sqlite import processes
from guarded.backends.sqlite.connect import SqliteFile
from tests import apsw_driver
from tests.simulator.clock import CLOCK, SYSTEM
from tests.simulator.disk import Disk, watched
from tests.simulator.reference import make_ready, opened, texts

STAYS = 0.97  # how likely the same one goes on with its next statement
DAY = 86_400.0


@dataclass(frozen=True)
class Schedule:
    """All that happens around a run.  ``driver``: "python", and then nothing does, or "apsw".

    ``native``: SQLite's newer ALTER TABLE is used.  ``writes`` are of a live application, ``readers``
    look again and again.  ``fault`` is a kind of ``disk``, ``way`` the direction of the run that it hits, and
    ``point`` where, from 0 to 1.
    """

    seed: int = 0
    driver: str = "python"
    native: bool = False
    runners: int = 1
    writes: tuple[str, ...] = ()
    readers: int = 0
    jumps: bool = False
    cache: int = -16_000
    fault: str = ""
    point: float = 0.0
    way: str = "up"


CALM = Schedule()


class Taken(NamedTuple):
    """A transaction of a runner: the database at its beginning and at its end."""

    runner: int
    before: apsw.Connection
    after: apsw.Connection


@dataclass
class World:
    """``events``: each Taken, and each write that was acknowledged, in their order."""

    schedule: Schedule
    path: Path
    events: list[Taken | str] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = Random(self.schedule.seed)
        self.hub = greenlet.getcurrent()
        self.runner = 0
        self.writer: Driven | None = None
        self.began: apsw.Connection | None = None
        self.others = 0

    # The engine's side.

    @contextmanager
    def around(self, disk: Disk | None = None) -> Iterator[None]:
        """In the block the engine meets this world.  By Python's own driver it meets the real one."""
        if self.schedule.driver == "python":
            yield
            return
        disk = disk or Disk(self.path.parent)
        handlers = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
        self.disk, self.open = disk, set[Driven]()
        with ExitStack() as stack:
            put = stack.enter_context
            put(patch.object(sqlite3, "connect", self.connect))
            if self.schedule.native:
                put(patch.object(SqliteDatabase, "server_version", apsw_driver.VERSION))
            put(patch.object(SqliteFile, "cache_size", self.schedule.cache))
            put(patch.object(processes, "holders", lambda path: []))
            put(patch.object(copies, "datetime", Dated))
            put(patch.object(time, "monotonic", CLOCK.monotonic))
            put(patch.object(time, "perf_counter", CLOCK.monotonic))
            put(patch.object(time, "time", CLOCK.time))
            put(patch.object(time, "sleep", self.sleep))
            put(
                patch.object(sys, "unraisablehook", lambda _: None)
            )  # of a disk that fails in a close
            for name, function in watched(disk).items():
                put(patch.object(os, name, function))
            try:
                yield
            finally:
                for connection in list(self.open):
                    connection.close()
                disk.system.unregister()
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def connect(self, database: Any, **options: Any) -> Driven:
        return Driven(self, str(database), **options)

    def pause(self) -> None:
        """Between two statements of one runner."""
        if self.schedule.jumps and self.random.random() < 0.01:
            CLOCK.jumped += self.random.choice((-DAY, -1.0, 1.0, DAY))
        if self.others and self.random.random() > STAYS:
            self.give_way()

    def sleep(self, seconds: float) -> None:
        CLOCK.passed += seconds
        self.give_way()

    def give_way(self) -> None:
        if greenlet.getcurrent() is not self.hub:
            self.hub.switch()

    def begins(self) -> None:
        self.began = opened(self.path)

    def ends(self) -> None:
        if self.began is not None:
            self.events.append(Taken(self.runner, self.began, opened(self.path)))
            self.began = None

    # All that are there.

    def run(self, work: Callable[[], Any]) -> list[Any]:
        """What each of the runners got; the last of the others ends before this does."""
        outcomes: dict[int, Any] = {}

        def runner(number: int) -> None:
            outcomes[number] = work()

        self.hub = greenlet.getcurrent()
        tasks: list[tuple[int, greenlet.greenlet]] = []
        for number in range(self.schedule.runners):
            tasks.append((number, greenlet.greenlet(lambda number=number: runner(number))))
        if self.schedule.writes:
            tasks.append((-1, greenlet.greenlet(self.write)))
        tasks += [(-1, greenlet.greenlet(self.read)) for _ in range(self.schedule.readers)]
        self.others = len(tasks) - 1
        while tasks:
            number, task = self.random.choice(tasks)
            self.runner = number
            task.switch()
            tasks = [(n, t) for n, t in tasks if not t.dead]
            self.others = len(tasks) - 1
        return [outcomes[number] for number in range(self.schedule.runners)]

    def idle(self) -> None:
        for _ in range(self.random.randrange(5)):
            self.hub.switch()

    def write(self) -> None:
        """A live application's writes, each a transaction of its own."""
        connection = apsw.Connection(str(self.path), vfs=SYSTEM)
        make_ready(connection)
        for sql in self.schedule.writes:
            self.idle()
            with suppress(apsw.Error):
                connection.execute(sql)
                self.events.append(sql)
        connection.close()

    def read(self) -> None:
        """The schema as others see it, twice in each transaction."""
        connection = apsw.Connection(str(self.path), vfs=SYSTEM)
        for _ in range(4):
            self.idle()
            with suppress(apsw.BusyError):
                connection.execute("BEGIN")
                first = texts(connection)
                self.idle()
                self.seen.append((first, texts(connection)))
            if connection.in_transaction:
                connection.execute("COMMIT")
        connection.close()


class Dated:
    """Stands for ``datetime`` where files get their names."""

    now = staticmethod(CLOCK.now)
    strptime = staticmethod(copies.datetime.strptime)


class Driven(apsw_driver.Connection):
    """A connection of the engine's: apsw's, behind the interface of Python's driver."""

    def __init__(
        self,
        world: World,
        database: str,
        *,
        uri: bool = False,
        cached_statements: int = 100,
        **_: Any,
    ) -> None:
        self.world, self.is_file = world, database != ":memory:"
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI * uri
        super().__init__(
            database,
            world.disk.system.name if self.is_file else SYSTEM,
            flags=flags,
            statementcachesize=cached_statements,
        )
        if self.is_file:
            world.open.add(self)

    def cursor(self) -> apsw_driver.Cursor:
        return Stepping(self)

    def close(self) -> None:
        self.world.open.discard(self)
        with suppress(sqlite3.Error):  # Python's driver says nothing of a disk that fails here
            super().close()
        if self is self.world.writer:
            self.world.ends()


class Stepping(apsw_driver.Cursor):
    def __init__(self, connection: Driven) -> None:
        super().__init__(connection.apsw)
        self.connection = connection

    def execute(self, sql: str, params: Sequence[Any] = ()) -> apsw_driver.Cursor:
        connection = self.connection
        world = connection.world
        if connection.is_file:
            world.pause()
        super().execute(sql, params)
        if sql == "BEGIN IMMEDIATE":
            world.writer = connection
            world.begins()
        elif sql in ("COMMIT", "ROLLBACK") and connection is world.writer:
            world.ends()
        return self
