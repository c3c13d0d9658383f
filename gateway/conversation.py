"""One session's conversation: which requests are in flight, and which stream gets which message. No I/O, no clock.

Three parties meet here: the client, on its **streams** (the answer to a POST, a standing GET, an HTTP+SSE stream, or the
future of one REST call, each known by a number), the child, and the gateway itself, which answers `ping` for either.

* A request gets an id of the gateway's own towards the child, because two HTTP requests may both say `"id": 1`; its
  answer goes to the stream of that request and nowhere else, with the client's id restored.
* What the child says without being asked goes to exactly one stream: progress to the stream of the request whose token
  it bears; a question (sampling, elicitation, roots) or a log line to the newest request's stream that can carry it,
  else to the standing stream; news about the server as a whole (`…/list_changed`, `resources/updated`) to the standing
  stream first. Where there is no stream, the last few wait for one.
* A question of the child is forwarded with the child's own id, and its answer is let through once. Where nobody can
  answer such a one, or nobody does for too long, the gateway declines in the client's place.

Every method returns what is to be done, in order; `relay` does it.
"""

import itertools
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from common.reasons import Reason
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import TIMED_OUT, GatewayError
from gateway.jsonrpc import (
    Message,
    Notification,
    Request,
    Response,
    cancelled_id,
    encode,
    notification,
    progress_token,
    reported_token,
    with_cancelled_id,
)
from gateway.large import LargeAnswer
from gateway.rawjson import members
from gateway.sizes import client_name
from gateway.specification import METHOD_NOT_FOUND

UNHEARD_MESSAGES: Final = 64
UNHEARD_BYTES: Final = 1024 * 1024
"""What is kept for a client that has no stream open: the newest messages, within both bounds."""

IN_FLIGHT: Final = 1000
"""Requests of one session that may wait for the child; one more gets an error at once. A client that hangs up has not
cancelled, so without a bound it could pile them up at no cost to itself.
"""

OPEN_QUESTIONS: Final = 256
"""Questions of one child that may wait for the client's answer; one more is declined."""

Answers = bool | frozenset[str]
"""Whether a client can be asked anything, or the methods by which it can."""

EPOCH_BITS: Final = 24
"""An id towards the child is the gateway's epoch, then a number of this many bits: one that an earlier gateway gave out
is never given out again. Small enough that the ids of 255 restarts still fit into the 32 bits that some servers have for
an id, and large enough for sixteen million calls in one session.
"""

_LONGEST_ID: Final = 18
"""Digits of an id of our own; an answer to a longer one is an answer to nobody."""

_LONGEST_VERSION: Final = 32

_EMPTY_RESULT: Final = b"{}"
_ABOUT_THE_SERVER: Final = frozenset({"notifications/resources/updated"})
_DECLINED: Final = b'{"code":%d,"message":"the client of this session cannot be asked"}' % METHOD_NOT_FOUND
_UNANSWERED: Final = b'{"code":%d,"message":"the client of this session did not answer in time"}' % TIMED_OUT


@dataclass(slots=True)
class Call:
    """One request in flight."""

    client_id: bytes
    method: str
    stream: int
    token: bytes
    can_carry_more: bool


class _Initialized(msgspec.Struct):
    protocolVersion: str = ""  # noqa: N815 - the protocol's spelling


class Conversation:
    """The state of one conversation.

    `answers_questions` says whether the client can be asked anything, or by which methods; `epoch` how many gateways were
    before this one, and `initialized` that one of them saw the child through its handshake. `ids` are the numbers of its
    calls, where it is not the only one with its child.
    """

    def __init__(
        self,
        *,
        answers_questions: Answers,
        epoch: int = 0,
        initialized: bool = False,
        ids: Iterator[int] | None = None,
    ) -> None:
        self._answers_questions = answers_questions
        self._ids = ids if ids is not None else itertools.count((epoch << EPOCH_BITS) + 1)
        self._calls: dict[int, Call] = {}
        self._open: dict[int, bool] = {}
        """Streams of requests that can carry more than the answer, oldest first; whether not questions alone."""
        self._standing: int | None = None
        self._questions: set[bytes] = set()
        self._unheard: list[tuple[bytes, bytes]] = []
        """What waits for a stream: the line, and the question's id if it is one."""
        self._unheard_bytes = 0
        self.initialized = initialized
        """Whether the child has accepted `initialize`."""
        self.version = ""
        """The revision on which both sides agreed, as the child named it; empty before, and where it named none."""
        self.client = ""
        """What the client called itself in `initialize`; empty before."""
        self.counters: Counter[str] = Counter()
        """What was dropped, by why."""

    def __repr__(self) -> str:
        return f"<Conversation: {len(self._calls)} in flight, standing stream {self._standing}>"

    @property
    def in_flight(self) -> int:
        """How many requests wait for the child."""
        return len(self._calls)

    @property
    def questions(self) -> Set[bytes]:
        """The ids of the child's questions that wait for the client's answer. It changes with the conversation."""
        return self._questions

    def method_of(self, call: int) -> str | None:
        """The method of the request `call`, or None where it is not in flight any more."""
        found = self._calls.get(call)
        return found.method if found is not None else None

    # What the client says.

    def opens(self, call: int) -> bool:
        """Whether the request `call` is `initialize`."""
        return self.method_of(call) == "initialize"

    def waits(self, _call: int) -> bool:
        """No request of a legacy client is meant to stay unanswered."""
        return False

    def request(
        self, message: Request, stream: int, *, can_carry_more: bool = True, only_questions: bool = False
    ) -> tuple[int | None, list[Effect]]:
        """The client asks, and wants the answer on `stream`; the call's number, and what to do.

        The stream may carry more than the answer, or `only_questions` more. There is no number where the gateway answers
        itself: `ping`, and one request more than IN_FLIGHT.
        """
        call = next(self._ids)
        if message.method == "ping":
            return None, [Answered(stream, encode(Response(message.id, _EMPTY_RESULT, b"")), call)]
        if len(self._calls) >= IN_FLIGHT:
            error = GatewayError(Reason.MAX_IN_FLIGHT, f"{IN_FLIGHT} requests of this session wait for their answers")
            return None, [Answered(stream, error.rpc_body(message.id), call, error)]
        self._calls[call] = Call(message.id, message.method, stream, progress_token(message), can_carry_more)
        if message.method == "initialize":
            self.client = client_name(bytes(members(message.params).get("clientInfo", b"")))
        effects: list[Effect] = [ToChild(encode(Request(b"%d" % call, message.method, message.params)))]
        if can_carry_more and stream != self._standing:
            self._open[stream] = not only_questions
            effects += self._hear(stream)
        return call, effects

    def notify(self, message: Notification) -> list[Effect]:
        """The client tells the child something."""
        if message.method == "notifications/cancelled":
            return self._cancel(message)
        return [ToChild(encode(message))]

    def respond(self, message: Response) -> list[Effect]:
        """The client answers a question of the child's. Anything but the first answer to an open one is dropped."""
        if message.id not in self._questions:
            self.counters["answer_to_no_question"] += 1
            return []
        self._questions.discard(message.id)
        return [ToChild(encode(message))]

    def stand(self, stream: int) -> list[Effect]:
        """From now on `stream` is the standing one; the one before it, if any, gets nothing more."""
        self._standing = stream
        return self._hear(stream)

    def reopen(self, stream: int) -> list[Effect]:
        """The client has come back to `stream`, on which it had hung up."""
        if all(each.stream != stream for each in self._calls.values()):
            return []
        self._open[stream] = True
        return self._hear(stream)

    def close_stream(self, stream: int) -> list[Effect]:
        """The client hung up on `stream`. Its requests stay in flight: hanging up is no cancellation.

        Their answers and their progress still go there; the client may come back. All else takes other ways.
        """
        self._open.pop(stream, None)
        if self._standing == stream:
            self._standing = None
        return []

    # What the child says.

    def from_child(self, message: Message, line: bytes, about: int | None = None) -> list[Effect]:
        """The child said `message`, which stood in `line`, of the call `about` where that is known."""
        match message:
            case Response():
                return self._answer(message)
            case Request(method="ping"):
                return [ToChild(encode(Response(message.id, _EMPTY_RESULT, b"")))]
            case Request():
                return self._ask(message, line, about)
            case Notification(method="notifications/progress"):
                return self._report(message, line)
            case Notification(method="notifications/cancelled") if cancelled_id(message) in self._questions:
                return self._withdraw(cancelled_id(message), line)
            case Notification():
                return self._tell(line, self._stream_for(message.method, about))

    def large(self, answer: LargeAnswer) -> list[Effect] | None:
        """The child gave a long answer; None where more of it is to be known than whose it is."""
        call = _own(answer.id)
        if self.opens(call):
            return None
        found = self._forget(call)
        if found is None:
            self.counters["answer_to_nobody"] += 1
            return []
        return [Answered(found.stream, answer.under(found.client_id), call)]

    # What time and faults say.

    def expire(self, call: int, error: GatewayError) -> list[Effect]:
        """`call` takes too long: its client gets `error`, the child is told to stop."""
        found = self._forget(call)
        if found is None:
            return []
        cancel = b'{"requestId":%d,"reason":"the request timed out"}' % call
        return [
            Answered(found.stream, error.rpc_body(found.client_id), call, error),
            ToChild(encode(Notification("notifications/cancelled", cancel))),
        ]

    def expire_question(self, question: bytes) -> list[Effect]:
        """The client takes too long to answer the child's `question`: it is declined, and the client told so."""
        if question not in self._questions:
            return []
        reason = notification("notifications/cancelled", {"requestId": Raw(question), "reason": "it took too long"})
        return [
            ToChild(encode(Response(question, b"", _UNANSWERED))),
            *self._withdraw(question, encode(reason)),
        ]

    def fail(self, error: GatewayError) -> list[Effect]:
        """The child is no more: every request in flight gets `error`."""
        self._questions.clear()
        return [
            Answered(found.stream, error.rpc_body(found.client_id), call, error)
            for call in tuple(self._calls)
            if (found := self._forget(call)) is not None
        ]

    def leave(self, error: GatewayError) -> list[Effect]:
        """Another gateway goes on with the child: every request gets `error`, every question is declined.

        The child hears from the next gateway that its calls are cancelled.
        """
        declined = [self._decline(question) for question in tuple(self._questions)]
        return [*declined, *self.fail(error)]

    # Within.

    def _forget(self, call: int) -> Call | None:
        found = self._calls.pop(call, None)
        if found is not None and all(other.stream != found.stream for other in self._calls.values()):
            self._open.pop(found.stream, None)
        return found

    def _answer(self, message: Response) -> list[Effect]:
        call = _own(message.id)
        found = self._forget(call)
        if found is None:
            self.counters["answer_to_nobody"] += 1
            return []
        data = encode(Response(found.client_id, message.result, message.error))
        answered: Effect = Answered(found.stream, data, call)
        if found.method != "initialize":
            return [answered]
        self.initialized = self.initialized or not message.error
        if not message.error:  # a second `initialize` may be refused, and then it changes nothing
            self.version = _negotiated(message)
        return [answered] if self.initialized else [answered, Over()]

    def _cancel(self, message: Notification) -> list[Effect]:
        """Cancel the newest request with that id; `initialize` may not be cancelled (specification, Cancellation)."""
        wanted = cancelled_id(message)
        matches = [n for n, each in self._calls.items() if each.client_id == wanted and each.method != "initialize"]
        if not matches:
            return []
        call = matches[-1]
        found = self._forget(call)
        assert found is not None
        return [ToChild(encode(with_cancelled_id(message, call))), Cancelled(found.stream, call)]

    def _ask(self, message: Request, line: bytes, about: int | None) -> list[Effect]:
        if not self._answers(message.method) or len(self._questions) >= OPEN_QUESTIONS:
            return [self._decline(message.id)]
        self._questions.add(message.id)
        return self._tell(line, self._stream_for(message.method, about, is_question=True), message.id)

    def _answers(self, method: str) -> bool:
        answers = self._answers_questions
        return answers if isinstance(answers, bool) else method in answers

    def _decline(self, question: bytes) -> Effect:
        self._questions.discard(question)
        return ToChild(encode(Response(question, b"", _DECLINED)))

    def _withdraw(self, question: bytes, line: bytes) -> list[Effect]:
        """No answer is wanted any more: `line` tells the client so, if it has heard the question."""
        self._questions.discard(question)
        unheard = next((each for each in self._unheard if each[1] == question), None)
        if unheard is not None:
            self._unheard.remove(unheard)
            self._unheard_bytes -= len(unheard[0])
            return []
        stream = self._stream_for("notifications/cancelled")
        return [ToStream(stream, line)] if stream is not None else []

    def _report(self, message: Notification, line: bytes) -> list[Effect]:
        token = reported_token(message)
        wanting = [each for each in self._calls.values() if token and each.token == token]
        if not wanting:
            self.counters["progress_for_nobody"] += 1
            return []
        call = wanting[-1]
        if call.stream != self._standing and not call.can_carry_more:
            return []
        return self._tell(line, call.stream)

    def _stream_for(self, method: str, about: int | None = None, *, is_question: bool = False) -> int | None:
        call = self._calls.get(about) if about is not None else None
        if call is not None and call.stream in self._open:
            return call.stream
        newest = next((each for each, takes_all in reversed(self._open.items()) if takes_all or is_question), None)
        if method.endswith("/list_changed") or method in _ABOUT_THE_SERVER:
            return self._standing if self._standing is not None else newest
        return newest if newest is not None else self._standing

    def _tell(self, line: bytes, stream: int | None, question: bytes = b"") -> list[Effect]:
        if stream is not None:
            return [ToStream(stream, line)]
        self._unheard.append((line, question))
        self._unheard_bytes += len(line)
        declined: list[Effect] = []
        while len(self._unheard) > UNHEARD_MESSAGES or self._unheard_bytes > UNHEARD_BYTES:
            dropped, unasked = self._unheard.pop(0)
            self._unheard_bytes -= len(dropped)
            self.counters["message_for_nobody"] += 1
            if unasked in self._questions:  # it may have been answered by guess
                declined.append(self._decline(unasked))
        return declined

    def _hear(self, stream: int) -> list[Effect]:
        """What waited for a stream goes to this one."""
        heard: list[Effect] = [ToStream(stream, line) for line, _ in self._unheard]
        self._unheard.clear()
        self._unheard_bytes = 0
        return heard


def _own(id_: bytes) -> int:
    """The call whose id this is; 0, which is none, where it cannot be one of ours."""
    return int(id_) if id_.isdigit() and len(id_) <= _LONGEST_ID else 0


def _negotiated(answer: Response) -> str:
    """The revision that the answer to `initialize` names, if it names one."""
    try:
        return msgspec.json.decode(answer.result, type=_Initialized).protocolVersion[:_LONGEST_VERSION]
    except (msgspec.DecodeError, RecursionError):
        return ""
