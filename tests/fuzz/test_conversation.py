"""A conversation in any order, with peers that forge, repeat and contradict themselves."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from common.reasons import Reason
from gateway.conversation import OPEN_QUESTIONS, UNHEARD_BYTES, UNHEARD_MESSAGES, Conversation
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import GatewayError
from gateway.jsonrpc import Notification, Request, Response, decode, encode

IDS = st.sampled_from([1, "1", 2, 1.5, "", "a/b"])
QUESTION_IDS = st.sampled_from([0, "0", 1, "1", "q"])
TOKENS = st.sampled_from([None, 1, "1", "t", [1]])
ERROR = GatewayError(Reason.REQUEST_TIMEOUT, "too slow")


@dataclass
class Asked:
    """A request of the client that has no answer yet."""

    id: object
    stream: int
    method: str


class Conversations(RuleBasedStateMachine):
    """One conversation, and a model of it that remembers what everybody said."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[int, Asked] = {}
        self.ids_used: set[int] = set()
        self.streams: set[int] = set()
        """Streams that the client has not hung up on, and on which something may still come."""
        self.standing: int | None = None
        self.last = 0
        self.questions: Counter[bytes] = Counter()
        """How often the child asked with an id and has not been answered."""
        self.heard: Counter[int] = Counter()
        self.expected: Counter[str] = Counter()
        self.made = self.ended = 0
        self.over = False

    @initialize(answers=st.booleans(), epoch=st.integers(0, 300))
    def begin(self, answers: bool, epoch: int) -> None:
        self.talk = Conversation(answers_questions=answers, epoch=epoch)

    # The client.

    @rule(
        id_=IDS,
        method=st.sampled_from(["initialize", "tools/call", "tools/list", "ping"]),
        token=TOKENS,
        carries=st.booleans(),
        on_standing=st.booleans(),
    )
    def client_asks(self, id_: object, method: str, token: object, carries: bool, on_standing: bool) -> None:
        params = {"_meta": {"progressToken": token}, "mark": self.number()}
        message = decode(line(id=id_, method=method, params=params))
        assert isinstance(message, Request)
        stream = self.standing if on_standing and self.standing is not None else self.number()
        self.streams.add(stream)
        call, effects = self.talk.request(message, stream, can_carry_more=carries)
        if call is None:
            [answer] = effects
            assert isinstance(answer, Answered)
            assert answer.stream == stream
            assert members(bytes(answer.data)) == {"id": id_, "result": {}}
            self.close_if_over(stream)
            return
        assert call not in self.ids_used
        self.ids_used.add(call)
        self.asked[call] = Asked(id_, stream, method)
        self.made += 1
        told = effects[0]
        assert isinstance(told, ToChild)
        assert members(told.line) == {"id": call, "method": method, "params": params}
        self.follow(effects[1:])

    @rule(id_=IDS, odd=st.booleans())
    def client_cancels(self, id_: object, odd: bool) -> None:
        before = dict(self.asked)
        params: object = [id_] if odd else {"requestId": id_, "reason": "enough"}
        self.follow(self.talk.notify(told_by("notifications/cancelled", params)))
        gone = [before[call] for call in before.keys() - self.asked.keys()]
        assert all(same(each.id, id_) and each.method != "initialize" for each in gone)
        assert len(gone) <= (0 if odd else 1)

    @rule()
    def client_tells(self) -> None:
        mark = self.number()
        [told] = self.talk.notify(told_by("notifications/roots/list_changed", {"mark": mark}))
        assert isinstance(told, ToChild)
        assert members(told.line)["params"] == {"mark": mark}

    @rule(id_=QUESTION_IDS, refuses=st.booleans())
    def client_answers(self, id_: object, refuses: bool) -> None:
        outcome = {"error": {"code": 1, "message": "no"}} if refuses else {"result": {"mark": self.number()}}
        message = decode(line(id=id_, **outcome))
        assert isinstance(message, Response)
        is_open = message.id in self.talk.questions
        effects = self.talk.respond(message)
        if is_open:
            [told] = effects
            assert isinstance(told, ToChild)
            assert members(told.line) == {"id": id_, **outcome}
        else:
            self.expected["answer_to_no_question"] += 1
            assert effects == []
        self.follow(effects)

    @rule()
    def client_listens(self) -> None:
        stream = self.number()
        if self.standing is not None:
            self.streams.discard(self.standing)
        self.standing = stream
        self.streams.add(stream)
        self.follow(self.talk.stand(stream))

    @precondition(lambda self: self.streams)
    @rule(data=st.data())
    def client_hangs_up(self, data: st.DataObject) -> None:
        stream = data.draw(st.sampled_from(sorted(self.streams)))
        if stream == self.standing:
            self.standing = None
        self.follow(self.talk.close_stream(stream))
        if all(each.stream != stream for each in self.asked.values()):
            self.streams.discard(stream)

    # The child.

    @precondition(lambda self: self.asked)
    @rule(data=st.data(), fails=st.booleans(), times=st.integers(1, 2))
    def child_answers(self, data: st.DataObject, fails: bool, times: int) -> None:
        call = data.draw(st.sampled_from(sorted(self.asked)))
        asked = self.asked[call]
        outcome = {"error": {"code": 1, "mark": self.number()}} if fails else {"result": {"mark": self.number()}}
        effects = self.child_says(id=call, **outcome)
        assert members(answer_in(effects)) == {"id": asked.id, **outcome}
        self.follow(effects)
        assert call not in self.asked
        for _ in range(times - 1):
            self.expected["answer_to_nobody"] += 1
            assert self.child_says(id=call, result="again") == []

    @rule(id_=st.one_of(st.integers(-3, 2**70), st.sampled_from(["1", 1.0, "", "x"])))
    def child_answers_what_nobody_asked(self, id_: object) -> None:
        if type(id_) is int and id_ in self.asked:
            return
        self.expected["answer_to_nobody"] += 1
        assert self.child_says(id=id_, result={}) == []

    @rule(id_=QUESTION_IDS, method=st.sampled_from(["roots/list", "elicitation/create", "ping"]), data=st.data())
    def child_asks(self, id_: object, method: str, data: st.DataObject) -> None:
        about = data.draw(st.one_of(st.none(), st.sampled_from([0, *self.asked])))
        self.questions[msgspec.json.encode(id_)] += 1
        self.follow(self.child_says(about, id=id_, method=method, params={"mark": self.number()}))

    @rule(count=st.sampled_from([70, 300]))
    def child_asks_many(self, count: int) -> None:
        for _ in range(count):
            id_ = f"many-{self.number()}"
            self.questions[msgspec.json.encode(id_)] += 1
            self.follow(self.child_says(id=id_, method="roots/list", params={"mark": self.number()}))

    @rule(id_=QUESTION_IDS)
    def child_withdraws(self, id_: object) -> None:
        effects = self.child_says(method="notifications/cancelled", params={"requestId": id_, "mark": self.number()})
        self.follow(effects)
        assert msgspec.json.encode(id_) not in self.talk.questions

    @rule(token=TOKENS)
    def child_reports_progress(self, token: object) -> None:
        before = self.talk.counters["progress_for_nobody"]
        params = {"progressToken": token, "mark": self.number()}
        self.follow(self.child_says(method="notifications/progress", params=params))
        self.expected["progress_for_nobody"] += self.talk.counters["progress_for_nobody"] - before

    @rule(
        method=st.sampled_from(["notifications/message", "notifications/tools/list_changed", "x"]),
        size=st.sampled_from([0, 1000, UNHEARD_BYTES // 3, UNHEARD_BYTES + 1]),
        times=st.sampled_from([1, 1, 1, 70]),
    )
    def child_tells(self, method: str, size: int, times: int) -> None:
        for _ in range(times):
            self.follow(self.child_says(method=method, params={"mark": self.number(), "x": "x" * size}))

    # Time and faults.

    @rule(data=st.data())
    def time_is_up(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from([0, self.last, *self.asked]))
        was_asked = call in self.asked
        effects = self.talk.expire(call, ERROR)
        assert bool(effects) == was_asked
        self.follow(effects)
        assert call not in self.asked

    @rule(id_=QUESTION_IDS)
    def a_question_is_too_old(self, id_: object) -> None:
        question = msgspec.json.encode(id_)
        self.follow(self.talk.expire_question(question))
        assert question not in self.talk.questions

    @precondition(lambda self: self.last > 20)
    @rule(leaves=st.booleans())
    def it_ends(self, leaves: bool) -> None:
        self.follow(self.talk.leave(ERROR) if leaves else self.talk.fail(ERROR))
        assert self.asked == {}
        assert not self.talk.questions

    # What always holds.

    @invariant()
    def every_request_is_in_flight_or_ended_once(self) -> None:
        if hasattr(self, "talk"):
            assert self.talk.in_flight == len(self.asked) == self.made - self.ended

    @invariant()
    def nothing_grows_without_bound(self) -> None:
        if hasattr(self, "talk"):
            talk = self.talk
            assert len(talk.questions) <= OPEN_QUESTIONS
            assert len(talk._unheard) <= UNHEARD_MESSAGES
            assert sum(len(said) for said, _ in talk._unheard) == talk._unheard_bytes <= UNHEARD_BYTES
            assert set(talk._open) <= {each.stream for each in self.asked.values()}

    @invariant()
    def what_is_dropped_is_counted(self) -> None:
        if hasattr(self, "talk"):
            counted = {why: n for why, n in self.talk.counters.items() if n and why != "message_for_nobody"}
            assert counted == {why: n for why, n in self.expected.items() if n}

    # Within.

    def number(self) -> int:
        """One that was not there before."""
        self.last += 1
        return self.last

    def child_says(self, about: int | None = None, /, **said: object) -> list[Effect]:
        """The child writes a line."""
        data = line(**said)
        return self.talk.from_child(decode(data), data, about)

    def follow(self, effects: list[Effect]) -> None:
        """Hold every effect against the model."""
        for effect in effects:
            match effect:
                case ToChild(line=told):
                    self.to_child(told)
                case ToStream(stream=stream, data=data):
                    self.to_stream(stream, data)
                case Answered(stream=stream, data=data, call=call):
                    asked = self.asked.pop(call)
                    answer = members(bytes(data))
                    assert stream == asked.stream
                    assert same(answer["id"], asked.id)
                    assert ("result" in answer) != ("error" in answer)
                    self.ended += 1
                    self.close_if_over(stream)
                case Cancelled(stream=stream, call=call):
                    assert self.asked.pop(call).stream == stream
                    self.ended += 1
                    self.close_if_over(stream)
                case Over():
                    assert not self.talk.initialized

    def to_child(self, told: bytes) -> None:
        message = decode(told)
        assert encode(message) == told
        assert not isinstance(message, Request)
        if isinstance(message, Response):
            self.questions[message.id] -= 1
            assert self.questions[message.id] >= 0, "the child hears an answer to what it did not ask"
        elif (
            message.method == "notifications/cancelled" and (named := members(told)["params"]) and "requestId" in named
        ):
            assert named["requestId"] in self.ids_used

    def to_stream(self, stream: int, data: bytes) -> None:
        message = decode(data)
        assert not isinstance(message, Response), "an answer goes to the stream of its request"
        assert stream in self.streams
        said = members(data)["params"]
        if "mark" in said:
            self.heard[said["mark"]] += 1
            assert self.heard[said["mark"]] == 1, "a message goes to one stream, once"

    def close_if_over(self, stream: int) -> None:
        """A stream ends with its request, unless it is a standing one."""
        if stream != self.standing and all(each.stream != stream for each in self.asked.values()):
            self.streams.discard(stream)


def line(**said: object) -> bytes:
    """A JSON-RPC message with these members."""
    return msgspec.json.encode({"jsonrpc": "2.0", **said})


def told_by(method: str, params: object) -> Notification:
    """A notification of the client's."""
    message = decode(line(method=method, params=params))
    assert isinstance(message, Notification)
    return message


def members(data: bytes) -> dict[str, Any]:
    """The members of a message."""
    found: dict[str, Any] = msgspec.json.decode(data)
    assert found.pop("jsonrpc") == "2.0"
    return found


def answer_in(effects: list[Effect]) -> bytes:
    """The one answer among them."""
    [answer] = [each for each in effects if isinstance(each, Answered)]
    return bytes(answer.data)


def same(one: object, other: object) -> bool:
    """Whether two ids are one: `1` and `"1"` are not."""
    return one == other and type(one) is type(other)


test_a_conversation_in_any_order_keeps_its_promises = Conversations.TestCase
