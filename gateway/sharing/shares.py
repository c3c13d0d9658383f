"""The table of shared children: one for each `Whose`, spawned for the first of its sessions, and gone after the last.

Who comes while a child is being spawned waits for the same one. A child without sessions lingers for a while, held, in
case one comes; unless nobody else may ever have it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextvars import Context
from itertools import count
from typing import Final, Protocol
from weakref import WeakValueDictionary

import anyio
from loguru import logger
from msgspec import Raw

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway import kept as single
from gateway.conversation import EPOCH_BITS
from gateway.errors import GatewayError, refused
from gateway.hotstate import HotState, UnderWay
from gateway.identity.principal import Principal
from gateway.personal import Personal
from gateway.sharing import kept
from gateway.sharing.lane import Lane
from gateway.sharing.shared import SharedChild
from gateway.sharing.whose import Whose
from gateway.translation.steps import Translator
from supervisor.client import Grant, SupervisorClient
from supervisor.protocol import Ending

_LINGER: Final = "its linger"
"""One who holds the lease of a child without sessions."""

MAX_LANES: Final = 1000
"""Sessions that may share one child: each costs some kilobytes, and no process of its own that would be counted."""

RETRY: Final = 30.0
"""Seconds after which somebody who was refused because of that may try again."""

KEEP_AGAIN: Final = 0.2
"""Seconds in which the sessions that leave a child make one new text for the supervisor to keep."""


class Granting(Protocol):
    """How a child is asked for (`gateway.leases.grant`)."""

    async def __call__(self, whose: Whose, label: str, personal: Personal, within: float) -> Grant:
        """A new child for the session `label`, in `within` seconds. Raises GatewayError."""


class _Ids:
    """Numbers for calls: those of one principal with one server, for which lanes and children change."""

    def __init__(self, epoch: int) -> None:
        self._numbers = count((epoch << EPOCH_BITS) + 1)

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return next(self._numbers)


class Shares:
    """The table.

    `grant` asks for a child, `translator` says what stands before one, `known(lease, principal)` is called of each, and
    `gone(principal)` of each that is no more.
    `hot_state` is where notes are taken.
    """

    def __init__(
        self,
        supervisor: SupervisorClient,
        hot_state: HotState | None,
        *,
        grant: Granting,
        translator: Callable[[SharedChild], Translator | None],
        known: Callable[[int, Principal], None],
        gone: Callable[[Principal], None],
    ) -> None:
        self._supervisor = supervisor
        self._hot_state = hot_state
        self._grant = grant
        self._translator = translator
        self._known = known
        self._gone = gone
        self._by_whose: dict[Whose, SharedChild] = {}
        self._by_lease: dict[int, SharedChild] = {}
        self._locks: WeakValueDictionary[Whose, anyio.Lock] = WeakValueDictionary()
        self._ids: WeakValueDictionary[tuple[Principal, str], _Ids] = WeakValueDictionary()
        self._lingering: dict[SharedChild, asyncio.TimerHandle] = {}
        self._to_keep: dict[SharedChild, asyncio.TimerHandle] = {}
        self._policies: dict[SharedChild, ServerPolicy] = {}
        self._refusing: Reason | None = None
        self._dropped: Counter[str] = Counter()

    def __repr__(self) -> str:
        return f"<Shares: {len(self._by_lease)} children, {len(self._lingering)} linger>"

    def __len__(self) -> int:
        return len(self._by_lease)

    @property
    def sessions(self) -> int:
        """How many sessions have a part in one of them."""
        return sum(len(child.lanes) for child in self._by_lease.values())

    def dropped_messages(self) -> Counter[str]:
        """What children said to nobody, by why."""
        return sum((child.multiplexer.counters for child in self._by_lease.values()), self._dropped.copy())

    def ids(self, principal: Principal, server: str) -> Iterator[int]:
        """The numbers for the calls of one principal to one server."""
        found = self._ids.get((principal, server))
        if found is None:
            found = self._ids[principal, server] = _Ids(self._supervisor.epoch)
        return found

    # For lanes (parts.Station).

    async def reach(self, whose: Whose, lane: Lane, personal: Personal) -> SharedChild:
        """The child for `whose`, which the lane has joined; spawned, and given what is `personal`, where there is none.

        Raises GatewayError. Cancellation gives back what was being spawned; who waits for it, too, begins anew.
        """
        lock = self._locks.get(whose)
        if lock is None:
            lock = self._locks[whose] = anyio.Lock()
        asked = anyio.current_time()
        try:
            with anyio.fail_after(lane.policy.start_timeout):
                await lock.acquire()
        except TimeoutError:
            message = "the server could not be started in time"
            raise GatewayError(Reason.START_TIMEOUT, message, server=whose.server) from None
        try:
            if self._refusing is not None:
                raise GatewayError(self._refusing, "the gateway is shutting down")
            child = self._by_whose.get(whose)
            if child is not None and len(child.lanes) >= MAX_LANES:
                message = f"{MAX_LANES} sessions share this child already; end some, or try again later"
                raise refused(Reason.MAX_USER_SESSIONS, message, RETRY, server=whose.server)
            if child is None:
                left = lane.policy.start_timeout - (anyio.current_time() - asked)
                child = self._begin(await self._grant(whose, lane.label, personal, left), whose, lane)
            self._stop_lingering(child)
            child.join(lane)
            return child
        finally:
            lock.release()

    def _begin(self, grant: Grant, whose: Whose, lane: Lane) -> SharedChild:
        child = SharedChild(
            self,
            self._supervisor,
            grant,
            whose,
            policy=lane.policy,
            ids=lane.ids,
            alone=lane.alone,
            notes=self._hot_state.slot(grant.lease) if self._hot_state is not None else None,
        )
        child.begin(self._translator(child))
        self._enter(child, lane.policy)
        return child

    def _enter(self, child: SharedChild, policy: ServerPolicy) -> None:
        self._known(child.lease, child.whose.principal)
        self._by_whose[child.whose] = self._by_lease[child.lease] = child
        self._policies[child] = policy

    # For shared children (shared.Keeper).

    def deserted(self, child: SharedChild, reason: Reason) -> None:
        """Its last lane has left: it lingers, unless nobody can come."""
        if self._refusing is not None or reason is Reason.CREDENTIAL_CHANGED:
            child.end(self._refusing or reason)
            return
        child.hold(_LINGER)
        linger = self._policies[child].linger
        logger.debug("{!r} has no session left, and lingers for {:g} seconds", child, linger)
        later = asyncio.get_running_loop().call_later
        self._lingering[child] = later(linger, child.end, Reason.LINGERED, context=Context())
        self.keep(child)

    def _stop_lingering(self, child: SharedChild) -> None:
        timer = self._lingering.pop(child, None)
        if timer is not None:
            timer.cancel()
            child.unhold(_LINGER)

    def remove(self, child: SharedChild) -> None:
        """It has ended."""
        for timers in (self._lingering, self._to_keep):
            if (timer := timers.pop(child, None)) is not None:
                timer.cancel()
        if self._by_whose.get(child.whose) is child:
            del self._by_whose[child.whose]
        if self._by_lease.pop(child.lease, None) is not None:
            self._dropped.update(child.multiplexer.counters)
            self._gone(child.whose.principal)
        self._policies.pop(child, None)

    def keep(self, child: SharedChild) -> None:
        """A lane has left: what there is to know of it is another soon, which is soon enough."""
        if child not in self._to_keep:
            later = asyncio.get_running_loop().call_later
            self._to_keep[child] = later(KEEP_AGAIN, self.write, child, context=Context())

    def write(self, child: SharedChild) -> None:
        """Have the supervisor keep what another gateway would have to know, now."""
        if (timer := self._to_keep.pop(child, None)) is not None:
            timer.cancel()
        described = [(lane.rider, lane.describe()) for lane in child.lanes]
        sessions = [(rider, session) for rider, session in described if session is not None]
        try:
            state, fitting = kept.write(_own_part(child), [session for _, session in sessions])
        except single.TooLong as error:
            logger.warning("what there is to know of {!r} is too long to be kept for a later gateway: {}", child, error)
            state, fitting = "", 0
        if child.alone and not sessions:
            state = ""  # of use to nobody
        child.is_kept = bool(state)
        for index, (rider, _) in enumerate(sessions):
            rider.kept = index >= len(sessions) - fitting
        self._supervisor.keep(child.lease, state)

    # From one gateway to the next, and the end.

    def take_up(self, grant: Grant, left: kept.KeptChild, policy: ServerPolicy) -> SharedChild:
        """Go on with a child that an earlier gateway left, still without its sessions."""
        principal = Principal(left.issuer, left.subject, left.user)
        whose = Whose(principal, left.server, left.key, bytes.fromhex(left.given), left.askable, left.generation)
        under_way = self._hot_state.take_over(grant.lease) if self._hot_state is not None else UnderWay()
        child = SharedChild(
            self,
            self._supervisor,
            grant,
            whose,
            policy=policy,
            ids=self.ids(principal, left.server),
            alone=left.alone,
            notes=self._hot_state.slot(grant.lease) if self._hot_state is not None else None,
            welcome=bytes(left.welcome),
            initialized=left.initialized,
        )
        child.opened = left.opened
        older = self._by_whose.get(whose)
        if older is not None:
            older.end(Reason.GATEWAY_LOST)
        self._enter(child, policy)
        child.begin(self._translator(child), under_way)
        return child

    def settle(self, child: SharedChild) -> None:
        """The sessions that an earlier gateway had with it have joined; where there is none, it lingers."""
        self.write(child)
        if not child.lanes and child.ended is None:
            if child.alone:
                child.end(Reason.GATEWAY_LOST)
            else:
                self.deserted(child, Reason.GATEWAY_LOST)

    def write_all(self) -> None:
        """Have the supervisor keep what has changed and was not told yet."""
        for child in tuple(self._to_keep):
            self.write(child)

    def hand_on(self) -> None:
        """Another gateway goes on with the children that are kept; their sessions have been left already."""
        self._refusing = Reason.GATEWAY_RESTARTED
        for child in tuple(self._by_lease.values()):
            if child.is_kept:
                child.hand_on()
            else:
                child.end(Reason.SHUTDOWN)

    def end_all(self, reason: Reason) -> None:
        """End every child, and begin no more."""
        self._refusing = reason
        for child in tuple(self._by_lease.values()):
            child.end(reason)

    def on_ending(self, news: Ending) -> bool:
        """The supervisor says this of a child; whether it is one of these."""
        child = self._by_lease.get(news.lease)
        if child is not None:
            child.on_ending(news.reason, news.exit, news.certificate)
        return child is not None


def _own_part(child: SharedChild) -> kept.KeptChild:
    whose = child.whose
    return kept.KeptChild(
        shared=kept.VERSION,
        issuer=whose.principal.issuer,
        subject=whose.principal.subject,
        server=whose.server,
        key=whose.key,
        welcome=Raw(child.multiplexer.welcome),
        user=whose.principal.user,
        given=whose.given.hex(),
        askable=whose.askable,
        generation=whose.generation,
        opened=child.opened,
        initialized=child.multiplexer.initialized,
        alone=child.alone,
    )
