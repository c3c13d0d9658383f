"""Whatever a text is, it is JSON exactly when it is with a run of it shortened."""

from unittest.mock import patch

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import runs
from gateway.runs import marks, shortened

TOKENS = st.sampled_from(
    [
        b",",
        b",",
        b",",
        b":",
        b"[",
        b"]",
        b"{",
        b"}",
        b"1",
        b'"a"',
        b'"a":1',
        b'{"b":[2,3]}',
        b'"c,d"',
        rb'"\",\\"',
        b" ",
    ]
)
SOUP = st.lists(TOKENS, max_size=24).map(b"".join)
VALUES = st.recursive(
    st.sampled_from([1, "a,b", 'say "x", y\\', None]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6), st.dictionaries(st.text("ab,", max_size=3), inner, max_size=6)
    ),
    max_leaves=24,
).map(msgspec.json.encode)


def is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        return False
    return True


@given(SOUP, SOUP | VALUES, SOUP, st.integers(2, 64))
@example(b'{"k":', b'1,"x"', b":2}", 64)
@example(b'{"k":', b"1,2,3,4", b"}", 64)
@example(b"[", b"1, ,2", b"]", 64)
@example(b'{"k":1', b',"a","b","c",', b'"d":2}', 64)
@example(b"[1", b',"a":1,"b":2,', b"3]", 64)
def test_a_shorter_text_is_as_good_as_the_whole(before: bytes, part: bytes, behind: bytes, ends: int) -> None:
    with patch.object(runs, "ENDS", ends):
        left = shortened(part, marks(before), [b"b"])
    assert is_json(before + left + behind) == is_json(before + part + behind)
    assert left.count(b"b") == part.count(b"b"), "a run with that word stays"


@given(VALUES, st.data())
def test_so_it_is_wherever_the_text_is_cut(text: bytes, data: st.DataObject) -> None:
    first, last = sorted((data.draw(st.integers(0, len(text))), data.draw(st.integers(0, len(text)))))
    before, part, behind = text[:first], text[first:last], text[last:]
    if (len(before) - len(before.rstrip(b"\\"))) % 2:
        return  # it does not begin between two characters
    assert is_json(before + shortened(part, marks(before), []) + behind)
