"""Event streams as answers: an outbox on one side, the client's connection on the other."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final

import anyio

from gateway import sse
from gateway.hot.exchange import Body, Reply, paced
from gateway.http.bodies import EVENT_STREAM
from gateway.large import Data, LargeAnswer
from gateway.outbox import Outbox

KEEP_ALIVE: Final = 15.0
"""Seconds between two comments on a quiet stream: under the timeouts of proxies, and of LibreChat."""

_HEADERS: Final = (
    ("Content-Type", EVENT_STREAM),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),  # nginx would hold events back
)


class EventStream(AbstractAsyncContextManager[AsyncIterator[bytes]]):
    """The body of an event stream; `on_close` is called once, however the stream ends.

    Whoever waits for anything between making it and beginning it must `abandon` its answer where the wait is cancelled:
    else it is never begun, never ends, and whatever is to end with it lives on.
    Every message passes `through` on its way; one of which nothing is left there is not sent. `write` makes an event of
    what is left and its id, unless it is long.
    """

    def __init__(
        self,
        outbox: Outbox,
        on_close: Callable[[], None],
        opening: bytes = sse.COMMENT,
        through: Callable[[Data], Data] = lambda data: data,
        write: Callable[[bytes, bytes], bytes] = sse.message,
    ) -> None:
        self._outbox = outbox
        self._through = through
        self._write = write
        self._on_close = on_close
        self._opening = opening

    async def __aenter__(self) -> AsyncIterator[bytes]:
        return self._events()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._on_close()

    def also_at_end(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, too, once it has ended."""
        first = self._on_close

        def both() -> None:
            first()
            callback()

        self._on_close = both

    def abandon(self) -> None:
        """It will never be begun."""
        self._on_close()

    async def _events(self) -> AsyncIterator[bytes]:
        # Something is sent at once: headers leave with the first byte of the body, and timeouts wait for headers.
        yield self._opening
        while True:
            try:
                event = await self._outbox.take_event(KEEP_ALIVE)
            except anyio.EndOfStream:
                return
            data = self._through(event.data) if event is not None else b""
            if event is None or not data:
                yield sse.COMMENT
            elif isinstance(data, LargeAnswer):
                async for piece in paced(sse.pieces(data, event.id)):
                    yield piece
            else:
                yield self._write(data, event.id)
            del event, data  # which may be long, and the next one may be long in coming


def event_stream(body: EventStream) -> Reply:
    """An answer that lasts as long as `body` does."""
    return Reply(200, body, [*_HEADERS])


def ended_stream(events: bytes) -> Reply:
    """A stream of which all is there already."""
    return Reply(200, events, [*_HEADERS])


def afterwards(body: Body, callback: Callable[[], None]) -> None:
    """Have `callback` called once nothing of `body` is still to come: now, where it is no event stream."""
    if isinstance(body, EventStream):
        body.also_at_end(callback)
    else:
        callback()


def abandon(body: Body) -> None:
    """Nobody will get `body`; nothing happens where it is no event stream."""
    if isinstance(body, EventStream):
        body.abandon()
