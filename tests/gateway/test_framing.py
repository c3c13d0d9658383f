"""Lines, cut out of bytes that come in any portions."""

import pytest

from gateway.framing import LineSplitter, Oversized
from gateway.jsonrpc import ENDS
from gateway.large import LargeLine


def all_of(splitter: LineSplitter, *portions: bytes) -> list[bytes | LargeLine | Oversized]:
    """Every line that the portions complete."""
    return [line for portion in portions for line in splitter.feed(portion)]


def test_a_line_comes_out_without_its_newline() -> None:
    assert all_of(LineSplitter(10), b"hello\n") == [b"hello"]


def test_several_lines_in_one_portion_come_out_in_order() -> None:
    assert all_of(LineSplitter(10), b"one\ntwo\nthree\n") == [b"one", b"two", b"three"]


def test_a_line_comes_out_once_its_newline_has_come() -> None:
    splitter = LineSplitter(10)
    assert all_of(splitter, b"hel", b"lo") == []
    assert all_of(splitter, b"\nwor") == [b"hello"]
    assert all_of(splitter, b"ld\n") == [b"world"]


def test_bytes_that_come_one_by_one_make_the_same_lines() -> None:
    text = b"one\r\n\ntwo\n"
    assert all_of(LineSplitter(10), *(bytes([byte]) for byte in text)) == [b"one", b"two"]


def test_a_carriage_return_before_the_newline_is_taken_off() -> None:
    assert all_of(LineSplitter(10), b"one\r\ntwo\r", b"\n") == [b"one", b"two"]


def test_a_carriage_return_elsewhere_stays() -> None:
    assert all_of(LineSplitter(10), b"a\rb\n") == [b"a\rb"]


@pytest.mark.parametrize("empty", [b"\n", b"\n\n\n", b"\r\n"])
def test_an_empty_line_is_no_line(empty: bytes) -> None:
    assert all_of(LineSplitter(10), empty) == []


def test_what_waits_for_its_newline_is_counted() -> None:
    splitter = LineSplitter(10)
    all_of(splitter, b"one\ntw")
    assert splitter.rest() == 2
    all_of(splitter, b"o\n")
    assert splitter.rest() == 0


def test_a_line_of_exactly_the_limit_passes() -> None:
    assert all_of(LineSplitter(5), b"hello\n") == [b"hello"]


def test_a_line_over_the_limit_is_dropped_and_its_size_reported() -> None:
    assert all_of(LineSplitter(5), b"hello!\n") == [Oversized(6)]


def test_an_oversized_line_in_portions_is_reported_once_and_whole() -> None:
    splitter = LineSplitter(5)
    assert all_of(splitter, b"hello", b" wor", b"ld") == []
    assert all_of(splitter, b"!\n") == [Oversized(12)]


def test_the_line_after_an_oversized_one_is_unharmed() -> None:
    assert all_of(LineSplitter(5), b"far too long\nfine\n") == [Oversized(12), b"fine"]


def test_an_endless_line_is_counted_but_not_kept() -> None:
    splitter = LineSplitter(1000)
    for _ in range(100):
        all_of(splitter, b"x" * 1000)
    assert splitter.rest() == 100_000
    assert all_of(splitter, b"\nnext\n") == [Oversized(100_000), b"next"]


@pytest.mark.parametrize("portion", [1, 7, 100, 1000, 100_000])
def test_of_an_oversized_line_both_ends_are_kept(portion: int) -> None:
    line = b"<" + b"x" * 5000 + b">"
    splitter = LineSplitter(1000)
    [oversized] = all_of(splitter, *(line[at : at + portion] for at in range(0, len(line), portion)), b"\n")
    assert isinstance(oversized, Oversized)
    assert (oversized.size, oversized.head) == (5002, line[:ENDS])
    assert oversized.tail == line[-len(oversized.tail) :]
    assert len(oversized.tail) <= ENDS
    [again] = all_of(splitter, b"y" * 1001 + b"\n")
    assert isinstance(again, Oversized)
    assert again.head == again.tail == b"y" * ENDS
