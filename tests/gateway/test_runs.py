"""Runs of values and members in the parts of a JSON text."""

import pytest

from gateway.runs import shortened


@pytest.mark.parametrize(
    ("part", "left"),
    [
        (b"[1,2,3,4]", b"[1,0,4]"),
        (b'["a","b,c","d"]', b'["a",0,"d"]'),
        (b'{"a":1,"b":2,"c":3}', b'{"a":1,"":0,"c":3}'),
        (b'[{"a":1},{"a":2},{"a":3}]', b'[{"a":1},0,{"a":3}]'),
        (b'[{"a":1}\n, {"a":2} ,{"a":3}]', b'[{"a":1}\n,0,{"a":3}]'),
        (b"[[1],[2],[3]]", b"[[1],0,[3]]"),
        (b"[[1,2],[3,4],5,6,[7]]", b"[[1,2],0,5,6,[7]]"),
        (b'{"k":{"a":1},"l":{"a":2},"m":{"a":3}}', b'{"k":{"a":1},"":0,"m":{"a":3}}'),
        (b"[[[1],[2]],[[3],[4]],[[5],[6]]]", b"[[[1],[2]],0,[[5],[6]]]"),
    ],
)
def test_what_stands_between_two_commas_is_left_out(part: bytes, left: bytes) -> None:
    assert shortened(part, 0, []) == left


@pytest.mark.parametrize("part", [b"", b"[1,2]", b"[1, ,2]", b'"a,b,c,d"', b"[1],2,x,3,[4]"])
def test_what_is_no_run_stays(part: bytes) -> None:
    assert shortened(part, 0, []) == part


def test_what_stands_in_a_string_is_none() -> None:
    assert shortened(b'1,2,3","b","c","d"', 1, []) == b'1,2,3",0,"d"'


def test_a_run_with_a_word_that_is_looked_for_stays() -> None:
    part = b'{"a":1,"isError":true,"c":3}'
    assert shortened(part, 0, [b"isError"]) == part
