"""Server-sent events, byte for byte."""

from gateway import sse


def test_a_message_is_one_event_of_type_message() -> None:
    assert sse.message(b'{"jsonrpc":"2.0"}') == b'event: message\ndata: {"jsonrpc":"2.0"}\n\n'


def test_a_message_may_have_an_id() -> None:
    assert sse.message(b"{}", b"r0-1-1") == b"id: r0-1-1\nevent: message\ndata: {}\n\n"


def test_a_stream_may_begin_with_an_id_and_no_data() -> None:
    assert sse.priming(b"r0-1-0") == b"id: r0-1-0\nretry: 1000\ndata: \n\n"


def test_the_endpoint_is_told_as_text() -> None:
    assert sse.endpoint("?sessionId=gw.abc") == b"event: endpoint\ndata: ?sessionId=gw.abc\n\n"


def test_a_comment_is_a_whole_block_that_holds_no_field() -> None:
    assert sse.COMMENT.startswith(b":")
    assert sse.COMMENT.endswith(b"\n\n")
    assert sse.COMMENT.count(b"\n") == 2
