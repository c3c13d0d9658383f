"""The conversation of 2026-07-28 in any order, with clients that share a child and a child that says anything."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.conversation import EPOCH_BITS
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.jsonrpc import Notification, Request, Response, decode
from gateway.meta import LOG_LEVEL, PROGRESS, SUBSCRIPTION_ID
from gateway.modern.conversation import LISTEN, OPENING, ModernConversation
from tests.fuzz.test_conversation import ERROR, IDS, Asked, line, members, same
from tests.support.fuzz import OBJECTS

TOKENS = st.sampled_from([1, "1", "t"])
METHODS = st.sampled_from([OPENING, LISTEN, "tools/call", "tools/list"])
TOLD = st.sampled_from(
    "notifications/progress notifications/cancelled notifications/message notifications/tools/list_changed x".split()
)


class ModernConversations(RuleBasedStateMachine):
    """One child's conversation, and a model of it that remembers who asked what."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[int, Asked] = {}
        self.tokens: dict[int, object] = {}
        self.ever: list[int] = [0]
        self.last = 0
        self.made = self.ended = 0

    @initialize(epoch=st.integers(0, 300))
    def begin(self, epoch: int) -> None:
        self.first = epoch << EPOCH_BITS
        self.talk = ModernConversation(epoch=epoch)

    # The clients.

    @rule(id_=IDS, method=METHODS, token=st.one_of(st.none(), TOKENS), level=st.sampled_from([None, "info", 1]))
    def client_asks(self, id_: object, method: str, token: object, level: object) -> None:
        self.last += 1
        meta = {name: value for name, value in ((PROGRESS, token), (LOG_LEVEL, level)) if value is not None}
        params = {"mark": self.last, "_meta": meta}
        message = decode(line(id=id_, method=method, params=params))
        assert isinstance(message, Request)
        call, effects = self.talk.request(message, self.last)
        assert call is not None
        assert call > self.first
        assert call not in self.ever
        self.ever.append(call)
        self.asked[call], self.tokens[call] = Asked(id_, self.last, method), token
        self.made += 1
        [told] = effects
        assert isinstance(told, ToChild)
        meta = {**meta, PROGRESS: call} if token is not None else meta
        sent = members(told.line)
        assert (sent["id"], sent["method"], sent["params"]["mark"]) == (call, method, params["mark"])
        assert sent["params"].get("_meta", {}) == meta

    @rule(data=st.data())
    def client_hangs_up(self, data: st.DataObject) -> None:
        stream = data.draw(st.integers(0, self.last))
        gone = [call for call, each in self.asked.items() if each.stream == stream]
        self.follow(self.talk.close_stream(stream))
        assert not any(call in self.asked for call in gone)

    @rule(id_=IDS)
    def client_says_what_it_may_not(self, id_: object) -> None:
        told, answer = (
            decode(line(method="notifications/cancelled", params={"requestId": id_})),
            decode(line(id=id_, result=1)),
        )
        assert isinstance(told, Notification)
        assert isinstance(answer, Response)
        assert self.talk.notify(told) == self.talk.respond(answer) == []

    # The child.

    @rule(data=st.data(), fails=st.booleans(), odd=st.booleans())
    def child_answers(self, data: st.DataObject, fails: bool, odd: bool) -> None:
        call = data.draw(st.sampled_from(self.ever[-8:]))
        self.last += 1
        outcome: dict[str, Any] = {"error": {"code": 1}} if fails else {"result": {"mark": self.last}}
        asked = self.asked.get(call)
        effects = self.child_says(id=str(call) if odd else call, **outcome)
        if asked is None or odd:
            assert effects == []
            return
        answer = effects[0]
        assert isinstance(answer, Answered)
        said = members(bytes(answer.data))
        assert said.get("result", {}).get("mark") == outcome.get("result", {}).get("mark")
        self.follow(effects)

    @rule(data=st.data(), method=TOLD, params=OBJECTS, odd=st.booleans())
    def child_tells(self, data: st.DataObject, method: str, params: dict[str, Any], odd: bool) -> None:
        call: object = data.draw(st.sampled_from(self.ever[-8:]))
        call = str(call) if odd else call
        about = {"requestId": call, PROGRESS: call, "level": "error", "_meta": {SUBSCRIPTION_ID: call}}
        known = data.draw(st.sampled_from([None, *self.ever[-3:]]))
        self.follow(self.child_says(known, method=method, params={**params, **about}))
        self.follow(self.child_says(known, method=method, params=params))

    @rule(id_=IDS)
    def child_asks(self, id_: object) -> None:
        [told] = self.child_says(id=id_, method="roots/list")
        assert isinstance(told, ToChild)
        assert same(members(told.line)["id"], id_)

    # Time and faults.

    @rule(data=st.data())
    def time_is_up(self, data: st.DataObject) -> None:
        call = data.draw(st.sampled_from(self.ever))
        self.follow(self.talk.expire(call, ERROR))
        assert call not in self.asked

    @precondition(lambda self: self.last > 20)
    @rule(leaves=st.booleans())
    def it_ends(self, leaves: bool) -> None:
        self.follow(self.talk.leave(ERROR) if leaves else self.talk.fail(ERROR))
        assert self.asked == {}

    # What always holds.

    @invariant()
    def every_request_is_in_flight_or_ended_once(self) -> None:
        if hasattr(self, "talk"):
            assert self.talk._calls.keys() == self.asked.keys()
            assert len(self.asked) == self.made - self.ended

    # Within.

    def child_says(self, about: int | None = None, /, **said: object) -> list[Effect]:
        """The child writes a line."""
        data = line(**said)
        return self.talk.from_child(decode(data), data, about)

    def follow(self, effects: list[Effect]) -> None:
        """Hold every effect against the model."""
        for effect in effects:
            match effect:
                case ToChild(line=told):
                    said = members(told)
                    assert said["method"] == "notifications/cancelled"
                    assert said["params"]["requestId"] in self.ever
                case ToStream(stream=stream, data=data):
                    self.to_stream(stream, data)
                case Answered(stream=stream, data=data, call=call):
                    asked = self.asked.pop(call)
                    assert stream == asked.stream
                    assert same(members(bytes(data))["id"], asked.id)
                    self.ended += 1
                case Cancelled(stream=stream, call=call):
                    assert self.asked.pop(call).stream == stream
                    self.ended += 1
                case Over():
                    assert not self.talk.initialized

    def to_stream(self, stream: int, data: bytes) -> None:
        """A stream is one request's: what comes there bears that request's id and token, and nobody else's."""
        assert isinstance(decode(data), Notification)
        [call] = [call for call, each in self.asked.items() if each.stream == stream]
        said = members(data)
        match said["method"]:
            case "notifications/progress":
                assert same(said["params"][PROGRESS], self.tokens[call])
            case "notifications/message":
                pass
            case _:
                assert self.asked[call].method == LISTEN
                assert same(said["params"]["_meta"][SUBSCRIPTION_ID], self.asked[call].id)


test_a_conversation_without_a_session_keeps_its_promises_in_any_order = ModernConversations.TestCase
