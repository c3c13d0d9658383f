"""The only place that signals and reaps: whole trees, never a pid that was merely remembered.

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

from supervisor.linux import Census, Process, descendants, look, take_census
from supervisor.protocol import Exit

WATCHED: Final = 64
"""Processes of a tree whose end is waited for at once; the next look finds the others."""

FENCE: Final = 5.0
"""Seconds that a killed process may take to be gone."""

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
        return members(await self._census.fresh(), os.getpid(), self.leader, self.tag)

    async def end(self, number: signal.Signals) -> None:
        """Signal all of it with `number`, and again what came meanwhile, until nothing lives.

        Waits as long as that takes: the caller bounds it. Cancellation leaves no descriptor behind.
        """
        while True:
            try:
                alive = await self.survey()
                if not alive:
                    return
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
        _kill_groups(processes)
    kept: list[int] = []
    for process in processes:
        pidfd = _signal_same(process, number)
        if pidfd is not None:
            kept.append(pidfd)
        if len(kept) > WATCHED:
            os.close(kept.pop())
    return kept


def _kill_groups(processes: Iterable[Process]) -> None:
    """Kill the groups whose leader is among `processes` and still is who it was: its pid cannot be another's now."""
    for process in processes:
        if process.pid == process.pgid and _is_same(process):
            with suppress(ProcessLookupError):
                os.killpg(process.pgid, signal.SIGKILL)


def _is_same(process: Process) -> bool:
    """Whether its pid is still its own. Out of descriptors nobody can look; it was a moment ago."""
    try:
        now = look(process.pid)
    except OSError:
        return True
    return now is not None and now.start == process.start


def _signal_same(process: Process, number: signal.Signals) -> int | None:
    """Signal `process`, if it still is who it was; its pidfd, unless it is gone or there is no descriptor to be had."""
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    except OSError:
        pidfd = None
    if _is_same(process):
        with suppress(ProcessLookupError):
            if pidfd is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(pidfd, number)
    return pidfd


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


async def end_process(pidfd: int, grace: float) -> bool:
    """Give the one process of `pidfd` `grace` seconds to leave, kill it, and wait for its end; whether it came.

    It need not be a child of ours. False where it may not be signalled and does not leave by itself, or hangs in the
    kernel; that is known after another FENCE seconds.
    """
    with anyio.move_on_after(grace):
        await anyio.wait_readable(pidfd)
        return True
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return True
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
                self._on_exit(ended.si_pid, Exit(code=status) if exited else Exit(signal=status))


async def end_everything(census: CensusTaker) -> int:
    """Kill all that lives below this process, whoever's it was, until nothing does; how many were found."""
    found = 0
    while True:
        seen = await census.fresh()
        left = [seen[pid] for pid in descendants(seen, os.getpid()) if seen[pid].alive]
        if not left:
            return found
        found += len(left)
        logger.debug("killing {} processes that are left", len(left))
        await _some_gone(signal_all(left, signal.SIGKILL))
