"""Clients that come back: which stream they get, and how it goes on."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.events import Kind, Place, write_id
from gateway.outbox import HIGH_WATER, Outbox
from gateway.redelivery import GIVEN_AGAIN, LINGERING, Redelivery
from tests.support.outboxes import left


@contextmanager
def redelivery(run: int = 0) -> Iterator[Redelivery]:
    """That of one session, which ends afterwards."""
    here = Redelivery(run, Counter(), Outbox)
    try:
        yield here
    finally:
        here.end()


async def test_a_stream_that_runs_goes_on_under_its_number() -> None:
    with redelivery() as here:
        outbox = Outbox()
        begins = here.record(outbox, 4, b"1")
        outbox.put(b"report")
        resumed = here.go_on(begins.decode())
        assert (resumed.stream, resumed.id) == (4, begins)
        assert await resumed.outbox.take(0) == b"report"
        assert await resumed.outbox.take(0) is None


async def test_a_stream_that_has_ended_gives_what_is_left_and_its_end() -> None:
    with redelivery() as here:
        outbox = Outbox()
        begins = here.record(outbox, 4)
        outbox.put(b"report")
        outbox.put(b"answer")
        outbox.close()
        for _ in range(2):
            resumed = here.go_on(begins.decode())
            assert resumed.stream is None
            assert await left(resumed.outbox) == [b"report", b"answer"]


async def test_where_nothing_is_left_the_stream_stays_open_and_of_too_many_the_oldest_ends() -> None:
    with redelivery() as here:
        outbox = Outbox()
        here.record(outbox, 4)
        outbox.put(b"answer")
        outbox.close()
        last = write_id(Place(Kind.REQUEST, 0, 4, 1)).decode()
        first = here.go_on(last)
        assert (first.stream, first.id.decode()) == (None, last)
        assert await first.outbox.take(0) is None
        others = [here.go_on(last) for _ in range(LINGERING)]
        assert await left(first.outbox) == []
        assert await others[0].outbox.take(0) is None
    for other in others:
        assert await left(other.outbox) == []


@pytest.mark.parametrize("place", [Place(Kind.REQUEST, 9, 4, 1, b"7"), Place(Kind.REQUEST, 0, 5, 1, b"7")])
async def test_who_waits_for_a_lost_answer_gets_an_error_once(place: Place) -> None:
    with redelivery() as here:
        lost = here.go_on(write_id(place).decode())
        event = await lost.outbox.take_event(0)
        assert event is not None
        assert bytes(event.data).startswith(b'{"jsonrpc":"2.0","id":7,"error":')
        assert await left(lost.outbox) == []
        again = here.go_on(event.id.decode())
        assert again.id == event.id, "without it the client comes back for the standing stream"
        assert await again.outbox.take(0) is None


async def test_who_cannot_take_the_rest_of_an_ended_stream_is_told_that_it_is_lost() -> None:
    with redelivery() as here:
        outbox = Outbox()
        begins = here.record(outbox, 4, b"7").decode()
        outbox.put(b"answer")
        outbox.close()
        for _ in range(GIVEN_AGAIN):
            assert await left(here.go_on(begins).outbox) == [b"answer"]
        event = await here.go_on(begins).outbox.take_event(0)
        assert event is not None
        assert b'"id":7,"error":' in bytes(event.data)
        assert await here.go_on(event.id.decode()).outbox.take(0) is None


async def test_the_child_waits_for_who_reads_a_stream_that_runs_and_not_for_one_that_has_ended() -> None:
    levels: list[bool] = []
    here = Redelivery(0, Counter(), lambda: Outbox(lambda _outbox, full: levels.append(full)))
    outbox = Outbox()
    begins = here.record(outbox, 4).decode()
    outbox.put(b"x" * (HIGH_WATER + 1))
    running = here.go_on(begins)
    assert levels == [True]
    running.outbox.close()
    here.go_on(begins)
    assert levels == [True]


async def test_what_is_left_of_a_stream_that_has_ended_is_given_to_one_at_a_time() -> None:
    with redelivery() as here:
        outbox, other = Outbox(), Outbox()
        begins, others = here.record(outbox, 4), here.record(other, 5)
        for each in (outbox, other):
            each.put(b"answer")
            each.close()
        first, elsewhere, second = (here.go_on(each.decode()) for each in (begins, others, begins))
        assert await left(first.outbox) == []
        assert await left(second.outbox) == await left(elsewhere.outbox) == [b"answer"]


@pytest.mark.parametrize(
    ("last_event_id", "stands"), [("s0-1-1", True), ("", True), ("x", True), ("r0-1-1", False), ("o0-1-1", False)]
)
async def test_who_names_no_request_wants_the_standing_stream(last_event_id: str, stands: bool) -> None:
    with redelivery() as here:
        assert here.stands(last_event_id) is stands


async def test_the_standing_stream_goes_on_in_another_outbox() -> None:
    with redelivery() as here:
        outbox = Outbox(stands=True)
        begins = here.record(outbox, 2)
        outbox.put(b"news")
        outbox.close()
        after = Outbox(stands=True)
        resumed = here.go_on_standing(begins.decode(), after)
        assert resumed is not None
        assert (resumed.outbox, resumed.stream, resumed.id) == (after, 2, begins)
        after.put(b"more")
        assert [await after.take(0), await after.take(0), await after.take(0)] == [b"news", b"more", None]
        assert here.go_on_standing("s9-2-0", Outbox(stands=True)) is None
        assert here.go_on_standing("nonsense", Outbox(stands=True)) is None
