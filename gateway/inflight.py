"""The requests of one session in flight, as the clocks see them.

While one is in flight the session is held, and most of them are waited for a bounded time only. The conversation knows
what they are about; here they are numbers.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context

from gateway.drain import Calls
from gateway.hotstate import NoNotes, Notes


class InFlight:
    """A timer, a hold and a note for each request in flight.

    `expire(call, patience)` is called when a call was waited for that long, and is to see that `finish` is. `hold` and
    `unhold` are called once for each call. `calls` counts those of all sessions; bounded are the ones that have a timer,
    for which a gateway that leaves waits. `notes` are for the gateway after this one.
    """

    def __init__(
        self,
        *,
        expire: Callable[[int, float], None],
        hold: Callable[[], None],
        unhold: Callable[[], None],
        calls: Calls,
        notes: Notes,
    ) -> None:
        self._expire = expire
        self._hold = hold
        self._unhold = unhold
        self._calls = calls
        self._notes = notes
        self._loop = asyncio.get_running_loop()
        self._timers: dict[int, asyncio.TimerHandle | None] = {}
        self._of_tools: set[int] = set()

    def __repr__(self) -> str:
        return f"<InFlight: {len(self._timers)}>"

    def begin(self, call: int, patience: float | None, *, of_tool: bool = False) -> None:
        """`call` is in flight, and waited for `patience` seconds; None is for as long as it takes.

        `of_tool` is whether it calls a tool.
        """
        self._notes.begin(call)
        self._timers[call] = None
        if patience is not None:
            # In a context of its own: the caller's holds the whole request.
            self._timers[call] = self._loop.call_later(patience, self._expire, call, patience, context=Context())
        if of_tool:
            self._of_tools.add(call)
        self._calls.begin(bounded=patience is not None, of_tool=of_tool)
        self._hold()

    def finish(self, call: int) -> None:
        """`call` is over. Of one that never was in flight, nothing."""
        self._notes.finish(call)
        if call in self._timers:
            if (timer := self._timers.pop(call)) is not None:
                timer.cancel()
            self._calls.end(bounded=timer is not None, of_tool=call in self._of_tools)
            self._of_tools.discard(call)
            self._unhold()

    def __len__(self) -> int:
        return len(self._timers)

    def leave(self) -> None:
        """What is noted now stays so, for another gateway goes on with the child."""
        self._notes = NoNotes()

    def close(self) -> None:
        """The lease has ended, and with it its notes, unless they were left."""
        self._notes.close()
