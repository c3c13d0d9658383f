"""A cgroup of the tests' own, so that what their supervisors make and leave cannot be taken for anybody else's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from supervisor.cgroups import CgroupError, Leaf, own_cgroup


@contextmanager
def a_cgroup_of_our_own() -> Iterator[None]:
    """Have this process, and all that it starts, live in a new cgroup; where none can be made, in the one it is in."""
    try:
        before = own_cgroup()
        ours = before / f"tests-{os.getpid()}"
        for dead in before.glob("tests-*"):  # of tests that were killed
            with suppress(OSError):
                if not Path("/proc", dead.name.partition("-")[2]).exists():
                    Leaf(dead).remove()
        ours.mkdir()
    except (CgroupError, OSError):
        yield  # then no supervisor can make any either
        return
    try:
        (ours / "cgroup.procs").write_text("0")
        yield
    finally:
        (before / "cgroup.procs").write_text("0")
        with suppress(OSError):
            Leaf(ours).remove()


def runs() -> set[Path]:
    """The cgroups of runs of a supervisor that are there now, below our own."""
    try:
        return set(own_cgroup().glob("run-*"))
    except CgroupError:
        return set()


def remove_runs(left: set[Path]) -> None:
    """Remove the cgroups in `left`. Raises OSError where something lives in one."""
    for run in left:
        Leaf(run).remove()
