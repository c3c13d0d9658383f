"""What is left of sessions that have ended: why they did, and the streams of those that ended as idle.

LibreChat keeps a standing GET open for as long as it knows a session, and rebuilds everything when that GET ends or is
answered with a 404. So where idleness ends a session, the stream stays, with nothing but comments on it, and a new GET
gets such a stream too; the client's next POST gets the 404 from which it recovers unseen. A client may have come back
for a request's stream as well; that one is another, or the two would take the place from each other once a second.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final
from weakref import WeakValueDictionary

from common.reasons import Reason
from gateway.outbox import Outbox

REMEMBERED: Final = 1_000
"""Ended ids whose reason is still known, so that their owner is told it instead of 'unknown'."""


STREAMS: Final = 16
"""Streams of one ended session, beside the standing one."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that has ended. `owner` is all that has to be right before anybody is told of it."""

    owner: tuple[object, ...]
    reason: Reason


class Afterlife:
    """Ended sessions by id, the newest REMEMBERED of them, and the streams that outlive them."""

    def __init__(self) -> None:
        self._remembered: OrderedDict[str, Ended] = OrderedDict()
        # Weakly, for an answer that the client does not wait for is never begun, and so never left.
        self._streams: WeakValueDictionary[tuple[str, int], Outbox] = WeakValueDictionary()
        self._over = False

    def __repr__(self) -> str:
        return f"<Afterlife: {len(self._remembered)} ended, {len(self._streams)} streams>"

    def remember(self, id_: str, owner: tuple[object, ...], reason: Reason) -> None:
        """The session `id_` of `owner` ended for `reason`."""
        self._remembered[id_] = Ended(owner, reason)
        if len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)

    def why(self, id_: str, owner: tuple[object, ...]) -> Reason | None:
        """Why `owner`'s session `id_` ended; None where there is no such session, or it is forgotten."""
        found = self._remembered.get(id_)
        return found.reason if found is not None and found.owner == owner else None

    def keep_stream(self, id_: str, outbox: Outbox, stream: int | None = None) -> None:
        """`outbox` was a stream of a session that ended as idle. It goes on, also when the id is forgotten.

        `stream` is its number, None for the standing one. It takes the place of the one before of that number.
        """
        if self._over:
            outbox.close()
            return
        if (before := self._streams.get(_key(id_, stream))) is not None:
            before.close()
        self._streams[_key(id_, stream)] = outbox

    def was_idle(self, id_: str, owner: tuple[object, ...]) -> bool:
        """Whether a GET of `owner`'s session `id_` gets a stream all the same."""
        return not self._over and self.why(id_, owner) is Reason.IDLE_TIMEOUT

    def new_stream(self, id_: str, stream: int | None = None) -> Outbox:
        """A stream for a new GET of the session `id_`, which takes the place of the one before of that number."""
        outbox = Outbox(stands=True)
        self.keep_stream(id_, outbox, stream)
        return outbox

    def leave(self, id_: str, outbox: Outbox, stream: int | None = None) -> None:
        """The client has left the stream `outbox` of `id_`. Nothing happens where it was not kept here."""
        outbox.discard()
        if self._streams.get(_key(id_, stream)) is outbox:
            del self._streams[_key(id_, stream)]

    def end(self) -> None:
        """Close every stream, and keep no more of them: the gateway ends."""
        self._over = True
        for outbox in tuple(self._streams.values()):
            outbox.close()
        self._streams.clear()


def _key(id_: str, stream: int | None) -> tuple[str, int]:
    """Under which a stream is kept. A client may name any number, so far apart ones share a place."""
    return id_, -1 if stream is None else stream % STREAMS
