"""What is to be written to a control connection: messages, and the descriptors that go with them.

A message goes into the socket at once where it has room and nothing waits before it. Who is told of something after a
message was put can then act on it at once: also a process that is killed in that moment had said it.
"""

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
        self._socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        self._queue, self._unsent = anyio.create_memory_object_stream[tuple[bytes, tuple[int, ...]]](room)
        self._waiting = 0
        """Frames that are queued or half written."""
        self._ended = False

    def __repr__(self) -> str:
        return f"<Outgoing: {self._waiting} messages>"

    def put(self, message: Message, fds: tuple[int, ...] = ()) -> bool:
        """Write `message`, or queue it; `fds` are closed once they are sent, or if they cannot be. False: neither."""
        frame = encode(message, len(fds))
        written = 0 if self._waiting or self._ended else self._write_now(frame, fds)
        if written:
            close_all(fds)
            fds = ()
        if written == len(frame):
            return True
        try:
            self._queue.send_nowait((frame[written:], fds))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            close_all(fds)
            return False
        self._waiting += 1
        return True

    def _write_now(self, frame: bytes, fds: tuple[int, ...]) -> int:
        """How many bytes of `frame` the socket took, and with the first of them all of `fds`.

        What else the socket has to say, a peer's end above all, it says again to `write_all`.
        """
        try:
            return socket.send_fds(self._socket, [frame], fds) if fds else self._socket.send(frame)
        except OSError:
            return 0

    def end(self) -> None:
        """Nothing more comes; what is queued is still written."""
        self._ended = True
        self._queue.close()

    async def write_all(self) -> bool:
        """Write what is queued, and what will be until the `end`; False where the peer takes no more.

        Then it is heard out, a goodbye perhaps: what it wrote before can still be read. Cancelled, this may leave half a
        frame: that is for a connection at its end alone.
        """
        async for frame, fds in self._unsent:
            try:
                if fds:
                    await self._stream.send_fds(frame, fds)
                else:
                    await self._stream.send(frame)
            except anyio.BrokenResourceError:
                self._socket.shutdown(socket.SHUT_RD)
                return False
            finally:
                close_all(fds)
            self._waiting -= 1
        return True

    def drop(self) -> None:
        """Forget what was not written."""
        self._ended = True
        self._queue.close()
        while True:
            try:
                _, fds = self._unsent.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                self._unsent.close()
                return
            close_all(fds)
