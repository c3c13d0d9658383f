"""Back-pressure: a child is not read while a stream of its session is full, but not for ever.

A client that takes nothing from its full stream for STALL seconds would hold up every other answer of the same child;
it is cut off. So is one that takes so slowly that its stream stays full for SLOW seconds on end.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.outbox import Outbox

STALL: Final = 10.0
"""Seconds for which a full stream may hold up its child without the client taking anything from it."""

SLOW: Final = 60.0
"""Seconds on end for which a full stream may hold up its child, whatever the client takes from it meanwhile: some 13 KB
a second are enough. Who takes less may come back for the rest where its stream is recorded."""


class Pressure:
    """Follows the levels of one session's outboxes.

    `pause` is called whenever an outbox becomes full, `resume` when one no longer is and none of the others is; both may
    be called again. `cut_off(outbox)` is called `patience` seconds after the client took something for the last time,
    or once the outbox has been full for `longest` seconds and a little, and is to discard it.
    """

    def __init__(
        self,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        cut_off: Callable[[Outbox], None],
        patience: float = STALL,
        longest: float = SLOW,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._cut_off = cut_off
        self._patience = patience
        self._longest = longest
        self._full: dict[Outbox, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Pressure of {len(self._full)} full streams>"

    def on_level(self, outbox: Outbox, full: bool) -> None:
        """`outbox` is full now, or no longer; for Outbox."""
        if full:
            self._watch(outbox, self._loop.time())
            self._pause()
        elif (timer := self._full.pop(outbox, None)) is not None:
            timer.cancel()
        if not self._full:
            self._resume()

    def end(self) -> None:
        """Nobody is cut off any more."""
        for timer in self._full.values():
            timer.cancel()
        self._full.clear()

    def _watch(self, outbox: Outbox, since: float) -> None:
        self._full[outbox] = self._loop.call_later(self._patience, self._look, outbox, outbox.taken, since)

    def _look(self, outbox: Outbox, taken: int, since: float) -> None:
        if outbox.taken > taken and self._loop.time() - since < self._longest:
            self._watch(outbox, since)
        else:
            self._cut_off(outbox)
