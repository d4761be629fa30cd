"""The state of the server, for everybody; only the metrics ask the database for anything."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from server import __version__, metrics
from server.answers import errors
from server.api.access import ServerHere

router = APIRouter(tags=["health"])


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Ready(BaseModel):
    status: Literal["ready"] = "ready"
    migration: str | None


class Version(BaseModel):
    """Ours, and that of the database's program; of ``sqlite`` and ``postgresql`` one is there."""

    version: str
    sqlite: str | None = None
    postgresql: str | None = None
    migration: str | None


@router.get("/healthz")
async def healthz() -> Alive:
    """200 while the process lives."""
    return Alive()


@router.get("/readyz", responses=errors(503))
async def readyz(server: ServerHere) -> Ready:
    """200 when requests are served; 503 with the reason, and the command to run."""
    server.require_ready()
    return Ready(migration=server.readiness.newest)


@router.get("/version", response_model_exclude_unset=True)
async def version(server: ServerHere) -> Version:
    kind, database = server.served.version
    found = {"version": __version__, kind: database, "migration": server.readiness.newest}
    return Version.model_validate(found)


@router.get("/metrics", include_in_schema=False)
def counters(server: ServerHere) -> Response:
    """For Prometheus; the door lets nobody in here but on METRICS_PORT."""
    return Response(server.metrics.text(), media_type=metrics.CONTENT_TYPE)
