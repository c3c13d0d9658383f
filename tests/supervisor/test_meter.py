"""What a process uses, read off /proc; and a look at trees that begins again when it cannot be had."""

import mmap
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import anyio
import pytest
from pydantic import ByteSize

from common.config.model import Limits
from common.reasons import Reason
from supervisor import meter
from supervisor.child import Child
from supervisor.lifecycle import State
from supervisor.linux import Census
from supervisor.meter import Meter, usage_of
from supervisor.spawn import _inherited_tag
from supervisor.tags import make_tag
from tests.support.processes import PATIENCE

MIB = 1 << 20

SOMEBODY: Child = SimpleNamespace(lease=1, spec=SimpleNamespace(limits=SimpleNamespace(dir_size_max=None)))  # type: ignore[assignment]
"""A child, as far as a meter looks at one that it does not measure."""


def test_private_memory_is_counted() -> None:
    before = usage_of(os.getpid())
    taken = mmap.mmap(-1, 50 * MIB, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    taken.write(b"x" * 50 * MIB)
    after = usage_of(os.getpid())
    taken.close()
    assert before is not None
    assert after is not None
    assert after.private - before.private > 40 * MIB


def test_shared_memory_is_counted_as_such() -> None:
    before = usage_of(os.getpid())
    taken = mmap.mmap(-1, 50 * MIB)
    taken.write(b"x" * 50 * MIB)
    after = usage_of(os.getpid())
    taken.close()
    assert before is not None
    assert after is not None
    assert after.shared - before.shared == 50 * MIB


def test_threads_are_tasks() -> None:
    before = usage_of(os.getpid())
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(5)]
    for thread in threads:
        thread.start()
    during = usage_of(os.getpid())
    done.set()
    for thread in threads:
        thread.join()
    assert before is not None
    assert during is not None
    assert during.tasks == before.tasks + 5


def test_the_time_of_a_processor_adds_up() -> None:
    usage = usage_of(os.getpid())
    assert usage is not None
    assert 0 < usage.cpu <= sum(os.times()[:2]) + 1


def test_who_has_gone_uses_nothing() -> None:
    assert usage_of(1 << 22) is None


def test_the_dead_who_wait_to_be_reaped_have_no_memory() -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        usage = usage_of(process.pid)
        assert usage is not None
        assert (usage.private, usage.shared) == (0, 0)


@contextmanager
def looking(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Meter, list[Census]]]:
    """A meter in a hurry, of a child that nothing is to be measured of, and the looks that it took for strays."""
    monkeypatch.setattr(meter, "INTERVAL", 0.01)
    looks: list[Census] = []
    monkeypatch.setattr(meter, "GLANCE", 0.01)
    yield Meter(lambda: [SOMEBODY], lambda *_: None, looks.append, measure_usage=False), looks


async def test_strays_are_looked_for_also_where_the_kernel_enforces_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with looking(monkeypatch) as (measuring, looks), anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measuring.run)
            while len(looks) < 3:
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert os.getpid() in looks[0]


async def test_a_meter_that_cannot_look_goes_on_later(monkeypatch: pytest.MonkeyPatch) -> None:
    failed: list[int] = []

    def fail() -> int:
        failed.append(1)
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(meter, "_tasks_of_machine", fail)
    with looking(monkeypatch) as (measuring, looks), anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measuring.run)
            while len(failed) < 2:
                await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    assert len(looks) >= 2


async def test_many_new_tasks_are_a_reason_to_look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([100, 100, 100 + meter.MANY_TASKS])
    monkeypatch.setattr(meter, "_tasks_of_machine", lambda: next(counts))
    monkeypatch.setattr(meter, "GLANCE", 0.01)

    class Looked(Exception):
        """It would rest for long after it."""

    async def look() -> None:
        raise Looked

    measuring = Meter(lambda: [SOMEBODY], lambda *_: None, lambda _: None, measure_usage=True)
    monkeypatch.setattr(measuring, "_look_at_the_new", look)
    with anyio.fail_after(PATIENCE), pytest.raises(Looked):
        await measuring._rest(1e9)
    assert list(counts) == []


async def test_a_look_that_fails_is_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "INTERVAL", 0.01)
    looks: list[Census] = []

    def look(census: Census) -> None:
        looks.append(census)
        raise OSError(24, "Too many open files")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Meter(lambda: [SOMEBODY], lambda *_: None, look, measure_usage=False).run)
        with anyio.fail_after(PATIENCE):
            while len(looks) < 3:
                await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()


async def test_without_a_child_it_sleeps_after_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter, "INTERVAL", 0.0)
    monkeypatch.setattr(meter, "DIR_INTERVAL", 0.0)
    monkeypatch.setattr(meter, "_tasks_of_machine", lambda: 100)
    looks: list[Census] = []
    children: list[Child] = []
    measuring = Meter(lambda: children, lambda *_: None, looks.append, measure_usage=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(measuring.run)
        with anyio.fail_after(PATIENCE):
            await anyio.wait_all_tasks_blocked()  # it would not return while a meter looks again and again
            assert len(looks) == 1
            children.append(SOMEBODY)
            measuring.wake()
            while len(looks) < 3:
                await anyio.lowlevel.checkpoint()
            children.clear()
            await anyio.wait_all_tasks_blocked()
            there = len(looks)
            await anyio.wait_all_tasks_blocked()
            assert len(looks) == there
        tasks.cancel_scope.cancel()


def measured(pid: int, tag: int, room: Path, limits: Limits) -> Child:
    """A child, as far as a meter looks at one that it measures."""
    tree = SimpleNamespace(tag=tag, leaf=None)
    spec = SimpleNamespace(limits=limits)
    made: Child = SimpleNamespace(  # type: ignore[assignment]
        lease=1, pid=pid, tree=tree, spec=spec, state=State.RUNNING, room=SimpleNamespace(path=room)
    )
    return made


async def test_a_tree_that_grows_between_two_looks_is_measured_and_no_other(tmp_path: Path) -> None:
    tag, other = make_tag(7, 1), make_tag(7, 2)
    over: list[Reason] = []
    with sleeping(tag) as one, sleeping(other) as another:
        few = Limits(tasks_max=1)
        grows, stays = measured(one.pid, tag, tmp_path, few), measured(another.pid, other, tmp_path, few)
        meter_of_both = Meter(
            lambda: [grows, stays], lambda _, limit: over.append(limit), lambda _: None, measure_usage=True
        )
        await meter_of_both._look_at_all()
        assert over == []
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(b"grow\n")
        one.stdin.flush()
        one.stdout.readline()
        await meter_of_both._look_at_the_new()
        assert over == [Reason.TASKS_MAX]
        await meter_of_both._look_at_the_new()
        assert over == [Reason.TASKS_MAX]


@contextmanager
def sleeping(tag: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell that bears `tag`, and has a child as soon as it reads a line."""
    with _inherited_tag(tag):
        shell = subprocess.Popen(
            ["/bin/sh", "-c", "read -r line; sleep 1000 & echo $!; wait"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
    with shell:
        yield shell
        os.killpg(shell.pid, signal.SIGKILL)


async def test_the_directory_of_a_tree_that_has_not_run_since_is_not_measured_again(tmp_path: Path) -> None:
    over: list[Reason] = []
    child = measured(os.getpid(), make_tag(7, 1), tmp_path, Limits(dir_size_max=ByteSize(1 << 16)))
    measuring = Meter(lambda: [child], lambda _, limit: over.append(limit), lambda _: None, measure_usage=True)
    assert measuring._may_have_written(child)  # nothing is known of it yet
    measuring._seen[child.lease] = seen = meter._Seen(cpu=1.0, at=0.0, busy=1.0)
    assert measuring._may_have_written(child)
    assert not measuring._may_have_written(child)
    seen.busy += 0.01
    assert measuring._may_have_written(child)
    (tmp_path / "large").write_bytes(b"x" * (1 << 17))
    await measuring._measure_directories([child])
    assert over == [Reason.DIR_SIZE_MAX]


def test_time_of_a_processor_counts_as_work_also_for_those_that_were_waited_for() -> None:
    before = usage_of(os.getpid())
    subprocess.run(["/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done"], check=True)
    after = usage_of(os.getpid())
    assert before is not None
    assert after is not None
    assert after.busy - before.busy > after.cpu - before.cpu
