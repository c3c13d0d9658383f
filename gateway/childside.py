"""The child's side of a relay: what it writes becomes messages, and what it is told becomes lines.

Here end the pipes and what is wrong with them. Noise and lines over the limit go no further than the log and the
counters; only of an answer that was too long, whoever waits for it is told. Where the eras of conversation and child
differ, a translator stands between the two, and beyond this module nobody sees it.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

from loguru import logger

from common.reasons import Reason
from gateway import errors
from gateway.channel import Channel, ChildNotReading
from gateway.framing import Oversized
from gateway.hotstate import Notes, UnderWay
from gateway.jsonrpc import ENDS, Malformed, Message, Notification, answered_id, decode, encode
from gateway.large import LargeAnswer, LargeLine
from gateway.noise import SHOWN, Noise
from gateway.resumption import first_words
from gateway.translation.interpreter import Interpreter
from gateway.translation.steps import Translator

EXIT_NEWS: Final = 1.0
"""Seconds between the end of a child's output and the supervisor's news of its exit. Without news it still runs."""


_TOOLS_CHANGED: Final = "notifications/tools/list_changed"
_CHANGES: Final = frozenset(
    {_TOOLS_CHANGED, "notifications/resources/list_changed", "notifications/prompts/list_changed"}
)

_REQUEST: Final = re.compile(rb'\{"jsonrpc":"2\.0","id":(\d+),"method":')
"""How a request of ours begins."""


class Hearer(Protocol):
    """Whom a child's side tells what it hears. Called from the event loop; its repr stands for the child in the log."""

    on_list_changed: Callable[[], None]
    """The child says that its tools are others now."""

    on_offer_changed: Callable[[], None]
    """The child says that its tools are others now, or its resources, or its prompts."""

    def hear(self, message: Message, line: bytes, about: int | None = None) -> None:
        """The child says `message`, which is `line`, of the call `about` where a translator knows that."""

    def hear_large(self, answer: LargeAnswer) -> bool:
        """The child says a long answer. Where that is to be heard as a whole, False, and nothing is done."""

    def hold(self) -> None:
        """Keep the idle clock from running, until `unhold`."""

    def unhold(self) -> None:
        """Let it run."""

    def end(self, reason: Reason) -> None:
        """The child is of no use any more. Called from the event loop itself, not from within `say`."""


class ChildSide:
    """The far end of one child's `pipes`, its stdin and its stdout, which it owns.

    `limit` bounds a line in bytes, both ways; `quotes` is whether the log may show what is no message; `counters` gets
    what is dropped; `notes` are for the next gateway. The hearer is to end `exit_news` seconds after the child's output
    did.
    """

    def __init__(
        self,
        pipes: tuple[int, int],
        limit: int,
        hearer: Hearer,
        *,
        quotes: bool,
        counters: Counter[str],
        notes: Notes,
        translator: Translator | None = None,
        exit_news: float = EXIT_NEWS,
    ) -> None:
        self._hearer = hearer
        self._limit = limit
        self._counters = counters
        self._noise = Noise(hearer.__repr__, quotes=quotes)
        self._interpreter = self._interpret(translator, notes) if translator is not None else None
        self._resuming = False
        """Whether the next line may lack its beginning, which an earlier gateway has read."""
        self._gives_up = False
        """Whether the child does not read its input, and is about to be ended for that."""
        self._exit_news = exit_news
        self._awaited_exit: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._channel = Channel(*pipes, limit, self, notes)

    def __repr__(self) -> str:
        return f"<ChildSide {self._channel!r}, {self._interpreter or 'no translator'!r}>"

    def hush(self) -> None:
        """Tell the log of its noise at DEBUG alone."""
        self._noise.level = "DEBUG"

    def take_up(self, under_way: UnderWay) -> None:
        """Go on where an earlier gateway stopped, which had begun `under_way`. To be called before anything else."""
        self._resuming = True
        for line in first_words(under_way):
            self.say(line)

    def say(self, line: bytes) -> None:
        """Tell the child the message in `line`; an empty one is no message, and ends what was half written."""
        if self._interpreter is None or not line:
            self._write(line)
        else:
            self._translate(line)

    def pause(self) -> None:
        """Stop listening: the pipe fills, and then the child waits."""
        self._channel.pause()

    def resume(self) -> None:
        """Listen again."""
        self._channel.resume()

    def drain(self) -> None:
        """Hear what the child has written so far, without waiting: it has ended, and its last words count."""
        self._channel.drain()

    def detach(self) -> tuple[int, ...]:
        """Neither listen nor speak any more; the descriptors, which are the caller's to close from now on."""
        return self._channel.detach()

    def close(self) -> None:
        """Let go of both pipes. May be called again."""
        self._channel.close()

    def end(self) -> None:
        """Nothing of it is left to a timer. The pipes are closed apart from this."""
        self._noise.close()
        if self._awaited_exit is not None:
            self._awaited_exit.cancel()
        if self._interpreter is not None:
            self._interpreter.end()

    # For the channel (channel.Listener).

    def on_line(self, line: bytes) -> None:
        """One line of the child's output."""
        try:
            message = decode(line)
        except Malformed as error:
            self._on_noise(error, line[:ENDS], line[-ENDS:], line[:SHOWN], len(line))
            return
        if isinstance(message, Notification) and message.method in _CHANGES:
            self._hearer.on_offer_changed()
            if message.method == _TOOLS_CHANGED:
                self._hearer.on_list_changed()
        self._resuming = False
        if self._interpreter is None:
            self._hearer.hear(message, line.replace(b"\r", b" "))
            return
        self._interpreter.from_child(message)
        if self._interpreter.is_over:
            self._interpreter = None

    def on_large(self, line: LargeLine) -> None:
        """One long line. What is no answer, and what a translator is to see, is read as a whole."""
        if line.fault is not None:
            self._on_noise(line.fault, line.head, line.tail, line.head, line.size)
            return
        answer = line.answer() if self._interpreter is None else None
        if answer is None or not self._hearer.hear_large(answer):
            self.on_line(bytes(line))
        else:
            self._resuming = False

    def on_oversized(self, line: Oversized) -> None:
        """A line over the limit. Where it was an answer, whoever waits for it is told."""
        self._counters["oversized"] += 1
        self._noise.oversized(line.size, self._limit)
        if id_ := answered_id(line.head, line.tail):
            self.on_line(errors.oversized(id_, line.size, self._limit))

    def on_closed(self) -> None:
        """The child closed its output; usually it has ended, and the supervisor is about to say how."""
        self._awaited_exit = self._loop.call_later(self._exit_news, self._hearer.end, Reason.CHILD_CLOSED_STDOUT)

    # Within.

    def _on_noise(self, error: Malformed, head: bytes, tail: bytes, shown: bytes, size: int) -> None:
        if self._resuming:
            self._resuming = False  # of one line only can an earlier gateway have read the beginning
            return  # no end of a JSON object is one, so this is exact
        self._counters["noise"] += 1
        self._noise.malformed(error, shown, size)
        if id_ := answered_id(head, tail):
            self.on_line(errors.unreadable(id_))

    def _interpret(self, translator: Translator, notes: Notes) -> Interpreter:
        def hear(message: Message, about: int | None) -> None:
            self._hearer.hear(message, encode(message), about)

        hold, unhold = self._hearer.hold, self._hearer.unhold
        return Interpreter(translator, say=self._write, hear=hear, hold=hold, unhold=unhold, notes=notes)

    def _translate(self, line: bytes) -> None:
        """Tell the child `line` in the words of its era.

        How deep JSON may go depends on how deep the calls are that read it: what a door could read may be too much here.
        Whoever asks it is told, after the call has begun.
        """
        assert self._interpreter is not None
        try:
            message = decode(line)
        except Malformed:
            self._counters["too_deep"] += 1
            if asked := _REQUEST.match(line):
                error = errors.too_deep(asked[1])
                self._loop.call_soon(self._hearer.hear, decode(error), error)
            return
        self._interpreter.to_child(message)

    def _write(self, line: bytes) -> None:
        try:
            self._channel.write(line)
        except ChildNotReading:
            if not self._gives_up:
                self._gives_up = True
                logger.warning("{!r} does not read its input", self._hearer)
                self._loop.call_soon(self._hearer.end, Reason.CHILD_NOT_READING)
