"""Several lanes and one child in any order: nobody hears what is another's."""

import itertools
import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, multiple, rule

from gateway.jsonrpc import Message, Notification, Request, Response, decode, encode, notification, request
from gateway.sharing.multiplexer import Multiplexer, Step, ToChild, ToLane

TOKENS = st.sampled_from([None, 1, "1", "t", 1000])
QUESTIONS = st.sampled_from([0, "0", 1, "q"])
URIS = st.sampled_from(["a", "a/b", "c"])


class Lanes(RuleBasedStateMachine):
    """A multiplexer, and a model of it that remembers who asked what."""

    lanes = Bundle("lanes")
    calls = Bundle("calls")
    """What the child has got, and has not answered."""

    @initialize(ready=st.booleans())
    def begin(self, ready: bool) -> None:
        self.ids = itertools.count(1)
        self.numbers = itertools.count(1)
        welcome = b'{"protocolVersion":"x"}' if ready else b""
        self.plexer = Multiplexer(self.ids, welcome=welcome, initialized=ready)
        self.present: set[int] = set()
        self.asked: dict[int, tuple[int, Any]] = {}
        """Calls in flight: their lanes and tokens."""
        self.pings: dict[int, int] = {}
        """Those that tell that a cancellation was heard, and of whose call."""
        self.questions: dict[bytes, int] = {}
        self.initialized = int(ready)

    def to_child(self, steps: list[Step]) -> list[Message]:
        """What the child gets, as it would read it."""
        said = [decode(encode(step.message)) for step in steps if isinstance(step, ToChild)]
        self.initialized += sum(getattr(each, "method", "") == "notifications/initialized" for each in said)
        assert self.initialized <= 1
        return said

    def heard(self, steps: list[Step]) -> list[tuple[int, Message]]:
        """What the lanes get; only those that are there."""
        found = [(step.lane, step.message) for step in steps if isinstance(step, ToLane)]
        assert {lane for lane, _ in found} <= self.present
        return found

    def cancelled(self, lane: int, steps: list[Step], calls: list[int]) -> None:
        """These calls are over; the child hears so, once each, and no more than that it owes it."""
        said = self.to_child(steps)
        notifications = [each for each in said if isinstance(each, Notification)]
        told = [json.loads(each.params)["requestId"] for each in notifications]
        assert sorted(told) == sorted(calls)
        for id_ in calls:
            del self.asked[id_]
        for message in said:
            if isinstance(message, Request) and message.method == "ping":
                self.pings[int(message.id)] = lane

    @rule(target=lanes)
    def join(self) -> int:
        lane = next(self.numbers)
        self.present.add(lane)
        self.plexer.join(lane)
        return lane

    @rule(lane=consumes(lanes))
    def leave(self, lane: int) -> None:
        self.present.discard(lane)
        own = [id_ for id_, (of, token) in self.asked.items() if of == lane]
        steps = self.plexer.leave(lane)
        assert not self.heard(steps)
        self.cancelled(lane, steps, own)
        declined = [m.id for m in self.to_child(steps) if isinstance(m, Response)]
        assert sorted(declined) == sorted(id_ for id_, of in self.questions.items() if of == lane)
        self.questions = {id_: of for id_, of in self.questions.items() if of != lane}

    @rule(target=calls, lane=lanes, token=TOKENS)
    def ask(self, lane: int, token: Any) -> int:
        id_ = next(self.ids)
        params = {"name": "x"} if token is None else {"name": "x", "_meta": {"progressToken": token}}
        steps = self.plexer.from_lane(lane, request(id_, "tools/call", params))
        [message] = self.to_child(steps)
        assert isinstance(message, Request)
        assert message.id == b"%d" % id_
        if token is not None:
            assert json.loads(message.params)["_meta"]["progressToken"] == id_
        self.asked[id_] = (lane, token)
        return id_

    @rule(lane=lanes)
    def shake_hands(self, lane: int) -> None:
        id_ = next(self.ids)
        steps = self.plexer.from_lane(lane, request(id_, "initialize"))
        for message in self.to_child(steps):
            answer = Response(message.id if isinstance(message, Request) else b"", b'{"protocolVersion":"x"}', b"")
            steps += self.plexer.from_child(answer)
        assert [(of, each.id) for of, each in self.heard(steps) if isinstance(each, Response)] == [(lane, b"%d" % id_)]
        self.to_child(self.plexer.from_lane(lane, notification("notifications/initialized")))

    @rule(lane=lanes, call=calls)
    def cancel(self, lane: int, call: int) -> None:
        steps = self.plexer.from_lane(lane, notification("notifications/cancelled", {"requestId": call}))
        owns = self.asked.get(call, (0, None))[0] == lane
        self.cancelled(lane, steps, [call] if owns else [])

    @rule(call=consumes(calls))
    def answer(self, call: int) -> None:
        heard = self.heard(self.plexer.from_child(Response(b"%d" % call, b"{}", b"")))
        asked = self.asked.pop(call, None)
        assert [lane for lane, _ in heard] == ([asked[0]] if asked is not None else [])

    @rule(data=st.data())
    def answer_a_ping(self, data: st.DataObject) -> None:
        if self.pings:
            id_ = data.draw(st.sampled_from(sorted(self.pings)))
            del self.pings[id_]
            assert not self.plexer.from_child(Response(b"%d" % id_, b"{}", b""))

    @rule(call=calls)
    def report(self, call: int) -> None:
        news = notification("notifications/progress", {"progressToken": call, "progress": 1})
        heard = self.heard(self.plexer.from_child(news))
        lane, token = self.asked.get(call, (0, None))
        found = [(of, json.loads(m.params)["progressToken"]) for of, m in heard if not isinstance(m, Response)]
        assert found == ([(lane, token)] if token is not None else [])

    @rule(id_=QUESTIONS)
    def wonder(self, id_: Any) -> None:
        question = Request(json.dumps(id_).encode(), "roots/list", b"")
        steps = self.plexer.from_child(question)
        heard, said = self.heard(steps), self.to_child(steps)
        assert len(heard) + len(said) == 1
        concerned = {lane for lane, _ in self.asked.values()} | set(self.pings.values())
        for lane, _ in heard:
            assert concerned == {lane} or (not concerned and self.present == {lane})
            self.questions[question.id] = lane

    @rule(lane=lanes, id_=QUESTIONS)
    def reply(self, lane: int, id_: Any) -> None:
        answer = Response(json.dumps(id_).encode(), b"{}", b"")
        said = self.to_child(self.plexer.from_lane(lane, answer))
        assert said == ([answer] if self.questions.get(answer.id) == lane else [])
        if said:
            del self.questions[answer.id]

    @rule(call=calls)
    def log(self, call: int) -> None:
        lanes = [lane for lane, _ in self.heard(self.plexer.from_child(notification("notifications/message")))]
        assert set(lanes) == ({lane for lane, _ in self.asked.values()} or self.present)
        assert len(set(lanes)) == len(lanes)

    @rule(target=lanes)
    def nothing(self) -> Any:
        return multiple()


test_lanes_in_any_order_hear_nothing_of_each_others = Lanes.TestCase
