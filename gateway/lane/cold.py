"""Hypercorn on a connection, from the first byte of a request that is not hot until it has answered all it was given."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.asyncio.worker_context import AsyncioSingleTask
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol

if TYPE_CHECKING:
    from gateway.lane.connection import Connection, Surroundings

LINGER: Final = 2.0
"""Seconds that a client has to take what is left for it, once its connection or the whole server is to be closed.

Less than the three seconds after which, at the server's end, answers are cancelled that a stuck client holds up.
"""

ROOM: Final = 2 * MAX_RECV
"""Bytes that are kept for Hypercorn before no more is read."""


class Cold(TCPServer):
    """Hypercorn's connection for as long as it is not at rest. It is fed, and reads and writes no socket by itself.

    It lets go of a socket whose client has hung up, or takes nothing more: Hypercorn 0.18 keeps the former until the
    keep-alive timeout is over, and waits for the latter without end.
    """

    def __init__(self, around: "Surroundings", connection: "Connection") -> None:
        out = _Writer(connection)
        nothing = cast("asyncio.StreamReader", None)
        super().__init__(
            around.app,
            around.loop,
            around.config,
            around.context,
            around.state,
            nothing,
            cast("asyncio.StreamWriter", out),
        )
        self._idle = _Idle(self._rested_enough, around.config.keep_alive_timeout)
        self.idle_task = cast("AsyncioSingleTask", self._idle)
        self._around = around
        self._connection = connection
        self._out = out
        self._unread = bytearray()
        self._ended = False
        """Whether no more comes."""
        self._released = False
        """Whether the connection is not Hypercorn's any more."""
        self._news = asyncio.Event()
        self._paused = False

    async def run(self) -> None:
        """Serve, until it is over. Of a connection that is gone before this begins, uvloop knows no address any more."""
        if not self._out.transport.is_closing():
            await super().run()

    def feed(self, data: bytes) -> None:
        """These bytes came."""
        self._unread += data
        self._news.set()
        if len(self._unread) > ROOM and not self._paused:
            self._paused = True
            self._connection.transport.pause_reading()

    def feed_eof(self) -> None:
        """The client sends no more."""
        self._ended = True
        self._news.set()

    def lost(self) -> None:
        """The connection is gone."""
        self.feed_eof()
        self._out.gone.set()

    def end(self) -> None:
        """The server ends: close now if nothing is being answered, else with the answer."""
        if self._idle.is_running:
            self._rested_enough()

    def _rested_enough(self) -> None:
        self._around.follow(self.loop.create_task(self._initiate_server_close(), name="close an idle connection"))

    async def protocol_send(self, event: Event) -> None:
        protocol = self.protocol.protocol
        if isinstance(event, Updated) and isinstance(protocol, H11Protocol):
            if not event.idle:
                protocol.keep_alive_requests = self._connection.count()
            elif not (self._unread or self._ended or protocol.connection.trailing_data[0]):
                self._released = True
                self.feed_eof()
                self._connection.take_back()
                return
        await super().protocol_send(event)

    async def _read_data(self) -> None:
        while not self._ended or self._unread:
            await self._news.wait()
            data = bytes(self._unread[:MAX_RECV])
            del self._unread[:MAX_RECV]
            if not self._unread and not self._ended:
                self._news.clear()
            if self._paused and len(self._unread) <= MAX_RECV:
                self._paused = False
                self._connection.transport.resume_reading()
            if not self._released:
                await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _close(self) -> None:
        if self._released:
            return
        linger = self.loop.call_later(LINGER, self._connection.transport.abort)
        await super()._close()
        linger.cancel()


class _Idle:
    """What Hypercorn uses of its `AsyncioSingleTask`, which is the keep-alive timeout, without a task."""

    def __init__(self, over: Callable[[], None], seconds: float) -> None:
        self._over = over
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """Whether Hypercorn is idle."""
        return self._timer is not None

    async def restart(self, *_: object) -> None:
        await self.stop()
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._over)

    async def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Writer:
    """What Hypercorn uses of an `asyncio.StreamWriter`."""

    def __init__(self, connection: "Connection") -> None:
        self.transport = connection.transport
        self.gone = asyncio.Event()
        self._connection = connection

    def get_extra_info(self, name: str) -> Any:
        return self.transport.get_extra_info(name)

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until there is room. Raises ConnectionResetError where the connection is gone."""
        if self.transport.is_closing():
            await asyncio.sleep(0)
        await self._connection.room()
        if self.gone.is_set():
            raise ConnectionResetError("connection lost")

    def write_eof(self) -> None:
        self.transport.write_eof()

    def close(self) -> None:
        self.transport.close()

    async def wait_closed(self) -> None:
        await self.gone.wait()
