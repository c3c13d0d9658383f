"""The child's side of a relay: real pipes, with the test at the child's ends of them, and as the one who hears."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
import anyio.lowlevel
import pytest

from common.reasons import Reason
from gateway.channel import UNSENT_BYTES
from gateway.childside import ChildSide
from gateway.hotstate import NoNotes, UnderWay
from gateway.jsonrpc import Message, Notification, Request, Response, decode, encode, notification, request
from gateway.large import LARGE, LargeAnswer
from gateway.translation.steps import Hear, Hold, Say, Step, StepAside, Translator
from tests.support.processes import PATIENCE

LIMIT = 65536
PIPE = 32_768
"""Bytes that a pipe takes."""
MUCH = 2 * LARGE
NEWS = encode(notification("notifications/message"))


class Echo:
    """A translator that lets everything pass, and says so; the answer to `initialize` is the last that it sees."""

    def __init__(self) -> None:
        self.counters: Counter[str] = Counter()
        self.adrift: set[int] = set()
        self.questions: set[bytes] = set()

    def to_child(self, message: Message) -> list[Step]:
        assert isinstance(message, Request)
        return [Hold(on=True), Say(Request(message.id, f"translated/{message.method}", message.params))]

    def from_child(self, message: Message) -> list[Step]:
        last: list[Step] = [StepAside()] if isinstance(message, Response) else []
        return [Hear(message, about=1), *last]

    def wake(self, key: str) -> list[Step]:
        raise AssertionError(key)


class Relay:
    """What a child's side has told it."""

    def __init__(self) -> None:
        self.heard: list[tuple[Message, bytes, int | None]] = []
        self.large: list[LargeAnswer] = []
        self.takes_large = True
        self.said: list[str] = []
        self.ended: Reason | None = None
        self.on_list_changed: Callable[[], None] = lambda: self.said.append("list changed")
        self.on_offer_changed: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return "<it>"

    def hear(self, message: Message, line: bytes, about: int | None = None) -> None:
        self.heard.append((message, line, about))

    def hear_large(self, answer: LargeAnswer) -> bool:
        self.large.append(answer)
        return self.takes_large

    def hold(self) -> None:
        self.said.append("hold")

    def unhold(self) -> None:
        self.said.append("unhold")

    def end(self, reason: Reason) -> None:
        self.said.append("end")
        self.ended = reason

    async def until_ended(self) -> None:
        """Wait until the child is of no use any more."""
        with anyio.fail_after(PATIENCE):
            while self.ended is None:
                await anyio.lowlevel.checkpoint()


class Talking:
    """A child's side, its relay, and the child's ends of the pipes."""

    def __init__(self, translator: Translator | None, exit_news: float, limit: int) -> None:
        self.stdin, their_stdin = os.pipe()
        their_stdout, self.stdout = os.pipe()
        self.relay = Relay()
        self.dropped: Counter[str] = Counter()
        self.side = ChildSide(
            (their_stdin, their_stdout),
            limit,
            self.relay,
            quotes=True,
            counters=self.dropped,
            notes=NoNotes(),
            translator=translator,
            exit_news=exit_news,
        )

    def says(self, data: bytes) -> None:
        """The child writes, and that is heard."""
        os.write(self.stdout, data)
        self.side.drain()

    def says_at_length(self, data: bytes) -> None:
        """The child writes more than a pipe holds."""
        for at in range(0, len(data), PIPE):
            self.says(data[at : at + PIPE])

    def closes_stdout(self) -> None:
        """The child closes its output, and that is heard."""
        os.close(self.stdout)
        self.stdout = -1
        self.side.drain()

    def reads(self) -> list[bytes]:
        """The lines that the child has got, one at least."""
        return os.read(self.stdin, LIMIT).splitlines()


@contextmanager
def talking(translator: Translator | None = None, exit_news: float = PATIENCE, limit: int = LIMIT) -> Iterator[Talking]:
    """One, which ends afterwards, and whose pipes are closed."""
    here = Talking(translator, exit_news, limit)
    try:
        yield here
    finally:
        here.side.end()
        here.side.close()
        for fd in (here.stdin, here.stdout):
            if fd >= 0:
                os.close(fd)


async def test_messages_are_heard_on_one_line_and_lines_are_said() -> None:
    with talking() as here:
        here.says(b'{"jsonrpc":"2.0",\r"method":"notifications/message"}\n')
        assert here.relay.heard == [
            (Notification("notifications/message", b""), b'{"jsonrpc":"2.0", "method":"notifications/message"}', None)
        ]
        here.side.say(b"hello")
        assert here.reads() == [b"hello"]
        assert repr(here.side).endswith("0 bytes unsent>, 'no translator'>")


async def test_noise_is_counted_and_not_heard() -> None:
    with talking() as here:
        here.says(b"Listening on stdio\n" + NEWS + b"\n" + b"x" * (LIMIT // 2) + b"\n")
        assert [line for _, line, _ in here.relay.heard] == [NEWS]
        assert here.dropped == {"noise": 2}


async def test_of_an_answer_over_the_limit_whoever_waits_is_told() -> None:
    with talking() as here:
        here.says(b'{"jsonrpc":"2.0","id":7,"result":"' + b"x" * (LIMIT // 2))
        here.says(b"x" * (LIMIT // 2) + b'"}\n')
        (message, _, _) = here.relay.heard[0]
        assert isinstance(message, Response)
        assert (message.id, message.result) == (b"7", b"")
        assert b"max_message_bytes is 65536" in message.error
        assert here.dropped == {"oversized": 1}


async def test_that_its_tools_changed_is_told_before_it_is_heard() -> None:
    with talking() as here:
        here.relay.on_list_changed = lambda: here.relay.said.append(f"heard {len(here.relay.heard)}")
        here.says(encode(notification("notifications/tools/list_changed")) + b"\n")
        assert here.relay.said == ["heard 0"]
        assert len(here.relay.heard) == 1


async def test_what_an_earlier_gateway_had_begun_is_settled_first() -> None:
    with talking() as here:
        here.side.take_up(UnderWay(half_written=True, calls=(3,)))
        first, second = here.reads()
        assert first == b""
        assert b'"requestId":3' in second


async def test_the_rest_of_a_line_that_an_earlier_gateway_had_begun_to_read_is_no_noise() -> None:
    with talking() as here:
        here.side.take_up(UnderWay())
        here.says(b'method":"x"}\nmethod":"x"}\n')
        assert (here.relay.heard, here.dropped) == ([], {"noise": 1})


async def test_only_the_first_line_may_lack_its_beginning() -> None:
    with talking() as here:
        here.side.take_up(UnderWay())
        here.says(NEWS + b'\nmethod":"x"}\n')
        assert (len(here.relay.heard), here.dropped) == (1, {"noise": 1})


async def test_a_translator_stands_between_both_until_it_steps_aside() -> None:
    with talking(Echo()) as here:
        here.side.say(encode(request(1, "initialize")))
        assert b"translated/initialize" in here.reads()[0]
        here.says(NEWS + b"\n" + encode(Response(b"1", b"{}", b"")) + b"\n" + NEWS + b"\n")
        assert [about for _, _, about in here.relay.heard] == [1, 1, None]
        assert here.relay.said == ["hold", "unhold"]
        here.side.say(encode(request(2, "ping")))
        assert here.reads() == [encode(request(2, "ping"))]


async def test_the_end_of_a_translated_child_lets_go_of_its_hold() -> None:
    with talking(Echo()) as here:
        here.side.say(encode(request(1, "initialize")))
        here.side.end()
        assert here.relay.said == ["hold", "unhold"]


async def test_a_child_that_closes_its_output_is_given_up_unless_there_is_other_news() -> None:
    with talking(exit_news=0.001) as here, talking(exit_news=0.001) as other:
        other.closes_stdout()
        other.side.end()
        here.closes_stdout()
        assert here.relay.said == []
        await here.relay.until_ended()
        assert here.relay.ended is Reason.CHILD_CLOSED_STDOUT
        assert other.relay.said == []


async def test_a_child_that_does_not_read_is_given_up_once_and_not_from_within() -> None:
    with talking() as here:
        for _ in range((UNSENT_BYTES + 4 * LIMIT) // LIMIT):
            here.side.say(b"x" * LIMIT)
        assert here.relay.said == []
        await here.relay.until_ended()
        assert here.relay.ended is Reason.CHILD_NOT_READING
        here.side.say(b"x")
        await anyio.lowlevel.checkpoint()
        assert here.relay.said == ["end"]


async def test_the_pipes_are_the_callers_when_they_are_detached() -> None:
    with talking() as here:
        stdin, stdout = here.side.detach()
        here.says(NEWS + b"\n")
        here.side.say(b"hello")
        assert here.relay.heard == []
        os.close(stdin)
        os.close(stdout)
        assert os.read(here.stdin, 1) == b""


async def test_who_asks_what_is_too_deep_for_a_translator_is_told_and_an_answer_that_is_so_is_dropped() -> None:
    deep = b"[" * 5000 + b"]" * 5000
    with talking(Echo()) as here:
        here.side.say(encode(Request(b"7", "tools/call", b'{"arguments":%b}' % deep)))
        here.side.say(encode(Response(b"8", deep, b"")))
        assert here.relay.heard == []
        await anyio.wait_all_tasks_blocked()
        [(message, _, _)] = here.relay.heard
        assert isinstance(message, Response)
        assert (message.id, json.loads(message.error)["code"]) == (b"7", -32602)
        assert here.dropped == {"too_deep": 2}


async def test_who_waits_for_an_answer_that_cannot_be_read_is_told() -> None:
    with talking() as here:
        here.says(b'{"jsonrpc":"2.0","id":7,"result":%b}\n' % (b"[" * 5000 + b"]" * 5000))
        here.says(b'{"jsonrpc":"2.0","id":8,"result":{oops}}\n')
        assert [message.id for message, _, _ in here.relay.heard if isinstance(message, Response)] == [b"7", b"8"]
        assert here.dropped == {"noise": 2}


async def test_a_long_answer_is_heard_in_pieces() -> None:
    with talking(limit=2 * MUCH) as here:
        line = b'{"jsonrpc":"2.0","id":7,"result":"%b"}' % (b"x" * MUCH)
        here.says_at_length(line + b"\n" + NEWS + b"\n")
        assert [bytes(each) for each in here.relay.large] == [line]
        assert [line for _, line, _ in here.relay.heard] == [NEWS]
        assert here.dropped == {}


@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","id":7,"result":"%b"}' % (b"x" * MUCH),
        b'{"jsonrpc":"2.0","id":"q","method":"ask","params":{"text":"%b"}}' % (b"x" * MUCH),
        b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%b"}}' % (b"x" * MUCH),
    ],
    ids=["answer", "question", "news"],
)
async def test_what_cannot_be_heard_in_pieces_is_heard_as_a_whole(line: bytes) -> None:
    with talking(limit=2 * MUCH) as here:
        here.relay.takes_large = False
        here.says_at_length(line + b"\n")
        assert here.relay.heard == [(decode(line), line, None)]


async def test_of_a_long_answer_that_is_no_json_whoever_waits_is_told() -> None:
    with talking(limit=2 * MUCH) as here:
        here.says_at_length(b'{"jsonrpc":"2.0","id":7,"result":"%b\xff"}\n' % (b"x" * MUCH))
        (message, _, _) = here.relay.heard[0]
        assert isinstance(message, Response)
        assert (message.id, message.result) == (b"7", b"")
        assert here.relay.large == []
        assert here.dropped == {"noise": 1}


async def test_the_end_of_a_long_line_that_an_earlier_gateway_began_to_read_is_passed_over() -> None:
    with talking(limit=2 * MUCH) as here:
        here.side.take_up(UnderWay())
        here.says_at_length(b"x" * MUCH + b'"}\n' + NEWS + b"\n")
        assert [line for _, line, _ in here.relay.heard] == [NEWS]
        assert here.dropped == {}
