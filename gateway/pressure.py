"""Back-pressure: a child is not read while a stream of its session is full, but not for ever.

A client that takes nothing from its full stream for STALL seconds would hold up every other answer of the same child;
it is cut off. One that takes slowly is waited for, however long that lasts.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.outbox import Outbox

STALL: Final = 10.0
"""Seconds for which a full stream may hold up its child without the client taking anything from it."""


class Pressure:
    """Follows the levels of one session's outboxes.

    `pause` is called whenever an outbox becomes full, `resume` when one no longer is and none of the others is; both may
    be called again. `cut_off(outbox)` is called `patience` seconds after the client took something for the last time,
    and is to discard the outbox.
    """

    def __init__(
        self,
        *,
        pause: Callable[[], None],
        resume: Callable[[], None],
        cut_off: Callable[[Outbox], None],
        patience: float = STALL,
    ) -> None:
        self._pause = pause
        self._resume = resume
        self._cut_off = cut_off
        self._patience = patience
        self._full: dict[Outbox, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Pressure of {len(self._full)} full streams>"

    def on_level(self, outbox: Outbox, full: bool) -> None:
        """`outbox` is full now, or no longer; for Outbox."""
        if full:
            self._watch(outbox)
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

    def _watch(self, outbox: Outbox) -> None:
        self._full[outbox] = self._loop.call_later(self._patience, self._look, outbox, outbox.taken)

    def _look(self, outbox: Outbox, taken: int) -> None:
        if outbox.taken > taken:
            self._watch(outbox)
        else:
            self._cut_off(outbox)
