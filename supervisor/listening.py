"""The control socket of a supervisor that runs by itself: where it is, who may connect, and one gateway after the other.

What is said on it is `supervisor.control`'s. A supervisor that the launcher started has no such socket, but one end of a
pair.
"""

import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from supervisor.custody import Custody

SECOND_THOUGHTS: Final = 1.0
"""Seconds that the first gateway has to turn out to be gone when a second one connects."""

ACCEPT_AGAIN: Final = 0.1
"""Seconds until another try to accept a connection where one failed; whoever connects waits in the backlog."""


class SocketError(Exception):
    """The control socket cannot be had; the text names the path and what to do."""


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, of mode 0600, in a directory of mode 0700 that is made if need be.

    A socket that a dead supervisor left is replaced. Raises SocketError where the directory is open to others, or
    another supervisor answers, or it cannot be made.
    """
    directory = path.parent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = directory.stat()
    except OSError as error:
        raise SocketError(f"{directory} cannot be made: {error.strerror}") from None
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
        raise SocketError(f"{directory} is open to others; expected a directory of your own with mode 0700")
    if path.is_symlink() or path.exists():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SocketError(f"{path} cannot be bound: {error.strerror or error}") from None
    return listener


def _remove_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise SocketError(f"{path} is in the way: it is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as error:
            raise SocketError(f"{path} is in the way: {error.strerror}") from None
    raise SocketError(f"another supervisor already answers at {path}")


def peer_uid(connection: socket.socket) -> int:
    """The user at the other end: SO_PEERCRED, unix(7)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    uid: int = struct.unpack("3i", credentials)[1]
    return uid


@asynccontextmanager
async def listening(bound: socket.socket, path: Path | None) -> AsyncIterator[anyio.abc.SocketListener]:
    """`bound` for the event loop; closed on leaving, and its `path` removed where that is ours, from `listen(path)`."""
    listener = await anyio.abc.SocketListener.from_socket(bound)
    try:
        async with listener:
            yield listener
    finally:
        if path is not None:
            path.unlink(missing_ok=True)  # noqa: ASYNC240 - on leaving


async def serve_each(
    listener: anyio.abc.SocketListener,
    serve: Callable[[anyio.abc.UNIXSocketStream], Awaitable[object]],
    custody: Custody,
    peers: Collection[int] = (),
) -> None:
    """Give each gateway that connects to `serve`; a second one is hung up on. Runs until cancelled.

    Root and this process's own user may connect, and the users in `peers`.
    """

    async def handle(stream: anyio.abc.SocketStream) -> None:
        assert isinstance(stream, anyio.abc.UNIXSocketStream)
        async with stream:
            uid = peer_uid(stream.extra(anyio.abc.SocketAttribute.raw_socket))
            if uid not in (0, os.geteuid(), *peers):
                logger.warning("user {} may not use the control socket", uid)
            elif not await custody.vacant(SECOND_THOUGHTS):
                logger.warning("a second gateway connected to the control socket; one at a time")
            else:
                await serve(stream)

    async with anyio.create_task_group() as tasks:
        while True:
            try:
                stream = await listener.accept()
            except anyio.BrokenResourceError as error:  # out of descriptors: no reason to end every child
                logger.error("no gateway can be let in ({}); trying again", error.__cause__)
                await anyio.sleep(ACCEPT_AGAIN)
            else:
                tasks.start_soon(handle, stream, name="serve a gateway")
