"""Which sessions share a child: those of one principal with one server, and the same key. No I/O."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from common.config.model import ServerPolicy
from gateway.identity.principal import Principal
from gateway.identity.telling import told_by
from gateway.identity.who import Who
from gateway.rawjson import members
from gateway.translation.legacy_child.handshake import askable


@dataclass(frozen=True, slots=True)
class Whose:
    """Sessions for which all of this is the same share a child. No `repr` shows what a header said."""

    principal: Principal
    server: str
    key: str = field(repr=False)
    """What the server's `isolation` makes of the request that opened the session, or the session's own."""
    given: bytes = field(default=b"", repr=False)
    """The digest of what the child is given of its user's own."""
    askable: str = ""
    """What the child may ask its client, for it is told that once."""
    generation: int = 0
    """Of its server's configuration, by which the child was started."""


def key_of(who: Who, policy: ServerPolicy) -> str | None:
    """What the sessions of one principal that share a child have in common; None for a child of the session's own.

    The anonymous share nothing: they are one principal, and nobody knows who. A header that was not sent is as good a
    key as any. Raises GatewayError for one that cannot be meant.
    """
    if not policy.is_shared or not who.principal.subject:
        return None
    return key_of_values([told_by(who, header) for header in policy.sharing_headers])


def key_of_values(values: list[str | None]) -> str:
    """The same for the values of the headers. Nothing can be read in it."""
    if not any(value is not None for value in values):
        return "user"
    said = msgspec.json.encode(values)
    return f"user {hashlib.sha256(said).hexdigest()}"


def key_alone(id_: str) -> str:
    """The key of a session that shares its child with nobody."""
    return f"session {hashlib.sha256(id_.encode()).hexdigest()}"


def may_be_asked(hello: bytes) -> str:
    """What of the params of an `initialize` decides what a child may ask, the same for all that mean the same."""
    try:
        said: Any = msgspec.json.decode(bytes(members(hello).get("capabilities", b"{}")), type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        said = {}
    return msgspec.json.encode(askable(said), order="deterministic").decode()


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """The names of the values that are not the same, and nothing of the values."""
    names = before.keys() | after.keys()
    return ", ".join(sorted(name for name in names if before.get(name) != after.get(name)))
