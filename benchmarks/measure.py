"""What the kernel says of processes: their processor time, their memory, their descriptors, and who is left."""

import os
import signal
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")

_PROCESS_CLOCK: Final = 2
"""CPUCLOCK_SCHED: what all threads of a process have used, those that are gone included, in nanoseconds."""


@dataclass(frozen=True, order=True)
class Process:
    """A process, by a name that no later one has."""

    pid: int
    started: int
    """Ticks since boot."""


@dataclass(frozen=True)
class Memory:
    """Bytes. `pss` shares what is shared evenly among those who share it, `uss` leaves it out."""

    pss: int = 0
    uss: int = 0

    def __add__(self, other: "Memory") -> "Memory":
        return Memory(self.pss + other.pss, self.uss + other.uss)


@dataclass(frozen=True)
class Tree:
    """The processes of a program: its own, and the stdio servers that it has started."""

    own: frozenset[Process]
    children: frozenset[Process]

    @property
    def everybody(self) -> frozenset[Process]:
        return self.own | self.children


def tree(root: int, program: str, marks: Collection[str]) -> Tree:
    """All processes below `root` and itself.

    A stdio server is one that executes the file `program` with all `marks` among its arguments, as long as it is not
    the root. All others are the bridge's own: its parts, and the shells and helpers that it starts for each session.
    """
    own: set[Process] = set()
    children: set[Process] = set()
    parents = _parents()
    for process in _below(root, parents):
        mine = process.pid != root and _executes(process.pid, program, marks)
        (children if mine else own).add(process)
    return Tree(frozenset(own), frozenset(children))


def _parents() -> dict[int, tuple[int, int]]:
    """For each pid its parent's, and when it was started."""
    found = {}
    for entry in os.listdir(PROC):  # noqa: PTH208
        if entry.isdigit() and (fields := _stat(int(entry))):
            found[int(entry)] = int(fields[1]), int(fields[19])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none where the process is gone."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _below(root: int, parents: dict[int, tuple[int, int]]) -> Iterable[Process]:
    below: dict[int, list[int]] = {}
    for pid, (parent, _) in parents.items():
        below.setdefault(parent, []).append(pid)
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        if pid in parents:
            yield Process(pid, parents[pid][1])
            waiting += below.get(pid, [])


def _executes(pid: int, program: str, marks: Collection[str]) -> bool:
    try:
        if str((PROC / str(pid) / "exe").readlink()) != program:
            return False
        arguments = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return all(mark.encode() in arguments for mark in marks)


def processor_seconds(processes: Iterable[Process]) -> float:
    """What the processes have used of processors so far, together, in seconds; those that are gone count for nothing."""
    total = 0.0
    for process in processes:
        with suppress(OSError):
            total += time.clock_gettime((~process.pid << 3) | _PROCESS_CLOCK)
    return total


def memory(processes: Iterable[Process]) -> Memory:
    """What the processes hold together."""
    return sum((_memory(process.pid) for process in processes), Memory())


def _memory(pid: int) -> Memory:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return Memory()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
    return Memory(1024 * sizes["Pss"], 1024 * (sizes["Private_Clean"] + sizes["Private_Dirty"]))


def descriptors(processes: Iterable[Process]) -> int:
    """How many descriptors the processes have open together."""
    count = 0
    for process in processes:
        with suppress(OSError):
            count += len(os.listdir(PROC / str(process.pid) / "fd"))  # noqa: PTH208
    return count


def alive(processes: Iterable[Process]) -> frozenset[Process]:
    """Those that still are, and are not merely waiting to be buried."""
    return frozenset(
        each for each in processes if (f := _stat(each.pid)) and int(f[19]) == each.started and f[0] != "Z"
    )


def kill(processes: Iterable[Process]) -> None:
    """SIGKILL to those that still are."""
    for process in alive(processes):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
