"""What every test is held to: no process, no descriptor, no task and no cgroup outlives it."""

import asyncio
import gc
import inspect
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.support.cgroups import a_cgroup_of_our_own, remove_runs, runs
from tests.support.processes import bearing

ALL_SLOW = "\npytestmark = pytest.mark.slow\n"
"""What a module says of which every test is slow."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """In the fast part, modules without a test for it are not imported: that took each worker seconds."""
    in_vain = config.option.markexpr == "not slow" and collection_path.match("test_*.py")
    return True if in_vain and ALL_SLOW in collection_path.read_text() else None


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Hypercorn and the pipes are asyncio's, so that is what everything is tested on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def as_from_a_terminal() -> Iterator[None]:
    """What nohup(1) has ignored, everything that a test starts would ignore too, and hang-ups are tested."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="session")
def marker_of_the_run() -> str:
    """What every process that this run starts bears in its environment, and what it starts in turn."""
    marker = f"run-{uuid.uuid4()}"
    os.environ["LC_TEST_RUN"] = marker
    return marker


@pytest.fixture(scope="module", autouse=True)
def nothing_outlives_its_module(marker_of_the_run: str) -> Iterator[None]:
    """Fail the last test of a module that left a process which is nobody's child any more."""
    yield
    left = bearing(marker_of_the_run)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session", autouse=True)
def own_cgroup() -> Iterator[None]:
    """What is left in there, this run of the tests has left: others may run beside it."""
    with a_cgroup_of_our_own():
        yield


@pytest.fixture(autouse=True)
def nothing_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a descriptor, a process, a task or a cgroup behind."""
    if inspect.iscoroutinefunction(getattr(request.node, "function", None)):
        request.getfixturevalue("no_task_leaks")
    before, processes, cgroups = _descriptors(), _children(), runs()
    yield
    if _descriptors().keys() - before.keys():
        gc.collect()  # what only waits for the collector has not leaked; to collect each time would take minutes
    leaked = {fd: target for fd, target in _descriptors().items() if before.get(fd) != target}
    assert not leaked, f"descriptors leaked: {leaked}"
    assert _children() == processes, "processes leaked"
    assert runs() <= cgroups, "cgroups leaked"


@pytest.fixture
def leaves_empty_cgroups() -> Iterator[None]:
    """For a test that kills a supervisor: its cgroups stay for the next start, but nothing may live in them."""
    before = runs()
    yield
    remove_runs(runs() - before)


@pytest.fixture
def without_collector() -> Iterator[None]:
    """For a test of what goes with its last reference."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
async def no_task_leaks(anyio_backend: str) -> AsyncIterator[None]:
    """Fail a test that leaves a task running."""
    before = asyncio.all_tasks()
    yield
    # The plugin's own runner makes a task for each phase of a test.
    leaked = {task for task in asyncio.all_tasks() - before if "TestRunner" not in repr(task.get_coro())}
    assert not leaked, f"tasks leaked: {leaked}"


def _children() -> set[int]:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return set()  # the kernel says so at once; to look at every process there is, twice a test, would take longer
    return {process.pid for process in psutil.Process().children()}


def _descriptors() -> dict[str, str]:
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:
            continue
        # The event loop of the tests' own runner comes and goes with them; the other is this very look.
        if target not in ("anon_inode:[eventpoll]", f"/proc/{os.getpid()}/fd"):
            found[link.name] = target
    return found
