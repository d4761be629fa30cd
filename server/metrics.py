"""Metrics for Prometheus: what was asked and answered, and how the server and its data are.

Everything about the state is looked up when Prometheus asks.  A value that can't be known, as the
number of sessions in a database that can't be read, is left out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from peewee import DatabaseError, fn
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from guarded.backends.interface import Origin
from guarded.errors import UnusableDatabase
from server import __version__
from server.answers import Refusal
from server.db.model import ClientSession, ExternalSession, utc_now
from server.db.sql import moment
from server.db.troubles import Unusable

if TYPE_CHECKING:
    from server.state import Server

CONTENT_TYPE = CONTENT_TYPE_LATEST
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SCHEMA_STATES = ("current", "pending", "inconsistent", "unreadable")
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 35.0)

disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics:
    def __init__(self, server: Server) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "meeting_requests",
            "Answered requests",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "meeting_request_seconds",
            "Time to an answer; a long poll of a guest takes up to 30 s",
            ("route",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._registry.register(State(server))
        ProcessCollector(registry=self._registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class State(Collector):
    """The state of the server and its database at this moment."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def describe(self) -> list[Metric]:
        """Nothing, so that registering this does not look at anything."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield from self._readiness()
        yield from self._people()
        yield from self._files()
        yield from self._mail()

    def _readiness(self) -> Iterator[Metric]:
        server = self._server
        kind, version = server.served.version
        info = GaugeMetricFamily("meeting_info", "Versions", labels=("version", kind, "migration"))
        info.add_metric([__version__, version, server.readiness.newest or ""], 1)
        yield info
        yield GaugeMetricFamily("meeting_ready", "1 while /readyz is 200", int(server.is_ready))
        fault = GaugeMetricFamily(
            "meeting_fault", "1 for the code that /readyz answers with 503", labels=("code",)
        )
        if not server.is_ready:
            fault.add_metric([server.code], 1)
        yield fault
        schema = GaugeMetricFamily(
            "meeting_schema", "1 for the state of the schema", labels=("state",)
        )
        for state in SCHEMA_STATES:
            schema.add_metric([state], int(state == server.readiness.state))
        yield schema
        yield GaugeMetricFamily(
            "meeting_migrations_pending", "Migrations to run", len(server.readiness.pending)
        )

    def _people(self) -> Iterator[Metric]:
        with suppress(DatabaseError, Unusable, Refusal), self._server.reading():
            is_good = ClientSession.expires_at.is_null() | (
                moment(ClientSession.expires_at) > moment(utc_now())
            )
            count = ClientSession.select().where(is_good).count()
            yield GaugeMetricFamily("meeting_sessions", "Sessions that are signed in", count)
        guests = GaugeMetricFamily(
            "meeting_guests", "Guests by what they do: waiting for admission, in, or neither",
            labels=("state",),
        )  # fmt: skip
        counts = dict.fromkeys(("registered", "waiting", "admitted"), 0)
        names = {None: "registered", False: "waiting", True: "admitted"}
        row: Any = ExternalSession
        for guest in row.select(row.admitted, fn.count().alias("count")).group_by(row.admitted):
            counts[names[guest.admitted]] += guest.count
        for state, count in counts.items():
            guests.add_metric([state], count)
        yield guests

    def _files(self) -> Iterator[Metric]:
        served = self._server.served
        with suppress(OSError, UnusableDatabase, served.errors):
            size = served.backend.size()
            yield GaugeMetricFamily("meeting_database_bytes", "Size of the database", size)
        with suppress(OSError):
            if (free := served.space()) is not None:
                what = "Free beside the database"
                yield GaugeMetricFamily("meeting_disk_free_bytes", what, free)
        with suppress(OSError):
            taken = [copy for copy in served.backend.copies() if copy.origin is not Origin.RESTORE]
            yield GaugeMetricFamily("meeting_backups", "Backups beside the database", len(taken))
            if taken:
                newest = taken[-1]
                age = max(0.0, time.time() - newest.at.timestamp())
                yield GaugeMetricFamily(
                    "meeting_backup_age_seconds", "Since the newest backup was taken", age
                )
                yield GaugeMetricFamily(
                    "meeting_backup_bytes", "Size of the newest backup", newest.size
                )

    def _mail(self) -> Iterator[Metric]:
        letters = CounterMetricFamily("meeting_letters", "Letters by result", labels=("result",))
        letters.add_metric(["sent"], self._server.mail.sent)
        letters.add_metric(["failed"], self._server.mail.failed)
        yield letters
