"""What is kept of streams, and what event ids say."""

from collections import Counter

import pytest

from gateway.events import (
    EVENT_BYTES,
    FINISHED_STREAMS,
    SESSION_BYTES,
    STREAM_BYTES,
    STREAM_EVENTS,
    Event,
    EventStore,
    Kind,
    Log,
    Place,
    read_id,
    write_id,
)


def store() -> EventStore:
    """An empty one, of the second gateway."""
    return EventStore(1, Counter())


def data(events: list[Event]) -> list[bytes]:
    """The messages of events."""
    return [bytes(event.data) for event in events]


def take_all(log: Log) -> None:
    """A client takes all that is in a log."""
    for event in log.after(0):
        log.take(event)


@pytest.mark.parametrize(
    "place",
    [
        Place(Kind.REQUEST, 0, 1, 0),
        Place(Kind.REQUEST, 7, 12, 345, b"1"),
        Place(Kind.STANDING, 0, 3, 9),
        Place(Kind.OVER, 0, 3, 9, b'"1"'),
        Place(Kind.REQUEST, 0, 1, 1, b"-1.5"),
        Place(Kind.REQUEST, 0, 1, 1, rb'"\n\u2603"'),
    ],
)
def test_an_id_names_a_place_in_visible_ascii(place: Place) -> None:
    id_ = write_id(place)
    assert id_.decode("ascii").isprintable()
    assert b" " not in id_
    read = read_id(id_.decode())
    assert read is not None
    assert (read.kind, read.run, read.stream, read.number) == (place.kind, place.run, place.stream, place.number)
    assert bool(read.request) == bool(place.request)


@pytest.mark.parametrize(
    "text",
    ["", "x", "1", "r1-2", "r1-2-3-", "q1-2-3", "r-1-2-3", "r1-2-3\n", "r\u0661-2-3", "r1-2-" + "9" * 16, "r1-2-3 4"],
)
def test_what_is_no_id_of_ours_names_nothing(text: str) -> None:
    assert read_id(text) is None


@pytest.mark.parametrize("request_id", ["AA", "bnVsbA", "dHJ1ZQ", "W10", "e30", "_w", "MQoK", "A", "IjEKMiI"])
def test_only_a_number_or_a_text_is_taken_for_a_requests_id_and_never_a_line_break(request_id: str) -> None:
    place = read_id(f"r0-1-2-{request_id}")
    assert place is not None
    assert place.request in (b"", b"1")


@pytest.mark.parametrize("request_id", [b"1.50", b"1e2", b"-0", b"12345678901234567890123"])
def test_a_number_is_found_again_as_it_was_written(request_id: bytes) -> None:
    kept = store()
    log = kept.open(1, Kind.REQUEST, request_id)
    place = read_id(log.id_of(0).decode())
    assert place is not None
    assert (place.request, kept.find(place)) == (request_id, log)


def test_what_came_after_an_event_is_given_again_and_nothing_of_other_streams() -> None:
    kept = store()
    one, two = kept.open(1, Kind.REQUEST, b"5"), kept.open(2, Kind.REQUEST)
    first, other, second = one.add(b"first"), two.add(b"other"), one.add(b"second")
    place = read_id(first.id.decode())
    assert place == Place(Kind.REQUEST, 1, 1, 1, b"5")
    assert kept.find(place) is one
    assert one.after(place.number) == [second]
    assert one.after(0) == [first, second]
    assert two.after(0) == [other]


@pytest.mark.parametrize(
    "place",
    [
        Place(Kind.REQUEST, 0, 1, 1),
        Place(Kind.REQUEST, 1, 2, 1),
        Place(Kind.STANDING, 1, 1, 1),
        Place(Kind.OVER, 1, 1, 1),
        Place(Kind.REQUEST, 1, 1, 2),
        Place(Kind.REQUEST, 1, 1, 1, b"7"),
    ],
)
def test_an_id_that_was_never_given_out_names_no_stream(place: Place) -> None:
    kept = store()
    kept.open(1, Kind.REQUEST).add(b"first")
    assert kept.find(place) is None
    assert kept.find(Place(Kind.REQUEST, 1, 1, 1)) is not None


def test_of_a_stream_the_newest_messages_are_kept_and_what_nobody_took_is_counted() -> None:
    kept = store()
    log = kept.open(1, Kind.REQUEST)
    first = log.add(b"0")
    log.take(first)
    for number in range(1, STREAM_EVENTS + 10):
        log.add(b"%d" % number)
    assert data(log.after(0)) == [b"%d" % number for number in range(10, STREAM_EVENTS + 10)]
    assert kept.counters == {"event_dropped": 9}


def test_the_answer_is_kept_however_long_it_is() -> None:
    kept = store()
    log = kept.open(1, Kind.REQUEST)
    log.add(b"x" * STREAM_BYTES)
    log.add(b"y")
    log.add(b"z" * (SESSION_BYTES + 1))
    log.finish()
    assert [len(each) for each in data(log.after(0))] == [SESSION_BYTES + 1]
    assert repr(kept) == f"<EventStore: 1 streams, {SESSION_BYTES + 1 + EVENT_BYTES} bytes>"


def test_what_it_costs_to_keep_many_small_messages_counts() -> None:
    kept = store()
    logs = [kept.open(stream, Kind.REQUEST) for stream in range(100)]
    for log in logs:
        for _ in range(STREAM_EVENTS):
            log.add(b"x")
    assert sum(len(log.after(0)) for log in logs) == SESSION_BYTES // (EVENT_BYTES + 1)


def test_for_a_new_message_that_goes_first_which_was_taken_then_what_is_no_answer_then_the_oldest_answer() -> None:
    kept = store()
    megabyte = b"x" * (SESSION_BYTES // 8)

    def add(stream: int, megabytes: int, *, is_answer: bool) -> Log:
        log = kept.open(stream, Kind.REQUEST)
        log.add((megabyte * megabytes)[EVENT_BYTES:])
        if is_answer:
            log.finish()
        return log

    untaken = add(1, 3, is_answer=True)
    taken = add(2, 1, is_answer=True)
    take_all(taken)
    report = add(3, 1, is_answer=False)
    left = []
    for stream, megabytes in ((4, 3), (5, 1), (6, 1), (7, 1)):
        add(stream, megabytes, is_answer=True)
        left.append([len(log.after(0)) for log in (untaken, taken, report)])
    assert left == [[1, 1, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]]
    assert kept.counters == {"event_dropped": 2}


def test_streams_that_have_ended_are_forgotten_beyond_a_number_and_others_are_not() -> None:
    kept = store()
    running = kept.open(1, Kind.REQUEST)
    for stream in range(2, FINISHED_STREAMS + 5):
        log = kept.open(stream, Kind.REQUEST)
        log.add(b"answer")
        log.finish()
    assert kept.find(Place(Kind.REQUEST, 1, 1, 0)) is running
    assert [kept.find(Place(Kind.REQUEST, 1, stream, 1)) is None for stream in (2, 4, 5)] == [True, True, False]
    assert kept.counters == {"event_dropped": 3}


def test_of_standing_streams_the_last_two_are_kept() -> None:
    kept = store()
    for stream in (1, 2, 3):
        kept.open(stream, Kind.STANDING).add(b"news")
    assert [kept.find(Place(Kind.STANDING, 1, stream, 0)) is not None for stream in (1, 2, 3)] == [False, True, True]


def test_who_waits_for_an_answer_that_is_not_kept_is_told_so_once() -> None:
    kept = store()
    told = kept.lost(Place(Kind.REQUEST, 0, 9, 4, b'"abc"'))
    assert told is not None
    assert bytes(told.data).startswith(b'{"jsonrpc":"2.0","id":"abc","error":{"code":-32000,')
    place = read_id(told.id.decode())
    assert place is not None
    assert place.kind is Kind.OVER
    assert kept.find(place) is None
    assert kept.lost(place) is None
    assert kept.lost(Place(Kind.REQUEST, 0, 9, 4)) is None


def test_a_long_id_of_a_request_is_in_no_event_id() -> None:
    log = store().open(1, Kind.REQUEST, b'"' + b"x" * 100 + b'"')
    assert log.add(b"data").id == b"r1-1-1"
