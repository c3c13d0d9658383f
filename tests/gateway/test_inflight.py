"""Requests in flight hold a session, are noted, and are waited for a bounded time."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from gateway.drain import CallsInFlight
from gateway.hotstate import HotState, UnderWay
from gateway.inflight import InFlight
from tests.support.processes import PATIENCE

LEASE = 7


class Told:
    """What those in flight have asked for, in order, and what is noted of them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.calls = CallsInFlight()
        self.notes = HotState.create()
        self.expired = anyio.Event()
        self.in_flight = InFlight(
            expire=self.expire,
            hold=lambda: self.said.append("hold"),
            unhold=lambda: self.said.append("unhold"),
            calls=self.calls,
            notes=self.notes.slot(LEASE),
        )

    def expire(self, call: int, patience: float) -> None:
        self.said.append(f"{call} after {patience:g}")
        self.expired.set()


@contextmanager
def listening() -> Iterator[Told]:
    """One, whose memory for notes is given back afterwards."""
    here = Told()
    try:
        yield here
    finally:
        here.notes.close()


async def test_each_call_holds_the_session_and_counts_until_it_is_over() -> None:
    with listening() as told:
        told.in_flight.begin(1, PATIENCE)
        told.in_flight.begin(2, PATIENCE)
        assert (told.said, told.calls.count, repr(told.in_flight)) == (["hold", "hold"], 2, "<InFlight: 2>")
        for _ in range(2):
            told.in_flight.finish(1)
            assert (told.said, told.calls.count) == (["hold", "hold", "unhold"], 1)
        told.in_flight.finish(2)
        assert (told.said[3:], told.calls.count) == (["unhold"], 0)
        told.in_flight.finish(3)
        assert repr(told.in_flight) == "<InFlight: 0>"


async def test_a_call_expires_once_and_holds_until_it_is_finished() -> None:
    with listening() as told:
        told.in_flight.begin(1, 0.001)
        with anyio.fail_after(PATIENCE):
            await told.expired.wait()
        assert told.said == ["hold", "1 after 0.001"]
        told.in_flight.finish(1)
        assert (told.said[2:], told.calls.count) == (["unhold"], 0)


async def test_a_call_that_was_answered_does_not_expire() -> None:
    with listening() as told:
        told.in_flight.begin(1, 0.001)
        told.in_flight.finish(1)
        told.in_flight.begin(2, 0.001)
        with anyio.fail_after(PATIENCE):
            await told.expired.wait()
        assert told.said == ["hold", "unhold", "hold", "2 after 0.001"]
        told.in_flight.finish(2)


async def test_a_call_that_may_take_for_ever_keeps_no_gateway_from_leaving() -> None:
    with listening() as told:
        told.in_flight.begin(1, None)
        assert (told.said, told.calls.count) == (["hold"], 0)
        told.in_flight.finish(1)
        assert (told.said, told.calls.count) == (["hold", "unhold"], 0)


async def test_what_was_in_flight_when_the_gateway_left_stays_noted() -> None:
    with listening() as told:
        for call in (1, 2, 3):
            told.in_flight.begin(call, None)
        told.in_flight.finish(2)
        told.in_flight.leave()
        told.in_flight.finish(1)
        told.in_flight.close()
        assert told.notes.take_over(LEASE) == UnderWay(calls=(1, 3))


async def test_with_the_lease_the_notes_end() -> None:
    with listening() as told:
        told.in_flight.begin(1, None)
        told.in_flight.close()
        assert told.notes.take_over(LEASE) == UnderWay()
