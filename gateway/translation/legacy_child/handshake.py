"""The handshake that a legacy child wants, and what a modern client is told of its outcome. No I/O."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from gateway import rawjson
from gateway.jsonrpc import Request
from gateway.rawjson import Members
from gateway.specification import LATEST_HANDSHAKE_VERSION, SERVER_INFO_META_KEY
from gateway.translation.legacy_child.results import MODERN_VERSIONS

Askable = dict[str, dict[str, dict[str, object]]]
"""Of a client's capabilities those that let a child ask it something, in their one form."""

_ASKABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "elicitation": ("form", "url"),
    "sampling": ("context", "tools"),
    "roots": (),
}
"""What both eras know of them."""

ACCEPTED: Final = "notifications/initialized"


def initialize(id_: bytes, capabilities: Mapping[str, object], client_info: Mapping[str, object]) -> Request:
    """The handshake's request, for clients with these capabilities."""
    params = {
        "protocolVersion": LATEST_HANDSHAKE_VERSION,
        "capabilities": askable(capabilities),
        "clientInfo": client_info,
    }
    return Request(id_, "initialize", msgspec.json.encode(params))


def askable(capabilities: Mapping[str, object]) -> Askable:
    """What of these capabilities makes a difference to a legacy child, the same for all that mean the same.

    There are only a few dozen such sets, whatever clients say, so one may be part of what keys a child.
    """
    found: Askable = {}
    for name, subs in _ASKABLE.items():
        if isinstance(declared := capabilities.get(name), dict):
            found[name] = {sub: {} for sub in subs if isinstance(declared.get(sub), dict)}
    if found.get("elicitation") == {"form": {}}:
        found["elicitation"] = {}  # that is what it means, and all that older children know
    return found


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a child answered to `initialize`."""

    members: Members
    capabilities: Mapping[str, Members]

    @property
    def server_info(self) -> Raw:
        """The JSON of `serverInfo`, empty where there is none."""
        return self.members.get("serverInfo", Raw(b""))

    def has(self, capability: str, sub: str = "") -> bool:
        """Whether the child declared this capability, and `sub` in it."""
        found = self.capabilities.get(capability)
        return found is not None and (not sub or bytes(found.get(sub, b"")) == b"true")

    def discover_result(self) -> bytes:
        """The answer to `server/discover`. Tasks are another protocol in the modern revision, so they stay out."""
        instructions = self.members.get("instructions")
        meta_ = {"_meta": {SERVER_INFO_META_KEY: self.server_info}} if bytes(self.server_info) else {}
        return msgspec.json.encode(
            {
                "resultType": "complete",
                "supportedVersions": MODERN_VERSIONS,
                "capabilities": {name: each for name, each in self.capabilities.items() if name != "tasks"},
                **({"instructions": instructions} if instructions is not None else {}),
                "ttlMs": 0,
                "cacheScope": "private",
                **meta_,
            }
        )


def read_welcome(result: bytes) -> Welcome | None:
    """What the child said of itself in `result`; None where that is no InitializeResult."""
    members = rawjson.members(result)
    if rawjson.text(members.get("protocolVersion", b"")) is None:
        return None
    capabilities = members.get("capabilities", Raw(b"{}"))
    if not rawjson.is_object(capabilities):
        return None
    if not rawjson.is_object(members.get("serverInfo", b"")):
        members.pop("serverInfo", None)
    if rawjson.text(members.get("instructions", b"")) is None:
        members.pop("instructions", None)
    return Welcome(members, {name: rawjson.members(each) for name, each in rawjson.members(capabilities).items()})
