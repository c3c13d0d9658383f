"""The gateway's side of the control socket, and with `supervisor.protocol` all that it may import from here.

What is said before anything else, and handed over with it, is `supervisor.greeting`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.abc

from common.descriptors import close_all
from common.reasons import Reason
from supervisor.greeting import Grant, Inheritance, Inherited, SupervisorLost, greet
from supervisor.incoming import Incoming
from supervisor.outgoing import Outgoing
from supervisor.protocol import (
    EXPIRY_NOTICE,
    MAX_FDS,
    Answer,
    Ask,
    Ending,
    Entrust,
    Expiring,
    FrameReader,
    FromGateway,
    FromSupervisor,
    Gone,
    Goodbye,
    Heirloom,
    Keep,
    Kept,
    Lapsed,
    Open,
    Opened,
    ProtocolError,
    Refused,
    Release,
    Renew,
    Settings,
    Welcome,
    Withdraw,
    decode_from_supervisor,
)
from supervisor.renewals import Renewals

RENEW_INTERVAL: Final = 1.0
"""Seconds between two renewals. Each names the leases that were used, and says for those that are held that we live."""

WELCOME_TIMEOUT: Final = 20.0
"""Seconds to wait for the supervisor's first word: it may still be importing on a busy machine."""

LEAVE_TIMEOUT: Final = 5.0
"""Seconds that the supervisor may take to hang up after the gateway's goodbye."""


class OpenRefused(Exception):
    """The supervisor gives no child; `reason` and `message` say why, and may be shown to a caller.

    `retry_after`, in seconds, says when it may be worth another try.
    """

    def __init__(self, reason: Reason, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.reason = reason
        self.message = message


class SupervisorClient:
    """One connection. `connect` makes it; `on_ending` and `on_gone` are called for each child that is ended."""

    def __init__(
        self,
        stream: anyio.abc.UNIXSocketStream,
        incoming: Incoming,
        welcome: Welcome,
        inheritance: Inheritance,
        reader: FrameReader,
    ) -> None:
        self.settings = bytes(welcome.settings)
        """The gateway's part of the configuration, as JSON."""
        self.epoch = welcome.epoch
        """How many gateways there were before this one."""
        self.keeps = welcome.keeps
        """Whether children that `keep` was called for live on when this process ends, for the next gateway."""
        self.inheritance = inheritance
        self.lost = anyio.Event()
        """Set when the supervisor has gone."""
        self.on_ending: Callable[[Ending], None] = lambda _: None
        self.on_gone: Callable[[Gone], None] = lambda _: None
        """Called, with its death certificate, for each child whose tree is verified empty."""
        self.on_settings: Callable[[bytes], None] = lambda _: None
        """Called with the gateway's part of a configuration that was read again."""
        self._stream = stream
        self._incoming = incoming
        self._reader = reader
        self._refs = 0
        self._waiting: dict[int, asyncio.Future[FromSupervisor | Grant]] = {}
        self._fresh: dict[int, list[Ending | Gone]] = {}
        """Leases whose opener has not resumed yet, with the news that must wait for it."""
        self._closing: dict[int, tuple[int, ...]] = {}
        """The pipes of leases that were released, until the supervisor has heard of it."""
        self._renewals = Renewals()
        self._to_renew = anyio.Event()
        self._outgoing: Outgoing[FromGateway] = Outgoing(stream)

    # For the gateway's sessions.

    async def open(
        self,
        server: str,
        label: str,
        user: str = "",
        values: Mapping[str, str] | None = None,
        *,
        gives_way: bool = False,
    ) -> Grant:
        """A new child of `server`, counted for `user` unless that is empty, and given that user's own `values`.

        One that `gives_way` waits for no place, and is ended when somebody else does. Raises OpenRefused or
        SupervisorLost.

        Cancellation gives up waiting; a child that comes too late is released, its descriptors closed.
        """
        answer = await self._ask(lambda ref: Open(ref, server, label, user, dict(values or {}), gives_way))
        if isinstance(answer, Refused):
            raise OpenRefused(answer.reason, answer.message, answer.retry_after)
        assert isinstance(answer, Grant)
        for news in self._fresh.pop(answer.lease):
            # The child is dead already. The caller, which goes on without a break, is to know the lease first.
            asyncio.get_running_loop().call_soon(self._report, news)
        return answer

    async def ask(self) -> Answer:
        """How the supervisor and its children are. Raises SupervisorLost."""
        answer = await self._ask(Ask)
        assert isinstance(answer, Answer)
        return answer

    def keep(self, lease: int, state: str) -> None:
        """This lease's child is ready; `state` is all that a later gateway needs to go on with it."""
        self._send(Keep(lease, state))

    def entrust(self, what: Heirloom, fd: int) -> None:
        """Leave a duplicate of `fd` to the next gateway."""
        self._send(Entrust(what), (os.dup(fd),))

    def use(self, lease: int) -> None:
        """This lease was used just now."""
        self._renewals.use(lease)
        self._to_renew.set()

    def hold(self, lease: int) -> None:
        """Keep this lease's idle clock from running, until `unhold`."""
        self._renewals.hold(lease)
        self._to_renew.set()

    def unhold(self, lease: int) -> None:
        """Let its idle clock run again, from now on."""
        self._renewals.unhold(lease)
        self._to_renew.set()

    def release(self, lease: int, reason: Reason, pipes: tuple[int, ...]) -> None:
        """End this lease's child. `pipes`, its stdin and stdout, are closed as soon as the supervisor knows of it.

        Not before: that asks the child to leave, and a child that leaves before anybody said why looks like a crash.
        """
        self._renewals.forget(lease)
        if self.lost.is_set():
            close_all(pipes)
            return
        self._closing[lease] = pipes
        self._send(Release(lease, reason))

    # The connection.

    async def run(self) -> None:
        """Carry messages until the supervisor goes, then set `lost`. Runs until cancelled, or until then."""
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write_all, name="write to the supervisor")
                tasks.start_soon(self._renew_all, name="renew leases")
                await self._read_all()
                tasks.cancel_scope.cancel()
        finally:
            self.lost.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(SupervisorLost())
            close_all(self._reader.orphans())
            for pipes in self._closing.values():
                close_all(pipes)
            self._closing.clear()
            self._outgoing.drop()

    async def say_goodbye(self) -> None:
        """The gateway ends in order, and another comes where the supervisor keeps its children for that.

        Waits until the supervisor has heard it, and hung up; LEAVE_TIMEOUT at most. Hanging up first
        would throw away what the supervisor has not read yet.
        """
        self._send(Goodbye(stay=self.keeps))
        self._outgoing.end()
        with anyio.move_on_after(LEAVE_TIMEOUT, shield=True):
            await self.lost.wait()

    async def _ask(self, make: Callable[[int], Open | Ask]) -> FromSupervisor | Grant:
        if self.lost.is_set():
            raise SupervisorLost
        self._refs += 1
        ref = self._refs
        future: asyncio.Future[FromSupervisor | Grant] = asyncio.get_running_loop().create_future()
        self._waiting[ref] = future
        try:
            self._send(make(ref))
            return await future
        except asyncio.CancelledError:
            self._send(Withdraw(ref))
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_back(future.result())
            raise
        finally:
            if future.done():
                self._waiting.pop(ref, None)

    def _send(self, message: FromGateway, fds: tuple[int, ...] = ()) -> None:
        """Queue `message`; where the connection is ending, every lease ends with it."""
        self._outgoing.put(message, fds)

    async def _write_all(self) -> None:
        if await self._outgoing.write_all():
            await self._stream.send_eof()

    async def _renew_all(self) -> None:
        while True:
            await self._to_renew.wait()
            self._renew()
            await anyio.sleep(RENEW_INTERVAL)

    def _renew(self) -> None:
        for message in self._renewals.due():
            self._send(message)
        if not self._renewals:
            self._to_renew = anyio.Event()

    async def _read_all(self) -> None:
        data, fds = b"", list[int]()  # what came with the greeting may hold more
        try:
            while True:
                for body, own in self._reader.feed(data, fds):
                    try:
                        self._handle(decode_from_supervisor(body), own)
                    except ProtocolError:
                        close_all(own)
                        raise
                data, fds = await self._incoming.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return

    def _handle(self, message: FromSupervisor, fds: list[int]) -> None:
        if len(fds) != (MAX_FDS if isinstance(message, Opened) else 0):
            raise ProtocolError(f"{len(fds)} descriptors with {type(message).__name__}")
        match message:
            case Opened(ref=ref, lease=lease, pid=pid, certificate=certificate):
                self._resolve(ref, Grant(lease, pid, fds[0], fds[1], certificate))
            case Refused(ref=ref) | Answer(ref=ref):
                self._resolve(ref, message)
            case Expiring(lease=lease):
                if lease in self._renewals:
                    self._send(Renew((lease,)))
            case Ending() | Gone():
                waits_for_opener = self._fresh.get(message.lease)
                if waits_for_opener is None:
                    self._report(message)
                else:
                    waits_for_opener.append(message)
            case Settings(settings=settings):
                self.on_settings(bytes(settings))
            case Welcome() | Kept() | Lapsed():
                raise ProtocolError("a greeting in the middle of a connection")

    def _report(self, news: Ending | Gone) -> None:
        if isinstance(news, Gone):
            self.on_gone(news)
            return
        close_all(self._closing.pop(news.lease, ()))
        self._renewals.forget(news.lease)
        self.on_ending(news)

    def _resolve(self, ref: int, answer: FromSupervisor | Grant) -> None:
        future = self._waiting.pop(ref, None)
        if future is None or future.done():
            self._give_back(answer)
            return
        if isinstance(answer, Grant):
            self._fresh[answer.lease] = []
        future.set_result(answer)

    def _give_back(self, answer: FromSupervisor | Grant) -> None:
        if isinstance(answer, Grant):
            pipes = (answer.stdin, answer.stdout)
            if self._fresh.pop(answer.lease, None):
                close_all(pipes)  # it has ended, so no other word of its end will come that could close them
            else:
                self.release(answer.lease, Reason.CLIENT_GONE, pipes)


@asynccontextmanager
async def connect(
    stream: anyio.abc.UNIXSocketStream, on_wait: Callable[[float], None] = lambda _: None
) -> AsyncIterator[SupervisorClient]:
    """Greet the supervisor at the other end of `stream`, and carry messages while in the context.

    `on_wait` is told for how many seconds it installs packages first, at most. Raises SupervisorLost where it hangs up
    instead of answering, TimeoutError where it does not answer, ProtocolError where it is of another version.
    """
    async with stream:
        with Incoming(stream) as incoming:
            with anyio.fail_after(WELCOME_TIMEOUT) as patience:

                def wait(seconds: float) -> None:
                    patience.deadline = anyio.current_time() + seconds + WELCOME_TIMEOUT
                    on_wait(seconds)

                client = SupervisorClient(stream, incoming, *await greet(stream, incoming, wait))
            try:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(client.run, name="supervisor client")
                    try:
                        yield client
                    finally:
                        await client.say_goodbye()
                        tasks.cancel_scope.cancel()
            finally:
                client.inheritance.close()


__all__ = [
    "EXPIRY_NOTICE",
    "Grant",
    "Inheritance",
    "Inherited",
    "OpenRefused",
    "SupervisorClient",
    "SupervisorLost",
    "connect",
]
