"""Several conversations with one child: which of them gets which message, and what the child hears of each. No I/O.

Each **lane**, a number, is one session's way to the child. To the child all of them are one client.

* The ids of requests are the gateway's own and never the same on two lanes, so an answer finds its way back by its id.
  Progress tokens are made such ids on the way to the child, and back again.
* The handshake is done once. Who says `initialize` later is told what the child said then, and of all the
  `notifications/initialized` only the first one passes.
* A question of the child goes to the lane whose call is in flight, or to the only lane there is. Where calls of several
  lanes are in flight, or of none of several, nobody can know whose it is, and it is declined: a question in another
  session's chat, and that one's answer, would be worse.
* A log line goes to each lane that has a call in flight, for it cannot be told whose it is; where there is none, to
  all. What is about the server as a whole goes to all, and news of a resource to its subscribers.
* A call that was cancelled may have asked something before the child heard of that; a ping behind the cancellation
  tells when it has.
* A lane that leaves takes its calls, its questions and its subscriptions with it.

Every method says what is to be done, in order; `shared` does it.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

import msgspec

from gateway.jsonrpc import (
    Message,
    Notification,
    Request,
    Response,
    cancelled_id,
    notification,
    progress_token,
    reported_token,
)
from gateway.sharing.subscriptions import Subscriptions, uri_of
from gateway.sharing.tokens import number, reported_under, with_token
from gateway.specification import METHOD_NOT_FOUND

INITIALIZED: Final = "notifications/initialized"
_CANCELLED: Final = "notifications/cancelled"
_EMPTY_RESULT: Final = b"{}"
_ABOUT_SUBSCRIPTIONS: Final = frozenset({"resources/subscribe", "resources/unsubscribe"})
_AMBIGUOUS: Final = (
    b'{"code":%d,"message":"several sessions share this server, and it is not known which one to ask"}'
    % (METHOD_NOT_FOUND)
)


@dataclass(frozen=True, slots=True)
class ToChild:
    """Write this to the child."""

    message: Message


@dataclass(frozen=True, slots=True)
class ToLane:
    """On this lane it is as if the child had said `message`, of the call `about` where that is known."""

    lane: int
    message: Message
    about: int | None = None


Step = ToChild | ToLane


class Handshake(Enum):
    """How far the child is."""

    NEW = "nobody has said 'initialize'"
    ASKED = "it has been asked"
    REFUSED = "it has answered with an error"
    DONE = "it has answered"


@dataclass(slots=True)
class _Call:
    """A request that the child has not answered; of nobody, where the lane has left, or it is our own."""

    lane: int | None
    method: str
    token: bytes
    uri: str


class Multiplexer:
    """The state of what several lanes have with one child.

    `ids` are the numbers from which the lanes' conversations take theirs, too. `welcome` is the child's answer to
    `initialize`, where an earlier gateway has heard it.
    """

    def __init__(self, ids: Iterator[int], *, welcome: bytes = b"", initialized: bool = False) -> None:
        self.handshake = Handshake.DONE if welcome else Handshake.NEW
        self.welcome = welcome
        """The InitializeResult of the child; empty before."""
        self.initialized = initialized
        """Whether the child has heard `notifications/initialized`."""
        self.counters: Counter[str] = Counter()
        """What was dropped, by why."""
        self._ids = ids
        self._lanes: set[int] = set()
        self._calls: dict[int, _Call] = {}
        self._waiting: dict[bytes, int] = {}
        """The ids of all `initialize` that wait for the one that the child has heard, and their lanes."""
        self._questions: dict[bytes, int] = {}
        self._adrift: dict[int, int] = {}
        """The lanes whose cancelled calls the child may still be about, by the ids of the pings behind them."""
        self._subscriptions = Subscriptions()
        self._resumed = bool(welcome)

    def __repr__(self) -> str:
        return f"<Multiplexer: {len(self._lanes)} lanes, {len(self._calls)} in flight, {self.handshake.name}>"

    def in_flight(self, lane: int) -> int:
        """How many calls of this lane wait for the child."""
        return sum(call.lane == lane for call in self._calls.values())

    # The lanes.

    def join(self, lane: int) -> None:
        """One more lane."""
        self._lanes.add(lane)

    def leave(self, lane: int) -> list[Step]:
        """The lane is no more: its calls are cancelled, its questions declined, its subscriptions ended."""
        self._lanes.discard(lane)
        self._waiting = {id_: each for id_, each in self._waiting.items() if each != lane}
        steps: list[Step] = []
        own = [(id_, call) for id_, call in self._calls.items() if call.lane == lane]
        for id_, call in own:
            if call.method == "initialize":  # which may not be cancelled, and whose answer others may wait for
                call.lane = None
                continue
            del self._calls[id_]
            params = {"requestId": id_, "reason": "its session has ended"}
            steps.append(ToChild(notification(_CANCELLED, params)))
        if steps:
            steps.append(self._mark(lane))
        steps += [self._decline(id_) for id_, each in tuple(self._questions.items()) if each == lane]
        steps += [self._unsubscribe(uri) for uri in self._subscriptions.leave(lane)]
        return steps

    # What is said on a lane.

    def from_lane(self, lane: int, message: Message) -> list[Step]:
        """`message` is said on the lane; the ids of its requests are from `ids`."""
        match message:
            case Request(method="initialize"):
                return self._initialize(lane, message)
            case Request():
                return self._ask_child(lane, message)
            case Response():
                return self._answer_child(lane, message)
            case Notification(method=method) if method == INITIALIZED:
                first, self.initialized = not self.initialized, True
                return [ToChild(message)] if first else []
            case Notification(method=method) if method == _CANCELLED:
                return self._cancel(lane, message)
            case Notification():
                return [ToChild(message)]

    def _initialize(self, lane: int, message: Request) -> list[Step]:
        if self.handshake is Handshake.DONE:
            return [ToLane(lane, Response(message.id, self.welcome, b""))]
        self._waiting[message.id] = lane
        if self.handshake is Handshake.ASKED:
            return []
        self.handshake = Handshake.ASKED
        return [self._begin(lane, message)]

    def _ask_child(self, lane: int, message: Request) -> list[Step]:
        uri = uri_of(message) if message.method in _ABOUT_SUBSCRIPTIONS else ""
        subscribed = message.method == "resources/subscribe" and self._subscriptions.has(uri)
        still_wanted = message.method == "resources/unsubscribe" and self._subscriptions.remove(lane, uri)
        if subscribed:
            self._subscriptions.add(lane, uri)
        if subscribed or still_wanted:
            return [ToLane(lane, Response(message.id, _EMPTY_RESULT, b""))]
        return [self._begin(lane, message, uri)]

    def _begin(self, lane: int | None, message: Request, uri: str = "") -> Step:
        id_ = number(message.id)
        assert id_ is not None  # it is from `ids`
        token = progress_token(message)
        self._calls[id_] = _Call(lane, message.method, token, uri)
        return ToChild(with_token(message, message.id) if token else message)

    def _mark(self, lane: int) -> Step:
        """Have the child answer something, so that it is known when it has heard that a call of `lane` is cancelled.

        What it says before that may still be about the call; after that its questions are others'.
        """
        id_ = next(self._ids)
        self._adrift[id_] = lane
        return self._begin(None, Request(b"%d" % id_, "ping", b""))

    def _answer_child(self, lane: int, message: Response) -> list[Step]:
        if self._questions.get(message.id) != lane:
            self.counters["answer_to_no_question"] += 1
            return []
        del self._questions[message.id]
        return [ToChild(message)]

    def _cancel(self, lane: int, message: Notification) -> list[Step]:
        id_ = number(cancelled_id(message))
        call = self._calls.get(id_) if id_ is not None else None
        if id_ is None or call is None or call.lane != lane:
            return []
        del self._calls[id_]
        return [ToChild(message), self._mark(lane)] if len(self._lanes) > 1 else [ToChild(message)]

    # What the child says.

    def from_child(self, message: Message, about: int | None = None) -> list[Step]:
        """The child says `message`, of the call `about` where that is known."""
        match message:
            case Response():
                return self._answer(message)
            case Request(method="ping"):
                return [ToChild(Response(message.id, _EMPTY_RESULT, b""))]
            case Request():
                return self._ask(message, about)
            case Notification(method="notifications/progress"):
                return self._report(message)
            case Notification(method=method) if method == _CANCELLED:
                return self._withdraw(message)
            case Notification():
                return [ToLane(lane, message, about) for lane in sorted(self._concerned(message, about))]

    def _answer(self, message: Response) -> list[Step]:
        id_ = number(message.id)
        call = self._calls.pop(id_, None) if id_ is not None else None
        if id_ is None or call is None:
            self.counters["answer_to_nobody"] += 1
            return []
        self._adrift.pop(id_, None)
        if call.method == "initialize":
            return self._shaken(message)
        if call.lane is None:
            return []
        if call.method == "resources/subscribe" and not message.error:
            self._subscriptions.add(call.lane, call.uri)
        return [ToLane(call.lane, message)]

    def _shaken(self, message: Response) -> list[Step]:
        """The child has answered `initialize`: so has it to everybody who waits for that."""
        self.handshake = Handshake.REFUSED if message.error else Handshake.DONE
        self.welcome = message.result
        waiting, self._waiting = self._waiting, {}
        return [ToLane(lane, Response(id_, message.result, message.error)) for id_, lane in waiting.items()]

    def _ask(self, message: Request, about: int | None) -> list[Step]:
        call = self._calls.get(about) if about is not None else None
        candidates = {call.lane} if call is not None else self._busy() | set(self._adrift.values()) or self._lanes
        lane = next(iter(candidates)) if len(candidates) == 1 else None
        if lane not in self._lanes or message.id in self._questions:
            self.counters["question_to_nobody"] += 1
            return [ToChild(Response(message.id, b"", _AMBIGUOUS))]
        assert lane is not None
        self._questions[message.id] = lane
        return [ToLane(lane, message, about)]

    def _report(self, message: Notification) -> list[Step]:
        id_ = number(reported_token(message))
        call = self._calls.get(id_) if id_ is not None else None
        if call is None or call.lane is None or not call.token:
            self.counters["progress_for_nobody"] += 1
            return []
        return [ToLane(call.lane, reported_under(message, call.token), id_)]

    def _withdraw(self, message: Notification) -> list[Step]:
        """The child no longer wants an answer to its question."""
        lane = self._questions.pop(cancelled_id(message), None)
        return [ToLane(lane, message)] if lane is not None else []

    def _concerned(self, message: Notification, about: int | None) -> set[int]:
        if message.method.endswith("/list_changed"):
            return set(self._lanes)
        if message.method == "notifications/resources/updated":
            interested = set(self._subscriptions.interested(uri_of(message)))
            return interested or (set(self._lanes) if self._resumed else set())
        call = self._calls.get(about) if about is not None else None
        if call is not None:
            return {call.lane} if call.lane is not None else set()
        return self._busy() or set(self._lanes)

    # Within.

    def _busy(self) -> set[int]:
        """The lanes that have a call in flight."""
        return {call.lane for call in self._calls.values() if call.lane is not None and call.method != "initialize"}

    def _decline(self, question: bytes) -> Step:
        del self._questions[question]
        return ToChild(Response(question, b"", _AMBIGUOUS))

    def _unsubscribe(self, uri: str) -> Step:
        params = msgspec.json.encode({"uri": uri})
        return self._begin(None, Request(b"%d" % next(self._ids), "resources/unsubscribe", params))
