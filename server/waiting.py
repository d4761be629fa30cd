"""Long polls: requests that wait until something about a guest changes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress

from starlette.concurrency import run_in_threadpool

MOST = 1000


class Waiting:
    """Waits are coroutines of one event loop; ``wake`` may come from any thread."""

    def __init__(self) -> None:
        self._waits: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0

    async def wait(
        self,
        who: str,
        seconds: float,
        stopping: asyncio.Event,
        has_to_wait: Callable[[], bool],
    ) -> None:
        """Until ``wake``, the end of the time, or of the server; at once if too many wait.

        ``has_to_wait`` is asked when a ``wake`` can no longer be missed.
        """
        if self._count >= MOST:
            return
        self._loop = asyncio.get_running_loop()
        changed = asyncio.Event()
        self._waits[who].add(changed)
        self._count += 1
        tasks = [asyncio.ensure_future(event.wait()) for event in (changed, stopping)]
        try:
            if not await run_in_threadpool(has_to_wait):
                return
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._count -= 1
            for task in tasks:
                task.cancel()
            self._waits[who].discard(changed)
            if not self._waits[who]:
                del self._waits[who]

    def wake(self, who: str) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._wake, who)

    def _wake(self, who: str) -> None:
        for event in self._waits.get(who, ()):
            event.set()
