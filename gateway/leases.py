"""The gateway's leases: a child for a session, its bridge, and what the supervisor says of it.

Here a child is asked for, taken up again after an earlier gateway, and let go; nobody else speaks to the supervisor
about one that has no bridge yet. What a bridge says of its own lease (use, hold, release), it says itself; the client of
the supervisor makes one renewal a second of it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import anyio
from loguru import logger

from common.config.amounts import Quotas as QuotaSettings
from common.config.model import ServerPolicy
from common.logs import masked
from common.reasons import Reason
from gateway.certificates import KEPT_ASIDE, Certificates
from gateway.conversation import Conversation
from gateway.drain import CallsInFlight, Uncounted
from gateway.eras import Eras
from gateway.grants import grant, left_to_start
from gateway.hotstate import HotState, Notes, UnderWay
from gateway.identity.principal import Principal
from gateway.kept import VERSION, Kept, TooLong, write
from gateway.modern.conversation import ModernConversation
from gateway.oversight import Oversight
from gateway.personal import Personal, compare
from gateway.quotas import Quotas
from gateway.relay import Relay
from gateway.session import Door, Session, not_found
from gateway.sharing.boarding import NOWHERE, lane_of, needs_lane
from gateway.sharing.kept import KeptChild
from gateway.sharing.lane import Lane
from gateway.sharing.shared import SharedChild
from gateway.sharing.shares import Shares
from gateway.sharing.whose import Whose
from gateway.talk import Talk
from gateway.translation import choice
from supervisor.client import Grant, SupervisorClient
from supervisor.protocol import Ending, Gone


class Leases:
    """The bridges to all children, by lease."""

    def __init__(
        self,
        supervisor: SupervisorClient,
        eras: Eras,
        oversight: Oversight,
        hot_state: HotState | None = None,
        quotas: QuotaSettings | None = None,
    ) -> None:
        self.calls = CallsInFlight()
        self.quotas = Quotas(quotas, self.calls)
        self.certificates = Certificates()
        self.certificates_aside = Certificates(KEPT_ASIDE)
        """Of children that are nobody's."""
        self._supervisor = supervisor
        self._eras = eras
        self._oversight = oversight
        self._hot_state = hot_state
        self._relays: dict[int, Relay] = {}
        self._owners: dict[int, Principal] = {}
        self._sharing: set[Relay] = set()
        """Those that have a lane in place of a child of their own."""
        self.shares = Shares(
            supervisor,
            hot_state,
            grant=self._grant,
            translator=lambda child: choice.for_handshake(child, eras),
            known=self.certificates.expect,
            gone=self.quotas.children.give_back,
        )
        self._dropped: Counter[str] = Counter()
        """Of sessions that have ended."""
        self._aside: set[Relay] = set()
        """Those to children that are nobody's."""
        self.on_offer_changed: Callable[[Session], None] = lambda _: None
        """Called when the child of a session says that what it offers is another now."""
        supervisor.on_ending = self._on_ending
        supervisor.on_gone = self._on_gone

    def __repr__(self) -> str:
        return f"<Leases: {len(self._relays)}, {self.shares!r}>"

    def __len__(self) -> int:
        return len(self._relays) + len(self.shares)

    @property
    def bridges(self) -> int:
        """How many sessions have a child, or share one."""
        return len(self._relays) - len(self._aside) + self.shares.sessions

    def relays(self) -> list[Relay]:
        """The bridges to all children."""
        return [*self._relays.values(), *self._sharing]

    def dropped_messages(self) -> Counter[str]:
        """Messages that were dropped, in all sessions that there ever were, by why."""
        total = self._dropped + self.shares.dropped_messages()
        for relay in self.relays():
            total.update(relay.dropped)
        return total

    async def spawn(self, session: Session) -> Relay:
        """A child for `session`, or a part in one. Raises GatewayError where none can be had, or it ends meanwhile."""
        if needs_lane(session):
            return await self._board(session)
        with self._counted(session.principal):
            return await self._spawn(session)

    async def spawn_aside(self, session: Session) -> Relay:
        """A child for `session` that is nobody's: it counts for nobody, is shared with nobody, and gives way to others.

        Raises GatewayError where none can be had.
        """
        relay = await self._spawn(session, aside=True)
        self._aside.add(relay)
        return relay

    def end_aside(self, reason: Reason) -> None:
        """End every child that is nobody's."""
        for relay in tuple(self._aside):
            relay.end(reason)

    @contextmanager
    def _counted(self, principal: Principal) -> Iterator[None]:
        """Count one child more of `principal`, unless there is none in the end. Raises GatewayError for one too many."""
        self.quotas.check_children(principal)
        self.quotas.children.take(principal)
        try:
            yield
        except BaseException:
            self.quotas.children.give_back(principal)
            raise

    async def _spawn(self, session: Session, *, aside: bool = False) -> Relay:
        asked, within = anyio.current_time(), session.policy.start_timeout
        whose = (masked(session.id), session.principal.handle)
        granted = await grant(self._supervisor, session.server, *whose, within, session.personal, gives_way=aside)
        start_within = left_to_start(within, anyio.current_time() - asked)
        relay = self._relay(session, granted, start_within=start_within, aside=aside)
        if session.ended is not None:
            relay.end(session.ended)
            raise not_found(session.ended)
        self._relays[relay.lease] = relay
        if not aside:
            self._owners[relay.lease] = session.principal
        return relay

    def attach(self, session: Session, grant: Grant) -> None:
        """Give `session` the child that it had with an earlier gateway."""
        under_way = self._hot_state.take_over(grant.lease) if self._hot_state is not None else UnderWay()
        relay = self._relays[grant.lease] = self._relay(session, grant, resumes=under_way)
        self._owners[grant.lease] = session.principal
        self.quotas.children.take(session.principal)
        session.resume(relay)

    def let_go(self, grant: Grant, reason: Reason) -> None:
        """End a child that no session can have."""
        self._supervisor.release(grant.lease, reason, (grant.stdin, grant.stdout))

    def take_up(self, grant: Grant, left: KeptChild, policy: ServerPolicy) -> SharedChild:
        """Go on with a child that sessions shared in an earlier gateway; they have yet to `rejoin`."""
        child = self.shares.take_up(grant, left, policy)
        self.quotas.children.take(child.whose.principal)
        return child

    def rejoin(self, session: Session, child: SharedChild, hello: bytes) -> None:
        """Give `session` its part in the child that it shared with others in an earlier gateway."""
        lane = lane_of(session, self.shares, self._supervisor.epoch)
        lane.hello = hello
        child.join(lane)
        lane.go_on_with(child)
        relay = self._relay(session, NOWHERE, resumes=UnderWay(), lane=lane)
        self._sharing.add(relay)
        session.resume(relay)

    def keep(self, session: Session, relay: Relay) -> None:
        """From now on another gateway could go on with `session`, unless there is too much to tell it."""
        if relay.lane is not None:
            if isinstance(relay.lane.child, SharedChild):
                self.shares.write(relay.lane.child)
            return
        principal = session.principal
        whose = (principal.issuer, principal.subject, session.server)
        opened = choice.to_keep(session, relay.translator)
        about = (opened, relay.version, principal.user, relay.client)
        own = session.personal.digest.hex()
        kept = Kept(VERSION, session.id, session.door.value, *whose, *about, key=session.key, personal=own)
        try:
            state = write(kept)
        except TooLong as error:
            logger.warning(
                "what there is to know of {!r} is too long to be kept for a later gateway: {}", session, error
            )
            return
        relay.kept = True
        self._supervisor.keep(relay.lease, state)

    def remove(self, relay: Relay) -> None:
        """Its session has ended, and its child with it, unless others share that."""
        if relay.lane is not None:
            self._sharing.discard(relay)
            self._dropped.update(relay.dropped)
            return
        self._relays.pop(relay.lease, None)
        self._aside.discard(relay)
        if (owner := self._owners.pop(relay.lease, None)) is not None:
            self.quotas.children.give_back(owner)
        self._announce(relay.lease, relay.certificate)
        self._dropped.update(relay.dropped)

    async def _board(self, session: Session) -> Relay:
        """A part in a child, at once where it is known which; the client of a stream has yet to say what it can do."""
        asked, within = anyio.current_time(), session.policy.start_timeout
        lane = lane_of(session, self.shares, self._supervisor.epoch)
        try:
            if session.hello is not None or lane.alone:
                await lane.board(session.hello)
        except BaseException:
            lane.end()
            raise
        start_within = left_to_start(within, anyio.current_time() - asked)
        relay = self._relay(session, NOWHERE, start_within=start_within, lane=lane)
        if session.ended is not None:
            relay.end(session.ended)
            raise not_found(session.ended)
        self._sharing.add(relay)
        return relay

    async def _grant(self, whose: Whose, label: str, personal: Personal, within: float) -> Grant:
        with self._counted(whose.principal):
            return await grant(self._supervisor, whose.server, label, whose.principal.handle, within, personal)

    def _relay(
        self,
        session: Session,
        grant: Grant,
        *,
        start_within: float | None = None,
        resumes: UnderWay | None = None,
        lane: Lane | None = None,
        aside: bool = False,
    ) -> Relay:
        """The bridge between `session` and its child, or its part in one."""
        notes: Notes | None = lane.notes if lane is not None else None
        if lane is None:
            register = self.certificates_aside if aside else self.certificates
            register.expect(grant.lease, session.principal)
            notes = self._hot_state.slot(grant.lease) if self._hot_state is not None else None
        relay = Relay(
            lane or self._supervisor,
            grant,
            session.server,
            session.policy,
            label=masked(session.id),
            answers_questions=session.answers,
            on_end=session.forget,
            calls=Uncounted() if aside else self.quotas.calls_of(session.principal, session.server),
            start_within=start_within,
            notes=notes,
            resumes=resumes,
            talk=self._talk(session, resumes, lane),
            translator=choice.translator(session, self._eras, self._supervisor.epoch) if lane is None else None,
            errands=self._oversight.errands(session, grant.pid),
            lane=lane,
        )
        if not aside:
            relay.on_offer_changed = partial(self._offer_changed, session)
        if lane is not None:
            relay.heed = partial(compare, session)
        return relay

    def _talk(self, session: Session, resumes: UnderWay | None, lane: Lane | None) -> Talk | None:
        """The conversation, where it is not one of a legacy client that is alone with its child."""
        if lane is not None:
            return Conversation(
                answers_questions=session.answers,
                epoch=self._supervisor.epoch,
                initialized=resumes is not None,
                ids=lane.ids,
            )
        if session.door is not Door.STATELESS:
            return None
        return ModernConversation(epoch=self._supervisor.epoch, initialized=resumes is not None)

    def _offer_changed(self, session: Session) -> None:
        self.on_offer_changed(session)

    def _announce(self, lease: int, certificate: str) -> None:
        for register in (self.certificates, self.certificates_aside):  # the other one does not know it
            register.announce(lease, certificate)

    def _on_ending(self, message: Ending) -> None:
        self._announce(message.lease, message.certificate)
        if not self.shares.on_ending(message) and (relay := self._relays.get(message.lease)) is not None:
            relay.on_ending(message.reason, message.exit, message.certificate)

    def _on_gone(self, message: Gone) -> None:
        for register in (self.certificates, self.certificates_aside):
            register.file(message.lease, message.certificate)
