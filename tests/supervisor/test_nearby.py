"""Looks at one tree among others, below the test's own process, which adopts orphans as the supervisor does."""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import pytest

from common.prctl import prctl
from supervisor import nearby
from supervisor.linux import Census, take_census
from supervisor.nearby import Nearby, Unlisted, children_of, orphans
from supervisor.spawn import _inherited_tag
from supervisor.tags import make_tag
from supervisor.tree import CensusTaker, Reaper, Tree
from tests.support.processes import PATIENCE, watching

PR_SET_CHILD_SUBREAPER = 36
ONE, OTHER = (make_tag(random.SystemRandom().randrange(1, 1 << 31), number) for number in (1, 2))

LEAVES_A_DAEMON = "setsid --fork sh -c 'echo $$; exec sleep 1000'; "
"""The daemon's parent has gone by the time it says its pid, or soon after."""


@pytest.fixture(autouse=True)
def subreaper() -> Iterator[None]:
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    yield
    prctl(PR_SET_CHILD_SUBREAPER, 0)
    for pid in children_of(os.getpid()):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def leading(script: str, tag: int) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell that runs `script` as the leader of a tree that bears `tag`."""
    with _inherited_tag(tag):
        leader = subprocess.Popen(
            ["/bin/sh", "-c", script], start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    with leader:
        yield leader
        leader.kill()


def said(leader: "subprocess.Popen[bytes]") -> int:
    """The pid that the next line names."""
    assert leader.stdout is not None
    return int(leader.stdout.readline())


def adopted(pid: int) -> int:
    """`pid`, once it is our own child: its parent ends by itself."""
    while pid not in children_of(os.getpid()):
        os.sched_yield()
    return pid


def wait_without_reaping(pid: int) -> None:
    """Block until `pid` has ended."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


class Nowhere(CensusTaker):
    """Must not be asked."""

    async def fresh(self) -> Census:
        raise AssertionError("the whole machine was looked at")


class Everywhere(CensusTaker):
    """Notes that it was asked."""

    asked = 0

    async def fresh(self) -> Census:
        self.asked += 1
        return await super().fresh()


def knowing(*leaders: "subprocess.Popen[bytes]") -> Callable[[], set[int]]:
    return lambda: {leader.pid for leader in leaders}


async def test_a_look_is_at_the_tree_and_at_orphans_and_at_nobody_elses_tree() -> None:
    stays = "sleep 1000 & echo $!; " + LEAVES_A_DAEMON + "read -r line"
    with leading(stays, ONE) as one, leading(stays, OTHER) as other:
        helper, daemon = said(one), adopted(said(one))
        others_helper, others_daemon = said(other), adopted(said(other))
        seen = await Nearby(Nowhere(), knowing(one, other)).fresh(one.pid)
        assert {one.pid, helper, daemon, others_daemon} <= set(seen)
        assert not {os.getpid(), other.pid, others_helper} & set(seen)
        assert seen.complete


async def test_what_a_leader_left_that_was_reaped_is_found() -> None:
    with leading(LEAVES_A_DAEMON, ONE) as one:
        daemon = said(one)
        one.wait(PATIENCE)
        assert set(await Nearby(Nowhere(), knowing()).fresh(one.pid)) == {daemon}


async def test_where_nothing_is_left_a_look_says_so_without_a_look_at_the_machine() -> None:
    with leading("exit 0", ONE) as one, leading("echo $$; read -r line", OTHER) as other:
        said(other)
        one.wait(PATIENCE)
        seen = await Nearby(Nowhere(), knowing(other)).fresh(one.pid)
        assert (seen, seen.complete) == ({}, True)


async def test_a_leader_that_is_dead_and_not_reaped_is_seen_to_be_dead() -> None:
    with leading("exit 0", ONE) as one:
        wait_without_reaping(one.pid)
        seen = await Nearby(Nowhere(), knowing(one)).fresh(one.pid)
        assert [(each.pid, each.alive) for each in seen.values()] == [(one.pid, False)]


async def test_the_end_of_a_tree_is_the_end_of_its_orphans_and_not_of_anybody_elses() -> None:
    with (
        Reaper(lambda *_: None),
        leading(LEAVES_A_DAEMON + "read -r line", ONE) as one,
        leading(LEAVES_A_DAEMON + "read -r line", OTHER) as other,
    ):
        daemon, others_daemon = adopted(said(one)), adopted(said(other))
        with watching(one.pid, daemon) as watched, anyio.fail_after(PATIENCE):
            near = Nearby(Nowhere(), knowing(one, other))
            await Tree(one.pid, ONE, Nowhere(), nearby=near.fresh).end(signal.SIGTERM)
            for each in watched:
                await each.ended()
        left = take_census()
        assert left[other.pid].alive
        assert left[others_daemon].alive


def test_who_is_another_process_at_every_moment_does_not_slip_through_a_look() -> None:
    """Each lives a moment, and is an orphan of ours as soon as the one before it has gone."""
    rabbit = 'exec setsid --fork sh -c "$RUN"'
    with _inherited_tag(ONE):
        subprocess.run(["/bin/sh", "-c", rabbit], env={**os.environ, "RUN": rabbit}, check=True)
    looks = []
    for _ in range(100):
        looks.append(orphans(set))
        reap_the_dead()
    missed = [each for each in looks if each.complete and not any(one.alive for one in each.values())]
    kill_all_of(ONE)
    assert not missed


def reap_the_dead() -> None:
    while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG) is not None:
        pass


def kill_all_of(tag: int) -> None:
    """Kill until a look at all finds nobody who bears `tag`."""
    while True:
        seen = take_census()
        found = [each.pid for each in seen.values() if each.tag == tag and each.alive]
        if seen.complete and not found:
            return
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def test_where_the_kernel_lists_no_children_the_whole_machine_is_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: int) -> list[int]:
        raise Unlisted

    monkeypatch.setattr(nearby, "children_of", refuse)
    everywhere = Everywhere()
    assert os.getpid() in await Nearby(everywhere, set).fresh(1 << 22)
    assert everywhere.asked == 1


async def test_an_orphan_that_cannot_be_looked_at_has_the_whole_machine_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with leading("echo $$; read -r line", ONE) as one:
        said(one)
        monkeypatch.setattr(nearby, "look", lambda _: None)
        everywhere = Everywhere()
        await Nearby(everywhere, set).fresh(1 << 22)
        assert everywhere.asked == 1
        monkeypatch.undo()
        assert not orphans(knowing(one))


def test_nobody_is_below_who_has_gone() -> None:
    assert list(children_of(1 << 22)) == []


def test_the_children_of_every_thread_are_listed() -> None:
    with leading("echo $$; read -r line", ONE) as one:
        said(one)
        assert list(children_of(os.getpid())) == [one.pid]
