"""Messages on their way to one stream of the client.

The relay puts them in, the HTTP answer takes them out, each at its own pace. An outbox never refuses a message; it tells
the relay when it holds more than is good, and the relay stops reading the child until the client has caught up.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

import anyio

from gateway.errors import GatewayError

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
        self._messages: deque[bytes] = deque()
        self._bytes = 0
        self._full = False
        self._closed = False
        self._discarding = False
        self._news = anyio.Event()
        self.failure: GatewayError | None = None
        """Why the last message is the gateway's own error, and not the child's answer."""
        self.cut_off = anyio.Event()
        """Set when nobody will take anything any more."""
        self.taken = 0
        """How many messages the client has taken."""

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Outbox {state}: {len(self._messages)} messages, {self._bytes} bytes>"

    @property
    def held(self) -> int:
        """How many bytes wait to be taken."""
        return self._bytes

    def put(self, data: bytes) -> None:
        """One more message; dropped where nobody will take it."""
        if self._closed or self._discarding:
            return
        self._messages.append(data)
        self._bytes += len(data)
        self._tell()
        if self._bytes > HIGH_WATER and not self._full:
            self._full = True
            self._on_level(self, True)  # noqa: FBT003

    def close(self) -> None:
        """Nothing more will come; what is here may still be taken."""
        self._closed = True
        self._tell()

    def discard(self) -> None:
        """Nobody will take anything any more."""
        self._discarding = True
        self._messages.clear()
        self._bytes = 0
        self._lower()
        self._tell()
        self.cut_off.set()

    async def take(self, within: float) -> bytes | None:
        """The next message; None where none came `within` seconds. Raises EndOfStream after the last one."""
        if not self._messages and not self._at_end:
            with anyio.move_on_after(within):
                await self._news.wait()
        if self._messages:
            data = self._messages.popleft()
            self._bytes -= len(data)
            self.taken += 1
            self._lower()
            return data
        if self._at_end:
            raise anyio.EndOfStream
        return None

    async def settle(self, within: float) -> bool:
        """Wait for the first message or the end, `within` seconds at most.

        Whether that settled it: the outbox is closed, and holds one message or none.
        """
        if not self._messages and not self._at_end:
            with anyio.move_on_after(within):
                await self._news.wait()
        return self._at_end and len(self._messages) <= 1

    @property
    def _at_end(self) -> bool:
        return self._closed or self._discarding

    def _lower(self) -> None:
        if self._full and self._bytes <= LOW_WATER:
            self._full = False
            self._on_level(self, False)  # noqa: FBT003

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()
