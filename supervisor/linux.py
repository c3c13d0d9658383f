"""The few things of Linux that Python's standard library does not reach, or not cheaply."""

import errno
import os
import resource
import signal
import socket
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from common.prctl import prctl

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36
_SO_PEERPIDFD: Final = 77


def has_terminal() -> bool:
    """Whether there is a controlling terminal: then SIGHUP means that it hung up. Once it has, there is none any more."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def become_subreaper() -> None:
    """From now on an orphan below this process becomes its child, and not init's: PR_SET_CHILD_SUBREAPER, prctl(2)."""
    prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int, number: signal.Signals) -> None:
    """Get signal `number` when the thread of process `parent` that started this one ends: PR_SET_PDEATHSIG, prctl(2).

    Where `parent` is gone already, the signal comes at once.
    """
    prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def peer_pidfd(connection: socket.socket) -> int | None:
    """A pidfd of the process that connected the Unix socket `connection`; None where it is gone or cannot be seen.

    Linux 6.5 gives that process's own (SO_PEERPIDFD). Before, its pid is all there is (SO_PEERCRED, unix(7)): ask while
    the process still speaks, so that the pid is not another's. The caller owns the descriptor.
    """
    try:
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        if error.errno != errno.ENOPROTOOPT:
            return None
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid: int = struct.unpack("3i", credentials)[0]
    try:
        return os.pidfd_open(pid) if pid > 0 else None
    except OSError:
        return None


@dataclass(frozen=True, slots=True)
class Process:
    """What a look at /proc says of one process: proc_pid_stat(5), and its soft RLIMIT_RTTIME as `tag`.

    `start` is in clock ticks since boot; a pid and its start name a process for ever. `tag` is 0 where it may not be
    read, and RLIM_INFINITY (-1) where it was never set.
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    start: int
    alive: bool
    tag: int


class Census(dict[int, Process]):
    """All processes at one moment, by pid. Not to be changed once it was asked who is below whom."""

    complete = True
    """Whether nobody can have slipped through: who forks and leaves fast enough is never where one looks."""

    @cached_property
    def by_parent(self) -> dict[int, list[int]]:
        """The children of each process that has any."""
        children: dict[int, list[int]] = {}
        for process in self.values():
            children.setdefault(process.ppid, []).append(process.pid)
        return children


_STATE, _PPID, _PGID, _SID, _THREADS, _START = 0, 1, 2, 3, 17, 19
"""Places in /proc/PID/stat after the command's closing parenthesis."""


_PASSES: Final = 5
"""How often a census follows those who move on while it is taken."""


def look(pid: int) -> Process | None:
    """The process that has `pid` now, or None; also None where its user's processes are hidden from us."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # the last where /proc hides others (hidepid=1)
        return None
    try:
        stat = os.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    # The command may hold spaces and parentheses; nothing after its last parenthesis does.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Process(
        pid=pid,
        ppid=int(fields[_PPID]),
        pgid=int(fields[_PGID]),
        sid=int(fields[_SID]),
        start=int(fields[_START]),
        # The state is the first thread's, which may have ended while others run on, and fork: pthread_exit(3).
        alive=fields[_STATE] not in (b"Z", b"X") or int(fields[_THREADS]) > 1,
        tag=_tag(pid),
    )


def _tag(pid: int) -> int:
    try:
        return resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except ProcessLookupError:
        return 0
    except PermissionError:
        return _tag_of_another_user(pid)


def _tag_of_another_user(pid: int) -> int:
    """The same number, from a file that anybody may read, and that costs ten times as much."""
    try:
        with open(f"/proc/{pid}/limits", "rb") as limits:  # noqa: PTH123 - as cheap as can be
            line = next(line for line in limits if line.startswith(b"Max realtime timeout"))
    except (OSError, StopIteration):
        return 0
    soft = line[len("Max realtime timeout") :].split()[0]
    return int(soft) if soft.isdigit() else resource.RLIM_INFINITY


def take_census() -> Census:
    """Look at every process. About 10 µs for each.

    A process is there when /proc is listed, and may be another one by the time it is looked at: what is new since is
    looked at again, as long as something had gone in between. Where that does not end it, `complete` is False.
    """
    census = Census()
    listed: set[int] = set()
    for _ in range(_PASSES):
        new = {int(name) for name in os.listdir("/proc") if name.isdecimal()} - listed  # noqa: PTH208 - the quickest way
        listed |= new
        missed = False
        for pid in sorted(new):
            process = look(pid)
            if process is not None:
                census[pid] = process
                missed = missed or not process.alive  # it may have forked after it was listed
            elif not os.path.exists(f"/proc/{pid}"):  # noqa: PTH110 - as above; what is hidden has not gone
                missed = True
        if not missed:
            return census
    census.complete = False
    return census


def descendants(census: Census, root: int) -> set[int]:
    """The pids below `root`, without it."""
    below = census.by_parent
    found: set[int] = set()
    left = list(below.get(root, ()))
    while left:
        pid = left.pop()
        if pid not in found:
            found.add(pid)
            left.extend(below.get(pid, ()))
    return found
