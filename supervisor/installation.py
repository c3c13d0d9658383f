"""The phase before a gateway is let in: packages that are not there yet are waited for, for a while.

Its end is the end of the waiting, not of the fetches: one that takes longer goes on behind, and meanwhile its server is
refused, while all others serve. Where everything is there from an earlier run the phase is over before it begins.
"""

import sys
from contextlib import AbstractAsyncContextManager, nullcontext

import anyio
import anyio.lowlevel
from loguru import logger

from common import notify
from supervisor.fetches import Fetches
from supervisor.reload import Reloader


class Installation:
    """Waits for what `fetches` has begun, for `within` seconds from now at most."""

    def __init__(self, fetches: Fetches, within: float) -> None:
        self.over = anyio.Event()
        self._fetches = fetches
        self._deadline = anyio.current_time() + within
        if not fetches.missing():
            self.over.set()

    def __repr__(self) -> str:
        return f"<Installation of {', '.join(self._fetches.missing()) or 'nothing'}>"

    @property
    def left(self) -> float:
        """Seconds for which it goes on at most; 0 once it is over."""
        return 0.0 if self.over.is_set() else max(0.001, self._deadline - anyio.current_time())

    async def run(self, level: str) -> None:
        """Wait, and show on a terminal what is waited for; lines of `level` are logged meanwhile, as ever."""
        if self.over.is_set():
            return
        try:
            names = _count(self._fetches.missing())
            notify.notify(notify.status(f"installing {names}"))
            async with _bar(self._fetches, level):
                with anyio.move_on_after(self.left):
                    await self._fetches.all_there()
        finally:
            self.over.set()
        for spec, servers in self._fetches.missing().items():
            logger.warning("{} is still being fetched; refused until it is there: {}", spec, ", ".join(servers))


def _count(packages: dict[str, list[str]]) -> str:
    return f"{len(packages)} package{'' if len(packages) == 1 else 's'}"


def _bar(fetches: Fetches, level: str) -> AbstractAsyncContextManager[None]:
    """A bar where somebody sees it. Only there its library is loaded, which takes as long as all else of a start."""
    if not sys.stderr.isatty():
        return nullcontext()
    from supervisor.installbar import drawn

    return drawn(fetches, level)


async def follow(reload: Reloader, fetches: Fetches, waiting: set[str], within: float) -> None:
    """After a reload: tell it of each server `waiting`, once its package is there or `within` seconds are over."""
    left = set(waiting)
    with anyio.move_on_after(within):
        while left:
            there = await fetches.wait_for_any(left) & left
            await anyio.lowlevel.checkpoint_if_cancelled()  # by the next reload, which these would be taken for
            left -= there
            reload.installed(there, left)
    if left:
        await anyio.lowlevel.checkpoint_if_cancelled()
        for spec, servers in fetches.missing().items():
            logger.warning("{} is still being fetched; refused until it is there: {}", spec, ", ".join(servers))
        reload.installed(left, set())
