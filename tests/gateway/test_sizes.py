"""What is too long for a client becomes an error of which the client can tell; what is no answer makes room for it."""

import json
from collections import Counter

import pytest

from common.config.model import ServerPolicy
from gateway.jsonrpc import Response, decode
from gateway.sizes import LIBRECHAT, LIBRECHAT_EVENT, LIBRECHAT_RESULT, Bounds, Fit, bounds, client_name

POLICY = ServerPolicy(start_timeout=1, request_timeout=1, max_message_bytes=1024)


def answer(size: int) -> bytes:
    """An answer of exactly so many bytes."""
    empty = b'{"jsonrpc":"2.0","id":"a","result":""}'
    return empty.replace(b'""', b'"%b"' % (b"x" * (size - len(empty))))


def news(size: int) -> bytes:
    """The same for a notification."""
    empty = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":""}}'
    return empty.replace(b'""', b'"%b"' % (b"x" * (size - len(empty))))


def fit(result: int | None, event: int | None, *, endless: bool = False) -> tuple[Fit, Counter[str]]:
    counters: Counter[str] = Counter()
    return Fit(Bounds(result, event), counters, endless=endless), counters


def complaint(data: bytes) -> dict[str, object]:
    message = decode(data)
    assert isinstance(message, Response)
    assert message.id == b'"a"'
    error: dict[str, object] = json.loads(message.error)
    return error


def test_only_librechat_is_known_to_take_no_more() -> None:
    assert bounds(POLICY, "") == bounds(POLICY, "claude-ai") == Bounds(None, None)
    assert bounds(POLICY, LIBRECHAT) == Bounds(LIBRECHAT_RESULT, LIBRECHAT_EVENT)
    assert LIBRECHAT_RESULT < 16 * 1024 * 1024
    assert LIBRECHAT_EVENT < 5 * 1024 * 1024


def test_what_the_configuration_says_holds_for_every_client() -> None:
    policy = POLICY.model_copy(update={"max_result_bytes": None, "max_event_bytes": 70_000})
    assert bounds(policy, LIBRECHAT) == bounds(policy, "another") == Bounds(None, 70_000)


@pytest.mark.parametrize(
    ("info", "name"),
    [
        (b'{"name":"@librechat/api-client","version":"1.2.3"}', LIBRECHAT),
        (b'{"name":7}', ""),
        (b'{"version":"1"}', ""),
        (b"[]", ""),
        (b"", ""),
        (b'{"name":"' + b"x" * 1000 + b'"}', "x" * 64),
    ],
)
def test_a_client_is_called_as_it_introduces_itself(info: bytes, name: str) -> None:
    assert client_name(info) == name


def test_an_answer_alone_has_the_bound_of_a_result() -> None:
    it, _ = fit(1000, 100)
    assert it.alone(answer(1000)) == answer(1000)
    error = complaint(bytes(it.alone(answer(1001))))
    assert error["data"] == {"size": 1001, "max_result_bytes": 1000}
    assert "max_result_bytes" in str(error["message"])


def test_an_answer_as_an_event_has_the_bound_of_an_event() -> None:
    it, counters = fit(1000, 100)
    assert it.event(answer(100)) == answer(100)
    assert complaint(bytes(it.event(answer(101))))["data"] == {"size": 101, "max_event_bytes": 100}
    assert not counters


@pytest.mark.parametrize(("result", "event"), [(100, None), (100, 1000)])
def test_an_event_is_no_longer_than_a_result_may_be(result: int, event: int | None) -> None:
    it, _ = fit(result, event)
    assert it.event(answer(100)) == answer(100)
    assert complaint(bytes(it.event(answer(101))))["data"] == {"size": 101, "max_result_bytes": 100}


def test_what_comes_before_an_answer_leaves_it_room_on_the_stream() -> None:
    it, counters = fit(1000, 400)
    sent = [it.event(news(300)) for _ in range(3)]
    assert sent == [news(300), news(300), b""]
    assert counters == {"oversized": 1}
    assert it.event(answer(400)) == answer(400)


def test_what_is_no_answer_and_too_long_for_an_event_is_dropped() -> None:
    it, counters = fit(None, 200)
    assert it.event(news(201)) == b""
    assert it.event(news(200)) == news(200)
    assert counters == {"oversized": 1}


def test_a_stream_that_is_no_answer_may_go_on_for_ever() -> None:
    it, counters = fit(1000, 400, endless=True)
    assert [it.event(news(400)) for _ in range(10)] == [news(400)] * 10
    assert not counters


def test_without_bounds_all_is_left_as_it_is() -> None:
    it, _ = fit(None, None)
    assert it.event(b"anything") == b"anything"
    assert it.alone(b"anything") == b"anything"


def test_no_size_in_an_error_looks_like_a_status() -> None:
    # LibreChat takes an error with 401 in it for a failed login, and 429 for a refusal.
    it, _ = fit(1000, 100)
    for size in (1401, 4010, 42_900):
        assert not {"401", "429"} & set(str(complaint(bytes(it.alone(answer(size))))["message"]).split())
        assert "401" not in str(complaint(bytes(it.alone(answer(size))))["message"])
