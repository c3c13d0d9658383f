"""How much of the processors a tree gets while nobody waits for it.

Where the tree has a cgroup with the controller `cpu`, that is the cgroup's weight. Elsewhere it is the priority of its
processes, if this process may raise it again: with CAP_SYS_NICE, or up to what RLIMIT_NICE allows (getrlimit(2)).
Else nothing is lowered, for it would stay so.
"""

import os
import resource
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from supervisor.cgroups import Leaf
from supervisor.walk import threads

LOW_WEIGHT: Final = 33
WEIGHT: Final = 100
"""Of a cgroup: what the kernel gives each that is not told otherwise."""

STEP: Final = 5
"""How much lower the priority is, in the units of nice(2): a third of the processors that others get, as with the weight.

With much less, no spare would ever be ready on a busy machine while sessions come.
"""

_CAP_SYS_NICE: Final = 23


class Priority:
    """Lowers the priority of trees, and raises it again. `weighs` is whether leaves have the controller `cpu`."""

    def __init__(self, *, weighs: bool) -> None:
        self._weighs = weighs
        self._own = os.getpriority(os.PRIO_PROCESS, 0)
        self._may_raise = _may_raise_to(self._own)

    def __repr__(self) -> str:
        return f"<Priority: {'weights' if self._weighs else 'nice' if self._may_raise else 'none'}>"

    def lower(self, leader: int, leaf: Leaf | None) -> bool:
        """Lower that of `leader`, and of what it will start, or of its `leaf`; whether that was done."""
        try:
            if leaf is not None and self._weighs:
                leaf.weigh(LOW_WEIGHT)
            elif self._may_raise:
                os.setpriority(os.PRIO_PROCESS, leader, self._own + STEP)
            else:
                return False
        except OSError:  # it is gone already, or runs as somebody whose priority is not ours to change
            return False
        return True

    def restore(self, pids: Iterable[int], leaf: Leaf | None) -> None:
        """What `lower` has done is undone, for all of a tree's `pids`."""
        if leaf is not None and self._weighs:
            with suppress(OSError):  # its last process is gone
                leaf.weigh(WEIGHT)
            return
        for pid in pids:
            for thread in threads(pid):
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, thread, self._own)


def _may_raise_to(nice: int) -> bool:
    status = Path("/proc/self/status").read_text()
    effective = int(status.partition("CapEff:")[2].split(None, 1)[0], 16)
    allowed = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return bool(effective >> _CAP_SYS_NICE & 1) or allowed == resource.RLIM_INFINITY or 20 - allowed <= nice
