"""The table of children: by lease for the gateway, by pid for the reaper.

`_dispatch` is the one door through which a child's state changes; `supervisor.lifecycle` says what to. Every change
that the gateway must know of is announced, by the function that `announce` is.
"""

import asyncio
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

import anyio
import anyio.abc
from loguru import logger

from common.config.model import Graces, ServerSpec, SupervisorSettings
from common.limits import raise_open_files_limit
from common.reasons import Reason
from supervisor.admission import Refusal, admit
from supervisor.child import Child, count_by_server, how_it_ended
from supervisor.environment import SpawnError
from supervisor.lifecycle import Effect, Event, State, advance
from supervisor.protocol import EXPIRY_NOTICE, Answer, Certificate, Ending, Exit, Expiring, FromSupervisor, Gone
from supervisor.rooms import Room, Rooms
from supervisor.spawn import spawn
from supervisor.stderr import StderrTail
from supervisor.tree import CensusTaker, Reaper, Tree, end_everything, make_tag
from supervisor.users import AllInUse

HASTY: Final = Graces(stop=0.2, terminate=0.3, kill=1.0)
"""Graces after the gateway's death: nobody waits for the child any more, but it may want to flush a file."""

STDERR_LINES_ON_FAILURE: Final = 20
"""How much of a failed child's stderr goes to the log."""

_SIGNALS: Final = {State.TERMINATING: signal.SIGTERM, State.KILLING: signal.SIGKILL}
_FAILURES: Final = {
    Reason.CHILD_EXITED,
    Reason.CHILD_CLOSED_STDOUT,
    Reason.CHILD_NOT_READING,
    Reason.START_FAILED,
    Reason.START_TIMEOUT,
}
"""Reasons for which an operator will want to read the child's own last words."""


@asynccontextmanager
async def running_children(
    settings: SupervisorSettings, announce: Callable[[FromSupervisor], None], rooms: Rooms
) -> AsyncIterator["Children"]:
    """A table of children; on leaving, every tree is ended in order and verified empty, also when cancelled."""
    async with anyio.create_task_group() as tasks:
        children = Children(settings, announce, tasks, rooms)
        with Reaper(children.leader_exited):
            try:
                yield children
            finally:
                with anyio.CancelScope(shield=True):
                    children.end_all(Reason.SHUTDOWN)
                    await children.all_gone()
                    await children.sweep()


class Children:
    """The table and all that keeps it true. `running_children` makes one, and leaves nothing behind."""

    def __init__(
        self,
        settings: SupervisorSettings,
        announce: Callable[[FromSupervisor], None],
        tasks: anyio.abc.TaskGroup,
        rooms: Rooms,
    ) -> None:
        self._settings = settings
        self._announce = announce
        self._tasks = tasks
        self._rooms = rooms
        self._by_lease: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._last_lease = 0
        self._installation = random.SystemRandom().randrange(1, 1 << 31)
        self._open_files = raise_open_files_limit()
        self._census = CensusTaker()
        self._buried = anyio.Event()
        self.outlived = 0
        """How often something outlived SIGKILL by a whole grace."""

    # What the gateway asks for.

    async def open(self, server: str, label: str, user: str = "") -> tuple[Child, int, int]:
        """Spawn a child of `server`; the child, and its stdin and stdout, which the caller owns.

        Raises SpawnError, with a reason, where it is refused or cannot be started. Cancellation leaves nothing behind.
        """
        refusal = admit(self._settings, server, count_by_server(self._by_lease.values()))
        if refusal is not None:
            raise self._refused(server, refusal)
        spec = self._settings.servers[server]
        self._last_lease += 1
        lease = self._last_lease
        tag = make_tag(self._installation, lease)
        room = self._make_room(spec)
        try:
            spawned = spawn(spec, tag, self._open_files, room)
        except SpawnError as error:
            self._clear(room)
            logger.error("server {}: {}: {}", server, error.reason, error.detail)
            raise
        child = Child(
            lease=lease,
            label=label,
            spec=spec,
            room=room,
            process=spawned.process,
            tree=Tree(spawned.process.pid, tag, self._census),
            stderr=StderrTail(spawned.stderr, f"{server} pid {spawned.process.pid}"),
            graces=spec.graces,
            user=user,
        )
        self._by_lease[lease] = self._by_pid[child.pid] = child
        self._watch_idleness(child)
        self._watch_lifetime(child)
        logger.info("spawned {} pid {} for session {}", server, child.pid, label)
        return child, spawned.stdin, spawned.stdout

    def keep(self, lease: int, state: str) -> None:
        """This one is ready, and `state` is what a later gateway needs to go on with it."""
        if (child := self._by_lease.get(lease)) is not None:
            child.state_for_gateway = state

    def renew(self, leases: tuple[int, ...]) -> None:
        """The gateway used these, or holds them."""
        now = time.monotonic()
        for lease in leases:
            if (child := self._by_lease.get(lease)) is not None:
                child.last_used = now

    def release(self, lease: int, reason: Reason) -> None:
        """The gateway wants this one's end."""
        if (child := self._by_lease.get(lease)) is not None:
            self._end(child, reason)

    def end_all(self, reason: Reason) -> None:
        """End every child, in order."""
        for child in tuple(self._by_lease.values()):
            self._end(child, reason)

    def abandon_all(self) -> None:
        """End every child in haste: the gateway is dead.

        A child may have noticed first, by the end of its input, and have left: then that is why.
        """
        for child in tuple(self._by_lease.values()):
            if child.reason in (None, Reason.CHILD_EXITED):
                child.reason = Reason.GATEWAY_LOST
            self._dispatch(child, Event.ABANDONED)

    async def all_gone(self) -> None:
        """Wait until no child is left. Whatever bounds the wait, the ending goes on."""
        while self._by_lease:
            await self._buried.wait()

    async def sweep(self) -> None:
        """Kill what left its tree without a trace. Only when no child is left: it knows no better than descent."""
        stray = await end_everything(self._census)
        if stray:
            logger.warning("{} processes had left their trees and were killed", stray)

    def report(self, ref: int) -> Answer:
        """How it stands, as the answer to the question `ref`."""
        running = sum(child.state is State.RUNNING for child in self._by_lease.values())
        return Answer(ref, running, len(self._by_lease) - running, outlived=self.outlived)

    # What happens by itself.

    def _refused(self, server: str, refusal: Refusal) -> SpawnError:
        logger.warning("refused a child of {}: {}", server, refusal.message)
        return SpawnError(refusal.reason, refusal.message, refusal.message)

    def _make_room(self, spec: ServerSpec) -> Room:
        try:
            return self._rooms.make(spec)
        except AllInUse as error:
            message = f"server '{spec.name}' has as many sessions as there are user ids for it"
            logger.warning("refused a child of {}: {}", spec.name, error)
            raise SpawnError(Reason.MAX_SESSIONS, message, str(error)) from None
        except OSError as error:
            logger.error("server {}: {}: {}", spec.name, Reason.ROOM_FAILED, error)
            message = f"a session of server '{spec.name}' could not be given a directory of its own"
            raise SpawnError(Reason.ROOM_FAILED, message, str(error)) from error

    def _clear(self, room: Room) -> None:
        """Take the room back, and wipe it; nothing lives in it any more."""
        self._rooms.close_room(room)
        self._tasks.start_soon(self._rooms.wipe, room, name=f"wipe {room.path.name}")

    def _end(self, child: Child, reason: Reason) -> None:
        child.reason = child.reason or reason
        self._dispatch(child, Event.END)

    def leader_exited(self, pid: int, exit_: Exit) -> None:
        """The reaper's word that `pid` was reaped; most pids are helpers that nobody asks for."""
        child = self._by_pid.pop(pid, None)
        if child is None:
            return
        child.exit = exit_
        child.process.returncode = -exit_.signal if exit_.signal is not None else exit_.code
        child.leader_exited.set()
        child.reason = child.reason or Reason.CHILD_EXITED
        self._dispatch(child, Event.LEADER_EXITED)

    def _watch_idleness(self, child: Child) -> None:
        """Ask once before the lease ends as idle; the clock that matters is `last_used`, so a renewal costs nothing."""
        loop = asyncio.get_running_loop()
        left = child.last_used + child.spec.idle_timeout - time.monotonic()
        if left > 0:
            child.idle_timer = loop.call_later(left, self._watch_idleness, child)
            return
        self._announce(Expiring(child.lease))
        child.idle_timer = loop.call_later(EXPIRY_NOTICE, self._expire, child, time.monotonic())

    def _expire(self, child: Child, asked: float) -> None:
        if child.last_used >= asked:
            self._watch_idleness(child)
        else:
            self._end(child, Reason.IDLE_TIMEOUT)

    def _watch_lifetime(self, child: Child) -> None:
        loop = asyncio.get_running_loop()
        child.lifetime_timer = loop.call_later(child.spec.max_lifetime, self._end, child, Reason.MAX_LIFETIME)

    # How a state changes, and what follows.

    def _dispatch(self, child: Child, event: Event) -> None:
        child.state, effects = advance(child.state, event)
        for effect in effects:
            self._perform(child, effect)

    def _perform(self, child: Child, effect: Effect) -> None:
        match effect:
            case Effect.ANNOUNCE_ENDING:
                assert child.reason is not None
                child.disarm()
                self._announce(Ending(child.lease, child.reason, child.exit, child.certificate))
            case Effect.START_ENDING:
                self._tasks.start_soon(self._work_through_steps, child, name=f"end {child!r}")
            case Effect.HASTEN:
                child.graces = HASTY
            case Effect.RESTART_STEP:
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
                    self._dispatch(child, Event.GRACE_OVER)

    async def _step(self, child: Child) -> None:
        """One step of ending; returns when the next one is due, or nothing is left to do."""
        if child.state is State.STOPPING:
            await child.leader_exited.wait()
            return
        await child.tree.end(_SIGNALS[child.state])
        await child.leader_exited.wait()
        self._dispatch(child, Event.TREE_EMPTY)

    @staticmethod
    def _grace(child: Child) -> float:
        graces = {
            State.STOPPING: child.graces.stop,
            State.TERMINATING: child.graces.terminate,
            State.KILLING: child.graces.kill,
        }
        return graces[child.state]

    def _bury(self, child: Child) -> None:
        assert child.reason is not None
        assert child.exit is not None
        del self._by_lease[child.lease]
        self._buried.set()
        self._buried = anyio.Event()
        child.stderr.close()
        self._clear(child.room)
        self._log_end(child)
        certificate = Certificate(child.certificate, child.spec.name, child.reason, child.exit, lived=child.age)
        self._announce(Gone(child.lease, certificate))

    def _log_end(self, child: Child) -> None:
        line = "{} pid {} of session {} is gone: {}, {}, after {:.1f} s"
        facts = (child.spec.name, child.pid, child.label, child.reason, how_it_ended(child.exit), child.age)
        if child.reason not in _FAILURES:
            logger.info(line, *facts)
            return
        logger.warning(line, *facts)
        logger.warning("its command was: {}", child.spec.as_written)
        for said in child.stderr.tail(STDERR_LINES_ON_FAILURE):
            logger.warning("its stderr: {}", said)
