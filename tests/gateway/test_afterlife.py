"""Sessions that have ended, and the streams that outlive them."""

import gc

import pytest
from anyio import EndOfStream

from common.reasons import Reason
from gateway.afterlife import REMEMBERED, STREAMS, Afterlife
from gateway.outbox import Outbox

ANN, BOB = ("ann", "fs", "streamable"), ("bob", "fs", "streamable")


def is_open(outbox: Outbox) -> bool:
    return "open" in repr(outbox)


def test_only_the_owner_is_told_why_a_session_ended() -> None:
    afterlife = Afterlife()
    afterlife.remember("1", ANN, Reason.CHILD_EXITED)
    assert afterlife.why("1", ANN) is Reason.CHILD_EXITED
    assert (afterlife.why("1", BOB), afterlife.why("2", ANN)) == (None, None)


def test_the_oldest_is_forgotten() -> None:
    afterlife = Afterlife()
    for number in range(REMEMBERED + 1):
        afterlife.remember(str(number), ANN, Reason.IDLE_TIMEOUT)
    assert not afterlife.was_idle("0", ANN)
    assert afterlife.was_idle("1", ANN)
    assert afterlife.was_idle(str(REMEMBERED), ANN)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.IDLE_TIMEOUT])
def test_what_ended_for_another_reason_than_idleness_has_no_stream(reason: Reason) -> None:
    afterlife = Afterlife()
    afterlife.remember("1", ANN, reason)
    assert not afterlife.was_idle("1", ANN)


def test_somebody_elses_session_has_no_stream_either() -> None:
    afterlife = Afterlife()
    afterlife.remember("1", ANN, Reason.IDLE_TIMEOUT)
    assert not afterlife.was_idle("1", BOB)


def test_a_stream_goes_on_when_its_id_is_forgotten() -> None:
    afterlife = Afterlife()
    outbox = Outbox(stands=True)
    afterlife.keep_stream("0", outbox)
    for number in range(REMEMBERED + 1):
        afterlife.remember(str(number), ANN, Reason.IDLE_TIMEOUT)
    assert is_open(outbox)


async def test_a_new_stream_takes_the_place_of_the_one_before() -> None:
    afterlife = Afterlife()
    kept = Outbox(stands=True)
    afterlife.keep_stream("1", kept)
    new = afterlife.new_stream("1")
    with pytest.raises(EndOfStream):
        await kept.take(0)
    assert is_open(new)
    afterlife.leave("1", kept)  # late: the new one stays known
    afterlife.end()
    assert not is_open(new)


def test_a_requests_stream_takes_no_place_of_the_standing_one_and_they_are_few() -> None:
    afterlife = Afterlife()
    standing, request, again = (afterlife.new_stream("1", number) for number in (None, 7, 7))
    assert [is_open(each) for each in (standing, request, again)] == [True, False, True]
    afterlife.leave("1", again, 7)
    others = [afterlife.new_stream("1", number) for number in range(10 * STREAMS)]
    assert is_open(standing)
    assert sum(map(is_open, others)) == STREAMS


def test_at_the_end_every_stream_is_closed_and_none_is_opened() -> None:
    afterlife = Afterlife()
    afterlife.remember("1", ANN, Reason.IDLE_TIMEOUT)
    one, late = afterlife.new_stream("1"), Outbox(stands=True)
    afterlife.end()
    afterlife.keep_stream("2", late)
    assert not is_open(one)
    assert not is_open(late)
    assert not afterlife.was_idle("1", ANN)


def test_a_stream_that_was_left_or_never_begun_is_not_kept() -> None:
    afterlife = Afterlife()
    left = afterlife.new_stream("1")
    afterlife.leave("1", left)
    afterlife.new_stream("2")
    gc.collect()
    assert repr(afterlife) == "<Afterlife: 0 ended, 0 streams>"
