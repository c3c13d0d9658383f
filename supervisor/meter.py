"""Measures what each tree uses, where the kernel does not enforce its limits by itself; and finds what left its tree.

One task for all trees. Nothing in Linux tells when a set of processes passes a bound unless it is a cgroup with
controllers, so this is a loop: a look at all trees each INTERVAL, more often while some tree is near a limit, less often
when looking costs more than SHARE of a processor. When the machine has many more tasks than a moment ago, those who are
new are looked at in between, and the trees that they belong to: a look at all, for each few sessions that are opened,
would make the next one dearer the more there are. Nor does a look hold up the loop: it is taken SLICE by SLICE.

While there is no child, nothing is measured, after one look for what the last one may have left.
"""

import os
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import anyio.lowlevel
import anyio.to_thread
from loguru import logger

from common.reasons import Reason
from supervisor.child import Child
from supervisor.freeze import is_same
from supervisor.lifecycle import State
from supervisor.limits import TreeUsage, Usage, exceeded, is_near, total, uses_too_much_cpu
from supervisor.linux import Census, Process, look
from supervisor.nearby import tree_below
from supervisor.tree import attribute
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

SLICE: Final = 0.002
"""Seconds of looking after which it is the others' turn."""

DIR_INTERVAL: Final = 5.0
"""Seconds between two measurements of the sessions' directories, which are walked in a thread."""

DIRS_AT_ONCE: Final = 100
"""Directories that are walked in one turn of a thread."""

LOWEST_PRIORITY: Final = 19

_TICKS: Final = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class _Seen:
    """What was last seen of one child."""

    cpu: float
    at: float
    slowed: bool = field(default=False)
    busy: float = 0.0
    """The same as `cpu`, with those that its processes have waited for."""
    busy_at_directory: float = -1.0
    """`busy` when its directory was measured last: who has not run since has written nothing."""


class _Turns:
    """Lets others have their turn while something long is done, and knows what that has cost."""

    def __init__(self) -> None:
        self.cost = 0.0
        """Seconds, of our own turns."""
        self._began = time.monotonic()

    async def others(self) -> None:
        """Let others have their turn, if this one has been long enough."""
        if (took := time.monotonic() - self._began) >= SLICE:
            self.cost += took
            await anyio.lowlevel.checkpoint()
            self._began = time.monotonic()

    def end(self) -> float:
        """What it has cost in all."""
        return self.cost + time.monotonic() - self._began


class Meter:
    """`over(child, limit)` is called for a tree above a limit; `look_for_strays(census)` at each look at all.

    `children` are those that there are. Each who adds one says so with `wake`.
    """

    def __init__(
        self,
        children: Callable[[], Collection[Child]],
        over: Callable[[Child, Reason], None],
        look_for_strays: Callable[[Census], None],
        *,
        measure_usage: bool,
    ) -> None:
        self._children = children
        self._over = over
        self._look_for_strays = look_for_strays
        self._measure_usage = measure_usage
        self._seen: dict[int, _Seen] = {}
        self._pids: set[int] = set()
        """Those that were there at the last look."""
        self._born = anyio.Event()

    def __repr__(self) -> str:
        return f"<Meter of {len(self._seen)} trees>"

    def wake(self) -> None:
        """There is one more child."""
        self._born.set()
        self._born = anyio.Event()

    async def run(self) -> None:
        """Measure until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_directories, name="measure directories")
            await self._watch_trees()

    async def _watch_trees(self) -> None:
        while True:
            try:
                near, cost = await self._look_at_all()
                if not self._children():
                    await self._birth()
                await self._rest(max(NEAR_INTERVAL if near else INTERVAL, cost / SHARE))
            except OSError as error:
                logger.error("the machine cannot be looked at ({}); trying again", error.strerror)
                await anyio.sleep(INTERVAL)

    async def _birth(self) -> None:
        """Wait until there is a child."""
        while not self._children():
            await self._born.wait()

    async def _watch_directories(self) -> None:
        while True:
            await self._birth()
            await anyio.sleep(DIR_INTERVAL)
            began = time.monotonic()
            due = [child for child in self._children() if self._may_have_written(child)]
            for first in range(0, len(due), DIRS_AT_ONCE):
                await self._measure_directories(due[first : first + DIRS_AT_ONCE])
            await anyio.sleep(max(0.0, (time.monotonic() - began) / SHARE - DIR_INTERVAL))

    def _may_have_written(self, child: Child) -> bool:
        """Whether its directory is to be measured: not where all of its tree has slept since that was done last."""
        if child.spec.limits.dir_size_max is None:
            return False
        seen = self._seen.get(child.lease)
        if seen is None:
            return True
        before, seen.busy_at_directory = seen.busy_at_directory, seen.busy
        return before != seen.busy

    async def _measure_directories(self, children: Sequence[Child]) -> None:
        for child, size in zip(children, await anyio.to_thread.run_sync(_sizes, children), strict=True):
            limit = child.spec.limits.dir_size_max
            if limit is not None and size > limit and child.state is State.RUNNING:
                self._over(child, Reason.DIR_SIZE_MAX)

    async def _look_at_all(self) -> tuple[bool, float]:
        """Whether something is near a limit, and what it cost in seconds."""
        near, turns = False, _Turns()
        census = await _take_slowly(turns)
        self._pids = set(census)
        children = list(self._children())
        if self._measure_usage and children:
            trees = attribute(census, {child.tree.tag: child.pid for child in children}, os.getpid())
            for child in children:
                if child.state is not State.GONE:
                    near = self._measure(child, _in_leaf(child, census) or trees[child.pid]) or near
                await turns.others()
        alive = {child.lease for child in self._children()}
        self._seen = {lease: seen for lease, seen in self._seen.items() if lease in alive}
        self._look_for_strays(census)
        return near, turns.end()

    async def _look_at_the_new(self) -> None:
        """Measure the trees that have grown since the last look."""
        new = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) not in self._pids]  # noqa: PTH208
        self._pids.update(new)
        turns, by_tag = _Turns(), {child.tree.tag: child for child in self._children()}
        grown: dict[int, dict[int, Process]] = {}
        for pid in new:
            process = look(pid)
            if process is not None and process.alive and process.tag in by_tag:
                grown.setdefault(process.tag, {})[pid] = process
            await turns.others()
        for tag, processes in grown.items():
            child = by_tag[tag]
            if child.state is not State.GONE:
                self._measure(child, [*(tree_below(child.pid) | processes).values()])
            await turns.others()

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
        seen = self._seen.get(child.lease)
        if seen is None:
            seen = self._seen[child.lease] = _Seen(usage.cpu, now)
        seen.slowed = seen.slowed or uses_too_much_cpu(child.spec.limits, seen.cpu, usage.cpu, now - seen.at)
        seen.cpu, seen.at, seen.busy = usage.cpu, now, usage.busy
        if seen.slowed:
            for process in processes:
                if is_same(process):
                    with suppress(ProcessLookupError, PermissionError):
                        os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)

    async def _rest(self, seconds: float) -> None:
        """Wait `seconds`. Whenever the machine has many more tasks than before, look who is new."""
        tasks, until = _tasks_of_machine(), time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:  # there is no event for it
            await anyio.sleep(min(GLANCE, left))
            now = _tasks_of_machine()
            if now >= tasks + MANY_TASKS and self._measure_usage:
                await self._look_at_the_new()
            tasks = now if now >= tasks + MANY_TASKS else min(now, tasks)


async def _take_slowly(turns: _Turns) -> Census:
    """A census of no one moment: others have their turns while it is taken."""
    census = Census()
    for name in os.listdir("/proc"):  # noqa: PTH208 - the quickest way
        if name.isdecimal() and (process := look(int(name))) is not None:
            census[process.pid] = process
            await turns.others()
    return census


def _sizes(children: Iterable[Child]) -> list[int]:
    """Of the directory of each; 0 where it cannot be measured."""
    return [_size(child) for child in children]


def _size(child: Child) -> int:
    try:
        return measure(child.room.path, child.spec.limits.dir_size_max or 0)
    except OSError as error:
        logger.warning("{!r}: its directory cannot be measured: {}", child, error)
        return 0


def _in_leaf(child: Child, census: Census) -> list[Process]:
    """Its processes, where it has a cgroup of its own."""
    leaf = child.tree.leaf
    return [census[pid] for pid in leaf.pids() if pid in census] if leaf is not None else []


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
        status, stat = _read(f"/proc/{pid}/status"), _read(f"/proc/{pid}/stat")
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Usage(
        private=(_number(status, b"RssAnon") + _number(status, b"VmSwap")) * 1024,
        shared=_number(status, b"RssShmem") * 1024,
        tasks=_number(status, b"Threads") or 1,
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        busy=sum(map(int, fields[11:15])) / _TICKS,
    )


def _read(path: str) -> bytes:
    """A file of a process's, which is short. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 65536)
    finally:
        os.close(fd)


def _number(status: bytes, name: bytes) -> int:
    """That of `name` in /proc/PID/status, sizes in KiB; 0 where it has none, as a zombie has no memory.

    What the process calls itself stands before all of them, and its line feeds are escaped.
    """
    at = status.find(b"\n%b:" % name)
    return int(status[at + len(name) + 2 : status.index(b"\n", at + 1)].split()[0]) if at >= 0 else 0
