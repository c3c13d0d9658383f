"""`_meta` in JSON objects: members taken and put, while what they hold stays the bytes that it was. No I/O."""

from collections.abc import Iterable, Mapping
from typing import Final

from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
)
from msgspec import Raw

from gateway.translation import raw

Members = dict[str, Raw]
"""The members of a JSON object, each as its JSON."""

ENVELOPE_KEYS: Final = (
    PROTOCOL_VERSION_META_KEY,
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    LOG_LEVEL_META_KEY,
)
"""What a modern request says of its client in `_meta`, and a legacy one does not."""


def take_meta(object_: Members, keys: Iterable[str]) -> Members:
    """Take these keys out of `_meta`, and `_meta` out of `object_` where nothing else is in it; what was taken."""
    meta = raw.members(object_.get("_meta", b""))
    if not meta:
        return {}
    taken = {key: meta.pop(key) for key in keys if key in meta}
    if not meta:
        del object_["_meta"]
    elif taken:
        object_["_meta"] = raw.put(meta)
    return taken


def put_meta(object_: Members, added: Mapping[str, object]) -> None:
    """Put these members into `_meta`."""
    meta = raw.members(object_.get("_meta", b""))
    object_["_meta"] = raw.put({**meta, **added})


def spliced(data: bytes, added: bytes) -> bytes:
    """The object `data` with the members `added`, which it has not got, in front."""
    rest = data.lstrip()[1:].lstrip()
    return b"{" + added + (b"," if rest[:1] != b"}" else b"") + rest
