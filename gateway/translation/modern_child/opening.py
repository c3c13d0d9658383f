"""The handshake that a modern child does not know: `initialize` becomes `server/discover`, and its answer comes back.

What the client says of itself once, the child wants to hear with every request; so that is kept, as bytes.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Raw

from gateway.jsonrpc import ABSENT
from gateway.rawjson import Members, is_object, members, put, put_together, text
from gateway.specification import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    HANDSHAKE_PROTOCOL_VERSIONS,
    LATEST_HANDSHAKE_VERSION,
    LATEST_MODERN_VERSION,
    LOG_LEVEL_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)

LIST_CHANGED: Final = ("tools", "prompts", "resources")
"""The capabilities that may promise news of a changed list."""

_NO_OBJECT: Final = Raw(b"{}")
_MODERN: Final = put(LATEST_MODERN_VERSION)
_UNKNOWN_SERVER: Final = put({"name": "unknown", "version": ""})


class Opened(msgspec.Struct, frozen=True):
    """What both sides said of themselves. It outlives the gateway, so it is JSON through and through."""

    version: str
    """The revision that the client and we agreed upon."""
    capabilities: Raw
    """The client's, as a modern child may know them."""
    info: Raw
    """The client's name and version; empty where it gave none."""
    news: tuple[str, ...] = ()
    """Of LIST_CHANGED those for which the child promises news."""
    subscribes: bool = False
    """Whether resources can be subscribed to."""
    logs: bool = False
    """Whether the child writes log messages."""

    def meta(self, level: Raw = ABSENT) -> Members:
        """The members of `_meta` with which every request to the child has to come (specification, basic)."""
        meta = {PROTOCOL_VERSION_META_KEY: _MODERN, CLIENT_CAPABILITIES_META_KEY: self.capabilities}
        if bytes(self.info):
            meta[CLIENT_INFO_META_KEY] = self.info
        if bytes(level):
            meta[LOG_LEVEL_META_KEY] = level
        return meta


def hello(params: bytes) -> Opened:
    """What `initialize` with these params says of the client."""
    said = members(params)
    version = text(said.get("protocolVersion", ABSENT))
    capabilities = members(said.get("capabilities", ABSENT))
    capabilities.pop("tasks", None)  # of 2025-11-25 alone
    return Opened(
        version=version if version in HANDSHAKE_PROTOCOL_VERSIONS else LATEST_HANDSHAKE_VERSION,
        capabilities=Raw(put_together(capabilities)),
        info=info if is_object(info := said.get("clientInfo", ABSENT)) else ABSENT,
    )


def discover_params(opened: Opened) -> bytes:
    """The params of `server/discover`."""
    return put_together({"_meta": opened.meta()})


def welcome(opened: Opened, discovered: bytes) -> tuple[Opened, bytes] | None:
    """What is known now, and the result of `initialize`, made of that of `server/discover`.

    None where the child does not speak the revision that we do.
    """
    said = members(discovered)
    if not _speaks_modern(said.get("supportedVersions", ABSENT)):
        return None
    capabilities = members(said.get("capabilities", ABSENT))
    capabilities.pop("extensions", None)
    info = members(said.get("_meta", ABSENT)).get(SERVER_INFO_META_KEY, _UNKNOWN_SERVER)
    result: dict[str, object] = {
        "protocolVersion": opened.version,
        "capabilities": capabilities,
        "serverInfo": info if is_object(info) else _UNKNOWN_SERVER,
    }
    if bytes(instructions := said.get("instructions", ABSENT)):
        result["instructions"] = instructions
    known = Opened(
        version=opened.version,
        capabilities=opened.capabilities,
        info=opened.info,
        news=tuple(each for each in LIST_CHANGED if _promises(capabilities, each, "listChanged")),
        subscribes=_promises(capabilities, "resources", "subscribe"),
        logs="logging" in capabilities,
    )
    return known, put_together(result)


def _speaks_modern(versions: Raw) -> bool:
    try:
        return LATEST_MODERN_VERSION in msgspec.json.decode(bytes(versions) or b"[]", type=list[str])
    except msgspec.MsgspecError:
        return False


def _promises(capabilities: Mapping[str, Raw], of: str, what: str) -> bool:
    return bytes(members(capabilities.get(of, _NO_OBJECT)).get(what, ABSENT)) == b"true"
