"""Many deadlines of the same length."""

import asyncio
from collections.abc import Callable

import anyio
import pytest

from gateway.lane.clock import Clock
from tests.support.processes import PATIENCE


class Loop(asyncio.BaseEventLoop):
    """A loop whose time is the test's, with its timers."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[asyncio.TimerHandle] = []

    def __del__(self) -> None:
        """It never ran."""

    def get_debug(self) -> bool:
        return False

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: object = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self)
        self.timers.append(handle)
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def pass_to(self, now: float) -> None:
        while due := [each for each in self.timers if each.when() <= now]:
            first = min(due, key=asyncio.TimerHandle.when)
            self.timers.remove(first)
            self.now = max(self.now, first.when())
            first._run()
        self.now = now


@pytest.fixture
def loop() -> Loop:
    return Loop()


def test_each_rings_after_its_own_time_with_one_timer_for_all(loop: Loop) -> None:
    rung: list[tuple[str, float]] = []
    clock: Clock[str] = Clock(loop, 10, lambda each: rung.append((each, loop.time())))
    for now, each in ((100, "a"), (103, "b"), (104, "c")):
        loop.pass_to(now)
        clock.start(each)
        assert len(loop.timers) == 1
    clock.stop("b")
    loop.pass_to(109)
    clock.start("a")
    loop.pass_to(200)
    assert rung == [("c", 114), ("a", 119)]
    assert loop.timers == []


def test_what_rings_may_be_started_again(loop: Loop) -> None:
    rung: list[float] = []

    def ring(each: str) -> None:
        rung.append(loop.time())
        clock.start(each)

    clock: Clock[str] = Clock(loop, 10, ring)
    clock.start("a")
    loop.pass_to(135)
    assert rung == [110, 120, 130]
    clock.close()
    assert loop.timers == []
    assert "0" in repr(clock)


async def test_a_loop_whose_timers_are_early_does_not_hang() -> None:
    done = anyio.Event()
    clock: Clock[int] = Clock(asyncio.get_running_loop(), 0.0101, lambda _: done.set())
    clock.start(1)
    with anyio.fail_after(PATIENCE):
        await done.wait()
    clock.close()
