"""The streams of one relay that clients may come back to.

A stream begins to be recorded when its event stream begins; an answer that is plain JSON never is. From then on what is
said there is kept (`gateway.events`), also while no client is connected, and whoever names one of its event ids gets an
outbox that goes on from there.

A client that comes back and for whom nothing is left is not answered with an end at once: the TypeScript SDK would come
back every second, and without an id the next time, which would take the standing stream from the one that has it. It
gets a stream that says nothing and ends after LINGER seconds.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from gateway.events import EventStore, Kind, Log, Place, read_id, write_id
from gateway.outbox import Outbox

LINGER: Final = 300.0
"""Seconds for which a stream on which nothing more will come stays open."""

GIVEN_AGAIN: Final = 8
"""How often the rest of a stream that has ended is given to who names a place before its end. A client that comes back
even then cannot take it, because it is too long for it, say, and would come back for it once a second for ever.
"""

LINGERING: Final = 16
"""Such streams of one session; one more ends the oldest."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What a client gets that comes back. `stream` is the number of the stream that goes on, None for one that is over.

    `id` is the event id that the client is to name if this stream breaks before its first message.
    """

    outbox: Outbox
    id: bytes
    stream: int | None = None


class Redelivery:
    """The recorded streams. `run` tells this gateway from others, `new_outbox` makes one that slows the child down."""

    def __init__(self, run: int, counters: Counter[str], new_outbox: Callable[[], Outbox]) -> None:
        self._store = EventStore(run, counters)
        self._new_outbox = new_outbox
        self._again: WeakValueDictionary[int, Outbox] = WeakValueDictionary()
        """Who is being given what is left of a stream that has ended, by its number."""
        self._lingering: list[tuple[Outbox, asyncio.TimerHandle]] = []

    def __repr__(self) -> str:
        return f"<Redelivery: {self._store!r}, {len(self._lingering)} lingering>"

    def record(self, outbox: Outbox, stream: int, request: bytes = b"") -> bytes:
        """Keep what is said on the stream with that number from now on; the event id of its beginning."""
        log = self._store.open(stream, Kind.STANDING if outbox.stands else Kind.REQUEST, request)
        outbox.record(log)
        return log.id_of(0)

    def stands(self, last_event_id: str) -> bool:
        """Whether who names that event id wants the standing stream; so does who names none of ours."""
        place = read_id(last_event_id)
        return place is None or place.kind is Kind.STANDING

    def go_on_standing(self, last_event_id: str, outbox: Outbox) -> Resumed | None:
        """Let the standing stream `outbox` begin with what came after that event; None where that one is not known."""
        place = read_id(last_event_id)
        log = self._store.find(place) if place is not None else None
        if place is None or log is None:
            return None
        outbox.go_on(log, place.number)
        return Resumed(outbox, log.id_of(place.number), place.stream)

    def go_on(self, last_event_id: str) -> Resumed:
        """What came after that event of a request's stream, and what will come."""
        place = read_id(last_event_id)
        assert place is not None
        log = self._store.find(place)
        if log is None:
            return self._lost(place)
        if not log.finished:
            outbox = self._new_outbox()
            outbox.go_on(log, place.number)
            return Resumed(outbox, log.id_of(place.number), place.stream)
        outbox = Outbox()  # of what has ended the child says no more, so it need not wait for who reads it
        if place.number == log.last:
            return self._linger(outbox, log.id_of(place.number))
        if not log.kept or log.given_again == GIVEN_AGAIN:
            return self._lost(place)
        log.given_again += 1
        self._give_again(log, place.number, outbox)
        return Resumed(outbox, log.id_of(place.number))

    def end(self) -> None:
        """The session is over, and every stream with it."""
        while self._lingering:
            self._end_oldest()

    def _lost(self, place: Place) -> Resumed:
        """For a client that may wait for an answer of which nothing is kept: an error in its place."""
        outbox = Outbox()
        told = self._store.lost(place)
        if told is None:
            return self._linger(outbox, write_id(place))
        outbox.give(told)
        outbox.close()
        return Resumed(outbox, b"")

    def _give_again(self, log: Log, number: int, outbox: Outbox) -> None:
        """What is left of a stream that has ended; to one at a time, for each holds all of it until it is taken."""
        if (before := self._again.get(log.start.stream)) is not None:
            before.discard()
        self._again[log.start.stream] = outbox
        outbox.go_on(log, number)

    def _linger(self, outbox: Outbox, id_: bytes) -> Resumed:
        # In a context of its own: the caller's holds the whole request.
        timer = asyncio.get_running_loop().call_later(LINGER, self._end_oldest, context=Context())
        self._lingering.append((outbox, timer))
        if len(self._lingering) > LINGERING:
            self._end_oldest()
        return Resumed(outbox, id_)

    def _end_oldest(self) -> None:
        outbox, timer = self._lingering.pop(0)
        timer.cancel()
        outbox.close()
