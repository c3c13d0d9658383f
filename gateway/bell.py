"""What wakes whoever waits for news. While nobody waits, it costs nothing."""

import asyncio
from contextvars import Context
from typing import Final

FOR_EVER: Final = 1e8
"""Seconds; whoever waits for that long needs no clock."""


class Bell:
    """Rings for those who wait just then."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        return f"<Bell for {len(self._waiting)}>"

    def ring(self) -> None:
        """Wake everybody."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            _wake(each)

    async def wait(self, within: float) -> None:
        """Until it rings, `within` seconds at most. Cancellation is as for any wait."""
        if within <= 0:
            return
        loop = asyncio.get_running_loop()
        news = loop.create_future()
        self._waiting.append(news)
        # In a context of its own: the caller's holds the whole request.
        timer = loop.call_later(within, _wake, news, context=Context()) if within < FOR_EVER else None
        try:
            await news
        finally:
            if timer is not None:
                timer.cancel()
            if news in self._waiting:
                self._waiting.remove(news)


def _wake(news: "asyncio.Future[None]") -> None:
    if not news.done():
        news.set_result(None)
