"""The only place that signals and reaps: whole trees, never a pid that was merely remembered.

A **tree** is a leader and all that came from it. Who belongs to it is read off the machine each time anew, by several
marks, because each has its escape: descent (a helper whose parent has died is adopted by the supervisor, which is a
subreaper), the leader's process group and session (a helper can leave them), the **tag** (see supervisor.tags), and the
session's cgroup where there is one. What took off every mark has only descent left, and is ended with the next tree.

A signal goes to a process through a pidfd that was opened before the process was looked at again, so it cannot hit a
stranger that got the same pid (pidfd_open(2)). Whether a tree is empty is waited for on those pidfds, not polled.
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Final

import anyio
from loguru import logger

from common.descriptors import close_all
from supervisor.cgroups import Leaf
from supervisor.freeze import freeze, kill_process, signal_groups, signal_same
from supervisor.linux import Census, Process, descendants, look, take_census
from supervisor.protocol import Exit
from supervisor.tags import same_installation

WATCHED: Final = 64
"""Processes of a tree whose end is waited for at once; the next look finds the others."""

FENCE: Final = 5.0
"""Seconds that a killed process may take to be gone."""

UNWATCHED: Final = 0.02
"""Seconds between two looks at a tree when the kernel gives no descriptor to wait on."""

EMPTY_LOOKS: Final = 30
"""How often a tree that looks empty is looked at again, because there are strays, or somebody may have slipped through.
If that goes on for longer it is another tree's doing, which lives: nobody's end waits for ever for somebody else's."""


def members(census: Census, supervisor: int, leader: int, tag: int) -> dict[int, Process]:
    """The living processes of the tree of `leader`, which bears `tag`, among the descendants of `supervisor`. Pure.

    A process that bears the tag of another tree of this supervisor's belongs to that one, whatever else it shares.
    """
    ours = descendants(census, supervisor)

    def may_belong(process: Process) -> bool:
        return process.tag == tag or not same_installation(process.tag, tag)

    def is_marked(process: Process) -> bool:
        return process.tag == tag or leader in (process.pid, process.pgid, process.sid)

    found = {pid for pid in ours if may_belong(census[pid]) and is_marked(census[pid])}
    for pid in tuple(found):
        found |= {below for below in descendants(census, pid) if may_belong(census[below])}
    return {pid: census[pid] for pid in found if census[pid].alive}


def strays(census: Census, supervisor: int, leaders: Collection[int], tag: int) -> dict[int, Process]:
    """What took off every mark: living orphans that the supervisor adopted, and what is below them. Pure.

    `leaders` are the pids of all trees; `tag` is any of this run's. Whoever still has a tag of this run, or is in the
    group or the session of a leader, is found by its mark. The tag is no accident to lose: a process without it, in a
    session of its own, with no parent left, wanted to get away.
    """
    found = {
        process.pid
        for process in census.values()
        if process.ppid == supervisor
        and not same_installation(process.tag, tag)
        and not {process.pid, process.pgid, process.sid} & set(leaders)
    }
    for pid in tuple(found):
        found |= {below for below in descendants(census, pid) if not same_installation(census[below].tag, tag)}
    return {pid: census[pid] for pid in found if census[pid].alive}


def outlived(census: Census, supervisor: int, living: Collection[int], tag: int, last: int) -> dict[int, Process]:
    """What bears the tag of a tree that is no more: living processes below the supervisor. Pure.

    `living` are the tags of all trees of sessions that there are, `last` is the one that was given out last; `tag` is
    any of this run's.
    """
    ours = descendants(census, supervisor)
    return {
        pid: census[pid]
        for pid in ours
        if census[pid].alive
        and same_installation(census[pid].tag, tag)
        and census[pid].tag <= last
        and census[pid].tag not in living
    }


def attribute(census: Census, leaders: Mapping[int, int], supervisor: int) -> dict[int, list[Process]]:
    """The living processes of every tree below `supervisor`, by leader, all at once. Pure; `leaders` are leaders by tag.

    The same marks as for `members`, the strongest first: the tag, the leader's group or session, the parent.
    """
    known = set(leaders.values())
    found: dict[int, list[Process]] = {leader: [] for leader in known}
    seen = {supervisor}  # a census may show a ring
    left: list[tuple[int, int | None]] = [(pid, None) for pid in census.by_parent.get(supervisor, ())]
    while left:
        pid, above = left.pop()
        if pid in seen:
            continue
        seen.add(pid)
        leader = _marked_for(census[pid], leaders, known) or above
        if leader is not None and census[pid].alive:
            found[leader].append(census[pid])
        left.extend((below, leader) for below in census.by_parent.get(pid, ()))
    return found


def _marked_for(process: Process, leaders: Mapping[int, int], known: Collection[int]) -> int | None:
    """The leader of the tree whose mark `process` bears itself."""
    if process.tag in leaders:
        return leaders[process.tag]
    return next((pid for pid in (process.pid, process.pgid, process.sid) if pid in known), None)


def has_exited(pid: int) -> bool:
    """Whether `pid`, which we have started, has ended, though the reaper may not have heard of it. It is left to that."""
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
    except ChildProcessError:
        return True


class CensusTaker:
    """Shares one census among all who need a fresh one at the same moment; `take` takes it."""

    def __init__(self, take: Callable[[], Census] = take_census) -> None:
        self._take_census = take
        self._next: asyncio.Future[Census] | None = None

    async def fresh(self) -> Census:
        """A census that was begun after this call. Cancelling one caller does no harm to the others.

        Where /proc cannot be read, which is for want of descriptors, it is tried again until it can.
        """
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._take, self._next)
        return await asyncio.shield(self._next)

    def _take(self, waiting: asyncio.Future[Census]) -> None:
        self._next = None
        try:
            waiting.set_result(self._take_census())
        except OSError as error:
            logger.error("the processes cannot be looked at ({}); trying again", error.strerror)
            asyncio.get_running_loop().call_later(UNWATCHED, self._take, waiting)


class Tree:
    """The tree of one child: what bears its marks, and what is in its `leaf`, where it has one.

    With `has_init`, the leader and its own child only wait for the command, and end with it (see supervisor.wrapper).
    `strays` finds, in a census, what has left some tree and is to end with this one. `nearby(leader)` takes a census of
    those who may be of this tree; without it, each look is at the whole machine.
    """

    def __init__(
        self,
        leader: int,
        tag: int,
        census: CensusTaker,
        *,
        leaf: Leaf | None = None,
        has_init: bool = False,
        strays: Callable[[Census], dict[int, Process]] = lambda _: {},
        nearby: Callable[[int], Awaitable[Census]] | None = None,
    ) -> None:
        self.leader = leader
        self.tag = tag
        self.leaf = leaf
        self.is_empty = False
        """Whether the kernel has told that nothing of it lives: its leader, which waits for its init, has waited."""
        self._nearby = nearby
        self._census = census
        self._has_init = has_init
        self._strays = strays

    def __repr__(self) -> str:
        return f"<Tree of {self.leader}>"

    async def survey(self) -> dict[int, Process]:
        """Its living processes, now."""
        return self.among(await self._census.fresh())

    def among(self, census: Census) -> dict[int, Process]:
        """Its living processes, in `census`, and now in its leaf."""
        found = members(census, os.getpid(), self.leader, self.tag)
        if self.leaf is not None:
            in_leaf = (census.get(pid) or look(pid) for pid in self.leaf.pids())
            found |= {each.pid: each for each in in_leaf if each is not None and each.alive}
        return found

    async def end(self, number: signal.Signals) -> None:
        """Signal all of it with `number`, and again what came meanwhile, until nothing lives.

        Waits as long as that takes: the caller bounds it. Cancellation leaves no descriptor behind.
        """
        killed: set[int] = set()
        looks = 0
        while not self.is_empty:
            try:
                census = await self._look()
                own, strays = self.among(census), self._strays(census)
                if not own and not (self.leaf is not None and self.leaf.is_populated()):
                    looks += 1
                    if (census.complete and not strays) or looks > EMPTY_LOOKS:
                        return
                alive = own | strays
                if number is signal.SIGKILL:
                    if self.leaf is not None:
                        self.leaf.kill()
                    alive = outrun(alive, killed, lambda seen: self.among(seen) | self._strays(seen))
                await _some_gone(self._signal(alive, number))
            except OSError as error:
                logger.error("{!r} cannot be looked at ({}); trying again", self, error.strerror)
                await anyio.sleep(UNWATCHED)

    async def _look(self) -> Census:
        return await (self._census.fresh() if self._nearby is None else self._nearby(self.leader))

    def _signal(self, alive: dict[int, Process], number: signal.Signals) -> list[int]:
        """As `signal_all`; but what only waits for a command is not asked to leave before the command has."""
        waiting = {pid for pid, process in alive.items() if self._has_init and self.leader in (pid, process.ppid)}
        if number is signal.SIGKILL or waiting == alive.keys():
            return signal_all(alive.values(), number)
        return signal_all((process for pid, process in alive.items() if pid not in waiting), number)


def signal_all(processes: Iterable[Process], number: signal.Signals) -> list[int]:
    """Signal each of `processes` that is still the one that was seen; pidfds of some, which the caller owns.

    For SIGKILL whole process groups go first, so that a forker cannot fork faster than it is killed.
    """
    processes = list(processes)
    if number is signal.SIGKILL:
        signal_groups(processes, number)
    kept: list[int] = []
    for process in processes:
        pidfd = signal_same(process, number)
        if pidfd is not None:
            kept.append(pidfd)
        if len(kept) > WATCHED:
            os.close(kept.pop())
    return kept


def outrun(
    alive: dict[int, Process], killed: set[int], find: Callable[[Census], dict[int, Process]]
) -> dict[int, Process]:
    """Whom to kill now: `alive`, unless they fork while they are killed; then what `find` finds once all are stopped.

    `killed` are the pids that were to be killed before this; those of now are added.
    """
    if killed and not killed >= alive.keys():
        alive = {process.pid: process for process in freeze(lambda census: find(census).values())}
    killed.update(alive)
    return alive


async def _some_gone(pidfds: list[int]) -> None:
    """Wait until every process of `pidfds` has ended; closes them, also when cancelled."""
    try:
        for pidfd in pidfds:
            await anyio.wait_readable(pidfd)
        if not pidfds:
            await anyio.sleep(UNWATCHED)
    finally:
        close_all(pidfds)


async def kill_all(processes: Iterable[Process]) -> None:
    """SIGKILL to each that still is who it was, whole groups first; waits for some of their ends."""
    await _some_gone(signal_all(processes, signal.SIGKILL))


async def end_process(pidfd: int, grace: float) -> bool:
    """Give the one process of `pidfd` `grace` seconds to leave, kill it, and wait for its end; whether it came.

    It need not be a child of ours. False where it may not be signalled and does not leave by itself, or hangs in the
    kernel; that is known after another FENCE seconds.
    """
    with anyio.move_on_after(grace):
        await anyio.wait_readable(pidfd)
        return True
    try:
        kill_process(pidfd)
    except PermissionError:
        logger.error("a gateway that lost its connection runs on, and may not be killed by this user")
    with anyio.move_on_after(FENCE):
        await anyio.wait_readable(pidfd)
        return True
    return False


class Reaper:
    """Reaps every process that is, or by adoption became, a child of this one. Nothing else in the program may wait.

    `on_exit(pid, exit)` is called for each; most are helpers that nobody asks for.
    """

    def __init__(self, on_exit: Callable[[int, Exit], None]) -> None:
        self._on_exit = on_exit

    def __enter__(self) -> "Reaper":
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
        self._reap()

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG)) is not None:
                exited = ended.si_code == os.CLD_EXITED
                status = ended.si_status
                try:
                    self._on_exit(ended.si_pid, Exit(code=status) if exited else Exit(signal=status))
                except Exception as error:  # noqa: BLE001 - whatever is wrong with one, the others are reaped
                    said = {"message": f"the end of process {ended.si_pid} was not followed", "exception": error}
                    asyncio.get_running_loop().call_exception_handler(said)


async def end_everything(census: CensusTaker) -> int:
    """Kill all that lives below this process, whoever's it was, until nothing does; how many were found."""
    killed: set[int] = set()
    looks = 0
    while True:
        seen = await census.fresh()
        left = _below(seen)
        if not left and (seen.complete or looks > EMPTY_LOOKS):
            return len(killed)
        looks = 0 if left else looks + 1
        try:
            logger.debug("killing {} processes that are left", len(left))
            await kill_all(outrun(left, killed, _below).values())
        except OSError as error:
            logger.error("what is left cannot be looked at ({}); trying again", error.strerror)
            await anyio.sleep(UNWATCHED)


def _below(census: Census) -> dict[int, Process]:
    return {pid: census[pid] for pid in descendants(census, os.getpid()) if census[pid].alive}
