"""Several lanes, one child: playbooks of who hears what."""

import itertools
import json
from typing import Any

import pytest

from gateway.jsonrpc import Message, Notification, Request, Response, notification, request
from gateway.sharing.multiplexer import Handshake, Multiplexer, Step, ToChild, ToLane

FOUNDER, A, B, C = 0, 1, 2, 3
INITIALIZED = notification("notifications/initialized")
WELCOME = b'{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{}}'


class Hub:
    """A multiplexer, and the numbers from which its lanes take their ids."""

    def __init__(self, *lanes: int, ready: bool = True) -> None:
        self.ids = itertools.count(100)
        self.plexer = Multiplexer(self.ids)
        if ready:
            self.plexer.join(FOUNDER)
            self.hear(answered(self.call(FOUNDER, "initialize")))
            self.tell(FOUNDER, "notifications/initialized")
            self.plexer.leave(FOUNDER)
        for lane in lanes:
            self.plexer.join(lane)

    def ask(self, lane: int, method: str = "tools/call", params: object = None) -> tuple[int, list[Step]]:
        id_ = next(self.ids)
        return id_, self.plexer.from_lane(lane, request(id_, method, params))

    def call(self, lane: int, method: str = "tools/call", params: object = None) -> int:
        """Ask what reaches the child."""
        id_, steps = self.ask(lane, method, params)
        assert [type(step) for step in steps] == [ToChild]
        return id_

    def tell(self, lane: int, method: str, params: object = None) -> list[Step]:
        return self.plexer.from_lane(lane, notification(method, params))

    def hear(self, message: Message, about: int | None = None) -> list[tuple[int, Message]]:
        """What the lanes hear of what the child says."""
        steps = self.plexer.from_child(message, about)
        assert all(isinstance(step, ToLane) for step in steps), steps
        return [(step.lane, step.message) for step in steps if isinstance(step, ToLane)]

    def lanes(self, method: str, params: object = None, about: int | None = None) -> list[int]:
        """Who hears of it."""
        return [lane for lane, _ in self.hear(notification(method, params), about)]

    def answers(self, call: int) -> list[int]:
        """Who hears the answer to it."""
        return [lane for lane, _ in self.hear(Response(b"%d" % call, b"{}", b""))]


def answered(id_: int, result: bytes = WELCOME) -> Response:
    return Response(b"%d" % id_, result, b"")


def params(message: Message) -> Any:
    assert not isinstance(message, Response)
    return json.loads(message.params)


def declined(steps: list[Step]) -> list[bytes]:
    """The ids of the questions that these steps decline."""
    return [
        step.message.id
        for step in steps
        if isinstance(step, ToChild) and isinstance(step.message, Response) and step.message.error
    ]


# The handshake.


def test_all_that_say_initialize_while_the_child_is_asked_hear_its_one_answer() -> None:
    hub = Hub(A, B, C, ready=False)
    first = hub.call(A, "initialize", {"first": True})
    second, steps = hub.ask(B, "initialize")
    assert (steps, hub.plexer.handshake) == ([], Handshake.ASKED)
    assert hub.hear(answered(first)) == [(A, answered(first)), (B, answered(second))]
    third, steps = hub.ask(C, "initialize")
    assert steps == [ToLane(C, answered(third))]


def test_the_child_hears_once_that_it_is_initialized() -> None:
    hub = Hub(A, B, ready=False)
    hub.hear(answered(hub.call(A, "initialize")))
    assert hub.tell(B, "notifications/initialized") == [ToChild(INITIALIZED)]
    assert hub.tell(A, "notifications/initialized") == []


def test_who_leaves_before_the_child_has_answered_leaves_the_answer_to_the_others() -> None:
    hub = Hub(A, B, ready=False)
    first = hub.call(A, "initialize")
    second, _ = hub.ask(B, "initialize")
    assert hub.plexer.leave(A) == []  # `initialize` may not be cancelled
    assert hub.hear(answered(first)) == [(B, answered(second))]
    assert hub.plexer.handshake is Handshake.DONE


def test_a_refusal_reaches_all_that_wait_and_the_next_one_asks_again() -> None:
    hub = Hub(A, B, ready=False)
    first = hub.call(A, "initialize")
    second, _ = hub.ask(B, "initialize")
    no = Response(b"%d" % first, b"", b'{"code":1,"message":"no"}')
    assert hub.hear(no) == [(A, no), (B, Response(b"%d" % second, b"", no.error))]
    assert hub.plexer.handshake is Handshake.REFUSED
    hub.call(A, "initialize")


# Calls.


def test_answers_go_to_who_asked() -> None:
    hub = Hub(A, B)
    of_a, of_b = hub.call(A), hub.call(B)
    assert hub.answers(of_b) == [B]
    assert hub.answers(of_a) == [A]
    assert hub.answers(of_a) == []
    assert hub.plexer.counters == {"answer_to_nobody": 1}


@pytest.mark.parametrize("id_", [b'"100"', b"1.5", b"-100", b"9" * 30, b'"x"'])
def test_answers_to_ids_that_nobody_gave_out_are_dropped(id_: bytes) -> None:
    hub = Hub(A)
    hub.call(A)
    assert hub.hear(Response(id_, b"{}", b"")) == []


def test_two_lanes_may_use_the_same_progress_token() -> None:
    hub = Hub(A, B)
    asked = {"name": "x", "_meta": {"progressToken": "t", "other": 1}}
    calls = {}
    for lane in (A, B):
        id_, [step] = hub.ask(lane, "tools/call", asked)
        assert params(step.message) == {"name": "x", "_meta": {"progressToken": id_, "other": 1}}
        calls[lane] = id_
    for lane, id_ in calls.items():
        [(heard, message)] = hub.hear(notification("notifications/progress", {"progressToken": id_, "progress": 1}))
        assert (heard, params(message)) == (lane, {"progressToken": "t", "progress": 1})
    hub.answers(calls[A])
    assert hub.lanes("notifications/progress", {"progressToken": calls[A], "progress": 2}) == []


def test_progress_for_a_call_that_wants_none_is_dropped() -> None:
    hub = Hub(A, B)
    id_ = hub.call(A)
    assert hub.lanes("notifications/progress", {"progressToken": id_}) == []
    assert hub.lanes("notifications/progress", {"progressToken": "t"}) == []
    assert hub.plexer.counters == {"progress_for_nobody": 2}


def test_a_lane_cancels_its_own_calls_alone() -> None:
    hub = Hub(A)
    id_ = hub.call(A)
    hub.plexer.join(B)
    assert hub.tell(B, "notifications/cancelled", {"requestId": id_}) == []
    cancelled, ping = hub.tell(A, "notifications/cancelled", {"requestId": id_})
    assert cancelled == ToChild(notification("notifications/cancelled", {"requestId": id_}))
    assert isinstance(ping.message, Request)
    assert ping.message.method == "ping"
    assert hub.answers(id_) == []
    assert hub.tell(A, "notifications/cancelled", {"requestId": id_}) == []


def test_a_lane_that_leaves_takes_its_calls_with_it_and_no_others() -> None:
    hub = Hub(A, B)
    of_a, of_b = hub.call(A), hub.call(B)
    cancelled, ping = hub.plexer.leave(A)
    assert params(cancelled.message)["requestId"] == of_a
    assert isinstance(ping.message, Request)
    assert hub.answers(of_a) == []
    assert hub.hear(Response(ping.message.id, b"{}", b"")) == []
    assert hub.answers(of_b) == [B]


def test_the_child_that_pings_is_answered() -> None:
    assert Hub(A).plexer.from_child(Request(b"7", "ping", b"")) == [ToChild(Response(b"7", b"{}", b""))]


# Questions.

QUESTION = Request(b'"q"', "elicitation/create", b"{}")
YES = Response(b'"q"', b"{}", b"")


def test_a_question_goes_to_the_lane_whose_call_is_in_flight_and_only_its_answer_counts() -> None:
    hub = Hub(A, B)
    hub.call(B)
    assert hub.hear(QUESTION) == [(B, QUESTION)]
    assert hub.plexer.from_lane(A, YES) == []
    assert hub.plexer.from_lane(B, YES) == [ToChild(YES)]
    assert hub.plexer.from_lane(B, YES) == []
    assert hub.plexer.counters == {"answer_to_no_question": 2}


def test_the_only_lane_may_be_asked_at_any_time() -> None:
    assert Hub(A).hear(QUESTION) == [(A, QUESTION)]


def test_where_it_is_not_known_whose_question_it_is_nobody_is_asked() -> None:
    hub = Hub(A, B)
    assert declined(hub.plexer.from_child(QUESTION)) == [b'"q"']
    hub.call(A)
    hub.call(B)
    assert declined(hub.plexer.from_child(QUESTION)) == [b'"q"']
    assert declined(Hub().plexer.from_child(QUESTION)) == [b'"q"']


def test_who_knows_whose_question_it_is_may_say_so() -> None:
    hub = Hub(A, B)
    hub.call(A)
    of_b = hub.call(B)
    assert hub.hear(QUESTION, about=of_b) == [(B, QUESTION)]


def test_what_a_cancelled_call_asked_before_the_child_knew_goes_to_nobody_else() -> None:
    hub = Hub(A, B)
    hub.call(A)
    ping = hub.plexer.leave(A)[-1].message
    assert isinstance(ping, Request)
    assert declined(hub.plexer.from_child(QUESTION)) == [b'"q"']
    hub.call(B)
    assert declined(hub.plexer.from_child(QUESTION)) == [b'"q"']
    hub.hear(Response(ping.id, b"", b'{"code":-32601,"message":"what?"}'))  # however it takes that
    assert hub.hear(QUESTION) == [(B, QUESTION)]


def test_a_second_question_under_the_same_id_is_declined() -> None:
    hub = Hub(A)
    hub.hear(QUESTION)
    assert declined(hub.plexer.from_child(QUESTION)) == [b'"q"']
    assert hub.plexer.from_lane(A, YES) == [ToChild(YES)]


def test_a_lane_that_leaves_has_its_questions_declined() -> None:
    hub = Hub(A)
    hub.hear(QUESTION)
    assert declined(hub.plexer.leave(A)) == [b'"q"']
    assert hub.plexer.from_lane(A, YES) == []


def test_a_question_is_withdrawn_where_it_was_asked() -> None:
    hub = Hub(A, B)
    hub.call(B)
    hub.hear(QUESTION)
    assert hub.lanes("notifications/cancelled", {"requestId": "q"}) == [B]
    assert hub.lanes("notifications/cancelled", {"requestId": "q"}) == []
    assert hub.plexer.from_lane(B, YES) == []


# News.


def test_a_log_line_goes_to_those_who_are_calling_else_to_all() -> None:
    hub = Hub(A, B, C)
    log = "notifications/message"
    assert hub.lanes(log) == [A, B, C]
    of_a = hub.call(A)
    assert hub.lanes(log) == [A]
    hub.call(B)
    assert hub.lanes(log) == [A, B]
    assert hub.lanes(log, about=of_a) == [A]


@pytest.mark.parametrize("what", ["tools", "prompts", "resources"])
def test_news_of_the_whole_server_go_to_all(what: str) -> None:
    hub = Hub(A, B)
    hub.call(A)
    assert hub.lanes(f"notifications/{what}/list_changed") == [A, B]


# Resources.

UPDATED = "notifications/resources/updated"


def subscribed(hub: Hub, lane: int, uri: str) -> None:
    id_, steps = hub.ask(lane, "resources/subscribe", {"uri": uri})
    if isinstance(steps[0], ToChild):
        assert hub.answers(id_) == [lane]
    else:
        assert steps == [ToLane(lane, Response(b"%d" % id_, b"{}", b""))]


def test_news_of_a_resource_go_to_its_subscribers() -> None:
    hub = Hub(A, B, C)
    subscribed(hub, A, "file:///a")
    subscribed(hub, B, "file:///b")
    subscribed(hub, C, "file:///a")
    assert hub.lanes(UPDATED, {"uri": "file:///a"}) == [A, C]
    assert hub.lanes(UPDATED, {"uri": "file:///b"}) == [B]
    assert hub.lanes(UPDATED, {"uri": "file:///a/part"}) == [A, C]
    assert hub.lanes(UPDATED, {"uri": "file:///c"}) == []


def test_the_child_hears_of_the_first_subscriber_and_of_the_last_ones_going() -> None:
    hub = Hub(A, B)
    subscribed(hub, A, "x")
    id_, steps = hub.ask(B, "resources/subscribe", {"uri": "x"})
    assert steps == [ToLane(B, Response(b"%d" % id_, b"{}", b""))]
    id_, steps = hub.ask(A, "resources/unsubscribe", {"uri": "x"})
    assert steps == [ToLane(A, Response(b"%d" % id_, b"{}", b""))]
    [unsubscribe] = hub.plexer.leave(B)
    assert isinstance(unsubscribe.message, Request)
    assert (unsubscribe.message.method, params(unsubscribe.message)) == ("resources/unsubscribe", {"uri": "x"})
    assert hub.hear(Response(unsubscribe.message.id, b"{}", b"")) == []


def test_a_subscription_that_the_child_refuses_is_none() -> None:
    hub = Hub(A)
    id_ = hub.call(A, "resources/subscribe", {"uri": "x"})
    assert hub.hear(Response(b"%d" % id_, b"", b"{}")) != []
    assert hub.lanes(UPDATED, {"uri": "x"}) == []


def test_after_a_restart_it_is_not_known_who_had_subscribed_so_all_hear_of_it() -> None:
    plexer = Multiplexer(itertools.count(), welcome=WELCOME, initialized=True)
    plexer.join(A)
    plexer.join(B)
    told = plexer.from_child(notification(UPDATED, {"uri": "x"}))
    assert [step.lane for step in told if isinstance(step, ToLane)] == [A, B]


def test_what_else_a_client_tells_passes() -> None:
    changed = Notification("notifications/roots/list_changed", b"")
    assert Hub(A, B).plexer.from_lane(B, changed) == [ToChild(changed)]
    Hub(A, B).call(A, "logging/setLevel", {"level": "error"})
