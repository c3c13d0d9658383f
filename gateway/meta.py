"""`_meta` in the params of a request, or in a result: members read, taken and put. No I/O.

Only the members that are asked for are touched; what all others hold stays the bytes that it was.
"""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Final

from msgspec import Raw

from gateway.rawjson import Members, members, put, put_together
from gateway.specification import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LATEST_MODERN_VERSION,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SUBSCRIPTION_ID_META_KEY,
)

PROGRESS: Final = "progressToken"
SUBSCRIPTION_ID: Final = SUBSCRIPTION_ID_META_KEY
LOG_LEVEL: Final = LOG_LEVEL_META_KEY
PROTOCOL_VERSION: Final = PROTOCOL_VERSION_META_KEY
CLIENT_INFO: Final = CLIENT_INFO_META_KEY

_WHO: Final = (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY)

ENVELOPE_KEYS: Final = (*_WHO, LOG_LEVEL_META_KEY)
"""What a modern request says of its client in `_meta`, and a legacy one does not."""

OWN_ENVELOPE: Final[Mapping[str, Raw]] = {
    PROTOCOL_VERSION_META_KEY: put(LATEST_MODERN_VERSION),
    CLIENT_CAPABILITIES_META_KEY: put({}),
    CLIENT_INFO_META_KEY: put({"name": "mcp-gateway", "version": version("mcp-gateway")}),
}
"""What a request says that the gateway makes in its own name."""


def meta_of(params: bytes) -> Members:
    """The members of `_meta`; none where there is none."""
    return members(members(params).get("_meta", b""))


def with_meta(params: bytes, changes: Mapping[str, bytes]) -> bytes:
    """`params` (or a result) with these members of `_meta`, each given as JSON, and with all others as they are."""
    outer = members(params)
    inner = members(outer.get("_meta", b""))
    inner.update({name: Raw(value) for name, value in changes.items()})
    if inner:
        outer["_meta"] = put(inner)
    return put_together(outer)


def envelope_of(params: bytes) -> Members:
    """The members of `_meta` that say who is asking, in which version, and what may be asked of them."""
    meta = meta_of(params)
    return {name: meta[name] for name in _WHO if name in meta}


def take_meta(object_: Members, keys: Iterable[str]) -> Members:
    """Take these keys out of `_meta`, and `_meta` out of `object_` where nothing else is in it; what was taken."""
    meta = members(object_.get("_meta", b""))
    if not meta:
        return {}
    taken = {key: meta.pop(key) for key in keys if key in meta}
    if not meta:
        del object_["_meta"]
    elif taken:
        object_["_meta"] = put(meta)
    return taken


def put_meta(object_: Members, added: Mapping[str, object]) -> None:
    """Put these members into `_meta`."""
    object_["_meta"] = put({**members(object_.get("_meta", b"")), **added})
