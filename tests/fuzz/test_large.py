"""Any large line, in any portions, is to a reader of its pieces what it is to one of the whole."""

from unittest.mock import patch

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from gateway import framing, large, outline, runs
from gateway.framing import LineSplitter
from gateway.jsonrpc import Malformed, Response, decode, encode
from gateway.large import LargeLine
from tests.support.fuzz import portions

SPICE = st.sampled_from(
    [
        *(
            b'"',
            b"\\",
            rb"\"",
            rb"\\",
            rb"\u00e9",
            rb"\ud83d\ude00",
            rb"\ud83d",
            rb"\ude00",
            b"\xc3\xa9",
            b"\xff",
            b"\xc3",
        ),
        *(
            b"\xf0\x9f\x98\x80",
            b"\xc3",
            b"\r",
            b"\t",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"1",
            b"true",
            b" ",
            b"x" * 40,
        ),
        *(b'"id":8', b'"result":', b'},"id":8'),
    ]
)
SOUP = st.lists(SPICE, max_size=30).map(b"".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=60)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=12,
)
ENVELOPES = st.sampled_from(
    [
        b'{"jsonrpc":"2.0","id":7,"result":%b}',
        b'{"result":%b,"id":7,"jsonrpc":"2.0"}',
        b'{"jsonrpc":"2.0","id":7,"error":%b}',
        b'{"jsonrpc": "2.0", "id": 7, "result": %b}',
        b'{"jsonrpc":"2.0","id":7,"result":%b,"id":8}',
        b'{"jsonrpc":"2.0","id":7,"result":1,"result":%b}',
        b'{"jsonrpc":"2.0","method":"m","params":%b}',
        b"%b",
    ]
)
LINES = st.one_of(
    st.builds(bytes.__mod__, ENVELOPES, VALUES.map(msgspec.json.encode)),
    st.builds(bytes.__mod__, ENVELOPES, SOUP),
    st.builds(bytes.__mod__, ENVELOPES, SOUP.map(lambda soup: b'{"a":["%b"]}' % soup)),
).filter(lambda line: b"\n" not in line)


def read(line: bytes, draw: st.DataObject) -> LargeLine | None:
    """`line` as one that is large, where a few bytes are as good as many; None where it is empty."""
    with (
        patch.object(framing, "LARGE", 0),
        patch.object(large, "LARGE", 0),
        patch.object(large, "PIECE", draw.draw(st.sampled_from([8, 64]))),
        patch.object(outline, "STEP", 4),
        patch.object(outline, "FEW", draw.draw(st.sampled_from([0, 64]))),
        patch.object(outline, "LEAST", 4),
        patch.object(runs, "ENDS", 32),
    ):
        splitter = LineSplitter(1_000_000)
        lines = [found for portion in draw.draw(portions(line + b"\n")) for found in splitter.feed(portion)]
        assert all(isinstance(found, LargeLine) for found in lines)
        return next((found for found in lines if isinstance(found, LargeLine)), None)


def meaning(data: bytes) -> object:
    """What a client reads."""
    return msgspec.json.decode(data)


@given(line=LINES, draw=st.data())
def test_what_is_no_message_as_a_whole_is_none_in_pieces(line: bytes, draw: st.DataObject) -> None:
    found = read(line, draw)
    try:
        message = decode(line)
    except Malformed:
        with patch.object(large, "LARGE", 0):
            assert found is None or found.fault is not None or found.answer() is None
        return
    assert found is not None
    assert found.fault is None
    with patch.object(large, "LARGE", 0):
        answer = found.answer()
    if answer is None:
        assert decode(bytes(found)) == decode(line.replace(b"\r", b" "))
        return
    assert isinstance(message, Response)
    assert answer.id == message.id
    assert meaning(bytes(answer.under(b'"theirs"'))) == meaning(
        encode(Response(b'"theirs"', message.result, message.error))
    )
    assert b"\n" not in bytes(answer)
    assert b"\r" not in bytes(answer)
    assert len(answer) == len(bytes(answer))
