"""Messages on their way to one stream of the client.

The relay puts them in, the HTTP answer takes them out, each at its own pace. An outbox never refuses a message; it tells
the relay when it holds more than is good, and the relay stops reading the child until the client has caught up.

One that is recorded writes everything into the log of its stream as well, also when nobody takes from it any more, so
that another outbox can go on with the stream.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from gateway.bell import FOR_EVER, Bell
from gateway.errors import GatewayError
from gateway.events import Event, Log
from gateway.large import Data

HIGH_WATER: Final = 1024 * 1024
LOW_WATER: Final = 256 * 1024
"""Bytes at which the child is no longer read, and at which it is again."""


class Outbox:
    """A queue of messages; each is taken once, in order. `on_level(full)` is called when the level crosses a mark."""

    def __init__(
        self, on_level: Callable[["Outbox", bool], None] = lambda _outbox, _full: None, *, stands: bool = False
    ) -> None:
        self.stands = stands
        """Whether it outlives the answers that go through it: a standing GET, an HTTP+SSE stream."""
        self._on_level = on_level
        self._log: Log | None = None
        self._messages: deque[Event] = deque()
        self._bytes = 0
        self._full = False
        self._closed = False
        self._discarding = False
        self._news = Bell()
        self.failure: GatewayError | None = None
        """Why the last message is the gateway's own error, and not the child's answer."""
        self._cut_off: anyio.Event | None = None
        self.taken = 0
        """How many messages the client has taken."""
        self.awaits = 1
        """How many answers come before it ends, where it does not stand."""

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Outbox {state}: {len(self._messages)} messages, {self._bytes} bytes>"

    @property
    def cut_off(self) -> anyio.Event:
        """Set when nobody will take anything any more."""
        if self._cut_off is None:
            self._cut_off = anyio.Event()
            if self._discarding:
                self._cut_off.set()
        return self._cut_off

    @property
    def held(self) -> int:
        """How many bytes wait to be taken."""
        return self._bytes

    @property
    def recorded(self) -> bool:
        """Whether another outbox could go on with its stream."""
        return self._log is not None

    @property
    def waiting(self) -> int:
        """How many messages wait to be taken."""
        return len(self._messages)

    def record(self, log: Log) -> None:
        """Write all that is here, and all that comes, into `log`."""
        self._log = log
        self._messages = deque(log.add(event.data) for event in self._messages)
        if self._closed:
            log.finish()

    def go_on(self, log: Log, number: int) -> None:
        """Begin with what is left in `log` after its message `number`, and record what comes there."""
        self._log = log
        for event in log.after(number):
            self.give(event)
        if log.finished:
            self.close()

    def put(self, data: Data) -> None:
        """One more message; dropped where nobody will take it, and where it would be kept for another outbox."""
        if self._closed:
            return
        event = self._log.add(data) if self._log is not None else Event(data)
        if not self._discarding:
            self.give(event)

    def give(self, event: Event) -> None:
        """One more message, which is in the log already, or in none."""
        self._messages.append(event)
        self._bytes += len(event.data)
        self._news.ring()
        if self._bytes > HIGH_WATER and not self._full:
            self._full = True
            self._on_level(self, True)  # noqa: FBT003

    def close(self) -> None:
        """Nothing more will come; what is here may still be taken."""
        if self._log is not None and not self._closed and not self.stands:
            self._log.finish()
        self._closed = True
        self._news.ring()

    def discard(self) -> None:
        """Nobody will take anything any more."""
        self._discarding = True
        self._messages.clear()
        self._bytes = 0
        self._lower()
        self._news.ring()
        if self._cut_off is not None:
            self._cut_off.set()

    async def take(self, within: float) -> Data | None:
        """The next message; None where none came `within` seconds. Raises EndOfStream after the last one."""
        event = await self.take_event(within)
        return event.data if event is not None else None

    async def take_event(self, within: float) -> Event | None:
        """The same, with its id."""
        if not self._messages and not self.at_end:
            await self._news.wait(within)
        if self._messages:
            event = self._messages.popleft()
            self._bytes -= len(event.data)
            self.taken += 1
            if self._log is not None:
                self._log.take(event)
            self._lower()
            return event
        if self.at_end:
            raise anyio.EndOfStream
        return None

    async def news(self, within: float) -> None:
        """Wait for a message, the end or a call of `wake`, `within` seconds at most."""
        await self._news.wait(within)

    def wake(self) -> None:
        """Have whoever waits go on as though there were news."""
        self._news.ring()

    async def settle(self, within: float) -> bool:
        """Wait for the first message or the end, `within` seconds at most.

        Whether that settled it: the outbox is closed, and holds one message or none.
        """
        if not self._messages and not self.at_end:
            await self._news.wait(within)
        return self.at_end and len(self._messages) <= 1

    async def end(self, within: float) -> bool:
        """Wait for the end, `within` seconds at most; whether it came. What is here may still be taken."""
        with anyio.move_on_after(within):
            while not self.at_end:
                await self._news.wait(FOR_EVER)
        return self.at_end

    @property
    def at_end(self) -> bool:
        """Whether no more messages come than those that wait to be taken."""
        return self._closed or self._discarding

    def _lower(self) -> None:
        if self._full and self._bytes <= LOW_WATER:
            self._full = False
            self._on_level(self, False)  # noqa: FBT003
