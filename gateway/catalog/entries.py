"""What is known of each server's offer, and when it is to be asked for again. No I/O; the instants are the caller's.

A server is asked where nothing is known, where a child said that its offer is another now, where it failed a while ago,
and where somebody wants it; but no oftener than a bucket for each *asker* lets through: everybody together for a server
that has one offer for all, and each principal for one whose children are given something of a user's own.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

import anyio

from common.bucket import Bucket
from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.catalog.offers import Offer
from gateway.errors import GatewayError, refused
from gateway.identity.principal import Principal

BURST: Final = 3
"""Questions to a server that may come at once, for one asker."""

INTERVAL: Final = 10.0
"""Seconds after which there may be one more."""

FIRST_REST: Final = 5.0
LONGEST_REST: Final = 60.0
"""Seconds for which a server that could not be asked is not asked again, after the first failure and after many."""

MAX_PERSONAL: Final = 256
"""Offers that are kept of what is told to one user alone; the one that was not asked for for longest is forgotten."""

MAX_PERSONAL_BYTES: Final = 64 << 20
"""The same, in bytes."""

_MAX_ASKERS: Final = 4096

_OURS: Final = frozenset(
    {
        Reason.SHUTDOWN,
        Reason.SUPERVISOR_LOST,
        Reason.GATEWAY_RESTARTED,
        Reason.INTERNAL_ERROR,
        Reason.SERVER_NOT_FOUND,
        Reason.INSTALLING,
    }
)


def is_its_own(failure: GatewayError) -> bool:
    """Whether a server is to blame for `failure`, and not the want of a place, or the gateway's own end."""
    return failure.status != 429 and failure.reason not in _OURS


Key = tuple[str, bytes]
"""A server, and the digest of what its child was given of a user's own."""


class Entry:
    """What one child, or each, of a server offers."""

    def __init__(self, policy: ServerPolicy, bucket: Bucket) -> None:
        self.policy = policy
        """The one that held when it was asked."""
        self.lock = anyio.Lock()
        """Held by whoever asks."""
        self.asks = 0
        """How often it was asked."""
        self.offer: Offer | None = None
        """The last one that was told."""
        self._failure: GatewayError | None = None
        self._bucket = bucket
        self._is_stale = False
        self._row = 0
        self._again = 0.0

    def __repr__(self) -> str:
        return f"<Entry: {self.asks} asks, {'an offer' if self.offer else 'no offer'}, {self._failure!r}>"

    @property
    def failure(self) -> GatewayError | None:
        """Why it could not be asked when it was last; where it was told before, only what is the server's own fault."""
        if self._failure is not None and self.offer is not None and not is_its_own(self._failure):
            return None
        return self._failure

    def is_due(self, now: float, *, fresh: bool) -> bool:
        """Whether it should be asked now; `fresh` is whether somebody wants it to be."""
        if fresh or not self.asks:
            return True
        return now >= self._again and (self._is_stale or self._failure is not None)

    @property
    def is_known_to_fail(self) -> bool:
        """Whether what is known is why it could not be asked."""
        return self._failure is not None

    def begin(self, now: float) -> bool:
        """Whether it may be asked now; then its `lock`'s owner does so, and says how it went."""
        if not self._bucket.take(now):
            return False
        self._is_stale = False
        return True

    def told(self, offer: Offer) -> None:
        """It was asked."""
        self.asks += 1
        self.offer, self._failure, self._row, self._again = offer, None, 0, 0.0

    def failed(self, failure: GatewayError, now: float) -> None:
        """It could not be asked."""
        self.asks += 1
        self._failure = failure
        self._row = self._row + 1 if is_its_own(failure) else 0
        retry = failure.about.get("retryAfter")
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** max(0, min(self._row, 10) - 1))
        self._again = now + max(rest, retry if isinstance(retry, int) else 0)

    def give_up(self) -> None:
        """It was not asked to the end."""
        self._bucket.put_back()
        self._is_stale = self.asks > 0

    def changed(self) -> None:
        """A child says that its offer is another now."""
        self._is_stale = True


class Entries:
    """The entries by key: one for each server that has one for all, and some of those that are each user's own."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._personal: OrderedDict[Key, Entry] = OrderedDict()
        self._buckets: OrderedDict[Hashable, Bucket] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Entries: {len(self._entries)} for all, {len(self._personal)} personal>"

    def find(self, server: str, digest: bytes) -> Entry | None:
        """The one that there is."""
        key = server, digest
        return self._entries.get(key) or self._personal.get(key)

    def offers(self, server: str) -> list[Offer]:
        """All that any child of `server` was known to offer."""
        every = (*self._entries.items(), *self._personal.items())
        return [entry.offer for (name, _), entry in every if name == server and entry.offer is not None]

    def get(self, server: str, digest: bytes, policy: ServerPolicy, principal: Principal, now: float) -> Entry:
        """The one that there is, if it was asked under `policy`; else a new one, which `principal` may ask."""
        key, kept = (server, digest), self._personal if policy.personal else self._entries
        entry = kept.get(key)
        if entry is None or entry.policy != policy:
            entry = kept[key] = Entry(policy, self._bucket(server, principal if policy.personal else None, now))
        if policy.personal:
            self._personal.move_to_end(key)
            self._make_room(key)
        return entry

    def make_room(self) -> None:
        """Forget what is too much."""
        if self._personal:
            self._make_room(next(reversed(self._personal)))

    def retain(self, policies: dict[str, ServerPolicy]) -> None:
        """Forget all but what was asked under `policies`."""
        for kept in (self._entries, self._personal):
            for key, entry in tuple(kept.items()):
                if policies.get(key[0]) != entry.policy:
                    del kept[key]

    def _make_room(self, spared: Key) -> None:
        while len(self._personal) > 1 and self._is_too_much():
            oldest = next(key for key in self._personal if key != spared)
            del self._personal[oldest]

    def _is_too_much(self) -> bool:
        sizes = sum(each.offer.size for each in self._personal.values() if each.offer is not None)
        return len(self._personal) > MAX_PERSONAL or sizes > MAX_PERSONAL_BYTES

    def _bucket(self, server: str, principal: Principal | None, now: float) -> Bucket:
        whose = server, principal
        bucket = self._buckets.get(whose)
        if bucket is None:
            bucket = self._buckets[whose] = Bucket(BURST, 1 / INTERVAL, now)
        self._buckets.move_to_end(whose)
        if len(self._buckets) > _MAX_ASKERS:
            self._buckets.popitem(last=False)
        return bucket


def too_often(server: str) -> GatewayError:
    """Nothing is known, and whoever wants to know has asked too often."""
    message = f"server '{server}' was asked what it offers too often; try again later"
    return refused(Reason.RATE_LIMITED, message, INTERVAL, server=server)
