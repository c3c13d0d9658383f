"""What comes over a control connection: bytes, and descriptors with them.

The socket is watched for as long as somebody takes what comes. A stream object has it watched anew for each message,
which costs more than all else that is done about one, and a session's life is five of them.
"""

import asyncio
import os
import socket
from typing import Final

import anyio
import anyio.abc

from common.descriptors import close_all
from supervisor.protocol import MAX_FDS

_READ: Final = 65536

Portion = tuple[bytes, list[int]]
"""What was read in one go."""


class Incoming:
    """What comes over `stream`, which nobody else reads from while in the context.

    One portion at most is kept, with its descriptors, until it is taken; what comes behind it stays in the socket.
    """

    def __init__(self, stream: anyio.abc.UNIXSocketStream) -> None:
        self._socket = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        self._fd = self._socket.fileno()
        self._loop = asyncio.get_running_loop()
        self._came: Portion | None = None
        self._error: Exception | None = None
        """Why nothing more comes."""
        self._waiter: asyncio.Future[None] | None = None
        self._is_watched = False

    def __repr__(self) -> str:
        return f"<Incoming, {'at its end' if self._error else 'open'}>"

    def __enter__(self) -> "Incoming":
        return self

    def __exit__(self, *_: object) -> None:
        self._watch(wanted=False)
        if self._came is not None:
            close_all(self._came[1])
            self._came = None

    async def receive(self) -> Portion:
        """What has come, and the descriptors that came along, close-on-exec; these are the caller's.

        Raises EndOfStream where the peer says no more, BrokenResourceError where it is gone. Cancellation loses nothing.
        """
        while self._came is None:
            if self._error is not None:
                raise self._error
            self._watch(wanted=True)
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        came, self._came = self._came, None
        return came

    def _watch(self, *, wanted: bool) -> None:
        if wanted == self._is_watched:
            return
        self._is_watched = wanted
        if wanted:
            self._loop.add_reader(self._fd, self._read)
        else:
            self._loop.remove_reader(self._fd)

    def _read(self) -> None:
        if self._came is not None:  # it is slow to be taken; whoever takes it has the socket watched again
            self._watch(wanted=False)
            return
        try:
            data, fds, _, _ = socket.recv_fds(self._socket, _READ, 32 * MAX_FDS)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(anyio.BrokenResourceError(), error)
        else:
            for fd in fds:
                os.set_inheritable(fd, False)  # noqa: FBT003 - received descriptors are not close-on-exec
            if data or fds:
                self._came = data, fds
            else:
                self._end(anyio.EndOfStream())
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end(self, error: Exception, cause: OSError | None = None) -> None:
        error.__cause__ = cause
        self._error = error
        self._watch(wanted=False)
