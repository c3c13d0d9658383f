"""Any bytes over real pipes, in any portions, read whenever."""

import fcntl
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channel import Channel
from gateway.framing import Oversized
from tests.fuzz.test_framing import LINES, expected
from tests.gateway.test_channel import Child, one_round_of_the_loop, talking
from tests.support.fuzz import portions

PIPE = 4096
"""Bytes that a pipe holds at least: with so few, a line is often written in pieces."""

LARGE = st.builds(lambda byte, size: byte * size, st.sampled_from([b"x", b"\0", b"\xff"]), st.integers(PIPE, 4 * PIPE))


STEPS = st.sampled_from(["read", "pause", "resume", "drain", "nothing"])

# An example is drawn whole before it begins: hypothesis cannot break off in the middle of a task.


@st.composite
def speeches(draw: st.DrawFn) -> list[tuple[bytes, str]]:
    """What the child writes, portion by portion, and what the gateway does after each."""
    return [(portion, draw(STEPS)) for portion in draw(portions(draw(LINES)))]


@settings(max_examples=60)
@given(speech=speeches(), limit=st.integers(0, 300))
async def test_what_the_child_writes_is_heard_line_by_line_whenever_it_is_read(
    speech: list[tuple[bytes, str]], limit: int
) -> None:
    with talking(limit=limit) as (channel, child, heard):
        for portion, step in speech:
            if portion:
                child.says(portion)
            match step:
                case "read":
                    await one_round_of_the_loop()
                case "pause":
                    channel.pause()
                case "resume":
                    channel.resume()
                case "drain":
                    channel.drain()
        child.closes_stdout()
        channel.resume()
        await heard.until_closed()
        lines = expected(b"".join(portion for portion, _ in speech), limit)
        assert heard.lines == [line for line in lines if isinstance(line, bytes)]
        assert heard.oversized == [line.size for line in lines if isinstance(line, Oversized)]
        assert heard.closed == 1


SHORT = st.binary(max_size=50).map(lambda line: line.replace(b"\n", b""))
READ = st.sampled_from([0, 0, 1, 100, PIPE, 10 * PIPE])


@settings(max_examples=60)
@given(said=st.lists(st.tuples(st.one_of(SHORT, LARGE), READ), max_size=8))
async def test_what_is_written_to_the_child_arrives_whole_and_in_order_however_it_reads(
    said: list[tuple[bytes, int]],
) -> None:
    """After each line, the child reads so many bytes of what is there."""
    with talking() as (channel, child, _):
        fcntl.fcntl(child.stdin, fcntl.F_SETPIPE_SZ, PIPE)
        os.set_blocking(child.stdin, False)
        arrived = b""
        for line, size in said:
            channel.write(line)
            if size:
                arrived += what_is_there(child, size)
                await one_round_of_the_loop()
        wanted = b"".join(line + b"\n" for line, _ in said)
        arrived += await child.reads(len(wanted) - len(arrived))
        assert arrived == wanted
        assert unsent(channel) == 0


def what_is_there(child: Child, size: int) -> bytes:
    """Up to `size` bytes of the child's input."""
    try:
        return os.read(child.stdin, size)
    except BlockingIOError:
        return b""


def unsent(channel: Channel) -> int:
    """How many bytes wait for the child."""
    return channel._unsent_bytes
