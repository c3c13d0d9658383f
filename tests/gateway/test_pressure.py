"""Full streams: the child is not read while there is one, and a client that takes nothing is cut off."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from gateway.outbox import HIGH_WATER, Outbox
from gateway.pressure import Pressure
from tests.support.processes import PATIENCE

PIECE = b"x" * (HIGH_WATER // 2 + 1)


class Told:
    """What the pressure has asked for, in order; whoever is cut off is discarded, as the session would do it."""

    def __init__(self, patience: float = PATIENCE, longest: float = PATIENCE) -> None:
        self.said: list[str] = []
        self.cut = anyio.Event()
        self.pressure = Pressure(
            pause=lambda: self.said.append("pause"),
            resume=lambda: self.said.append("resume"),
            cut_off=self.cut_off,
            patience=patience,
            longest=longest,
        )

    def cut_off(self, outbox: Outbox) -> None:
        self.said.append("cut off")
        outbox.discard()
        self.cut.set()

    def full(self) -> Outbox:
        """An outbox with more in it than is good: two messages."""
        outbox = Outbox(self.pressure.on_level)
        outbox.put(PIECE)
        outbox.put(PIECE)
        return outbox

    async def until_cut(self) -> None:
        with anyio.fail_after(PATIENCE):
            await self.cut.wait()


@contextmanager
def patient() -> Iterator[Told]:
    """One that cuts nobody off while the test lasts."""
    here = Told()
    try:
        yield here
    finally:
        here.pressure.end()


async def test_the_child_waits_for_the_slowest_of_its_clients() -> None:
    with patient() as told:
        first, second = told.full(), told.full()
        assert repr(told.pressure) == "<Pressure of 2 full streams>"
        for outbox in (first, second):
            assert told.said == ["pause", "pause"]
            assert await outbox.take(0) == PIECE
            assert await outbox.take(0) == PIECE
        assert told.said == ["pause", "pause", "resume"]


async def test_who_hangs_up_holds_up_nobody() -> None:
    with patient() as told:
        told.full().discard()
        assert told.said == ["pause", "resume"]


async def test_who_takes_nothing_is_cut_off_and_the_child_goes_on() -> None:
    told = Told(patience=0.001)
    outbox = told.full()
    await told.until_cut()
    assert told.said == ["pause", "cut off", "resume"]
    assert outbox.waiting == 0


async def test_who_takes_something_is_waited_for_once_more() -> None:
    told = Told(patience=0.001)
    slow, dead = told.full(), told.full()
    slow.put(PIECE)
    assert await slow.take(0) == PIECE
    await told.until_cut()
    assert (slow.waiting, dead.waiting) == (2, 0)
    told.cut = anyio.Event()
    await told.until_cut()
    assert slow.waiting == 0
    assert told.said == ["pause", "pause", "cut off", "cut off", "resume"]


async def test_who_takes_a_little_again_and_again_is_cut_off_in_the_end() -> None:
    told = Told(patience=0.001, longest=0.01)
    slow = Outbox(told.pressure.on_level)
    for _ in range(HIGH_WATER // 10):
        slow.put(b"a small one")
    with anyio.fail_after(PATIENCE):
        while not told.cut.is_set():
            assert await slow.take(0) is not None
            await anyio.lowlevel.checkpoint()
    assert told.said == ["pause", "cut off", "resume"]


async def test_after_the_end_nobody_is_cut_off() -> None:
    ended, other = Told(patience=0.001), Told(patience=0.001)
    ended.full()
    ended.pressure.end()
    other.full()
    await other.until_cut()
    assert ended.said == ["pause"]
