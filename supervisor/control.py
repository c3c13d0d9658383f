"""The supervisor's side of the control socket: one gateway at a time."""

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
import msgspec
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from loguru import logger

from common.reasons import Reason
from supervisor.children import Children
from supervisor.protocol import (
    MAX_FDS,
    PROTOCOL,
    Ask,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Goodbye,
    Hello,
    Keep,
    Open,
    Opened,
    ProtocolError,
    Refused,
    Release,
    Renew,
    Welcome,
    Withdraw,
    decode_from_gateway,
    encode,
)
from supervisor.spawn import SpawnError

_READ: Final = 65536

_UNREAD_MESSAGES: Final = 10_000
"""Messages that may wait for the gateway to read them. A gateway so far behind is hung."""

_Outgoing = tuple[FromSupervisor, tuple[int, ...]]


class Announcer:
    """Carries announcements to the gateway that is connected now; without one there is nobody to tell."""

    def __init__(self) -> None:
        self.connection: Connection | None = None

    def __call__(self, message: FromSupervisor) -> None:
        if self.connection is not None:
            self.connection.send(message)


class Connection:
    """One gateway, from its `Hello` to its end."""

    def __init__(self, stream: anyio.abc.UNIXSocketStream, children: Children, settings: bytes) -> None:
        self._stream = stream
        self._children = children
        self._settings = settings
        self._greeted = False
        self._orderly = False
        self._outgoing: MemoryObjectSendStream[_Outgoing]
        self._unsent: MemoryObjectReceiveStream[_Outgoing]
        self._outgoing, self._unsent = anyio.create_memory_object_stream(_UNREAD_MESSAGES)
        self._scope = anyio.CancelScope()
        self._opening: dict[int, anyio.CancelScope] = {}
        """What is being opened, by ref."""
        self._tasks: anyio.abc.TaskGroup

    async def serve(self) -> bool:
        """Serve the gateway until it ends; whether it ended in order. Closes the socket, also when cancelled."""
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._write_all, name="write to the gateway")
                    await self._read_all()
                    self._tasks.cancel_scope.cancel()
        finally:
            self._outgoing.close()
            self._drop_unsent()
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
        return self._orderly

    def send(self, message: FromSupervisor, fds: tuple[int, ...] = ()) -> None:
        """Queue `message`; `fds` are closed once they are sent, or if they cannot be."""
        try:
            self._outgoing.send_nowait((message, fds))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            logger.error("the gateway does not read its control socket; giving it up")
            _close(fds)
            self._scope.cancel()

    async def _write_all(self) -> None:
        async for message, fds in self._unsent:
            try:
                # Shielded: half a frame on the socket could never be mended.
                with anyio.CancelScope(shield=True):
                    if fds:
                        await self._stream.send_fds(encode(message, len(fds)), fds)
                    else:
                        await self._stream.send(encode(message))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            finally:
                _close(fds)

    async def _read_all(self) -> None:
        reader = FrameReader()
        try:
            while True:
                # receive() would drop descriptors without a word; nobody has a reason to send any.
                data, fds = await self._stream.receive_fds(_READ, MAX_FDS)
                _close(fds)
                if fds:
                    raise ProtocolError("the gateway sent descriptors")
                for body, _ in reader.feed(data, []):
                    self._handle(decode_from_gateway(body))
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return
        except ProtocolError as error:
            logger.error("the gateway broke the control protocol: {}", error)
            self._orderly = False

    def _handle(self, message: FromGateway) -> None:  # noqa: C901 - one case for each message
        if not self._greeted and not isinstance(message, Hello):
            raise ProtocolError("the first message must be hello")
        match message:
            case Hello(protocol=protocol):
                self._greet(protocol)
            case Open():
                self._tasks.start_soon(self._open, message, name=f"open {message.server}")
            case Withdraw(ref=ref):
                if (opening := self._opening.get(ref)) is not None:
                    opening.cancel()
            case Keep(lease=lease, state=state):
                self._children.keep(lease, state)
            case Renew(leases=leases):
                self._children.renew(leases)
            case Release(lease=lease, reason=reason):
                self._children.release(lease, reason)
            case Ask(ref=ref):
                self.send(self._children.report(ref))
            case Goodbye():
                self._orderly = True

    def _greet(self, protocol: int) -> None:
        if protocol != PROTOCOL:
            raise ProtocolError(f"it speaks version {protocol}, this is version {PROTOCOL}; restart both")
        self._greeted = True
        self.send(Welcome(PROTOCOL, msgspec.Raw(self._settings)))

    async def _open(self, message: Open) -> None:
        with anyio.CancelScope() as self._opening[message.ref]:
            try:
                await self._open_child(message)
            finally:
                del self._opening[message.ref]

    async def _open_child(self, message: Open) -> None:
        try:
            child, stdin, stdout = await self._children.open(message.server, message.label, message.user)
        except SpawnError as error:
            self.send(Refused(message.ref, error.reason, error.message, error.retry_after))
            return
        # From here on the gateway holds the only other ends: its death is EOF to the child.
        self.send(Opened(message.ref, child.lease, child.pid), (stdin, stdout))

    def _drop_unsent(self) -> None:
        while True:
            try:
                _, fds = self._unsent.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                self._unsent.close()
                return
            _close(fds)


def _close(fds: tuple[int, ...] | list[int]) -> None:
    for fd in fds:
        os.close(fd)


async def serve_one(
    stream: anyio.abc.UNIXSocketStream, children: Children, settings: Callable[[], bytes], announcer: Announcer
) -> bool:
    """Serve one gateway, then end its children: in order if it said goodbye, in haste if it did not.

    Returns whether it said goodbye, once all of them are gone.
    """
    connection = Connection(stream, children, settings())
    announcer.connection = connection
    try:
        orderly = await connection.serve()
    finally:
        announcer.connection = None
    if orderly:
        children.end_all(Reason.SHUTDOWN)
    else:
        logger.error("the gateway is gone without a word; ending all its children")
        children.abandon_all()
    await children.all_gone()
    await children.sweep()
    return orderly


# The socket of a supervisor that runs by itself.


class SocketError(Exception):
    """The control socket cannot be had; the text names the path and what to do."""


def listen(path: Path) -> socket.socket:
    """A listening socket at `path`, of mode 0600, in a directory of mode 0700 that is made if need be.

    A socket that a dead supervisor left is replaced. Raises SocketError where the directory is open to others, or
    another supervisor answers.
    """
    directory = path.parent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
        raise SocketError(f"{directory} is open to others; expected a directory of your own with mode 0700")
    if path.exists():
        _remove_stale(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
    except OSError as error:
        listener.close()
        raise SocketError(f"{path} cannot be bound: {error.strerror}") from None
    return listener


def _remove_stale(path: Path) -> None:
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
    peers: Collection[int] = (),
) -> None:
    """Give each gateway that connects to `serve`, one at a time; a second one is hung up on. Runs until cancelled.

    Root and this process's own user may connect, and the users in `peers`.
    """
    busy = anyio.Lock()

    async def handle(stream: anyio.abc.SocketStream) -> None:
        assert isinstance(stream, anyio.abc.UNIXSocketStream)
        uid = peer_uid(stream.extra(anyio.abc.SocketAttribute.raw_socket))
        if uid not in (0, os.geteuid(), *peers):
            logger.warning("user {} may not use the control socket", uid)
        elif busy.locked():
            logger.warning("a second gateway connected to the control socket; one at a time")
        else:
            async with busy:
                await serve(stream)
        await stream.aclose()

    await listener.serve(handle)
