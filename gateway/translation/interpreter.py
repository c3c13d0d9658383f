"""Does what a translator decides: between a relay, which speaks for the conversation, and the child's channel."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context

from gateway.hotstate import NoNotes, Notes
from gateway.jsonrpc import Message, encode
from gateway.translation.steps import Hear, Hold, Say, Step, StepAside, Translator, Wake


class Interpreter:
    """Keeps a translator's timers and its hold, and the order of its steps.

    `say(line)` writes to the child, `hear(message, about)` tells the conversation; `hold` and `unhold`, called in turns,
    keep the idle clock from running and let it run. `notes` are for the gateway after this one, which settles what only
    the translator knew of, too.
    """

    def __init__(
        self,
        translator: Translator,
        *,
        say: Callable[[bytes], None],
        hear: Callable[[Message, int | None], None],
        hold: Callable[[], None],
        unhold: Callable[[], None],
        notes: Notes | None = None,
    ) -> None:
        self.is_over = False
        """Whether nothing needs to pass through it any more."""
        self._translator = translator
        self._say = say
        self._hear = hear
        self._hold = hold
        self._unhold = unhold
        self._notes = notes or NoNotes()
        self._noted_calls: set[int] = set()
        self._noted_questions: set[bytes] = set()
        self._holding = False
        self._steps: deque[Step] = deque()
        self._stepping = False
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()

    def __repr__(self) -> str:
        return f"<Interpreter {self._translator!r}: {len(self._timers)} timers>"

    def to_child(self, message: Message) -> None:
        """The conversation says `message` to the child."""
        self._perform(self._translator.to_child(message))

    def from_child(self, message: Message) -> None:
        """The child says `message`."""
        self._perform(self._translator.from_child(message))

    def end(self) -> None:
        """Nothing more is to be done. May be called again."""
        self.is_over = True
        self._steps.clear()
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._keep_held(on=False)

    def _perform(self, steps: Iterable[Step]) -> None:
        """Do `steps` after those that are still being done: what the conversation hears may make it speak at once."""
        self._steps.extend(steps)
        if self._stepping:
            return
        self._stepping = True
        try:
            while self._steps:
                self._do(self._steps.popleft())
        finally:
            self._stepping = False
        if not self.is_over:
            self._note()

    def _do(self, step: Step) -> None:
        match step:
            case Say(message=message):
                self._say(encode(message))
            case Hear(message=message, about=about):
                self._hear(message, about)
            case Wake(key=key, seconds=seconds):
                self._wake(key, seconds)
            case Hold(on=on):
                self._keep_held(on=on)
            case StepAside():
                self.end()

    def _wake(self, key: str, seconds: float | None) -> None:
        if (timer := self._timers.pop(key, None)) is not None:
            timer.cancel()
        if seconds is not None and not self.is_over:
            self._timers[key] = self._loop.call_later(seconds, self._woken, key, context=Context())

    def _woken(self, key: str) -> None:
        del self._timers[key]
        self._perform(self._translator.wake(key))

    def _note(self) -> None:
        """What the conversation does not know of, it does not note either."""
        calls, questions = self._translator.adrift, self._translator.questions
        if calls != self._noted_calls:
            for call in self._noted_calls - calls:
                self._notes.finish(call)
            for call in calls - self._noted_calls:
                self._notes.begin(call)
            self._noted_calls = set(calls)
        if questions != self._noted_questions:
            for question in self._noted_questions - questions:
                self._notes.settle(question)
            for question in questions - self._noted_questions:
                self._notes.ask(question)
            self._noted_questions = set(questions)

    def _keep_held(self, *, on: bool) -> None:
        if on != self._holding:
            self._holding = on
            (self._hold if on else self._unhold)()
