"""Who gets a place for a child, who waits for one, and who is next. No I/O, no clock.

A **place** is taken from the moment a child is admitted until its tree is verified empty: what is being spawned counts,
and so does what is being ended, for both are on the machine. No session's child is ever ended to make room; what is
nobody's gives way to whoever would have to wait for its place.

Who finds no place waits, within a bound. When a place comes free it goes to the users in turn, and to each user's own
requests in the order in which they came; whoever still has no room (a server that is full, a user who has enough) is
passed over, so that nobody waits for a place that they could not take. Where no user is named, each session counts as
a user of its own, but only in the queue: no cap for each user holds for them.

Nor can anybody fill the queue: where it is full, the last request of whoever has most waiting gives way to that of a
user who has fewer, and is refused.
"""

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from common.config.model import SupervisorSettings
from common.reasons import Reason
from supervisor.queueing import Queue, Request

RETRY_AFTER: Final = 5.0
"""Seconds after which it may be worth another try where all places were taken: somebody may have left by then."""


@dataclass(frozen=True)
class Refusal:
    """Why not: `message` is a sentence for a person, `retry_after` in seconds, where another try may do better."""

    reason: Reason
    message: str
    retry_after: float | None = None


@dataclass
class Taken:
    """How many places are taken: in all, and by whom."""

    total: int = 0
    by_server: Counter[str] = field(default_factory=Counter)
    by_user: Counter[str] = field(default_factory=Counter)
    by_both: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, request: Request, number: int) -> None:
        """Count `number` more, or fewer, of `request`'s kind; a count of 0 is forgotten."""
        self.total += number
        pairs = ((self.by_server, request.server), (self.by_user, request.user))
        for counter, key in pairs:
            counter[key] += number
            if not counter[key]:
                del counter[key]
        both = request.server, request.user
        self.by_both[both] += number
        if not self.by_both[both]:
            del self.by_both[both]


def admit(settings: SupervisorSettings, request: Request, taken: Taken) -> Refusal | None:
    """None where there is a place for `request`. A cap of the user's own is named before those that all share."""
    spec = settings.servers.get(request.server)
    if spec is None:
        return Refusal(Reason.SERVER_NOT_FOUND, f"there is no server '{request.server}'")
    own, own_here = taken.by_user[request.user], taken.by_both[request.server, request.user]
    if request.user and spec.max_user_sessions is not None and own_here >= spec.max_user_sessions:
        return _full(
            f"the user has all the {spec.max_user_sessions} sessions of '{spec.name}' that one may have", own=True
        )
    if request.user and settings.max_user_sessions is not None and own >= settings.max_user_sessions:
        return _full(f"the user has all the {settings.max_user_sessions} sessions that one may have", own=True)
    if spec.max_sessions is not None and taken.by_server[request.server] >= spec.max_sessions:
        return _full(f"server '{spec.name}' has all the {spec.max_sessions} sessions that it may have")
    if taken.total >= settings.max_sessions:
        return _full(f"the gateway has all the {settings.max_sessions} sessions that it may have")
    return None


def _full(message: str, *, own: bool = False) -> Refusal:
    return Refusal(Reason.MAX_USER_SESSIONS if own else Reason.MAX_SESSIONS, message, RETRY_AFTER)


class Standing(Enum):
    """What became of a request that was not refused."""

    ADMITTED = auto()
    WAITS = auto()


class Admission:
    """All places, and the queue for them. A ticket is any number that its holder uses once."""

    def __init__(self, settings: SupervisorSettings) -> None:
        self.settings = settings
        self.queue = Queue()
        self.taken = Taken()
        self._places: dict[int, Request] = {}
        self._displaced: list[int] = []
        self._called_away: set[int] = set()
        """Of what is nobody's, that which is to end for somebody who waits."""

    def ask(self, ticket: int, request: Request) -> Standing | Refusal:
        """A place now, a place in the queue, or neither.

        Whoever has room takes it past a queue: those in it have none, or they would not be there.
        """
        refusal = admit(self.settings, request, self.taken)
        if refusal is None:
            self._take(ticket, request)
            return Standing.ADMITTED
        if request.gives_way or refusal.retry_after is None or not self._is_room_in_queue(request):
            return refusal
        self.queue.join(ticket, request)
        return Standing.WAITS

    def displaced(self) -> list[int]:
        """The tickets that gave way to others since this was last asked, and wait no longer."""
        told, self._displaced = self._displaced, []
        return told

    def give_up(self, ticket: int, request: Request) -> Refusal | None:
        """It has waited long enough: take it out of the queue, and say what was in its way to the end.

        Who had to give way may have room by the time it is told: then it has a place, and this is None.
        """
        self.queue.leave(ticket)
        refusal = admit(self.settings, request, self.taken)
        if refusal is None:
            self._take(ticket, request)
        return refusal

    def leave(self, ticket: int) -> list[int]:
        """Give up a place, or the wait for one; the tickets that have a place now. May be called again."""
        self.queue.leave(ticket)
        self._called_away.discard(ticket)
        request = self._places.pop(ticket, None)
        if request is None:
            return []
        self.taken.add(request, -1)
        return self.move_on()

    def move_on(self) -> list[int]:
        """Give what places there are to those whose turn it is; their tickets. Called when there is more room."""
        admitted = []
        while (ticket := self._next()) is not None:
            admitted.append(ticket)
        return admitted

    def in_the_way(self, request: Request) -> list[int]:
        """The tickets of what is nobody's, where `request` would have a place without them."""
        nobodys = {ticket: each for ticket, each in self._places.items() if each.gives_way}
        return list(nobodys) if self._is_admitted_without(request, list(nobodys.values())) else []

    def call_away(self, request: Request) -> list[int]:
        """What is nobody's and is to end now, so that `request`, which waits, has a place; each is named once.

        No more of it than that takes, and what nobody uses before what somebody does.
        """
        free = [(ticket, each) for ticket, each in self._places.items() if each.gives_way]
        free = [(ticket, each) for ticket, each in free if ticket not in self._called_away]
        away: list[int] = []
        if self._is_admitted_without(request, [each for _, each in free]):
            for ticket, each in sorted(free, key=lambda one: (not one[1].is_spare, -one[0])):
                self.taken.add(each, -1)
                away.append(ticket)
                if admit(self.settings, request, self.taken) is None:
                    break
            away = self._indispensable(request, away)
        self._called_away.update(away)
        return away

    def hand_over(self, ticket: int, request: Request, instead_of: int | None = None) -> bool:
        """Give `request` the place of what is nobody's, and of `instead_of`, if any, which is free then.

        Whether it may have it: the caps hold for it as for any other. If not, nothing has changed.
        """
        given = [(each, self._places[each]) for each in (ticket, instead_of) if each is not None]
        for _, before in given:
            self.taken.add(before, -1)
        if admit(self.settings, request, self.taken) is not None:
            for _, before in given:
                self.taken.add(before, 1)
            return False
        for each, _ in given:
            del self._places[each]
        self._take(ticket, request)
        return True

    def has_room_to_spare(self) -> bool:
        """Whether a place may go to a spare: the last tenth of all is kept for who comes, and who waits comes first."""
        return not self.queue and self.taken.total < self.settings.max_sessions - max(
            1, self.settings.max_sessions // 10
        )

    def _is_admitted_without(self, request: Request, others: list[Request]) -> bool:
        for each in others:
            self.taken.add(each, -1)
        refusal = admit(self.settings, request, self.taken)
        for each in others:
            self.taken.add(each, 1)
        return refusal is None

    def _indispensable(self, request: Request, away: list[int]) -> list[int]:
        """Those of `away`, all of which are taken off the counts, without which there is no place; they are back on."""
        needed = []
        for ticket in away:
            self.taken.add(self._places[ticket], 1)
            if admit(self.settings, request, self.taken) is not None:
                self.taken.add(self._places[ticket], -1)
                needed.append(ticket)
        for ticket in needed:
            self.taken.add(self._places[ticket], 1)
        return needed

    def holds(self, ticket: int) -> bool:
        """Whether this one has a place."""
        return ticket in self._places

    def _is_room_in_queue(self, request: Request) -> bool:
        """Whether `request` may wait; where the queue is full, somebody may have to give way."""
        if len(self.queue) < self.settings.queue_max + len(self.in_the_way(request)):
            return True
        ticket = self.queue.who_gives_way_to(request)
        if ticket is None:
            return False
        self.queue.leave(ticket)
        self._displaced.append(ticket)
        return True

    def _next(self) -> int | None:
        if self.taken.total >= self.settings.max_sessions:
            return None  # nobody has room, and to ask for each of a long queue would take its time
        for ticket, request in self.queue.in_turn():
            if admit(self.settings, request, self.taken) is None:
                self.queue.served(ticket)
                self._take(ticket, request)
                return ticket
        return None

    def _take(self, ticket: int, request: Request) -> None:
        self._places[ticket] = request
        self.taken.add(request, 1)
