"""How children end: one door through which a child's state changes, and the steps that empty its tree.

`supervisor.lifecycle` says which state comes next, and what is to be done then; here it is done. Whoever learns of an
event, the gateway's wish, a limit, the reaper's word, says so to `dispatch`.
"""

import signal
import time
from collections.abc import Callable
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from common.config.model import Graces
from supervisor.child import Child
from supervisor.lifecycle import Effect, Event, State, advance
from supervisor.protocol import Ending, FromSupervisor

HASTY: Final = Graces(stop=0.2, terminate=0.3, kill=1.0)
"""Graces after the gateway's death: nobody waits for the child any more, but it may want to flush a file."""

_SIGNALS: Final = {State.TERMINATING: signal.SIGTERM, State.KILLING: signal.SIGKILL}


class Endings:
    """The endings of all children, each a task of `tasks`.

    The gateway hears of each by way of `announce`; once its tree is empty `bury(child)`, called once, does the rest.
    """

    def __init__(
        self,
        announce: Callable[[FromSupervisor], None],
        tasks: anyio.abc.TaskGroup,
        bury: Callable[[Child], None],
    ) -> None:
        self.outlived = 0
        """How often something outlived SIGKILL by a whole grace, or its session."""
        self._announce = announce
        self._tasks = tasks
        self._bury = bury

    def __repr__(self) -> str:
        return f"<Endings: {self.outlived} outlived>"

    def dispatch(self, child: Child, event: Event) -> None:
        """`event` has happened to `child`. Before one with which its end begins, its `reason` is set."""
        child.state, effects = advance(child.state, event)
        for effect in effects:
            self._perform(child, effect)

    def _perform(self, child: Child, effect: Effect) -> None:
        match effect:
            case Effect.ANNOUNCE_ENDING:
                # Every way out of RUNNING leads through here.
                assert child.reason is not None
                child.disarm()
                child.ended = time.monotonic()
                child.close_pipes()
                if not child.is_spare:
                    self._announce(Ending(child.lease, child.reason, child.exit, child.certificate))
            case Effect.START_ENDING:
                self._tasks.start_soon(self._work_through_steps, child, name=f"end {child!r}")
            case Effect.HASTEN:
                child.graces = HASTY
            case Effect.RESTART_STEP:
                if child.step is not None:
                    child.step.cancel()
            case Effect.COUNT_OUTLIVED:
                self.outlived += 1
                logger.error("{!r}: something outlives SIGKILL; still trying", child)
            case Effect.ANNOUNCE_GONE:
                self._bury(child)

    async def _work_through_steps(self, child: Child) -> None:
        """Stop, terminate, kill, until the tree is empty. Never cancelled: it is what cleaning up consists of."""
        with anyio.CancelScope(shield=True):
            while child.state is not State.GONE:
                state, deadline = child.state, anyio.current_time() + self._grace(child)
                with anyio.CancelScope(deadline=deadline) as child.step:
                    await self._step(child)
                # The scope is also cancelled to restart the step; then there is a new state, or time is left.
                if child.state is state and anyio.current_time() >= deadline:
                    self.dispatch(child, Event.GRACE_OVER)

    async def _step(self, child: Child) -> None:
        """One step of ending; returns when the next one is due, or nothing is left to do."""
        if child.state is State.STOPPING:
            await child.wait_for_leader()
            return
        await child.tree.end(_SIGNALS[child.state])
        await child.wait_for_leader()
        self.dispatch(child, Event.TREE_EMPTY)

    @staticmethod
    def _grace(child: Child) -> float:
        graces = {
            State.STOPPING: child.graces.stop,
            State.TERMINATING: child.graces.terminate,
            State.KILLING: child.graces.kill,
        }
        return graces[child.state]
