"""What stands in `params._meta` of the revision 2026-07-28, read and rewritten in place. No I/O.

Only the members that are asked for are touched; the rest stay the bytes that they came in. A member that stands twice
comes out once, the later one: what was checked here is what the other side reads.
"""

from typing import Final

import msgspec
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from msgspec import Raw

Members = dict[str, Raw]

PROGRESS: Final = "progressToken"
SUBSCRIPTION_ID: Final = SUBSCRIPTION_ID_META_KEY
LOG_LEVEL: Final = LOG_LEVEL_META_KEY
PROTOCOL_VERSION: Final = PROTOCOL_VERSION_META_KEY

_ENVELOPE: Final = (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY)
_members = msgspec.json.Decoder(Members)


def members(data: bytes) -> Members:
    """The members of a JSON object; none where `data` is none."""
    try:
        return _members.decode(data)
    except (msgspec.MsgspecError, RecursionError):
        return {}


def meta_of(params: bytes) -> Members:
    """The members of `_meta`; none where there is none."""
    return members(bytes(members(params).get("_meta", b"")))


def with_meta(params: bytes, changes: dict[str, bytes]) -> bytes:
    """`params` (or a result) with these members of `_meta`, each given as JSON, and with all others as they are."""
    outer = members(params)
    inner = members(bytes(outer.get("_meta", b"")))
    inner.update({name: Raw(value) for name, value in changes.items()})
    if inner:
        outer["_meta"] = Raw(msgspec.json.encode(inner))
    return msgspec.json.encode(outer)


def envelope_of(params: bytes) -> Members:
    """The members of `_meta` that say who is asking, in which version, and what may be asked of them."""
    meta = meta_of(params)
    return {name: meta[name] for name in _ENVELOPE if name in meta}


def text(value: bytes) -> str | None:
    """The string whose JSON `value` is; None where it is none."""
    try:
        return msgspec.json.decode(value, type=str)
    except msgspec.MsgspecError:
        return None
