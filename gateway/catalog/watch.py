"""Looks at the servers without anybody's asking: at the start, after a reload, and at intervals.

What becomes of it stands in the catalog, and in the log where something has changed.
"""

from collections.abc import Iterable
from typing import Final

import anyio
from loguru import logger

from common.reasons import Reason
from gateway.catalog.catalog import EACH_USERS_OWN, Catalog
from gateway.catalog.conditions import in_words
from gateway.catalog.entries import INTERVAL
from gateway.sessions import Sessions

FIRST: Final = 1.0
"""Seconds after the start in which whoever comes is served first."""

SEVERAL: Final = 2
"""Servers that are looked at at once at the start."""

WHILE_INSTALLING: Final = INTERVAL
"""Seconds between two looks at a server whose package is being installed: as often as questions may come at all."""

LEAST: Final = 0.5
"""Seconds between two looks, however many servers there are."""


class Watch:
    """Looks at the servers of `sessions`: at the start if `at_start`, and every `interval` seconds if that is given."""

    def __init__(self, catalog: Catalog, sessions: Sessions, *, at_start: bool, interval: float | None) -> None:
        self._catalog = catalog
        self._sessions = sessions
        self._at_start = at_start
        self._interval = interval

    def __repr__(self) -> str:
        return f"<Watch at_start={self._at_start} interval={self._interval}>"

    async def run(self) -> None:
        """Look, until cancelled, which ends the child that is being asked."""
        async with anyio.create_task_group() as tasks:
            if self._at_start:
                tasks.start_soon(self._look_after_reloads, name="look at servers after a reload")
                await anyio.sleep(FIRST)
                await self._look_at(self._sessions.policies)
            if self._interval is not None:
                await anyio.sleep(self._interval if self._at_start else 0)
                await self._go_round(self._interval)

    async def _look_after_reloads(self) -> None:
        """Look at those that are new or others, each time."""
        reloaded = self._catalog.reloaded
        while True:
            await reloaded.wait()
            reloaded = self._catalog.reloaded
            await self._look_at([each for each in self._sessions.policies if self._catalog.condition(each) is None])

    async def _look_at(self, servers: Iterable[str]) -> None:
        several = anyio.CapacityLimiter(SEVERAL)

        async def look(server: str) -> None:
            while True:
                async with several:
                    if await self._tell_of(server):
                        return
                await anyio.sleep(WHILE_INSTALLING)

        async with anyio.create_task_group() as tasks:
            for server in servers:
                tasks.start_soon(look, server, name=f"look at {server}")

    async def _tell_of(self, server: str) -> bool:
        """Whether it can be told of; else its package is still being installed."""
        listing = await self._catalog.look(server)
        if listing is None:
            logger.info("server '{}' is {}: what it offers is known once somebody asks", server, EACH_USERS_OWN)
        elif listing.failure is None and listing.offer is not None:
            took = f"started in {listing.offer.took:.1f} s"
            logger.info("server '{}': {}, {}", server, in_words(listing.offer), took)
        return listing is None or listing.failure is None or listing.failure.reason is not Reason.INSTALLING

    async def _go_round(self, interval: float) -> None:
        """Look at one after the other, spread over the interval."""
        while True:
            servers = [name for name, policy in self._sessions.policies.items() if not policy.personal]
            for server in servers:
                began = anyio.current_time()
                pause = interval / len(servers)
                await self._catalog.look(server)
                await anyio.sleep(max(LEAST, began + pause - anyio.current_time()))
            if not servers:
                await anyio.sleep(interval)
