"""Messages on their way to a client: taken in order, at the client's pace."""

from collections import Counter
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest

from gateway.events import Event, EventStore, Kind, Log
from gateway.large import Data
from gateway.outbox import HIGH_WATER, LOW_WATER, Outbox
from tests.support.processes import PATIENCE

AT_ONCE = 0.0


async def taken(outbox: Outbox) -> list[bytes]:
    """All that can be taken of a closed outbox."""
    messages = []
    with anyio.fail_after(PATIENCE):
        try:
            while (data := await outbox.take(PATIENCE)) is not None:
                messages.append(bytes(data))
        except anyio.EndOfStream:
            return messages
    raise AssertionError("it has no end")


async def test_messages_are_taken_in_order_and_then_it_ends() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    outbox.put(b"two")
    outbox.close()
    assert await taken(outbox) == [b"one", b"two"]
    assert outbox.taken == 2


async def test_the_end_is_the_end_however_often_it_is_asked_for() -> None:
    outbox = Outbox()
    outbox.close()
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await outbox.take(PATIENCE)


async def test_whoever_waits_gets_the_message_that_comes() -> None:
    outbox = Outbox()
    got: list[Data | None] = []

    async def wait() -> None:
        got.append(await outbox.take(PATIENCE))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            assert got == []
            outbox.put(b"one")
    assert got == [b"one"]


async def test_whoever_has_taken_a_message_waits_for_the_next_one() -> None:
    outbox = Outbox()
    got: list[Data | None] = []

    async def take_two() -> None:
        got.append(await outbox.take(PATIENCE))
        got.append(await outbox.take(PATIENCE))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take_two)
            await anyio.lowlevel.checkpoint()
            outbox.put(b"one")
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            assert got == [b"one"]
            outbox.put(b"two")
    assert got == [b"one", b"two"]


@pytest.mark.parametrize("end", [Outbox.close, Outbox.discard])
async def test_whoever_waits_learns_of_the_end(end: Callable[[Outbox], None]) -> None:
    outbox = Outbox()

    async def wait() -> None:
        with pytest.raises(anyio.EndOfStream):
            await outbox.take(PATIENCE)

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            end(outbox)


async def test_where_nothing_came_in_time_there_is_nothing_and_no_end() -> None:
    outbox = Outbox()
    assert await outbox.take(AT_ONCE) is None
    outbox.put(b"late")
    assert await outbox.take(AT_ONCE) == b"late"
    assert outbox.taken == 1


async def test_a_closed_outbox_takes_nothing_in() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    outbox.close()
    outbox.put(b"two")
    assert await taken(outbox) == [b"one"]


async def test_a_discarded_outbox_drops_what_it_holds_and_what_comes() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    outbox.discard()
    outbox.put(b"two")
    assert await taken(outbox) == []
    assert outbox.taken == 0


# How full it is.


class Levels:
    """What an outbox told of its level."""

    def __init__(self) -> None:
        self.told: list[bool] = []
        self.outbox = Outbox(self.on_level)

    def on_level(self, outbox: Outbox, full: bool) -> None:
        assert outbox is self.outbox
        self.told.append(full)


async def test_it_is_full_above_the_high_mark_and_says_so_once() -> None:
    levels = Levels()
    levels.outbox.put(b"x" * HIGH_WATER)
    assert levels.told == []
    levels.outbox.put(b"x")
    assert levels.told == [True]
    levels.outbox.put(b"x")
    assert levels.told == [True]


async def test_it_is_full_until_it_has_sunk_to_the_low_mark() -> None:
    levels = Levels()
    for size in (HIGH_WATER, 1, LOW_WATER):
        levels.outbox.put(b"x" * size)
    await levels.outbox.take(AT_ONCE)
    assert levels.told == [True]
    await levels.outbox.take(AT_ONCE)
    assert levels.told == [True, False]
    await levels.outbox.take(AT_ONCE)
    assert levels.told == [True, False]


async def test_it_may_fill_again() -> None:
    levels = Levels()
    for _ in range(2):
        levels.outbox.put(b"x" * (HIGH_WATER + 1))
        await levels.outbox.take(AT_ONCE)
    assert levels.told == [True, False, True, False]


async def test_discarding_what_filled_it_counts_as_sinking() -> None:
    levels = Levels()
    levels.outbox.put(b"x" * (HIGH_WATER + 1))
    levels.outbox.discard()
    assert levels.told == [True, False]


async def test_a_message_is_never_refused_however_full_it_is() -> None:
    outbox = Outbox()
    for _ in range(3):
        outbox.put(b"x" * HIGH_WATER)
    outbox.close()
    assert [len(data) for data in await taken(outbox)] == [HIGH_WATER] * 3


# Whether one message is all.


async def test_one_message_and_the_end_settle_it() -> None:
    outbox = Outbox()
    outbox.put(b"answer")
    outbox.close()
    assert await outbox.settle(PATIENCE)
    assert await taken(outbox) == [b"answer"]


async def test_the_end_alone_settles_it() -> None:
    outbox = Outbox()
    outbox.close()
    assert await outbox.settle(PATIENCE)


async def test_a_message_without_an_end_does_not_settle_it() -> None:
    outbox = Outbox()
    outbox.put(b"progress")
    assert not await outbox.settle(PATIENCE)


async def test_two_messages_do_not_settle_it() -> None:
    outbox = Outbox()
    outbox.put(b"progress")
    outbox.put(b"answer")
    outbox.close()
    assert not await outbox.settle(PATIENCE)


async def test_nothing_in_time_does_not_settle_it() -> None:
    assert not await Outbox().settle(AT_ONCE)


async def test_settling_waits_for_the_answer() -> None:
    outbox = Outbox()
    settled: list[bool] = []

    async def wait() -> None:
        settled.append(await outbox.settle(PATIENCE))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            outbox.put(b"answer")
            outbox.close()
    assert settled == [True]


async def test_an_outbox_says_what_it_is() -> None:
    outbox = Outbox(stands=True)
    outbox.put(b"one")
    assert repr(outbox) == "<Outbox open: 1 messages, 3 bytes>"
    outbox.close()
    assert repr(outbox) == "<Outbox closed: 1 messages, 3 bytes>"
    assert outbox.stands
    assert outbox.failure is None


# Outboxes that are recorded.


def recorded(stream: int = 1, *, stands: bool = False) -> tuple[Outbox, Log]:
    """An outbox, and the log of its stream."""
    outbox = Outbox(stands=stands)
    log = EventStore(0, Counter()).open(stream, Kind.STANDING if stands else Kind.REQUEST)
    outbox.record(log)
    return outbox, log


async def test_what_is_here_when_recording_begins_has_its_id_too() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    log = EventStore(0, Counter()).open(1, Kind.REQUEST)
    outbox.record(log)
    outbox.put(b"two")
    events = [await outbox.take_event(AT_ONCE) for _ in range(2)]
    assert events == [Event(b"one", b"r0-1-1", 1), Event(b"two", b"r0-1-2", 2)] == log.after(0)
    assert log.taken == 2


async def test_an_answer_that_is_complete_when_recording_begins_ends_the_log() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    outbox.close()
    log = EventStore(0, Counter()).open(1, Kind.REQUEST)
    outbox.record(log)
    assert log.finished
    assert await taken(outbox) == [b"one"]


async def test_what_comes_after_the_client_has_left_is_there_for_the_next_outbox() -> None:
    outbox, log = recorded()
    outbox.put(b"one")
    outbox.discard()
    outbox.put(b"two")
    assert outbox.waiting == 0
    after = Outbox()
    after.go_on(log, 1)
    assert after.waiting == 1
    assert not log.finished
    after.put(b"three")
    after.close()
    assert log.finished
    assert await taken(after) == [b"two", b"three"]
    late = Outbox()
    late.go_on(log, 0)
    assert await taken(late) == [b"one", b"two", b"three"]


async def test_a_standing_stream_that_is_closed_may_go_on_in_another_outbox() -> None:
    outbox, log = recorded(stands=True)
    outbox.put(b"one")
    outbox.close()
    assert not log.finished
    outbox.put(b"two")
    assert [event.data for event in log.after(0)] == [b"one"]


async def test_an_end_is_waited_for_with_all_that_comes_before_it() -> None:
    outbox = Outbox()
    outbox.put(b"one")
    assert not await outbox.end(AT_ONCE)
    ended: list[bool] = []

    async def wait() -> None:
        ended.append(await outbox.end(PATIENCE))

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            outbox.put(b"two")
            await anyio.lowlevel.checkpoint()
            assert ended == []
            outbox.close()
    assert ended == [True]
    assert outbox.waiting == 2
