"""A parent that can be killed: a process that starts one child, as any user, and then only waits."""

import os
import select
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from tests.support.processes import PATIENCE

NOBODY = 65534
"""A user that may do nothing in particular."""


@dataclass(frozen=True)
class Parent:
    """It, its child, and what the child says."""

    pid: int
    child: int
    says: int

    def line(self) -> str:
        """The child's next line."""
        said = b""
        while not said.endswith(b"\n"):
            if not (portion := os.read(self.says, 1)):
                raise AssertionError(f"the child said no more than {said!r}")
            said += portion
        return said.decode().removesuffix("\n")

    def kill(self) -> None:
        """SIGKILL; returns when it is no more."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)


@contextmanager
def parent_of(command_of: Callable[[int], Sequence[str]], user: int | None = None) -> Iterator[Parent]:
    """A parent whose child runs `command_of(the parent's pid)`; on leaving the parent is killed and reaped.

    What then lives of the child, and of its process group, is killed too: it is nobody's child any more.

    It is forked: so it needs to read no file, and may be a user who cannot.
    """
    says, childs_end = os.pipe()
    tells, parents_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_a_parent(command_of, user, childs_end, parents_end)
    os.close(childs_end)
    os.close(parents_end)
    child = int(os.read(tells, 100))
    pidfd = os.pidfd_open(child)  # while its parent, who never reaps, lives
    try:
        yield Parent(pid, child, says)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        select.select([pidfd], [], [], PATIENCE)
        os.close(pidfd)
        os.close(says)
        os.close(tells)


def _be_a_parent(command_of: Callable[[int], Sequence[str]], user: int | None, out: int, tell: int) -> None:
    try:
        if user is not None:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
        command = list(command_of(os.getpid()))
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, start_new_session=True)
        os.close(out)
        os.write(tell, b"%d" % child.pid)
        signal.pause()
    finally:
        os._exit(1)


def as_user(user: int, ask: Callable[[], str]) -> str:
    """What `ask` says where this process is another user; or the text of what it raises."""
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            said = ask()
        except Exception as error:  # noqa: BLE001 - that is the answer
            said = str(error)
        finally:
            os.write(writes, said.encode())
            os._exit(0)
    os.close(writes)
    with os.fdopen(reads) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    return text
