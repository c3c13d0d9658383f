"""The last of what a child says on stderr, kept and logged."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import pytest
from loguru import logger

from supervisor.stderr import StderrTail
from tests.support.processes import PATIENCE


@contextmanager
def listening() -> Iterator[tuple[StderrTail, int]]:
    """A tail, and the child's end of its pipe, which the test may close."""
    ours, childs = os.pipe()
    tail = StderrTail(ours, "fs pid 7")
    try:
        yield tail, childs
    finally:
        tail.close()
        with suppress(OSError):
            os.close(childs)


@contextmanager
def logging_to(sink: Callable[[str], None]) -> Iterator[None]:
    """Have every line that is logged go to `sink`, too."""
    number = logger.add(lambda message: sink(message.record["message"]), level="DEBUG", format="{message}")
    try:
        yield
    finally:
        logger.remove(number)


async def test_what_the_child_said_is_kept_line_by_line() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"one\ntwo\r\n\nthree\n")
        tail.close()
        assert tail.tail(10) == ["one", "two", "", "three"]


async def test_the_last_lines_are_given() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"one\ntwo\nthree\n")
        tail.close()
        assert tail.tail(2) == ["two", "three"]


async def test_a_line_that_is_not_complete_is_the_last_one() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"one\ntwo")
        tail.close()
        assert tail.tail(10) == ["one", "two"]


async def test_a_child_that_said_nothing_left_no_lines() -> None:
    with listening() as (tail, _):
        tail.close()
        assert tail.tail(10) == []


async def test_each_line_is_logged_with_its_childs_name_as_it_comes() -> None:
    logged: list[str] = []
    news = anyio.Event()

    def sink(line: str) -> None:
        logged.append(line)
        news.set()

    with listening() as (_, childs), logging_to(sink), anyio.fail_after(PATIENCE):
        os.write(childs, b"half a ")
        os.write(childs, b"line\n")
        await news.wait()
        assert logged == ["fs pid 7 stderr: half a line"]


async def test_only_the_newest_lines_are_kept() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"".join(b"%d\n" % number for number in range(1000)))
        tail.close()
        assert tail.tail(1000) == [str(number) for number in range(800, 1000)]


async def test_of_a_long_line_the_beginning_is_kept() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"begin" + b"x" * 5000 + b"\nnext\n")
        tail.close()
        first, second = tail.tail(2)
        assert first.startswith("begin")
        assert len(first) == 2000
        assert second == "next"


@pytest.mark.parametrize("portion", [1000, 3000, 18_000])
async def test_a_flood_without_newlines_does_not_fill_the_memory(portion: int) -> None:
    with listening() as (tail, childs):
        for _ in range(18_000 // portion):
            os.write(childs, b"x" * portion)
        tail.close()
        assert tail.tail(10) == ["x" * 2000]
        assert len(tail._partial) == 2000


async def test_bytes_that_are_no_text_are_shown_as_such() -> None:
    with listening() as (tail, childs):
        os.write(childs, b"caf\xe9 \xff\n\xc3\xa9\n")
        tail.close()
        assert tail.tail(2) == ["caf\\xe9 \\xff", "é"]


async def test_a_child_that_closes_its_stderr_is_let_go_of_at_once() -> None:
    with listening() as (tail, childs), anyio.fail_after(PATIENCE):
        os.write(childs, b"last words\n")
        os.close(childs)
        while tail._fd >= 0:
            await anyio.lowlevel.checkpoint()
        assert tail.tail(1) == ["last words"]


async def test_the_next_child_may_get_the_same_descriptor_at_once() -> None:
    logged: list[str] = []
    news = anyio.Event()

    def sink(line: str) -> None:
        logged.append(line)
        news.set()

    with listening() as (tail, _):
        number = tail._fd
    with listening() as (tail, childs), logging_to(sink), anyio.fail_after(PATIENCE):
        assert tail._fd == number
        os.write(childs, b"hello\n")
        await news.wait()


async def test_closing_does_not_wait_and_may_be_done_again() -> None:
    with listening() as (tail, childs):
        tail.close()
        tail.close()
        with pytest.raises(BrokenPipeError):
            os.write(childs, b"too late")


async def test_closing_ends_though_something_goes_on_writing() -> None:
    patience = 10_000
    logged: list[str] = []

    with listening() as (tail, childs):

        def write_more(line: str) -> None:
            logged.append(line)
            if len(logged) < patience:
                os.write(childs, b"and another thing " * 50 + b"\n")

        with logging_to(write_more):
            os.write(childs, b"one thing\n")
            tail.close()
    assert 0 < len(logged) < patience
