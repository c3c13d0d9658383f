"""Measures what each tree uses, where the kernel does not enforce its limits by itself; and finds what left its tree.

One task for all trees. Nothing in Linux tells when a set of processes passes a bound unless it is a cgroup with
controllers, so this is a loop: a look at all trees each INTERVAL, more often while some tree is near a limit or the
machine has many more tasks than a moment ago, less often when looking costs more than SHARE of a processor.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from loguru import logger

from common.reasons import Reason
from supervisor.child import Child
from supervisor.lifecycle import State
from supervisor.limits import TreeUsage, Usage, exceeded, is_near, total, uses_too_much_cpu
from supervisor.linux import Census, Process
from supervisor.tree import CensusTaker, attribute
from supervisor.wiping import measure

INTERVAL: Final = 1.0
NEAR_INTERVAL: Final = 0.1
"""Seconds between two looks, and between two while something is near a limit."""

SHARE: Final = 0.02
"""The part of one processor that measuring may cost."""

GLANCE: Final = 0.1
"""Seconds between two glances at how many tasks the machine has; a glance costs 5 µs."""

MANY_TASKS: Final = 100
"""So many more tasks than at the last look are reason enough for another."""

DIR_INTERVAL: Final = 5.0
"""Seconds between two measurements of the sessions' directories, each of which is walked in a thread."""

LOWEST_PRIORITY: Final = 19

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass
class _Seen:
    """What was last seen of one child."""

    cpu: float
    at: float
    slowed: bool = field(default=False)


class Meter:
    """`over(child, limit)` is called for a tree above a limit; `look_for_strays(census)` at each look."""

    def __init__(
        self,
        census: CensusTaker,
        children: Callable[[], Iterable[Child]],
        over: Callable[[Child, Reason], None],
        look_for_strays: Callable[[Census], None],
        *,
        measure_usage: bool,
    ) -> None:
        self._census = census
        self._children = children
        self._over = over
        self._look_for_strays = look_for_strays
        self._measure_usage = measure_usage
        self._seen: dict[int, _Seen] = {}

    async def run(self) -> None:
        """Measure until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_directories, name="measure directories")
            await self._watch_trees()

    async def _watch_trees(self) -> None:
        while True:
            began = time.monotonic()
            try:
                near = self._look(await self._census.fresh())
                cost = time.monotonic() - began
                await _rest(max(NEAR_INTERVAL if near else INTERVAL, cost / SHARE))
            except OSError as error:
                logger.error("the machine cannot be looked at ({}); trying again", error.strerror)
                await anyio.sleep(INTERVAL)

    async def _watch_directories(self) -> None:
        while True:
            await anyio.sleep(DIR_INTERVAL)
            for child in list(self._children()):
                await self._measure_directory(child)

    async def _measure_directory(self, child: Child) -> None:
        limit = child.spec.limits.dir_size_max
        if limit is None:
            return
        try:
            size = await anyio.to_thread.run_sync(measure, child.room.path, limit)
        except OSError as error:
            logger.warning("{!r}: its directory cannot be measured: {}", child, error)
            return
        if size > limit and child.state is State.RUNNING:
            self._over(child, Reason.DIR_SIZE_MAX)

    def _look(self, census: Census) -> bool:
        """Whether something is near a limit."""
        near = False
        children = list(self._children())
        if self._measure_usage:
            trees = attribute(census, {child.tree.tag: child.pid for child in children}, os.getpid())
            for child in children:
                near = self._measure(child, _in_leaf(child, census) or trees[child.pid]) or near
            alive = {child.lease for child in children}
            self._seen = {lease: seen for lease, seen in self._seen.items() if lease in alive}
        self._look_for_strays(census)
        return near

    def _measure(self, child: Child, processes: Sequence[Process]) -> bool:
        usage = total(each for process in processes if (each := usage_of(process.pid)) is not None)
        limits = child.spec.limits
        limit = exceeded(limits, usage)
        if limit is not None:
            self._over(child, limit)
        self._slow_down(child, usage, processes)
        return is_near(limits, usage)

    def _slow_down(self, child: Child, usage: TreeUsage, processes: Iterable[Process]) -> None:
        """Lower the priority of a tree that uses more than its share, and of what it starts later."""
        now = time.monotonic()
        seen = self._seen.setdefault(child.lease, _Seen(usage.cpu, now))
        seen.slowed = seen.slowed or uses_too_much_cpu(child.spec.limits, seen.cpu, usage.cpu, now - seen.at)
        seen.cpu, seen.at = usage.cpu, now
        if seen.slowed:
            for process in processes:
                with suppress(ProcessLookupError, PermissionError):
                    os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)


def _in_leaf(child: Child, census: Census) -> list[Process]:
    """Its processes, where it has a cgroup of its own."""
    leaf = child.tree.leaf
    return [census[pid] for pid in leaf.pids() if pid in census] if leaf is not None else []


async def _rest(seconds: float) -> None:
    """Wait `seconds`, or until the machine has many more tasks than now."""
    tasks, until = _tasks_of_machine(), time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and _tasks_of_machine() < tasks + MANY_TASKS:  # noqa: ASYNC110 - there is no event for it
        await anyio.sleep(min(GLANCE, left))


def _tasks_of_machine() -> int:
    """Processes and threads: proc_loadavg(5)."""
    fd = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(fd, 256).split()[3].partition(b"/")[2])
    finally:
        os.close(fd)


def usage_of(pid: int) -> Usage | None:
    """What process `pid` uses, or None where it has gone: proc_pid_status(5), proc_pid_stat(5)."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    values = dict(line.split(b":", 1) for line in status.splitlines() if b":" in line)
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Usage(
        private=_kib(values, b"RssAnon") + _kib(values, b"VmSwap"),
        shared=_kib(values, b"RssShmem"),
        tasks=int(values.get(b"Threads", b"1")),
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
    )


def _kib(values: dict[bytes, bytes], name: bytes) -> int:
    """A size of /proc/PID/status in bytes; a zombie has none."""
    return int(values[name].split()[0]) * 1024 if name in values else 0
