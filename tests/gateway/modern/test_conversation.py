"""Playbooks of conversations with clients of 2026-07-28: who says what, and which effects follow.

`POST` and `ANOTHER` are streams; the child knows calls by the gateway's numbers, from 1 on.
"""

from typing import Any

import msgspec
import pytest

from common.reasons import Reason
from gateway.conversation import EPOCH_BITS
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import GatewayError
from gateway.jsonrpc import Notification, Request, Response, decode
from gateway.modern.conversation import ModernConversation

POST, ANOTHER = 1, 2
SUBSCRIPTION = "io.modelcontextprotocol/subscriptionId"
LEVEL = "io.modelcontextprotocol/logLevel"
DEATH = GatewayError(Reason.CHILD_EXITED, "it ended")
LATE = GatewayError(Reason.REQUEST_TIMEOUT, "too slow")


def line(**members: object) -> bytes:
    """A JSON-RPC message with these members, in this order."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


class Talk:
    """A conversation that is open, unless it is a `new` one, as its parties see it."""

    def __init__(self, *, new: bool = False, epoch: int = 0) -> None:
        self.state = ModernConversation(epoch=epoch, initialized=not new)

    def ask(self, method: str, on: int = POST, id: object = 1, **params: object) -> list[Effect]:  # noqa: A002
        """The client asks, and wants the answer on a stream."""
        message = decode(line(id=id, method=method, params=params))
        assert isinstance(message, Request)
        return self.state.request(message, on)[1]

    def child_says(self, about: int | None = None, /, **members: object) -> list[Effect]:
        """The child writes a line."""
        said = line(**members)
        return self.state.from_child(decode(said), said, about)

    def dropped(self) -> dict[str, int]:
        """What was dropped, by why."""
        return dict(self.state.counters)


def log_line(level: str = "info") -> dict[str, Any]:
    """A log line, as the child says it."""
    return {"method": "notifications/message", "params": {"level": level, "data": "x"}}


def news(of: object, method: str = "notifications/tools/list_changed") -> dict[str, Any]:
    """News of a subscription."""
    return {"method": method, "params": {"_meta": {SUBSCRIPTION: of}}}


def cancellation(call: int, why: str) -> ToChild:
    """What the child hears of a request that nobody waits for."""
    return ToChild(line(method="notifications/cancelled", params={"requestId": call, "reason": why}))


# The opening.


def test_the_gateways_own_discover_opens_and_nobody_waits_for_it() -> None:
    talk = Talk(new=True)
    talk.ask("server/discover", on=POST, id=0)
    talk.ask("server/discover", on=ANOTHER, id=1)
    assert talk.state.opens(1)
    assert not talk.state.opens(2)
    assert not talk.state.initialized
    assert talk.child_says(id=2, result={}) == [Answered(ANOTHER, line(id=1, result={}), 2)]
    assert not talk.state.initialized
    talk.child_says(id=1, result={})
    assert talk.state.initialized
    assert not talk.state.opens(1)


def test_a_child_that_refuses_the_opening_is_none() -> None:
    talk = Talk(new=True)
    talk.ask("server/discover", id=0)
    error = {"code": -32601, "message": "what?"}
    assert talk.child_says(id=1, error=error) == [Answered(POST, line(id=0, error=error), 1), Over()]
    assert not talk.state.initialized


def test_a_conversation_that_an_earlier_gateway_opened_is_open_and_gives_no_number_twice() -> None:
    talk = Talk(epoch=1)
    first = (1 << EPOCH_BITS) + 1
    assert talk.ask("server/discover") == [ToChild(line(id=first, method="server/discover", params={}))]
    assert not talk.state.opens(first)


# Requests.


def test_two_requests_with_one_id_and_one_token_are_two_to_the_child() -> None:
    talk = Talk()
    for number, stream in ((1, POST), (2, ANOTHER)):
        [said] = talk.ask("tools/call", on=stream, id="a", name="t", _meta={"progressToken": "p", "x": 1})
        params = {"name": "t", "_meta": {"progressToken": number, "x": 1}}
        assert said == ToChild(line(id=number, method="tools/call", params=params))
    report = {"progressToken": 2, "progress": 1}
    back = line(method="notifications/progress", params={"progressToken": "p", "progress": 1})
    assert talk.child_says(method="notifications/progress", params=report) == [ToStream(ANOTHER, back)]
    assert talk.child_says(id=1, result={}) == [Answered(POST, line(id="a", result={}), 1)]
    assert talk.child_says(id=2, result={}) == [Answered(ANOTHER, line(id="a", result={}), 2)]


def test_a_member_that_stands_twice_reaches_the_child_once() -> None:
    talk = Talk()
    message = decode(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}')
    assert isinstance(message, Request)
    assert talk.state.request(message, POST)[1] == [ToChild(line(id=1, method="tools/call", params={"name": "b"}))]


@pytest.mark.parametrize("token", [3, "1", None, True, 1.0, 10**30])
def test_progress_under_no_token_of_ours_is_dropped(token: object) -> None:
    talk = Talk()
    talk.ask("tools/call", _meta={"progressToken": "p"})
    talk.ask("tools/call", on=ANOTHER)
    for each in (token, 2):
        assert talk.child_says(method="notifications/progress", params={"progressToken": each, "progress": 1}) == []
    assert talk.dropped() == {"progress_for_nobody": 2}


def test_who_takes_the_answer_alone_gets_the_answer_alone() -> None:
    talk = Talk()
    message = decode(line(id=1, method="tools/call", params={"_meta": {"progressToken": 1}}))
    assert isinstance(message, Request)
    talk.state.request(message, POST, can_carry_more=False)
    assert talk.child_says(method="notifications/progress", params={"progressToken": 1, "progress": 1}) == []
    assert talk.dropped() == {"message_for_nobody": 1}


@pytest.mark.parametrize("id_", [7, "1", 10**30, -1, 1.5])
def test_an_answer_to_nobody_is_dropped(id_: object) -> None:
    talk = Talk()
    talk.ask("tools/list")
    assert talk.child_says(id=id_, result={}) == []
    assert talk.dropped() == {"answer_to_nobody": 1}


def test_a_second_answer_is_dropped() -> None:
    talk = Talk()
    talk.ask("tools/list")
    talk.child_says(id=1, result={})
    assert talk.child_says(id=1, result={}) == []


# Cancellation, time and death.


def test_closing_the_stream_cancels_and_nothing_more_comes() -> None:
    talk = Talk()
    talk.ask("tools/call", _meta={"progressToken": "p"})
    talk.ask("tools/call", on=ANOTHER)
    assert talk.state.close_stream(POST) == [cancellation(1, "the client hung up"), Cancelled(POST, 1)]
    assert talk.child_says(method="notifications/progress", params={"progressToken": 1, "progress": 1}) == []
    assert talk.child_says(id=1, result={}) == []
    assert talk.state.close_stream(POST) == []
    assert talk.child_says(id=2, result={}) == [Answered(ANOTHER, line(id=1, result={}), 2)]


def test_what_takes_too_long_is_cancelled_and_its_client_told_in_a_code_of_this_era() -> None:
    talk = Talk()
    talk.ask("tools/call", id="x")
    [answered, cancelled] = talk.state.expire(1, LATE)
    assert isinstance(answered, Answered)
    assert (answered.failure, msgspec.json.decode(bytes(answered.data))["id"]) == (LATE, "x")
    assert msgspec.json.decode(bytes(answered.data))["error"]["code"] == 1005
    assert cancelled == cancellation(1, "the request timed out")
    assert talk.state.expire(1, LATE) == []


@pytest.mark.parametrize("end", ["fail", "leave"])
def test_death_is_an_error_in_flight_and_a_result_for_who_listens(end: str) -> None:
    talk = Talk()
    talk.ask("tools/call", id="x")
    talk.ask("subscriptions/listen", on=ANOTHER, id=9)
    [failed, ended] = getattr(talk.state, end)(DEATH)
    assert failed.failure is DEATH
    assert msgspec.json.decode(failed.data)["error"]["code"] == 1000
    over = {"resultType": "complete", "_meta": {SUBSCRIPTION: 9}}
    assert ended == Answered(ANOTHER, line(id=9, result=over), 2)
    assert talk.state.fail(DEATH) == []


# Subscriptions.


def test_news_comes_to_each_subscription_under_the_clients_id() -> None:
    talk = Talk()
    talk.ask("subscriptions/listen", on=POST, id="one")
    talk.ask("subscriptions/listen", on=ANOTHER, id=1)
    assert talk.state.waits(1)
    assert talk.child_says(**news(of=1)) == [ToStream(POST, line(**news(of="one")))]
    acknowledged = news(of=2, method="notifications/subscriptions/acknowledged")
    expected = news(of=1, method="notifications/subscriptions/acknowledged")
    assert talk.child_says(**acknowledged) == [ToStream(ANOTHER, line(**expected))]


def test_a_subscription_ends_with_the_childs_answer() -> None:
    talk = Talk()
    talk.ask("subscriptions/listen", id="one")
    result = {"resultType": "complete", "_meta": {SUBSCRIPTION: 1}}
    over = {"resultType": "complete", "_meta": {SUBSCRIPTION: "one"}}
    assert talk.child_says(id=1, result=result) == [Answered(POST, line(id="one", result=over), 1)]
    assert not talk.state.waits(1)


def test_a_subscription_ends_with_the_childs_taking_it_back() -> None:
    talk = Talk()
    talk.ask("subscriptions/listen", id="one")
    over = {"resultType": "complete", "_meta": {SUBSCRIPTION: "one"}}
    taken_back = {"method": "notifications/cancelled", "params": {"requestId": 1}}
    assert talk.child_says(**taken_back) == [Answered(POST, line(id="one", result=over), 1)]
    assert talk.child_says(**taken_back) == []


def test_a_refused_subscription_is_an_error_like_any_other() -> None:
    talk = Talk()
    talk.ask("subscriptions/listen", id="one")
    error = {"code": -32601, "message": "no"}
    assert talk.child_says(id=1, error=error) == [Answered(POST, line(id="one", error=error), 1)]


def test_a_child_cancels_nothing_but_a_subscription() -> None:
    talk = Talk()
    talk.ask("tools/call")
    assert talk.child_says(method="notifications/cancelled", params={"requestId": 1}) == []
    assert talk.dropped() == {"cancelled_nothing": 1}


@pytest.mark.parametrize(
    "params", [{}, {"_meta": {}}, {"_meta": {SUBSCRIPTION: 2}}, {"_meta": {SUBSCRIPTION: "1"}}, {"_meta": 1}]
)
def test_news_of_no_subscription_goes_nowhere(params: dict[str, Any]) -> None:
    talk = Talk()
    talk.ask("subscriptions/listen")
    talk.ask("tools/call", on=ANOTHER)
    assert talk.child_says(method="notifications/tools/list_changed", params=params) == []
    assert talk.dropped() == {"message_for_nobody": 1}


# Log lines.


def test_a_log_line_comes_to_the_one_request_that_asked() -> None:
    talk = Talk()
    talk.ask("tools/call", _meta={LEVEL: "info"})
    talk.ask("tools/call", on=ANOTHER)
    assert talk.child_says(**log_line()) == [ToStream(POST, line(**log_line()))]
    assert talk.child_says(**log_line("debug")) == []
    assert talk.dropped() == {"log_line_below_level": 1}


def test_a_log_line_that_could_be_of_two_requests_is_dropped_unless_it_is_known_of_which() -> None:
    talk = Talk()
    talk.ask("tools/call", _meta={LEVEL: "debug"})
    talk.ask("tools/call", on=ANOTHER, _meta={LEVEL: "debug"})
    assert talk.child_says(**log_line()) == []
    assert talk.child_says(2, **log_line()) == [ToStream(ANOTHER, line(**log_line()))]
    assert talk.dropped() == {"log_line_of_whom": 1}


def test_a_log_line_of_a_request_that_did_not_ask_is_dropped() -> None:
    talk = Talk()
    talk.ask("tools/call", _meta={LEVEL: "debug"})
    talk.ask("tools/call", on=ANOTHER)
    assert talk.child_says(2, **log_line()) == []
    assert talk.dropped() == {"log_line_for_nobody": 1}


# What nobody of this era says.


def test_a_child_that_asks_is_told_that_it_may_not() -> None:
    talk = Talk()
    talk.ask("tools/call")
    [told] = talk.child_says(id="q", method="sampling/createMessage", params={})
    assert isinstance(told, ToChild)
    assert msgspec.json.decode(told.line)["id"] == "q"
    assert msgspec.json.decode(told.line)["error"]["code"] == -32601
    assert talk.dropped() == {"question_of_child": 1}
    assert not talk.state.questions


def test_what_a_client_tells_goes_nowhere() -> None:
    talk = Talk()
    assert talk.state.notify(Notification("notifications/cancelled", b'{"requestId":1}')) == []
    assert talk.state.respond(Response(b"1", b"{}", b"")) == []
    assert talk.state.stand(POST) == []
    assert talk.state.reopen(POST) == []
    assert talk.state.expire_question(b"1") == []
    assert talk.dropped() == {"notification_of_client": 1, "answer_to_no_question": 1}


def test_what_it_is_can_be_seen() -> None:
    talk = Talk()
    talk.ask("subscriptions/listen")
    talk.ask("tools/call")
    assert repr(talk.state) == "<ModernConversation: 2 in flight, 1 of them listening>"
