"""The two clocks of a child: the idle one, which every use of it winds up again, and that of its whole lifetime.

What the gateway holds is used as long as the gateway says that it lives; one word a second is enough for all of them.
"""

import asyncio
import math
import time
from collections.abc import Callable

from common.reasons import Reason
from supervisor.child import Child
from supervisor.protocol import EXPIRY_NOTICE, Expiring


class Clocks:
    """Starts them. `ask` is given the question that comes before a lease ends as idle; `end(child, reason)` ends it.

    A child that ends stops its own (`Child.disarm`).
    """

    def __init__(self, ask: Callable[[Expiring], None], end: Callable[[Child, Reason], None]) -> None:
        self._ask = ask
        self._end = end
        self._renewed = -math.inf
        """When the gateway last said that it lives."""

    def __repr__(self) -> str:
        return "<Clocks>"

    def start(self, child: Child) -> None:
        """Both, from its spawn on."""
        self.watch_idleness(child)
        lifetime = child.spec.max_lifetime
        child.lifetime_timer = asyncio.get_running_loop().call_later(lifetime, self._end, child, Reason.MAX_LIFETIME)

    def renewed(self) -> None:
        """The gateway lives."""
        self._renewed = time.monotonic()

    def stop_idling(self, child: Child) -> None:
        """Stop the idle clock, whether it runs or its end was announced; the gateway that held it is gone."""
        if child.idle_timer is not None:
            child.idle_timer.cancel()
        child.last_used, child.held = self._last_used(child), False

    def _last_used(self, child: Child) -> float:
        return max(child.last_used, self._renewed) if child.held else child.last_used

    def watch_idleness(self, child: Child) -> None:
        """Ask once before the lease ends as idle; the clock that matters is its last use, so a renewal costs nothing."""
        loop = asyncio.get_running_loop()
        left = self._last_used(child) + child.spec.idle_timeout - time.monotonic()
        if left > 0:
            child.idle_timer = loop.call_later(left, self.watch_idleness, child)
            return
        self._ask(Expiring(child.lease))
        child.idle_timer = loop.call_later(EXPIRY_NOTICE, self._expire, child, time.monotonic())

    def _expire(self, child: Child, asked: float) -> None:
        if self._last_used(child) >= asked:
            self.watch_idleness(child)
        else:
            self._end(child, Reason.IDLE_TIMEOUT)
