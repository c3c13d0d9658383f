"""The control messages, and their bytes on the control socket.

A frame is a header of five bytes (the length of the body as a 32-bit number in network order, then how many
descriptors belong to it) and a JSON body. The kernel may glue a frame to the next one, and delivers a frame's
descriptors with its first byte (unix(7), SCM_RIGHTS), so descriptors are kept in the order in which they came and
are given to frames by count.

The gateway speaks first (`Hello`) and the supervisor answers with `Welcome` (after a `Wait`, where it first installs
packages), then with a `Kept` or a `Lapsed` for each child that a gateway before this one left; from then on either
may speak at any time. Only `Open` and `Ask` are answered, each by a message that bears its `ref`.
"""

import struct
from collections import deque
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from common.reasons import Reason

PROTOCOL: Final = 4
"""Raised with every change that the other side would misread."""

MAX_FRAME: Final = 4 * 1024 * 1024
"""Bytes of a body. The largest message is `Welcome`; a longer frame means that the peer is not what it should be."""

MAX_FDS: Final = 2
"""Descriptors of one frame."""

Heirloom = Literal["listener", "hot_state"]
"""What a gateway may leave to the next one, a descriptor each: its listening socket, and the memory in which it notes
what is under way. The supervisor keeps it, and does not look at it."""

_HEADER = struct.Struct("!IB")


class ProtocolError(Exception):
    """The peer sent bytes that are no control message. The connection is of no more use."""


class _Message(msgspec.Struct, frozen=True, tag_field="type"):
    """What all messages share: a `type`, and no change after they were made."""


class Exit(_Message, frozen=True, tag="exit"):
    """How a leader ended: with an exit `code`, or by a `signal` (its number), or neither where nobody saw it."""

    code: int | None = None
    signal: int | None = None


class Certificate(_Message, frozen=True, tag="certificate"):
    """A death certificate: what ended a child, for its owner and the log. `lived` is in seconds."""

    id: str
    server: str
    reason: Reason
    exit: Exit
    limit: str | None = None
    """The limit that it hit, such as `memory_max`."""
    lived: float = 0.0
    stderr: tuple[str, ...] = ()
    """Its last lines, secrets redacted. Never for an error text."""


# From the gateway.


class Hello(_Message, frozen=True, tag="hello"):
    """The first message of a connection."""

    protocol: int


class Open(_Message, frozen=True, tag="open"):
    """Spawn a child of `server`, or wait for room.

    `label` names the session in the supervisor's log; it is never the session's id. `user` stands for the session's
    principal where sessions are counted for each; an empty one is not counted. `values` are of the placeholders that
    are this user's own: secrets, so no `repr` shows them. A child that `gives_way` is nobody's: it waits for no room, and
    is ended when somebody does.
    """

    ref: int
    server: str
    label: str
    user: str = ""
    values: dict[str, str] = {}
    gives_way: bool = False

    def __repr__(self) -> str:
        return f"Open(ref={self.ref}, server={self.server!r}, label={self.label!r}, user={self.user!r})"


class Withdraw(_Message, frozen=True, tag="withdraw"):
    """Whoever asked with `ref` no longer waits. An answer may be on its way all the same."""

    ref: int


class Keep(_Message, frozen=True, tag="keep"):
    """The child is ready: it has answered `initialize`. `state` is all that a later gateway needs to go on with it.

    An empty one says no more than that it is ready; a later message may bring the rest. It holds the session's id and
    owner: no `repr` shows it, so no log does.
    """

    lease: int
    state: str

    def __repr__(self) -> str:
        return f"Keep(lease={self.lease})"


class Entrust(_Message, frozen=True, tag="entrust"):
    """The one descriptor that comes along is for the next gateway; it takes the place of an earlier one."""

    what: Heirloom


class Renew(_Message, frozen=True, tag="renew"):
    """These leases were used since the last such message; and the gateway lives, so what it holds is in use, too."""

    leases: tuple[int, ...]


class Hold(_Message, frozen=True, tag="hold"):
    """These leases are in use from now on, until `Unhold`: for as long as a `Renew` says each moment that we live."""

    leases: tuple[int, ...]


class Unhold(_Message, frozen=True, tag="unhold"):
    """These leases were in use until now."""

    leases: tuple[int, ...]


class Release(_Message, frozen=True, tag="release"):
    """End the child. The gateway closes the child's pipes when `Ending` tells it that this was heard.

    Unknown leases are ignored.
    """

    lease: int
    reason: Reason


class Ask(_Message, frozen=True, tag="ask"):
    """Are you there, and how many children have you?"""

    ref: int


class Goodbye(_Message, frozen=True, tag="goodbye"):
    """The gateway ends in order: its children keep their graces.

    `stay` says that another gateway comes, and that the children that it may take up are to live on until then.
    """

    stay: bool = False


# From the supervisor.


class Wait(_Message, frozen=True, tag="wait"):
    """`Welcome` comes when packages are installed, in so many `seconds` at most."""

    seconds: float


class Welcome(_Message, frozen=True, tag="welcome"):
    """The answer to `Hello`. `settings` is the gateway's part of the configuration, as JSON.

    A gateway of another `protocol` gets this message, too, so that it can say so, and nothing after it.
    """

    protocol: int
    settings: msgspec.Raw
    epoch: int = 0
    """How many gateways there were before this one."""
    keeps: bool = False
    """Whether children live on for a while when this gateway has gone."""
    kept: int = 0
    """How many messages `Kept` and `Lapsed` follow."""
    heirlooms: tuple[Heirloom, ...] = ()
    """What the descriptors that come along are, in this order."""


class Kept(_Message, frozen=True, tag="kept"):
    """A child that an earlier gateway left, now this one's; two descriptors come along, as with `Opened`."""

    lease: int
    pid: int
    server: str
    state: str
    """What the earlier gateway said of it; see `Keep`."""
    age: float
    """Seconds since it was given to its session."""
    certificate: str = ""
    """The id that its death certificate will have."""

    def __repr__(self) -> str:
        return f"Kept(lease={self.lease}, pid={self.pid}, server={self.server!r}, age={self.age:.1f})"


class Lapsed(_Message, frozen=True, tag="lapsed"):
    """A child that an earlier gateway left, and that ended before this one came."""

    lease: int
    server: str
    state: str
    reason: Reason

    def __repr__(self) -> str:
        return f"Lapsed(lease={self.lease}, server={self.server!r}, reason={self.reason!r})"


class Settings(_Message, frozen=True, tag="settings"):
    """The configuration was read again: the gateway's part of it, as in `Welcome`, with the servers as they are now."""

    settings: msgspec.Raw


class Opened(_Message, frozen=True, tag="opened"):
    """The child runs; two descriptors come along: the write end of its stdin, the read end of its stdout."""

    ref: int
    lease: int
    pid: int
    certificate: str = ""
    """The id that its death certificate will have, for whoever ends it and wants to name it at once."""


class Refused(_Message, frozen=True, tag="refused"):
    """There will be no child: `message` is a sentence for a person, without a secret or a command line in it."""

    ref: int
    reason: Reason
    message: str
    retry_after: float | None = None
    """Seconds after which it may be worth another try."""


class Expiring(_Message, frozen=True, tag="expiring"):
    """The lease is about to end as idle; a `Renew` within EXPIRY_NOTICE keeps it."""

    lease: int


class Ending(_Message, frozen=True, tag="ending"):
    """The child is being ended for `reason`, or ended by itself; `exit` is its leader's end where that came first."""

    lease: int
    reason: Reason
    exit: Exit | None = None
    certificate: str = ""
    """The id of the certificate that `Gone` will bring."""


class Gone(_Message, frozen=True, tag="gone"):
    """The child's whole tree is verified empty."""

    lease: int
    certificate: Certificate


class ServerReport(_Message, frozen=True, tag="server"):
    """How one server is doing. `failing` is why it is given a rest, or empty.

    `warm` is how many spares it has, None where it is to have none. `zygote` is what its zygote has of memory for itself,
    in bytes; 0 where there is none now, None where it is to have none.
    """

    running: int = 0
    waiting: int = 0
    failing: str = ""
    warm: int | None = None
    zygote: int | None = None


class Answer(_Message, frozen=True, tag="answer"):
    """The answer to `Ask`: how many children run, are being ended and are waited for, and how the supervisor is."""

    ref: int
    running: int
    ending: int
    waiting: int = 0
    outlived: int = 0
    """Processes that outlived their session. Anything but 0 is a fault."""
    reaping: str = "tagged"
    """How trees are kept whole: `cgroup`, `namespace` or `tagged`."""
    servers: dict[str, ServerReport] = {}


FromGateway = Hello | Open | Withdraw | Keep | Entrust | Renew | Hold | Unhold | Release | Ask | Goodbye
FromSupervisor = Wait | Welcome | Kept | Lapsed | Settings | Opened | Refused | Expiring | Ending | Gone | Answer

EXPIRY_NOTICE: Final = 1.0
"""Seconds between `Expiring` and the lease's end: the gateway's event loop may be a moment late, but not hung."""

_encoder = msgspec.json.Encoder()


def encode(message: FromGateway | FromSupervisor, fds: int = 0) -> bytes:
    """The frame of `message`, which `fds` descriptors go with."""
    body = _encoder.encode(message)
    return _HEADER.pack(len(body), fds) + body


class FrameReader:
    """Cuts the bytes of a connection into frames, each with its descriptors. No I/O.

    Whoever feeds it owns the descriptors of frames that it has not yielded yet: see `orphans`.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fds: deque[int] = deque()

    def feed(self, data: bytes, fds: list[int]) -> Iterator[tuple[bytes, list[int]]]:
        """The bodies that are complete now, each with its descriptors.

        Raises ProtocolError for a frame that is too long, or whose descriptors did not come with it: the kernel drops
        those in silence when the receiver has none to spare. Also for more descriptors than the next frame can have.
        """
        self._buffer += data
        self._fds.extend(fds)
        while len(self._buffer) >= _HEADER.size:
            length, count = _HEADER.unpack_from(self._buffer)
            if length > MAX_FRAME or count > MAX_FDS:
                raise ProtocolError(f"a frame of {length} bytes with {count} descriptors")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                break
            if len(self._fds) < count:
                raise ProtocolError(f"{count - len(self._fds)} descriptors were lost")
            body = bytes(self._buffer[_HEADER.size : end])
            del self._buffer[:end]
            yield body, [self._fds.popleft() for _ in range(count)]
        if len(self._fds) > MAX_FDS:
            raise ProtocolError(f"{len(self._fds)} descriptors belong to no frame")

    def orphans(self) -> list[int]:
        """Hands over, once, the descriptors whose frame never became complete."""
        fds = list(self._fds)
        self._fds.clear()
        return fds


_from_gateway: msgspec.json.Decoder[FromGateway] = msgspec.json.Decoder(FromGateway)
_from_supervisor: msgspec.json.Decoder[FromSupervisor] = msgspec.json.Decoder(FromSupervisor)


def decode_from_gateway(body: bytes) -> FromGateway:
    """Raises ProtocolError where `body` is none of the gateway's messages."""
    try:
        return _from_gateway.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(str(error)) from None


def decode_from_supervisor(body: bytes) -> FromSupervisor:
    """Raises ProtocolError where `body` is none of the supervisor's messages."""
    try:
        return _from_supervisor.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(str(error)) from None
