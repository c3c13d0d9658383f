"""What the supervisor keeps of a shared child, and of its sessions, for the gateway after this one. No I/O.

It is written again whenever a session joins or leaves. There is a bound to it (`gateway.kept`): the newest sessions that
fit are kept, and the others end with the gateway. A child whose own part is too long already is not kept.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from gateway.kept import MAX_BYTES, TooLong, Unreadable

VERSION: Final = 1
"""Raised with every change after which the older text would be misread."""


class KeptSession(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of its sessions. No `repr` shows it: the id is a secret."""

    id: str
    """The session's; on REST the set's."""
    door: str
    revision: str
    """Of the protocol, on which its client and the child agreed."""
    hello: str = ""
    """The params of its client's `initialize`, where another child might have to hear them again."""
    client: str = ""
    """What its client called itself."""
    key: str | None = None
    """By which it is found, where that is not its id."""

    def __repr__(self) -> str:
        return f"<KeptSession on {self.door}>"


class KeptChild(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A shared child as another gateway will need it."""

    shared: int
    """The version of this; no other text that is kept has such a key."""
    issuer: str
    subject: str
    """Its principal's."""
    server: str
    key: str
    welcome: Raw
    """What it answered to `initialize`."""
    user: str = ""
    given: str = ""
    """The digest of what it was given of its user's own, in hexadecimal digits."""
    askable: str = ""
    generation: int = 0
    opened: str = ""
    """What the translator has to know, where there is one."""
    initialized: bool = False
    """Whether it has heard `notifications/initialized`."""
    alone: bool = False
    sessions: tuple[KeptSession, ...] = ()
    """The oldest first."""

    def __repr__(self) -> str:
        return f"<KeptChild of {self.server}, {len(self.sessions)} sessions>"


_decoder = msgspec.json.Decoder(KeptChild)


def write(child: KeptChild, sessions: Sequence[KeptSession]) -> tuple[str, int]:
    """As text, for `read`, with the newest of `sessions` that fit; how many those are. Raises TooLong."""
    room = MAX_BYTES - len(msgspec.json.encode(child)) - len(',"sessions":[]')
    if room < 0:
        raise TooLong(f"{MAX_BYTES - room} bytes, and {MAX_BYTES} can be kept")
    fitting: list[KeptSession] = []
    for session in reversed(sessions):
        room -= len(msgspec.json.encode(session)) + 1
        if room < 0:
            break
        fitting.append(session)
    whole = msgspec.structs.replace(child, sessions=tuple(reversed(fitting)))
    return msgspec.json.encode(whole).decode(), len(fitting)


def is_shared(state: str) -> bool:
    """Whether `state` is of a shared child, in whatever version."""
    return state.startswith('{"shared":')


def read(state: str) -> KeptChild:
    """Raises Unreadable. The text of that does not quote `state`."""
    try:
        kept = _decoder.decode(state)
        bytes.fromhex(kept.given)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        raise Unreadable("what an earlier gateway wrote of a shared child cannot be read") from None
    if kept.shared != VERSION:
        raise Unreadable(f"an earlier gateway wrote of a shared child in version {kept.shared}, this is {VERSION}")
    return kept
