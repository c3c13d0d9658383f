"""What is remembered of lanes: what waits, what is subscribed to, and what is kept for another gateway."""

import msgspec
import pytest
from msgspec import Raw

from gateway.identity.principal import Principal
from gateway.jsonrpc import Request, notification, request
from gateway.kept import MAX_BYTES, TooLong, Unreadable
from gateway.personal import Personal
from gateway.sharing import kept
from gateway.sharing.kept import VERSION, KeptChild, KeptSession, is_shared, read, write
from gateway.sharing.subscriptions import MAX_URIS, Subscriptions, uri_of
from gateway.sharing.tokens import with_token
from gateway.sharing.waiting import Wait, Waiting
from gateway.sharing.whose import Whose

WHOSE = Whose(Principal("basic", "alice"), "s", "user")
CHILD = KeptChild(VERSION, "basic", "alice", "s", "user", Raw(b'{"protocolVersion":"1"}'), given="00ff")


def waits(id_: int, size: int = 0) -> Wait:
    return Wait(request(id_, "tools/call", "x" * size), WHOSE, Personal())


def test_what_waits_is_heard_in_its_order() -> None:
    waiting = Waiting(1000)
    for id_ in (1, 2, 3):
        waiting.add(waits(id_))
    assert waiting.take_back(b"2")
    assert not waiting.take_back(b"2")
    assert [waiting.pop(), waiting.pop()] == [waits(1).message, waits(3).message]
    assert len(waiting) == 0


def test_there_is_a_bound_to_what_waits() -> None:
    waiting = Waiting(200)
    waiting.add(waits(1, 90))
    assert not waiting.is_full
    waiting.add(waits(2, 90))
    assert waiting.is_full
    waiting.take_back(b"1")
    waiting.pop()
    assert not waiting.is_full


def test_what_waits_shows_no_secret() -> None:
    wait = Wait(request(1, "tools/call", "secret-argument"), WHOSE, Personal({"header:X": "secret-value"}))
    assert "secret" not in repr(wait)


def test_a_lane_has_a_bounded_number_of_subscriptions() -> None:
    subscriptions = Subscriptions()
    for number in range(MAX_URIS + 5):
        subscriptions.add(1, f"u{number}")
    assert len(subscriptions.leave(1)) == MAX_URIS
    subscriptions.add(1, "again")
    assert subscriptions.interested("again") == {1}
    subscriptions.add(1, "")
    assert not subscriptions.has("")


@pytest.mark.parametrize("params", [b"", b"[]", b'{"uri":5}', b'{"uri":"' + b"\\u"])
def test_a_message_may_name_no_resource(params: bytes) -> None:
    assert uri_of(Request(b"1", "resources/subscribe", params)) == ""
    assert uri_of(notification("x", {"uri": "u"})) == "u"


@pytest.mark.parametrize("params", [b"", b"[]", b'{"_meta":5}', b'{"_meta":[' + b"[" * 5000])
def test_a_request_in_which_no_token_can_be_put_stays_as_it_is(params: bytes) -> None:
    message = Request(b"1", "tools/call", params)
    assert with_token(message, b"7") is message


def test_a_child_and_its_sessions_are_read_as_they_were_written() -> None:
    sessions = [KeptSession(f"gw.{number}", "REST", "2025-11-25", hello='{"a":1}') for number in range(3)]
    text, count = write(CHILD, sessions)
    assert (count, is_shared(text)) == (3, True)
    found = read(text)
    assert list(found.sessions) == sessions
    assert bytes(found.welcome) == bytes(CHILD.welcome)
    assert "gw.1" not in repr(found) + repr(found.sessions[1])


def test_of_too_many_sessions_the_newest_are_kept() -> None:
    sessions = [KeptSession(f"gw.{number:010}", "REST", "") for number in range(10_000)]
    text, count = write(CHILD, sessions)
    assert MAX_BYTES - 100 < len(text) <= MAX_BYTES
    assert read(text).sessions == tuple(sessions[-count:])


def test_a_child_that_said_too_much_is_not_kept() -> None:
    with pytest.raises(TooLong):
        write(msgspec.structs.replace(CHILD, welcome=Raw(b'"%b"' % (b"x" * MAX_BYTES))), [])


@pytest.mark.parametrize("change", [{"shared": VERSION + 1}, {"given": "no"}, {"more": 1}, {"sessions": 1}])
def test_what_another_version_wrote_is_not_read(change: dict[str, object]) -> None:
    said = msgspec.json.decode(write(CHILD, [])[0]) | change
    with pytest.raises(Unreadable):
        read(msgspec.json.encode(said).decode())
    assert kept.VERSION == VERSION
