"""One child's conversation with clients of the revision 2026-07-28. No I/O, no clock.

There is no session here, and no standing stream: each request has a stream of its own, and that stream is its life. Who
closes it has cancelled the request (specification: basic/transports, Streamable HTTP, Cancellation). Several clients, or
several requests of one, share the child, so towards the child every request has an id and a progress token of the
gateway's own.

* What the child says goes to the one stream that it belongs to: progress by its token; news of a subscription by the
  subscription's id, which is the id of the request that opened it; a log line only to a request that asked for log
  lines, and only where no other could have caused it. What belongs nowhere is dropped, and counted.
* `subscriptions/listen` is a request that is answered when it is over. Either side's end of it is the end: the child's
  answer, the child's `notifications/cancelled`, the child's death, or the client's hanging up.
* A child of this revision never asks anything (basic/transports, stdio), so there are no questions; one that does gets
  an error.

The gateway opens the conversation itself, with a `server/discover` whose answer shows that the child can serve. Nobody
waits for it: what clients ask goes right behind.

Every method returns what is to be done, in order; `relay` does it.
"""

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.conversation import EPOCH_BITS
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import GatewayError
from gateway.jsonrpc import (
    Message,
    Notification,
    Request,
    Response,
    cancelled_id,
    encode,
    notification,
    reported_token,
)
from gateway.large import LargeAnswer
from gateway.meta import LOG_LEVEL, PROGRESS, SUBSCRIPTION_ID, meta_of, with_meta
from gateway.rawjson import members, text
from gateway.specification import LATEST_MODERN_VERSION, METHOD_NOT_FOUND

OPENING: Final = "server/discover"
"""The method of the request with which the gateway opens the conversation."""

LISTEN: Final = "subscriptions/listen"

_LONGEST_ID: Final = 18
"""Digits of an id of our own; an answer to a longer one is an answer to nobody."""

_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
"""Of log lines, by rising severity (RFC 5424)."""

_NO_QUESTIONS: Final[frozenset[bytes]] = frozenset()
_UNASKED: Final = b'{"code":%d,"message":"a server of this revision asks nothing of its client"}' % METHOD_NOT_FOUND


@dataclass(slots=True)
class Call:
    """One request in flight."""

    client_id: bytes
    method: str
    stream: int
    token: bytes
    """The JSON of the client's progress token; empty for none."""
    level: str | None
    """Of the log lines that the client wants; None for none."""
    can_carry_more: bool

    @property
    def listens(self) -> bool:
        """Whether it is a subscription."""
        return self.method == LISTEN


class ModernConversation:
    """The state of one conversation.

    `epoch` says how many gateways were before this one, and `initialized` that one of them has opened it.
    """

    def __init__(self, *, epoch: int = 0, initialized: bool = False) -> None:
        self._last_call = epoch << EPOCH_BITS
        self._opening: int | None = None
        self._calls: dict[int, Call] = {}
        self.initialized = initialized
        """Whether the child has shown that it can serve."""
        self.version = LATEST_MODERN_VERSION
        """The revision that is spoken. Each request says so itself, so there is nothing to agree on."""
        self.client = ""
        """Unknown: each request says so of its own."""
        self.counters: Counter[str] = Counter()
        """What was dropped, by why."""

    def __repr__(self) -> str:
        listening = sum(each.listens for each in self._calls.values())
        return f"<ModernConversation: {len(self._calls)} in flight, {listening} of them listening>"

    @property
    def questions(self) -> Set[bytes]:
        """None, ever."""
        return _NO_QUESTIONS

    def opens(self, call: int) -> bool:
        """Whether `call` is the gateway's own `server/discover`."""
        return call == self._opening and call in self._calls

    def waits(self, call: int, /) -> bool:
        """Whether `call` is a subscription."""
        found = self._calls.get(call)
        return found is not None and found.listens

    # What the client says.

    def request(
        self,
        message: Request,
        stream: int,
        *,
        can_carry_more: bool = True,
        only_questions: bool = False,  # noqa: ARG002 - Talk asks for it; here a request says what it wants
    ) -> tuple[int | None, list[Effect]]:
        """The client asks, and wants the answer on `stream`, which is this request's alone."""
        self._last_call += 1
        call = self._last_call
        if not self.initialized and self._opening is None and message.method == OPENING:
            self._opening = call
        meta = meta_of(message.params)
        token, level = bytes(meta.get(PROGRESS, b"")), text(bytes(meta.get(LOG_LEVEL, b"")))
        self._calls[call] = Call(message.id, message.method, stream, token, level, can_carry_more)
        params = with_meta(message.params, {PROGRESS: b"%d" % call} if token else {})
        return call, [ToChild(encode(Request(b"%d" % call, message.method, params)))]

    def notify(self, message: Notification) -> list[Effect]:  # noqa: ARG002 - Talk asks for it
        """Nothing: over HTTP a client of this revision has nothing to tell (and may not cancel another's request)."""
        return self._drop("notification_of_client")

    def respond(self, message: Response) -> list[Effect]:  # noqa: ARG002
        """Nothing: there are no questions."""
        return self._drop("answer_to_no_question")

    def stand(self, stream: int) -> list[Effect]:  # noqa: ARG002
        """Nothing: there are no standing streams."""
        return []

    def reopen(self, stream: int) -> list[Effect]:  # noqa: ARG002
        """Nothing: nobody comes back to a stream, for its end was the request's."""
        return []

    def close_stream(self, stream: int) -> list[Effect]:
        """The client hung up on `stream`: that cancels what it asked for there."""
        return [effect for call in self._calls_on(stream) for effect in self._cancel(call)]

    # What the child says.

    def from_child(self, message: Message, line: bytes, about: int | None = None) -> list[Effect]:  # noqa: ARG002
        """The child said `message`, of the call `about` where that is known."""
        match message:
            case Response():
                return self._answer(message)
            case Request():
                self.counters["question_of_child"] += 1
                return [ToChild(encode(Response(message.id, b"", _UNASKED)))]
            case Notification(method="notifications/progress"):
                return self._report(message)
            case Notification(method="notifications/cancelled"):
                return self._end_listen(_number(cancelled_id(message)))
            case Notification(method="notifications/message"):
                return self._log(message, about)
            case Notification():
                return self._publish(message)

    def large(self, answer: LargeAnswer) -> list[Effect] | None:
        """The child gave a long answer; None where more of it is to be known than whose it is."""
        call = _number(answer.id)
        found = self._calls.get(call)
        if found is None:
            return self._drop("answer_to_nobody")
        if found.listens or call == self._opening:
            return None
        del self._calls[call]
        return [Answered(found.stream, answer.under(found.client_id), call)]

    # What time and faults say.

    def expire(self, call: int, error: GatewayError) -> list[Effect]:
        """`call` takes too long: its client gets `error`, the child is told to stop."""
        found = self._calls.pop(call, None)
        if found is None:
            return []
        return [
            Answered(found.stream, error.modern_body(found.client_id), call, error),
            _cancellation(call, "the request timed out"),
        ]

    def expire_question(self, question: bytes) -> list[Effect]:  # noqa: ARG002
        """Nothing: there are no questions."""
        return []

    def fail(self, error: GatewayError) -> list[Effect]:
        """The child is no more: every request in flight gets `error`, every subscription its end."""
        effects = [self._failed(call, found, error) for call, found in self._calls.items()]
        self._calls.clear()
        return effects

    def leave(self, error: GatewayError) -> list[Effect]:
        """Another gateway goes on with the child: every request gets `error`, every subscription its end.

        The child hears from the next gateway that its calls are cancelled.
        """
        return self.fail(error)

    # Within.

    def _calls_on(self, stream: int) -> list[int]:
        return [call for call, found in self._calls.items() if found.stream == stream]

    def _cancel(self, call: int) -> list[Effect]:
        found = self._calls.pop(call)
        return [_cancellation(call, "the client hung up"), Cancelled(found.stream, call)]

    def _drop(self, why: str) -> list[Effect]:
        self.counters[why] += 1
        return []

    def _answer(self, message: Response) -> list[Effect]:
        call = _number(message.id)
        found = self._calls.pop(call, None)
        if found is None:
            return self._drop("answer_to_nobody")
        result = message.result
        if found.listens and result:
            result = with_meta(result, {SUBSCRIPTION_ID: found.client_id})
        answered: Effect = Answered(found.stream, encode(Response(found.client_id, result, message.error)), call)
        if call != self._opening:
            return [answered]
        self.initialized = not message.error
        return [answered] if self.initialized else [answered, Over()]

    def _end_listen(self, call: int) -> list[Effect]:
        """The child takes a subscription back (patterns/cancellation); it may do so with nothing else."""
        found = self._calls.get(call)
        if found is None or not found.listens:
            return self._drop("cancelled_nothing")
        del self._calls[call]
        return [Answered(found.stream, _over(found), call)]

    def _failed(self, call: int, found: Call, error: GatewayError) -> Effect:
        if found.listens:
            return Answered(found.stream, _over(found), call)
        return Answered(found.stream, error.modern_body(found.client_id), call, error)

    def _report(self, message: Notification) -> list[Effect]:
        found = self._calls.get(_number(reported_token(message)))
        if found is None or not found.token or found.listens:
            return self._drop("progress_for_nobody")
        outer = members(message.params)
        outer[PROGRESS] = msgspec.Raw(found.token)
        return self._tell(found, Notification(message.method, msgspec.json.encode(outer)))

    def _log(self, message: Notification, about: int | None) -> list[Effect]:
        """A log line goes to the one request that it can be of, if that wants lines of its level."""
        asked = [each for each in self._calls.values() if each.level is not None]
        if about is not None:
            known = self._calls.get(about)
            asked = [known] if known is not None and known.level is not None else []
        if len(asked) != 1:
            return self._drop("log_line_for_nobody" if not asked else "log_line_of_whom")
        if _severity(text(bytes(members(message.params).get("level", b"")))) < _severity(asked[0].level):
            return self._drop("log_line_below_level")
        return self._tell(asked[0], message)

    def _publish(self, message: Notification) -> list[Effect]:
        """News of a subscription; whatever bears no subscription's id has no place to go."""
        found = self._calls.get(_number(bytes(meta_of(message.params).get(SUBSCRIPTION_ID, b""))))
        if found is None or not found.listens:
            return self._drop("message_for_nobody")
        params = with_meta(message.params, {SUBSCRIPTION_ID: found.client_id})
        return self._tell(found, Notification(message.method, params))

    def _tell(self, found: Call, message: Notification) -> list[Effect]:
        if not found.can_carry_more:
            return self._drop("message_for_nobody")
        return [ToStream(found.stream, encode(message))]


def _number(id_: bytes) -> int:
    """The call whose id or token this is; 0, which is none, where it cannot be one of ours."""
    return int(id_) if id_.isdigit() and len(id_) <= _LONGEST_ID else 0


def _cancellation(call: int, why: str) -> Effect:
    return ToChild(encode(notification("notifications/cancelled", {"requestId": call, "reason": why})))


def _over(found: Call) -> bytes:
    """The end of a subscription, in the child's place."""
    result = with_meta(b'{"resultType":"complete"}', {SUBSCRIPTION_ID: found.client_id})
    return encode(Response(found.client_id, result, b""))


def _severity(level: str | None) -> int:
    """An unknown level is as severe as can be, for a line, and asks for no line, for a request."""
    return _LEVELS.index(level) if level in _LEVELS else len(_LEVELS)
