"""What a session's streams have said, for clients whose connection broke. No I/O, no clock.

Every message of a resumable stream has an **event id**, and a client that lost the stream asks with the last one that it
got for what came after it (specification: basic/transports, Resumability and Redelivery). An id says all that there is to
know: which gateway gave it out, whether the stream stood or answered a request, its number, the number of the message
there, and, where it is short, the request's own id. So an id of which nothing is kept any more, because there was no room
or because the gateway is another one, still tells whom to say that the answer is lost.

What is kept is bounded for each stream and for the whole session, in bytes and in number. Where there is no room, that
goes first which a client has already taken; answers go last, and the newest one stays even if it is all that there is
room for.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

import msgspec

from gateway.large import Data

STREAM_EVENTS: Final = 1024
STREAM_BYTES: Final = 2 * 1024 * 1024
"""What is kept of one stream, but for its answer. More than an outbox holds before the child is slowed down."""

SESSION_BYTES: Final = 8 * 1024 * 1024
"""What is kept of all streams of one session, if the newest answer is not larger by itself."""

EVENT_BYTES: Final = 128
"""What keeping a message costs beside its own bytes; the messages of a progress bar are no longer than that."""

FINISHED_STREAMS: Final = 64
"""Streams of one session that have ended, and of which anything is kept."""

_LONGEST_REQUEST_ID: Final = 64
"""Bytes of a request's id that are still put into event ids."""

_ID: Final = re.compile(r"([rso])(\d{1,9})-(\d{1,15})-(\d{1,15})(?:-([\w-]{1,90}))?", re.ASCII)


class Kind(StrEnum):
    """What a stream is there for, as event ids have it."""

    REQUEST = "r"
    """It carries the answer to a POST."""
    STANDING = "s"
    OVER = "o"
    """It was a request's, and the client knows that nothing more will come."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a stream: after its message `number`, which is 0 before the first one.

    `run` tells the gateway from those before and after it; `request` is the JSON of the id of the stream's request, if
    it is known.
    """

    kind: Kind
    run: int
    stream: int
    number: int
    request: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """A message of a stream. `id` is empty where the stream cannot be resumed."""

    data: Data
    id: bytes = b""
    number: int = 0


def write_id(place: Place) -> bytes:
    """The event id of `place`."""
    text = b"%b%d-%d-%d" % (place.kind.encode(), place.run, place.stream, place.number)
    return text + b"-" + urlsafe_b64encode(place.request).rstrip(b"=") if place.request else text


def read_id(text: str) -> Place | None:
    """The place that an event id names; None where it is none of this program's."""
    match = _ID.fullmatch(text)
    if match is None:
        return None
    kind, run, stream, number = match.group(1, 2, 3, 4)
    return Place(Kind(kind), int(run), int(stream), int(number), _request_id(match[5] or ""))


def _request_id(text: str) -> bytes:
    """The JSON of a number or a string, whatever a client made of it; else nothing.

    It stays as it was written: `1.50` is the same number as `1.5`, but another id.
    """
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4)).strip()
        value = msgspec.json.decode(data)
    except (ValueError, msgspec.DecodeError):
        return b""
    return data if isinstance(value, int | float | str) and not isinstance(value, bool) else b""


@dataclass(slots=True)
class Log:
    """What is kept of one stream. An outbox writes here what it gets; `store` makes room."""

    store: "EventStore"
    start: Place
    finished: bool = False
    """Whether nothing more will come."""
    taken: int = 0
    """The number of the last message that a client has taken."""
    last: int = 0
    """The number of the last message."""
    size: int = 0
    """Bytes that are kept, with EVENT_BYTES for each message."""
    given_again: int = 0
    """How often somebody came back for the rest since it was finished."""
    kept: deque[tuple[int, Data]] = field(default_factory=deque)

    def add(self, data: Data) -> Event:
        """One more message."""
        self.last += 1
        self.kept.append((self.last, data))
        size = len(data) + EVENT_BYTES
        self.size += size
        self.store.make_room(self, size)
        return self._event(self.last, data)

    def take(self, event: Event) -> None:
        """A client has taken `event`."""
        self.taken = max(self.taken, event.number)

    def finish(self) -> None:
        """Nothing more will come; the last message, if any, is the answer."""
        self.finished = True
        self.store.forget_finished()

    def id_of(self, number: int) -> bytes:
        """The event id of the message `number`."""
        return write_id(replace(self.start, number=number))

    def after(self, number: int) -> list[Event]:
        """What is kept of all that came after the message `number`."""
        return [self._event(each, data) for each, data in self.kept if each > number]

    def drop(self) -> int:
        """Forget the oldest message; how many bytes it had."""
        number, data = self.kept.popleft()
        size = len(data) + EVENT_BYTES
        self.size -= size
        if number > self.taken:
            self.store.counters["event_dropped"] += 1
        return size

    def _event(self, number: int, data: Data) -> Event:
        return Event(data, self.id_of(number), number)


class EventStore:
    """The logs of one session. What had to be dropped before any client took it is counted in `counters`."""

    def __init__(self, run: int, counters: Counter[str]) -> None:
        self.counters = counters
        self._run = run
        self._size = 0
        self._logs: dict[int, Log] = {}
        """By the number of the stream, oldest first."""

    def __repr__(self) -> str:
        return f"<EventStore: {len(self._logs)} streams, {self._size} bytes>"

    def open(self, stream: int, kind: Kind, request: bytes = b"") -> Log:
        """The log of a new stream, of the request whose id is the JSON `request`, if it is one's."""
        if len(request) > _LONGEST_REQUEST_ID or not request.isascii():
            request = b""
        log = self._logs[stream] = Log(self, Place(kind, self._run, stream, 0, request))
        self.forget_finished()
        return log

    def find(self, place: Place) -> Log | None:
        """The log of the stream that `place` names, if it is kept, and the stream was ever there."""
        log = self._logs.get(place.stream)
        known = log is not None and replace(log.start, number=place.number) == place
        return log if log is not None and known and place.number <= log.last else None

    def lost(self, place: Place) -> Event | None:
        """What a client is told that names a stream of which nothing is kept; None where nobody waits for anything."""
        if place.kind is not Kind.REQUEST or not place.request:
            return None
        error = b'{"code":-32000,"message":"the answer is no longer kept; ask again"}'
        data = b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (place.request, error)
        return Event(data, write_id(replace(place, kind=Kind.OVER)))

    # For Log.

    def make_room(self, log: Log, size: int) -> None:
        """`size` bytes more are kept in `log`."""
        self._size += size
        while len(log.kept) > 1 and (len(log.kept) > STREAM_EVENTS or log.size - size > STREAM_BYTES):
            self._size -= log.drop()
        while self._size > SESSION_BYTES and (victim := self._least_wanted(log)) is not None:
            self._size -= victim.drop()

    def forget_finished(self) -> None:
        """Forget the oldest of too many streams that have ended, and standing ones before the last two."""
        standing = [log for log in self._logs.values() if log.start.kind is Kind.STANDING]
        finished = [log for log in self._logs.values() if log.finished and log.start.kind is not Kind.STANDING]
        for log in (*standing[:-2], *finished[:-FINISHED_STREAMS]):
            self._forget(log)

    def _forget(self, log: Log) -> None:
        while log.kept:
            self._size -= log.drop()
        del self._logs[log.start.stream]

    def _least_wanted(self, newest: Log) -> Log | None:
        """The stream whose oldest message goes next: one that was taken, one that is no answer, an answer."""
        logs = [log for log in self._logs.values() if len(log.kept) > (log is newest)]
        taken = (log for log in logs if log.kept[0][0] <= log.taken)
        no_answers = (log for log in logs if not log.finished or len(log.kept) > 1)
        return next(taken, None) or next(no_answers, None) or next(iter(logs), None)
