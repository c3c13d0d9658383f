"""Messages over a child's pipes: real pipes, with the test at the child's ends of them."""

import asyncio
import fcntl
import gc
import os
import select
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar, copy_context

import anyio
import pytest

from gateway.channel import UNSENT_BYTES, Channel, ChildNotReading
from gateway.framing import Oversized
from gateway.hotstate import NoNotes
from gateway.large import LargeLine
from tests.support.processes import PATIENCE

LIMIT = 1024 * 1024
LARGE = b"x" * LIMIT


class Heard:
    """What a channel told its listener."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.large: list[LargeLine] = []
        self.oversized: list[int] = []
        self.closed = 0
        self._news = anyio.Event()

    def on_line(self, line: bytes) -> None:
        self.lines.append(line)
        self._tell()

    def on_large(self, line: LargeLine) -> None:
        self.large.append(line)
        self._tell()

    def on_oversized(self, line: Oversized) -> None:
        self.oversized.append(line.size)
        self._tell()

    def on_closed(self) -> None:
        self.closed += 1
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def until_lines(self, count: int) -> None:
        """Wait until `count` lines were heard."""
        with anyio.fail_after(PATIENCE):
            while len(self.lines) < count:
                await self._news.wait()

    async def until_closed(self) -> None:
        """Wait for the news of the end."""
        with anyio.fail_after(PATIENCE):
            while not self.closed:
                await self._news.wait()


class Child:
    """The child's ends of both pipes."""

    def __init__(self) -> None:
        self.stdin, self.their_stdin = os.pipe()
        self.their_stdout, self.stdout = os.pipe()

    def says(self, data: bytes) -> None:
        os.write(self.stdout, data)

    async def reads(self, size: int) -> bytes:
        """Read `size` bytes of stdin, as they come."""
        data = b""
        with anyio.fail_after(PATIENCE):
            while len(data) < size:
                await anyio.wait_readable(self.stdin)
                data += os.read(self.stdin, 65536)
        return data

    def closes_stdin(self) -> None:
        os.close(self.stdin)
        self.stdin = -1

    def closes_stdout(self) -> None:
        os.close(self.stdout)
        self.stdout = -1

    def dies(self) -> None:
        for fd in (self.stdin, self.stdout):
            with suppress(OSError):
                os.close(fd)
        self.stdin = self.stdout = -1


@contextmanager
def talking(limit: int = LIMIT, heard: Heard | None = None) -> Iterator[tuple[Channel, Child, Heard]]:
    """A channel, the child at its other end, and what the channel's listener hears."""
    heard = heard or Heard()
    child = Child()
    channel = Channel(child.their_stdin, child.their_stdout, limit, heard)
    try:
        yield channel, child, heard
    finally:
        channel.close()
        child.dies()


async def one_round_of_the_loop() -> None:
    """Whatever is readable or writable now was seen to after this."""
    ready, fill = os.pipe()
    try:
        os.write(fill, b"x")
        with anyio.fail_after(PATIENCE):
            await anyio.wait_readable(ready)
    finally:
        os.close(ready)
        os.close(fill)


def fill_the_pipe(channel: Channel) -> None:
    """Write until something has to wait for the child."""
    while repr(channel).endswith(": 0 bytes unsent>"):
        channel.write(b"y" * 1023)


def write_until_refused(channel: Channel) -> int:
    """Write large lines until the child counts as not reading; how many were taken."""
    for taken in range(1000):
        try:
            channel.write(LARGE)
        except ChildNotReading:
            return taken
    raise AssertionError("it takes everything")


# From the child.


async def test_lines_of_the_child_are_heard_in_order() -> None:
    with talking() as (_, child, heard):
        child.says(b"one\ntwo\r\n")
        child.says(b"three\n")
        await heard.until_lines(3)
        assert heard.lines == [b"one", b"two", b"three"]


async def test_half_a_line_is_heard_once_it_is_whole() -> None:
    with talking() as (_, child, heard):
        child.says(b"hel")
        await one_round_of_the_loop()
        assert heard.lines == []
        child.says(b"lo\n")
        await heard.until_lines(1)
        assert heard.lines == [b"hello"]


async def test_an_oversized_line_is_reported_by_its_size_and_the_next_one_heard() -> None:
    with talking(limit=10) as (_, child, heard):
        child.says(b"much too long\nfine\n")
        await heard.until_lines(1)
        assert heard.oversized == [13]
        assert heard.lines == [b"fine"]


async def test_the_end_of_the_childs_output_is_heard_once_after_its_last_line() -> None:
    with talking() as (channel, child, heard):
        child.says(b"last words\nhalf a li")
        child.closes_stdout()
        await heard.until_closed()
        assert heard.lines == [b"last words"]
        channel.drain()
        await one_round_of_the_loop()
        assert heard.closed == 1


async def test_a_child_that_closed_its_output_may_still_be_written_to() -> None:
    with talking() as (channel, child, heard):
        child.closes_stdout()
        await heard.until_closed()
        channel.write(b"hello")
        assert await child.reads(6) == b"hello\n"


# Pausing.


async def test_a_paused_channel_hears_nothing_until_it_is_resumed() -> None:
    with talking() as (channel, child, heard):
        channel.pause()
        child.says(b"hello\n")
        await one_round_of_the_loop()
        assert heard.lines == []
        channel.resume()
        await heard.until_lines(1)


async def test_pausing_and_resuming_twice_is_like_once() -> None:
    with talking() as (channel, child, heard):
        for _ in range(2):
            channel.pause()
        for _ in range(2):
            channel.resume()
        child.says(b"hello\n")
        await heard.until_lines(1)


async def test_a_channel_that_was_resumed_may_be_paused_again() -> None:
    with talking() as (channel, child, heard):
        channel.pause()
        channel.resume()
        channel.pause()
        child.says(b"hello\n")
        await one_round_of_the_loop()
        assert heard.lines == []


async def test_a_paused_channel_that_was_drained_to_its_end_may_be_resumed_without_harm() -> None:
    with talking() as (channel, child, heard):
        channel.pause()
        child.closes_stdout()
        channel.drain()
        channel.resume()
        await one_round_of_the_loop()
        assert heard.closed == 1


async def test_a_paused_channel_still_writes() -> None:
    with talking() as (channel, child, _):
        channel.pause()
        channel.write(b"hello")
        assert await child.reads(6) == b"hello\n"


async def test_a_child_that_is_not_read_waits_in_the_pipe() -> None:
    with talking() as (channel, child, heard):
        channel.pause()
        os.set_blocking(child.stdout, False)
        child.says(b"z" * fcntl.fcntl(child.stdout, fcntl.F_GETPIPE_SZ))
        await one_round_of_the_loop()
        with pytest.raises(BlockingIOError):
            child.says(b"\n")
        assert heard.lines == []


async def test_a_channel_whose_child_has_gone_can_be_paused_and_resumed_without_harm() -> None:
    with talking() as (channel, child, heard):
        child.closes_stdout()
        await heard.until_closed()
        channel.pause()
        channel.resume()
        await one_round_of_the_loop()
        assert heard.closed == 1


# Draining.


async def test_draining_reads_what_is_there_at_once_even_when_paused() -> None:
    with talking() as (channel, child, heard):
        channel.pause()
        child.says(b"one\ntwo\n")
        channel.drain()
        assert heard.lines == [b"one", b"two"]
        assert heard.closed == 0


async def test_draining_an_empty_pipe_does_not_wait() -> None:
    with talking() as (channel, _, heard):
        channel.drain()
        assert heard.lines == []
        assert heard.closed == 0


async def test_draining_reads_more_than_one_portion_to_the_very_end() -> None:
    with talking() as (channel, child, heard):
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 256 * 1024)
        child.says((b"z" * 1023 + b"\n") * 256)
        child.dies()
        channel.drain()
        assert len(heard.lines) == 256
        await heard.until_closed()


class Chatterbox(Heard):
    """Hears a line, and has the child say another one at once, `patience` times at most."""

    def __init__(self, patience: int) -> None:
        super().__init__()
        self.patience = patience
        self.child: Child

    def on_line(self, line: bytes) -> None:
        super().on_line(line)
        if len(self.lines) < self.patience:
            self.child.says(b"and another thing " * 50 + b"\n")


async def test_draining_ends_though_something_of_the_child_goes_on_writing() -> None:
    chatterbox = Chatterbox(patience=1000)
    with talking(heard=chatterbox) as (channel, child, heard):
        chatterbox.child = child
        child.says(b"one thing\n")
        channel.drain()
        assert len(heard.lines) < chatterbox.patience


# To the child.


async def test_lines_to_the_child_arrive_in_order_each_with_its_newline() -> None:
    with talking() as (channel, child, _):
        channel.write(b"one")
        channel.write(b"two")
        assert await child.reads(8) == b"one\ntwo\n"


async def test_the_childs_ends_of_the_pipes_stay_blocking() -> None:
    with talking() as (_, child, _heard):
        assert os.get_blocking(child.stdin)
        assert os.get_blocking(child.stdout)
        assert not os.get_blocking(child.their_stdin)
        assert not os.get_blocking(child.their_stdout)


async def test_a_line_larger_than_the_pipe_arrives_whole_and_the_next_one_after_it() -> None:
    with talking() as (channel, child, _):
        channel.write(LARGE)
        channel.write(b"next")
        assert not repr(channel).endswith(": 0 bytes unsent>")
        assert await child.reads(LIMIT + 6) == LARGE + b"\nnext\n"
        assert repr(channel).endswith(": 0 bytes unsent>")


async def test_a_channel_that_has_caught_up_writes_at_once_again() -> None:
    with talking() as (channel, child, _):
        channel.write(LARGE)
        await child.reads(LIMIT + 1)
        channel.write(b"quick")
        assert await child.reads(6) == b"quick\n"


async def test_a_channel_with_nothing_to_write_does_not_keep_the_loop_busy() -> None:
    with talking() as (channel, child, _):
        channel.write(LARGE)
        await child.reads(LIMIT + 1)
        await one_round_of_the_loop()
        # Asyncio's own word for it: nobody watches the descriptor any more.
        assert not asyncio.get_running_loop().remove_writer(child.their_stdin)


async def test_a_child_that_leaves_too_much_unread_counts_as_not_reading() -> None:
    with talking() as (channel, _, _heard):
        kept = write_until_refused(channel) * LIMIT
        # One line more, for what is in the pipe and because a line is taken whole.
        assert LIMIT + UNSENT_BYTES <= kept <= LIMIT + UNSENT_BYTES + LIMIT


async def test_a_child_that_reads_again_may_be_written_to_again() -> None:
    with talking() as (channel, child, _):
        size = write_until_refused(channel) * (LIMIT + 1)
        assert len(await child.reads(size)) == size
        channel.write(b"welcome back")
        assert await child.reads(13) == b"welcome back\n"


# A child that does not take what it is sent.


async def test_writing_to_a_child_that_closed_its_input_is_quiet() -> None:
    with talking() as (channel, child, heard):
        child.closes_stdin()
        channel.write(b"anybody?")
        channel.write(b"hello?")
        assert repr(channel).endswith(": 0 bytes unsent>")
        child.says(b"still here\n")
        await heard.until_lines(1)


async def test_what_waits_for_a_child_that_dies_is_let_go_and_its_end_heard() -> None:
    with talking() as (channel, child, heard):
        fill_the_pipe(channel)
        child.dies()
        await heard.until_closed()
        assert repr(channel) == "<Channel -1, -1: 0 bytes unsent>"
        channel.write(b"too late")


async def test_a_child_that_closes_its_input_under_a_waiting_line_may_still_speak() -> None:
    with talking() as (channel, child, heard):
        fill_the_pipe(channel)
        child.closes_stdin()
        child.says(b"enough\n")
        await heard.until_lines(1)
        await one_round_of_the_loop()
        assert repr(channel).endswith(": 0 bytes unsent>")
        assert heard.closed == 0


# Closing.


async def test_closing_is_the_end_of_input_and_a_broken_pipe_to_the_child() -> None:
    with talking() as (channel, child, _):
        channel.write(b"last")
        channel.close()
        assert os.read(child.stdin, 100) == b"last\n"
        assert os.read(child.stdin, 100) == b""
        with pytest.raises(BrokenPipeError):
            child.says(b"hello\n")


async def test_a_closed_channel_reports_and_writes_nothing_and_may_be_closed_again() -> None:
    with talking() as (channel, child, heard):
        child.says(b"unheard\n")
        channel.close()
        channel.close()
        channel.drain()
        channel.write(b"unwritten")
        channel.pause()
        channel.resume()
        await one_round_of_the_loop()
        assert heard.lines == []
        assert heard.closed == 0
        assert os.read(child.stdin, 100) == b""


async def test_closing_lets_go_of_what_waits() -> None:
    with talking() as (channel, _, _heard):
        fill_the_pipe(channel)
        channel.close()
        assert repr(channel) == "<Channel -1, -1: 0 bytes unsent>"
        await one_round_of_the_loop()


async def test_the_next_channel_may_get_the_same_descriptors_at_once() -> None:
    with talking() as (channel, child, _):
        fill_the_pipe(channel)
        before = child.their_stdin, child.their_stdout
    with talking() as (channel, child, heard):
        assert (child.their_stdin, child.their_stdout) == before
        channel.write(LARGE)
        assert await child.reads(LIMIT + 1) == LARGE + b"\n"
        child.says(b"hello\n")
        await heard.until_lines(1)


async def test_the_pipes_of_a_child_that_died_may_be_the_next_ones_at_once() -> None:
    with talking() as (channel, child, heard):
        before = child.their_stdin, child.their_stdout
        fill_the_pipe(channel)
        child.dies()
        await heard.until_closed()
    with talking() as (channel, child, heard):
        assert (child.their_stdin, child.their_stdout) == before
        channel.write(LARGE)
        assert await child.reads(LIMIT + 1) == LARGE + b"\n"
        child.says(b"hello\n")
        await heard.until_lines(1)


async def test_a_channel_that_is_detached_leaves_its_pipes_open_and_to_the_caller() -> None:
    with talking() as (channel, child, heard):
        fill_the_pipe(channel)
        pipes = channel.detach()
        assert pipes == (child.their_stdin, child.their_stdout)
        assert channel.detach() == ()
        child.says(b"unheard\n")
        channel.write(b"unwritten")
        channel.drain()
        await one_round_of_the_loop()
        assert heard.lines == []
        assert os.read(child.their_stdout, 100) == b"unheard\n"
        for fd in pipes:
            os.close(fd)


class Impatient(Heard):
    """Closes the channel at the first line."""

    channel: Channel

    def on_line(self, line: bytes) -> None:
        super().on_line(line)
        self.channel.close()


async def test_a_listener_that_closes_the_channel_hears_nothing_more() -> None:
    impatient = Impatient()
    with talking(heard=impatient) as (channel, child, heard):
        impatient.channel = channel
        child.says(b"one\ntwo\nthree\n")
        await heard.until_lines(1)
        await one_round_of_the_loop()
        assert heard.lines == [b"one"]
        assert heard.closed == 0


async def test_a_channel_says_what_it_is() -> None:
    with talking() as (channel, child, _):
        assert repr(channel) == f"<Channel {child.their_stdin}, {child.their_stdout}: 0 bytes unsent>"


# What a gateway after this one must know.


class Noted(NoNotes):
    """Whether a line was cut off, each time that it was noted."""

    def __init__(self) -> None:
        self.said: list[bool] = []

    def begin_line(self) -> None:
        self.said.append(True)

    def end_line(self) -> None:
        self.said.append(False)


@contextmanager
def noting() -> Iterator[tuple[Channel, Child, Noted]]:
    """A channel that takes notes."""
    child, noted = Child(), Noted()
    channel = Channel(child.their_stdin, child.their_stdout, LIMIT, Heard(), noted)
    try:
        yield channel, child, noted
    finally:
        channel.close()
        child.dies()


async def test_a_line_that_the_pipe_takes_whole_or_not_at_all_needs_no_note() -> None:
    with noting() as (channel, child, noted):
        fill_the_pipe(channel)
        channel.write(b"z" * (select.PIPE_BUF - 1))
        await child.reads(65536)
        assert noted.said == []


async def test_a_long_line_is_noted_while_it_is_written() -> None:
    with noting() as (channel, child, noted):
        channel.write(b"x" * 5000)
        assert noted.said == [True, False]
        channel.write(LARGE)
        assert noted.said == [True, False, True]
        await child.reads(5001 + len(LARGE) + 1)
        assert noted.said == [True, False, True, False]


async def test_a_long_line_that_has_not_been_begun_is_not_noted() -> None:
    with noting() as (channel, child, noted):
        fill_the_pipe(channel)
        before = fcntl.fcntl(child.stdin, fcntl.F_GETPIPE_SZ)
        channel.write(LARGE)
        assert noted.said == []
        await child.reads(before)
        await one_round_of_the_loop()
        assert noted.said[-1]


async def test_a_line_that_was_begun_stays_noted_when_the_channel_is_given_up() -> None:
    with noting() as (channel, _, noted):
        channel.write(LARGE)
        channel.close()
        assert noted.said == [True]


class Request:
    """What a caller has in its context, and is to be let go of."""


async def test_a_channel_keeps_nothing_of_the_context_in_which_it_was_opened_and_written_to() -> None:
    """Each session kept the whole request that had opened it."""
    request: ContextVar[Request] = ContextVar("request")
    made: list[weakref.ref[Request]] = []

    def in_a_request(act: Callable[[], None]) -> None:
        one = Request()
        made.append(weakref.ref(one))
        request.set(one)
        act()

    with ExitStack() as stack:
        opened: list[Channel] = []
        copy_context().run(in_a_request, lambda: opened.append(stack.enter_context(talking())[0]))
        [channel] = opened
        copy_context().run(in_a_request, lambda: fill_the_pipe(channel))
        copy_context().run(in_a_request, channel.pause)
        copy_context().run(in_a_request, channel.resume)
        gc.collect()
        assert [each() for each in made] == [None] * 4
