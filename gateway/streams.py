"""The streams of one session: the outboxes of its client, by the numbers under which the conversation knows them.

A stream gets its number when something is first asked, or expected, on it. It ends with the last answer that it waits
for, unless it stands: the standing stream, at most one, is for what belongs to no request, and ends when another takes
its place or the session ends. A recorded stream survives its client's hanging up (`gateway.redelivery`): another outbox
takes its number over.

Only outboxes are seen to here. What the conversation has to know of it, its caller tells it.
"""

from collections import Counter

from gateway.errors import GatewayError
from gateway.large import Data
from gateway.outbox import Outbox
from gateway.pressure import Pressure
from gateway.redelivery import Redelivery, Resumed


class Streams:
    """The streams of one session; a full one is the affair of `pressure`, which ends with them.

    `run` tells this gateway from others, and `counters` gets what is dropped of recorded streams. Unless they are
    `resumable` none is recorded.
    """

    def __init__(self, run: int, counters: Counter[str], pressure: Pressure, *, resumable: bool) -> None:
        self.standing: Outbox | None = None
        """The standing stream, while there is one; also after the end, for whoever keeps it beyond that."""
        self._outboxes: dict[int, Outbox] = {}
        self._last = 0
        self._pressure = pressure
        self._resumable = resumable
        self._run = run
        self._counters = counters
        self._recorded: Redelivery | None = None

    def __repr__(self) -> str:
        return f"<Streams: {len(self._outboxes)} of {self._last}, {self._pressure!r}>"

    def new(self, *, stands: bool = False) -> Outbox:
        """An outbox that slows the child down when its client does not keep up. It is no stream before it is used."""
        return Outbox(self._pressure.on_level, stands=stands)

    def number(self, outbox: Outbox) -> int:
        """The number of the stream that goes to `outbox`, which is a stream from now on."""
        known = self._number_of(outbox)
        if known is not None:
            return known
        number = self._new_number()
        self._outboxes[number] = outbox
        return number

    def stand(self, outbox: Outbox) -> int:
        """Make `outbox` the standing stream, and close the one before it; its number."""
        if self.standing is not None:
            self.standing.close()
        self.standing = outbox
        return self.number(outbox)

    def record(self, outbox: Outbox, request: bytes = b"") -> bytes:
        """From now on the client may come back to the stream of `outbox`; the event id of its beginning, if it may.

        `request` is the JSON of the id of the stream's request, where it has one.
        """
        if not self._resumable:
            return b""
        return self._redelivery().record(outbox, self._number_of(outbox) or self._new_number(), request)

    def wants_standing(self, last_event_id: str | None) -> bool:
        """Whether who comes, and has heard something up to that event, wants the standing stream."""
        return last_event_id is None or not self._resumable or self._redelivery().stands(last_event_id)

    def go_on(self, last_event_id: str) -> Resumed:
        """The rest of a request's stream after that event; where it goes on, in place of the outbox that it had."""
        resumed = self._redelivery().go_on(last_event_id)
        if resumed.stream is not None:
            before = self._outboxes[resumed.stream]
            self._outboxes[resumed.stream] = resumed.outbox
            resumed.outbox.awaits = before.awaits
            before.discard()
        return resumed

    def go_on_standing(self, last_event_id: str | None) -> Resumed | None:
        """An outbox, yet to `stand`, for the rest of the standing stream after that event; None where that is unknown."""
        outbox = self.new(stands=True)
        resumed = self._redelivery().go_on_standing(last_event_id or "", outbox)
        if resumed is not None and resumed.stream is not None:
            self._outboxes[resumed.stream] = outbox
        return resumed

    def hang_up(self, outbox: Outbox) -> list[int]:
        """The client no longer takes from `outbox`; the numbers of the streams that this leaves without a client."""
        outbox.discard()
        if self.standing is outbox:
            self.standing = None
        numbers = [number for number, each in self._outboxes.items() if each is outbox]
        if outbox.stands or not outbox.recorded:
            for number in numbers:
                del self._outboxes[number]
        return numbers

    def put(self, stream: int, data: bytes) -> None:
        """One more message for a stream; dropped where that is no more."""
        if (outbox := self._outboxes.get(stream)) is not None:
            outbox.put(data)

    def answer(self, stream: int, data: Data, failure: GatewayError | None) -> None:
        """The same for an answer; `failure` is set where it is the gateway's own. `finish` comes next."""
        if (outbox := self._outboxes.get(stream)) is not None:
            outbox.put(data)
            outbox.failure = failure

    def finish(self, stream: int) -> None:
        """A request of the stream is over; the stream ends with its last one, unless it is a standing one."""
        outbox = self._outboxes.get(stream)
        if outbox is not None and not outbox.stands:
            outbox.awaits -= 1
            if outbox.awaits <= 0:
                outbox.close()
                del self._outboxes[stream]

    def end(self, *, spare_standing: bool = False) -> None:
        """Close them all; with `spare_standing` all but the standing one, which is another's from now on."""
        for outbox in tuple(self._outboxes.values()):
            if not (spare_standing and outbox is self.standing):
                outbox.close()
        self._pressure.end()
        self._outboxes.clear()
        if self._recorded is not None:
            self._recorded.end()

    def _redelivery(self) -> Redelivery:
        """What is kept of recorded streams; most sessions have none, most of the time."""
        if self._recorded is None:
            self._recorded = Redelivery(self._run, self._counters, self.new)
        return self._recorded

    def _number_of(self, outbox: Outbox) -> int | None:
        for number, each in self._outboxes.items():
            if each is outbox:
                return number
        return None

    def _new_number(self) -> int:
        self._last += 1
        return self._last
