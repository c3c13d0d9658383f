"""The questions of one child that wait for the client's answer, as the idle clock sees them.

While one is open, the session is held; and each is open for a bounded time only, because a client that never answers
would hold its session for ever. `conversation` knows which ones are open, and `follow` is told after each change.
"""

import asyncio
from collections.abc import Callable, Set
from contextvars import Context

from gateway.hotstate import NoNotes, Notes


class OpenQuestions:
    """A timer for each open question, and a hold on the session while there is one.

    `expire(question)` is called `patience` seconds after a question was first seen, and is to close it; `hold` and
    `unhold` are called in turns. `notes` are for the gateway after this one.
    """

    def __init__(
        self,
        patience: float,
        *,
        expire: Callable[[bytes], None],
        hold: Callable[[], None],
        unhold: Callable[[], None],
        notes: Notes | None = None,
    ) -> None:
        self._patience = patience
        self._expire = expire
        self._hold = hold
        self._unhold = unhold
        self._notes = notes or NoNotes()
        self._loop = asyncio.get_running_loop()
        self._timers: dict[bytes, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return f"<OpenQuestions: {len(self._timers)}>"

    def follow(self, questions: Set[bytes]) -> None:
        """These are open now, and no others."""
        if questions == self._timers.keys():
            return
        held = bool(self._timers)
        for gone in self._timers.keys() - questions:
            self._timers.pop(gone).cancel()
            self._notes.settle(gone)
        for new in questions - self._timers.keys():
            self._notes.ask(new)
            self._timers[new] = self._loop.call_later(self._patience, self._expire, new, context=Context())
        if bool(self._timers) and not held:
            self._hold()
        elif held and not self._timers:
            self._unhold()
