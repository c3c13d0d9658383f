"""The supervisor's side of the control socket: one gateway at a time."""

from collections.abc import Callable
from typing import Final

import anyio
import anyio.abc
import msgspec
from loguru import logger

from common.descriptors import close_all
from supervisor.children import Children
from supervisor.custody import Custody, Presence
from supervisor.environment import SpawnError
from supervisor.incoming import Incoming
from supervisor.installation import Installation
from supervisor.linux import peer_pidfd
from supervisor.outgoing import Outgoing
from supervisor.protocol import (
    PROTOCOL,
    Ask,
    Entrust,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Goodbye,
    Hello,
    Hold,
    Keep,
    Kept,
    Open,
    Opened,
    ProtocolError,
    Refused,
    Release,
    Renew,
    Unhold,
    Wait,
    Welcome,
    Withdraw,
    decode_from_gateway,
    encode,
)

_UNREAD_MESSAGES: Final = 10_000
"""Messages that may wait for the gateway to read them. A gateway so far behind is hung."""


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
        installation: Installation | None = None,
    ) -> None:
        self.greeted = False
        self.orderly = False
        """Whether it ended with a goodbye."""
        self.stays = False
        """Whether the goodbye announced another gateway."""
        self._is_waiting = False
        """For the first packages to be installed."""
        self._stream = stream
        self._children = children
        self._settings = settings
        self._announcer = announcer
        self._custody = custody
        self._installation = installation
        self._outgoing: Outgoing[FromSupervisor] = Outgoing(stream, _UNREAD_MESSAGES)
        self._scope = anyio.CancelScope()
        self._opening: dict[int, anyio.CancelScope] = {}
        """What is being opened, by ref."""
        self._tasks: anyio.abc.TaskGroup

    async def serve(self) -> None:
        """Serve the gateway until it ends. Closes the socket, also when cancelled."""
        try:
            with self._scope:
                async with anyio.create_task_group() as self._tasks:
                    self._tasks.start_soon(self._outgoing.write_all, name="write to the gateway")
                    await self._read_all()
                    self._tasks.cancel_scope.cancel()
        finally:
            self._outgoing.drop()
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()

    def send(self, message: FromSupervisor, fds: tuple[int, ...] = ()) -> None:
        """Queue `message`; `fds` are closed once they are sent, or if they cannot be."""
        if self._outgoing.put(message, fds):
            return
        if not self._scope.cancel_called:
            logger.error("the gateway does not read its control socket; giving it up")
        self._scope.cancel()

    async def _read_all(self) -> None:
        reader = FrameReader()
        try:
            with Incoming(self._stream) as incoming:
                while True:
                    for body, own in reader.feed(*await incoming.receive()):
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
                if self._is_waiting:
                    self._while_waiting(message)
                else:
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
            case Keep() | Renew() | Hold() | Unhold() | Release():
                self._handle_lease(message)
            case Ask(ref=ref):
                self.send(self._children.report(ref))
            case Goodbye(stay=stay):
                self.orderly, self.stays = True, stay
            case _:
                raise ProtocolError("a greeting in the middle of a connection")

    def _handle_lease(self, message: Keep | Renew | Hold | Unhold | Release) -> None:
        match message:
            case Keep(lease=lease, state=state):
                self._children.keep(lease, state)
            case Renew(leases=leases):
                self._children.renew(leases)
            case Hold(leases=leases):
                self._children.hold(leases)
            case Unhold(leases=leases):
                self._children.unhold(leases)
            case Release(lease=lease, reason=reason):
                self._children.release(lease, reason)

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
        if self._installation is not None and (seconds := self._installation.left) > 0:
            self._is_waiting = True
            self.send(Wait(seconds))
            self._tasks.start_soon(self._welcome_later, self._installation, name="wait for packages")
        else:
            await self._welcome()

    def _while_waiting(self, message: FromGateway) -> None:
        """A gateway that is told to end meanwhile says goodbye, and no other word."""
        if not isinstance(message, Goodbye):
            raise ProtocolError("a message before the welcome")
        self.orderly = True

    async def _welcome_later(self, installation: Installation) -> None:
        await installation.over.wait()
        try:
            await self._welcome()
        except ProtocolError as error:
            logger.error("the gateway is not let in: {}", error)
            self._scope.cancel()
        self._is_waiting = False

    async def _welcome(self) -> None:
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
                Kept(child.lease, child.pid, child.spec.name, child.state_for_gateway, child.lived, child.certificate),
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
            child, stdin, stdout = await self._children.open(
                message.server, message.label, message.user, message.values, gives_way=message.gives_way
            )
        except SpawnError as error:
            self.send(Refused(message.ref, error.reason, error.message, error.retry_after))
            return
        # From here on the gateway holds the only other ends: its death is EOF to the child.
        self.send(Opened(message.ref, child.lease, child.pid, child.certificate), (stdin, stdout))


async def serve_one(
    stream: anyio.abc.UNIXSocketStream,
    children: Children,
    settings: Callable[[], bytes],
    announcer: Announcer,
    custody: Custody,
    installation: Installation | None = None,
) -> bool:
    """Serve one gateway; what it leaves is `custody`'s. Returns whether it said goodbye.

    Where nothing is kept for another gateway, that is once all its children are gone.
    """
    connection = Connection(stream, children, settings, announcer, custody, installation)
    try:
        await connection.serve()
    finally:
        if connection.greeted:
            announcer.connection = None
    if connection.greeted:
        await custody.leave(orderly=connection.orderly, stays=connection.stays)
    elif not connection.orderly:
        logger.warning("somebody left the control socket without a greeting")
    return connection.orderly
