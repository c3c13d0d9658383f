"""How the gateway leaves: no new sessions, a bounded time for the calls in flight, then the end of every session."""

from collections.abc import AsyncIterator
from signal import Signals
from typing import Final, Protocol

import anyio
from loguru import logger

from supervisor.client import SupervisorClient

LAST_WORDS: Final = 0.25
"""Seconds for which a gateway that leaves its sessions to the next one still answers what comes on old connections: once
before it lets go of the sessions, and once afterwards.

Each answer is the last on its connection, so hardly any is left in the end on which a client could be sending just then,
which would not know what became of its request. LibreChat gives up a session over that.
"""


class Calls(Protocol):
    """What counts requests while they wait for a child's answer."""

    def begin(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One more; one that is not `bounded` may wait for as long as its client likes. `of_tool` calls a tool."""

    def end(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One less, of the same kind. It is called once for each `begin`, whatever becomes of the request."""

    def check(self, *, of_tool: bool = True) -> None:
        """Raises GatewayError where there may be no more of its kind."""


class Uncounted:
    """Calls of nobody, for which nobody waits."""

    def begin(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One more."""

    def end(self, *, bounded: bool = True, of_tool: bool = False) -> None:
        """One less."""

    def check(self, *, of_tool: bool = True) -> None:
        """There may be any number."""


class CallsInFlight:
    """How many requests wait for a child's answer that is to come in time, over all sessions."""

    def __init__(self) -> None:
        self._count = 0
        self._none: anyio.Event | None = None
        """Set once there is none; only while somebody waits for that."""

    def __repr__(self) -> str:
        return f"<CallsInFlight {self._count}>"

    @property
    def count(self) -> int:
        """How many there are now."""
        return self._count

    def begin(self, *, bounded: bool = True, of_tool: bool = False) -> None:  # noqa: ARG002 - of Calls
        """One more, if it is bounded."""
        if bounded:
            self._count += 1

    def end(self, *, bounded: bool = True, of_tool: bool = False) -> None:  # noqa: ARG002 - of Calls
        """One less, if it was bounded."""
        if not bounded:
            return
        self._count -= 1
        if self._count == 0 and self._none is not None:
            self._none.set()
            self._none = None

    def check(self, *, of_tool: bool = True) -> None:
        """Raises GatewayError where there may be no more: of all together there may be any number."""

    async def none(self) -> None:
        """Wait until there is none."""
        if self._count:
            self._none = self._none or anyio.Event()
            await self._none.wait()


async def drain(
    calls: CallsInFlight, timeout: float, supervisor: SupervisorClient, signals: AsyncIterator[Signals]
) -> None:
    """Wait until no call is in flight; `timeout` seconds at most, and less where a second signal says so.

    The supervisor's end is the end of every call, so it ends the wait, too.
    """
    if calls.count == 0:
        return
    logger.info("waiting up to {:g} seconds for {} calls in flight", timeout, calls.count)
    with anyio.move_on_after(timeout):
        async with anyio.create_task_group() as tasks:

            async def until_impatient() -> None:
                await anext(signals)
                tasks.cancel_scope.cancel()

            async def until_lost() -> None:
                await supervisor.lost.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(until_impatient, name="a second signal")
            tasks.start_soon(until_lost, name="watch the supervisor")
            await calls.none()
            tasks.cancel_scope.cancel()
    if calls.count:
        logger.warning("{} calls were not answered in time", calls.count)
