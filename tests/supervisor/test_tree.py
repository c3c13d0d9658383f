"""Who belongs to a tree, in censuses made by hand; and real trees, ended and reaped."""

import asyncio
import dataclasses
import errno
import os
import platform
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from supervisor.cgroups import Leaf, own_cgroup, prepare
from supervisor.linux import Census, Process, descendants, look, take_census
from supervisor.protocol import Exit
from supervisor.spawn import _inherited_tag
from supervisor.tags import make_tag, same_installation
from supervisor.tree import (
    EMPTY_LOOKS,
    WATCHED,
    CensusTaker,
    Reaper,
    Tree,
    attribute,
    end_everything,
    kill_all,
    members,
    outlived,
    signal_all,
    strays,
)
from tests.support.processes import PATIENCE, complaints, descriptors_left, open_files, watching

INIT, SUPERVISOR, LEADER, OTHER_LEADER = 1, 10, 100, 200
TAG, OTHER_TAG = make_tag(7, 1), make_tag(7, 2)
ANOTHER_SUPERVISORS_TAG = make_tag(8, 1)
NEVER_SET, UNREADABLE = -1, 0


def process(
    pid: int,
    below: int,
    *,
    group: int | None = None,
    session: int | None = None,
    tag: int = NEVER_SET,
    alive: bool = True,
) -> Process:
    """A process with a parent; of its own group and session, unless told otherwise."""
    return Process(pid=pid, ppid=below, pgid=group or pid, sid=session or pid, start=pid, alive=alive, tag=tag)


def census(*processes: Process) -> Census:
    """These, and the supervisor under init."""
    above = (process(INIT, 0), process(SUPERVISOR, INIT))
    return Census((each.pid, each) for each in (*above, *processes))


def tree(*processes: Process) -> set[int]:
    """The pids of the tree of LEADER among these processes."""
    return set(members(census(*processes), SUPERVISOR, LEADER, TAG))


LEADING = process(LEADER, SUPERVISOR, tag=TAG)


# Who belongs to a tree.


def test_a_leader_alone_is_a_tree() -> None:
    assert tree(LEADING) == {LEADER}


def test_nothing_is_an_empty_tree() -> None:
    assert tree() == set()


def test_a_tree_holds_what_was_seen_of_each() -> None:
    assert members(census(LEADING), SUPERVISOR, LEADER, TAG) == {LEADER: LEADING}


def test_a_helper_belongs_by_descent_though_it_took_off_every_other_mark() -> None:
    assert tree(LEADING, process(101, LEADER), process(102, 101)) == {LEADER, 101, 102}


def test_an_orphan_belongs_by_its_group() -> None:
    assert tree(LEADING, process(101, SUPERVISOR, group=LEADER)) == {LEADER, 101}


def test_an_orphan_belongs_by_its_session() -> None:
    assert tree(LEADING, process(101, SUPERVISOR, session=LEADER)) == {LEADER, 101}


def test_an_orphan_in_a_session_of_its_own_belongs_by_its_tag() -> None:
    assert tree(LEADING, process(101, SUPERVISOR, tag=TAG)) == {LEADER, 101}


def test_what_is_below_an_orphan_that_belongs_belongs_too() -> None:
    assert tree(LEADING, process(101, SUPERVISOR, tag=TAG), process(102, 101), process(103, 102)) == {
        LEADER,
        101,
        102,
        103,
    }


@pytest.mark.parametrize(
    "left",
    [
        process(101, SUPERVISOR, group=LEADER),
        process(101, SUPERVISOR, session=LEADER),
        process(101, SUPERVISOR, tag=TAG),
    ],
)
def test_what_a_dead_leader_left_still_belongs(left: Process) -> None:
    assert tree(left) == {101}


@pytest.mark.parametrize("tag", [NEVER_SET, UNREADABLE, ANOTHER_SUPERVISORS_TAG, 12345])
def test_a_leader_belongs_by_its_pid_whatever_it_did_to_its_tag(tag: int) -> None:
    assert tree(process(LEADER, SUPERVISOR, tag=tag)) == {LEADER}


@pytest.mark.parametrize("tag", [NEVER_SET, UNREADABLE, ANOTHER_SUPERVISORS_TAG])
def test_a_tag_that_is_none_of_this_supervisors_excuses_nobody_from_descent(tag: int) -> None:
    assert tree(LEADING, process(101, LEADER, tag=tag)) == {LEADER, 101}


def test_the_dead_who_wait_to_be_reaped_do_not_count_but_what_is_below_them_does() -> None:
    dead = process(LEADER, SUPERVISOR, tag=TAG, alive=False)
    assert tree(dead) == set()
    assert tree(dead, process(101, LEADER)) == {101}


# Who does not.


def test_another_tree_is_another_tree() -> None:
    other = process(OTHER_LEADER, SUPERVISOR, tag=OTHER_TAG)
    helper = process(201, OTHER_LEADER, tag=OTHER_TAG)
    assert tree(LEADING, other, helper) == {LEADER}


def test_a_stranger_that_got_the_dead_leaders_pid_does_not_belong() -> None:
    assert tree(process(LEADER, SUPERVISOR, tag=OTHER_TAG)) == set()


@pytest.mark.parametrize(("group", "session"), [(LEADER, 201), (201, LEADER), (LEADER, LEADER)])
def test_a_stranger_whose_leader_got_the_dead_leaders_pid_does_not_belong(group: int, session: int) -> None:
    stranger = process(201, SUPERVISOR, group=group, session=session, tag=OTHER_TAG)
    assert tree(process(101, SUPERVISOR, tag=TAG), stranger) == {101}


def test_what_bears_another_trees_tag_belongs_to_that_one_though_it_descends_from_ours() -> None:
    assert tree(LEADING, process(101, LEADER, tag=OTHER_TAG), process(102, 101, tag=OTHER_TAG)) == {LEADER}


def test_an_unmarked_orphan_does_not_belong() -> None:
    assert tree(LEADING, process(101, SUPERVISOR)) == {LEADER}


@pytest.mark.parametrize("mark", [TAG, NEVER_SET])
def test_what_is_not_below_the_supervisor_is_none_of_its_business(mark: int) -> None:
    assert tree(LEADING, process(300, INIT, group=LEADER, session=LEADER, tag=mark)) == {LEADER}


def test_the_supervisor_itself_never_belongs() -> None:
    below = process(SUPERVISOR, INIT, group=LEADER, session=LEADER, tag=TAG)
    assert set(members(census(LEADING, below), SUPERVISOR, LEADER, TAG)) == {LEADER}


# Tags.


def test_a_tag_fits_a_resource_limit() -> None:
    assert 0 < make_tag(1, 0) < make_tag((1 << 31) - 1, (1 << 32) - 1) < 1 << 63


def test_tags_differ_by_tree_and_by_installation() -> None:
    tags = {make_tag(installation, number) for installation in (1, 2, 3) for number in (0, 1, 2)}
    assert len(tags) == 9


def test_tags_of_one_run_are_known_as_such() -> None:
    assert same_installation(TAG, OTHER_TAG)
    assert not same_installation(TAG, ANOTHER_SUPERVISORS_TAG)


@pytest.mark.parametrize("tag", [NEVER_SET, UNREADABLE, 12345])
def test_what_is_no_tag_is_of_no_run(tag: int) -> None:
    assert not same_installation(tag, TAG)


# Descent.


def test_descendants_are_all_that_is_below_without_the_root() -> None:
    seen = census(LEADING, process(101, LEADER), process(102, 101), process(OTHER_LEADER, SUPERVISOR), process(300, 1))
    assert descendants(seen, SUPERVISOR) == {LEADER, 101, 102, OTHER_LEADER}
    assert descendants(seen, LEADER) == {101, 102}
    assert descendants(seen, 102) == set()


def test_descendants_of_a_process_that_has_gone_are_those_that_still_name_it() -> None:
    assert descendants(census(process(101, 999)), 999) == {101}


def test_a_census_that_was_taken_across_the_reuse_of_a_pid_may_hold_a_ring() -> None:
    assert 2 in descendants(Census({1: process(1, 2), 2: process(2, 1)}), 1)


# Who took off every mark.


def astray(*processes: Process) -> set[int]:
    """The pids of the strays among these processes, where LEADER and OTHER_LEADER lead trees."""
    return set(strays(census(*processes), SUPERVISOR, {LEADER, OTHER_LEADER}, make_tag(7, 0)))


def test_an_unmarked_orphan_is_a_stray_with_all_that_is_below_it() -> None:
    assert astray(process(101, SUPERVISOR), process(102, 101), process(103, 102)) == {101, 102, 103}


@pytest.mark.parametrize("tag", [UNREADABLE, ANOTHER_SUPERVISORS_TAG, 12345])
def test_a_tag_that_is_none_of_this_runs_is_no_mark(tag: int) -> None:
    assert astray(process(101, SUPERVISOR, tag=tag)) == {101}


@pytest.mark.parametrize(
    "marked",
    [
        process(LEADER, SUPERVISOR),
        process(101, SUPERVISOR, tag=TAG),
        process(101, SUPERVISOR, tag=OTHER_TAG),
        process(101, SUPERVISOR, group=LEADER),
        process(101, SUPERVISOR, session=OTHER_LEADER),
        process(101, LEADER),
        process(101, INIT),
        process(SUPERVISOR, INIT),
    ],
)
def test_whoever_has_a_mark_or_a_parent_is_no_stray(marked: Process) -> None:
    assert astray(LEADING, marked) == set()


def test_a_dead_stray_does_not_count_but_what_is_below_it_does() -> None:
    assert astray(process(101, SUPERVISOR, alive=False), process(102, 101)) == {102}


def test_below_a_stray_whoever_bears_a_tag_is_left_to_its_own_tree() -> None:
    assert astray(process(101, SUPERVISOR), process(102, 101, tag=TAG), process(103, 101)) == {101, 103}


# Whose is what, all trees at once.


def attributed(*processes: Process) -> dict[int, set[int]]:
    """The pids of each tree."""
    leaders = {TAG: LEADER, OTHER_TAG: OTHER_LEADER}
    found = attribute(census(*processes), leaders, SUPERVISOR)
    return {leader: {each.pid for each in of_tree} for leader, of_tree in found.items()}


OTHER_LEADING = process(OTHER_LEADER, SUPERVISOR, tag=OTHER_TAG)


def test_a_tree_of_which_nothing_lives_is_there_and_empty() -> None:
    assert attributed() == {LEADER: set(), OTHER_LEADER: set()}


@pytest.mark.parametrize(
    "belonging",
    [
        process(101, SUPERVISOR, tag=TAG),
        process(101, SUPERVISOR, group=LEADER),
        process(101, SUPERVISOR, session=LEADER),
        process(101, LEADER),
        process(101, OTHER_LEADER, tag=TAG),
        process(101, OTHER_LEADER, group=LEADER),
        process(101, SUPERVISOR, tag=TAG, group=OTHER_LEADER, session=OTHER_LEADER),
    ],
)
def test_a_process_belongs_by_its_strongest_mark(belonging: Process) -> None:
    assert attributed(LEADING, OTHER_LEADING, belonging) == {LEADER: {LEADER, 101}, OTHER_LEADER: {OTHER_LEADER}}


def test_what_is_far_below_belongs_to_whom_its_parent_does() -> None:
    seen = attributed(LEADING, OTHER_LEADING, process(103, 102), process(102, 101), process(101, LEADER))
    assert seen[LEADER] == {LEADER, 101, 102, 103}


def test_the_dead_do_not_count_but_hand_their_belonging_on() -> None:
    assert attributed(process(LEADER, SUPERVISOR, alive=False), process(101, LEADER))[LEADER] == {101}


def test_an_unmarked_orphan_and_what_is_below_it_are_nobodys() -> None:
    assert attributed(process(101, SUPERVISOR), process(102, 101)) == {LEADER: set(), OTHER_LEADER: set()}


def test_a_stranger_that_got_a_dead_leaders_pid_is_nobodys() -> None:
    assert attributed(process(LEADER, INIT), process(101, LEADER)) == {LEADER: set(), OTHER_LEADER: set()}


def test_a_ring_of_parents_is_gone_round_once() -> None:
    ring = Census({SUPERVISOR: process(SUPERVISOR, 101), 101: process(101, SUPERVISOR, tag=TAG)})
    assert attribute(ring, {TAG: 101}, SUPERVISOR) == {101: [ring[101]]}


# What outlived its tree.


def late(*processes: Process, living: set[int] | None = None) -> set[int]:
    """The pids of those that bear the tag of a tree that is no more, where five tags were given out."""
    return set(outlived(census(*processes), SUPERVISOR, living or set(), make_tag(7, 0), make_tag(7, 5)))


def test_who_bears_the_tag_of_a_tree_that_is_no_more_has_outlived_it_wherever_it_hides() -> None:
    hidden = process(201, OTHER_LEADER, tag=TAG)
    assert late(OTHER_LEADING, hidden, living={OTHER_TAG}) == {201}
    assert late(OTHER_LEADING, hidden, living={TAG, OTHER_TAG}) == set()


@pytest.mark.parametrize("tag", [NEVER_SET, UNREADABLE, ANOTHER_SUPERVISORS_TAG, make_tag(7, 6)])
def test_without_a_tag_that_was_given_out_to_a_session_nobody_has_outlived_anything(tag: int) -> None:
    assert late(process(201, SUPERVISOR, tag=tag)) == set()


def test_neither_the_dead_nor_those_elsewhere_have_outlived_anything() -> None:
    assert late(process(201, SUPERVISOR, tag=TAG, alive=False), process(202, INIT, tag=TAG)) == set()


# Real trees.


@contextmanager
def started(script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell that runs `script` as the leader of a session of its own; its group is killed if it still runs."""
    command = ["/bin/sh", "-c", script]
    with subprocess.Popen(command, start_new_session=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as leader:
        try:
            yield leader
        finally:
            if leader.poll() is None:
                os.killpg(leader.pid, signal.SIGKILL)


def said(leader: "subprocess.Popen[bytes]") -> int:
    """The pid that the leader's next line names."""
    assert leader.stdout is not None
    return int(leader.stdout.readline())


async def answer_of(leader: "subprocess.Popen[bytes]") -> None:
    """Wait until the leader says something more."""
    assert leader.stdout is not None
    with anyio.fail_after(PATIENCE):
        await anyio.wait_readable(leader.stdout)


async def test_the_end_of_a_tree_is_the_end_of_a_helper_that_left_its_group_and_session() -> None:
    with started("setsid sleep 100 & echo $!; read -r line") as leader:
        with watching(leader.pid, said(leader)) as watched, anyio.fail_after(PATIENCE):
            helper = Tree(leader.pid, TAG, CensusTaker())
            assert {each.pid for each in watched} == set(await helper.survey())
            await helper.end(signal.SIGKILL)
            assert await helper.survey() == {}
            for each in watched:
                await each.ended()
        assert leader.wait(PATIENCE) == -signal.SIGKILL


WITHOUT_ITS_FIRST_THREAD = """
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
print(os.getpid(), flush=True)
ctypes.CDLL(None).syscall({exit})
"""
"""A process that /proc calls a zombie, but that runs on in another thread."""

EXIT = {"x86_64": 60, "aarch64": 93, "riscv64": 93}
"""The system call that ends one thread: exit(2)."""


@contextmanager
def running_without_its_first_thread() -> Iterator["subprocess.Popen[bytes]"]:
    """Such a process, once it is one."""
    script = WITHOUT_ITS_FIRST_THREAD.format(exit=EXIT[platform.machine()])
    with started(f"exec {sys.executable} -S -c '{script}'") as leader:
        said(leader)
        while " Z " not in Path(f"/proc/{leader.pid}/stat").read_text():
            os.sched_yield()
        yield leader


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_who_has_lost_its_first_thread_alone_still_lives_and_is_ended(number: signal.Signals) -> None:
    """A tree was called empty while other threads of its leader ran on, for ever."""
    with running_without_its_first_thread() as leader, anyio.fail_after(PATIENCE):
        tree = Tree(leader.pid, TAG, CensusTaker())
        assert set(await tree.survey()) == {leader.pid}
        await tree.end(number)
        assert await tree.survey() == {}
        assert leader.wait(PATIENCE) == -number


async def test_ending_a_tree_waits_for_all_of_it() -> None:
    farewell = 'trap "echo bye; exit 3" TERM; echo $$; read -r line'
    with started(farewell) as leader, anyio.fail_after(PATIENCE):
        said(leader)
        await Tree(leader.pid, TAG, CensusTaker()).end(signal.SIGTERM)
        assert leader.wait(PATIENCE) == 3


async def test_ending_a_tree_that_ignores_the_signal_may_be_given_up_without_a_trace() -> None:
    stubborn = 'trap "echo no" TERM; echo $$; while :; do read -r line; done'
    with started(stubborn) as leader:
        said(leader)
        before = open_files(os.getpid())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Tree(leader.pid, TAG, CensusTaker()).end, signal.SIGTERM)
            await answer_of(leader)
            tasks.cancel_scope.cancel()
        assert open_files(os.getpid()) == before
        assert leader.poll() is None


A_HUNDRED_SLEEP = "i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i + 1)); done; echo $$; wait"


async def test_a_tree_of_many_processes_is_ended_to_the_last() -> None:
    with started(A_HUNDRED_SLEEP) as leader, anyio.fail_after(PATIENCE):
        said(leader)
        many = Tree(leader.pid, TAG, CensusTaker())
        assert len(await many.survey()) == 101
        await many.end(signal.SIGTERM)
        assert await many.survey() == {}
        assert leader.wait(PATIENCE) == -signal.SIGTERM


async def test_however_many_are_signalled_only_so_many_descriptors_are_kept() -> None:
    with started(A_HUNDRED_SLEEP) as leader, anyio.fail_after(PATIENCE):
        said(leader)
        seen = await Tree(leader.pid, TAG, CensusTaker()).survey()
        pidfds = signal_all((each for each in seen.values()), signal.SIGKILL)
        for pidfd in pidfds:
            os.close(pidfd)
        assert len(pidfds) == WATCHED
        assert leader.wait(PATIENCE) == -signal.SIGKILL


async def test_a_tree_of_more_processes_than_there_are_descriptors_left_is_ended_all_the_same() -> None:
    with started("for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; echo $$; wait") as leader, anyio.fail_after(PATIENCE):
        said(leader)
        with descriptors_left(4):
            await Tree(leader.pid, TAG, CensusTaker()).end(signal.SIGKILL)
        assert leader.wait(PATIENCE) == -signal.SIGKILL


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_stranger_that_got_the_pid_of_one_that_was_seen_is_not_signalled(number: signal.Signals) -> None:
    with started("echo $$; read -r line; echo alive; read -r line") as leader:
        said(leader)
        seen = look(leader.pid)
        assert seen is not None
        pidfds = signal_all([dataclasses.replace(seen, start=seen.start - 1)], number)
        for pidfd in pidfds:
            os.close(pidfd)
        assert leader.stdin is not None
        leader.stdin.write(b"are you there?\n")
        leader.stdin.flush()
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"alive\n"


def test_one_that_has_gone_since_it_was_seen_is_passed_over() -> None:
    with started("exit 0") as leader:
        seen = look(leader.pid)
        leader.wait(PATIENCE)
        assert seen is not None
        assert signal_all([seen], signal.SIGKILL) == []
        assert look(leader.pid) is None


async def test_killing_a_group_kills_what_joined_it_since_it_was_seen() -> None:
    with started("echo $$; read -r line; sleep 100 & echo $!; wait") as leader:
        said(leader)
        seen = look(leader.pid)
        assert seen is not None
        assert leader.stdin is not None
        leader.stdin.write(b"go on\n")
        leader.stdin.flush()
        with watching(said(leader)) as [joined]:
            for pidfd in signal_all([seen], signal.SIGKILL):
                os.close(pidfd)
            await joined.ended()


async def test_the_end_of_everything_is_the_end_of_all_that_is_below_this_process() -> None:
    with started("setsid sleep 100 & echo $!; read -r line") as leader, watching(said(leader)) as [helper]:
        with anyio.fail_after(PATIENCE):
            assert await end_everything(CensusTaker()) == 2
        await helper.ended()
        assert leader.wait(PATIENCE) == -signal.SIGKILL


def test_a_tree_says_what_it_is() -> None:
    assert repr(Tree(100, TAG, CensusTaker())) == "<Tree of 100>"


async def test_a_tree_that_is_empty_is_ended_already() -> None:
    with started("exit 0") as leader:
        leader.wait(PATIENCE)
        await Tree(leader.pid, TAG, CensusTaker()).end(signal.SIGKILL)


async def test_all_who_ask_at_the_same_moment_share_one_census() -> None:
    taker = CensusTaker()
    taken: list[Census] = []

    async def ask() -> None:
        taken.append(await taker.fresh())

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert taken[0] is taken[1] is taken[2]
    assert await taker.fresh() is not taken[0]
    assert os.getpid() in taken[0]


# A tree in a namespace, or in a leaf, and strays.


IN_A_NAMESPACE = "exec unshare --pid --fork --kill-child --mount-proc -- sh -c '\"$@\"; exit $?' sh "


async def test_an_init_and_its_leader_are_not_told_to_leave_before_the_command_has() -> None:
    command = "sh -c 'trap \"echo bye; exit 3\" TERM; echo 0; read -r line'"
    with started(IN_A_NAMESPACE + command) as leader, anyio.fail_after(PATIENCE):
        said(leader)
        tree = Tree(leader.pid, TAG, CensusTaker(), has_init=True)
        assert len(await tree.survey()) == 3
        await tree.end(signal.SIGTERM)
        assert leader.stdout is not None
        assert leader.stdout.readline() == b"bye\n"
        assert leader.wait(PATIENCE) == 3


async def test_where_only_a_leader_and_its_init_are_left_these_are_signalled() -> None:
    with started("echo $$; sleep 100 & wait") as leader, anyio.fail_after(PATIENCE):
        said(leader)
        await Tree(leader.pid, TAG, CensusTaker(), has_init=True).end(signal.SIGTERM)
        assert leader.wait(PATIENCE) == -signal.SIGTERM


async def test_killing_spares_no_init() -> None:
    with started(IN_A_NAMESPACE + "sh -c 'trap \"\" TERM; echo 0; sleep 100; :'") as leader, anyio.fail_after(PATIENCE):
        said(leader)
        tree = Tree(leader.pid, TAG, CensusTaker(), has_init=True)
        with watching(*await tree.survey()) as watched:
            await tree.end(signal.SIGKILL)
            for each in watched:
                await each.ended()
        leader.wait(PATIENCE)


@contextmanager
def a_leaf() -> Iterator[Leaf]:
    """A real one; on leaving it is killed and removed."""
    run = prepare(own_cgroup(), random.SystemRandom().randrange(1 << 31))
    leaf = run.leaf(1)
    try:
        yield leaf
    finally:
        leaf.kill()
        while leaf.is_populated():
            os.sched_yield()
        run.everything().remove()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_what_is_in_a_trees_leaf_belongs_to_it_though_it_bears_no_mark(number: signal.Signals) -> None:
    with a_leaf() as leaf, started(f"echo 0 > {leaf.procs}; setsid sleep 100 & echo $!; read -r line") as leader:
        helper = said(leader)
        stranger = process(1, INIT).pid  # a leader that has nothing to do with them
        tree = Tree(stranger, OTHER_TAG, CensusTaker(), leaf=leaf)
        with anyio.fail_after(PATIENCE), watching(helper, leader.pid) as both:
            assert set(await tree.survey()) == {helper, leader.pid}
            await tree.end(number)
            for each in both:
                await each.ended()
        assert not leaf.is_populated()
        assert leader.wait(PATIENCE) == -number


async def test_a_stray_ends_with_the_next_tree() -> None:
    with started("echo $$; read -r line") as stray, started("echo $$; read -r line") as leader:
        said(stray)
        said(leader)
        found = {stray.pid: look(stray.pid)}

        def left(seen: Census) -> dict[int, Process]:
            return {pid: seen[pid] for pid in found if pid in seen and seen[pid].alive}

        with anyio.fail_after(PATIENCE):
            await Tree(leader.pid, TAG, CensusTaker(), strays=left).end(signal.SIGKILL)
        assert leader.wait(PATIENCE) == stray.wait(PATIENCE) == -signal.SIGKILL


async def test_what_somebody_elses_forker_does_holds_up_nobodys_end() -> None:
    looks: list[Census] = []

    def ever_another(seen: Census) -> dict[int, Process]:
        looks.append(seen)
        return {1: dataclasses.replace(process(1 << 22, 1), start=len(looks))}  # a pid that there cannot be

    with anyio.fail_after(PATIENCE):
        await Tree(1 << 22, TAG, CensusTaker(), strays=ever_another).end(signal.SIGKILL)
    assert len(looks) == EMPTY_LOOKS + 1


async def test_a_tree_is_looked_at_again_where_it_could_not_be() -> None:
    failures = [OSError(errno.EMFILE, "Too many open files")]

    def look_in_vain(_: Census) -> dict[int, Process]:
        if failures:
            raise failures.pop()
        return {}

    with anyio.fail_after(PATIENCE):
        await Tree(1 << 22, TAG, CensusTaker(), strays=look_in_vain).end(signal.SIGKILL)
    assert not failures


async def test_a_census_waits_until_there_are_descriptors_again() -> None:
    taker, taken = CensusTaker(), anyio.Event()

    async def ask() -> None:
        assert os.getpid() in await taker.fresh()
        taken.set()

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with descriptors_left(0), complaints() as complained:
                tasks.start_soon(ask)
                await complained.wait()
                assert not taken.is_set()


class Forger(CensusTaker):
    """Sees what it is told to."""

    def __init__(self, *censuses: Census) -> None:
        super().__init__()
        self._left = list(censuses)

    async def fresh(self) -> Census:
        return self._left.pop(0)


async def test_the_end_of_everything_waits_until_there_are_descriptors_again() -> None:
    """It was given up, and the supervisor with it."""
    one, other = (process(pid, os.getpid()) for pid in (1 << 22, (1 << 22) + 1))  # pids that there cannot be
    forged = Forger(census(one), census(other), census(other), census())
    found: list[int] = []

    async def end() -> None:
        found.append(await end_everything(forged))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            with descriptors_left(0), complaints() as complained:
                tasks.start_soon(end)
                await complained.wait()
    assert found == [1]


async def test_where_the_whole_machine_is_never_quiet_an_end_is_believed_after_many_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Census, "complete", False)
    with anyio.fail_after(PATIENCE):
        assert await end_everything(CensusTaker()) == 0
        await Tree(1 << 22, TAG, CensusTaker()).end(signal.SIGKILL)


def start_tagged(script: str, tag: int) -> None:
    """Run a shell's `script`, which finds itself in RUN, to its end; what it leaves bears `tag`."""
    with _inherited_tag(tag):
        subprocess.run(["/bin/sh", "-c", script], env={**os.environ, "RUN": script}, check=True)


async def test_who_is_another_process_at_every_moment_does_not_slip_through_a_census() -> None:
    """A tree was called empty while it lived: none of it was where /proc had just listed it."""
    tag = make_tag(random.SystemRandom().randrange(1, 1 << 31), 1)
    rabbit = 'exec setsid --fork sh -c "$RUN"'
    start_tagged(rabbit, tag)

    def its_own(seen: Census) -> list[Process]:
        return [each for each in seen.values() if each.tag == tag and each.alive]

    complete = [seen for _ in range(100) if (seen := take_census()).complete]
    missed = [seen for seen in complete if not its_own(seen)]
    with anyio.fail_after(PATIENCE):
        while its_own(seen := take_census()) or not seen.complete:
            await kill_all(its_own(seen))
    assert complete
    assert not missed


def run(script: str) -> int:
    """Start a shell that runs `script`, and that nobody but a reaper waits for."""
    return os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ)


def wait_without_reaping(pid: int) -> None:
    """Block until `pid` has ended."""
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("script", "expected"), [("exit 0", Exit(code=0)), ("exit 3", Exit(code=3)), ("kill -9 $$", Exit(signal=9))]
)
async def test_whatever_ends_is_reaped_and_how_it_ended_reported(script: str, expected: Exit) -> None:
    reaped: dict[int, Exit] = {}
    news = anyio.Event()

    def on_exit(pid: int, exit_: Exit) -> None:
        reaped[pid] = exit_
        news.set()

    with Reaper(on_exit), anyio.fail_after(PATIENCE):
        pid = run(script)
        await news.wait()
    assert reaped == {pid: expected}


async def test_what_goes_wrong_with_one_that_ended_keeps_no_other_from_being_reaped() -> None:
    """The others were zombies until something else ended, and their ends unknown."""
    reaped: list[int] = []
    wrong: list[object] = []

    def on_exit(pid: int, _: Exit) -> None:
        reaped.append(pid)
        raise OSError(errno.EMFILE, "Too many open files")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context["message"]))
    with Reaper(on_exit):
        pids = [run("exit 0"), run("exit 0")]
        for pid in pids:
            wait_without_reaping(pid)
    asyncio.get_running_loop().set_exception_handler(None)
    assert sorted(reaped) == sorted(pids)
    assert wrong == [f"the end of process {pid} was not followed" for pid in reaped]


async def test_all_that_ended_meanwhile_are_reaped_on_leaving() -> None:
    reaped: list[int] = []
    with Reaper(lambda pid, _: reaped.append(pid)):
        # The loop does not run, so nobody sees to the signal of their deaths.
        pids = [run("exit 0"), run("exit 0")]
        for pid in pids:
            wait_without_reaping(pid)
    assert sorted(reaped) == sorted(pids)
    assert not asyncio.get_running_loop().remove_signal_handler(signal.SIGCHLD)
