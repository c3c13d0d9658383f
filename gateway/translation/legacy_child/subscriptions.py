"""`subscriptions/listen` on a legacy child, which knows `resources/subscribe` and tells everybody everything. No I/O."""

from collections import Counter
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from gateway import meta, rawjson
from gateway.jsonrpc import Notification, Request
from gateway.rawjson import Members
from gateway.specification import INTERNAL_ERROR, INVALID_PARAMS, SUBSCRIPTION_ID_META_KEY
from gateway.translation.legacy_child import results
from gateway.translation.legacy_child.call import OwnIds
from gateway.translation.legacy_child.handshake import Welcome
from gateway.translation.steps import Hear, Say, Step

LISTEN: Final = "subscriptions/listen"
ACKNOWLEDGED: Final = "notifications/subscriptions/acknowledged"
UPDATED: Final = "notifications/resources/updated"

LISTENERS: Final = 64
"""Listens on one child; one more is refused."""

SUBSCRIPTIONS: Final = 1024
"""Resources of one child that may be subscribed to; what is beyond that is left out of the acknowledgement."""

_LISTS: Final = {
    "toolsListChanged": ("tools", "notifications/tools/list_changed"),
    "promptsListChanged": ("prompts", "notifications/prompts/list_changed"),
    "resourcesListChanged": ("resources", "notifications/resources/list_changed"),
}


class _Filter(msgspec.Struct):
    toolsListChanged: bool | None = None  # noqa: N815 - the protocol's spelling
    promptsListChanged: bool | None = None  # noqa: N815
    resourcesListChanged: bool | None = None  # noqa: N815
    resourceSubscriptions: list[str] | None = None  # noqa: N815


class _Listen(msgspec.Struct):
    notifications: _Filter


@dataclass(frozen=True, slots=True)
class _Listener:
    methods: frozenset[str]
    uris: frozenset[str]

    def wants(self, method: str, uri: str) -> bool:
        """What is updated may be a part of what was subscribed to."""
        if method != UPDATED:
            return method in self.methods
        return uri in self.uris or any(uri.startswith(each.rstrip("/") + "/") for each in self.uris)


class Subscriptions:
    """Who listens to what."""

    def __init__(self, welcome: Welcome, ids: OwnIds, counters: Counter[str]) -> None:
        self._welcome = welcome
        self._ids = ids
        self._counters = counters
        self._listeners: dict[bytes, _Listener] = {}
        self._listening: Counter[str] = Counter()
        """How many listeners each subscribed resource has."""

    def __len__(self) -> int:
        return len(self._listeners)

    def listen(self, request: Request) -> list[Step]:
        """Somebody wants to listen. What the child can tell of it is acknowledged; the rest never comes."""
        try:
            wanted = msgspec.json.decode(request.params, type=_Listen).notifications
        except msgspec.MsgspecError:
            return [Hear(results.error(request.id, INVALID_PARAMS, "notifications is no filter"))]
        if len(self._listeners) >= LISTENERS:
            self._counters["listener_refused"] += 1
            return [Hear(results.error(request.id, INTERNAL_ERROR, "too many listen to this server"))]
        flags = [name for name in _LISTS if getattr(wanted, name) and self._welcome.has(_LISTS[name][0], "listChanged")]
        uris = self._admit(wanted.resourceSubscriptions or [])
        steps: list[Step] = [self._say("resources/subscribe", uri) for uri in uris if uri not in self._listening]
        self._listening.update(uris)
        self._listeners[request.id] = _Listener(frozenset(_LISTS[name][1] for name in flags), frozenset(uris))
        honoured = {**dict.fromkeys(flags, True), **({"resourceSubscriptions": uris} if uris else {})}
        return [_tagged(ACKNOWLEDGED, {"notifications": rawjson.put(honoured)}, request.id), *steps]

    def end(self, number: bytes) -> list[Step] | None:
        """The listen `number` is over; None where there is none."""
        if (listener := self._listeners.pop(number, None)) is None:
            return None
        self._listening.subtract(listener.uris)
        gone = sorted(uri for uri in listener.uris if not self._listening[uri])
        for uri in gone:
            del self._listening[uri]
        return [self._say("resources/unsubscribe", uri) for uri in gone]

    def tell(self, message: Notification) -> list[Step]:
        """The child says that something changed."""
        params = rawjson.members(message.params)
        uri = rawjson.text(params.get("uri", b"")) or ""
        hearing = [number for number, each in self._listeners.items() if each.wants(message.method, uri)]
        if not hearing:
            self._counters["message_for_nobody"] += 1
        return [_tagged(message.method, dict(params), number) for number in hearing]

    def _admit(self, wanted: list[str]) -> list[str]:
        """Those of the wanted resources that can be subscribed to, each once."""
        if not self._welcome.has("resources", "subscribe"):
            return []
        uris, free = [], SUBSCRIPTIONS - len(self._listening)
        for uri in dict.fromkeys(wanted):
            new = uri not in self._listening
            if new and not free:
                self._counters["subscription_refused"] += 1
                continue
            free -= new
            uris.append(uri)
        return uris

    def _say(self, method: str, uri: str) -> Say:
        return Say(Request(self._ids.new(), method, msgspec.json.encode({"uri": uri})))


def _tagged(method: str, params: Members, number: bytes) -> Hear:
    meta.put_meta(params, {SUBSCRIPTION_ID_META_KEY: Raw(number)})
    return Hear(Notification(method, msgspec.json.encode(params)), int(number))
