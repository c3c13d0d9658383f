"""Who of those that share a child has subscribed to which resource. No I/O.

To the child they are one client, so it hears of a resource's first subscriber and of its last one's going.
"""

from collections.abc import Set
from typing import Final

import msgspec

from gateway.jsonrpc import Notification, Request

MAX_URIS: Final = 1000
"""Resources that one session may be subscribed to; what is beyond is not noted, and its news reach nobody."""


class _Uri(msgspec.Struct):
    uri: str = ""


def uri_of(message: Request | Notification) -> str:
    """The resource that `message` is about; empty where it names none."""
    try:
        return msgspec.json.decode(message.params, type=_Uri).uri
    except (msgspec.MsgspecError, RecursionError):
        return ""


class Subscriptions:
    """Of lanes, which are numbers, to resources, which are URIs."""

    def __init__(self) -> None:
        self._lanes: dict[str, set[int]] = {}
        self._counts: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Subscriptions to {len(self._lanes)} resources>"

    def has(self, uri: str) -> bool:
        """Whether anybody is subscribed to it."""
        return uri in self._lanes

    def add(self, lane: int, uri: str) -> None:
        """The child has said yes to it."""
        lanes = self._lanes.get(uri, set())
        count = self._counts.get(lane, 0)
        if not uri or lane in lanes or count >= MAX_URIS:
            return
        self._lanes.setdefault(uri, lanes).add(lane)
        self._counts[lane] = count + 1

    def remove(self, lane: int, uri: str) -> bool:
        """No longer; whether somebody else still is."""
        lanes = self._lanes.get(uri, set())
        if lane in lanes:
            lanes.discard(lane)
            self._counts[lane] -= 1
            if not lanes:
                del self._lanes[uri]
        return bool(lanes)

    def leave(self, lane: int) -> list[str]:
        """A lane is no more; the resources that nobody is subscribed to any longer."""
        own = [uri for uri, lanes in self._lanes.items() if lane in lanes]
        left = [uri for uri in own if not self.remove(lane, uri)]
        self._counts.pop(lane, None)
        return left

    def interested(self, uri: str) -> Set[int]:
        """Whom news of `uri` concern: its subscribers, else those of what it is a part of.

        "This may be a sub-resource of the one that the client actually subscribed to" (specification: Resources).
        """
        if uri in self._lanes:
            return self._lanes[uri]
        return {lane for whole, lanes in self._lanes.items() if uri.startswith(whole) for lane in lanes}
