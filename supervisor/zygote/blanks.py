"""A blank: a process forked from a zygote, adopted by the supervisor, that waits to be told whose session it is."""

import json
import os
import resource
import signal
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import anyio

from common.descriptors import close_all
from supervisor.cgroups import Leaf
from supervisor.freeze import signal_each
from supervisor.linux import Process, look
from supervisor.seal import set_tag
from supervisor.zygote.programs import Program

PATIENCE: Final = 5.0
"""Seconds that a fork may take, which is over in 10 milliseconds where the machine is not busy."""

_CREDENTIALS: Final = struct.Struct("3i")
"""struct ucred, unix(7)."""


class NoFork(Exception):
    """The zygote has made no fork that can be used; the text says why."""


@dataclass
class Forked:
    """A process that the supervisor did not start itself, and reaps like one that it did."""

    pid: int
    returncode: int | None = None


@dataclass(frozen=True)
class Given:
    """What a session's process is told, and the limit that goes with it."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    directory: str
    leaf: Leaf | None
    tag: int
    core: int | None
    """Bytes that a core may have, where that is limited."""

    def __repr__(self) -> str:
        return "<Given>"  # the rest may be secret


class Blank:
    """One that waits. Whoever has it closes it; a blank that was not used is ended then."""

    def __init__(self, connection: socket.socket, process: Process, program: Program) -> None:
        self.program = program
        """What it has imported."""
        self._connection = connection
        self._process = process
        self._used = False

    def __repr__(self) -> str:
        return f"<Blank pid {self._process.pid}>"

    @property
    def is_well(self) -> bool:
        """Whether it still waits."""
        return look(self._process.pid) == self._process

    def close(self) -> None:
        """May be called again."""
        self._connection.close()
        if not self._used:
            signal_each([self._process], signal.SIGKILL)
        self._used = True

    def become(self, given: Given, pipes: tuple[int, int, int]) -> Forked:
        """Mark it as the session's, then tell it, and give it its stdin, stdout and stderr, of which it gets duplicates.

        Raises OSError, and then nobody is to use it.
        """
        pid = self._process.pid
        if look(pid) != self._process:  # we alone reap it, so until we are through here it is what it was
            raise ProcessLookupError(f"the fork {pid} has gone, or has changed")
        if given.leaf is not None:
            given.leaf.procs.write_text(str(pid))
        set_tag(pid, given.tag)
        if given.core is not None:
            hard = resource.prlimit(pid, resource.RLIMIT_CORE)[1]
            resource.prlimit(pid, resource.RLIMIT_CORE, (0 if hard == 0 else given.core, hard))
        told = {"environment": given.environment, "arguments": given.arguments, "directory": given.directory}
        memory = os.memfd_create("session")
        try:
            os.write(memory, json.dumps(told).encode())
            socket.send_fds(self._connection, [b"!"], [*pipes, memory])
        finally:
            os.close(memory)
        self._connection.close()
        self._used = True
        return Forked(pid)


async def fork(control: socket.socket, zygote_tag: int, program: Program) -> Blank:
    """Have the zygote of `program` at the other end of `control`, whose tree bears `zygote_tag`, make a fork.

    Raises NoFork. Cancelling leaves nothing behind: the fork ends by itself.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        os.set_blocking(ours.fileno(), False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            socket.send_fds(control, [b"f"], [theirs.fileno()])
        except OSError as error:
            raise NoFork(f"it does not listen: {error.strerror}") from None
        finally:
            theirs.close()
        with anyio.move_on_after(PATIENCE) as waiting:
            await anyio.wait_readable(ours)
        if waiting.cancelled_caught:
            raise NoFork(f"no fork of it came within {PATIENCE:g} s")
        return Blank(ours, _verified(_who_speaks(ours), zygote_tag), program)
    except BaseException:
        ours.close()
        raise


def _children_of(pid: int) -> bytes:
    """The pids of its children, where the kernel tells them (CONFIG_PROC_CHILDREN)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:  # noqa: PTH123
            return file.read()
    except FileNotFoundError:
        return b""


def _who_speaks(connection: socket.socket) -> int:
    """The pid that the kernel gives for whoever has sent the byte that is there. Raises NoFork."""
    try:
        data, ancillary, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * 16))
    except OSError as error:
        raise NoFork(f"its fork cannot be heard: {error.strerror}") from None
    pid = 0
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:  # which nobody asked for
            close_all(struct.unpack(f"{len(content) // 4}i", content[: len(content) // 4 * 4]))
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            pid = _CREDENTIALS.unpack(content)[0]
    if not data:
        raise NoFork("its fork ended before it said a word")
    return pid


def _verified(pid: int, zygote_tag: int) -> Process:
    """The process, where it is what a fork must be: ours to reap, in a session of its own, and of that zygote's tree.

    Whoever bears the tag of that tree is no other session's, and nobody can have put it on. Raises NoFork.
    """
    process = look(pid) if pid > 0 else None
    if process is None or not process.alive:
        raise NoFork("its fork has gone")
    if process.ppid != os.getpid() or not process.pid == process.sid == process.pgid or process.tag != zygote_tag:
        raise NoFork("what came is not a fork of it that this supervisor could wait for")
    if _children_of(pid):  # they would bear the zygote's marks, and outlive the session
        raise NoFork("what its modules do at a fork has started processes")
    return process
