"""The watch over the servers, which lasts for as long as the application serves, under whatever ASGI server it does."""

import asyncio
from collections.abc import AsyncGenerator

from loguru import logger
from quart import Quart

from common.config.catalog import Publicity
from gateway.catalog.catalog import Catalog
from gateway.catalog.watch import Watch
from gateway.sessions import Sessions


def install(app: Quart, catalog: Catalog, sessions: Sessions, publicity: Publicity) -> None:
    """Have `app` look at the servers as `publicity` says, from its start until its end (ASGI: Lifespan)."""
    watch = Watch(catalog, sessions, at_start=publicity.list_at_start, interval=publicity.health_interval)

    async def look() -> AsyncGenerator[None]:
        # Not a task group: whoever serves an application may end it in another task than it began it in.
        task = asyncio.create_task(watch.run(), name="watch the servers")
        task.add_done_callback(_tell_of_fault)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    app.while_serving(look)


def _tell_of_fault(task: asyncio.Task[None]) -> None:
    """Nobody waits for it before the end, so nobody else would."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.opt(exception=fault).error("the servers are no longer looked at")
