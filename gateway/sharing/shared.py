"""A child that several sessions of one principal share, and the gateway's lease on it.

It hears and tells what the multiplexer decides. It is held while any of its lanes is, and not read while any of them
has a full stream. Its end is the end of all of its lanes; the end of its last lane begins its linger.
"""

from collections.abc import Callable, Iterator
from typing import Final, Protocol

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.childside import ChildSide
from gateway.hotstate import NoNotes, Notes, UnderWay
from gateway.jsonrpc import Message, encode
from gateway.large import LargeAnswer
from gateway.sharing.lane import Lane
from gateway.sharing.multiplexer import Handshake, Multiplexer, Step, ToChild
from gateway.sharing.whose import Whose
from gateway.translation.steps import Translator
from supervisor.client import Grant, SupervisorClient
from supervisor.protocol import Exit

_TRANSLATOR: Final = "the translator"
"""One who holds the lease without being a lane."""


class Keeper(Protocol):
    """What a shared child needs of the table that it is in (`gateway.sharing.shares`)."""

    def write(self, child: "SharedChild") -> None:
        """Another gateway could go on with it from now on."""

    def keep(self, child: "SharedChild") -> None:
        """What that one would have to know has changed."""

    def deserted(self, child: "SharedChild", reason: Reason) -> None:
        """Its last lane has left, for `reason`."""

    def remove(self, child: "SharedChild") -> None:
        """It has ended."""


class SharedChild:
    """The child of `grant`, for `whose` sessions. `welcome` is what it answered to `initialize` in an earlier gateway."""

    def __init__(
        self,
        keeper: Keeper,
        supervisor: SupervisorClient,
        grant: Grant,
        whose: Whose,
        *,
        policy: ServerPolicy,
        ids: Iterator[int],
        alone: bool,
        notes: Notes | None = None,
        welcome: bytes = b"",
        initialized: bool = False,
    ) -> None:
        self.lease = grant.lease
        self.pid = grant.pid
        self.certificate = grant.certificate
        self.whose = whose
        self.server = whose.server
        self.alone = alone
        """Whether nobody but one session ever has it."""
        self.ended: Reason | None = None
        self.is_kept = False
        """Whether another gateway could go on with it."""
        self.opened = ""
        """What its translator has to know, where it has one (`gateway.translation.choice`)."""
        self.resumes = bool(welcome)
        """Whether an earlier gateway saw it through the handshake."""
        self.ids = ids
        self.notes: Notes = notes or NoNotes()
        self.multiplexer = Multiplexer(ids, welcome=welcome, initialized=initialized)
        self.on_list_changed: Callable[[], None] = self._list_changed
        self.on_offer_changed: Callable[[], None] = self._offer_changed
        self._keeper = keeper
        self._supervisor = supervisor
        self._pipes = (grant.stdin, grant.stdout)
        self._policy = policy
        self._side: ChildSide | None = None
        self._lanes: dict[int, Lane] = {}
        self._numbers: dict[Lane, int] = {}
        self._last = 0
        self._holding: set[object] = set()
        self._pausing: set[object] = set()

    def __repr__(self) -> str:
        state = self.ended or "open"
        return f"<SharedChild of {self.server} pid {self.pid}, {state}: {self.multiplexer!r}>"

    @property
    def lanes(self) -> list[Lane]:
        """Those of its sessions, the oldest first."""
        return list(self._lanes.values())

    @property
    def is_ready(self) -> bool:
        """Whether it has accepted `initialize`."""
        return self.multiplexer.handshake is Handshake.DONE

    def begin(self, translator: Translator | None, under_way: UnderWay | None = None) -> None:
        """Take hold of the pipes. `under_way` is what an earlier gateway had begun with it."""
        self._side = ChildSide(
            self._pipes,
            self._policy.max_message_bytes,
            self,
            quotes=not self._policy.personal,
            counters=self.multiplexer.counters,
            notes=self.notes,
            translator=translator,
        )
        if under_way is not None:
            self._side.take_up(under_way)

    # For its lanes (parts.Child).

    def join(self, lane: Lane) -> None:
        """One more session shares it."""
        self._last += 1
        self._lanes[self._last], self._numbers[lane] = lane, self._last
        self.multiplexer.join(self._last)

    def from_lane(self, lane: Lane, message: Message) -> None:
        """The lane says `message` to it."""
        knew = self.multiplexer.initialized
        self._perform(self.multiplexer.from_lane(self._numbers[lane], message))
        if self.multiplexer.initialized and not knew:
            self.keep()

    def in_flight(self, lane: Lane) -> int:
        """How many calls of the lane wait for it."""
        return self.multiplexer.in_flight(self._numbers[lane])

    def leave(self, lane: Lane, reason: Reason) -> None:
        """The lane's session goes on without it, or has ended."""
        number = self._numbers.get(lane)
        self.drop(lane)
        if number is None or self.ended is not None:
            return
        if not self._lanes and (self.alone or not self.is_ready):
            self.end(reason)
            return
        self._perform(self.multiplexer.leave(number))
        if reason is Reason.START_TIMEOUT and not self.is_ready:
            self.end(reason)  # it will not serve the others either
        elif not self._lanes:
            self._keeper.deserted(self, reason)
        elif lane.rider.kept:
            self.keep()

    def drop(self, lane: Lane) -> None:
        """The lane is no more, and the child is told nothing of it."""
        number = self._numbers.pop(lane, None)
        if number is not None:
            del self._lanes[number]
            self.resume(lane)
            self.unhold(lane)

    def hold(self, who: object = _TRANSLATOR) -> None:
        """Keep its idle clock from running, until `who` lets go."""
        if not self._holding and self.ended is None:
            self._supervisor.hold(self.lease)
        self._holding.add(who)

    def unhold(self, who: object = _TRANSLATOR) -> None:
        """Let it run, for all that `who` cares."""
        if who in self._holding:
            self._holding.discard(who)
            if not self._holding and self.ended is None:
                self._supervisor.unhold(self.lease)

    def use(self) -> None:
        """It was used just now."""
        if self.ended is None:
            self._supervisor.use(self.lease)

    def pause(self, who: object) -> None:
        """Stop listening to it, until `who` says `resume`."""
        self._pausing.add(who)
        self._own_side.pause()

    def resume(self, who: object) -> None:
        """Listen again, for all that `who` cares."""
        if who in self._pausing:
            self._pausing.discard(who)
            if not self._pausing and self.ended is None:
                self._own_side.resume()

    def keep(self) -> None:
        """What a later gateway has to know of it has changed."""
        if self.ended is None and self.is_ready:
            self._keeper.keep(self)

    # For its own side (childside.Hearer), and what the supervisor says of it.

    def hear(self, message: Message, line: bytes, about: int | None = None) -> None:
        """The child says `message`, which is `line`."""
        if self.ended is not None:
            return
        was_ready = self.is_ready
        steps = self.multiplexer.from_child(message, about)
        if self.is_ready and not was_ready:
            self._keeper.write(self)
        self._perform(steps, message, line)

    def hear_large(self, answer: LargeAnswer) -> bool:  # noqa: ARG002
        """False: what goes to a lane is read as a whole."""
        return False

    def end(self, reason: Reason) -> None:
        """End it, and all of its sessions with it. May be called again."""
        if self.ended is None:
            self._supervisor.release(self.lease, reason, self._own_side.detach())
            self._end(reason, None)

    def on_ending(self, reason: Reason, exit_: Exit | None, certificate: str = "") -> None:
        """The supervisor is ending it, or says that it ended."""
        if self.ended is None:
            self._own_side.drain()
        if self.ended is None:
            self.certificate = certificate or self.certificate
            self._end(reason, exit_)
            self._own_side.close()

    def hand_on(self) -> None:
        """Another gateway goes on with it, and what is noted of it stays so. Its lanes have left it."""
        if self.ended is None:
            self.ended = Reason.GATEWAY_RESTARTED
            self._own_side.close()
            self._own_side.end()
            self._keeper.remove(self)

    # Within.

    @property
    def _own_side(self) -> ChildSide:
        assert self._side is not None
        return self._side

    def _end(self, reason: Reason, exit_: Exit | None) -> None:
        self.ended = reason
        for lane in self.lanes:
            lane.rider.on_ending(reason, exit_, self.certificate)
        self._own_side.end()
        self.notes.close()  # after the lanes, which have taken back theirs
        self._keeper.remove(self)

    def _perform(self, steps: list[Step], heard: Message | None = None, line: bytes = b"") -> None:
        for step in steps:
            if isinstance(step, ToChild):
                if self.ended is None:
                    self._own_side.say(encode(step.message))
            elif (lane := self._lanes.get(step.lane)) is not None:
                same = step.message is heard
                lane.hear(step.message, line if same else encode(step.message), step.about)

    def _list_changed(self) -> None:
        for lane in self.lanes:
            lane.rider.on_list_changed()

    def _offer_changed(self) -> None:
        for lane in self.lanes:
            lane.rider.on_offer_changed()
