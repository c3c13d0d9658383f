"""JSON objects and their `_meta`: members taken and put, while what they hold stays the bytes that it was. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from msgspec import Raw

Members = dict[str, Raw]
"""The members of a JSON object, each as its JSON."""

ENVELOPE_KEYS: Final = (
    PROTOCOL_VERSION_META_KEY,
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
)
"""What a modern request says of its client in `_meta`, and a legacy one does not."""

SUBSCRIPTION_ID_META_KEY: Final = "io.modelcontextprotocol/subscriptionId"

_members = msgspec.json.Decoder(Members)


def members(data: bytes | Raw) -> Members | None:
    """The members of the object `data`, none where it is empty; None where it is no object."""
    data = bytes(data)
    if not data:
        return {}
    try:
        return _members.decode(data)
    except msgspec.MsgspecError:
        return None


def text(data: bytes | Raw) -> str | None:
    """The string that `data` is; None where it is none."""
    try:
        return msgspec.json.decode(bytes(data), type=str)
    except msgspec.MsgspecError:
        return None


def encoded(value: object) -> Raw:
    """`value` as JSON."""
    return Raw(msgspec.json.encode(value))


def take_meta(object_: Members, keys: Iterable[str]) -> Members:
    """Take these keys out of `_meta`, and `_meta` out of `object_` where nothing else is in it; what was taken."""
    meta = members(object_.get("_meta", b""))
    if not meta:
        return {}
    taken = {key: meta.pop(key) for key in keys if key in meta}
    if not meta:
        del object_["_meta"]
    elif taken:
        object_["_meta"] = encoded(meta)
    return taken


def put_meta(object_: Members, added: Mapping[str, object]) -> None:
    """Put these members into `_meta`."""
    meta = members(object_.get("_meta", b"")) or {}
    object_["_meta"] = encoded({**meta, **added})


def spliced(data: bytes, added: bytes) -> bytes:
    """The object `data` with the members `added`, which it has not got, in front."""
    rest = data.lstrip()[1:].lstrip()
    return b"{" + added + (b"," if rest[:1] != b"}" else b"") + rest
