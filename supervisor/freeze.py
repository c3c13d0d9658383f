"""Signals to processes that were seen a moment ago; and how a forker is outrun. Nothing but light modules is imported
here, because the launcher needs this too.

A signal goes to a process through a pidfd that was opened before the process was looked at again, so it cannot hit a
stranger that got the same pid (pidfd_open(2)).

What forks a new process whenever one dies wins against SIGKILL to one after the other, for each kill lets another fork.
SIGSTOP lets nobody fork. So all are stopped, and looked for again until nobody is found who still runs, and killed only
then: a stopped process dies of SIGKILL without running again.
"""

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from supervisor.linux import Census, Process, look, take_census

ROUNDS: Final = 100
"""Looks after which no more are stopped, whoever still runs. Each is a fraction of a millisecond, and blocks."""


def freeze(find: Callable[[Census], Iterable[Process]]) -> list[Process]:
    """Stop every living process that `find` finds in a census, until it finds no other; what it found last.

    It blocks, because it is a race: so each look is at those alone who came since the one before.
    """
    census = take_census()
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        found = list(find(census))
        running = [process for process in found if process.pid not in stopped]
        if not running:
            break
        signal_each(running, signal.SIGSTOP)
        stopped |= {process.pid for process in running}
        census = _look_again(census)
    return found


def _look_again(census: Census) -> Census:
    """A census that trusts an earlier one, a moment ago, for all who were there then."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - the quickest way
    seen = (census.get(pid) or look(pid) for pid in pids)
    return Census((process.pid, process) for process in seen if process is not None)


def signal_each(processes: list[Process], number: signal.Signals) -> None:
    """Signal each of `processes` that is still the one that was seen, whole groups first."""
    signal_groups(processes, number)
    for process in processes:
        pidfd = signal_same(process, number)
        if pidfd is not None:
            os.close(pidfd)


def signal_groups(processes: Iterable[Process], number: signal.Signals) -> None:
    """Signal the groups whose leader is among `processes` and still is who it was: its pid cannot be another's now."""
    for process in processes:
        if process.pid == process.pgid and is_same(process):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pgid, number)


def is_same(process: Process) -> bool:
    """Whether its pid is still its own. Out of descriptors nobody can look; it was a moment ago."""
    try:
        now = look(process.pid)
    except OSError:
        return True
    return now is not None and now.start == process.start


def signal_same(process: Process, number: signal.Signals) -> int | None:
    """Signal `process`, if it still is who it was; its pidfd, unless it is gone or there is no descriptor to be had.

    The descriptor is the caller's.
    """
    try:
        pidfd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return None
    except OSError:
        pidfd = None
    if is_same(process):
        with suppress(ProcessLookupError, PermissionError):
            if pidfd is None:
                os.kill(process.pid, number)
            else:
                signal.pidfd_send_signal(pidfd, number)
    return pidfd


def kill_process(pidfd: int) -> None:
    """SIGKILL to the process of `pidfd`, unless it is gone. Raises PermissionError."""
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
