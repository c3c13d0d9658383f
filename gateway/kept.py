"""What the supervisor keeps of a session for the gateway after this one. No I/O.

It is written once, when the child is ready, and holds what cannot be had again: whose session it is, by which id, and
through which door. The supervisor passes it on unread. A gateway that cannot read it, because another version wrote it,
lets the session go.

Part of it are the peers' own words, and those have no bound but that of a message; the control connection, which is
everybody's, has a lower one (`supervisor.protocol.MAX_FRAME`). So what is too long is not kept.
"""

from typing import Final

import msgspec

MAX_BYTES: Final = 256 * 1024
"""Of one session. In a frame it may be twice as long, and the supervisor has one for each session."""

VERSION = 1
"""Raised with every change after which the older text would be misread."""


class TooLong(Exception):
    """There is more to keep than may be kept."""


class Unreadable(Exception):
    """Written by another version of the gateway, or not by one."""


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A session as another gateway will need it. No `repr` shows it: the id is a secret."""

    version: int
    id: str
    """The session's; on REST the set's."""
    door: str
    issuer: str
    subject: str
    """Its principal's."""
    server: str
    opened: str = ""
    """What the translator between the session and its child has to know, where there is one."""
    revision: str = ""
    """Of the protocol, on which its client and its child agreed; empty where an older gateway did not note it."""
    user: str = ""
    """On whose behalf, where its principal speaks for others."""
    client: str = ""
    """What its client called itself."""
    key: str | None = None
    """By which it is found, where that is not its id."""
    personal: str = ""
    """A digest, in hexadecimal, of what its child was given of its user's own; empty where that is nothing."""

    def __repr__(self) -> str:
        return f"<Kept session of {self.server} on {self.door}>"


_decoder = msgspec.json.Decoder(Kept)


def write(kept: Kept) -> str:
    """As text, for `read`. Raises TooLong."""
    state = msgspec.json.encode(kept)
    if len(state) > MAX_BYTES:
        raise TooLong(f"{len(state)} bytes, and {MAX_BYTES} can be kept")
    return state.decode()


def read(state: str) -> Kept:
    """Raises Unreadable. The text of that does not quote `state`."""
    try:
        kept = _decoder.decode(state)
    except (msgspec.MsgspecError, RecursionError):
        raise Unreadable("what an earlier gateway wrote of a session cannot be read") from None
    if kept.version != VERSION:
        raise Unreadable(f"an earlier gateway wrote of a session in version {kept.version}, this is {VERSION}")
    return kept
