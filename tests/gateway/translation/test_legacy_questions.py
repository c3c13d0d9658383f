"""Questions of a legacy child, put to a modern client as the answer to its request; and clients that come back."""

from typing import Any

import msgspec
import pytest

from gateway.jsonrpc import Request
from gateway.translation.legacy_child.call import new_call
from gateway.translation.legacy_child.calls import KEPT_BYTES, PARKED_FOR, QUESTIONS
from gateway.translation.legacy_child.envelope import read
from gateway.translation.legacy_child.parking import PARKED, Parking, random_handle
from gateway.translation.legacy_child.turn import WAITING
from tests.gateway.translation.playbook import (
    NOBODY,
    Bridge,
    Steps,
    accepted,
    call_at_child,
    complete,
    text,
)

ASKED = {"wake": "ask 1", "in": 0.02}
CANCELLED = {
    "child": {
        "method": "notifications/cancelled",
        "params": {"requestId": 1, "reason": "nobody waits for the answer"},
    }
}


def input_required(id_: int, state: str, **requests: Any) -> dict[str, Any]:
    """What a client gets that is asked something."""
    result = {"resultType": "input_required", "inputRequests": requests, "requestState": state}
    return {"client": {"id": id_, "result": result}}


def elicitation(question: int | str) -> dict[str, Any]:
    """A question, as `Bridge.child_asks` asks it."""
    return {"method": "elicitation/create", "params": {"message": f"{question}?"}}


def to_child(id_: int | str, **result: Any) -> dict[str, Any]:
    """The child gets an answer."""
    return {"child": {"id": id_, "result": result}}


def reason(steps: Steps) -> str:
    """Why a requestState is refused."""
    [step] = steps
    error = step["client"]["error"]
    assert (error["code"], error["message"]) == (-32602, "Invalid or expired requestState")
    said: str = error["data"]["reason"]
    return said


def test_a_question_ends_the_request_and_the_second_try_brings_the_answer() -> None:
    bridge = Bridge()
    bridge.calls(1)
    assert bridge.child_asks(90) == [ASKED]
    assert bridge.wakes("ask 1") == [
        input_required(1, "handle-1", elicitation_1=elicitation(90)),
        {"wake": "parked 1", "in": PARKED_FOR},
        {"hold": True},
    ]
    assert bridge.calls(2, requestState="handle-1", inputResponses={"elicitation_1": accepted(name="Ann")}) == [
        {"wake": "parked 1", "in": None},
        to_child(90, action="accept", content={"name": "Ann"}),
        {"hold": False},
    ]
    assert bridge.child(id=1, result=text("Hello Ann")) == [complete(2, "Hello Ann")]


def test_questions_of_one_moment_are_put_together() -> None:
    bridge = Bridge()
    bridge.calls(1)
    assert bridge.child_asks("a", mode="url", url="https://x", message="m", elicitationId="e") == [ASKED]
    assert bridge.child_asks("b", "sampling/createMessage", messages=[], task={}, _meta={"progressToken": 1}) == []
    assert bridge.child(id=1, method="roots/list") == []
    assert bridge.wakes("ask 1")[0] == input_required(
        1,
        "handle-1",
        elicitation_1={"method": "elicitation/create", "params": {"mode": "url", "url": "https://x", "message": "m"}},
        sampling_2={"method": "sampling/createMessage", "params": {"messages": []}},
        roots_3={"method": "roots/list"},
    )
    sampled = {"role": "assistant", "model": "m", "content": {"type": "text", "text": "t"}}
    answers = {
        "roots_3": {"roots": []},
        "sampling_2": {**sampled, "resultType": "complete"},
        "elicitation_1": {"action": "accept"},
        "extra": {"action": "cancel"},
    }
    assert bridge.calls(2, requestState="handle-1", inputResponses=answers)[1:-1] == [
        to_child("a", action="accept"),
        to_child("b", **sampled),
        to_child(1, roots=[]),
    ]


def test_a_call_asks_as_often_as_it_likes() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    for round_ in range(2, 6):
        answers = {f"elicitation_{round_ - 1}": accepted(round=round_)}
        bridge.calls(round_, requestState=state, inputResponses=answers)
        assert bridge.child_asks(88 + round_) == [ASKED]
        [asked, *_] = bridge.wakes("ask 1")
        assert asked == input_required(
            round_, f"handle-{round_}", **{f"elicitation_{round_}": elicitation(88 + round_)}
        )
        state = f"handle-{round_}"
    bridge.calls(9, requestState=state, inputResponses={"elicitation_5": accepted()})
    assert bridge.child(id=1, result=text("enough")) == [complete(9, "enough")]


@pytest.mark.parametrize("method", ["prompts/get", "resources/read"])
def test_prompts_and_resources_may_ask_too(method: str) -> None:
    bridge = Bridge()
    bridge.says(1, method, name="n", uri="u")
    bridge.child_asks(90)
    assert bridge.wakes("ask 1")[0]["client"]["result"]["requestState"] == "handle-1"
    bridge.says(2, method, name="n", uri="u", requestState="handle-1", inputResponses={"elicitation_1": accepted()})
    assert bridge.child(id=1, result={})[0]["client"]["id"] == 2


def test_a_question_without_an_answer_is_put_again_and_the_child_gets_all_answers_at_last() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90)
    bridge.child_asks(91)
    bridge.wakes("ask 1")
    assert bridge.calls(2, requestState="handle-1", inputResponses={"elicitation_2": accepted(b=2)}) == [
        {"wake": "parked 1", "in": None},
        input_required(2, "handle-2", elicitation_1=elicitation(90)),
        {"wake": "parked 1", "in": PARKED_FOR},
    ]
    assert bridge.calls(3, requestState="handle-2", inputResponses={"elicitation_1": accepted(a=1)})[1:-1] == [
        to_child(90, action="accept", content={"a": 1}),
        to_child(91, action="accept", content={"b": 2}),
    ]


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("elicitation/create", 5),
        ("elicitation/create", None),
        ("elicitation/create", {}),
        ("elicitation/create", {"action": "maybe"}),
        ("elicitation/create", {"action": {}}),
        ("sampling/createMessage", {"role": "assistant"}),
        ("roots/list", {"roots": "none"}),
        ("roots/list", []),
    ],
)
def test_an_answer_to_another_question_is_none(method: str, answer: Any) -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90, method)
    [asked, *_] = bridge.wakes("ask 1")
    [key] = asked["client"]["result"]["inputRequests"]
    again = bridge.calls(2, requestState="handle-1", inputResponses={key: answer})[1]
    assert again["client"]["result"]["requestState"] == "handle-2"


# States that are no good.


def test_a_made_up_state_is_unknown() -> None:
    bridge = Bridge()
    bridge.parks(1)
    assert reason(bridge.calls(2, requestState="made up", inputResponses={})) == "unknown"
    assert reason(bridge.calls(3, requestState="", inputResponses={})) == "unknown"
    assert bridge.counted == {"state_unknown": 2}


def test_a_state_is_good_once() -> None:
    bridge = Bridge()
    answers = {"elicitation_1": accepted()}
    state = bridge.parks(1)
    bridge.calls(2, requestState=state, inputResponses=answers)
    assert reason(bridge.calls(3, requestState=state, inputResponses=answers)) == "used"
    assert bridge.child(id=1, result=text("2")) == [complete(2, "2")]
    assert reason(bridge.calls(4, requestState=state, inputResponses=answers)) == "used"


@pytest.mark.parametrize("other", [{"name": "u"}, {"arguments": {"a": 2}}, {"arguments": {}}, {"arguments": None}])
def test_a_state_is_good_for_the_request_for_which_it_was_given(other: dict[str, Any]) -> None:
    bridge = Bridge()
    answers = {"elicitation_1": accepted()}
    state = bridge.parks(1)
    assert reason(bridge.calls(2, **{"requestState": state, "inputResponses": answers, **other})) == "mismatch"
    prompt = bridge.says(3, "prompts/get", name="t", arguments={"a": 1}, requestState=state, inputResponses=answers)
    assert reason(prompt) == "mismatch"
    assert len(bridge.calls(4, requestState=state, inputResponses=answers)) == 3


def test_a_parked_call_keeps_nothing_of_what_the_child_was_sent() -> None:
    large = {"name": "t", "arguments": {"a": "x" * 100_000}}
    call = new_call(read(Request(b"1", "tools/call", msgspec.json.encode(large))))
    Parking().put(call)
    assert len(repr(call.asked)) < 1_000


def test_a_call_that_is_parked_again_is_still_the_same_request() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})
    bridge.child_asks(91)
    state = bridge.wakes("ask 1")[0]["client"]["result"]["requestState"]
    again = {"requestState": state, "inputResponses": {"elicitation_2": accepted()}}
    assert reason(bridge.calls(3, arguments={"a": "y"}, **again)) == "mismatch"
    assert to_child(91, **accepted()) in bridge.calls(4, **again)


def test_the_order_of_arguments_does_not_matter() -> None:
    bridge = Bridge()
    bridge.calls(1, arguments={"a": 1, "b": {"c": 2, "d": 3}})
    bridge.child_asks(90)
    bridge.wakes("ask 1")
    answers = {"elicitation_1": accepted()}
    again = bridge.calls(2, arguments={"b": {"d": 3, "c": 2}, "a": 1}, requestState="handle-1", inputResponses=answers)
    assert again[1] == to_child(90, action="accept", content={})


def test_the_states_of_two_calls_cannot_be_crossed() -> None:
    bridge = Bridge()
    one = bridge.parks(1, 90)
    bridge.calls(2, "u")
    bridge.child_asks(91)
    bridge.wakes("ask 2")
    assert reason(bridge.calls(3, "u", requestState=one, inputResponses={"elicitation_2": accepted()})) == "mismatch"


def test_nobody_guesses_a_state() -> None:
    handles = {random_handle() for _ in range(100)}
    assert len(handles) == 100
    assert {len(handle) for handle in handles} == {32}


def test_a_client_that_does_not_come_back_costs_its_call() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    assert bridge.wakes("parked 1") == [
        CANCELLED,
        to_child(90, action="cancel"),
        {"child": {"id": "gateway-0-1", "method": "ping"}},
        {"wake": "turn", "in": 2.0},
        {"hold": False},
    ]
    assert reason(bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})) == "expired"
    assert bridge.child(id=1, result=text("late"))[0] == {"wake": "turn", "in": None}


def test_what_is_no_form_is_answered_with_an_error_when_its_client_does_not_come_back() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90, "sampling/createMessage")
    bridge.wakes("ask 1")
    assert bridge.wakes("parked 1")[1]["child"]["error"]["code"] == -32603


def test_a_parked_call_that_is_given_up_while_another_has_the_turn_leaves_in_its_own() -> None:
    bridge = Bridge()
    bridge.parks(1)
    bridge.calls(2)
    bridge.calls(3)
    assert bridge.wakes("parked 1") == [CANCELLED, {"hold": False}]
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2"), {"child": call_at_child(3)}]
    ping = {"id": "gateway-0-1", "method": "ping"}
    assert bridge.child(id=3, result=text("3")) == [
        complete(3, "3"),
        to_child(90, action="cancel"),
        {"child": ping},
        {"wake": "turn", "in": 2.0},
    ]
    assert bridge.calls(4) == []
    assert bridge.child_asks(91) == [to_child(91, action="cancel")]  # whatever it asks now is still of the first
    assert bridge.child(id="gateway-0-1", result={}) == [{"wake": "turn", "in": None}, {"child": call_at_child(4)}]


def test_a_client_that_hangs_up_while_its_answers_wait_for_a_turn_leaves_nothing_to_whose_turn_it_is() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.calls(2)
    assert bridge.calls(3, requestState=state, inputResponses={"elicitation_1": accepted()})[-1] == {"hold": False}
    assert bridge.cancels(3) == [CANCELLED]
    assert bridge.child(id=2, result=text("2"))[:2] == [complete(2, "2"), to_child(90, action="cancel")]


def test_a_call_that_is_answered_while_it_waits_to_leave_has_left() -> None:
    bridge = Bridge()
    bridge.parks(1)
    bridge.calls(2)
    bridge.wakes("parked 1")
    assert bridge.child(id=1, result=text("stopped")) == [to_child(90, action="cancel")]
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2")]
    assert bridge.calls(3) == [{"child": call_at_child(3)}]


def test_a_time_that_is_over_means_nothing_when_the_client_was_there() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})
    assert bridge.wakes("parked 1") == []
    assert bridge.wakes("ask 2") == []


# Turns.


def test_a_parked_call_leaves_its_turn_to_the_next() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.calls(2)
    bridge.child_asks(90)
    assert bridge.wakes("ask 1")[2:] == [{"child": call_at_child(2)}, {"hold": True}]
    back = bridge.calls(3, requestState="handle-1", inputResponses={"elicitation_1": accepted()})
    assert back == [{"wake": "parked 1", "in": None}, {"hold": False}]
    assert bridge.child(id=2, result=text("2")) == [
        complete(2, "2"),
        to_child(90, action="accept", content={}),
    ]
    assert bridge.child(id=1, result=text("1")) == [complete(3, "1")]


def test_what_runs_beside_it_but_cannot_be_asked_has_not_asked() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.says(2, "tools/list")
    bridge.calls(3, has=NOBODY)
    bridge.child_asks(90)
    assert bridge.wakes("ask 1")[0]["client"]["id"] == 1


def test_a_late_question_of_the_only_parked_call_is_put_when_its_client_comes_back() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    assert bridge.child_asks(91) == []
    back = bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})
    assert back[1] == input_required(2, "handle-2", elicitation_2=elicitation(91))


def test_a_late_question_that_may_be_of_either_of_two_parked_calls_is_of_neither() -> None:
    bridge = Bridge()
    bridge.parks(1, 90)
    bridge.parks(2, 91)
    assert bridge.child_asks(92) == [to_child(92, action="cancel")]
    assert bridge.counted == {"asked_by_nobody": 1}


def test_so_many_calls_wait_for_their_turn_and_no_more() -> None:
    bridge = Bridge()
    for number in range(WAITING + 1):
        bridge.calls(number)
    assert bridge.calls(5000)[0]["client"]["error"]["code"] == -32603
    assert bridge.counted == {"call_refused": 1}


def test_so_many_calls_are_parked_and_no_more() -> None:
    bridge = Bridge()
    for number in range(PARKED):
        bridge.parks(number, f"q{number}")
    bridge.calls(500)
    bridge.child_asks(90)
    assert bridge.wakes("ask 500") == [to_child(90, action="cancel")]
    assert bridge.child(id=500, result=text("without")) == [complete(500, "without")]
    assert bridge.counted == {"parking_refused": 1}


def test_so_many_questions_are_put_and_no_more() -> None:
    bridge = Bridge()
    bridge.calls(1)
    for number in range(QUESTIONS):
        bridge.child_asks(number)
    assert bridge.child_asks("x") == [to_child("x", action="cancel")]
    assert bridge.counted == {"question_refused": 1}


# Children that change their mind, and clients that do.


def test_a_question_asked_twice_is_asked_once() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90)
    assert bridge.child_asks(90, "roots/list") == []
    assert len(bridge.wakes("ask 1")[0]["client"]["result"]["inputRequests"]) == 1
    assert bridge.counted == {"asked_twice": 1}


def test_a_question_that_is_withdrawn_in_time_is_not_put() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90)
    withdrawn = bridge.child(method="notifications/cancelled", params={"requestId": 90})
    assert withdrawn == [{"wake": "ask 1", "in": None}]
    assert bridge.child(id=1, result=text("1")) == [complete(1, "1")]


def test_a_question_that_is_withdrawn_later_needs_no_answer() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    assert bridge.child(method="notifications/cancelled", params={"requestId": 90}) == []
    assert bridge.calls(2, requestState=state) == [{"wake": "parked 1", "in": None}, {"hold": False}]
    assert bridge.child(id=1, result=text("1")) == [complete(2, "1")]


def test_what_was_not_asked_cannot_be_withdrawn() -> None:
    bridge = Bridge()
    assert bridge.child(method="notifications/cancelled", params={"requestId": 90}) == []
    assert bridge.counted == {"withdrew_nothing": 1}


def test_a_call_that_is_answered_before_its_questions_are_put_leaves_them_unanswered() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90)
    assert bridge.child(id=1, result=text("1")) == [
        complete(1, "1"),
        {"wake": "ask 1", "in": None},
        to_child(90, action="cancel"),
    ]


def test_a_call_that_is_answered_while_it_is_parked_answers_the_client_that_comes_back() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    assert bridge.child(id=1, result=text("without you")) == [to_child(90, action="cancel")]
    assert bridge.child(id=1, result=text("again")) == []
    assert bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()}) == [
        {"wake": "parked 1", "in": None},
        complete(2, "without you"),
        {"hold": False},
    ]


def test_an_answer_that_nobody_fetches_is_forgotten() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.child(id=1, result=text("without you"))
    assert bridge.wakes("parked 1") == [{"hold": False}]
    assert reason(bridge.calls(2, requestState=state)) == "expired"


def test_a_large_answer_is_not_kept_for_a_client_that_is_away() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.child(id=1, result=text("x" * KEPT_BYTES))
    assert bridge.calls(2, requestState=state)[1]["client"]["error"]["code"] == -32603
    assert bridge.counted == {"answer_too_large_to_keep": 1}


def test_a_call_that_is_answered_while_its_client_waits_for_its_turn_is_answered() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.calls(2)
    bridge.calls(3, requestState=state, inputResponses={"elicitation_1": accepted()})
    assert bridge.child(id=1, result=text("1"))[0] == complete(3, "1")
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2")]


def test_a_client_that_hangs_up_before_it_is_asked_leaves_the_child_unanswered() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child_asks(90)
    assert bridge.cancels(1)[:3] == [CANCELLED, {"wake": "ask 1", "in": None}, to_child(90, action="cancel")]


def test_a_client_that_hangs_up_after_its_answers_cancels_the_call() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})
    assert bridge.cancels(2)[0] == CANCELLED


def test_a_parked_call_does_not_mind_that_its_first_request_is_cancelled() -> None:
    bridge = Bridge()
    state = bridge.parks(1)
    bridge.cancels(1)
    assert len(bridge.calls(2, requestState=state, inputResponses={"elicitation_1": accepted()})) == 3


# What a client has not declared.


@pytest.mark.parametrize(
    ("has", "method", "params", "required"),
    [
        (NOBODY, "elicitation/create", {}, {"elicitation": {"form": {}}}),
        (NOBODY, "sampling/createMessage", {}, {"sampling": {}}),
        ({"elicitation": {}}, "roots/list", {}, {"roots": {}}),
        ({"elicitation": {}}, "elicitation/create", {"mode": "url"}, {"elicitation": {"url": {}}}),
        ({"elicitation": {"url": {}}}, "elicitation/create", {"message": "m"}, {"elicitation": {"form": {}}}),
        ({"sampling": {}}, "sampling/createMessage", {"tools": []}, {"sampling": {"tools": {}}}),
        ({"roots": 5}, "roots/list", {}, {"roots": {}}),
    ],
)
def test_a_client_that_cannot_be_asked_learns_what_it_lacks(
    has: dict[str, Any], method: str, params: dict[str, Any], required: dict[str, Any]
) -> None:
    bridge = Bridge()
    bridge.calls(1, has=has)
    refused, answer, cancel, *_ = bridge.child_asks(90, method, **params)
    assert refused["child"]["id"] == 90
    assert refused["child"]["error"]["code"] == -32601
    assert answer["client"]["id"] == 1
    assert answer["client"]["error"]["code"] == -32021
    assert answer["client"]["error"]["data"] == {"requiredCapabilities": required}
    assert cancel == CANCELLED
    assert bridge.counted == {"asked_undeclared": 1}


def test_a_question_that_may_be_of_another_call_ends_neither() -> None:
    bridge = Bridge()
    bridge.calls(1, has={"roots": {}})
    bridge.calls(2, has=NOBODY)
    [step] = bridge.child_asks(90)
    assert step["child"]["error"]["code"] == -32601
    assert bridge.child(id=1, result=text("1")) == [complete(1, "1")]


def test_a_question_while_several_run_that_cannot_be_asked_ends_none() -> None:
    bridge = Bridge()
    bridge.calls(1, has=NOBODY)
    bridge.calls(2, has=NOBODY)
    assert bridge.child_asks(90) == [to_child(90, action="cancel")]
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2")]


def test_a_form_is_what_a_client_means_that_just_elicits() -> None:
    bridge = Bridge()
    bridge.calls(1, has={"elicitation": {}})
    assert bridge.child_asks(90) == [ASKED]


def test_questions_outside_any_call_have_an_answer() -> None:
    bridge = Bridge()
    assert bridge.child(id=1, method="roots/list") == [to_child(1, roots=[])]
    assert bridge.child_asks(2) == [to_child(2, action="cancel")]
    assert bridge.child_asks(3, "sampling/createMessage")[0]["child"]["error"]["code"] == -32603
    quiet = Bridge(declares=NOBODY)
    assert quiet.child(id=1, method="roots/list")[0]["child"]["error"]["code"] == -32601


# Places that a client has to visit first.


def elsewhere(*urls: str, **more: Any) -> dict[str, Any]:
    """The error of a child that wants its client to go elsewhere first."""
    elicitations = [{"mode": "url", "url": url, "message": "m", "elicitationId": url, **more} for url in urls]
    return {"code": -32042, "message": "first", "data": {"elicitations": elicitations}}


def test_a_client_that_has_to_go_elsewhere_first_is_asked_to_and_its_second_try_is_the_call_again() -> None:
    bridge = Bridge()
    bridge.calls(1)
    visit = {"method": "elicitation/create", "params": {"mode": "url", "url": "https://x", "message": "m"}}
    assert bridge.child(id=1, error=elsewhere("https://x")) == [
        input_required(1, "handle-1", elicitation_1=visit),
        {"wake": "parked 1", "in": PARKED_FOR},
        {"hold": True},
    ]
    assert bridge.child(id=1, result=text("late")) == []
    assert bridge.calls(2, requestState="handle-1", inputResponses={"elicitation_1": accepted()}) == [
        {"wake": "parked 1", "in": None},
        {"child": call_at_child(2)},
        {"hold": False},
    ]
    assert bridge.child(id=2, result=text("2")) == [complete(2, "2")]
    assert reason(bridge.calls(3, requestState="handle-1")) == "used"


def test_a_client_that_was_not_there_is_asked_again() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child(id=1, error=elsewhere("https://x"))
    again = bridge.calls(2, requestState="handle-1")
    assert again[1]["client"]["result"]["requestState"] == "handle-2"


def test_a_client_that_never_was_there_costs_nothing() -> None:
    bridge = Bridge()
    bridge.calls(1)
    bridge.child(id=1, error=elsewhere("https://x"))
    assert bridge.wakes("parked 1") == [{"hold": False}]


def test_a_client_that_visits_nothing_learns_what_it_lacks() -> None:
    bridge = Bridge()
    bridge.calls(1, has={"elicitation": {"form": {}}})
    bridge.calls(2)
    answer, following = bridge.child(id=1, error=elsewhere("https://x"))
    assert answer["client"]["error"]["data"] == {"requiredCapabilities": {"elicitation": {"url": {}}}}
    assert following == {"child": call_at_child(2)}


@pytest.mark.parametrize("data", [None, {}, {"elicitations": []}, {"elicitations": 5}, {"elicitations": [{"url": 5}]}])
def test_an_error_that_does_not_say_where_to_go_is_an_error(data: Any) -> None:
    bridge = Bridge()
    bridge.calls(1)
    [step] = bridge.child(id=1, error={"code": -32042, "message": "first", "data": data})
    assert step["client"]["error"] == {"code": -32603, "message": "first"}


def test_a_place_to_go_is_never_a_form() -> None:
    bridge = Bridge()
    bridge.calls(1)
    asked = bridge.child(id=1, error=elsewhere("https://x", mode="form"))[0]["client"]["result"]["inputRequests"]
    assert asked["elicitation_1"]["params"]["mode"] == "url"


def test_a_parking_that_is_full_has_no_room_for_who_has_to_go_elsewhere() -> None:
    bridge = Bridge()
    for number in range(PARKED):
        bridge.parks(number, f"q{number}")
    bridge.calls(500)
    assert bridge.child(id=500, error=elsewhere("https://x"))[0]["client"]["error"]["code"] == -32603
