"""The handshake that a legacy child gets, and what a modern client gets of it."""

import json
from typing import Any

import pytest

from gateway.translation.legacy_child import askable
from gateway.translation.legacy_child.translator import QUEUED
from tests.gateway.translation.playbook import (
    EVERYTHING,
    INFO,
    META,
    WELCOME,
    Bridge,
    call_at_child,
    complete,
    text,
)

INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": EVERYTHING,
    "clientInfo": {"name": "gateway", "version": "1"},
}
DISCOVERED = {
    "resultType": "complete",
    "supportedVersions": ["2026-07-28"],
    "capabilities": {key: value for key, value in WELCOME["capabilities"].items() if key != "tasks"},
    "instructions": "Be kind.",
    "ttlMs": 0,
    "cacheScope": "private",
    "_meta": META,
}
INITIALIZED = {"child": {"method": "notifications/initialized"}}


def test_the_first_discover_becomes_the_handshake_and_is_answered_from_it() -> None:
    bridge = Bridge(welcome=None)
    assert bridge.says(1, "server/discover") == [{"child": {"id": 1, "method": "initialize", "params": INITIALIZE}}]
    assert bridge.child(id=1, result=WELCOME) == [INITIALIZED, {"client": {"id": 1, "result": DISCOVERED}}]


def test_what_is_asked_during_the_handshake_waits_for_it() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    assert bridge.calls(2) == []
    assert bridge.says(3, "tools/list") == []
    assert bridge.child(id=1, result=WELCOME)[2:] == [
        {"child": call_at_child(2)},
        {"child": {"id": 3, "method": "tools/list", "params": {}}},
    ]


def test_what_is_no_longer_wanted_after_the_handshake_never_reaches_the_child() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    bridge.calls(2)
    assert bridge.cancels(2) == []
    assert len(bridge.child(id=1, result=WELCOME)) == 2


def test_a_conversation_that_does_not_begin_with_discover_gets_the_handshake_too() -> None:
    bridge = Bridge(welcome=None)
    assert bridge.calls(1) == [{"child": {"id": "gateway-0-1", "method": "initialize", "params": INITIALIZE}}]
    assert bridge.child(id="gateway-0-1", result=WELCOME) == [INITIALIZED, {"child": call_at_child(1)}]


def test_a_later_discover_is_answered_at_once() -> None:
    assert Bridge().says(8, "server/discover") == [{"client": {"id": 8, "result": DISCOVERED}}]


def test_the_child_is_told_only_of_what_both_eras_know() -> None:
    bridge = Bridge(welcome=None, declares={"roots": {"listChanged": True}, "extensions": {"x": {}}, "tasks": {}})
    said = bridge.says(1, "server/discover")[0]["child"]
    assert said["params"]["capabilities"] == {"roots": {}}


@pytest.mark.parametrize(
    ("declared", "askable_"),
    [
        ({}, {}),
        ({"tasks": {}, "extensions": {"x": {}}, "experimental": {}}, {}),
        ({"elicitation": {}}, {"elicitation": {}}),
        ({"elicitation": {"form": {"applyDefaults": True}}}, {"elicitation": {}}),
        ({"elicitation": {"url": {}, "x": {}}}, {"elicitation": {"url": {}}}),
        ({"elicitation": {"url": {}, "form": {}}}, {"elicitation": {"form": {}, "url": {}}}),
        ({"sampling": {"tools": {}}, "roots": {"listChanged": True}}, {"sampling": {"tools": {}}, "roots": {}}),
        ({"sampling": 5, "roots": None, "elicitation": []}, {}),
    ],
)
def test_clients_that_can_be_asked_the_same_are_the_same_to_a_child(declared: Any, askable_: Any) -> None:
    assert askable(declared) == askable_


def test_an_older_child_is_as_good() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    old = {"protocolVersion": "2024-11-05", "capabilities": {}, "serverInfo": INFO}
    answer = bridge.child(id=1, result=old)[1]["client"]["result"]
    assert answer["supportedVersions"] == ["2026-07-28"]
    assert "instructions" not in answer


def test_a_child_that_does_not_say_who_it_is_is_nobody() -> None:
    bridge = Bridge(welcome={"protocolVersion": "2024-11-05", "capabilities": {}, "instructions": 5, "serverInfo": []})
    answer = bridge.says(1, "server/discover")[0]["client"]["result"]
    assert "_meta" not in answer
    assert "instructions" not in answer
    assert bridge.calls(2) == [{"child": call_at_child(2)}]
    assert bridge.child(id=2, result={}) == [{"client": {"id": 2, "result": {"resultType": "complete"}}}]


def test_a_child_that_refuses_the_handshake_refuses_all_that_waits_for_it() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    bridge.calls(2)
    error = {"code": -32000, "message": "not today"}
    assert bridge.child(id=1, error=error) == [
        {"client": {"id": 1, "error": error}},
        {"client": {"id": 2, "error": error}},
    ]
    assert bridge.calls(3)[0]["client"]["error"]["code"] == -32603


@pytest.mark.parametrize(
    "result",
    [
        "welcome",
        {},
        {"protocolVersion": 1, "capabilities": {}},
        {"protocolVersion": "2025-11-25", "capabilities": [], "serverInfo": INFO},
    ],
)
def test_a_handshake_that_is_answered_with_something_else_is_refused(result: Any) -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    assert bridge.child(id=1, result=result)[0]["client"]["error"]["code"] == -32603
    assert bridge.translator.welcome == b""


def test_another_answer_during_the_handshake_is_not_the_handshakes() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    assert bridge.child(id=2, result=WELCOME) == []
    assert bridge.child(id="1", result=WELCOME) == []
    assert bridge.counted == {"answer_to_nobody": 2}


def test_a_second_answer_to_the_handshake_is_nothing() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    bridge.child(id=1, result=WELCOME)
    assert bridge.child(id=1, result=WELCOME) == []


def test_so_many_requests_wait_for_the_handshake_and_no_more() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    for number in range(2, QUEUED + 1):
        assert bridge.calls(number) == []
    assert bridge.calls(9999)[0]["client"]["error"]["code"] == -32603
    assert bridge.counted == {"call_refused": 1}


def test_a_child_that_asks_during_the_handshake_learns_that_there_is_nobody() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    assert bridge.child(id="p", method="ping") == [{"child": {"id": "p", "result": {}}}]
    assert bridge.child_asks("r", "roots/list") == [{"child": {"id": "r", "result": {"roots": []}}}]


def test_the_gateway_after_this_one_needs_no_handshake() -> None:
    first = Bridge(welcome=None)
    first.says(1, "server/discover")
    first.child(id=1, result=WELCOME)
    second = Bridge(welcome=json.loads(first.translator.welcome), epoch=1)
    assert json.loads(second.translator.welcome) == WELCOME
    assert second.says(2, "server/discover") == [{"client": {"id": 2, "result": DISCOVERED}}]
    assert second.calls(3) == [{"child": call_at_child(3)}]
    assert second.child(id=3, result=text("3")) == [complete(3, "3")]


def test_the_gateway_after_this_one_cancels_what_this_one_asked() -> None:
    cancelled = {"method": "notifications/cancelled", "params": {"requestId": 77, "reason": "gone"}}
    assert Bridge().cancels(77) == [{"child": cancelled}]


def test_the_gateway_after_this_one_has_ids_of_its_own() -> None:
    said = Bridge(epoch=3).calls(1, level="info")[0]["child"]
    assert said["id"] == "gateway-3-1"


def test_what_the_client_says_to_an_earlier_gateways_question_reaches_the_child() -> None:
    refused = {"id": 90, "error": {"code": -32000, "message": "restarted"}}
    assert Bridge().answers(**refused) == [{"child": refused}]
    unopened = Bridge(welcome=None)
    assert unopened.answers(**refused) == []
    assert unopened.counted == {"not_for_the_child": 1}


def test_what_the_gateway_after_this_one_must_settle_is_what_is_parked_until_it_has_ended() -> None:
    bridge = Bridge()
    bridge.calls(1)
    assert left(bridge) == (set(), set())  # the conversation knows of it
    bridge.child_asks(90)
    assert left(bridge) == (set(), {b"90"})
    state = bridge.wakes("ask 1")[0]["client"]["result"]["requestState"]
    assert left(bridge) == ({1}, {b"90"})
    bridge.calls(2, requestState=state, inputResponses={"elicitation_1": {"action": "cancel"}})
    assert left(bridge) == ({1}, set())
    assert bridge.child(id=1, result=text("1")) == [complete(2, "1")]
    assert left(bridge) == (set(), set())


def test_a_parked_call_that_is_given_up_is_settled() -> None:
    bridge = Bridge()
    bridge.parks(1)
    bridge.wakes("parked 1")
    assert left(bridge) == (set(), set())


def left(bridge: Bridge) -> tuple[set[int], set[bytes]]:
    """Calls and questions that are noted for the next gateway."""
    return set(bridge.translator.adrift), set(bridge.translator.questions)
