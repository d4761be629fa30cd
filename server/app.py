"""The HTTP application: routes, errors, and what runs beside the requests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from server import __version__, answers, housekeeping, pages
from server.api import guests, health, invitations, meetings, participants, sessions, settings
from server.db.model import create_memory_tables
from server.door import Door
from server.state import LOOK_AGAIN, Server

ROUTERS = (
    health.router,
    pages.router,
    settings.public,
    settings.signed,
    sessions.public,
    sessions.signed,
    meetings.router,
    participants.router,
    guests.public,
    guests.guests,
    guests.signed,
    invitations.router,
)


def create_app(server: Server) -> ASGIApp:
    """Live at once; ready when the schema is current, which is looked at every second."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        create_memory_tables()
        server.start()
        server.every(LOOK_AGAIN, lambda: _look(server), "looking at the schema")
        server.every(server.settings.purge_interval, lambda: _purge(server), "housekeeping")
        yield
        server.stop()

    # The pages that FastAPI makes of /openapi.json load scripts from another host.
    app = FastAPI(
        title="Meeting Server",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.server = server
    answers.install(app, [route for router in ROUTERS for route in router.routes])
    for router in ROUTERS:
        app.include_router(router)
    return Door(app, server)


def _look(server: Server) -> None:
    contradiction = server.look().contradiction
    if contradiction and not server.settings.stay_on_fault:  # somebody migrated with newer code
        server.fail(contradiction)


def _purge(server: Server) -> None:
    if server.is_ready:
        housekeeping.purge(server)
