"""Calls with a key, each of which is made once: in a task of its own, so that no client's hanging up ends it.

Such a call lasts as long as its session and `request_timeout` let it, whoever still waits for it: a retry may come.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from functools import partial
from time import monotonic

from gateway.asking import Asking
from gateway.caller import Caller
from gateway.identity.principal import Principal
from gateway.large import Result
from gateway.rest.replays import Kept, Name, Replays


def begin(ask: Callable[[], Asking], name: str) -> "asyncio.Task[Result]":
    """The result of what `ask` asks for; in a context of its own, for the caller's holds the whole request."""

    async def perform() -> Result:
        return await ask().answer()

    return asyncio.get_running_loop().create_task(perform(), name=name, context=Context())


class Retries:
    """The calls of `replays`, of which some run."""

    def __init__(self, replays: Replays | None = None, now: Callable[[], float] = monotonic) -> None:
        self._replays = replays or Replays()
        self._now = now
        self._tasks: set[asyncio.Task[Result]] = set()

    def __repr__(self) -> str:
        return f"<Retries: {len(self._tasks)} calls, {self._replays!r}>"

    def join(
        self, caller: Caller, owner: Principal, name: Name, arguments: bytes, ask: Callable[[], Asking]
    ) -> tuple["asyncio.Future[Result]", bool]:
        """The answer to the call that `name` stands for; and whether it was asked for before.

        `ask` makes it, where it was not. Raises GatewayError where the key stands for another call. Whoever waits for
        the answer is to shield it.
        """
        found = self._replays.find(caller, name, arguments, self._now())
        if found is not None:
            return found.answer, True
        task = begin(ask, f"call {name.tool}")
        self._tasks.add(task)
        caller.on_end = partial(self._replays.forget, caller)
        kept = self._replays.begin(caller, owner, name, arguments, task)
        task.add_done_callback(partial(self._finish, kept))
        return task, False

    async def close(self) -> None:
        """Nobody will ask any more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _finish(self, kept: Kept, task: "asyncio.Task[Result]") -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it; perhaps nobody does
        self._replays.finish(kept, self._now())
