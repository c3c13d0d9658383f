"""Any bytes into messages, and messages into bytes that mean the same."""

import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.jsonrpc import (
    LONGEST_ID,
    Malformed,
    Message,
    Notification,
    Request,
    Response,
    cancelled_id,
    decode,
    encode,
    on_one_line,
    progress_token,
    reported_token,
)
from tests.support.fuzz import ANY_BYTES, IDS, VALUES, messages, written


def looked_into(message: Message) -> None:
    """Every part of it that anything asks for was asked for."""
    match message:
        case Request():
            progress_token(message)
        case Notification():
            reported_token(message)
            cancelled_id(message)


def nested(depth: int) -> bytes:
    """A request whose params are `depth` arrays deep."""
    deep = b"[" * depth + b"]" * depth
    return b'{"jsonrpc":"2.0","id":1,"method":"a","params":{"_meta":{"progressToken":%b},"progressToken":0}}' % deep


@given(ANY_BYTES)
@example(nested(100_000))
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
def test_any_bytes_are_one_message_or_are_refused(data: bytes) -> None:
    try:
        message = decode(data)
    except Malformed:
        return
    looked_into(message)
    line = encode(message)
    assert b"\n" not in line
    assert b"\r" not in line
    assert encode(decode(line)) == line
    assert decode(line) == decode(on_one_line(data))


def test_any_depth_is_refused_or_can_be_looked_into() -> None:
    """How deep is too deep depends on the caller's own depth, so one of these lies exactly in between."""
    taken = []
    for depth in range(1, 1200):
        try:
            message = decode(nested(depth))
        except Malformed:
            continue
        looked_into(message)
        taken.append(depth)
    assert taken == list(range(1, len(taken) + 1))
    assert len(taken) > 100


@given(members=messages(), draw=st.data())
def test_a_message_means_the_same_afterwards(members: dict[str, Any], draw: st.DataObject) -> None:
    data = draw.draw(written(members))
    message = decode(data)
    line = encode(message)
    assert len(line.splitlines()) == 1 or line.splitlines() == [line]
    meant = json.loads(line)
    if members.get("error") is None:
        members.pop("error", None)
    assert meant == members
    assert type(meant.get("id")) is type(members.get("id"))
    assert decode(line) == decode(on_one_line(data))


@given(members=messages(), draw=st.data())
def test_what_is_not_the_envelope_stays_byte_for_byte(members: dict[str, Any], draw: st.DataObject) -> None:
    name = next((name for name in ("params", "result", "error") if members.get(name) is not None), None)
    if name is None:
        return
    inner = draw.draw(written(members[name]))
    data = msgspec.json.encode({**members, name: msgspec.Raw(inner)})
    message = decode(data)
    held = message.params if not isinstance(message, Response) else message.result or message.error
    assert held == inner
    assert on_one_line(inner) in encode(message)


@given(one=IDS, other=IDS, draw=st.data())
def test_two_ids_are_the_same_exactly_where_their_values_and_types_are(
    one: object, other: object, draw: st.DataObject
) -> None:
    def id_of(value: object) -> bytes:
        message = decode(b'{"jsonrpc":"2.0","method":"a","id":%b}' % draw.draw(written(value)))
        assert isinstance(message, Request)
        return message.id

    assert (id_of(one) == id_of(other)) == (one == other and type(one) is type(other))


@given(params=st.one_of(VALUES.map(msgspec.json.encode), ANY_BYTES))
def test_looking_for_tokens_and_ids_finds_one_or_none(params: bytes) -> None:
    asked, told = Request(b"1", "a", params), Notification("b", params)
    for found in (progress_token(asked), reported_token(told), cancelled_id(told)):
        assert isinstance(found, bytes)


@given(st.integers(LONGEST_ID - 4, LONGEST_ID + 4))
def test_an_id_is_kept_up_to_the_longest_and_refused_beyond_it(size: int) -> None:
    data = b'{"jsonrpc":"2.0","id":"%b","result":1}' % (b"x" * (size - 2))
    try:
        message = decode(data)
    except Malformed:
        assert size > LONGEST_ID
    else:
        assert isinstance(message, Response)
        assert len(message.id) == size <= LONGEST_ID
