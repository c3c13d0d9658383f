"""What one tree does just now, read off /proc without a census of the machine: for a look that may come often.

It follows descent from the leader alone, so it may miss who has left the tree; whoever ends trees must not rely on it.
"""

from collections.abc import Iterator
from pathlib import Path

from supervisor.limits import total
from supervisor.meter import usage_of

_ASLEEP = (b"S", b"I", b"Z", b"X", b"T", b"t")
"""States of a thread that neither runs, nor waits for a processor or a disk: proc_pid_stat(5)."""


def walk(leader: int) -> list[int]:
    """The processes of the tree of `leader`, itself first; none where it has gone, or cannot be looked at."""
    found: list[int] = []
    left = [leader]
    while left:
        pid = left.pop()
        known = threads(pid)
        if not known or pid in found:
            continue
        found.append(pid)
        for thread in known:
            try:
                children = Path(f"/proc/{pid}/task/{thread}/children").read_bytes()
            except OSError:
                continue
            left.extend(int(child) for child in children.split())
    return found


def threads(pid: int) -> list[int]:
    """The threads of process `pid`; none where it has gone."""
    try:
        return [int(each.name) for each in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return []


def is_asleep(pids: list[int]) -> bool:
    """Whether no thread of `pids` runs, wants to, or waits for a disk."""
    return all(state in _ASLEEP for pid in pids for state in _states(pid))


def usage(pids: list[int]) -> tuple[int, float]:
    """Bytes of memory and seconds of processor time that `pids` use together."""
    together = total(each for pid in pids if (each := usage_of(pid)) is not None)
    return together.memory, together.cpu


def _states(pid: int) -> Iterator[bytes]:
    for thread in threads(pid):
        try:
            stat = Path(f"/proc/{pid}/task/{thread}/stat").read_bytes()
        except OSError:
            continue
        yield stat[stat.rindex(b")") + 2 :][:1]
