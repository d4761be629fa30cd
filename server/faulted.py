"""Stay up without serving, for a fault that no restart can mend (STAY_ON_FAULT).

Whoever looks after the process finds it live and not ready, with the reason on /readyz and in the
log.  A container would else be started again and again, or stay down after its engine's restart.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from hypercorn.asyncio import serve
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from server.answers import answer, not_now
from server.serving import CannotListen, Connections, Listening, listen

MOST_CONNECTIONS = 64


def stay(why: str, host: str, port: int, seconds: float) -> bool:
    """Tell why on the port for a while; True when it is time to try again, False after a signal.

    Where the port can't be had, only the time passes.
    """
    return asyncio.run(_stay(why, host, port, seconds))


async def _stay(why: str, host: str, port: int, seconds: float) -> bool:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    is_over = asyncio.Event()
    loop.call_later(seconds, is_over.set)
    waits = [asyncio.ensure_future(event.wait()) for event in (stopping, is_over)]

    async def ended() -> None:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)

    try:
        listener = listen(host, port, Connections(MOST_CONNECTIONS))
    except CannotListen:
        await ended()
    else:
        config = Listening([listener])
        config.graceful_timeout = 1.0
        config.errorlog = logging.getLogger("server.fault")
        config.errorlog.setLevel(logging.WARNING)  # it starts again and again
        await serve(_application(why), config, shutdown_trigger=ended)
    return not stopping.is_set()


def _application(why: str) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            is_alive = scope["path"] == "/healthz"
            said = JSONResponse({"status": "alive"}) if is_alive else answer(not_now("fault", why))
            await said(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    return application
