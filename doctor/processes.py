"""Which process serves a session, seen from outside: the one that reads what the session's client sends.

A client is told no pid, and arbitrary servers have no tool that says one. But the kernel counts the bytes that each
process reads (`rchar`, proc_pid_io(5)): who sends messages of odd sizes, and finds one process that has read just as
much each time, knows who read them, whoever else is busy meanwhile. No guess by time or by name is made, for what is
found here may be killed.
"""

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from supervisor.linux import Census, Process, descendants, look, take_census

SLACK: Final = 8 << 10
"""Bytes that a process may read besides the message, from files for instance."""


@dataclass(frozen=True, slots=True, order=True)
class Known:
    """One process for ever: its pid, and its start in clock ticks since boot."""

    pid: int
    start: int


@dataclass(frozen=True, slots=True)
class Counts:
    """How many bytes each process has read; `hidden` are the servers' processes that we may not ask."""

    read: Mapping[Known, int]
    hidden: int
    marked: frozenset[Known] = frozenset()
    """The processes that bear a tag of a supervisor's."""


@dataclass(frozen=True, slots=True)
class Child:
    """The process that reads a session's messages, and all that was seen to belong to it. No `repr` shows its values."""

    reader: Known
    tag: int
    members: frozenset[Known]
    environment: Mapping[str, str] = field(repr=False)
    cwd: str
    uid: int
    pid_namespace: str


class Hidden(Exception):
    """The process is there, and we may not look at it."""


def counts() -> Counts:
    """Look at every process but this one. About 30 µs for each."""
    read: dict[Known, int] = {}
    marked: set[Known] = set()
    hidden = 0
    for process in take_census().values():
        if process.pid == os.getpid() or not process.alive:
            continue
        known = Known(process.pid, process.start)
        if process.tag > 0:
            marked.add(known)
        try:
            read[known] = _read_by(process.pid)
        except PermissionError:
            hidden += process.tag > 0
        except OSError:  # it has gone
            continue
    return Counts(read, hidden, frozenset(marked))


def _read_by(pid: int) -> int:
    fields = Path(f"/proc/{pid}/io").read_bytes().split()
    return int(fields[fields.index(b"rchar:") + 1])


def took(before: Counts, after: Counts, size: int) -> set[Known]:
    """Who has read `size` bytes, or a little more, in between. Pure."""
    grown = {known: count - before.read.get(known, 0) for known, count in after.read.items()}
    return {known for known, bytes_ in grown.items() if size <= bytes_ <= size + SLACK}


def servers_among(found: set[Known], marked: frozenset[Known], listeners: set[int]) -> set[Known]:
    """Those that may be a session's child. Pure.

    What a supervisor has marked is one. Where it has marked none of them, it is whoever is no `listener`: neither a
    gateway nor a proxy in front of it, which read the same bytes.
    """
    return found & marked or {each for each in found if each.pid not in listeners}


def listeners() -> set[int]:
    """The pids of those who listen on a TCP port, as far as we may see them."""
    try:
        sockets = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return set()
    return {each.pid for each in sockets if each.status == psutil.CONN_LISTEN and each.pid}


def began() -> int:
    """When this process was started, in the clock of Known.start."""
    own = look(os.getpid())
    assert own is not None
    return own.start


def one_tree(found: set[Known]) -> Known | None:
    """The first of `found`, if all are of one tree: a wrapper may read what its server reads, too. Else None."""
    seen = {each: process for each in found if (process := look(each.pid)) and process.start == each.start}
    marks = {process.tag if process.tag > 0 else -process.sid for process in seen.values()}
    return min(seen, key=lambda each: (each.start, each.pid)) if len(marks) == 1 else None


def describe(reader: Known) -> Child | None:
    """All about the child that `reader` is; None where it has gone. Raises Hidden."""
    census = take_census()
    process = census.get(reader.pid)
    if process is None or process.start != reader.start:
        return None
    here = Path(f"/proc/{reader.pid}")
    try:
        pairs = (each.partition(b"=") for each in (here / "environ").read_bytes().split(b"\0") if each)
        return Child(
            reader,
            process.tag,
            members(process, census),
            {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs},
            str((here / "cwd").readlink()),
            here.stat().st_uid,
            str((here / "ns" / "pid").readlink()),
        )
    except PermissionError:
        raise Hidden from None
    except OSError:
        return None


def members(process: Process, census: Census) -> frozenset[Known]:
    """`process`, all below it, and all that bear the tag of its tree."""
    below = descendants(census, process.pid)
    return frozenset(
        Known(each.pid, each.start)
        for each in census.values()
        if each.pid == process.pid or each.pid in below or (process.tag > 0 and each.tag == process.tag)
    )


def left_of(child: Child) -> set[Known]:
    """What still lives of the child's tree."""
    return {
        Known(each.pid, each.start)
        for each in take_census().values()
        if each.alive and (Known(each.pid, each.start) in child.members or (child.tag > 0 and each.tag == child.tag))
    }


def is_alive(known: Known) -> bool:
    """Whether this very process lives."""
    process = look(known.pid)
    return process is not None and process.start == known.start and process.alive


def kill(known: Known) -> bool:
    """SIGKILL this very process, and no other that may have its pid by now; False where it has gone. Raises Hidden."""
    try:
        pidfd = os.pidfd_open(known.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(known):  # the descriptor is of whoever has the pid now, so look once more behind it
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise Hidden from None
    finally:
        os.close(pidfd)
    return True
