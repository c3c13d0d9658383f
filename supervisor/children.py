"""The table of children: by lease for the gateway, by pid for the reaper.

How a child's state changes is `supervisor.endings`'s. Every change that the gateway must know of is announced, by the
function that `announce` is.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from loguru import logger

from common.config.model import SupervisorSettings
from common.limits import raise_open_files_limit
from common.once import Changes
from common.reasons import Reason
from supervisor import exposure
from supervisor.births import Births
from supervisor.certificates import certify, log_end
from supervisor.child import Child, count_by_server
from supervisor.clocks import Clocks
from supervisor.endings import Endings
from supervisor.fetches import Fetches
from supervisor.ground import Ground
from supervisor.helpers import Helpers
from supervisor.lifecycle import Event, State
from supervisor.limits import exit_of_init, limit_of
from supervisor.meter import Meter
from supervisor.nearby import Nearby
from supervisor.openings import Openings
from supervisor.places import caches_path
from supervisor.placing import Placer
from supervisor.protocol import Answer, Exit, FromSupervisor, Gone
from supervisor.rooms import Room, Rooms
from supervisor.stderr import open_file
from supervisor.strays import Strays
from supervisor.tree import CensusTaker, Reaper, end_everything
from supervisor.zygote.zygotes import Zygotes


@asynccontextmanager
async def running_children(
    settings: SupervisorSettings, announce: Callable[[FromSupervisor], None], ground: Ground, rooms: Rooms
) -> AsyncIterator["Children"]:
    """A table of children; on leaving, every tree is ended in order and verified empty, also when cancelled."""
    async with anyio.create_task_group() as tasks:
        children = Children(settings, announce, tasks, ground, rooms)
        with Reaper(children.leader_exited):
            tasks.start_soon(children.measure, name="measure trees")
            try:
                yield children
            finally:
                with anyio.CancelScope(shield=True):
                    children.warming.pause()
                    children.end_all(Reason.SHUTDOWN)
                    await children.zygotes.stop()  # who waits for a package would begin to fetch it anew
                    await children.fetches.stop()
                    await children.all_gone()
                    await children.sweep()
                    children.fetches.close()
                tasks.cancel_scope.cancel()


class Children:
    """The table and all that keeps it true. `running_children` makes one, and leaves nothing behind."""

    def __init__(
        self,
        settings: SupervisorSettings,
        announce: Callable[[FromSupervisor], None],
        tasks: anyio.abc.TaskGroup,
        ground: Ground,
        rooms: Rooms,
    ) -> None:
        self._settings = settings
        self.reaping = ground.reaping
        self._ledger = ground.ledger
        self._announce = announce
        self._tasks = tasks
        self._rooms = rooms
        self._by_lease: dict[int, Child] = {}
        self._by_pid: dict[int, Child] = {}
        self._census = CensusTaker()
        self._strays = Strays(ground, self._by_pid.keys, self._by_lease.keys, lambda: self._openings.last_lease)
        placer = Placer(ground.reaping, raise_open_files_limit(), (ground.runtime, rooms.base), caches_path(settings))
        self._helpers = Helpers(ground, self._census)
        self._nearby = Nearby(self._census, self._own)
        births = Births(ground, rooms, placer, self._census, self._strays, self._nearby, self._clear)
        self._clocks = Clocks(announce, self._end)
        self.fetches = Fetches(self._helpers, tasks)
        """Of the packages that servers are started from."""
        self.zygotes = Zygotes(
            ground,
            rooms,
            placer,
            self._census,
            self.fetches,
            tasks,
            number=self._helpers.next_number,
            clear=self._clear,
        )
        run = ground.reaping.run
        enforced = run is not None and {"memory", "pids"} <= run.controllers
        self._meter = Meter(self._alive, self.over_limit, self._strays.kill, measure_usage=not enforced)
        self._told = Changes()
        self._buried = anyio.Event()
        self.stderr_directory = ground.runtime / "stderr"
        """Where sessions have their files, if wanted."""
        self._endings = Endings(announce, tasks, self._bury)
        self._openings = Openings(
            settings,
            ground.reaping,
            tasks,
            rooms,
            births,
            self.fetches,
            self.zygotes,
            self._clocks,
            enroll=self._enroll,
            end=self._end,
            burial=self._burial,
        )
        self.open = self._openings.open
        self.gate = self._openings.gate
        self.gate.on_wait = self._make_room
        self.warming = self._openings.warming
        """Of children that stand ready before anybody asks."""

    @property
    def outlived(self) -> int:
        """How often something outlived SIGKILL by a whole grace, or its session."""
        return self._endings.outlived + self._strays.outlived

    def keep_pipes(self, *, wanted: bool) -> None:
        """Whether a child's pipes are kept for a later gateway: see supervisor.custody."""
        self._openings.keeps_pipes = wanted

    # What the gateway asks for; `open` is supervisor.openings'.

    def _enroll(self, child: Child) -> None:
        if child.spec.isolation.stderr_files:
            child.stderr.file = open_file(self.stderr_directory, f"{child.spec.name}-{child.certificate}")
        self._by_lease[child.lease] = self._by_pid[child.pid] = child
        self._meter.wake()
        logger.log(child.level, "spawned {} pid {} for session {}", child.spec.name, child.pid, child.label)

    def keep(self, lease: int, state: str) -> None:
        """This one is ready, and `state` is what a later gateway needs to go on with it."""
        if (child := self._by_lease.get(lease)) is not None:
            child.state_for_gateway = state
            child.ready = child.ready or time.monotonic()
            self.gate.ready(child)
            self.warming.not_cold(lease)

    def renew(self, leases: tuple[int, ...]) -> None:
        """The gateway used these; it lives, and so does its hold on others."""
        self._clocks.renewed()
        for child in self._those(leases):
            child.use()

    def hold(self, leases: tuple[int, ...]) -> None:
        """The gateway holds these from now on."""
        for child in self._those(leases):
            child.use()
            child.held = True

    def unhold(self, leases: tuple[int, ...]) -> None:
        """The gateway has held these until now."""
        for child in self._those(leases):
            child.use()
            child.held = False

    def release(self, lease: int, reason: Reason) -> None:
        """The gateway wants this one's end."""
        if (child := self._by_lease.get(lease)) is not None:
            self._end(child, reason)

    def end_all(self, reason: Reason) -> None:
        """End every child, in order."""
        for child in tuple(self._by_lease.values()):
            self._end(child, reason)

    def abandon_all(self) -> None:
        """End every child in haste: the gateway is dead."""
        for child in tuple(self._by_lease.values()):
            self._abandon(child)

    def _abandon(self, child: Child) -> None:
        """A child may have noticed first, by the end of its input, and have left: then that is why."""
        if child.reason in (None, Reason.CHILD_EXITED):
            child.reason = Reason.GATEWAY_LOST
        self._endings.dispatch(child, Event.ABANDONED)

    # What becomes of children without a gateway (supervisor.custody).

    def leave_alone(self, *, orderly: bool) -> int:
        """The gateway has gone: stop the idle clocks, and end each child with which no other could go on.

        Those are ended in order or in haste. How many are left, besides spares, which stay.
        """
        for child in tuple(self._by_lease.values()):
            if child.is_spare:
                continue
            if child.can_be_kept:
                self._clocks.stop_idling(child)
            elif orderly:
                self._end(child, Reason.SHUTDOWN)
            else:
                self._abandon(child)
        return len(self.kept())

    def find(self, lease: int) -> Child | None:
        """The child of `lease`, until its tree is gone."""
        return self._by_lease.get(lease)

    def kept(self) -> list[Child]:
        """The children with which another gateway can go on, oldest first."""
        return [child for child in self._by_lease.values() if child.can_be_kept]

    def resume_idling(self, away: float) -> None:
        """There is a gateway again, after `away` seconds that count for no idle clock."""
        for child in self.kept():
            child.last_used += away
            self._clocks.watch_idleness(child)

    async def all_gone(self) -> None:
        """Wait until no child is left. Whatever bounds the wait, the ending goes on."""
        while self._by_lease:
            await self._buried.wait()

    async def sweep(self) -> None:
        """Kill what left its tree without a trace. Only when no child is left: it knows no better than descent."""
        await self.zygotes.stop()
        await self.fetches.stop()
        stray = await end_everything(self._census)
        if stray:
            self._endings.outlived += stray
            logger.error("{} processes had outlived their sessions and were killed", stray)

    async def measure(self) -> None:
        """Hold trees to their limits, and look for what left its tree, until cancelled."""
        await self._meter.run()

    def over_limit(self, child: Child, limit: Reason) -> None:
        """`child` uses more than it may: its end is immediate."""
        if child.limit is None:
            logger.warning("{!r} is over its {}", child, limit)
        child.limit = limit
        child.reason = child.reason or limit
        self._endings.dispatch(child, Event.OVER_LIMIT)

    def report(self, ref: int) -> Answer:
        """How it stands, as the answer to the question `ref`."""
        alive = [child for child in self._by_lease.values() if child.state is State.RUNNING]
        running = count_by_server(child for child in alive if not child.is_spare)
        answer = Answer(
            ref,
            running.total(),
            len(self._by_lease) - len(alive),
            self.gate.waiting,
            self.outlived,
            self.reaping.mode,
            self.gate.reports(running, self.warming.report(), self.zygotes.memory()),
        )
        return exposure.reported(answer, self._settings, self.reaping)

    # What happens by itself.

    def _alive(self) -> list[Child]:
        return [child for child in self._by_lease.values() if child.state is not State.GONE]

    def _those(self, leases: tuple[int, ...]) -> Iterator[Child]:
        return (child for lease in leases if (child := self._by_lease.get(lease)) is not None)

    def _own(self) -> set[int]:
        """The pids of our own children that somebody looks after."""
        return self._by_pid.keys() | self._helpers.pids | self.zygotes.pids

    def _clear(self, room: Room) -> None:
        """Take the room back, and wipe it; nothing lives in it any more."""
        self._rooms.close_room(room)
        if not self._rooms.remove_empty(room):
            self._tasks.start_soon(self._rooms.wipe, room, name=f"wipe {room.path.name}")

    async def _burial(self) -> None:
        await self._buried.wait()

    def _make_room(self, leases: list[int]) -> None:
        for lease in leases:
            self.release(lease, Reason.MAX_SESSIONS)

    def _end(self, child: Child, reason: Reason) -> None:
        child.reason = child.reason or reason
        self._endings.dispatch(child, Event.END)

    def leader_exited(self, pid: int, exit_: Exit) -> None:
        """The reaper's word that `pid` was reaped; most pids are helpers that nobody asks for."""
        self._helpers.exited(pid, exit_)
        self.zygotes.exited(pid, exit_)
        child = self._by_pid.pop(pid, None)
        if child is None:
            return
        child.process.returncode = -exit_.signal if exit_.signal is not None else exit_.code
        child.leader_exited(exit_of_init(exit_) if child.place.wrapping.has_init else exit_)
        child.tree.is_empty = child.place.wrapping.waits_for_init and exit_.code is not None
        assert child.exit is not None
        child.limit = child.limit or self._limit_hit(child, child.exit)
        child.reason = child.reason or child.limit or Reason.CHILD_EXITED
        self._endings.dispatch(child, Event.LEADER_EXITED)

    @staticmethod
    def _limit_hit(child: Child, exit_: Exit) -> Reason | None:
        """The limit that ended it, where the kernel did so without telling us.

        That the kernel once refused a fork explains no end that we brought about ourselves.
        """
        if exit_.code == 0:
            return None
        limit = limit_of(exit_) or (child.place.leaf.limit_hit() if child.place.leaf is not None else None)
        return None if limit is Reason.TASKS_MAX and child.reason is not None else limit

    def _bury(self, child: Child) -> None:
        """Its tree is empty: nothing is left of it but its certificate."""
        assert child.reason is not None
        assert child.exit is not None
        del self._by_lease[child.lease]
        self._buried.set()
        self._buried = anyio.Event()
        child.stderr.close()
        self._ledger.gone(child.lease)
        try:
            child.place.clear()
        except OSError as error:
            logger.error("{!r}: its cgroup cannot be removed: {}", child, error)
        self._clear(child.room)
        certificate = certify(child)
        log_end(child, certificate, self._told)
        self.gate.gone(child)
        self.warming.not_cold(child.lease)
        self.warming.gone(child)
        if not child.is_spare:
            self._announce(Gone(child.lease, certificate))
