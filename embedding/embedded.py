"""From `start` to `stop`, in whichever tasks: a context is left where it was entered, so it has a task of its own."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio

from embedding.running import Running


class Embedded:
    """A gateway that the program starts and stops, as often as it likes, all on one event loop."""

    def __init__(self, make: Callable[[], AbstractAsyncContextManager[Running]]) -> None:
        self._make = make
        self._held: Running | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None]
        self._enough: asyncio.Event

    @property
    def is_running(self) -> bool:
        """Whether it serves: it was started, and its supervisor is there."""
        return self._held is not None and not self._held.is_lost

    async def lost(self) -> None:
        """Wait until it has lost its supervisor, and can do no more than say so.

        Raises RuntimeError where it is stopped.
        """
        if self._held is None:
            raise RuntimeError("this gateway is not started")
        await self._held.supervisor.lost.wait()

    async def start(self) -> None:
        """Start it; one that lost its supervisor starts again.

        Raises CannotStart, RuntimeError where it is started, and what else keeps it from running (CannotWrite; with a
        port of its own CannotBind). Cancellation ends what was begun, and waits for that.
        """
        if self._held is not None and self._held.is_lost:
            await self.stop()
        if self._task is not None:
            raise RuntimeError("this gateway is started; stop it first")
        self._ready = asyncio.get_running_loop().create_future()
        self._enough = asyncio.Event()
        self._task = asyncio.create_task(self._hold(), name="gateway")
        try:
            await asyncio.shield(self._ready)
        except BaseException:
            self._ready.cancel()
            self._task.cancel()
            with anyio.CancelScope(shield=True):
                await self._over(self._task)
            raise

    async def stop(self) -> None:
        """End every session, and the supervisor; returns when no process is left. Does nothing where it is stopped.

        Cancellation ends the waiting alone. Raises what went wrong meanwhile.
        """
        task = self._task
        if task is None:
            return
        self._enough.set()
        if not self._ready.done():
            self._ready.set_exception(RuntimeError("this gateway was stopped before it had started"))
            task.cancel()
        await self._over(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error

    async def _over(self, task: asyncio.Task[None]) -> None:
        await asyncio.wait([task])
        if self._task is task:
            self._task = None

    async def _hold(self) -> None:
        try:
            async with self._make() as self._held:
                if not self._ready.done():
                    self._ready.set_result(None)
                await self._enough.wait()
        except Exception as error:  # noqa: BLE001 - it is for whoever starts or stops
            if self._ready.done():
                raise _only(error) from None
            self._ready.set_exception(_only(error))
        finally:
            self._held = None


def _only(error: Exception) -> Exception:
    """The one that a group holds, where it holds one: the groups are our task groups'."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
