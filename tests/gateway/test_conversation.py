"""Playbooks of conversations: who says what, and which effects follow.

`POST`, `ANOTHER` and `STANDING` are streams of the client; the child knows calls by the gateway's numbers, from 1 on.
"""

from typing import Any

import msgspec
import pytest

from common.reasons import Reason
from gateway.conversation import EPOCH_BITS, IN_FLIGHT, OPEN_QUESTIONS, UNHEARD_BYTES, UNHEARD_MESSAGES, Conversation
from gateway.effects import Answered, Cancelled, Effect, Over, ToChild, ToStream
from gateway.errors import GatewayError
from gateway.jsonrpc import Notification, Request, Response, decode

POST, ANOTHER, STANDING = 1, 2, 3

TIMEOUT = GatewayError(Reason.REQUEST_TIMEOUT, "too slow")
DEATH = GatewayError(Reason.CHILD_EXITED, "it ended")


def line(**members: object) -> bytes:
    """A JSON-RPC message with these members, in this order."""
    return msgspec.json.encode({"jsonrpc": "2.0", **members})


class Talk:
    """A conversation, as its three parties see it."""

    def __init__(self, *, answers_questions: bool = True, epoch: int = 0, initialized: bool = False) -> None:
        self.state = Conversation(answers_questions=answers_questions, epoch=epoch, initialized=initialized)

    def ask(self, method: str, on: int, id: object = 1, carries_more: bool = True, **params: object) -> list[Effect]:  # noqa: A002
        """The client asks, and wants the answer on a stream."""
        message = decode(line(id=id, method=method, params=params) if params else line(id=id, method=method))
        assert isinstance(message, Request)
        return self.state.request(message, on, can_carry_more=carries_more)[1]

    def tell(self, method: str, **params: object) -> list[Effect]:
        """The client tells the child something."""
        message = decode(line(method=method, params=params) if params else line(method=method))
        assert isinstance(message, Notification)
        return self.state.notify(message)

    def answer(self, **members: object) -> list[Effect]:
        """The client answers the child."""
        message = decode(line(**members))
        assert isinstance(message, Response)
        return self.state.respond(message)

    def child_says(self, **members: object) -> list[Effect]:
        """The child writes a line."""
        said = line(**members)
        return self.state.from_child(decode(said), said)

    def dropped(self) -> dict[str, int]:
        """What was dropped, by why."""
        return dict(self.state.counters)


def log_line(text: str) -> dict[str, object]:
    """A log line, as the child says it."""
    return {"method": "notifications/message", "params": {"level": "info", "data": text}}


# Questions of the client.


def test_a_request_gets_an_id_of_our_own_and_its_answer_the_clients_again() -> None:
    talk = Talk()
    assert talk.ask("tools/list", on=POST, id="abc") == [ToChild(line(id=1, method="tools/list"))]
    assert talk.child_says(id=1, result={"tools": []}) == [
        Answered(POST, line(id="abc", result={"tools": []}), call=1),
    ]
    assert talk.state.in_flight == 0


def test_two_requests_with_the_same_id_are_answered_each_on_its_own_stream() -> None:
    talk = Talk()
    assert talk.ask("tools/call", on=POST, id=1, name="slow") == [
        ToChild(line(id=1, method="tools/call", params={"name": "slow"}))
    ]
    assert talk.ask("tools/call", on=ANOTHER, id=1, name="quick") == [
        ToChild(line(id=2, method="tools/call", params={"name": "quick"}))
    ]
    assert talk.child_says(id=2, result="quick") == [Answered(ANOTHER, line(id=1, result="quick"), call=2)]
    assert talk.child_says(id=1, result="slow") == [Answered(POST, line(id=1, result="slow"), call=1)]


def test_an_error_of_the_child_is_an_answer_like_any_other() -> None:
    talk = Talk()
    talk.ask("tools/list", on=POST, id=5)
    error = {"code": -32601, "message": "no"}
    assert talk.child_says(id=1, error=error) == [Answered(POST, line(id=5, error=error), call=1)]


def test_a_ping_of_the_client_is_answered_without_the_child() -> None:
    talk = Talk()
    message = decode(line(id=9, method="ping"))
    assert isinstance(message, Request)
    call, effects = talk.state.request(message, POST)
    assert call is None
    assert effects == [Answered(POST, line(id=9, result={}), call=1)]
    assert talk.state.in_flight == 0


def test_a_ping_does_not_end_the_wait_of_another_request() -> None:
    talk = Talk()
    talk.ask("tools/list", on=POST, id=1)
    talk.ask("ping", on=ANOTHER, id=2)
    assert talk.state.in_flight == 1
    assert talk.state.method_of(1) == "tools/list"


def test_one_request_too_many_in_flight_gets_an_error_and_the_child_does_not_hear_of_it() -> None:
    talk = Talk()
    for _ in range(IN_FLIGHT):
        assert isinstance(talk.ask("tools/call", on=POST)[0], ToChild)
    [refused] = talk.ask("tools/call", on=ANOTHER, id="more")
    assert isinstance(refused, Answered)
    error = decode(bytes(refused.data))
    assert isinstance(error, Response)
    assert (refused.stream, error.id, b'"max_in_flight"' in error.error) == (ANOTHER, b'"more"', True)
    assert refused.failure is not None
    assert isinstance(talk.ask("ping", on=ANOTHER)[0], Answered)
    talk.child_says(id=1, result={})
    assert isinstance(talk.ask("tools/call", on=ANOTHER)[0], ToChild)


def test_the_method_of_a_call_is_known_while_it_is_in_flight() -> None:
    talk = Talk()
    talk.ask("tools/list", on=POST)
    assert talk.state.method_of(1) == "tools/list"
    talk.child_says(id=1, result={})
    assert talk.state.method_of(1) is None


@pytest.mark.parametrize("id_", [2, 0, -1, 1.0, "1", 10**30])
def test_an_answer_that_nobody_waits_for_is_dropped_and_counted(id_: object) -> None:
    talk = Talk()
    talk.ask("tools/list", on=POST)
    assert talk.state.from_child(Response(msgspec.json.encode(id_), b"{}", b""), b"") == []
    assert talk.dropped() == {"answer_to_nobody": 1}
    assert talk.state.in_flight == 1


def test_an_answer_with_an_absurdly_long_id_is_dropped_like_any_other() -> None:
    talk = Talk()
    said = b'{"jsonrpc":"2.0","id":%b,"result":{}}' % (b"9" * 5000)
    assert talk.state.from_child(decode(said), said) == []
    assert talk.dropped() == {"answer_to_nobody": 1}


def test_a_second_answer_is_dropped_and_counted() -> None:
    talk = Talk()
    talk.ask("tools/list", on=POST)
    talk.child_says(id=1, result={})
    assert talk.child_says(id=1, result={}) == []
    assert talk.dropped() == {"answer_to_nobody": 1}


# The handshake.


def test_a_session_is_initialized_once_the_child_has_accepted() -> None:
    talk = Talk()
    assert talk.ask("initialize", on=POST, id=0, protocolVersion="x") == [
        ToChild(line(id=1, method="initialize", params={"protocolVersion": "x"}))
    ]
    assert not talk.state.initialized
    assert talk.child_says(id=1, result={}) == [Answered(POST, line(id=0, result={}), call=1)]
    assert talk.state.initialized
    assert talk.tell("notifications/initialized") == [ToChild(line(method="notifications/initialized"))]


def test_a_child_that_refuses_the_handshake_ends_the_session_after_its_answer() -> None:
    talk = Talk()
    talk.ask("initialize", on=POST, id=0)
    error = {"code": -32602, "message": "no"}
    assert talk.child_says(id=1, error=error) == [Answered(POST, line(id=0, error=error), call=1), Over()]
    assert not talk.state.initialized


def test_a_second_handshake_that_is_refused_does_not_end_the_session() -> None:
    talk = Talk()
    talk.ask("initialize", on=POST)
    talk.child_says(id=1, result={})
    talk.ask("initialize", on=ANOTHER)
    error = {"code": -32600, "message": "again?"}
    assert talk.child_says(id=2, error=error) == [Answered(ANOTHER, line(id=1, error=error), call=2)]
    assert talk.state.initialized


# Cancellation.


def test_a_cancellation_reaches_the_child_under_our_id() -> None:
    talk = Talk()
    talk.ask("tools/list", on=ANOTHER, id=6)
    talk.ask("tools/call", on=POST, id=7)
    assert talk.tell("notifications/cancelled", requestId=7, reason="enough") == [
        ToChild(line(method="notifications/cancelled", params={"requestId": 2, "reason": "enough"})),
        Cancelled(POST, call=2),
    ]
    assert talk.state.method_of(1) == "tools/list"
    assert talk.state.method_of(2) is None


def test_the_answer_to_a_cancelled_request_is_for_nobody() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=7)
    talk.tell("notifications/cancelled", requestId=7)
    assert talk.child_says(id=1, result={}) == []
    assert talk.dropped() == {"answer_to_nobody": 1}


def test_of_two_requests_with_one_id_the_newest_is_cancelled() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=1)
    talk.ask("tools/call", on=ANOTHER, id=1)
    assert talk.tell("notifications/cancelled", requestId=1)[1] == Cancelled(ANOTHER, call=2)


@pytest.mark.parametrize("wanted", [8, "7", None, "ping"])
def test_a_cancellation_of_what_is_not_in_flight_is_dropped(wanted: object) -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=7)
    assert talk.tell("notifications/cancelled", requestId=wanted) == []
    assert talk.state.in_flight == 1


def test_a_cancellation_that_names_nothing_is_dropped() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=7)
    assert talk.tell("notifications/cancelled") == []
    assert talk.state.in_flight == 1


def test_the_handshake_cannot_be_cancelled() -> None:
    talk = Talk()
    talk.ask("initialize", on=POST, id=0)
    assert talk.tell("notifications/cancelled", requestId=0) == []
    assert talk.state.in_flight == 1


# Questions of the child.


def test_a_ping_of_the_child_is_answered_without_the_client() -> None:
    assert Talk().child_says(id="p", method="ping") == [ToChild(line(id="p", result={}))]


@pytest.mark.parametrize("id_", [1, "one"])
def test_a_question_goes_to_the_stream_of_the_newest_request_and_its_answer_back_once(id_: object) -> None:
    talk = Talk()
    talk.ask("tools/call", on=ANOTHER)
    talk.ask("tools/call", on=POST)
    question = {"id": id_, "method": "roots/list"}
    assert talk.child_says(**question) == [ToStream(POST, line(**question))]
    answer = {"id": id_, "result": {"roots": []}}
    assert talk.answer(**answer) == [ToChild(line(**answer))]
    assert talk.answer(**answer) == []
    assert talk.dropped() == {"answer_to_no_question": 1}


def test_a_client_may_decline_a_question_itself() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.child_says(id=4, method="elicitation/create", params={})
    refusal = {"id": 4, "error": {"code": -1, "message": "no"}}
    assert talk.answer(**refusal) == [ToChild(line(**refusal))]


def test_an_answer_to_a_question_that_was_not_asked_never_reaches_the_child() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.child_says(id=4, method="roots/list")
    assert talk.answer(id="4", result={}) == []
    assert talk.dropped() == {"answer_to_no_question": 1}


def test_where_nobody_can_answer_the_gateway_declines() -> None:
    talk = Talk(answers_questions=False)
    talk.ask("tools/call", on=POST, carries_more=False)
    assert talk.child_says(id=4, method="sampling/createMessage", params={}) == [
        ToChild(line(id=4, error={"code": -32601, "message": "the client of this session cannot be asked"}))
    ]
    assert talk.answer(id=4, result={}) == []


def test_a_question_goes_to_the_standing_stream_where_no_request_is_in_flight() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    assert talk.child_says(id=4, method="roots/list") == [ToStream(STANDING, line(id=4, method="roots/list"))]


def test_a_question_without_a_stream_waits_for_one_and_may_then_be_answered() -> None:
    talk = Talk()
    assert talk.child_says(id=4, method="roots/list") == []
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(id=4, method="roots/list"))]
    assert talk.answer(id=4, result={}) == [ToChild(line(id=4, result={}))]


# News of the child: which stream gets it.


def test_a_question_that_waits_too_long_in_too_long_a_queue_is_declined() -> None:
    talk = Talk()
    assert talk.child_says(id="q", method="roots/list") == []
    for _ in range(UNHEARD_MESSAGES - 1):
        assert talk.child_says(**log_line("x")) == []
    [declined] = talk.child_says(**log_line("one too many"))
    assert isinstance(declined, ToChild)
    assert msgspec.json.decode(declined.line)["error"]["code"] == -32601
    assert msgspec.json.decode(declined.line)["id"] == "q"
    assert talk.answer(id="q", result={}) == []


@pytest.mark.parametrize("id_", [7, "q"])
def test_a_question_is_open_until_it_is_answered(id_: object) -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    assert not talk.state.questions
    talk.child_says(id=id_, method="roots/list")
    assert talk.state.questions == {msgspec.json.encode(id_)}
    talk.answer(id=id_, result={})
    assert not talk.state.questions


def test_a_question_that_is_declined_is_not_open() -> None:
    talk = Talk(answers_questions=False)
    talk.child_says(id=7, method="roots/list")
    assert not talk.state.questions


def test_a_question_that_takes_too_long_is_declined_and_the_client_told_so() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.child_says(id="q", method="roots/list")
    error = {"code": -32005, "message": "the client of this session did not answer in time"}
    cancelled = {"requestId": "q", "reason": "it took too long"}
    assert talk.state.expire_question(b'"q"') == [
        ToChild(line(id="q", error=error)),
        ToStream(STANDING, line(method="notifications/cancelled", params=cancelled)),
    ]
    assert not talk.state.questions
    assert talk.state.expire_question(b'"q"') == []
    assert talk.answer(id="q", result={}) == []
    assert talk.dropped() == {"answer_to_no_question": 1}


def test_a_question_that_nobody_heard_is_never_asked_once_it_took_too_long() -> None:
    talk = Talk()
    talk.child_says(**log_line("before"))
    talk.child_says(id=7, method="roots/list")
    talk.child_says(**log_line("after"))
    [declined] = talk.state.expire_question(b"7")
    assert isinstance(declined, ToChild)
    heard = [ToStream(STANDING, line(**log_line(text))) for text in ("before", "after")]
    assert talk.state.stand(STANDING) == heard


def test_a_question_that_was_heard_by_a_client_who_left_is_declined_to_the_child_alone() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.child_says(id=7, method="roots/list")
    talk.state.close_stream(STANDING)
    [declined] = talk.state.expire_question(b"7")
    assert isinstance(declined, ToChild)


def test_a_child_may_take_its_question_back_and_the_client_is_told_so() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.child_says(id=7, method="roots/list")
    back: dict[str, object] = {"method": "notifications/cancelled", "params": {"requestId": 7}}
    assert talk.child_says(**back) == [ToStream(STANDING, line(**back))]
    assert not talk.state.questions


def test_a_question_that_was_taken_back_before_anybody_heard_it_is_never_asked() -> None:
    talk = Talk()
    talk.child_says(id=7, method="roots/list")
    assert talk.child_says(method="notifications/cancelled", params={"requestId": 7}) == []
    assert not talk.state.questions
    assert talk.state.stand(STANDING) == []


def test_what_cancels_no_question_is_passed_on() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.child_says(id=7, method="roots/list")
    other: dict[str, object] = {"method": "notifications/cancelled", "params": {"requestId": "7"}}
    assert talk.child_says(**other) == [ToStream(STANDING, line(**other))]
    assert talk.state.questions == {b"7"}


def test_when_the_child_is_no_more_no_question_is_open() -> None:
    talk = Talk()
    talk.child_says(id=7, method="roots/list")
    talk.state.fail(DEATH)
    assert not talk.state.questions


def test_a_child_may_not_ask_without_end() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    for number in range(OPEN_QUESTIONS):
        assert isinstance(talk.child_says(id=number, method="roots/list")[0], ToStream)
    assert isinstance(talk.child_says(id="more", method="roots/list")[0], ToChild)
    talk.answer(id=0, result={})
    assert isinstance(talk.child_says(id="again", method="roots/list")[0], ToStream)


def test_a_log_line_goes_to_the_newest_requests_stream_before_the_standing_one() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=POST)
    said = log_line("working")
    assert talk.child_says(**said) == [ToStream(POST, line(**said))]


def test_after_its_answer_a_requests_stream_gets_nothing_more() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.ask("tools/call", on=ANOTHER)
    said = log_line("working")
    talk.child_says(id=2, result={})
    assert talk.child_says(**said) == [ToStream(POST, line(**said))]
    talk.child_says(id=1, result={})
    assert talk.child_says(**said) == []


def test_a_stream_of_two_requests_stays_open_until_both_are_answered() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=1)
    talk.ask("tools/call", on=POST, id=2)
    said = log_line("working")
    talk.child_says(id=1, result={})
    assert talk.child_says(**said) == [ToStream(POST, line(**said))]


def test_a_stream_that_can_only_carry_the_answer_gets_nothing_else() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=POST, carries_more=False)
    said = log_line("working")
    assert talk.child_says(**said) == [ToStream(STANDING, line(**said))]
    assert talk.child_says(id=1, result={}) == [Answered(POST, line(id=1, result={}), call=1)]


def test_on_one_standing_stream_requests_and_news_share_it() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=STANDING)
    said = log_line("working")
    assert talk.child_says(**said) == [ToStream(STANDING, line(**said))]
    assert talk.child_says(id=1, result={}) == [Answered(STANDING, line(id=1, result={}), call=1)]
    assert talk.child_says(**said) == [ToStream(STANDING, line(**said))]


@pytest.mark.parametrize(
    "method",
    [
        "notifications/tools/list_changed",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/resources/updated",
    ],
)
def test_news_about_the_server_goes_to_the_standing_stream_first(method: str) -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    assert talk.child_says(method=method) == [ToStream(POST, line(method=method))]
    talk.state.stand(STANDING)
    assert talk.child_says(method=method) == [ToStream(STANDING, line(method=method))]


def test_what_the_child_wrote_is_forwarded_as_it_stands() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    said = b'{"method" : "x/y",  "jsonrpc": "2.0", "params": {"a":1.0}}'
    assert talk.state.from_child(decode(said), said) == [ToStream(STANDING, said)]


def test_the_newest_standing_stream_gets_what_the_one_before_would_have_got() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.state.stand(4)
    said = log_line("hello")
    assert talk.child_says(**said) == [ToStream(4, line(**said))]
    talk.state.close_stream(STANDING)
    assert talk.child_says(**said) == [ToStream(4, line(**said))]


# Progress.


def progress(token: object) -> dict[str, object]:
    """A step of progress, as the child says it."""
    return {"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}}


def wanting(token: object) -> dict[str, Any]:
    """The params of a request that wants progress."""
    return {"_meta": {"progressToken": token}}


def test_progress_goes_to_the_stream_of_the_request_that_bears_its_token() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, **wanting("a"))
    talk.ask("tools/call", on=ANOTHER, **wanting("b"))
    assert talk.child_says(**progress("a")) == [ToStream(POST, line(**progress("a")))]
    assert talk.child_says(**progress("b")) == [ToStream(ANOTHER, line(**progress("b")))]


def test_of_two_requests_with_one_token_the_newest_gets_the_progress() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, **wanting(1))
    talk.ask("tools/call", on=ANOTHER, **wanting(1))
    assert talk.child_says(**progress(1)) == [ToStream(ANOTHER, line(**progress(1)))]


def test_progress_may_go_to_a_standing_stream_that_a_request_chose() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=STANDING, **wanting(1))
    assert talk.child_says(**progress(1)) == [ToStream(STANDING, line(**progress(1)))]


@pytest.mark.parametrize("token", ["other", 1, None])
def test_progress_that_nobody_wants_is_dropped_and_counted(token: object) -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=POST, **wanting("1"))
    assert talk.child_says(**progress(token)) == []
    assert talk.dropped() == {"progress_for_nobody": 1}


def test_progress_without_a_token_is_for_nobody_even_where_a_request_has_none() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    assert talk.child_says(method="notifications/progress", params={"progress": 1}) == []
    assert talk.dropped() == {"progress_for_nobody": 1}


def test_progress_after_the_answer_is_for_nobody() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, **wanting("a"))
    talk.child_says(id=1, result={})
    assert talk.child_says(**progress("a")) == []


def test_progress_never_goes_to_a_stream_that_can_only_carry_the_answer() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=POST, carries_more=False, **wanting("a"))
    assert talk.child_says(**progress("a")) == []


# A client that hangs up.


def test_hanging_up_is_no_cancellation() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id=7, **wanting("a"))
    talk.state.close_stream(POST)
    assert talk.state.in_flight == 1
    # Whoever comes back to the stream finds it there.
    assert talk.child_says(**progress("a")) == [ToStream(POST, line(**progress("a")))]
    assert talk.child_says(id=1, result={}) == [Answered(POST, line(id=7, result={}), call=1)]


def test_who_comes_back_to_a_stream_gets_what_found_no_other_and_is_asked_there_again() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.state.close_stream(POST)
    waiting = log_line("nobody is there")
    assert talk.child_says(**waiting) == []
    assert talk.state.reopen(POST) == [ToStream(POST, line(**waiting))]
    question: dict[str, object] = {"id": "q", "method": "roots/list"}
    assert talk.child_says(**question) == [ToStream(POST, line(**question))]


def test_who_comes_back_to_a_stream_without_a_request_gets_nothing() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.state.close_stream(POST)
    talk.child_says(**log_line("nobody is there"))
    talk.child_says(id=1, result={})
    assert talk.state.reopen(POST) == []
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**log_line("nobody is there")))]


@pytest.mark.parametrize(
    ("result", "version"),
    [
        ({"protocolVersion": "2025-03-26"}, "2025-03-26"),
        ({}, ""),
        ({"protocolVersion": 7}, ""),
        ([], ""),
        ({"protocolVersion": "9" * 1000}, "9" * 32),
    ],
)
def test_the_revision_is_the_one_that_the_child_names(result: object, version: str) -> None:
    talk = Talk()
    talk.ask("initialize", on=POST)
    assert talk.state.version == ""
    talk.child_says(id=1, result=result)
    assert (talk.state.initialized, talk.state.version) == (True, version)


def test_a_second_handshake_that_is_refused_changes_nothing() -> None:
    talk = Talk()
    talk.ask("initialize", on=POST)
    talk.child_says(id=1, result={"protocolVersion": "2025-06-18"})
    talk.ask("initialize", on=POST, id=2)
    talk.child_says(id=2, error={"code": -32600, "message": "twice"})
    assert (talk.state.initialized, talk.state.version) == (True, "2025-06-18")


def test_after_a_client_has_hung_up_the_next_newest_stream_gets_the_news() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.ask("tools/call", on=ANOTHER)
    talk.state.close_stream(ANOTHER)
    said = log_line("working")
    assert talk.child_says(**said) == [ToStream(POST, line(**said))]


def test_a_standing_stream_that_was_closed_gets_nothing_more() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.state.close_stream(STANDING)
    assert talk.child_says(**log_line("anybody?")) == []


# A client that has no stream open.


def test_what_nobody_hears_waits_for_the_next_stream_in_order_and_is_told_once() -> None:
    talk = Talk()
    first, second = log_line("first"), log_line("second")
    assert talk.child_says(**first) == []
    assert talk.child_says(**second) == []
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**first)), ToStream(STANDING, line(**second))]
    assert talk.state.stand(4) == []


def test_what_nobody_heard_goes_to_the_next_request_after_it_was_sent() -> None:
    talk = Talk()
    said = log_line("earlier")
    talk.child_says(**said)
    assert talk.ask("tools/call", on=POST) == [
        ToChild(line(id=1, method="tools/call")),
        ToStream(POST, line(**said)),
    ]


def test_what_nobody_heard_waits_on_where_a_request_can_only_carry_its_answer() -> None:
    talk = Talk()
    said = log_line("earlier")
    talk.child_says(**said)
    assert talk.ask("tools/call", on=POST, carries_more=False) == [ToChild(line(id=1, method="tools/call"))]
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**said))]


def test_only_the_newest_messages_wait() -> None:
    talk = Talk()
    for number in range(UNHEARD_MESSAGES + 2):
        talk.child_says(**log_line(str(number)))
    heard = talk.state.stand(STANDING)
    assert len(heard) == UNHEARD_MESSAGES
    assert heard[0] == ToStream(STANDING, line(**log_line("2")))
    assert heard[-1] == ToStream(STANDING, line(**log_line(str(UNHEARD_MESSAGES + 1))))
    assert talk.dropped() == {"message_for_nobody": 2}


def test_what_waits_is_bounded_in_bytes() -> None:
    talk = Talk()
    large = log_line("x" * (UNHEARD_BYTES // 2))
    small = log_line("small")
    talk.child_says(**large)
    talk.child_says(**large)
    talk.child_says(**small)
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**large)), ToStream(STANDING, line(**small))]
    assert talk.dropped() == {"message_for_nobody": 1}


def test_what_fills_the_bound_exactly_waits() -> None:
    talk = Talk()
    frame = len(line(**log_line("")))
    talk.child_says(**log_line("x" * (UNHEARD_BYTES - frame)))
    assert len(talk.state.stand(STANDING)) == 1


def test_a_message_that_is_larger_than_all_that_may_wait_is_dropped_alone() -> None:
    talk = Talk()
    talk.child_says(**log_line("x" * UNHEARD_BYTES))
    small = log_line("small")
    talk.child_says(**small)
    assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**small))]


def test_what_was_heard_no_longer_counts_against_the_bound() -> None:
    talk = Talk()
    large = log_line("x" * (UNHEARD_BYTES - 200))
    for _ in range(3):
        assert talk.child_says(**large) == []
        assert talk.state.stand(STANDING) == [ToStream(STANDING, line(**large))]
        talk.state.close_stream(STANDING)
    assert talk.dropped() == {}


# What time and faults say.


def test_a_request_that_takes_too_long_is_answered_in_the_childs_place_and_the_child_told_to_stop() -> None:
    talk = Talk()
    talk.ask("tools/list", on=ANOTHER)
    talk.ask("tools/call", on=POST, id="slow")
    assert talk.state.expire(2, TIMEOUT) == [
        Answered(POST, TIMEOUT.rpc_body(b'"slow"'), call=2, failure=TIMEOUT),
        ToChild(line(method="notifications/cancelled", params={"requestId": 2, "reason": "the request timed out"})),
    ]
    assert talk.state.in_flight == 1
    assert talk.child_says(id=2, result={}) == []
    assert talk.dropped() == {"answer_to_nobody": 1}


def test_a_request_that_was_answered_cannot_expire() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST)
    talk.child_says(id=1, result={})
    assert talk.state.expire(1, TIMEOUT) == []


def test_when_the_child_is_no_more_every_request_in_flight_gets_the_error() -> None:
    talk = Talk()
    talk.ask("tools/call", on=POST, id="a")
    talk.ask("tools/call", on=ANOTHER, id=1)
    assert talk.state.fail(DEATH) == [
        Answered(POST, DEATH.rpc_body(b'"a"'), call=1, failure=DEATH),
        Answered(ANOTHER, DEATH.rpc_body(b"1"), call=2, failure=DEATH),
    ]
    assert talk.state.in_flight == 0
    assert talk.state.fail(DEATH) == []


def test_a_conversation_says_what_it_is() -> None:
    talk = Talk()
    talk.state.stand(STANDING)
    talk.ask("tools/call", on=POST)
    assert repr(talk.state) == "<Conversation: 1 in flight, standing stream 3>"


# From one gateway to the next.

RESTART = GatewayError(Reason.GATEWAY_RESTARTED, "it restarted")


def test_an_id_of_an_earlier_gateway_is_not_given_out_again() -> None:
    talk = Talk(epoch=3, initialized=True)
    assert talk.state.initialized
    first = 3 << EPOCH_BITS | 1
    assert talk.ask("tools/list", POST) == [ToChild(line(id=first, method="tools/list"))]
    assert talk.child_says(id=1, result={}) == []
    assert talk.child_says(id=2 << EPOCH_BITS | 1, result={}) == []
    assert talk.dropped() == {"answer_to_nobody": 2}
    assert talk.child_says(id=first, result={}) == [Answered(POST, line(id=1, result={}), first)]


def test_ids_of_two_hundred_restarts_fit_into_32_bits() -> None:
    assert 255 << EPOCH_BITS < 1 << 32


def test_who_waits_when_another_gateway_goes_on_gets_an_error_and_the_child_no_answer() -> None:
    talk = Talk()
    talk.ask("tools/call", POST, id=7)
    talk.child_says(id="q1", method="roots/list")
    declined, failed = talk.state.leave(RESTART)
    assert failed == Answered(POST, RESTART.rpc_body(b"7"), 1, RESTART)
    assert isinstance(declined, ToChild)
    assert b'"id":"q1","error":' in declined.line
    assert talk.state.in_flight == 0
    assert talk.answer(id="q1", result={}) == []
