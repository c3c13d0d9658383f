"""The time in which an id without a child must be used.

Anybody who may come in at all may ask for an id, so one of which nobody makes use ends by itself.
"""

import asyncio
from contextvars import Context
from typing import Final, Protocol

from common.reasons import Reason

UNUSED: Final = 300.0
"""Seconds after which an id without a child ends, if nothing was asked of it."""


RESOLUTION: Final = 0.002
"""Seconds by which a loop's timer may come too early."""


class Usable(Protocol):
    """What has an id: a session, or a session set."""

    @property
    def in_use(self) -> bool:
        """Whether anything was ever asked of a child behind it, and may be again."""

    def end(self, reason: Reason) -> None:
        """End it."""


class Unused:
    """Ends `idle` once it was not in use for UNUSED seconds after it was made, or `begin_anew` was called."""

    __slots__ = ("_idle", "_loop", "_since", "_timer")

    def __init__(self, idle: Usable) -> None:
        self._idle: Usable | None = idle
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.begin_anew()

    def __repr__(self) -> str:
        return f"<Unused {self._idle!r}>"

    def begin_anew(self) -> None:
        """Its time begins now. With every call: so a timer that runs is left alone, and finds out when it is due."""
        self._since = self._loop.time()
        if self._timer is None:
            self._arm(UNUSED)

    def cancel(self) -> None:
        """It has ended, and is not ended any more. Nothing else is called after this."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._idle = None  # which knows this one: else both would wait for the collector

    def _arm(self, seconds: float) -> None:
        # In a context of its own: the caller's holds the whole request.
        self._timer = self._loop.call_later(seconds, self._due, context=Context())

    def _due(self) -> None:
        self._timer = None
        left = self._since + UNUSED - self._loop.time()
        if left > RESOLUTION:
            self._arm(left)
        elif self._idle is not None and not self._idle.in_use:
            self._idle.end(Reason.UNUSED)
