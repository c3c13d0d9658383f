"""Who belongs to a tree, and its end; the only place that reaps: whole trees, never a pid that was merely remembered.

A **tree** is a leader and all that came from it. Who belongs to it is read off the machine each time anew, by three
marks, because each has its escape: descent (a helper whose parent has died is adopted by the supervisor, which is a
subreaper), the leader's process group and session (a helper can leave them), and the **tag**: a number in the soft
RLIMIT_RTTIME that every process inherits, through fork, exec, setsid and an emptied environment, and that limits
nothing for a process that is not a real-time one (getrlimit(2)).

A signal goes to a process through a pidfd that was opened before the process was looked at again, so it cannot hit a
stranger that got the same pid (pidfd_open(2)). Whether a tree is empty is waited for on those pidfds, not polled.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

import anyio
from loguru import logger

from supervisor.linux import Census, Process, descendants, take_census
from supervisor.protocol import Exit
from supervisor.signals import freeze, signal_groups, signal_same

WATCHED: Final = 64
"""Processes of a tree whose end is waited for at once; the next look finds the others."""

UNWATCHED: Final = 0.02
"""Seconds between two looks at a tree when the kernel gives no descriptor to wait on."""


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


def make_tag(installation: int, number: int) -> int:
    """The tag of the tree `number` (below 2**32) of this run of the supervisor: 31 random bits, then the number."""
    return installation << 32 | number


def same_installation(tag: int, other: int) -> bool:
    """Whether both tags were made by the same run of a supervisor."""
    return tag > 0 and tag >> 32 == other >> 32


class CensusTaker:
    """Shares one census among all who need a fresh one at the same moment."""

    def __init__(self) -> None:
        self._next: asyncio.Future[Census] | None = None

    async def fresh(self) -> Census:
        """A census that was begun after this call. Cancelling one caller does no harm to the others."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._take, self._next)
        return await asyncio.shield(self._next)

    def _take(self, waiting: asyncio.Future[Census]) -> None:
        self._next = None
        waiting.set_result(take_census())


class Tree:
    """The tree of one child."""

    def __init__(self, leader: int, tag: int, census: CensusTaker) -> None:
        self.leader = leader
        self.tag = tag
        self._census = census

    def __repr__(self) -> str:
        return f"<Tree of {self.leader}>"

    async def survey(self) -> dict[int, Process]:
        """Its living processes, now."""
        return self._among(await self._census.fresh())

    def _among(self, census: Census) -> dict[int, Process]:
        return members(census, os.getpid(), self.leader, self.tag)

    async def end(self, number: signal.Signals) -> None:
        """Signal all of it with `number`, and again what came meanwhile, until nothing lives.

        Waits as long as that takes: the caller bounds it. Cancellation leaves no descriptor behind.
        """
        killed: set[int] = set()
        while True:
            try:
                alive = await self.survey()
                if not alive:
                    return
                if number is signal.SIGKILL:
                    alive = outrun(alive, killed, self._among)
                await _some_gone(signal_all(alive.values(), number))
            except OSError as error:
                logger.error("{!r} cannot be looked at ({}); trying again", self, error.strerror)
                await anyio.sleep(UNWATCHED)


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
        for pidfd in pidfds:
            os.close(pidfd)


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
                self._on_exit(ended.si_pid, Exit(code=status) if exited else Exit(signal=status))


async def end_everything(census: CensusTaker) -> int:
    """Kill all that lives below this process, whoever's it was, until nothing does; how many were found."""
    killed: set[int] = set()
    while True:
        left = _below(await census.fresh())
        if not left:
            return len(killed)
        left = outrun(left, killed, _below)
        logger.debug("killing {} processes that are left", len(left))
        await _some_gone(signal_all(left.values(), signal.SIGKILL))


def _below(census: Census) -> dict[int, Process]:
    return {pid: census[pid] for pid in descendants(census, os.getpid()) if census[pid].alive}
