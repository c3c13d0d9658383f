"""Makes a legacy child look like a modern one. No I/O, no clock.

The child's first message is the handshake's, whoever speaks first; what the conversation says meanwhile waits. Then
requests go to `calls`, listens to `subscriptions`, and `server/discover` is answered from what the child said of itself.
Whatever only one of the eras knows ends here.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Set
from enum import Enum, auto
from typing import Final

from gateway.jsonrpc import Message, Notification, Request, Response, cancelled_id
from gateway.specification import INTERNAL_ERROR, INVALID_PARAMS, METHOD_NOT_FOUND
from gateway.translation.legacy_child import envelope, handshake, questions, results
from gateway.translation.legacy_child.call import OwnIds
from gateway.translation.legacy_child.calls import Calls
from gateway.translation.legacy_child.handshake import Welcome
from gateway.translation.legacy_child.parking import random_handle
from gateway.translation.legacy_child.subscriptions import LISTEN, UPDATED, Subscriptions
from gateway.translation.steps import Hear, Say, Step

DISCOVER: Final = "server/discover"

QUEUED: Final = 256
"""Requests that may wait for the end of the handshake; one more is refused."""

REMOVED: Final = frozenset(
    {"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"}
    | {"tasks/get", "tasks/result", "tasks/list", "tasks/cancel"}
)
"""What the child would understand, but a modern server does not."""

_REFUSED: Final = b'{"code":%d,"message":"the server refused the handshake"}' % INTERNAL_ERROR


class _Phase(Enum):
    NEW = auto()
    SHAKING = auto()
    READY = auto()
    REFUSED = auto()


class LegacyChild:
    """The translator for one legacy child.

    `capabilities` are what the child is told that its client can do: of all that share it, so `askable` of them is part
    of the isolation key. `welcome` is the InitializeResult that an earlier gateway got of this child, whose handshake is
    over. `epoch` is how many gateways there were before this one; `new_handle()` is a string that nobody can guess.
    """

    def __init__(
        self,
        capabilities: Mapping[str, object],
        client_info: Mapping[str, object],
        *,
        welcome: bytes = b"",
        epoch: int = 0,
        new_handle: Callable[[], str] = random_handle,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """What was dropped or refused, by why."""
        self.welcome = b""
        """The InitializeResult, once the child has given one: for the gateway after this one."""
        self._capabilities = handshake.askable(capabilities)
        self._client_info = client_info
        self._ids = OwnIds(epoch)
        self._new_handle = new_handle
        self._phase = _Phase.NEW
        self._opening = b""
        """The id of `initialize`, which is that of the discover that waits for it, if one does."""
        self._queued: list[Request] = []
        self._known = Welcome({}, {})
        self._calls = self._new_calls()
        self._subscriptions = self._new_subscriptions()
        self._resumed = bool(welcome)
        if welcome:
            self._accept(welcome)

    def __repr__(self) -> str:
        return f"<LegacyChild {self._phase.name.lower()}: {self._calls!r}, {len(self._subscriptions)} listening>"

    @property
    def adrift(self) -> Set[int]:
        """Calls that the child works at by another number than the conversation's."""
        return self._calls.adrift

    @property
    def questions(self) -> Set[bytes]:
        """Ids of what the child has asked."""
        return self._calls.questions

    # What the conversation says.

    def to_child(self, message: Message) -> list[Step]:
        """The conversation says `message` to the child."""
        match message:
            case Request() if self._phase is _Phase.READY:
                return self._serve(message)
            case Request() if self._phase is _Phase.REFUSED:
                return [Hear(Response(message.id, b"", _REFUSED))]
            case Request():
                return self._wait(message)
            case Notification(method="notifications/cancelled"):
                return self._cancel(message)
            case Response() if self._resumed:
                return [
                    Say(message)
                ]  # to what an earlier gateway was asked: a conversation of this era has no questions
        self.counters["not_for_the_child"] += 1
        return []

    def _wait(self, request: Request) -> list[Step]:
        """`request` has to wait for the handshake, and begins it where nobody has."""
        if len(self._queued) >= QUEUED:
            self.counters["call_refused"] += 1
            return [Hear(results.error(request.id, INTERNAL_ERROR, "too many requests wait for this server's start"))]
        self._queued.append(request)
        if self._phase is _Phase.SHAKING:
            return []
        self._phase = _Phase.SHAKING
        self._opening = request.id if request.method == DISCOVER else self._ids.new()
        return [Say(handshake.initialize(self._opening, self._capabilities, self._client_info))]

    def _serve(self, request: Request) -> list[Step]:
        if request.method == DISCOVER:
            return [Hear(Response(request.id, self._known.discover_result(), b""))]
        if request.method in REMOVED:
            text = "this method is not one of the revision 2026-07-28"
            return [Hear(results.error(request.id, METHOD_NOT_FOUND, text))]
        if request.method == LISTEN:
            return self._subscriptions.listen(request)
        try:
            return self._calls.begin(envelope.read(request))
        except envelope.Unreadable as error:
            return [Hear(results.error(request.id, INVALID_PARAMS, str(error)))]

    def _cancel(self, message: Notification) -> list[Step]:
        """What an earlier gateway was asked, this one does not know; but the child does."""
        number = cancelled_id(message)
        if (queued := next((each for each in self._queued if each.id == number), None)) is not None:
            self._queued.remove(queued)
            return []
        if (ended := self._subscriptions.end(number)) is not None:
            return ended
        if (cancelled := self._calls.cancel(number)) is not None:
            return cancelled
        if self._resumed:
            return [Say(message)]
        self.counters["cancelled_nothing"] += 1
        return []

    # What the child says.

    def from_child(self, message: Message) -> list[Step]:
        """The child says `message`."""
        match message:
            case Response() if self._phase is _Phase.SHAKING and message.id == self._opening:
                return self._shaken(message)
            case Response():
                return self._answered(message)
            case Request():
                return self._asked(message)
            case Notification():
                return self._told(message)

    def wake(self, key: str) -> list[Step]:
        """The time of `Wake(key)` has come."""
        return self._calls.wake(key)

    def _shaken(self, message: Response) -> list[Step]:
        """The handshake is over, one way or the other."""
        queued, self._queued = self._queued, []
        if message.error or not self._accept(message.result):
            self._phase = _Phase.REFUSED
            error = results.modern_error(message.error, DISCOVER, "") if message.error else _REFUSED
            return [Hear(Response(request.id, b"", error)) for request in queued]
        steps: list[Step] = [Say(Notification(handshake.ACCEPTED, b""))]
        for request in queued:
            steps += self._serve(request)
        return steps

    def _accept(self, result: bytes) -> bool:
        """Whether the child can be served: `result` is what it says of itself."""
        if (known := handshake.read_welcome(result)) is None:
            return False
        self._phase, self._known, self.welcome = _Phase.READY, known, result
        self._calls = self._new_calls()
        self._subscriptions = self._new_subscriptions()
        return True

    def _new_calls(self) -> Calls:
        return Calls(self._known, self._capabilities, self._ids, self.counters, self._new_handle)

    def _new_subscriptions(self) -> Subscriptions:
        return Subscriptions(self._known, self._ids, self.counters)

    def _answered(self, message: Response) -> list[Step]:
        if not self._calls.waits_for(message.id) and self._ids.own(message.id):
            if message.error:
                self.counters["own_request_refused"] += 1
            return []
        return self._calls.answer(message)

    def _asked(self, request: Request) -> list[Step]:
        if request.method == "ping":
            return [Say(Response(request.id, b"{}", b""))]
        if request.method in questions.CAPABILITY_OF:
            return self._calls.ask(request)
        return [Say(questions.refused(request.id))]

    def _told(self, message: Notification) -> list[Step]:
        match message.method:
            case "notifications/progress":
                return self._calls.report(message)
            case "notifications/message":
                return self._calls.log(message)
            case "notifications/cancelled":
                return self._calls.withdraw(message)
            case method if method == UPDATED or method.endswith("/list_changed"):
                return self._subscriptions.tell(message)
        self.counters["message_for_nobody"] += 1
        return []
