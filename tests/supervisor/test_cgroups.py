"""Cgroup leaves: real ones where the kernel has them, and a directory that looks like one for what needs controllers."""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.config.model import Limits
from common.reasons import Reason
from supervisor import cgroups
from supervisor.cgroups import CgroupError, Leaf, Run, is_delegated, own_cgroup, prepare
from supervisor.reaping import cleared
from tests.support.processes import PATIENCE, descriptors_left, watching

ALL = frozenset({"cpu", "memory", "pids"})


@contextmanager
def a_run() -> Iterator[Run]:
    """Real cgroups; on leaving they are emptied and removed."""
    run = prepare(own_cgroup(), random.SystemRandom().randrange(1 << 31))
    try:
        yield run
    finally:
        while not cleared(run.path):
            os.sched_yield()


@contextmanager
def living_in(leaf: Leaf, script: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A shell that moved into `leaf`, says so, and goes on with `script`."""
    command = ["/bin/sh", "-c", f"echo 0 > {leaf.procs} && echo in; {script}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"in\n"
            yield process
        finally:
            process.kill()


def empty(leaf: Leaf) -> None:
    """Wait until nothing lives there; a killed process is there for a moment."""
    while leaf.is_populated():
        os.sched_yield()


# Real leaves.


def test_a_new_leaf_is_empty() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        assert list(leaf.pids()) == []
        assert not leaf.is_populated()
        assert leaf.limit_hit() is None
        assert repr(leaf) == f"<Leaf {run.path}/1>"


def test_a_leaf_holds_what_moved_in_and_what_that_starts() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        with living_in(leaf, "setsid sleep 1000 & echo $!; wait") as process:
            assert process.stdout is not None
            helper = int(process.stdout.readline())
            assert sorted(leaf.pids()) == sorted([process.pid, helper])
            assert leaf.is_populated()
            assert run.holds(helper)
            leaf.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
            empty(leaf)


async def test_killing_a_leaf_ends_a_forker() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        forks = "while :; do sh -c 'setsid sleep 1000 & sleep 1000' & done"
        with living_in(leaf, f"{forks} & echo $!; wait") as process:
            assert process.stdout is not None
            with watching(int(process.stdout.readline())) as [forker]:
                leaf.kill()
                await forker.ended()
            assert process.wait(PATIENCE) == -signal.SIGKILL
            empty(leaf)
        leaf.remove()
        assert not leaf.path.exists()


def test_what_a_child_made_below_its_leaf_belongs_to_it() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        below = leaf.path / "a" / "b"
        move = f"mkdir -p {below} {leaf.path}/c; echo 0 > {below}/cgroup.procs; echo moved; exec sleep 1000"
        with living_in(leaf, move) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"moved\n"
            assert list(leaf.pids()) == [process.pid]
            assert leaf.is_populated()
            assert run.holds(process.pid)
            leaf.kill()
            assert process.wait(PATIENCE) == -signal.SIGKILL
            empty(leaf)
        leaf.remove()
        assert not leaf.path.exists()


def test_a_leaf_in_which_something_lives_cannot_be_removed() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        with living_in(leaf, "exec sleep 1000"), pytest.raises(OSError, match="busy"):
            leaf.remove()
        assert leaf.path.exists()


def test_a_leaf_that_is_gone_is_empty_killed_and_removed() -> None:
    with a_run() as run:
        leaf = run.leaf(1)
        leaf.remove()
        assert not leaf.is_populated()
        assert list(leaf.pids()) == []
        leaf.kill()
        leaf.remove()


def test_a_lease_has_one_leaf() -> None:
    with a_run() as run:
        run.leaf(1)
        with pytest.raises(FileExistsError):
            run.leaf(1)


def test_a_run_holds_nobody_else() -> None:
    with a_run() as run:
        assert not run.holds(os.getpid())
        assert not run.holds(1 << 22)


def test_a_run_is_cleared_of_all_its_leaves_at_once() -> None:
    with a_run() as run:
        with living_in(run.leaf(1), "exec sleep 1000") as one, living_in(run.leaf(2), "exec sleep 1000") as two:
            run.everything().kill()
            assert one.wait(PATIENCE) == two.wait(PATIENCE) == -signal.SIGKILL
        empty(run.everything())
        assert cleared(run.path)
        assert not run.path.exists()


def test_a_run_that_cannot_be_cleared_says_so(tmp_path: Path) -> None:
    assert not cleared(tmp_path)  # a plain directory: the file that kills stays


# What needs controllers.


def leaf_of(directory: Path) -> Leaf:
    """A leaf that is a plain directory."""
    return Leaf(directory)


def written(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


@pytest.mark.parametrize(
    ("limits", "controllers", "expected"),
    [
        (
            Limits(memory_max="64MiB"),
            {"memory"},
            {"memory.max": "67108864", "memory.oom.group": "1", "memory.swap.max": "0"},
        ),
        (Limits(tasks_max=7), {"pids"}, {"pids.max": "7"}),
        (Limits(cpu_max=1.5), {"cpu"}, {"cpu.max": "150000 100000"}),
        (Limits(cpu_max=0.001), {"cpu"}, {"cpu.max": "1000 100000"}),
        (Limits(memory_max=None, tasks_max=None), ALL, {}),
        (Limits(memory_max="64MiB", tasks_max=7, cpu_max=1), set(), {}),
    ],
)
def test_limits_are_told_to_the_controllers_that_are_there(
    limits: Limits, controllers: set[str], expected: dict[str, str], tmp_path: Path
) -> None:
    leaf_of(tmp_path).limit(limits, frozenset(controllers))
    assert written(tmp_path) == expected


def test_without_an_account_of_swap_memory_is_limited_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "memory.swap.max").mkdir()
    leaf_of(tmp_path).limit(Limits(memory_max="64MiB"), ALL)
    assert (tmp_path / "memory.max").read_text() == "67108864"


def test_a_limit_that_cannot_be_set_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "memory.max").mkdir()
    with pytest.raises(OSError, match="directory"):
        leaf_of(tmp_path).limit(Limits(memory_max="64MiB"), ALL)


@pytest.mark.parametrize(
    ("memory", "pids", "expected"),
    [
        (None, None, None),
        ("low 0\noom 0\noom_kill 0\n", "max 0\n", None),
        ("low 0\noom 1\noom_kill 2\n", "max 0\n", Reason.MEMORY_MAX),
        ("low 0\noom 1\noom_kill 0\n", "max 3\n", Reason.TASKS_MAX),
        ("low 0\noom 1\noom_kill 2\n", "max 3\n", Reason.MEMORY_MAX),
        (None, "max 3\n", Reason.TASKS_MAX),
        ("oom_group_kill 1\n", "max 0\n", None),
    ],
)
def test_a_leaf_knows_the_limit_that_was_hit(
    memory: str | None, pids: str | None, expected: Reason | None, tmp_path: Path
) -> None:
    for name, text in (("memory.events", memory), ("pids.events", pids)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert leaf_of(tmp_path).limit_hit() is expected


def test_where_nobody_can_look_no_limit_was_hit(tmp_path: Path) -> None:
    """The end of the leader that was asked about was not followed, for want of a descriptor."""
    (tmp_path / "memory.events").write_text("oom_kill 1\n")
    with descriptors_left(0):
        assert leaf_of(tmp_path).limit_hit() is None


def test_without_controllers_nobody_is_moved(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("io\n")
    with pytest.raises(CgroupError, match="5.14"):
        prepare(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["cgroup.controllers"]


class Kernel:
    """Makes a directory behave like a delegated cgroup, as far as plain files do not.

    Whoever is written to `programs/cgroup.procs` leaves the cgroup above; a new cgroup has the file that kills.
    """

    def __init__(self, path: Path, pids: list[str], gone: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.pids = pids
        self.gone = gone
        self.moved: list[str] = []
        write, mkdir = Path.write_text, Path.mkdir

        def write_text(file: Path, text: str) -> int:
            return self._move(text, write) if file == path / "programs" / "cgroup.procs" else write(file, text)

        def make(directory: Path, *args: object, **keys: object) -> None:
            mkdir(directory, *args, **keys)  # type: ignore[arg-type]
            if directory.name == "run-7":
                (directory / "cgroup.kill").touch()

        (path / "cgroup.procs").write_text("\n".join(pids))
        monkeypatch.setattr(Path, "write_text", write_text)
        monkeypatch.setattr(Path, "mkdir", make)

    def _move(self, pid: str, write: Callable[[Path, str], int]) -> int:
        if pid in self.pids:
            self.pids.remove(pid)
            write(self.path / "cgroup.procs", "\n".join(self.pids))
        if pid == self.gone:
            raise ProcessLookupError
        self.moved.append(pid)
        return len(pid)


@pytest.mark.parametrize("gone", [None, "11"])
def test_with_controllers_whoever_is_in_the_cgroup_is_moved_beside_the_leaves(
    gone: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    kernel = Kernel(tmp_path, ["10", "11", "12"], gone, monkeypatch)
    run = prepare(tmp_path, 7)
    assert kernel.moved == [pid for pid in ("10", "11", "12") if pid != gone]
    assert run.controllers == ALL
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (run.path / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert run.leaf(3).path == tmp_path / "run-7" / "3"


def test_who_cannot_be_moved_is_tried_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cgroup.controllers").write_text("memory\n")
    (tmp_path / "cgroup.subtree_control").mkdir()  # stands for EBUSY
    kernel = Kernel(tmp_path, ["10"], None, monkeypatch)
    kernel.pids.clear()  # so it stays in the file
    with pytest.raises(CgroupError, match="no cgroups can be made in"):
        prepare(tmp_path, 7)
    assert kernel.moved == ["10"] * 10


def test_where_no_cgroup_can_be_made_the_error_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=r"no cgroups can be made in .* \(No such file.*\); .* Delegate=yes"):
        prepare(tmp_path / "missing", 1)


# Where this process is.


def proc(directory: Path, cgroup: str, mountinfo: str) -> Path:
    (directory / "cgroup").write_text(cgroup)
    (directory / "mountinfo").write_text(mountinfo)
    return directory


V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "24 23 0:21 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n"
    "25 24 0:22 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw\n"
    "26 24 0:23 / /sys/fs/cgroup/memory rw shared:6 - cgroup cgroup rw,memory\n"
)
IN_A_CONTAINER = "30 23 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "expected"),
    [
        ("0::/system.slice/g.service\n", V2, "/sys/fs/cgroup/system.slice/g.service"),
        ("0::/\n", V2, "/sys/fs/cgroup"),
        ("8:pids:/x\n4:memory:/y\n0::/a/b\n", HYBRID, "/sys/fs/cgroup/unified/a/b"),
        ("0::/docker/1/g\n", IN_A_CONTAINER, "/sys/fs/cgroup/g"),
        ("0::/docker/1\n", IN_A_CONTAINER, "/sys/fs/cgroup"),
        ("0::/elsewhere\n", IN_A_CONTAINER + V2, "/sys/fs/cgroup/elsewhere"),
    ],
)
def test_the_own_cgroup(cgroup: str, mountinfo: str, expected: str, tmp_path: Path) -> None:
    assert own_cgroup(proc(tmp_path, cgroup, mountinfo)) == Path(expected)


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "error"),
    [
        ("8:pids:/x\n4:memory:/y\n", HYBRID, "this machine has no cgroup v2$"),
        ("0::/a\n", "26 24 0:23 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n", "no cgroup v2 mounted"),
        ("0::/elsewhere\n", IN_A_CONTAINER, "not the part that this process is in"),
        ("0::/../elsewhere\n", V2, "outside of its cgroup namespace"),
    ],
)
def test_where_there_is_none(cgroup: str, mountinfo: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(CgroupError, match=error):
        own_cgroup(proc(tmp_path, cgroup, mountinfo))


@pytest.mark.parametrize("value", [None, b"1", b"0"])
def test_what_systemd_delegated_says_so(value: bytes | None) -> None:
    with a_run() as run:
        if value is not None:
            os.setxattr(run.path, "trusted.delegate", value)
        assert is_delegated(run.path) is (value == b"1")


def test_what_is_not_there_is_not_delegated(tmp_path: Path) -> None:
    assert not is_delegated(tmp_path / "missing")


def test_the_controllers_are_those_that_limits_need() -> None:
    assert set(cgroups.CONTROLLERS) == ALL
