"""A translator between two sides that say anything in any order, also what nearly fits."""

from typing import Any

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.jsonrpc import Message, Notification, Request, Response, decode, encode
from gateway.translation.modern_child import ModernChild
from gateway.translation.modern_child.listening import MAX_SUBSCRIPTIONS
from gateway.translation.modern_child.rounds import MAX_QUESTIONS
from gateway.translation.steps import Hear, Say, Step, StepAside, Wake
from tests.support.fuzz import OBJECTS, VALUES

pytestmark = pytest.mark.slow

META = "io.modelcontextprotocol/"
URIS = st.sampled_from(["file:///a", "file:///b", "", 1, None])


def one_or_odd(fitting: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What fits, and sometimes any JSON at all."""
    return st.one_of(fitting, fitting, fitting, VALUES)


PARAMS = one_or_odd(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.just("echo"),
            "uri": URIS,
            "level": st.sampled_from(["debug", 1, None]),
            "arguments": OBJECTS,
            "_meta": one_or_odd(st.just({"progressToken": 1})),
        },
    )
)
HELLOS = one_or_odd(
    st.fixed_dictionaries(
        {"protocolVersion": st.sampled_from(["2025-11-25", "2025-03-26", "x", 1])},
        optional={"capabilities": one_or_odd(OBJECTS), "clientInfo": one_or_odd(OBJECTS)},
    )
)
CAPABILITY = one_or_odd(st.fixed_dictionaries({}, optional={"listChanged": st.booleans(), "subscribe": st.booleans()}))
DISCOVERED = st.fixed_dictionaries(
    {"supportedVersions": one_or_odd(st.just(["2026-07-28"]))},
    optional={
        "capabilities": one_or_odd(
            st.dictionaries(st.sampled_from(["tools", "resources", "prompts", "logging", "extensions"]), CAPABILITY)
        ),
        "_meta": one_or_odd(st.just({f"{META}serverInfo": {"name": "s", "version": "1"}})),
        "instructions": VALUES,
    },
)
QUESTION = one_or_odd(
    st.fixed_dictionaries(
        {"method": st.sampled_from(["elicitation/create", "roots/list", "sampling/createMessage", "x"])},
        optional={"params": one_or_odd(st.just({"mode": "url"}))},
    )
)
RESULTS = st.one_of(
    st.fixed_dictionaries(
        {"resultType": st.just("input_required")},
        optional={
            "inputRequests": one_or_odd(st.dictionaries(st.sampled_from("abc"), QUESTION, max_size=3)),
            "requestState": VALUES,
        },
    ),
    st.just({"resultType": "input_required", "inputRequests": {f"q{n}": {"method": "roots/list"} for n in range(40)}}),
    st.fixed_dictionaries(
        {},
        optional={
            "resultType": one_or_odd(st.just("complete")),
            "ttlMs": VALUES,
            "_meta": one_or_odd(st.just({f"{META}serverInfo": {}})),
            "tools": one_or_odd(st.just([{"name": "a", "outputSchema": {"type": "array"}}])),
            "structuredContent": VALUES,
        },
    ),
    DISCOVERED,
    VALUES,
)
ERRORS = one_or_odd(
    st.fixed_dictionaries(
        {"code": one_or_odd(st.sampled_from([-32601, -32022, -32602, -32600, -32020, -32099, 1]))},
        optional={"message": VALUES, "data": one_or_odd(st.just({"uri": "x"}))},
    )
).filter(lambda error: error is not None)
METHODS = st.sampled_from(
    "tools/call tools/list resources/read resources/subscribe resources/unsubscribe logging/setLevel x".split()
)
TOLD = st.sampled_from(
    [
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
        "notifications/resources/updated",
        "notifications/cancelled",
        "notifications/progress",
        "x",
    ]
)


OPENED = {
    "supportedVersions": ["2026-07-28"],
    "capabilities": {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}},
}


class Translations(RuleBasedStateMachine):
    """A translator for modern-only children, and what either side waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0
        self.asked: set[bytes] = set()
        """Calls of the conversation that have no answer yet."""
        self.ever_asked: set[bytes] = set()
        self.attempts: list[bytes] = []
        """Ids under which the child was asked for anything."""
        self.questions: set[bytes] = set()
        """Questions that the conversation has heard and that are open."""
        self.timers: set[str] = set()
        self.aside = False

    @initialize(
        known=st.booleans(),
        params=HELLOS,
        answer=st.one_of(DISCOVERED, RESULTS),
        opens=st.sampled_from([True] * 7 + [False]),
    )
    def begin(self, known: bool, params: object, answer: object, opens: bool) -> None:
        """Mostly the handshake succeeds, else little after it is of interest."""
        self.translator = ModernChild(known=known)
        self.client_asks("initialize", params)
        if opens and not known:
            self.from_child(id=1, error={"code": -32601, "message": "no"})
        self.from_child(id=1, result=OPENED if opens else answer)
        self.client_tells("notifications/initialized", {})

    # The conversation.

    @rule(method=METHODS, params=PARAMS)
    def client_asks(self, method: str, params: object) -> None:
        self.last += 1
        self.asked.add(b"%d" % self.last)
        self.ever_asked.add(b"%d" % self.last)
        self.to_child(id=self.last, method=method, **self._params(params))

    @precondition(lambda self: self.ever_asked)
    @rule(data=st.data(), params=one_or_odd(st.just({"reason": "enough"})))
    def client_cancels(self, data: st.DataObject, params: object) -> None:
        call = data.draw(st.sampled_from(sorted(self.ever_asked)))
        if isinstance(params, dict):
            params = {**params, "requestId": int(call)}
            self.asked.discard(call)
        self.client_tells("notifications/cancelled", params)

    @rule(method=st.sampled_from(["notifications/roots/list_changed", "notifications/initialized"]), params=PARAMS)
    def client_tells(self, method: str, params: object) -> None:
        self.to_child(method=method, **self._params(params))

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), refuses=st.booleans(), result=VALUES.filter(lambda value: value is not None))
    def client_answers(self, data: st.DataObject, refuses: bool, result: object) -> None:
        question = data.draw(st.sampled_from(sorted(self.questions)))
        self.questions.discard(question)
        outcome = {"error": {"code": 1, "message": "no"}} if refuses else {"result": result}
        self.to_child(id=msgspec.Raw(question), **outcome)

    @rule()
    def client_answers_what_was_not_asked(self) -> None:
        self.to_child(id="ask-?-0", result={})

    # The child.

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), result=RESULTS, error=st.one_of(st.none(), st.none(), ERRORS))
    def child_answers(self, data: st.DataObject, result: object, error: object) -> None:
        attempt = data.draw(st.sampled_from(self.attempts[-12:]))
        outcome = {"result": result} if error is None else {"error": error}
        self.from_child(id=msgspec.Raw(attempt), **outcome)

    @precondition(lambda self: self.attempts)
    @rule(data=st.data(), method=TOLD, params=PARAMS, uris=one_or_odd(st.lists(URIS, max_size=3)))
    def child_tells(self, data: st.DataObject, method: str, params: object, uris: object) -> None:
        if isinstance(params, dict):
            id_ = msgspec.Raw(data.draw(st.sampled_from(self.attempts[-12:])))
            about = {"_meta": {f"{META}subscriptionId": id_}, "requestId": id_}
            params = {**params, **about, "notifications": {"resourceSubscriptions": uris}}
        self.from_child(method=method, **self._params(params))

    @rule(id_=st.sampled_from([1, "1", "listen-1"]), method=st.sampled_from(["roots/list", "ping"]), params=PARAMS)
    def child_asks(self, id_: object, method: str, params: object) -> None:
        self.from_child(id=id_, method=method, **self._params(params))

    @precondition(lambda self: self.timers)
    @rule(data=st.data())
    def time_passes(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.timers)))
        self.timers.discard(key)
        if not self.aside:
            self.follow(self.translator.wake(key))

    # What always holds.

    @invariant()
    def nothing_is_kept_for_calls_that_are_over(self) -> None:
        if not hasattr(self, "translator"):
            return
        rounds, listening = self.translator._rounds, self.translator._listening
        waiting = listening._opening.waiting if listening._opening is not None else []
        assert set(rounds._calls) <= self.asked
        assert {call for call, _ in waiting} <= self.asked
        assert set(rounds._attempts) == {call.attempt for call in rounds._calls.values() if call.attempt}
        assert set(rounds._asked) == {question for call in rounds._calls.values() for question in call.asked}
        assert all(len(call.asked) <= MAX_QUESTIONS for call in rounds._calls.values())
        assert set(rounds._asked) == self.questions
        assert len(listening._uris) <= MAX_SUBSCRIPTIONS
        assert self.timers <= {"listen", *(call.decode() for call in self.asked)}

    # Within.

    @staticmethod
    def _params(params: object) -> dict[str, object]:
        return {"params": params} if isinstance(params, dict | list) else {}

    def to_child(self, **said: object) -> None:
        if not self.aside:
            self.follow(self.translator.to_child(message(**said)))

    def from_child(self, **said: object) -> None:
        if not self.aside:
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
                    if isinstance(said, Request):
                        self.attempts.append(said.id)
                case Hear(message=said, about=about):
                    assert decode(encode(said)) == said
                    assert about is None or b"%d" % about in self.asked
                    self.hear(said)
                case Wake(key=key, seconds=None):
                    self.timers.discard(key)
                case Wake(key=key, seconds=seconds):
                    assert seconds is not None
                    assert seconds > 0
                    self.timers.add(key)
                case StepAside():
                    self.aside = True

    def hear(self, said: Message) -> None:
        match said:
            case Response(id=id_):
                assert id_ in self.asked, "a call is answered once"
                self.asked.discard(id_)
            case Request(id=id_):
                assert id_ not in self.questions
                self.questions.add(id_)
            case Notification(method="notifications/cancelled", params=params):
                named = msgspec.json.decode(params, type=dict[str, msgspec.Raw])
                self.questions.discard(bytes(named.get("requestId", b"")))


def message(**members: object) -> Message:
    """A JSON-RPC message with these members. Raises ValueError where they make none."""
    try:
        return decode(msgspec.json.encode({"jsonrpc": "2.0", **members}))
    except Exception as error:
        raise ValueError from error


test_a_translator_in_any_order_keeps_its_promises = Translations.TestCase
