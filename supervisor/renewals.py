"""What the gateway has to say of its leases, once an interval: which were used, and which are held. No I/O, no clock.

A lease that is held, by an open stream or a call, is named twice: when it has been held for a whole interval, and when it
no longer is. In between one word for the whole gateway keeps all of them, so a thousand open streams cost no more than
one; and a gateway that hangs says nothing, and loses them as it loses the others. A call that begins and ends within an
interval is a use, and no more.
"""

from collections.abc import Iterator

from supervisor.protocol import Hold, Renew, Unhold


class Renewals:
    """The leases of one gateway. It is true while there is something to say, if only that the gateway lives."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._held: set[int] = set()
        self._begun: set[int] = set()
        """Those held that were not when this was last said."""
        self._lasting: set[int] = set()
        """Those held since then, of which the supervisor has not been told yet."""
        self._told: set[int] = set()
        """Those of which it has."""
        self._over: set[int] = set()
        """Those of which it has, and that are not held any more."""

    def __repr__(self) -> str:
        return f"<Renewals: {len(self._used)} used, {len(self._held)} held>"

    def __bool__(self) -> bool:
        return bool(self._used or self._held or self._over)

    def __contains__(self, lease: int) -> bool:
        """Whether it is held, or was used since this was last said."""
        return lease in self._used or lease in self._held

    def use(self, lease: int) -> None:
        """It was used just now."""
        self._used.add(lease)

    def hold(self, lease: int) -> None:
        """It is in use until `unhold`."""
        self._held.add(lease)
        if lease in self._told:
            self._over.discard(lease)
        else:
            self._begun.add(lease)

    def unhold(self, lease: int) -> None:
        """It was in use until now."""
        self._held.discard(lease)
        if lease in self._told:
            self._over.add(lease)
        self._begun.discard(lease)
        self._lasting.discard(lease)
        self._used.add(lease)

    def forget(self, lease: int) -> None:
        """It is no lease any more."""
        for leases in (self._used, self._held, self._begun, self._lasting, self._told, self._over):
            leases.discard(lease)

    def due(self) -> Iterator[Hold | Unhold | Renew]:
        """What is to be said now, an interval after it was asked last."""
        if self._lasting:
            yield Hold(tuple(self._lasting))
            self._told |= self._lasting
        if self._over:
            yield Unhold(tuple(self._over))
            self._told -= self._over
            self._over = set()
        yield Renew(tuple(self._used | self._begun))
        self._used = set()
        self._lasting, self._begun = self._begun, set()
