"""Envelopes: what is a message, what is none, and what of it passes."""

import msgspec
import pytest

from gateway.jsonrpc import (
    LONGEST_ID,
    MAX_BATCH,
    Batch,
    Malformed,
    Message,
    Notification,
    NotJson,
    Request,
    Response,
    answered_id,
    cancelled_id,
    decode,
    decode_batch,
    encode,
    is_batch,
    notification,
    on_one_line,
    progress_token,
    reported_token,
    request,
    with_cancelled_id,
)


def envelope(members: bytes) -> bytes:
    """A JSON-RPC object with `members` after its version."""
    return b'{"jsonrpc":"2.0",' + members + b"}"


# What is a message.


@pytest.mark.parametrize("id_", [b"1", b"0", b"-7", b"1.5", b'"abc"', b'""', b"9" * 40])
def test_a_number_or_a_text_is_an_id_and_stays_as_it_was_written(id_: bytes) -> None:
    assert decode(envelope(b'"id":%b,"method":"ping"' % id_)) == Request(id_, "ping", b"")


@pytest.mark.parametrize(
    ("written", "text"), [(b'"\\u0041"', b'"A"'), (b'"a\\/b"', b'"a/b"'), (b'"\\u00e9"', '"é"'.encode())]
)
def test_a_text_is_the_same_id_and_the_same_token_however_it_is_escaped(written: bytes, text: bytes) -> None:
    assert decode(envelope(b'"id":%b,"result":1' % written)) == Response(text, b"1", b"")
    assert cancelled_id(Notification("notifications/cancelled", b'{"requestId":%b}' % written)) == text
    assert reported_token(Notification("notifications/progress", b'{"progressToken":%b}' % written)) == text
    assert progress_token(Request(b"1", "x", b'{"_meta":{"progressToken":%b}}' % written)) == text


def test_the_number_1_and_the_text_1_are_two_ids() -> None:
    number, text = (decode(envelope(b'"id":%b,"method":"ping"' % id_)) for id_ in (b"1", b'"1"'))
    assert number != text


def test_params_stay_the_bytes_that_they_were() -> None:
    params = b'{ "x" : [1.0, 1e2, "\\u00e9"] }'
    assert decode(envelope(b'"id": 1 , "method":"a","params": %b ' % params)) == Request(b"1", "a", params)


def test_params_may_be_an_array() -> None:
    assert decode(envelope(b'"method":"a","params":[1]')) == Notification("a", b"[1]")


def test_without_an_id_it_is_a_notification() -> None:
    assert decode(envelope(b'"method":"a"')) == Notification("a", b"")


def test_null_params_are_none() -> None:
    assert decode(envelope(b'"method":"a","params":null')) == Notification("a", b"")


@pytest.mark.parametrize("result", [b"{}", b'{"a": 1}', b"null", b"5", b"[]"])
def test_any_json_is_a_result(result: bytes) -> None:
    assert decode(envelope(b'"id":1,"result":%b' % result)) == Response(b"1", result, b"")


def test_a_response_may_hold_an_error_instead() -> None:
    assert decode(envelope(b'"id":1,"error":{"code":-1}')) == Response(b"1", b"", b'{"code":-1}')


def test_an_error_that_is_null_is_none() -> None:
    assert decode(envelope(b'"id":1,"result":{},"error":null')) == Response(b"1", b"{}", b"")


def test_a_result_that_is_null_beside_an_error_is_none() -> None:
    assert decode(envelope(b'"id":1,"result":null,"error":{"code":-1}')) == Response(b"1", b"", b'{"code":-1}')


def test_of_a_member_that_stands_twice_the_last_counts_and_only_it_is_passed_on() -> None:
    message = decode(envelope(b'"id":1,"id":2,"method":"a","method":"b"'))
    assert message == Request(b"2", "b", b"")
    assert encode(message) == envelope(b'"id":2,"method":"b"')


def test_members_that_json_rpc_does_not_know_do_not_pass() -> None:
    assert encode(decode(envelope(b'"evil":1,"method":"a"'))) == envelope(b'"method":"a"')


# What is none.


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"  ",
        b"Server listening on stdio",
        b"{",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b'{"a":\xff}',
        envelope(b'"method":"\xff"'),
        envelope(b'"method":"a","params":{"x":"\xff"}'),
        envelope(b'"method":"a","params":{"x":tru}'),
        envelope(b'"method":"a","params":{"x":1,}'),
        envelope(b'"method":"a","params":{"x":01}'),
        envelope(b'"method":"a","params":{"x":NaN}'),
        envelope(b'"method":"a","params":{"x":"\\q"}'),
        envelope(b'"method":"a","params":{"x":"line\nbreak"}'),
        envelope(b'"method":"\\ud800"'),
        envelope(b'"id":-,"method":"a"'),
        envelope(b'"method":"a","params":' + b"[" * 100_000 + b"]" * 100_000),
    ],
)
def test_what_is_not_json_in_utf_8_is_not_json(data: bytes) -> None:
    with pytest.raises(NotJson):
        decode(data)


@pytest.mark.parametrize("data", [b"[]", b' \t\r\n[{"jsonrpc":"2.0","method":"a"}]'])
def test_an_array_is_a_batch(data: bytes) -> None:
    with pytest.raises(Batch):
        decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"5",
        b'"text"',
        b"null",
        b"{}",
        b'{"method":"a"}',
        b'{"jsonrpc":"1.0","method":"a"}',
        b'{"jsonrpc":2.0,"method":"a"}',
        envelope(b'"id":1'),
        envelope(b'"result":{}'),
        envelope(b'"method":5'),
        envelope(b'"id":null,"method":"a"'),
        envelope(b'"id":true,"method":"a"'),
        envelope(b'"id":{},"method":"a"'),
        envelope(b'"id":[1],"method":"a"'),
        envelope(b'"id":null,"error":{}'),
        envelope(b'"id":1,"error":null'),
        envelope(b'"id":1,"result":{},"error":{}'),
        envelope(b'"method":"a","params":5'),
        envelope(b'"method":"a","params":"x"'),
    ],
)
def test_json_that_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode(data)
    assert type(caught.value) is Malformed


@pytest.mark.parametrize(
    "data", [b"hunter2", b'"hunter2"', b'["hunter2"]', envelope(b'"id":{"hunter2":1},"method":"a"')]
)
def test_what_is_wrong_is_said_without_quoting_it(data: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        decode(data)
    assert "hunter2" not in str(caught.value)


# What is written.


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (Request(b"1", "a/b", b""), envelope(b'"id":1,"method":"a/b"')),
        (Request(b'"x"', "a", b'{"y":1}'), envelope(b'"id":"x","method":"a","params":{"y":1}')),
        (Notification("a", b""), envelope(b'"method":"a"')),
        (Notification("a", b"[1]"), envelope(b'"method":"a","params":[1]')),
        (Response(b"1", b"{}", b""), envelope(b'"id":1,"result":{}')),
        (Response(b"1", b"", b'{"code":1}'), envelope(b'"id":1,"error":{"code":1}')),
    ],
)
def test_a_message_is_written_and_read_back(message: Message, line: bytes) -> None:
    assert encode(message) == line
    assert decode(line) == message


def test_a_method_is_escaped() -> None:
    line = encode(Notification('a"\n', b""))
    assert line == envelope(b'"method":"a\\"\\n"')
    assert decode(line) == Notification('a"\n', b"")


def test_a_message_over_several_lines_is_written_on_one() -> None:
    pretty = envelope(b'\r\n "id": 1,\n "method": "a",\n "params": {\r\n  "x": "y"\n }\n')
    line = encode(decode(pretty))
    assert b"\n" not in line
    assert b"\r" not in line
    assert msgspec.json.decode(line) == msgspec.json.decode(pretty)


@pytest.mark.parametrize("line_break", [b"\n", b"\r", b"\r\n"])
def test_a_line_break_of_any_kind_becomes_blank(line_break: bytes) -> None:
    assert on_one_line(b"{%b}" % line_break).split() == [b"{", b"}"]
    assert not {*b"\r\n"} & {*on_one_line(b"{%b}" % line_break)}


def test_one_line_stays_as_it_is() -> None:
    assert on_one_line(b'{"a": "b"}') == b'{"a": "b"}'


def test_messages_of_our_own() -> None:
    assert encode(request(7, "tools/list")) == envelope(b'"id":7,"method":"tools/list"')
    assert encode(request(7, "a", {"b": 1})) == envelope(b'"id":7,"method":"a","params":{"b":1}')
    assert encode(notification("a")) == envelope(b'"method":"a"')
    assert encode(notification("a", {})) == envelope(b'"method":"a","params":{}')


# The few members of params that are read.


@pytest.mark.parametrize("token", [b"1", b'"1"', b'"a b"'])
def test_the_token_under_which_a_request_wants_progress_stands_in_its_meta(token: bytes) -> None:
    assert progress_token(Request(b"1", "a", b'{"x":1,"_meta":{"progressToken": %b}}' % token)) == token


@pytest.mark.parametrize(
    "params",
    [
        b"",
        b"{}",
        b"[1]",
        b'{"_meta":{}}',
        b'{"_meta":null}',
        b'{"progressToken":1}',
        b'{"_meta":5,"progressToken":1}',
        b'["progressToken"]',
    ],
)
def test_a_request_without_a_token_has_none(params: bytes) -> None:
    assert progress_token(Request(b"1", "a", params)) == b""


def test_progress_names_its_token() -> None:
    assert reported_token(Notification("notifications/progress", b'{"progressToken":"t","progress":1}')) == b'"t"'
    assert reported_token(Notification("notifications/progress", b'{"progress":1}')) == b""
    assert reported_token(Notification("notifications/progress", b"")) == b""


def test_a_cancellation_names_its_request() -> None:
    assert cancelled_id(Notification("notifications/cancelled", b'{"requestId":"7"}')) == b'"7"'
    assert cancelled_id(Notification("notifications/cancelled", b"[]")) == b""


def test_a_cancellation_is_rewritten_for_another_id_and_keeps_its_reason() -> None:
    ours = with_cancelled_id(Notification("notifications/cancelled", b'{"requestId":"7","reason":"no  more"}'), 3)
    assert ours == Notification("notifications/cancelled", b'{"requestId":3,"reason":"no  more"}')


def test_an_id_that_is_long_is_refused_and_a_token_that_is_long_counts_as_none() -> None:
    """Many are kept for as long as something is open, so it matters how long each may be."""
    long = "x" * LONGEST_ID
    with pytest.raises(Malformed, match=f"its id is longer than {LONGEST_ID} bytes"):
        decode(msgspec.json.encode({"jsonrpc": "2.0", "id": long, "method": "a"}))
    asked = decode(
        msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "a", "params": {"_meta": {"progressToken": long}}})
    )
    assert isinstance(asked, Request)
    assert progress_token(asked) == b""


PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
RESULT = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def array(*members: bytes) -> bytes:
    """A JSON array, spread over lines."""
    return b" \r\n[" + b",\n".join(members) + b"]\n"


@pytest.mark.parametrize("count", [1, 2, MAX_BATCH])
def test_a_batch_is_its_messages_in_order(count: int) -> None:
    members = [b'{"jsonrpc":"2.0","id":%d,"method":"ping"}' % number for number in range(count)]
    assert is_batch(array(*members))
    assert decode_batch(array(*members)) == [decode(member) for member in members]
    assert decode_batch(array(RESULT, RESULT)) == [decode(RESULT)] * 2


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (array(), "array of none"),
        (array(*[PING] * (MAX_BATCH + 1)), "more than 100"),
        (array(*[b"1"] * 1_000_000), "more than 100"),
        (array(PING, RESULT), "responses and others"),
        (array(PING, b"7"), "not a JSON-RPC message"),
        (array(array(PING)), "array of messages"),
        (array(b"\xff"), "not JSON"),
        (array(PING)[:-3], "not JSON"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_batch_that_is_wrong_anywhere_is_none(data: bytes, error: str) -> None:
    with pytest.raises(Malformed, match=error):
        decode_batch(data)


def test_an_object_is_no_batch() -> None:
    assert not is_batch(PING)
    assert not is_batch(b"")


@pytest.mark.parametrize(
    ("head", "tail", "id_"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":{"a', b"", b"7"),
        (b'{"jsonrpc": "2.0", "id": 7, "error": {"a', b"}}", b"7"),
        (b'{"id":7,"jsonrpc":"2.0","result":[', b"", b"7"),
        (b'{"result":{"content":[', b'"}]},"jsonrpc":"2.0","id":7}', b"7"),
        (b'{"jsonrpc":"2.0","result":{', b'}, "id": 7 }\r', b"7"),
        (b'{"result":{', b'},"id":7,"jsonrpc":"2.0"}', b"7"),
        (b'{"jsonrpc":"2.0","id":"7","result":{', b"}", b""),
        (b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"', b',"id":7}', b""),
        (b'{"jsonrpc":"2.0","method":"notifications/message","params":{', b',"id":7}}', b""),
        (b'{"result":{', b'},"id":7}}', b""),
        (b'{"result":{', rb"\"id\":7}", b""),
        (b"", b"", b""),
        (b"x" * 256, b',"id":7}', b""),
    ],
)
def test_the_ends_of_a_response_tell_its_id_where_they_are_its_envelope(head: bytes, tail: bytes, id_: bytes) -> None:
    assert answered_id(head, tail) == id_
