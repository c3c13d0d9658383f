"""All connections of a server, and what they share."""

import asyncio
from typing import Final

from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.config import Config
from hypercorn.typing import AppWrapper, LifespanState

from gateway.hot.exchange import Answering, Head, HotApp
from gateway.lane.answer import Dates
from gateway.lane.clock import Clock
from gateway.lane.connection import Connection

PATIENCE: Final = 5.0
"""Seconds that a request may take to come whole; then it is Hypercorn's, with the time that it and Quart give it."""

MAX_HELD: Final = 16 * 1024 * 1024
"""Bytes of requests that are not whole, and of which nobody knows yet who sends them, on all connections together."""


class NothingHot:
    """No request is a hot one."""

    def takes(self, head: Head) -> Answering | None:  # noqa: ARG002 - of HotApp
        """None, always."""
        return None


class Carrier:
    """Whatever is to be had of a server for each of its connections: see `connection.Surroundings`."""

    def __init__(self, app: AppWrapper, config: Config, state: LifespanState, hot: HotApp) -> None:
        self.app = app
        self.config = config
        self.state = state
        self.hot = hot
        self.loop = asyncio.get_running_loop()
        self.context = WorkerContext(None)
        self.dates = Dates()
        self.at_rest: Clock[Connection] = Clock(self.loop, config.keep_alive_timeout, Connection.rested_enough)
        self.patience: Clock[Connection] = Clock(self.loop, PATIENCE, Connection.waited_enough)
        self.is_ending = False
        self.held = 0
        """Bytes that are set apart for requests which are not whole."""
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    def __repr__(self) -> str:
        return f"<Carrier of {len(self._connections)} connections{', ending' if self.is_ending else ''}>"

    def connection(self) -> Connection:
        """What serves a new connection."""
        return Connection(self)

    def enter(self, connection: Connection) -> None:
        """There is one more."""
        self._connections.add(connection)
        self._empty.clear()

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        self.at_rest.stop(connection)
        self.patience.stop(connection)
        self._connections.discard(connection)
        self._look_whether_empty()

    def set_apart(self, size: int) -> bool:
        """Whether there is room for so many bytes of a request that is not whole; it is to be given back."""
        if self.held + size > MAX_HELD:
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """They are not held any more."""
        self.held -= size

    def follow(self, task: asyncio.Task[None]) -> None:
        """`task` is Hypercorn's on one of the connections, and is waited for."""
        self._tasks.add(task)
        task.add_done_callback(self._over)

    async def end(self, linger: float, grace: float) -> None:
        """Close what is at rest, and the others once they are answered; drop what is there after `linger` seconds, and
        cancel what still runs after `grace`.
        """
        self.is_ending = True
        await self.context.terminated.set()
        for each in tuple(self._connections):
            each.end()
        stuck = self.loop.call_later(linger, self.abort)
        try:
            async with asyncio.timeout(grace):
                await self._empty.wait()
        except TimeoutError:
            self.abort()
            for task in (*self._tasks, *(each.task for each in self._connections if each.task is not None)):
                task.cancel()
            await self._empty.wait()
        finally:
            stuck.cancel()
            self.at_rest.close()
            self.patience.close()

    def abort(self) -> None:
        """Drop every connection that is there."""
        for each in tuple(self._connections):
            each.abort()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.call_exception_handler({"message": "a connection failed", "exception": error, "task": task})
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if not self._connections and not self._tasks:
            self._empty.set()
