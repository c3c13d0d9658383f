"""Bytes in pieces."""

import pytest

from gateway.ropes import Rope

PIECES = (b"one", b"", b"two", b"three")
WHOLE = b"".join(PIECES)


def test_a_rope_is_the_bytes_of_its_pieces() -> None:
    rope = Rope(PIECES)
    assert (len(rope), bytes(rope), b"".join(rope.pieces)) == (len(WHOLE), WHOLE, WHOLE)
    assert b"" not in rope.pieces


@pytest.mark.parametrize("start", range(len(WHOLE) + 1))
def test_a_part_of_a_rope_is_that_part_of_its_bytes(start: int) -> None:
    for stop in range(start, len(WHOLE) + 1):
        assert bytes(Rope(PIECES).part(start, stop)) == WHOLE[start:stop]


def test_what_is_whole_in_a_part_is_no_copy() -> None:
    first, *middle, last = pieces = [bytes([number]) * 1000 for number in range(5)]
    part = list(Rope(pieces).part(1, 4999).pieces)
    assert part[0] == first[1:]
    assert part[-1] == last[:-1]
    assert all(ours is theirs for ours, theirs in zip(part[1:-1], middle, strict=True))
