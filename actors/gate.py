"""Where requests enter an engine, and where it is stopped. No vLLM here."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any


class Gate:
    """Whoever is in it is alone in adding requests to the engine or in pausing it.

    Belongs to the event loop that it is made in.

    Args:
        core: the client of the engine core (`AsyncLLM.engine_core`).
    """

    def __init__(self, core: Any) -> None:
        self._core = core
        self._lock = asyncio.Lock()
        self._until_open = AsyncExitStack()

    def entered(self) -> AbstractAsyncContextManager[None]:
        """Requests may be added inside."""
        return self._lock

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Nothing is computed inside, no request enters, and the cache is empty.

        After an error other than a refused request the engine stays paused: nobody knows what
        weights it holds.
        """
        async with self._lock:
            await self._core.pause_scheduler_async(mode="keep", clear_cache=True)
            # What was sampled before is here, but perhaps not counted yet.
            while not self._core.outputs_queue.empty():
                await asyncio.sleep(0)
            try:
                yield
            except ValueError:
                await self._core.resume_scheduler_async()
                raise
            await self._core.resume_scheduler_async()

    async def close(self) -> None:
        """Be `paused` from now on, until `opening` is left."""
        await self._until_open.enter_async_context(self.paused())

    @property
    def opening(self) -> AbstractAsyncContextManager[Any]:
        """The end of what `close` began."""
        return self._until_open
