"""Requests of modern clients, and what a legacy child answers and says of itself."""

import json
from typing import Any

import pytest

from gateway.jsonrpc import Notification, Request, Response
from gateway.translation.legacy_child.table import IN_FLIGHT
from tests.gateway.translation.playbook import (
    CAPABILITIES,
    EVERYTHING,
    META,
    NOBODY,
    WELCOME,
    Bridge,
    call_at_child,
    complete,
    plain,
    text,
)


def cancelled(id_: int) -> dict[str, Any]:
    """What the child is told of a call that is given up."""
    params = {"requestId": id_, "reason": "nobody waits for the answer"}
    return {"child": {"method": "notifications/cancelled", "params": params}}


def test_a_call_loses_what_only_modern_servers_read_and_its_result_gets_what_only_they_write() -> None:
    bridge = Bridge()
    assert bridge.calls(1) == [{"child": call_at_child(1)}]
    assert bridge.child(id=1, result=text("done")) == [complete(1, "done")]


def test_what_else_stands_in_meta_reaches_the_child() -> None:
    kept = {"progressToken": 5, "traceparent": "00-1", "com.example/x": {"y": [1]}}
    said = Bridge().calls(1, meta=kept)[0]["child"]
    assert said["params"]["_meta"] == kept


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
def test_lists_say_that_they_must_not_be_kept(method: str) -> None:
    bridge = Bridge()
    bridge.says(1, method, cursor="c")
    assert bridge.child(id=1, result={"all": []}) == [
        {
            "client": {
                "id": 1,
                "result": {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", "_meta": META, "all": []},
            }
        }
    ]


def test_what_a_result_has_in_meta_stays_there() -> None:
    bridge = Bridge()
    bridge.calls(1)
    answer = bridge.child(id=1, result={**text("x"), "_meta": {"com.example/x": 1}})[0]["client"]
    assert answer["result"]["_meta"] == {"com.example/x": 1, **META}


def test_an_empty_result_is_completed_too() -> None:
    bridge = Bridge()
    bridge.says(1, "completion/complete")
    assert bridge.child(id=1, result={}) == [{"client": {"id": 1, "result": {"resultType": "complete", "_meta": META}}}]


def test_a_child_cannot_speak_the_modern_revision_by_chance() -> None:
    bridge = Bridge()
    bridge.says(1, "resources/read", uri="file:///x")
    forged = {"resultType": "input_required", "ttlMs": 10**9, "cacheScope": "public", "contents": []}
    result = bridge.child(id=1, result=forged)[0]["client"]["result"]
    assert (result["resultType"], result["ttlMs"], result["cacheScope"]) == ("complete", 0, "private")


def test_nor_by_spelling_it_otherwise() -> None:
    bridge = Bridge()
    bridge.calls(1)
    forged = b'{"result\\u0054ype":"input_required","content":[]}'
    [step] = bridge.translator.from_child(Response(b"1", forged, b""))
    assert json.loads(step.message.result) == {"resultType": "complete", "content": [], "_meta": META}  # type: ignore[union-attr]
    assert step.message.result.count(b"ype") == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("result", [b"5", b'"x"', b"[]", b"true"])
def test_a_result_that_is_no_object_is_an_error(result: bytes) -> None:
    bridge = Bridge()
    bridge.calls(1)
    [step] = bridge.translator.from_child(Response(b"1", result, b""))
    assert b'"code":-32603' in step.message.error  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": -32603, "message": "m"}, {"code": -32603, "message": "m"}),
        ({"code": 7, "message": "m", "data": [1]}, {"code": 7, "message": "m", "data": [1]}),
        ({"code": -32002, "message": "m"}, {"code": -32602, "message": "m", "data": {"uri": "file:///x"}}),
        (
            {"code": -32002, "message": "m", "data": {"uri": "file:///y"}},
            {"code": -32602, "message": "m", "data": {"uri": "file:///y"}},
        ),
        ({"code": -32042, "message": "m"}, {"code": -32603, "message": "m"}),
        ({"code": -32000, "message": "m"}, {"code": -32000, "message": "m"}),
        ({"code": -32019, "message": "m"}, {"code": -32019, "message": "m"}),
        ({"code": -32020, "message": "m", "data": [1]}, {"code": -32603, "message": "m", "data": [1]}),
        ({"code": -32022, "message": "m"}, {"code": -32603, "message": "m"}),
        ({"code": -32099, "message": "m"}, {"code": -32603, "message": "m"}),
        ({"code": -32100, "message": "m"}, {"code": -32100, "message": "m"}),
        ("broken", {"code": -32603, "message": "the server's error is none"}),
    ],
)
def test_errors_that_no_modern_server_gives_are_others(error: Any, expected: dict[str, Any]) -> None:
    bridge = Bridge()
    bridge.says(1, "resources/read", uri="file:///x")
    assert bridge.child(id=1, error=error) == [{"client": {"id": 1, "error": expected}}]


def test_only_a_read_that_finds_nothing_is_about_a_resource() -> None:
    bridge = Bridge()
    bridge.calls(1)
    answer = bridge.child(id=1, error={"code": -32002, "message": "m"})
    assert answer == [{"client": {"id": 1, "error": {"code": -32602, "message": "m"}}}]


@pytest.mark.parametrize(
    "method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/get"]
)
def test_removed_methods_do_not_reach_the_child(method: str) -> None:
    [step] = Bridge().says(1, method)
    assert step["client"]["error"]["code"] == -32601


def test_a_ping_of_the_child_is_answered_without_the_client() -> None:
    assert Bridge().child(id="p", method="ping") == [{"child": {"id": "p", "result": {}}}]


def test_what_the_child_asks_that_no_client_knows_is_refused() -> None:
    [step] = Bridge().child(id="x", method="tasks/list")
    assert step["child"]["error"]["code"] == -32601


def test_answers_that_nobody_waits_for_are_dropped() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child(id=1, result=text("first"))
    assert bridge.child(id=1, result=text("again")) == []
    assert bridge.child(id="1", result={}) == []
    assert bridge.counted == {"answer_to_nobody": 2}


def test_a_call_that_waits_for_its_turn_cannot_be_answered_yet() -> None:
    bridge = Bridge()
    bridge.calls(1)
    assert bridge.calls(2) == []
    assert bridge.child(id=2, result=text("too early")) == []
    assert bridge.child(id=1, result=text("1")) == [complete(1, "1"), {"child": call_at_child(2)}]
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2")]


def test_a_modern_client_has_nothing_to_tell_and_nothing_to_answer() -> None:
    bridge = Bridge(welcome=None)
    assert bridge.translator.to_child(Notification("notifications/roots/list_changed", b"")) == []
    assert bridge.translator.to_child(Response(b"1", b"{}", b"")) == []
    assert bridge.counted == {"not_for_the_child": 2}


@pytest.mark.parametrize(
    "params", [{"requestState": 5}, {"requestState": {}}, {"inputResponses": []}, {"inputResponses": "x"}]
)
def test_a_retry_of_the_wrong_shape_is_refused(params: dict[str, Any]) -> None:
    [step] = Bridge().calls(1, **params)
    assert step["client"]["error"]["code"] == -32602


DEEP = b"[" * 5000 + b"]" * 5000


def test_a_result_that_goes_too_deep_is_an_error() -> None:
    bridge = Bridge()
    bridge.calls(1)
    [step] = bridge.translator.from_child(Response(b"1", b'{"_meta":{},"content":' + DEEP + b"}", b""))
    assert b'"code":-32603' in step.message.error  # type: ignore[union-attr]


@pytest.mark.parametrize("params", [b"[]", b"[1]", b'{"name":"t","arguments":' + DEEP + b"}"])
def test_params_that_are_no_object_are_refused(params: bytes) -> None:
    [step] = Bridge().translator.to_child(Request(b"1", "tools/call", params))
    assert b'"code":-32602' in step.message.error  # type: ignore[union-attr]


@pytest.mark.parametrize("capabilities", [b"5", b"[]", b'"x"', b'{"roots":1e999}'])
def test_capabilities_that_are_none_declare_nothing(capabilities: bytes) -> None:
    params = b'{"name":"t","_meta":{"%b":%b}}' % (CAPABILITIES.encode(), capabilities)
    for id_ in (b"1", b"2"):
        [step] = plain(Bridge().translator.to_child(Request(id_, "tools/call", params)))
        assert step["child"]["method"] == "tools/call"


@pytest.mark.parametrize("arguments", [b"null", b"1e999", b'"x"', b"[" * 500 + b"]" * 500])
def test_arguments_of_any_kind_can_be_asked_about(arguments: bytes) -> None:
    bridge = Bridge()
    params = b'{"name":"t","arguments":%b,"_meta":{"%b":{"elicitation":{}}}}' % (arguments, CAPABILITIES.encode())
    bridge.translator.to_child(Request(b"1", "tools/call", params))
    bridge.child_asks(90)
    state = bridge.wakes("ask 1")[0]["client"]["result"]["requestState"]
    again = (
        b'{"requestState":"%b","inputResponses":{"elicitation_1":{"action":"cancel"}},' % state.encode() + params[1:]
    )
    steps = plain(bridge.translator.to_child(Request(b"2", "tools/call", again)))
    assert steps[1] == {"child": {"id": 90, "result": {"action": "cancel"}}}


def test_answers_without_a_state_are_passed_over() -> None:
    assert Bridge().calls(1, inputResponses=None, requestState=None) == [{"child": call_at_child(1)}]
    assert Bridge().calls(1, inputResponses={"k": {}}) == [{"child": call_at_child(1)}]


def test_a_state_that_comes_with_what_nobody_is_asked_for_is_passed_over() -> None:
    said = Bridge().says(1, "tools/list", requestState="x")
    assert said == [{"child": {"id": 1, "method": "tools/list", "params": {}}}]


def test_so_many_calls_are_in_flight_and_no_more() -> None:
    bridge = Bridge()
    for number in range(IN_FLIGHT):
        bridge.says(number, "tools/list")
    assert bridge.calls(5000)[0]["client"]["error"]["code"] == -32603
    assert bridge.counted == {"call_refused": 1}


# Cancellation.


def test_a_cancelled_list_is_cancelled_at_the_child_and_forgotten() -> None:
    bridge = Bridge()
    bridge.says(1, "tools/list")
    assert bridge.cancels(1) == [cancelled(1)]
    assert bridge.child(id=1, result={}) == []
    assert bridge.counted == {"answer_to_nobody": 1}


def test_a_cancelled_call_leaves_its_turn_when_the_child_has_noticed() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    assert bridge.cancels(1) == [
        cancelled(1),
        {"child": {"id": "gateway-0-1", "method": "ping"}},
        {"wake": "turn", "in": 2.0},
    ]
    assert bridge.child_asks(90) == [{"child": {"id": 90, "result": {"action": "cancel"}}}]
    assert bridge.child(id="gateway-0-1", result={}) == [{"wake": "turn", "in": None}, {"child": call_at_child(2)}]
    assert bridge.child(id=1, result=text("late")) == []


def test_a_cancelled_call_leaves_its_turn_with_its_answer() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    bridge.cancels(1)
    assert bridge.child(id=1, error={"code": -32800, "message": "m"})[-1] == {"child": call_at_child(2)}
    assert bridge.child(id="gateway-0-1", result={}) == []


def test_a_cancelled_call_leaves_its_turn_even_if_the_child_never_notices() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    bridge.cancels(1)
    assert bridge.wakes("turn")[-1] == {"child": call_at_child(2)}
    assert bridge.wakes("turn") == []


def test_what_waits_for_its_turn_is_cancelled_without_a_word_to_the_child() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    assert bridge.cancels(2) == []
    assert bridge.child(id=1, result=text("1")) == [complete(1, "1")]


def test_what_is_not_in_flight_cannot_be_cancelled() -> None:
    bridge = Bridge(welcome=None)
    bridge.says(1, "server/discover")
    bridge.child(id=1, result=WELCOME)
    assert bridge.cancels(5) == []
    assert bridge.counted == {"cancelled_nothing": 1}


# Progress.


def progress(token: object) -> dict[str, Any]:
    """The child tells how far it is."""
    return {"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}


def test_progress_belongs_to_the_call_whose_token_it_bears() -> None:
    bridge = Bridge(declares=NOBODY)
    bridge.calls(1, meta={"progressToken": 11})
    bridge.calls(2, meta={"progressToken": "11"})
    assert bridge.child(**progress(11)) == [{"client": progress(11), "about": 1}]
    assert bridge.child(**progress("11")) == [{"client": progress("11"), "about": 2}]


def test_progress_for_nobody_is_dropped() -> None:
    bridge = Bridge()
    bridge.calls(1)
    assert bridge.child(**progress(11)) == []
    assert bridge.child(method="notifications/progress", params={}) == []
    assert bridge.counted == {"progress_for_nobody": 2}


def test_progress_after_a_question_bears_the_token_of_the_second_try() -> None:
    bridge = Bridge()
    bridge.calls(1, meta={"progressToken": 11})
    bridge.child_asks(90)
    bridge.wakes("ask 1")
    assert bridge.child(**progress(11)) == []
    answers = {"elicitation_1": {"action": "decline"}}
    bridge.calls(2, meta={"progressToken": 12}, requestState="handle-1", inputResponses=answers)
    assert bridge.child(**progress(11)) == [{"client": progress(12), "about": 2}]


# Log lines.


def log(level: str) -> dict[str, Any]:
    """The child logs something."""
    return {"method": "notifications/message", "params": {"level": level, "data": "x"}}


def set_level(id_: int, level: str) -> dict[str, Any]:
    """The child's level is set."""
    return {"child": {"id": f"gateway-0-{id_}", "method": "logging/setLevel", "params": {"level": level}}}


def test_the_level_is_set_before_the_first_call_that_wants_lines_and_only_when_it_changes() -> None:
    bridge = Bridge(declares=NOBODY)
    assert bridge.calls(1) == [{"child": call_at_child(1)}]
    assert bridge.calls(2, level="info") == [set_level(1, "info"), {"child": call_at_child(2)}]
    assert bridge.calls(3, level="warning") == [{"child": call_at_child(3)}]
    assert bridge.calls(4, level="debug") == [set_level(2, "debug"), {"child": call_at_child(4)}]
    assert bridge.child(id="gateway-0-1", result={}) == []
    assert bridge.child(id="gateway-0-2", error={"code": 1, "message": "no"}) == []
    assert bridge.counted == {"own_request_refused": 1}


def test_a_child_that_does_not_log_is_not_told_at_which_level() -> None:
    bridge = Bridge(welcome={**WELCOME, "capabilities": {"tools": {}}})
    assert bridge.calls(1, level="info") == [{"child": call_at_child(1)}]


def test_lines_go_to_the_one_call_that_runs_if_it_wants_them() -> None:
    bridge = Bridge()
    bridge.calls(1, level="warning")
    assert bridge.child(**log("warning")) == [{"client": log("warning"), "about": 1}]
    assert bridge.child(**log("emergency")) == [{"client": log("emergency"), "about": 1}]
    assert bridge.child(**log("info")) == []
    assert bridge.child(**log("loud")) == []
    assert bridge.counted == {"log_for_nobody": 2}


@pytest.mark.parametrize("level", ["", "loud"])
def test_a_call_that_names_no_level_gets_no_lines(level: str) -> None:
    bridge = Bridge()
    bridge.calls(1, level=level)
    assert bridge.child(**log("emergency")) == []


def test_lines_that_may_be_of_either_of_two_calls_go_to_neither() -> None:
    bridge = Bridge(declares=NOBODY)
    bridge.calls(1, level="debug")
    bridge.calls(2)
    assert bridge.child(**log("error")) == []
    bridge.child(id=2, result={})
    assert len(bridge.child(**log("error"))) == 1


def test_what_only_legacy_clients_are_told_is_dropped() -> None:
    bridge = Bridge()
    assert bridge.child(method="notifications/elicitation/complete", params={"elicitationId": "e"}) == []
    assert bridge.child(method="notifications/tasks/status") == []
    assert bridge.counted == {"message_for_nobody": 2}


def test_it_says_what_it_is() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    assert repr(bridge.translator) == "<LegacyChild ready: 2 in flight, 1 waiting, 0 parked, 0 listening>"


def test_calls_of_clients_that_cannot_be_asked_wait_for_nobody() -> None:
    bridge = Bridge()
    assert bridge.calls(1, has=EVERYTHING) == [{"child": call_at_child(1)}]
    assert bridge.calls(2, has=NOBODY) == [{"child": call_at_child(2)}]
    assert bridge.calls(3, has=NOBODY) == [{"child": call_at_child(3)}]
