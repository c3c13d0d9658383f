"""What a session's tree uses, against what it may use. Pure.

Where the kernel has a cgroup's controllers for it, it enforces `memory_max`, `tasks_max` and `cpu_max` itself. Elsewhere
they are measured over the whole tree, so they are noticed a moment later, and what they mean is a little different:

* memory is what only these processes have: anonymous pages and swap of each, and the largest share of shared memory;
* `cpu_max` cannot be enforced by anyone but the kernel: a tree above it runs at the lowest priority from then on.

`open_files_max` and `file_size_max` are each process's own (RLIMIT_NOFILE, RLIMIT_FSIZE). RLIMIT_AS is not used: Node and
others reserve far more address space than they ever touch. Neither is RLIMIT_NPROC, which counts a user, not a tree.
"""

import signal
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from common.config.model import Limits
from common.reasons import Reason
from supervisor.protocol import Exit

MEASURED: Final = (Reason.MEMORY_MAX, Reason.TASKS_MAX, Reason.DIR_SIZE_MAX)

_NEAR: Final = 0.5
"""The part of a limit above which a tree is looked at more often."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one process uses: bytes, tasks, seconds of processor time since it began."""

    private: int
    shared: int
    tasks: int
    cpu: float
    busy: float = 0.0
    """The same time, with that of all that it has waited for."""


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """What a whole tree uses."""

    memory: int
    tasks: int
    cpu: float
    busy: float = 0.0


def total(usages: Iterable[Usage]) -> TreeUsage:
    """All of `usages` together. Shared memory counts once: what two processes share is hardly ever two things."""
    usages = list(usages)
    return TreeUsage(
        memory=sum(each.private for each in usages) + max((each.shared for each in usages), default=0),
        tasks=sum(each.tasks for each in usages),
        cpu=sum(each.cpu for each in usages),
        busy=sum(each.busy for each in usages),
    )


def exceeded(limits: Limits, usage: TreeUsage) -> Reason | None:
    """The limit that the tree is above."""
    if limits.memory_max is not None and usage.memory > limits.memory_max:
        return Reason.MEMORY_MAX
    if limits.tasks_max is not None and usage.tasks > limits.tasks_max:
        return Reason.TASKS_MAX
    return None


def is_near(limits: Limits, usage: TreeUsage) -> bool:
    """Whether the tree is so close to a limit that the next look should come soon."""
    near_memory = limits.memory_max is not None and usage.memory > _NEAR * limits.memory_max
    near_tasks = limits.tasks_max is not None and usage.tasks > _NEAR * limits.tasks_max
    return near_memory or near_tasks


def uses_too_much_cpu(limits: Limits, before: float, now: float, seconds: float) -> bool:
    """Whether the tree used more than `cpu_max` processors between two looks, `seconds` apart."""
    return limits.cpu_max is not None and seconds > 0 and (now - before) / seconds > limits.cpu_max


def limit_of(exit_: Exit) -> Reason | None:
    """The limit that an exit speaks of by itself: the kernel's signal for a file that grew too large (setrlimit(2))."""
    return Reason.FILE_SIZE_MAX if exit_.signal == signal.SIGXFSZ else None


def exit_of_init(exit_: Exit) -> Exit:
    """What an init's exit says of its command: 128 and more stand for a signal, as a shell tells it."""
    if exit_.code is not None and 128 < exit_.code < 128 + signal.NSIG:
        return Exit(signal=exit_.code - 128)
    return exit_
