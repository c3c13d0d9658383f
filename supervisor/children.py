"""The table of children: by lease for the gateway, by pid for the reaper.

How a child's state changes is `supervisor.endings`'s. Every change that the gateway must know of is announced, by the
function that `announce` is.
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

import anyio
import anyio.abc
from loguru import logger

from common.config.model import ServerSpec, SupervisorSettings
from common.limits import raise_open_files_limit
from common.once import Changes
from common.reasons import Reason
from supervisor import exposure
from supervisor.admission import Request
from supervisor.births import Births
from supervisor.certificates import certify, log_end
from supervisor.child import Child, count_by_server, duplicates
from supervisor.clocks import Clocks
from supervisor.endings import Endings
from supervisor.environment import SpawnError
from supervisor.fetches import Fetches
from supervisor.gate import Gate
from supervisor.ground import Ground
from supervisor.helpers import Helpers
from supervisor.lifecycle import Event, State
from supervisor.limits import exit_of_init, limit_of
from supervisor.meter import Meter
from supervisor.personal import for_user
from supervisor.places import caches_path
from supervisor.placing import Placer
from supervisor.protocol import Answer, Exit, FromSupervisor, Gone
from supervisor.rooms import Room, Rooms
from supervisor.stderr import open_file
from supervisor.strays import Strays
from supervisor.tree import CensusTaker, Reaper, end_everything


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
                    children.end_all(Reason.SHUTDOWN)
                    await children.fetches.stop()
                    await children.all_gone()
                    await children.sweep()
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
        self._last_lease = 0
        self._census = CensusTaker()
        self._strays = Strays(ground, self._by_pid.keys)
        placer = Placer(ground.reaping, raise_open_files_limit(), (ground.runtime, rooms.base), caches_path(settings))
        self._births = Births(ground, rooms, placer, self._census, self._strays, self._clear)
        self._clocks = Clocks(announce, self._end)
        self._helpers = Helpers(ground, self._census)
        self.fetches = Fetches(self._helpers, tasks)
        """Of the packages that servers are started from."""
        self._told = Changes()
        self._buried = anyio.Event()
        self.gate = Gate(settings)
        self.gate.on_wait = self._make_room
        self.stderr_directory = ground.runtime / "stderr"
        """Where sessions have their files, if wanted."""
        self.keeps_pipes = False
        """Whether a child's pipes are kept for a later gateway: see supervisor.custody."""
        self._endings = Endings(announce, tasks, self._bury)

    @property
    def outlived(self) -> int:
        """How often something outlived SIGKILL by a whole grace, or its session."""
        return self._endings.outlived

    # What the gateway asks for.

    async def open(
        self,
        server: str,
        label: str,
        user: str = "",
        values: Mapping[str, str] | None = None,
        *,
        gives_way: bool = False,
    ) -> tuple[Child, int, int]:
        """Spawn a child of `server`, once there is a place; the child, and its stdin and stdout, which the caller owns.

        `values` are what it is given of `user`'s own. One that `gives_way` waits for no place, and makes nobody wait.

        Raises SpawnError, with a reason, where it is refused or cannot be started. Cancellation leaves nothing behind.
        """
        exposure.check(server, self._settings, self.reaping)
        self._resolve(server)  # or it is refused, for which it need not have waited for a place
        self._last_lease += 1
        lease, request = self._last_lease, Request(server, user, label, gives_way)
        await self.gate.enter(lease, request)
        try:
            child, spawned = self._births.start(
                for_user(self._resolve(server), values or {}), lease, label, user, gives_way=gives_way
            )
        except SpawnError as error:
            self.gate.could_not_spawn(lease, request, error)
            raise
        except BaseException:
            self.gate.gave_up(lease, request)
            raise
        spec = child.spec
        if spec.isolation.stderr_files:
            child.stderr.file = open_file(self.stderr_directory, f"{server}-{child.certificate}")
        if self.keeps_pipes:
            child.pipes = duplicates(spawned.stdin, spawned.stdout)
        self._by_lease[lease] = self._by_pid[child.pid] = child
        self._clocks.start(child)
        logger.log(child.level, "spawned {} pid {} for session {}", server, child.pid, label)
        return child, spawned.stdin, spawned.stdout

    def _resolve(self, server: str) -> ServerSpec:
        """How to start `server`, as the configuration has it now.

        Raises SpawnError where its package is not there yet, and for one that was taken out of the configuration while
        somebody waited for a place.
        """
        if (spec := self._settings.servers.get(server)) is not None:
            return self.fetches.resolve(spec)
        message = f"there is no server '{server}' any more"
        raise SpawnError(Reason.SERVER_NOT_FOUND, message, message)

    def keep(self, lease: int, state: str) -> None:
        """This one is ready, and `state` is what a later gateway needs to go on with it."""
        if (child := self._by_lease.get(lease)) is not None:
            child.state_for_gateway = state
            child.ready = child.ready or time.monotonic()
            self.gate.ready(child)

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

        Those are ended in order or in haste. How many are left.
        """
        for child in tuple(self._by_lease.values()):
            if child.can_be_kept:
                child.stop_idling()
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
        await self.fetches.stop()
        stray = await end_everything(self._census)
        if stray:
            self._endings.outlived += stray
            logger.error("{} processes had outlived their sessions and were killed", stray)

    async def measure(self) -> None:
        """Hold trees to their limits, and look for what left its tree, until cancelled."""
        run = self.reaping.run
        enforced = run is not None and {"memory", "pids"} <= run.controllers
        running = lambda: [child for child in self._by_lease.values() if child.state is not State.GONE]  # noqa: E731
        await Meter(self._census, running, self.over_limit, self._strays.kill, measure_usage=not enforced).run()

    def over_limit(self, child: Child, limit: Reason) -> None:
        """`child` uses more than it may: its end is immediate."""
        if child.limit is None:
            logger.warning("{!r} is over its {}", child, limit)
        child.limit = limit
        child.reason = child.reason or limit
        self._endings.dispatch(child, Event.OVER_LIMIT)

    def report(self, ref: int) -> Answer:
        """How it stands, as the answer to the question `ref`."""
        running = count_by_server(child for child in self._by_lease.values() if child.state is State.RUNNING)
        answer = Answer(
            ref,
            running.total(),
            len(self._by_lease) - running.total(),
            self.gate.waiting,
            self.outlived,
            self.reaping.mode,
            self.gate.reports(running),
        )
        return exposure.reported(answer, self._settings, self.reaping)

    # What happens by itself.

    def _clear(self, room: Room) -> None:
        """Take the room back, and wipe it; nothing lives in it any more."""
        self._rooms.close_room(room)
        self._tasks.start_soon(self._rooms.wipe, room, name=f"wipe {room.path.name}")

    def _make_room(self, leases: list[int]) -> None:
        for lease in leases:
            self.release(lease, Reason.MAX_SESSIONS)

    def _end(self, child: Child, reason: Reason) -> None:
        child.reason = child.reason or reason
        self._endings.dispatch(child, Event.END)

    def leader_exited(self, pid: int, exit_: Exit) -> None:
        """The reaper's word that `pid` was reaped; most pids are helpers that nobody asks for."""
        self._helpers.exited(pid, exit_)
        child = self._by_pid.pop(pid, None)
        if child is None:
            return
        child.process.returncode = -exit_.signal if exit_.signal is not None else exit_.code
        child.exit = exit_of_init(exit_) if child.place.wrapping.has_init else exit_
        child.leader_exited.set()
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
        self._announce(Gone(child.lease, certificate))
