"""Playbooks of a modern-only child behind a legacy conversation: who says what, and what the other side hears of it."""

from typing import Any

import msgspec
import pytest

from gateway.jsonrpc import Message, Notification, Request, Response, decode, encode
from gateway.translation.modern_child import ModernChild
from gateway.translation.modern_child.listening import AGAIN, MAX_SUBSCRIPTIONS
from gateway.translation.modern_child.opening import Opened
from gateway.translation.modern_child.rounds import MAX_QUESTIONS, MAX_ROUNDS
from gateway.translation.steps import Hear, Say, Step, StepAside, Wake

META = "io.modelcontextprotocol/"
UNSUPPORTED = {"code": -32022, "message": "no", "data": {"supported": ["2026-07-28"]}}
SERVER = {"name": "s", "version": "1"}


def message(**members: object) -> Message:
    """A JSON-RPC message with these members."""
    return decode(msgspec.json.encode({"jsonrpc": "2.0", **members}))


def shown(step: Step) -> Any:
    """A step as a test reads it: who is told, and what."""
    match step:
        case Say(message=said):
            return {"child": _members(said)}
        case Hear(message=said, about=about):
            return {"client": _members(said)} if about is None else {"client": _members(said), "about": about}
        case _:
            return step


def _members(said: Message) -> dict[str, Any]:
    members: dict[str, Any] = msgspec.json.decode(encode(said))
    del members["jsonrpc"]
    return members


class Between:
    """A translator, as both sides see it."""

    def __init__(self, *, known: bool = True, opened: Opened | None = None) -> None:
        self.opened: list[Opened] = []
        self.seen: list[str] = []
        self.translator = ModernChild(
            known=known,
            on_opened=self.opened.append,
            on_handshake=lambda: self.seen.append("handshake"),
            on_refused=lambda: self.seen.append("refused"),
            opened=opened,
        )

    def client(self, **members: object) -> list[Any]:
        """The conversation says something."""
        return [shown(step) for step in self.translator.to_child(message(**members))]

    def child(self, **members: object) -> list[Any]:
        """The child says something."""
        return [shown(step) for step in self.translator.from_child(message(**members))]

    def wake(self, key: str) -> list[Any]:
        """A pause is over."""
        return [shown(step) for step in self.translator.wake(key)]

    def open(self, version: str = "2025-11-25", **capabilities: object) -> list[Any]:
        """The handshake, as far as the client sees one."""
        self.client(id=1, method="initialize", params=hello(version))
        answer = self.child(id=1, result=discovered(**capabilities))
        self.client(method="notifications/initialized")
        return answer

    def call(self, id_: int, tool: str = "echo", **params: object) -> list[Any]:
        """The conversation calls a tool."""
        return self.client(id=id_, method="tools/call", params={"name": tool, "arguments": {}, **params})


def hello(version: str = "2025-11-25", **members: object) -> dict[str, object]:
    """What a legacy client says of itself."""
    info = {"name": "c", "version": "2"}
    return {"protocolVersion": version, "capabilities": {"roots": {}, "tasks": {}}, "clientInfo": info, **members}


def discovered(**capabilities: object) -> dict[str, object]:
    """What a modern child says of itself."""
    return {
        "resultType": "complete",
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {}, "extensions": {"x": {}}, **capabilities},
        "instructions": "do",
        "ttlMs": 0,
        "cacheScope": "private",
        "_meta": {META + "serverInfo": SERVER},
    }


def meta(**more: object) -> dict[str, object]:
    """The envelope of every request."""
    return {
        META + "protocolVersion": "2026-07-28",
        META + "clientCapabilities": {"roots": {}},
        META + "clientInfo": {"name": "c", "version": "2"},
        **more,
    }


def asking(state: str | None = "s", **questions: object) -> dict[str, object]:
    """A result that asks."""
    result: dict[str, object] = {"resultType": "input_required"}
    if questions:
        result["inputRequests"] = questions
    return result if state is None else {**result, "requestState": state}


ROOTS = {"method": "roots/list"}


def form(text: str) -> dict[str, object]:
    """A question for the person."""
    return {"method": "elicitation/create", "params": {"message": text}}


def complete(**members: object) -> dict[str, object]:
    """A result that does not."""
    return {"resultType": "complete", **members}


@pytest.fixture
def between() -> Between:
    """Past the opening, with nothing to listen to."""
    between = Between()
    between.open()
    return between


# The opening.


def test_initialize_becomes_discover_and_its_answer_comes_back() -> None:
    between = Between()
    said = between.client(id=1, method="initialize", params=hello())
    assert said == [{"child": {"id": 1, "method": "server/discover", "params": {"_meta": meta()}}}]
    [heard] = between.child(id=1, result=discovered())
    assert heard["client"] == {
        "id": 1,
        "result": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": SERVER,
            "instructions": "do",
        },
    }


@pytest.mark.parametrize(
    ("asked", "agreed"),
    [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
        (7, "2025-11-25"),
    ],
)
def test_the_client_gets_the_revision_that_it_asked_for_if_it_has_a_handshake(asked: str, agreed: str) -> None:
    [heard] = Between().open(asked)
    assert heard["client"]["result"]["protocolVersion"] == agreed


def test_a_child_without_a_name_has_one_all_the_same() -> None:
    between = Between()
    between.client(id=1, method="initialize", params=hello())
    [heard] = between.child(id=1, result={**discovered(), "_meta": {}})
    assert heard["client"]["result"]["serverInfo"] == {"name": "unknown", "version": ""}


def test_a_child_that_is_not_known_is_asked_for_a_handshake_first_and_left_alone_where_it_has_one() -> None:
    between = Between(known=False)
    [said] = between.client(id=1, method="initialize", params=hello())
    assert said["child"]["method"] == "initialize"
    answer = {"protocolVersion": "2025-11-25"}
    assert between.child(id=1, result=answer) == [{"client": {"id": 1, "result": answer}}, StepAside()]
    assert between.seen == ["handshake"]


@pytest.mark.parametrize("code", [-32022, -32601, -32602, -32600])
def test_a_child_that_refuses_the_handshake_as_a_modern_one_does_is_asked_as_one(code: int) -> None:
    between = Between(known=False)
    between.client(id=1, method="initialize", params=hello())
    [said] = between.child(id=1, error={"code": code, "message": "no"})
    assert said["child"]["method"] == "server/discover"
    [heard] = between.child(id=1, result=discovered())
    assert heard["client"]["result"]["protocolVersion"] == "2025-11-25"
    assert len(between.opened) == 1


def test_a_child_that_refuses_both_is_heard_with_its_first_refusal() -> None:
    between = Between(known=False)
    between.client(id=1, method="initialize", params=hello())
    between.child(id=1, error={"code": -32602, "message": "no, thank you"})
    [heard] = between.child(id=1, error={"code": -32601, "message": "what?"})
    assert heard["client"] == {"id": 1, "error": {"code": -32602, "message": "no, thank you"}}
    assert between.seen == ["refused"]


def test_a_child_that_fails_at_the_handshake_is_not_asked_again() -> None:
    between = Between(known=False)
    between.client(id=1, method="initialize", params=hello())
    [heard] = between.child(id=1, error={"code": -32603, "message": "out of order"})
    assert heard["client"]["error"]["code"] == -32603


@pytest.mark.parametrize("versions", [["2027-01-01"], [], "2026-07-28", None])
def test_a_child_of_another_revision_is_refused(versions: object) -> None:
    between = Between()
    between.client(id=1, method="initialize", params=hello())
    [heard] = between.child(id=1, result={**discovered(), "supportedVersions": versions})
    assert heard["client"]["error"]["code"] == -32022
    assert between.seen == ["refused"]


def test_what_is_kept_of_an_opening_is_enough_to_go_on() -> None:
    between = Between()
    between.open(tools={"listChanged": True})
    kept = msgspec.json.decode(msgspec.json.encode(between.opened[0]), type=Opened)
    later = Between(opened=kept)
    listen, call = later.call(7)
    assert listen["child"]["method"] == "subscriptions/listen"
    assert call["child"]["params"]["_meta"] == meta()
    [again] = later.call(8)
    assert again["child"]["id"] == 8


# Requests and results.


def test_every_request_comes_with_the_envelope_and_keeps_what_else_it_had(between: Between) -> None:
    [said] = between.call(2, _meta={"progressToken": 5, "traceparent": "00-1"})
    assert said["child"]["params"]["_meta"] == meta(progressToken=5, traceparent="00-1")
    assert said["child"]["params"]["name"] == "echo"
    [said] = between.client(id=3, method="tools/list")
    assert said["child"]["params"] == {"_meta": meta()}


def test_a_client_cannot_forge_the_envelope(between: Between) -> None:
    [said] = between.call(2, _meta={META + "protocolVersion": "1", META + "clientCapabilities": {"sampling": {}}})
    assert said["child"]["params"]["_meta"] == meta()


def test_params_that_are_no_object_are_refused(between: Between) -> None:
    [heard] = between.client(id=2, method="tools/call", params=[1])
    assert heard["client"]["error"]["code"] == -32602


def test_a_result_loses_what_only_modern_clients_know(between: Between) -> None:
    between.call(2)
    result = complete(content=[], ttlMs=0, cacheScope="private", _meta={META + "serverInfo": SERVER, "vendor": 1})
    assert between.child(id=2, result=result) == [
        {"client": {"id": 2, "result": {"content": [], "_meta": {"vendor": 1}}}}
    ]
    between.call(3)
    [heard] = between.child(id=3, result=complete(content=[], _meta={META + "serverInfo": SERVER}))
    assert heard["client"]["result"] == {"content": []}


def test_structured_content_that_is_no_object_stays_with_the_modern_era(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=complete(content=[], structuredContent=42))
    assert heard["client"]["result"] == {"content": []}
    between.call(3)
    [heard] = between.child(id=3, result=complete(content=[], structuredContent={"n": 42}))
    assert heard["client"]["result"]["structuredContent"] == {"n": 42}


def test_a_tool_is_listed_without_an_output_schema_that_describes_no_object(between: Between) -> None:
    between.client(id=2, method="tools/list")
    tools = [{"name": "a", "outputSchema": {"type": "object"}}, {"name": "b", "outputSchema": {"type": "integer"}}]
    [heard] = between.child(id=2, result=complete(tools=tools))
    assert heard["client"]["result"]["tools"] == [tools[0], {"name": "b"}]


def test_a_result_of_an_unknown_type_is_an_error(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result={"resultType": "surprise"})
    assert heard["client"]["error"]["code"] == -32603


@pytest.mark.parametrize("result", [[], [1], "x", 5, True])
def test_a_result_that_is_no_object_is_an_error_and_not_an_empty_one(between: Between, result: Any) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=result)
    assert heard["client"]["error"]["code"] == -32603


def test_a_second_handshake_is_refused_and_changes_nothing() -> None:
    between = Between()
    between.client(id=1, method="initialize", params=hello())
    [early] = between.client(id=2, method="initialize", params=hello())
    assert early["client"]["error"]["code"] == -32600
    between.child(id=1, result=discovered())
    [late] = between.client(id=3, method="initialize", params=hello("2024-11-05"))
    assert late["client"]["error"]["code"] == -32600
    assert between.call(4)[0]["child"]["params"]["_meta"] == meta()
    assert between.seen == []


def test_what_is_asked_before_the_handshake_is_answered_by_the_child() -> None:
    between = Between(known=False)
    between.client(id=1, method="initialize", params=hello())
    assert between.client(id=2, method="tools/list") == [{"child": {"id": 2, "method": "tools/list"}}]
    assert between.child(id=2, result={"tools": []}) == [{"client": {"id": 2, "result": {"tools": []}}}]


@pytest.mark.parametrize(
    ("method", "error", "heard"),
    [
        ("resources/read", {"code": -32602, "message": "", "data": {"uri": "x:"}}, -32002),
        ("resources/read", {"code": -32602, "message": ""}, -32602),
        ("tools/call", {"code": -32602, "message": "", "data": {"uri": "x:"}}, -32602),
        ("tools/call", {"code": -32021, "message": "", "data": {"requiredCapabilities": {}}}, -32603),
        ("tools/call", {"code": -32020, "message": ""}, -32603),
        ("tools/call", {"code": 7, "message": ""}, 7),
    ],
)
def test_errors_have_the_codes_that_the_client_knows(between: Between, method: str, error: object, heard: int) -> None:
    between.client(id=2, method=method, params={})
    [step] = between.child(id=2, error=error)
    assert step["client"]["error"]["code"] == heard


def test_log_lines_are_asked_for_with_every_request_once_the_client_has_set_a_level() -> None:
    between = Between()
    between.open(logging={})
    assert between.client(id=2, method="logging/setLevel", params={"level": "info"}) == [
        {"client": {"id": 2, "result": {}}}
    ]
    [said] = between.call(3)
    assert said["child"]["params"]["_meta"][META + "logLevel"] == "info"
    told = {"method": "notifications/message", "params": {"level": "info", "data": "x"}}
    assert between.child(**told) == [{"client": told}]


def test_a_level_is_refused_by_a_child_without_a_log(between: Between) -> None:
    [heard] = between.client(id=2, method="logging/setLevel", params={"level": "info"})
    assert heard["client"]["error"]["code"] == -32601


def test_a_modern_server_hears_no_notification_but_cancellation(between: Between) -> None:
    assert between.client(method="notifications/roots/list_changed") == []
    assert between.client(method="notifications/progress", params={"progressToken": 1, "progress": 1}) == []


def test_a_cancelled_call_is_cancelled_at_the_child_and_its_answer_dropped(between: Between) -> None:
    between.call(2)
    said = between.client(method="notifications/cancelled", params={"requestId": 2, "reason": "enough"})
    assert said == [{"child": {"method": "notifications/cancelled", "params": {"requestId": 2, "reason": "enough"}}}]
    assert between.child(id=2, result=complete()) == []
    assert between.translator.counters == {"answer_to_nobody": 1}


def test_what_a_modern_child_may_not_say_is_refused_and_counted(between: Between) -> None:
    [said] = between.child(id="q", method="roots/list")
    assert said["child"]["error"]["code"] == -32600
    assert between.child(id="nobody", result={}) == []
    assert between.child(method="notifications/cancelled", params={"requestId": 9}) == []
    assert between.translator.counters == {
        "question_of_a_modern_child": 1,
        "answer_to_nobody": 1,
        "cancelled_by_the_child": 1,
    }


# Questions.


def test_a_question_in_a_result_becomes_a_request_and_its_answer_a_repetition(between: Between) -> None:
    between.call(2, "ask")
    [heard] = between.child(id=2, result=asking("state", name=form("who")))
    question = heard["client"]
    assert (question["method"], question["params"], heard["about"]) == ("elicitation/create", {"message": "who"}, 2)
    answer = {"action": "accept", "content": {"value": "x"}}
    [said] = between.client(id=question["id"], result=answer)
    again = said["child"]
    assert again["id"] != 2
    assert again["method"] == "tools/call"
    assert again["params"] == {
        "name": "ask",
        "arguments": {},
        "_meta": meta(),
        "inputResponses": {"name": answer},
        "requestState": "state",
    }
    assert between.child(id=again["id"], result=complete(content=[])) == [
        Wake("2", None),
        {"client": {"id": 2, "result": {"content": []}}},
    ]


def test_several_questions_are_all_answered_before_the_call_is_repeated(between: Between) -> None:
    between.call(2)
    first, second = between.child(id=2, result=asking("s", a=form("a"), b=ROOTS))
    assert first["client"]["id"] != second["client"]["id"]
    assert between.client(id=second["client"]["id"], result={"roots": []}) == []
    [said] = between.client(id=first["client"]["id"], result={"action": "decline"})
    assert said["child"]["params"]["inputResponses"] == {"a": {"action": "decline"}, "b": {"roots": []}}


def test_a_question_may_follow_a_question(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=asking("1", a=form("a")))
    [said] = between.client(id=heard["client"]["id"], result={"action": "accept"})
    [heard] = between.child(id=said["child"]["id"], result=asking("2", b=form("b")))
    [said] = between.client(id=heard["client"]["id"], result={"action": "decline"})
    assert said["child"]["params"]["requestState"] == "2"
    assert said["child"]["params"]["inputResponses"] == {"b": {"action": "decline"}}


def test_a_state_that_the_child_did_not_renew_is_not_sent_again(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=asking("1", a=form("a")))
    [said] = between.client(id=heard["client"]["id"], result={})
    [heard] = between.child(id=said["child"]["id"], result=asking(None, b=form("b")))
    [said] = between.client(id=heard["client"]["id"], result={})
    assert "requestState" not in said["child"]["params"]


def test_a_refused_question_ends_the_call_and_withdraws_the_others(between: Between) -> None:
    between.call(2)
    first, second = between.child(id=2, result=asking("s", a=form("a"), b=ROOTS))
    steps = between.client(id=first["client"]["id"], error={"code": -32601, "message": "no"})
    withdrawn = {"method": "notifications/cancelled", "params": {"requestId": second["client"]["id"]}}
    assert steps[1] == {"client": withdrawn}
    assert steps[2]["client"]["error"]["code"] == -32603
    assert between.client(id=second["client"]["id"], result={"roots": []}) == []
    assert between.translator.counters == {"answer_to_no_question": 1}


def test_a_call_cancelled_while_its_client_is_asked_withdraws_the_question(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=asking("s", a=form("a")))
    steps = between.client(method="notifications/cancelled", params={"requestId": 2})
    withdrawn = {"method": "notifications/cancelled", "params": {"requestId": heard["client"]["id"]}}
    assert steps == [Wake("2", None), {"client": withdrawn}]


def test_a_call_cancelled_in_its_second_round_is_cancelled_under_the_id_that_the_child_knows(between: Between) -> None:
    between.call(2)
    [heard] = between.child(id=2, result=asking("s", a=form("a")))
    [said] = between.client(id=heard["client"]["id"], result={})
    steps = between.client(method="notifications/cancelled", params={"requestId": 2})
    assert steps[-1]["child"]["params"]["requestId"] == said["child"]["id"]


def test_a_child_that_only_wants_to_be_asked_again_is_after_a_pause_that_grows(between: Between) -> None:
    between.call(2)
    [pause] = between.child(id=2, result=asking("1"))
    [said] = between.wake(pause.key)
    assert said["child"]["params"]["requestState"] == "1"
    assert "inputResponses" not in said["child"]["params"]
    [longer] = between.child(id=said["child"]["id"], result=asking("2"))
    assert longer.seconds > pause.seconds


def test_a_pause_that_ends_after_its_call_does_nothing(between: Between) -> None:
    between.call(2)
    [pause] = between.child(id=2, result=asking("1"))
    between.client(method="notifications/cancelled", params={"requestId": 2})
    assert between.wake(pause.key) == []


def test_rounds_come_to_an_end(between: Between) -> None:
    between.call(2)
    child_id: object = 2
    for _ in range(MAX_ROUNDS):
        [heard] = between.child(id=child_id, result=asking("s", a=form("more")))
        [said] = between.client(id=heard["client"]["id"], result={})
        child_id = said["child"]["id"]
    *_, heard = between.child(id=child_id, result=asking("s", a=form("more")))
    assert heard["client"]["error"]["code"] == -32603


def test_more_questions_at_once_than_anybody_answers_are_an_error(between: Between) -> None:
    between.call(2)
    many = {f"q{n}": ROOTS for n in range(MAX_QUESTIONS + 1)}
    *_, heard = between.child(id=2, result=asking("s", **many))
    assert heard["client"]["error"]["code"] == -32603


@pytest.mark.parametrize("question", [{"method": "tools/call"}, {}, "roots/list", None])
def test_a_question_that_no_client_can_answer_is_an_error(between: Between, question: object) -> None:
    between.call(2)
    steps = between.child(id=2, result=asking("s", good=ROOTS, odd=question))
    assert steps[0]["client"]["method"] == "roots/list"
    assert steps[-2]["client"]["method"] == "notifications/cancelled"
    assert steps[-1]["client"]["error"]["code"] == -32603


@pytest.mark.parametrize(("version", "has_id"), [("2025-11-25", True), ("2025-06-18", False)])
def test_a_question_that_is_answered_elsewhere_has_an_id_where_the_revision_knows_one(
    version: str, has_id: bool
) -> None:
    between = Between()
    between.open(version)
    between.call(2)
    elsewhere = {"method": "elicitation/create", "params": {"mode": "url", "url": "https://example.org/"}}
    [heard] = between.child(id=2, result=asking("s", a=elsewhere))
    assert ("elicitationId" in heard["client"]["params"]) is has_id


# News.


def listening(**capabilities: object) -> tuple[Between, str]:
    """A child that promises news, and the id of the listen with which it was asked for them, acknowledged."""
    between = Between()
    between.client(id=1, method="initialize", params=hello())
    between.child(id=1, result=discovered(**capabilities))
    id_ = ""
    for said in between.client(method="notifications/initialized"):
        acknowledge(between, said)
        id_ = said["child"]["id"]
    return between, id_


def acknowledge(between: Between, said: dict[str, Any], *, without: str = "") -> list[Any]:
    """The child grants what it was asked to tell of."""
    wanted = dict(said["child"]["params"]["notifications"])
    wanted["resourceSubscriptions"] = [uri for uri in wanted.get("resourceSubscriptions", []) if uri != without]
    tagged = {"_meta": {META + "subscriptionId": said["child"]["id"]}, "notifications": wanted}
    return between.child(method="notifications/subscriptions/acknowledged", params=tagged)


def news(
    between: Between, listen: object, method: str = "notifications/tools/list_changed", **params: object
) -> list[Any]:
    """The child tells a listener something."""
    return between.child(method=method, params={"_meta": {META + "subscriptionId": listen}, **params})


def test_the_child_is_listened_to_where_it_promises_news() -> None:
    between = Between()
    between.client(id=1, method="initialize", params=hello())
    between.child(id=1, result=discovered(tools={"listChanged": True}, prompts={"listChanged": False}, resources={}))
    [said] = between.client(method="notifications/initialized")
    assert said["child"]["params"] == {"notifications": {"toolsListChanged": True}, "_meta": meta()}
    assert acknowledge(between, said) == []
    assert news(between, said["child"]["id"]) == [{"client": {"method": "notifications/tools/list_changed"}}]


def test_news_for_a_listen_that_is_no_more_are_dropped() -> None:
    between, _ = listening(tools={"listChanged": True})
    assert news(between, "another") == []


def test_a_subscription_is_answered_when_the_child_has_acknowledged_it_and_the_listen_before_is_ended_then() -> None:
    between, before = listening(tools={"listChanged": True}, resources={"subscribe": True})
    [said] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    assert said["child"]["params"]["notifications"] == {"toolsListChanged": True, "resourceSubscriptions": ["a:1"]}
    assert news(between, before) != []
    ended, answered = acknowledge(between, said)
    assert ended == {"child": {"method": "notifications/cancelled", "params": {"requestId": before}}}
    assert answered == {"client": {"id": 2, "result": {}}}
    updated = "notifications/resources/updated"
    told = {"method": updated, "params": {"uri": "a:1/part"}}
    assert news(between, said["child"]["id"], updated, uri="a:1/part") == [{"client": told}]
    assert between.client(id=3, method="resources/subscribe", params={"uri": "a:1"}) == [
        {"client": {"id": 3, "result": {}}}
    ]


def test_a_subscription_while_another_is_being_made_is_answered_with_it() -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    dropped, said = between.client(id=3, method="resources/subscribe", params={"uri": "a:2"})
    assert dropped["child"]["method"] == "notifications/cancelled"
    assert said["child"]["params"]["notifications"]["resourceSubscriptions"] == ["a:1", "a:2"]
    _, first, second = acknowledge(between, said)
    assert (first["client"]["id"], second["client"]["id"]) == (2, 3)


def test_a_subscription_that_the_child_does_not_grant_is_an_error() -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    [said] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    *_, refused = acknowledge(between, said, without="a:1")
    assert refused["client"]["error"]["code"] == -32603


def test_a_listen_that_the_child_refuses_is_an_error_for_who_waits_for_it() -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    [said] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    [heard] = between.child(id=said["child"]["id"], error={"code": -32603, "message": "full"})
    assert heard["client"] == {"id": 2, "error": {"code": -32603, "message": "full"}}


def test_nothing_is_told_of_what_is_unsubscribed_from_even_before_the_child_knows() -> None:
    between, _ = listening(resources={"subscribe": True})
    for id_, uri in ((2, "a:1"), (3, "a:2")):
        [said] = between.client(id=id_, method="resources/subscribe", params={"uri": uri})
        acknowledge(between, said)
    between.client(id=4, method="resources/unsubscribe", params={"uri": "a:1"})
    updated = "notifications/resources/updated"
    assert news(between, said["child"]["id"], updated, uri="a:1") == []
    assert len(news(between, said["child"]["id"], updated, uri="a:2")) == 1


def test_a_listen_of_an_earlier_gateways_is_not_taken_for_one_of_ours() -> None:
    first, before = listening(tools={"listChanged": True})
    second, now = listening(tools={"listChanged": True})
    assert before != now
    assert news(second, before) == []
    assert len(news(first, before)) == len(news(second, now)) == 1


def test_an_unsubscription_listens_to_less() -> None:
    between, _ = listening(resources={"subscribe": True})  # nothing to listen to yet
    [said] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    acknowledge(between, said)
    answered, ended = between.client(id=3, method="resources/unsubscribe", params={"uri": "a:1"})
    assert answered == {"client": {"id": 3, "result": {}}}
    assert ended["child"]["params"]["requestId"] == said["child"]["id"]
    assert between.client(id=4, method="resources/unsubscribe", params={"uri": "a:1"}) == [
        {"client": {"id": 4, "result": {}}}
    ]


def test_a_cancelled_subscription_is_not_answered() -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    [said] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    assert between.client(method="notifications/cancelled", params={"requestId": 2}) == []
    [ended] = acknowledge(between, said)
    assert ended["child"]["method"] == "notifications/cancelled"


def test_subscriptions_are_bounded() -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    for n in range(MAX_SUBSCRIPTIONS):
        between.client(id=n + 2, method="resources/subscribe", params={"uri": f"a:{n}"})
    [heard] = between.client(id=9999, method="resources/subscribe", params={"uri": "one:more"})
    assert heard["client"]["error"]["code"] == -32603


@pytest.mark.parametrize("params", [{}, {"uri": 7}])
def test_a_subscription_to_nothing_is_an_error(params: object) -> None:
    between, _ = listening(resources={"subscribe": True, "listChanged": True})
    [heard] = between.client(id=2, method="resources/subscribe", params=params)
    assert "error" in heard["client"]


def test_a_child_without_subscriptions_is_not_asked_for_them(between: Between) -> None:
    [heard] = between.client(id=2, method="resources/subscribe", params={"uri": "a:1"})
    assert heard["client"]["error"]["code"] == -32601


@pytest.mark.parametrize("by", ["result", "cancellation"])
def test_a_listen_that_the_child_ends_is_opened_again_after_a_pause_that_grows(by: str) -> None:
    between, listen = listening(tools={"listChanged": True})

    def end(listen: object) -> list[Any]:
        if by == "result":
            return between.child(id=listen, result=complete())
        return between.child(method="notifications/cancelled", params={"requestId": listen})

    [pause] = end(listen)
    assert pause.key == AGAIN
    [said] = between.wake(AGAIN)
    [longer] = [*acknowledge(between, said), *end(said["child"]["id"])]
    assert longer.seconds == pause.seconds  # it was granted in between
    [said] = between.wake(AGAIN)
    assert said["child"]["method"] == "subscriptions/listen"


def test_types_of_messages_are_what_the_conversation_expects(between: Between) -> None:
    steps = between.translator.to_child(message(id=2, method="tools/list"))
    assert isinstance(steps[0], Say)
    assert isinstance(steps[0].message, Request)
    [heard] = between.translator.from_child(message(id=2, result=complete(tools=[])))
    assert isinstance(heard, Hear)
    assert isinstance(heard.message, Response)
    [told] = between.translator.from_child(message(method="notifications/x"))
    assert isinstance(told, Hear)
    assert isinstance(told.message, Notification)
