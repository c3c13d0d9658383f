"""When a lease is idle: a clock made by hand, and a child of which nothing else is there."""

import asyncio
from types import SimpleNamespace

import pytest

from supervisor import clocks
from supervisor.child import Child
from supervisor.clocks import Clocks
from supervisor.protocol import Expiring

IDLE_TIMEOUT = 10


class Hands:
    """The time, and what the clocks have asked so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: list[int] = []
        self.clocks = Clocks(self._ask, lambda *_: None)

    def _ask(self, message: Expiring) -> None:
        self.asked.append(message.lease)

    def look(self, child: Child, at: float) -> list[int]:
        """Who was asked so far, once the idle clock of `child` has been looked at then."""
        self.now = at
        self.clocks.watch_idleness(child)
        assert child.idle_timer is not None
        child.idle_timer.cancel()
        return self.asked


@pytest.fixture
async def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    asyncio.get_running_loop()
    made = Hands()
    monkeypatch.setattr(clocks, "time", SimpleNamespace(monotonic=lambda: made.now))
    return made


@pytest.fixture
def child() -> Child:
    spec = SimpleNamespace(idle_timeout=IDLE_TIMEOUT)
    made: Child = SimpleNamespace(lease=7, spec=spec, last_used=0.0, held=False, idle_timer=None)  # type: ignore[assignment]
    return made


async def test_a_lease_that_nobody_uses_is_asked_for_after_its_time(hands: Hands, child: Child) -> None:
    assert hands.look(child, 9) == []
    assert hands.look(child, 10) == [7]


async def test_one_word_of_the_gateway_keeps_what_it_holds_and_nothing_else(hands: Hands, child: Child) -> None:
    hands.now = 5
    hands.clocks.renewed()
    assert hands.look(child, 10) == [7]
    hands.asked.clear()
    child.held = True
    assert hands.look(child, 14) == []


async def test_a_gateway_that_says_nothing_any_more_loses_what_it_holds(hands: Hands, child: Child) -> None:
    child.held = True
    hands.now = 5
    hands.clocks.renewed()
    assert hands.look(child, 15) == [7]


async def test_what_a_gateway_held_that_is_gone_was_used_until_its_last_word(hands: Hands, child: Child) -> None:
    child.held = True
    hands.now = 5
    hands.clocks.renewed()
    hands.now = 8
    hands.clocks.stop_idling(child)
    assert (child.held, child.last_used) == (False, 5)
    hands.clocks.renewed()  # of another gateway, which does not hold it
    assert hands.look(child, 15) == [7]
