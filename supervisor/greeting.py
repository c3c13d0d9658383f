"""The gateway's first words with the supervisor, and what it is handed over with the answer."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import anyio.abc

from common.descriptors import close_all
from supervisor.incoming import Incoming
from supervisor.protocol import (
    MAX_FDS,
    PROTOCOL,
    FrameReader,
    Goodbye,
    Heirloom,
    Hello,
    Kept,
    Lapsed,
    ProtocolError,
    Wait,
    Welcome,
    decode_from_supervisor,
    encode,
)


class SupervisorLost(Exception):
    """The control socket is at its end, and so is every child."""


@dataclass(frozen=True)
class Grant:
    """A child: its lease, and its stdin and stdout, two descriptors that the receiver owns."""

    lease: int
    pid: int
    stdin: int
    stdout: int
    certificate: str = ""
    """The id that its death certificate will have."""


@dataclass(frozen=True)
class Inherited:
    """A child that an earlier gateway left to this one, with what that gateway said of it. `age` is in seconds."""

    grant: Grant
    server: str
    state: str = field(repr=False)
    age: float

    @property
    def lease(self) -> int:
        return self.grant.lease


@dataclass
class Inheritance:
    """All that an earlier gateway left. Whoever takes something out of it owns its descriptors."""

    children: list[Inherited] = field(default_factory=list)
    lapsed: list[Lapsed] = field(default_factory=list)
    """Children that ended before this gateway came."""
    heirlooms: dict[Heirloom, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.children) + len(self.lapsed)

    def close(self) -> None:
        """Close what nobody has taken."""
        close_all(self.heirlooms.values())
        for child in self.children:
            close_all((child.grant.stdin, child.grant.stdout))
        self.heirlooms.clear()
        self.children.clear()


async def greet(
    stream: anyio.abc.UNIXSocketStream, incoming: Incoming, on_wait: Callable[[float], None] = lambda _: None
) -> tuple[Welcome, Inheritance, FrameReader]:
    """Greet the supervisor; wait for its greeting, and for all that it hands over with it, which the caller owns.

    `on_wait` is told for how many seconds that may take, where it takes long. The reader holds what came after that.
    Raises SupervisorLost where the supervisor hangs up instead, ProtocolError where it is of another version.
    Cancellation leaves no descriptor behind; a supervisor that is waited for is told that it is an orderly end.
    """
    reader = FrameReader()
    inheritance = Inheritance()
    greeting: Welcome | None = None
    waits = False
    try:
        await stream.send(encode(Hello(PROTOCOL)))
        while greeting is None or len(inheritance) < greeting.kept:
            data, fds = await incoming.receive()
            for body, own in reader.feed(data, fds):
                if greeting is None and (seconds := _seconds_to_wait(body)) is not None:
                    on_wait(seconds)
                    waits = True
                    continue
                greeting = _greeted(greeting, body, own, inheritance)
                if len(inheritance) == greeting.kept:
                    break
    except BaseException as error:
        inheritance.close()
        close_all(reader.orphans())
        if isinstance(error, anyio.EndOfStream | anyio.BrokenResourceError):
            raise SupervisorLost from None
        if waits and isinstance(error, anyio.get_cancelled_exc_class()):
            with anyio.move_on_after(1, shield=True), suppress(anyio.BrokenResourceError):
                await stream.send(encode(Goodbye()))
        raise
    return greeting, inheritance, reader


def _seconds_to_wait(body: bytes) -> float | None:
    """Of a `Wait`; None for any other message, and for what is none."""
    try:
        message = decode_from_supervisor(body)
    except ProtocolError:
        return None
    return message.seconds if isinstance(message, Wait) else None


def _greeted(greeting: Welcome | None, body: bytes, fds: list[int], inheritance: Inheritance) -> Welcome:
    """Take in one message of the greeting, with its descriptors; the message that began it."""
    try:
        message = decode_from_supervisor(body)
        if greeting is None:
            if not isinstance(message, Welcome) or message.protocol != PROTOCOL:
                raise ProtocolError("it is of another version; restart both programs")
            if len(set(message.heirlooms)) != len(fds):
                raise ProtocolError(f"{len(fds)} descriptors for {len(message.heirlooms)} heirlooms")
            inheritance.heirlooms.update(zip(message.heirlooms, fds, strict=True))
            return message
        if isinstance(message, Lapsed) and not fds:
            inheritance.lapsed.append(message)
            return greeting
        if not isinstance(message, Kept) or len(fds) != MAX_FDS:
            raise ProtocolError(f"expected a child that was kept, not {type(message).__name__}")
    except ProtocolError:
        close_all(fds)
        raise
    grant = Grant(message.lease, message.pid, fds[0], fds[1], message.certificate)
    inheritance.children.append(Inherited(grant, message.server, message.state, message.age))
    return greeting
