"""The streams of one session: their numbers, the standing one, their ends, and clients that come back."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.pressure import Pressure
from gateway.streams import Streams
from tests.support.outboxes import left

LATE = GatewayError(Reason.REQUEST_TIMEOUT, "too slow")


def nothing(*_: object) -> None:
    """For whom nothing is slow."""


@contextmanager
def streams(*, resumable: bool = True) -> Iterator[Streams]:
    """Those of one session, which ends afterwards."""
    here = Streams(0, Counter(), Pressure(pause=nothing, resume=nothing, cut_off=nothing), resumable=resumable)
    try:
        yield here
    finally:
        here.end()


async def test_a_stream_keeps_its_number_and_none_is_given_twice() -> None:
    with streams() as here:
        first, second = here.new(), here.new()
        assert [here.number(first), here.number(second), here.number(first)] == [1, 2, 1]
        here.finish(1)
        assert here.number(here.new()) == 3
        assert repr(here) == "<Streams: 2 of 3, <Pressure of 0 full streams>>"


async def test_a_stream_ends_with_the_last_answer_that_it_waits_for() -> None:
    with streams() as here:
        outbox = here.new()
        outbox.awaits = 2
        number = here.number(outbox)
        here.put(number, b"report")
        here.answer(number, b"one", None)
        here.finish(number)
        assert [await outbox.take(0), await outbox.take(0), await outbox.take(0)] == [b"report", b"one", None]
        here.answer(number, b"two", LATE)
        here.finish(number)
        assert outbox.failure is LATE
        assert await left(outbox) == [b"two"]
        here.put(number, b"for nobody")
        here.answer(number, b"for nobody", None)
        here.finish(number)


async def test_the_standing_stream_outlives_answers_and_gives_way_to_the_next_one() -> None:
    with streams() as here:
        first, second = here.new(stands=True), here.new(stands=True)
        number = here.stand(first)
        here.answer(number, b"answer", None)
        here.finish(number)
        assert [await first.take(0), await first.take(0)] == [b"answer", None]
        assert here.stand(second) != number
        assert here.standing is second
        assert await left(first) == []
        assert here.hang_up(first) == [number]
        assert here.standing is second


@pytest.mark.parametrize("resumable", [True, False])
async def test_who_hangs_up_is_forgotten_unless_the_stream_is_recorded(resumable: bool) -> None:
    with streams(resumable=resumable) as here:
        outbox = here.new()
        number = here.number(outbox)
        begins = here.record(outbox)
        assert bool(begins) is resumable
        assert here.hang_up(outbox) == [number]
        assert here.hang_up(outbox) == ([number] if resumable else [])


async def test_a_client_that_comes_back_hears_what_it_has_missed_and_the_rest() -> None:
    with streams() as here:
        before = here.new()
        before.awaits = 2
        number = here.number(before)
        begins = here.record(before, b"1").decode()
        here.put(number, b"report")
        here.hang_up(before)
        here.put(number, b"missed")
        assert not here.wants_standing(begins)
        resumed = here.go_on(begins)
        assert (resumed.stream, resumed.outbox.awaits) == (number, 2)
        assert here.number(resumed.outbox) == number
        for answer in (b"one", b"two"):
            here.answer(number, answer, None)
            here.finish(number)
        assert await left(resumed.outbox) == [b"report", b"missed", b"one", b"two"]
        again = here.go_on(begins)
        assert again.stream is None
        assert await left(again.outbox) == [b"report", b"missed", b"one", b"two"]


async def test_a_client_that_comes_back_takes_the_stream_from_the_connection_that_it_had() -> None:
    with streams() as here:
        before = here.new()
        here.number(before)
        begins = here.record(before, b"1").decode()
        here.go_on(begins)
        assert await left(before) == []
        assert here.hang_up(before) == []


async def test_the_standing_stream_goes_on_under_its_number() -> None:
    with streams() as here:
        before = here.new(stands=True)
        number = here.stand(before)
        begins = here.record(before).decode()
        here.put(number, b"news")
        assert here.wants_standing(begins)
        resumed = here.go_on_standing(begins)
        assert resumed is not None
        assert here.stand(resumed.outbox) == number
        assert await left(before) == [b"news"]
        assert await resumed.outbox.take(0) == b"news"


@pytest.mark.parametrize("last_event_id", [None, "", "nonsense", "s9-2-0"])
async def test_who_names_no_event_of_ours_wants_a_new_standing_stream(last_event_id: str | None) -> None:
    with streams() as here:
        assert here.wants_standing(last_event_id)
        assert here.go_on_standing(last_event_id) is None


async def test_where_nothing_is_recorded_whoever_comes_back_wants_the_standing_stream() -> None:
    with streams(resumable=False) as here:
        assert here.wants_standing("r0-1-1")
        assert here.go_on_standing("r0-1-1") is None


@pytest.mark.parametrize("spares", [True, False])
async def test_at_the_end_all_streams_end_but_a_standing_one_that_is_spared(spares: bool) -> None:
    with streams() as here:
        outbox, standing = here.new(), here.new(stands=True)
        here.number(outbox)
        here.stand(standing)
        here.end(spare_standing=spares)
        assert await left(outbox) == []
        assert here.standing is standing
        if spares:
            assert await standing.take(0) is None
        else:
            assert await left(standing) == []
