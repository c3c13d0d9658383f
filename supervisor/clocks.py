"""The two clocks of a child: the idle one, which every use of it winds up again, and that of its whole lifetime."""

import asyncio
import time
from collections.abc import Callable

from common.reasons import Reason
from supervisor.child import Child
from supervisor.protocol import EXPIRY_NOTICE, Expiring


class Clocks:
    """Starts them. `ask` is given the question that comes before a lease ends as idle; `end(child, reason)` ends it.

    A child stops its own (`Child.stop_idling`, `Child.disarm`).
    """

    def __init__(self, ask: Callable[[Expiring], None], end: Callable[[Child, Reason], None]) -> None:
        self._ask = ask
        self._end = end

    def __repr__(self) -> str:
        return "<Clocks>"

    def start(self, child: Child) -> None:
        """Both, from its spawn on."""
        self.watch_idleness(child)
        lifetime = child.spec.max_lifetime
        child.lifetime_timer = asyncio.get_running_loop().call_later(lifetime, self._end, child, Reason.MAX_LIFETIME)

    def watch_idleness(self, child: Child) -> None:
        """Ask once before the lease ends as idle; the clock that matters is `last_used`, so a renewal costs nothing."""
        loop = asyncio.get_running_loop()
        left = child.last_used + child.spec.idle_timeout - time.monotonic()
        if left > 0:
            child.idle_timer = loop.call_later(left, self.watch_idleness, child)
            return
        self._ask(Expiring(child.lease))
        child.idle_timer = loop.call_later(EXPIRY_NOTICE, self._expire, child, time.monotonic())

    def _expire(self, child: Child, asked: float) -> None:
        if child.last_used >= asked:
            self.watch_idleness(child)
        else:
            self._end(child, Reason.IDLE_TIMEOUT)
