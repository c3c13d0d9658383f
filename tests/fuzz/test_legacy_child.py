"""A translator for legacy children between two sides that say anything in any order, also what nearly fits."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.jsonrpc import Message, Notification, Request, Response, decode, encode
from gateway.translation.legacy_child import LegacyChild
from gateway.translation.legacy_child.parking import PARKED
from gateway.translation.legacy_child.subscriptions import LISTEN, LISTENERS
from gateway.translation.legacy_child.translator import DISCOVER, QUEUED
from gateway.translation.steps import Hear, Hold, Say, Step, StepAside, Wake
from tests.fuzz.test_translation import message, one_or_odd
from tests.gateway.translation.playbook import CAPABILITIES, EVERYTHING, INFO, LEVEL, SUBSCRIPTION, VERSION, WELCOME
from tests.support.fuzz import OBJECTS, VALUES

pytestmark = pytest.mark.slow

METHODS = st.sampled_from(
    f"tools/call tools/call tools/call tools/list resources/read prompts/get ping {DISCOVER} {LISTEN} x".split()
)
METAS = one_or_odd(
    st.fixed_dictionaries(
        {VERSION: st.just("2026-07-28"), CAPABILITIES: st.sampled_from([EVERYTHING, EVERYTHING, {}, {"roots": {}}, 1])},
        optional={"progressToken": st.sampled_from([1, "1", "t", None]), LEVEL: st.sampled_from(["debug", "error", 1])},
    )
)
PARAMS = st.fixed_dictionaries(
    {"_meta": METAS},
    optional={
        "name": one_or_odd(st.sampled_from(["a", "b"])),
        "uri": one_or_odd(st.just("file:///a")),
        "arguments": st.sampled_from([{}, {"a": 1}, 1]),
        "notifications": one_or_odd(
            st.fixed_dictionaries(
                {},
                optional={
                    "toolsListChanged": st.booleans(),
                    "resourceSubscriptions": one_or_odd(st.just(["file:///a"])),
                },
            )
        ),
    },
)
RESULTS = one_or_odd(st.fixed_dictionaries({}, optional={"tools": VALUES, "_meta": VALUES, "content": VALUES}))
URL = {"mode": "url", "url": "https://x", "elicitationId": "e", "message": "m"}
ERRORS = st.fixed_dictionaries(
    {"code": one_or_odd(st.sampled_from([-32601, -32002, -32042, -32020, 1]))},
    optional={
        "message": VALUES,
        "data": one_or_odd(st.just({"elicitations": [{"mode": "url", "url": "x", "elicitationId": "e"}]})),
    },
)
QUESTIONS = st.sampled_from(["elicitation/create", "sampling/createMessage", "roots/list", "ping", "x"])
TOLD = st.sampled_from(
    ["notifications/progress", "notifications/message", "notifications/cancelled", "notifications/tools/list_changed"]
)


class LegacyTranslations(RuleBasedStateMachine):
    """A translator for legacy children, and what either side waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0
        self.asked: dict[bytes, dict[str, Any]] = {}
        """Requests of the conversation that have no answer yet, with their params."""
        self.ever_asked: list[bytes] = []
        self.sent: list[bytes] = []
        """Ids under which the child was asked for anything."""
        self.questions: dict[bytes, int] = {}
        """How often the child asked with an id and got no answer."""
        self.states: list[tuple[str, dict[str, Any], object]] = []
        """Retries that the conversation may make: the method, the params, and the state."""
        self.timers: set[str] = set()
        self.held = False
        self.handles = itertools.count()

    @initialize(welcome=st.sampled_from([WELCOME, WELCOME, WELCOME, {"protocolVersion": "2025-11-25"}, 1]), odd=VALUES)
    def begin(self, welcome: object, odd: object) -> None:
        self.translator = LegacyChild(EVERYTHING, INFO, new_handle=lambda: f"handle-{next(self.handles)}")
        self.client_asks(DISCOVER, {"_meta": {VERSION: "2026-07-28"}})
        self.child_says(id=1, result=odd if welcome == 1 else welcome)

    # The conversation.

    @rule(method=METHODS, params=PARAMS)
    def client_asks(self, method: str, params: dict[str, Any]) -> None:
        self.last += 1
        id_ = b"%d" % self.last
        self.asked[id_] = {"method": method, "params": params}
        self.ever_asked.append(id_)
        self.conversation_says(id=self.last, method=method, params=params)

    @rule(method=st.sampled_from(["tools/call", "prompts/get"]), name=st.sampled_from("ab"))
    def client_calls(self, method: str, name: str) -> None:
        self.client_asks(method, {"_meta": {VERSION: "2026-07-28", CAPABILITIES: EVERYTHING}, "name": name})

    @precondition(lambda self: self.states)
    @rule(data=st.data(), answers=one_or_odd(st.just({"action": "accept", "content": {}})), forged=st.booleans())
    def client_comes_back(self, data: st.DataObject, answers: object, forged: bool) -> None:
        method, params, result = data.draw(st.sampled_from(self.states[-6:]))
        assert isinstance(result, dict)
        keys = list(result.get("inputRequests", {}))
        state = "forged" if forged else result.get("requestState")
        self.client_asks(method, {**params, "requestState": state, "inputResponses": dict.fromkeys(keys, answers)})

    @precondition(lambda self: self.ever_asked)
    @rule(data=st.data())
    def client_hangs_up(self, data: st.DataObject) -> None:
        id_ = data.draw(st.sampled_from(self.ever_asked))
        self.asked.pop(id_, None)
        self.conversation_says(method="notifications/cancelled", params={"requestId": int(id_)})

    # The child.

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), result=RESULTS, error=st.one_of(st.none(), st.none(), ERRORS))
    def child_answers(self, data: st.DataObject, result: object, error: object) -> None:
        id_ = data.draw(st.sampled_from(self.sent[-8:]))
        self.child_says(id=msgspec.Raw(id_), **({"result": result} if error is None else {"error": error}))

    @rule(id_=st.sampled_from([1, "1", "q", "r"]), method=QUESTIONS, params=OBJECTS)
    def child_asks(self, id_: object, method: str, params: object) -> None:
        key = msgspec.json.encode(id_)
        self.questions[key] = self.questions.get(key, 0) + 1
        self.child_says(id=id_, method=method, params=params)

    @rule(id_=st.sampled_from([1, "1", "q", "r"]), put=st.booleans())
    def child_asks_properly(self, id_: object, put: bool) -> None:
        key = msgspec.json.encode(id_)
        self.questions[key] = self.questions.get(key, 0) + 1
        self.child_says(id=id_, method="elicitation/create", params={"message": "m", "requestedSchema": {}})
        for waking in sorted(self.timers) if put else ():
            if waking.startswith("ask "):
                self.timers.discard(waking)
                self.follow(self.translator.wake(waking))

    @rule(id_=st.sampled_from([1, "1", "q", "r"]), method=TOLD, token=st.sampled_from([1, "1", "t", 2, None]))
    def child_tells(self, id_: object, method: str, token: object) -> None:
        params = {"requestId": id_, "progressToken": token, "level": "error", "data": 1, "uri": "file:///a"}
        self.child_says(method=method, params=params)

    @rule(odd=OBJECTS, method=TOLD)
    def child_tells_what_does_not_fit(self, odd: object, method: str) -> None:
        self.child_says(method=method, params=odd)

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(key)
        self.follow(self.translator.wake(key))

    # What always holds.

    @invariant()
    def what_is_kept_is_bounded(self) -> None:
        if hasattr(self, "translator"):
            translator = self.translator
            assert len(translator._queued) <= QUEUED
            assert len(translator._subscriptions) <= LISTENERS
            assert len(translator._calls._parking) <= PARKED
            # A parked call, a cancelled one that has the turn, and one for each request: there is no other.
            calls = translator._calls
            assert calls._table.in_flight <= len(self.asked) + len(calls._parking) + 1 + len(self.sent)
            assert len(self.timers) <= 2 * (calls._table.in_flight + 1)

    # Within.

    def conversation_says(self, **said: object) -> None:
        self.follow(self.translator.to_child(message(**said)))

    def child_says(self, **said: object) -> None:
        try:
            read = message(**said)
        except ValueError:
            return
        self.follow(self.translator.from_child(read))

    def follow(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case Say(message=said):
                    assert decode(encode(said)) == said
                    self.say(said)
                case Hear(message=said, about=about):
                    assert decode(encode(said)) == said
                    assert about is None or b"%d" % about in self.asked
                    self.hear(said)
                case Wake(key=key, seconds=None):
                    self.timers.discard(key)
                case Wake(key=key):
                    self.timers.add(key)
                case Hold(on=on):
                    assert on != self.held
                    self.held = on
                case StepAside():
                    raise AssertionError("it is needed")

    def say(self, said: Message) -> None:
        match said:
            case Request(id=id_):
                assert id_ not in self.sent, "an id is given out once"
                self.sent.append(id_)
            case Response(id=id_):
                self.questions[id_] = self.questions.get(id_, 0) - 1
                assert self.questions[id_] >= 0, "a question is answered once"

    def hear(self, said: Message) -> None:
        match said:
            case Response(id=id_):
                assert id_ in self.asked, "a request is answered once"
                asked = self.asked.pop(id_)
                result = msgspec.json.decode(said.result) if said.result else None
                if isinstance(result, dict) and result.get("resultType") == "input_required":
                    self.states.append((asked["method"], asked["params"], result))
            case Request():
                raise AssertionError("a client of this revision is asked nothing")
            case Notification(params=params) if SUBSCRIPTION.encode() in params:
                meta = msgspec.json.decode(params)["_meta"]
                assert b"%d" % meta[SUBSCRIPTION] in self.asked


test_a_translator_for_legacy_children_in_any_order_keeps_its_promises = LegacyTranslations.TestCase
