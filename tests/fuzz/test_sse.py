"""Messages as server-sent events: what a parser that goes by the standard makes of them."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gateway import sse
from gateway.jsonrpc import Message, decode, encode
from tests.support.events import Event, EventParser
from tests.support.fuzz import messages, portions, written


@st.composite
def a_message(draw: st.DrawFn) -> Message:
    """What a peer wrote in one way or another, and the gateway has read."""
    members: dict[str, Any] = draw(messages())
    return decode(draw(written(members)))


@given(said=st.lists(st.one_of(st.none(), a_message()), max_size=6), draw=st.data())
def test_every_message_is_one_event_whole_and_in_order(said: list[Message | None], draw: st.DataObject) -> None:
    """None is a comment in between, which nobody hears."""
    stream = b"".join(sse.COMMENT if each is None else sse.message(encode(each)) for each in said)
    parser = EventParser()
    heard = [event for portion in draw.draw(portions(stream)) for event in parser.feed(portion)]
    lines = [encode(each) for each in said if each is not None]
    assert heard == [Event("message", line.decode(), "") for line in lines]
    for event, line in zip(heard, lines, strict=True):
        assert json.loads(event.data) == json.loads(line)


@given(a_message(), st.data())
def test_an_event_that_is_cut_off_is_heard_as_nothing_at_all(said: Message, draw: st.DataObject) -> None:
    event = sse.message(encode(said))
    parser = EventParser()
    assert list(parser.feed(event[: draw.draw(st.integers(0, len(event) - 1))])) == []
