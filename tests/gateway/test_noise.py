"""How much of a child's noise the log gets to see."""

from collections.abc import Iterator

import pytest
from loguru import logger

from gateway.jsonrpc import Malformed
from gateway.noise import LOGGED_AT_ONCE, LOGGED_BYTES, LOGGED_PER_SECOND, Noise


@pytest.fixture
def log() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message).rstrip()), format="{message}", level="DEBUG")
    yield lines
    logger.remove(sink)


def test_the_first_lines_are_logged_and_the_rest_is_counted(log: list[str]) -> None:
    now = [100.0]
    noise = Noise(lambda: "it", lambda: now[0])
    for _ in range(LOGGED_AT_ONCE + 500):
        noise.malformed(Malformed("it is not JSON"), b"hello")
    assert log == ["it wrote what is no message (it is not JSON): 'hello'"] * LOGGED_AT_ONCE
    log.clear()
    now[0] += 1 / LOGGED_PER_SECOND
    noise.oversized(2000, 1000)
    assert log == [
        "it wrote 500 more lines that were no messages or too long",
        "it wrote a line of 2000 bytes; max_message_bytes is 1000; dropped",
    ]


def test_what_was_counted_last_is_told_at_the_end_and_once(log: list[str]) -> None:
    noise = Noise(lambda: "it", lambda: 100.0)
    for size in range(LOGGED_AT_ONCE + 1):
        noise.oversized(size, 0)
    noise.close()
    noise.close()
    assert log[LOGGED_AT_ONCE:] == ["it wrote 1 more lines that were no messages or too long"]


def test_a_long_line_is_cut(log: list[str]) -> None:
    Noise(lambda: "it").malformed(Malformed("no"), b"x" * 1000)
    assert log == [f"it wrote what is no message (no): {'x' * LOGGED_BYTES!r}"]


def test_what_looks_like_a_secret_is_not_shown_not_even_the_half_of_it_that_a_cut_leaves(log: list[str]) -> None:
    noise = Noise(lambda: "it")
    noise.malformed(Malformed("no"), b"token=abcdefghijkl")
    noise.malformed(Malformed("no"), b"x" * (LOGGED_BYTES - 10) + b" ghp_" + b"s3cret" * 8)
    assert "abcdefghijkl" not in log[0]
    assert "s3cr" not in log[1]


def test_of_a_child_with_something_of_its_users_own_nothing_is_shown(log: list[str]) -> None:
    noise = Noise(lambda: "it", quotes=False)
    noise.malformed(Malformed("it is not JSON"), b"the token is hunter2hunter2")
    assert log == ["it wrote what is no message (it is not JSON), of 27 bytes"]
