"""Stopping what forks faster than it is killed: real processes, each of which is replaced when it dies."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from supervisor.freeze import ROUNDS, freeze, signal_each
from supervisor.linux import Census, Process, descendants, look
from supervisor.tree import outrun
from tests.support.processes import PATIENCE, watching

REPLACED = 'echo ready; while :; do sh -c "while :; do sleep 1000; done" & wait $!; done'
"""A shell that starts another whenever the one that it has started dies."""

LARGEST_PID = 1 << 22
"""On any machine: proc_sys_kernel(5), pid_max."""


def nobody(pid: int) -> Process:
    """A process that does not exist."""
    return Process(pid, ppid=1, pgid=pid, sid=pid, start=0, alive=True, tag=-1)


@contextmanager
def started(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell in a session of its own that has said something; in the end nothing of it lives."""
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE, start_new_session=True) as shell:
        assert shell.stdout is not None
        shell.stdout.readline()
        try:
            yield shell
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)


def below(census: Census, root: int) -> list[Process]:
    """`root`, and what is below it."""
    return [census[pid] for pid in {root, *descendants(census, root)} if census[pid].alive]


def test_what_is_frozen_is_stopped_to_the_last() -> None:
    with started("sleep 1000 & sleep 1000 & echo ready; wait") as shell:
        frozen = freeze(lambda census: below(census, shell.pid))
        assert {process.pid for process in frozen} == {process.pid for process in below_now(shell.pid)}
        assert len(frozen) == 3
        stopped = os.waitid(os.P_PID, shell.pid, os.WSTOPPED)
        assert stopped is not None
        assert stopped.si_status == signal.SIGSTOP


def below_now(root: int) -> list[Process]:
    """The same, from psutil."""
    pids = [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    return [process for pid in pids if (process := look(pid)) is not None]


async def test_one_kill_is_enough_for_what_is_frozen() -> None:
    with started(REPLACED) as shell:
        frozen = freeze(lambda census: below(census, shell.pid))
        with watching(*(each.pid for each in frozen)) as watched:
            signal_each(frozen, signal.SIGKILL)
            for each in watched:
                await each.ended()
        assert shell.wait(PATIENCE) == -signal.SIGKILL
        assert freeze(lambda census: [each for each in census.values() if each.sid == shell.pid and each.alive]) == []


def test_what_never_ends_coming_is_not_looked_for_without_end() -> None:
    looks: list[int] = []

    def one_more(_: Census) -> list[Process]:
        looks.append(LARGEST_PID + len(looks) + 1)
        return [nobody(looks[-1])]

    assert len(freeze(one_more)) == 1
    assert len(looks) == ROUNDS


def test_a_tree_is_only_frozen_once_it_has_grown_while_it_was_killed() -> None:
    one, another = nobody(LARGEST_PID + 1), nobody(LARGEST_PID + 2)
    frozen: list[Process] = []

    def find(_: Census) -> dict[int, Process]:
        frozen.append(another)
        return {another.pid: another}

    killed: set[int] = set()
    assert outrun({one.pid: one}, killed, find) == {one.pid: one}
    assert outrun({one.pid: one}, killed, find) == {one.pid: one}  # it is not dead yet
    assert frozen == []
    assert outrun({one.pid: one, another.pid: another}, killed, find) == {another.pid: another}
    assert frozen != []
    assert killed == {one.pid, another.pid}
