"""What waits to be written to a control connection: messages, and the descriptors that go with them."""

import math
import socket
from typing import Generic, TypeVar

import anyio
import anyio.abc

from common.descriptors import close_all
from supervisor.protocol import FromGateway, FromSupervisor, encode

Message = TypeVar("Message", bound=FromGateway | FromSupervisor)


class Outgoing(Generic[Message]):
    """The messages that are to go out over `stream`, `room` of them at most. It owns their descriptors."""

    def __init__(self, stream: anyio.abc.UNIXSocketStream, room: float = math.inf) -> None:
        self._stream = stream
        self._queue, self._unsent = anyio.create_memory_object_stream[tuple[Message, tuple[int, ...]]](room)

    def __repr__(self) -> str:
        return f"<Outgoing: {self._queue.statistics().current_buffer_used} messages>"

    def put(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        """Queue `message`; `fds` are closed once they are sent, or if they cannot be. False where it was not queued."""
        try:
            self._queue.send_nowait((message, fds))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            close_all(fds)
            return False
        return True

    def end(self) -> None:
        """Nothing more comes; what is queued is still written."""
        self._queue.close()

    async def write_all(self) -> bool:
        """Write what is queued, and what will be until the `end`; False where the peer takes no more.

        Then it is heard out, a goodbye perhaps: what it wrote before can still be read. Cancelled, this may leave half a
        frame: that is for a connection at its end alone.
        """
        async for message, fds in self._unsent:
            try:
                if fds:
                    await self._stream.send_fds(encode(message, len(fds)), fds)
                else:
                    await self._stream.send(encode(message))
            except anyio.BrokenResourceError:
                self._stream.extra(anyio.abc.SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)
                return False
            finally:
                close_all(fds)
        return True

    def drop(self) -> None:
        """Forget what was not written."""
        self._queue.close()
        while True:
            try:
                _, fds = self._unsent.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                self._unsent.close()
                return
            close_all(fds)
