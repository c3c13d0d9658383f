"""What a legacy client hears without asking, of a child that wants to be listened to: `subscriptions/listen`.

One listen at a time carries everything that the session wants: news of the lists, and of the resources subscribed to.
When that changes a new one is opened, and the one before is cancelled once the new one is acknowledged, so that nothing
falls in between. No I/O, no clock.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from msgspec import Raw

from gateway.jsonrpc import ABSENT, Notification, Request, Response, notification
from gateway.rawjson import Members, members, put_together, text
from gateway.specification import SUBSCRIPTION_ID_META_KEY
from gateway.translation.modern_child import results
from gateway.translation.steps import Hear, Say, Step, Wake

MAX_SUBSCRIPTIONS: Final = 1_000
"""Resources that one session may be subscribed to."""

AGAIN: Final = "listen"
"""The key of the timer after which a listen that the child ended is opened again."""

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds until then: at first, and at most."""

UPDATED: Final = "notifications/resources/updated"

_OBJECT: Final = b"{}"


@dataclass(slots=True)
class _Listen:
    id: bytes
    uris: frozenset[str]
    waiting: list[tuple[bytes, str]] = field(default_factory=list)
    """Calls that are answered when it is acknowledged, with the resource that each is about; empty where none is."""


class Listening:
    """The listens of one session. `meta()` gives the `_meta` that a request has to come with."""

    def __init__(self, meta: Callable[[], Members]) -> None:
        self._meta = meta
        self._news: tuple[str, ...] = ()
        self._uris: set[str] = set()
        self._current: _Listen | None = None
        """The one that is acknowledged."""
        self._opening: _Listen | None = None
        self._names = secrets.token_hex(4)  # of an earlier gateway's listens the child may know still
        self._last = 0
        self._pause = FIRST_PAUSE

    def __repr__(self) -> str:
        return f"<Listening to {len(self._uris)} resources, {', '.join(self._news) or 'no lists'}>"

    def begin(self, news: tuple[str, ...]) -> list[Step]:
        """Listen to what the child has to tell of its lists."""
        self._news = news
        return self._open([])

    def subscribe(self, call: bytes, params: bytes) -> list[Step]:
        """`resources/subscribe`; it is answered when the child has acknowledged it."""
        uri = text(members(params).get("uri", ABSENT))
        if uri is None:
            return [Hear(Response(call, b"", results.error("expected the 'uri' of a resource")))]
        if len(self._uris) >= MAX_SUBSCRIPTIONS and uri not in self._uris:
            message = f"a session may be subscribed to {MAX_SUBSCRIPTIONS} resources, and is"
            return [Hear(Response(call, b"", results.error(message)))]
        if self._current is not None and uri in self._current.uris and uri in self._uris:
            return [Hear(Response(call, _OBJECT, b""))]
        self._uris.add(uri)
        return self._open([(call, uri)])

    def unsubscribe(self, call: bytes, params: bytes) -> list[Step]:
        """`resources/unsubscribe`; nothing is told of it any more, whatever the child does."""
        uri = text(members(params).get("uri", ABSENT))
        answer = Hear(Response(call, _OBJECT, b""))
        if uri not in self._uris:
            return [answer]
        self._uris.discard(uri)
        return [answer, *self._open([])]

    def cancel(self, call: bytes) -> bool:
        """The client waits for the answer to `call` no longer; whether it waited here."""
        if self._opening is None:
            return False
        before = len(self._opening.waiting)
        self._opening.waiting = [each for each in self._opening.waiting if each[0] != call]
        return len(self._opening.waiting) < before

    def tell(self, message: Notification) -> list[Step] | None:
        """The child says something to a listener; None where it is for none."""
        params = members(message.params)
        meta = members(params.get("_meta", ABSENT))
        id_ = bytes(meta.pop(SUBSCRIPTION_ID_META_KEY, ABSENT))
        if not id_:
            return None
        if message.method == "notifications/subscriptions/acknowledged":
            return self._acknowledged(id_, params)
        if self._current is None or id_ != self._current.id:
            return []
        if message.method == UPDATED and not self._wants(text(params.get("uri", ABSENT)) or ""):
            return []  # the child may not know yet that nobody does any more
        if meta:
            params["_meta"] = Raw(put_together(meta))
        else:
            del params["_meta"]
        return [Hear(Notification(message.method, put_together(params) if params else b""))]

    def ended(self, id_: bytes, error: bytes = b"") -> list[Step] | None:
        """The child has ended the listen `id_`, or refused it; None where there is none of that id."""
        if self._opening is not None and id_ == self._opening.id:
            opening, self._opening = self._opening, None
            refusal = error or results.error("the server ended the subscription")
            self._uris -= {uri for _, uri in opening.waiting}
            return [Hear(Response(call, b"", refusal)) for call, _ in opening.waiting]
        if self._current is not None and id_ == self._current.id:
            self._current = None
            if self._opening is not None or error:
                return []
            pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
            return [Wake(AGAIN, pause)]
        return None

    def wake(self) -> list[Step]:
        """Listen again, after the child had ended it."""
        return self._open([]) if self._current is None and self._opening is None else []

    # Within.

    def _wants(self, uri: str) -> bool:
        """What is updated may be a part of what was subscribed to."""
        return uri in self._uris or any(uri.startswith(each.rstrip("/") + "/") for each in self._uris)

    def _open(self, waiting: list[tuple[bytes, str]]) -> list[Step]:
        """Ask for all that is wanted now; what the last one that is not acknowledged was to answer, this one is."""
        steps: list[Step] = []
        if self._opening is not None:
            waiting = [*self._opening.waiting, *waiting]
            steps.append(_cancelled(self._opening.id))
            self._opening = None
        if not self._news and not self._uris:
            return [*steps, *self._stop_current()]
        self._last += 1
        self._opening = _Listen(b'"listen-%b-%d"' % (self._names.encode(), self._last), frozenset(self._uris), waiting)
        wanted: dict[str, object] = {f"{name}ListChanged": True for name in self._news}
        if self._uris:
            wanted["resourceSubscriptions"] = sorted(self._uris)
        params = put_together({"notifications": wanted, "_meta": self._meta()})
        return [*steps, Say(Request(self._opening.id, "subscriptions/listen", params))]

    def _acknowledged(self, id_: bytes, params: Members) -> list[Step]:
        if self._opening is None or id_ != self._opening.id:
            return []
        opening, self._opening = self._opening, None
        honoured = _uris_of(params.get("notifications", ABSENT))
        steps = self._stop_current()
        self._current, self._pause = opening, FIRST_PAUSE
        for call, uri in opening.waiting:
            if uri in honoured:
                steps.append(Hear(Response(call, _OBJECT, b"")))
            else:
                self._uris.discard(uri)
                refusal = results.error("the server does not tell of changes of this resource")
                steps.append(Hear(Response(call, b"", refusal)))
        return steps

    def _stop_current(self) -> list[Step]:
        current, self._current = self._current, None
        return [_cancelled(current.id)] if current is not None else []


def _cancelled(id_: bytes) -> Step:
    return Say(notification("notifications/cancelled", {"requestId": Raw(id_)}))


def _uris_of(notifications: Raw) -> frozenset[str]:
    try:
        said = msgspec.json.decode(
            bytes(members(notifications).get("resourceSubscriptions", b"[]")), type=list[str] | None
        )
    except msgspec.MsgspecError:
        return frozenset()
    return frozenset(said or ())
