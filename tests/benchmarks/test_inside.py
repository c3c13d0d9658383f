"""What a call and a session cost within the programs, counted: functions that are called, and memory that is taken.

The bounds are in `bounds.json`, a little above what is counted. Whoever makes something cheaper lowers them.
"""

import gc
import json
import os
import sys
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType

import anyio
import anyio.to_thread
import pytest

from common.descriptors import close_all
from common.prctl import prctl
from common.reasons import Reason
from gateway.__main__ import has_uvloop
from supervisor.children import running_children
from supervisor.control import Announcer
from supervisor.meter import Meter
from tests.benchmarks.inside import CLIENTS, Client, Streamable, function_calls, gateway_here
from tests.support.ground import grounded
from tests.support.specs import server_spec, supervisor_settings

pytestmark = pytest.mark.slow

BOUNDS: dict[str, dict[str, int]] = json.loads((Path(__file__).parent / "bounds.json").read_text())
CALLS = 200
FOR_A_SESSION = "functions of Python that are called for a session that is opened and ended"
EVERYBODYS = ("",)
"""Also the libraries', for it is theirs that an open is made of."""
MANY = 500
SESSIONS = 40
PR_SET_CHILD_SUBREAPER = 36

Made = Callable[[int], Awaitable[None]]
"""Makes so many calls, and returns when they are answered."""


def run(counting: Callable[[], Awaitable[None]]) -> None:
    """Run it on the loop that a gateway of its own process runs on: another takes other memory to read a socket."""
    anyio.run(counting, backend_options={"use_uvloop": has_uvloop()})


@pytest.fixture(scope="module", autouse=True)
def a_loop_that_has_run() -> None:
    """The first one makes a pipe for signals, which libuv keeps for the process's life."""
    anyio.run(anyio.sleep, 0, backend_options={"use_uvloop": has_uvloop()})


@asynccontextmanager
async def calling(door: str, directory: Path) -> AsyncIterator[Made]:
    """Makes calls of one session through `door`; some were made, so that what is kept for all of them is there."""
    async with gateway_here(directory) as port:
        client: Client = await anyio.to_thread.run_sync(CLIENTS[door], port)

        def make(count: int) -> None:
            for _ in range(count):
                client.call()

        try:
            await anyio.to_thread.run_sync(make, CALLS)
            yield lambda count: anyio.to_thread.run_sync(make, count)
        finally:
            await anyio.to_thread.run_sync(client.close)


@pytest.mark.parametrize("door", CLIENTS)
def test_a_call_takes_no_more_of_our_functions_than_it_did(door: str, tmp_path: Path) -> None:
    async def counting() -> None:
        async with calling(door, tmp_path) as make:
            with function_calls() as found:
                await make(CALLS)
        each = sum(found.values()) / CALLS
        most = {code.co_qualname: times / CALLS for code, times in found.most_common(40)}
        assert each <= BOUNDS["functions of ours that are called for each call of a tool"][door], (each, most)

    run(counting)


def test_opening_and_ending_a_session_takes_the_gateway_no_more_functions_than_it_did(tmp_path: Path) -> None:
    async def counting() -> None:
        async with gateway_here(tmp_path) as port:

            def make(count: int) -> None:
                for _ in range(count):
                    Streamable(port).end()

            await anyio.to_thread.run_sync(make, 5)
            with function_calls(EVERYBODYS) as found:
                await anyio.to_thread.run_sync(make, SESSIONS)
        assert _each(found) <= BOUNDS[FOR_A_SESSION]["gateway"], found.most_common(40)

    run(counting)


def test_opening_and_ending_a_session_takes_the_supervisor_no_more_functions_than_it_did() -> None:
    settings = supervisor_settings(server_spec("cat", command="cat"))

    async def counting() -> None:
        async with (
            grounded(settings) as (ground, rooms),
            running_children(settings, Announcer(), ground, rooms) as children,
        ):

            async def make(count: int) -> None:
                for _ in range(count):
                    child, *pipes = await children.open("cat", "test")
                    children.release(child.lease, Reason.CLIENT_CLOSED)
                    close_all(pipes)
                    await children.all_gone()

            await make(5)
            with function_calls(EVERYBODYS) as found:
                await make(SESSIONS)
        ours = Counter({code: times for code, times in found.items() if "meter.py" not in code.co_filename})
        assert _each(ours) <= BOUNDS[FOR_A_SESSION]["supervisor"], ours.most_common(40)

    with reaping_orphans():
        anyio.run(counting)


def _each(found: Counter[CodeType]) -> float:
    return sum(found.values()) / SESSIONS


@pytest.mark.parametrize("door", CLIENTS)
def test_a_call_takes_no_more_memory_while_it_is_made_than_it_did(door: str, tmp_path: Path) -> None:
    async def counting() -> None:
        async with calling(door, tmp_path) as make:
            tracemalloc.start()
            try:
                await make(CALLS)
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                gc.disable()  # how much waits for the collector is not what is asked
                await make(1)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                gc.enable()
                tracemalloc.stop()
        assert peak - before <= BOUNDS["bytes that are held at most while a tool is called"][door]

    run(counting)


@pytest.mark.parametrize("door", CLIENTS)
def test_nothing_is_left_of_a_call(door: str, tmp_path: Path) -> None:
    async def counting() -> None:
        async with calling(door, tmp_path) as make:
            gc.collect()
            before = sys.getallocatedblocks()
            await make(MANY)
            gc.collect()
            left = sys.getallocatedblocks() - before
        assert left < MANY / 2, f"{left} blocks are left of {MANY} calls"

    run(counting)


def test_an_idle_session_of_the_gateway_takes_no_more_memory_than_it_did(tmp_path: Path) -> None:
    async def counting() -> None:
        async with gateway_here(tmp_path) as port:

            def make(count: int) -> None:
                for _ in range(count):
                    client = CLIENTS["Streamable HTTP"](port)
                    client.call()
                    client.close()

            await anyio.to_thread.run_sync(make, 5)
            each = await _traced(make, SESSIONS)
        assert each <= BOUNDS["bytes of an idle session"]["gateway"]

    run(counting)


async def _traced(make: Callable[[int], None], count: int) -> float:
    """The bytes that are left of each of `count` things that are made."""
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        await anyio.to_thread.run_sync(make, count)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return (after - before) / count


def test_an_idle_session_of_the_supervisor_takes_no_more_memory_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Meter, "run", lambda _: anyio.sleep_forever())  # it would hold what it looks at just then
    settings = supervisor_settings(server_spec("cat", command="cat"), max_sessions=2 * SESSIONS)
    pipes: list[int] = []

    async def counting() -> None:
        async with (
            grounded(settings) as (ground, rooms),
            running_children(settings, Announcer(), ground, rooms) as children,
        ):

            async def make(count: int) -> None:
                for _ in range(count):
                    _, *both = await children.open("cat", "test")
                    pipes.extend(both)
                await children._meter._look_at_all()  # what it keeps of each is counted, whenever it would look

            await make(5)
            tracemalloc.start()
            try:
                gc.collect()
                before, _ = tracemalloc.get_traced_memory()
                await make(SESSIONS)
                gc.collect()
                each = (tracemalloc.get_traced_memory()[0] - before) / SESSIONS
            finally:
                tracemalloc.stop()
                for pipe in pipes:
                    os.close(pipe)
        assert each <= BOUNDS["bytes of an idle session"]["supervisor"]

    with reaping_orphans():
        anyio.run(counting)


@contextmanager
def reaping_orphans() -> Iterator[None]:
    """As the supervisor does."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)
