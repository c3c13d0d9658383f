"""The gateway's leases: a child for a session, its bridge, and what the supervisor says of it.

Here a child is asked for, taken up again after an earlier gateway, and let go; nobody else speaks to the supervisor
about one that has no bridge yet. What a bridge says of its own lease (use, hold, release), it says itself; the client of
the supervisor makes one renewal a second of it.
"""

from collections import Counter
from typing import Final

import anyio
from loguru import logger

from common.logs import masked
from common.reasons import Reason
from gateway import errors
from gateway.certificates import Certificates
from gateway.drain import CallsInFlight
from gateway.eras import Eras
from gateway.errors import GatewayError, refused
from gateway.hotstate import HotState, UnderWay
from gateway.kept import VERSION, Kept, TooLong, write
from gateway.modern.conversation import ModernConversation
from gateway.personal import NOTHING, Personal
from gateway.relay import Relay
from gateway.session import Door, Session, not_found
from gateway.talk import Talk
from gateway.translation import choice
from supervisor.client import Grant, OpenRefused, SupervisorClient, SupervisorLost
from supervisor.protocol import Ending, Gone

LEAST_TO_START: Final = 1.0
"""Seconds that a child gets for answering `initialize`, however long it had to be waited for."""


def left_to_start(start_timeout: float, waited: float) -> float:
    """Seconds that a child has for answering `initialize`, when it was `waited` for: the timeout is for both together."""
    return max(start_timeout - waited, min(start_timeout, LEAST_TO_START))


async def grant(
    supervisor: SupervisorClient, server: str, label: str, user: str, within: float, personal: Personal = NOTHING
) -> Grant:
    """A new child of `server`, in `within` seconds, with what it is given of its user's own.

    Raises GatewayError where none can be had.

    Cancellation gives back what was being spawned.
    """
    try:
        with anyio.fail_after(within):
            return await supervisor.open(server, label, user, personal.values)
    except TimeoutError:
        raise GatewayError(Reason.START_TIMEOUT, "the server could not be started in time", server=server) from None
    except OpenRefused as no:
        raise refused(no.reason, no.message, no.retry_after, server=server) from None
    except SupervisorLost:
        raise errors.ended(Reason.SUPERVISOR_LOST, server) from None


class Leases:
    """The bridges to all children, by lease."""

    def __init__(self, supervisor: SupervisorClient, eras: Eras, hot_state: HotState | None = None) -> None:
        self.calls = CallsInFlight()
        self.certificates = Certificates()
        self._supervisor = supervisor
        self._eras = eras
        self._hot_state = hot_state
        self._relays: dict[int, Relay] = {}
        self._dropped: Counter[str] = Counter()
        """Of sessions that have ended."""
        supervisor.on_ending = self._on_ending
        supervisor.on_gone = self._on_gone

    def __repr__(self) -> str:
        return f"<Leases: {len(self._relays)}>"

    def __len__(self) -> int:
        return len(self._relays)

    def relays(self) -> list[Relay]:
        """The bridges to all children."""
        return list(self._relays.values())

    def dropped_messages(self) -> Counter[str]:
        """Messages that were dropped, in all sessions that there ever were, by why."""
        total = self._dropped.copy()
        for relay in self._relays.values():
            total.update(relay.dropped)
        return total

    async def spawn(self, session: Session) -> Relay:
        """A child for `session`. Raises GatewayError where none can be had, or where the session ends meanwhile."""
        asked, within = anyio.current_time(), session.policy.start_timeout
        whose = (masked(session.id), session.principal.handle)
        granted = await grant(self._supervisor, session.server, *whose, within, session.personal)
        start_within = left_to_start(within, anyio.current_time() - asked)
        relay = self._relay(session, granted, start_within=start_within)
        if session.ended is not None:
            relay.end(session.ended)
            raise not_found(session.ended)
        self._relays[relay.lease] = relay
        return relay

    def attach(self, session: Session, grant: Grant) -> None:
        """Give `session` the child that it had with an earlier gateway."""
        under_way = self._hot_state.take_over(grant.lease) if self._hot_state is not None else UnderWay()
        relay = self._relays[grant.lease] = self._relay(session, grant, resumes=under_way)
        session.resume(relay)

    def let_go(self, grant: Grant, reason: Reason) -> None:
        """End a child that no session can have."""
        self._supervisor.release(grant.lease, reason, (grant.stdin, grant.stdout))

    def keep(self, session: Session, relay: Relay) -> None:
        """From now on another gateway could go on with `session`, unless there is too much to tell it."""
        principal = session.principal
        whose = (principal.issuer, principal.subject, session.server)
        opened = choice.to_keep(session, relay.translator)
        about = (opened, relay.version, principal.user, relay.client)
        kept = Kept(VERSION, session.id, session.door.value, *whose, *about, key=session.key)
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
        """Its session has ended, and its child with it."""
        self._relays.pop(relay.lease, None)
        self.certificates.announce(relay.lease, relay.certificate)
        self._dropped.update(relay.dropped)

    def _relay(
        self, session: Session, grant: Grant, *, start_within: float | None = None, resumes: UnderWay | None = None
    ) -> Relay:
        """The bridge between `session` and its child."""
        self.certificates.expect(grant.lease, session.principal)
        return Relay(
            self._supervisor,
            grant,
            session.server,
            session.policy,
            label=masked(session.id),
            answers_questions=session.door is not Door.REST,
            on_end=session.forget,
            calls=self.calls,
            start_within=start_within,
            notes=self._hot_state.slot(grant.lease) if self._hot_state is not None else None,
            resumes=resumes,
            talk=self._talk(session, resumes),
            translator=choice.translator(session, self._eras, self._supervisor.epoch),
        )

    def _talk(self, session: Session, resumes: UnderWay | None) -> Talk | None:
        """The conversation, where it is not one of a legacy client."""
        if session.door is not Door.STATELESS:
            return None
        return ModernConversation(epoch=self._supervisor.epoch, initialized=resumes is not None)

    def _on_ending(self, message: Ending) -> None:
        self.certificates.announce(message.lease, message.certificate)
        if (relay := self._relays.get(message.lease)) is not None:
            relay.on_ending(message.reason, message.exit, message.certificate)

    def _on_gone(self, message: Gone) -> None:
        self.certificates.file(message.lease, message.certificate)
