"""One deadline for each of many, all of the same length, with one timer for all of them."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Clock(Generic[T]):
    """Calls `ring` with whatever was not stopped `seconds` after it was started.

    To start and to stop costs two operations on a dictionary. Whatever is started again is last in it, so the first is
    always the one that is due next.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, ring: Callable[[T], object]) -> None:
        self._loop = loop
        self._seconds = seconds
        self._ring = ring
        self._since: dict[T, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Clock of {self._seconds:g} seconds for {len(self._since)}>"

    def start(self, each: T) -> None:
        """`each` has all its time from now on."""
        self._since.pop(each, None)
        self._since[each] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(self._seconds, self._due)

    def stop(self, each: T) -> None:
        """`each` has no deadline any more, if it had one."""
        self._since.pop(each, None)

    def close(self) -> None:
        """Ring no more."""
        self._since.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = []
        for each, since in self._since.items():
            # A loop's timers are rounded to its clock's resolution, and may come that much too early.
            if since + self._seconds > now + 0.002:
                break
            due.append(each)
        for each in due:
            if self._since.pop(each, None) is not None:
                self._ring(each)
        if self._since and self._timer is None:
            first = next(iter(self._since.values()))
            self._timer = self._loop.call_later(max(0.0, first + self._seconds - now), self._due)
