"""What a tree does just now, and the priority that it has meanwhile."""

import os
import resource
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervisor import priority
from supervisor.cgroups import Leaf
from supervisor.priority import LOW_WEIGHT, STEP, WEIGHT, Priority
from supervisor.walk import is_asleep, threads, usage, walk

TREE = "sleep 1000 & sleep 1000 & echo ready; wait"
BUSY = "import os\nos.write(1, b'ready')\nwhile True: pass"


@contextmanager
def running(*command: str) -> Iterator[int]:
    """The pid of a process that has said that it is ready."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            assert os.read(process.stdout.fileno(), 10)
            yield process.pid
        finally:
            ends = [os.pidfd_open(pid) for pid in walk(process.pid)]
            os.killpg(process.pid, 9)
            for end in ends:  # who is killed may still be there for a moment, and is not ours to wait for
                select.select([end], [], [])
                os.close(end)


def test_a_tree_is_found_and_one_that_waits_is_asleep() -> None:
    with running("/bin/sh", "-c", TREE) as leader:
        pids = walk(leader)
        assert (pids[0], len(pids)) == (leader, 3)
        assert all(threads(pid) == [pid] for pid in pids)
        deadline = time.monotonic() + 60  # the shell may not wait yet
        while not is_asleep(pids):
            assert time.monotonic() < deadline
        memory, cpu = usage(pids)
        assert memory > 0
        assert cpu >= 0
    assert (walk(leader), threads(leader), is_asleep([leader]), usage([leader])) == ([], [], True, (0, 0))


def test_one_that_computes_is_not_asleep() -> None:
    with running(sys.executable, "-I", "-S", "-c", BUSY) as leader:
        assert not is_asleep([leader])


def test_a_tree_has_a_lower_priority_until_it_is_given_back() -> None:
    own = os.getpriority(os.PRIO_PROCESS, 0)
    changes = Priority(weighs=False)
    with running("/bin/sh", "-c", TREE) as leader:
        lowered = changes.lower(leader, None)
        assert os.getpriority(os.PRIO_PROCESS, leader) == own + STEP * lowered
        changes.restore(walk(leader), None)
        assert [os.getpriority(os.PRIO_PROCESS, pid) for pid in walk(leader)] == [own] * 3
    assert not changes.lower(leader, None)


def test_a_tree_with_a_cgroup_has_a_lower_weight(tmp_path: object) -> None:
    from pathlib import Path

    leaf = Leaf(Path(str(tmp_path)))
    changes = Priority(weighs=True)
    assert changes.lower(os.getpid(), leaf)
    assert (leaf.path / "cpu.weight").read_text() == str(LOW_WEIGHT)
    changes.restore([], leaf)
    assert (leaf.path / "cpu.weight").read_text() == str(WEIGHT)
    gone = Leaf(leaf.path / "gone")
    assert not changes.lower(os.getpid(), gone)
    changes.restore([], gone)


@pytest.mark.parametrize(("allowed", "may"), [(0, False), (20, True), (resource.RLIM_INFINITY, True)])
def test_who_may_not_raise_a_priority_lowers_none(allowed: int, monkeypatch: pytest.MonkeyPatch, *, may: bool) -> None:
    monkeypatch.setattr(priority, "_CAP_SYS_NICE", 63)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (allowed, allowed))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert repr(Priority(weighs=False)) == f"<Priority: {'nice' if may and own >= 0 else 'none'}>"
