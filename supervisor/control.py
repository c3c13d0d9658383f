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

from common.descriptors import close_all
from supervisor.children import Children
from supervisor.custody import Custody, Presence
from supervisor.environment import SpawnError
from supervisor.linux import peer_pidfd
from supervisor.protocol import (
    MAX_FDS,
    PROTOCOL,
    Ask,
    Entrust,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Goodbye,
    Hello,
    Keep,
    Kept,
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

_READ: Final = 65536

_UNREAD_MESSAGES: Final = 10_000
"""Messages that may wait for the gateway to read them. A gateway so far behind is hung."""

SECOND_THOUGHTS: Final = 1.0
"""Seconds that the first gateway has to turn out to be gone when a second one connects."""

ACCEPT_AGAIN: Final = 0.1
"""Seconds until another try to accept a connection where one failed; whoever connects waits in the backlog."""

_Outgoing = tuple[FromSupervisor, tuple[int, ...]]


class Announcer:
    """Carries announcements to the gateway that is connected now, and to `on_missed` where there is none."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.on_missed: Callable[[FromSupervisor], None] = lambda _: None

    def __call__(self, message: FromSupervisor) -> None:
        if self.connection is not None:
            self.connection.send(message)
        else:
            self.on_missed(message)


class Connection:
    """One gateway, from its `Hello` to its end."""

    def __init__(
        self,
        stream: anyio.abc.UNIXSocketStream,
        children: Children,
        settings: Callable[[], bytes],
        announcer: Announcer,
        custody: Custody,
    ) -> None:
        self.greeted = False
        self.orderly = False
        """Whether it ended with a goodbye."""
        self.stays = False
        """Whether the goodbye announced another gateway."""
        self._stream = stream
        self._children = children
        self._settings = settings
        self._announcer = announcer
        self._custody = custody
        self._outgoing: MemoryObjectSendStream[_Outgoing]
        self._unsent: MemoryObjectReceiveStream[_Outgoing]
        self._outgoing, self._unsent = anyio.create_memory_object_stream(_UNREAD_MESSAGES)
        self._scope = anyio.CancelScope()
        self._opening: dict[int, anyio.CancelScope] = {}
        """What is being opened, by ref."""
        self._tasks: anyio.abc.TaskGroup

    async def serve(self) -> None:
        """Serve the gateway until it ends. Closes the socket, also when cancelled."""
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

    def send(self, message: FromSupervisor, fds: tuple[int, ...] = ()) -> None:
        """Queue `message`; `fds` are closed once they are sent, or if they cannot be."""
        try:
            self._outgoing.send_nowait((message, fds))
        except (anyio.WouldBlock, anyio.BrokenResourceError, anyio.ClosedResourceError):
            if not self._scope.cancel_called:
                logger.error("the gateway does not read its control socket; giving it up")
            close_all(fds)
            self._scope.cancel()

    async def _write_all(self) -> None:
        """Send what is queued. Cancelled it may leave half a frame: that is for a connection at its end alone."""
        async for message, fds in self._unsent:
            try:
                if fds:
                    await self._stream.send_fds(encode(message, len(fds)), fds)
                else:
                    await self._stream.send(encode(message))
            except anyio.BrokenResourceError:
                # Whoever cannot be told anything is heard out, a goodbye perhaps, and left.
                self._stream.extra(anyio.abc.SocketAttribute.raw_socket).shutdown(socket.SHUT_RD)
                return
            finally:
                close_all(fds)

    async def _read_all(self) -> None:
        reader = FrameReader()
        try:
            while True:
                data, fds = await self._stream.receive_fds(_READ, 32 * MAX_FDS)
                for fd in fds:
                    os.set_inheritable(fd, False)  # noqa: FBT003 - received descriptors are not close-on-exec
                for body, own in reader.feed(data, fds):
                    await self._receive(body, own)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return
        except ProtocolError as error:
            logger.error("the gateway broke the control protocol: {}", error)
            self.orderly = False
        finally:
            close_all(reader.orphans())

    async def _receive(self, body: bytes, fds: list[int]) -> None:
        """One message of the gateway's, with its descriptors, which are ours from now on."""
        try:
            message = decode_from_gateway(body)
            if len(fds) != isinstance(message, Entrust):
                raise ProtocolError(f"{len(fds)} descriptors with {type(message).__name__}")
            if not self.greeted:
                await self._greet(message)
                return
        except ProtocolError:
            close_all(fds)
            raise
        if isinstance(message, Entrust):
            self._custody.entrust(message.what, fds[0])
        else:
            self._handle(message)

    def _handle(self, message: FromGateway) -> None:
        match message:
            case Open():
                if message.ref in self._opening:
                    raise ProtocolError("two requests with one number")
                scope = self._opening[message.ref] = anyio.CancelScope()
                self._tasks.start_soon(self._open, message, scope, name=f"open {message.server}")
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
            case Goodbye(stay=stay):
                self.orderly, self.stays = True, stay
            case _:
                raise ProtocolError("a greeting in the middle of a connection")

    async def _greet(self, message: FromGateway) -> None:
        """Hand over what earlier gateways left, once the last of them is gone for certain.

        Whoever is no gateway of our own version leaves everything as it is.
        """
        if not isinstance(message, Hello):
            raise ProtocolError("the first message must be hello")
        if message.protocol != PROTOCOL:
            # It is told, so that its own log says why.
            await self._stream.send(encode(Welcome(PROTOCOL, msgspec.Raw(b"null"))))
            raise ProtocolError(f"it speaks version {message.protocol}, this is version {PROTOCOL}; restart both")
        if self._custody.presence is Presence.PRESENT:
            raise ProtocolError("another gateway was quicker; one at a time")
        self.greeted = True
        await self._custody.receive(peer_pidfd(self._stream.extra(anyio.abc.SocketAttribute.raw_socket)))
        kept, lapsed = self._custody.hand_over(), self._custody.lapsed()
        names, fds = self._custody.heirlooms()
        settings = msgspec.Raw(self._settings())  # as they are now: one may have waited for long
        follow = len(kept) + len(lapsed)
        self.send(Welcome(PROTOCOL, settings, self._custody.epoch, self._custody.keeps, follow, names), fds)
        for child, pipes in kept:
            assert child.state_for_gateway is not None
            self.send(
                Kept(child.lease, child.pid, child.spec.name, child.state_for_gateway, child.age, child.certificate),
                pipes,
            )
        for each in lapsed:
            self.send(each)
        self._announcer.connection = self

    async def _open(self, message: Open, scope: anyio.CancelScope) -> None:
        with scope:
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
        self.send(Opened(message.ref, child.lease, child.pid, child.certificate), (stdin, stdout))

    def _drop_unsent(self) -> None:
        while True:
            try:
                _, fds = self._unsent.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream):
                self._unsent.close()
                return
            close_all(fds)


async def serve_one(
    stream: anyio.abc.UNIXSocketStream,
    children: Children,
    settings: Callable[[], bytes],
    announcer: Announcer,
    custody: Custody,
) -> bool:
    """Serve one gateway; what it leaves is `custody`'s. Returns whether it said goodbye.

    Where nothing is kept for another gateway, that is once all its children are gone.
    """
    connection = Connection(stream, children, settings, announcer, custody)
    try:
        await connection.serve()
    finally:
        if connection.greeted:
            announcer.connection = None
    if connection.greeted:
        await custody.leave(orderly=connection.orderly, stays=connection.stays)
    else:
        logger.warning("somebody left the control socket without a greeting")
    return connection.orderly


# The socket of a supervisor that runs by itself.


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
