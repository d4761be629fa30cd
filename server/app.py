"""The HTTP application: routes, errors, and what runs beside the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from server import __version__, answers, housekeeping
from server.db.model import create_memory_tables
from server.routes import not_ready, router
from server.state import LOOK_AGAIN, Server


def create_app(server: Server) -> FastAPI:
    """Live at once; ready when the schema is current, which is looked at every second."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        create_memory_tables()
        server.every(LOOK_AGAIN, lambda: _look(server), "looking at the schema")
        server.every(server.settings.purge_interval, lambda: _purge(server), "housekeeping")
        yield
        server.stop()

    app = FastAPI(title="Meeting Server", version=__version__, lifespan=lifespan)
    app.state.server = server
    answers.install(app)
    app.include_router(router)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        """200 while the process lives."""
        return {"status": "alive"}

    @app.get("/readyz")
    def readyz() -> dict[str, str | None]:
        """200 when requests are served; 503 with what is pending and the command to run."""
        readiness = server.readiness
        if not readiness.is_current:
            raise not_ready(readiness)
        return {"status": "ready", "migration": readiness.newest}

    @app.get("/version")
    def version() -> dict[str, Any]:
        return {
            "version": __version__,
            "sqlite": server.file.version.split()[-1],
            "migration": server.readiness.newest,
        }

    return app


def _look(server: Server) -> None:
    readiness = server.look()
    if readiness.contradiction:  # somebody migrated further, with newer code
        server.fail(readiness.contradiction)


def _purge(server: Server) -> None:
    if server.database is not None and server.readiness.is_current:
        housekeeping.purge(server.database)
