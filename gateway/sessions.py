"""The table of sessions: open, find (owner checked), end (with a reason).

Nothing but this module may assume that a session is served by this node; an id carries its node's name for the day when
there are more.

A **session** is one principal's private use of one server. Its child is spawned when the first message needs one. A
**session set** is what a REST id stands for: at most one session for each server. Both kinds of id come from here, 192
random bits behind the node's name, and an id of which nobody makes use ends after UNUSED seconds.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from typing import Final

import anyio
from loguru import logger

from common.config.model import ServerPolicy
from common.logs import masked
from common.reasons import Reason
from gateway import errors
from gateway.afterlife import Afterlife
from gateway.caller import Caller
from gateway.certificates import Certificates
from gateway.drain import CallsInFlight
from gateway.errors import GatewayError, refused
from gateway.hotstate import HotState, UnderWay
from gateway.identity.principal import Principal
from gateway.kept import VERSION, Kept, write
from gateway.relay import Relay
from supervisor.client import Grant, OpenRefused, SupervisorClient, SupervisorLost
from supervisor.protocol import Ending, Gone

UNUSED: Final = 300.0
"""Seconds after which an id without a child ends, if nothing was asked of it."""

MAX_CHILDLESS: Final = 10_000
"""Ids without a child that may exist at once: each costs about a kilobyte, and anybody may ask for one."""

CHILDLESS_RETRY: Final = 30.0
"""Seconds after which somebody who got no id because of that may try again."""

LEAST_TO_START: Final = 1.0
"""Seconds that a child gets for answering `initialize`, however long it had to be waited for."""

_ID_BYTES: Final = 24
_GET_AN_ID: Final = "get a new id from GET /api/sessionid"


class Door(Enum):
    """Through which door a session was opened. It answers at no other."""

    SSE = "HTTP+SSE"
    STREAMABLE = "Streamable HTTP"
    REST = "REST"


class Session:
    """One principal's use of one server, through one door."""

    def __init__(
        self,
        sessions: "Sessions",
        id_: str,
        principal: Principal,
        server: str,
        door: Door,
        member_of: "SessionSet | None" = None,
    ) -> None:
        self.id = id_
        self.principal = principal
        self.server = server
        self.door = door
        self.policy: ServerPolicy = sessions.policies[server]
        self.ended: Reason | None = None
        self._sessions = sessions
        self._relay: Relay | None = None
        self._caller: Caller | None = None
        self._lapsed = False
        self._certificate = ""
        self._starting = anyio.Lock()
        self._member_of = member_of
        self._unused_timer = sessions.arm_unused(self) if member_of is None else None

    def __repr__(self) -> str:
        return f"<Session {masked(self.id)} {self.door.value} {self._relay or self.ended or 'without a child'!r}>"

    @property
    def in_use(self) -> bool:
        """Whether anything was ever asked of its child."""
        return self._relay is not None and self._relay.used and self.ended is None

    @property
    def relay(self) -> Relay | None:
        """The bridge to its child, once `start` has made it."""
        return self._relay

    @property
    def owner(self) -> tuple[object, ...]:
        """All that has to be right before anybody is told of it."""
        return (self.principal, self.server, self.door)

    @property
    def certificate(self) -> str:
        """The id of its child's death certificate, where there is one."""
        return self._relay.certificate if self._relay is not None else self._certificate

    def resume(self, relay: Relay) -> None:
        """Go on with a child that an earlier gateway saw through its handshake."""
        self._relay = relay
        if self.door is Door.REST:
            self._caller = Caller(relay, self.server)

    async def start(self) -> Relay:
        """The bridge to its child, spawned if there is none yet; who comes meanwhile waits for the same one.

        Raises GatewayError where no child can be had, and then a later call tries again, or where the session has ended.
        Cancellation gives back what was being spawned.
        """
        async with self._starting:
            if self.ended is not None:
                raise not_found(self.ended)
            if self._relay is None:
                self._relay = await self._sessions.spawn(self)
                if self.door is Door.STREAMABLE:
                    self._relay.on_ready = self.keep
            return self._relay

    def lapse(self, reason: Reason) -> None:
        """Its child ended after an earlier gateway, and before this one."""
        self._lapsed = True
        self.forget(reason)

    def keep(self) -> None:
        """From now on another gateway could go on with it."""
        if self._relay is not None:
            self._sessions.keep(self, self._relay)

    async def caller(self) -> Caller:
        """The gateway's own MCP client of its child, past the handshake; who comes meanwhile waits for it.

        Raises GatewayError where the handshake fails. Then, and when it is cancelled, the session ends.
        """
        try:
            relay = await self.start()
            async with self._starting:
                if self._caller is None:
                    self._caller = await self._shake_hands(relay)
                return self._caller
        except GatewayError as error:
            self.end(error.reason)
            raise

    async def _shake_hands(self, relay: Relay) -> Caller:
        caller = Caller(relay, self.server)
        try:
            await caller.shake_hands()
        except anyio.get_cancelled_exc_class():
            self.end(Reason.CLIENT_GONE)
            raise
        self.keep()
        return caller

    @property
    def had_a_caller(self) -> bool:
        """Whether its handshake was ever done, so that there may be a state to lose."""
        return self._caller is not None or self._lapsed

    def end(self, reason: Reason) -> None:
        """End it, and its child with it. May be called again."""
        if self._relay is not None:
            self._relay.end(reason)
        self.forget(reason)

    def forget(self, reason: Reason) -> None:
        """It has ended: take it out of the table. `end` and the relay's own end come here."""
        if self.ended is None:
            self.ended = reason
            self._disarm()
            self._sessions.remove(self, reason)
            if self._member_of is not None:
                self._member_of.rest()
            certificate = f", certificate {self.certificate}" if self.certificate else ""
            facts = (masked(self.id), self.principal, self.server, reason, certificate)
            logger.info("session {} of {} on {} ended: {}{}", *facts)
            # Its set keeps it for minutes, to say why it ended; without this the whole bridge would be kept with it.
            self._certificate, self._lapsed = self.certificate, self.had_a_caller
            self._relay = self._caller = None

    def _disarm(self) -> None:
        if self._unused_timer is not None:
            self._unused_timer.cancel()


class SessionSet:
    """One principal's sessions under one REST id."""

    def __init__(self, sessions: "Sessions", id_: str, principal: Principal) -> None:
        self.id = id_
        self.principal = principal
        self.ended: Reason | None = None
        self._sessions = sessions
        self.owner: tuple[object, ...] = (principal,)
        self._by_server: dict[str, Session] = {}
        self._unused_timer = sessions.arm_unused(self)

    def __repr__(self) -> str:
        return f"<SessionSet {masked(self.id)}: {sorted(self._by_server)}>"

    @property
    def in_use(self) -> bool:
        """Whether any of its sessions is."""
        return any(session.in_use for session in self._by_server.values())

    def session(self, server: str) -> Session:
        """Its session with `server`, made if there is none yet.

        Raises GatewayError where that one has ended: its state is lost, and going on with a fresh child in its place
        would hide that.
        """
        self.rest()
        session = self._by_server.get(server)
        if session is not None and session.ended is not None and session.had_a_caller:
            about = {"certificate": session.certificate} if session.certificate else {}
            raise not_found(session.ended, remedy=_GET_AN_ID, server=server, **about)
        if session is None or session.ended is not None:
            session = self._sessions.add_to_set(self, server)
            self._by_server[server] = session
        return session

    def resume(self, session: Session) -> None:
        """Go on with a session of it that an earlier gateway had."""
        older = self._by_server.get(session.server)
        if older is not None:
            older.end(Reason.GATEWAY_LOST)
        self._by_server[session.server] = session

    def rest(self) -> None:
        """Let the time in which it must be used begin anew."""
        self._unused_timer.cancel()
        if self.ended is None:
            self._unused_timer = self._sessions.arm_unused(self)

    def end(self, reason: Reason) -> None:
        """End all of it. May be called again."""
        if self.ended is None:
            self.ended = reason
            self._unused_timer.cancel()
            for session in tuple(self._by_server.values()):
                session.end(reason)
            self._sessions.remove(self, reason)


def not_found(
    ended: Reason | None = None, /, remedy: str = "open a new one with 'initialize'", **about: object
) -> GatewayError:
    """What an unknown id gets, and somebody else's; one's own that has ended is told why."""
    if ended is None:
        return GatewayError(Reason.SESSION_NOT_FOUND, f"there is no such session; {remedy}", **about)
    message = f"the session has ended ({ended}); {remedy}"
    return GatewayError(Reason.SESSION_NOT_FOUND, message, reason=ended, **about)


def _no_server(server: str) -> GatewayError:
    return GatewayError(Reason.SERVER_NOT_FOUND, f"there is no server '{server[:64]}'", server=server[:64])


def left_to_start(start_timeout: float, waited: float) -> float:
    """Seconds that a child has for answering `initialize`, when it was `waited` for: the timeout is for both together."""
    return max(start_timeout - waited, min(start_timeout, LEAST_TO_START))


@dataclass(frozen=True)
class Counts:
    """What `/health` shows."""

    sessions: int
    children: int


class Sessions:
    """The table."""

    def __init__(
        self,
        supervisor: SupervisorClient,
        policies: dict[str, ServerPolicy],
        node: str,
        hot_state: HotState | None = None,
    ) -> None:
        self.policies = policies
        """What holds for new sessions."""
        self._retired: dict[str, ServerPolicy] = {}
        """Of servers that the configuration no longer has; their live sessions go on."""
        self.calls = CallsInFlight()
        self.afterlife = Afterlife()
        self.certificates = Certificates()
        self._supervisor = supervisor
        self._hot_state = hot_state
        self._node = node
        self._by_id: dict[str, Session | SessionSet] = {}
        self._by_lease: dict[int, Relay] = {}
        self._in_sets: set[Session] = set()
        self._refusing: Reason | None = None
        self._dropped: Counter[str] = Counter()
        """Of sessions that have ended."""
        supervisor.on_ending = self._on_ending
        supervisor.on_gone = self._on_gone

    def take_over(self, policies: dict[str, ServerPolicy]) -> None:
        """The servers are these now. Live sessions keep the policy that they began with."""
        known = {**self._retired, **self.policies}
        self.policies = policies
        self._retired = {name: known[name] for name in {each.server for each in self._all()} - policies.keys()}

    def refuse(self, reason: Reason) -> None:
        """Open no more sessions; those that there are go on."""
        self._refusing = reason

    def policy(self, server: str) -> ServerPolicy:
        """What holds for `server`. Raises GatewayError where there is none of that name, and no live session with it."""
        if server in self.policies:
            return self.policies[server]
        if server in self._retired and any(session.server == server for session in self._all()):
            return self._retired[server]
        raise _no_server(server)

    def open(self, principal: Principal, server: str, door: Door) -> Session:
        """A new session, without a child yet. Raises GatewayError for an unknown server, or too many ids."""
        self._check_configured(server)
        self._check_room()
        session = Session(self, self._new_id(), principal, server, door)
        self._by_id[session.id] = session
        return session

    def open_set(self, principal: Principal) -> SessionSet:
        """A new session set, still empty. Raises GatewayError for too many ids."""
        self._check_room()
        session_set = SessionSet(self, self._new_id(), principal)
        self._by_id[session_set.id] = session_set
        return session_set

    def find(self, id_: str, principal: Principal, server: str, door: Door) -> Session:
        """The session `id_`, if it is `principal`'s, on `server`, through `door`; else GatewayError, always the same."""
        found = self._by_id.get(id_)
        owner = (principal, server, door)
        if not isinstance(found, Session) or found.owner != owner:
            raise not_found(self.afterlife.why(id_, owner))
        return found

    def find_set(self, id_: str, principal: Principal) -> SessionSet:
        """The session set `id_`, if it is `principal`'s; else GatewayError, always the same."""
        found = self._by_id.get(id_)
        if not isinstance(found, SessionSet) or found.principal != principal:
            raise not_found(self.afterlife.why(id_, (principal,)), remedy=_GET_AN_ID)
        return found

    def counts(self) -> Counts:
        """How many sessions there are, and how many of them have a child."""
        singles = sum(isinstance(each, Session) for each in self._by_id.values())
        in_sets = sum(session.relay is not None for session in self._in_sets)
        return Counts(singles + in_sets, len(self._by_lease))

    def dropped_messages(self) -> Counter[str]:
        """Messages that were dropped, in all sessions that there ever were, by why."""
        total = self._dropped.copy()
        for relay in self._by_lease.values():
            total.update(relay.dropped)
        return total

    def end_all(self, reason: Reason) -> None:
        """End every session, and open no more."""
        self._refusing = reason
        for each in tuple(self._by_id.values()):
            each.end(reason)
        self.afterlife.end()

    # From one gateway to the next: see gateway.succession.

    def relays(self) -> list[Relay]:
        """The bridges to all children."""
        return list(self._by_lease.values())

    def restore(self, id_: str, principal: Principal, server: str, door: Door) -> Session | None:
        """A session that an earlier gateway had, still without its child; None where the id is another's."""
        known = self._by_id.get(id_)
        if door is not Door.REST:
            if known is not None:
                return None
            session = self._by_id[id_] = Session(self, id_, principal, server, door)
            return session
        session_set = known or SessionSet(self, id_, principal)
        if not isinstance(session_set, SessionSet) or session_set.principal != principal:
            return None
        self._by_id[id_] = session_set
        session = self.add_to_set(session_set, server)
        session_set.resume(session)
        return session

    def attach(self, session: Session, grant: Grant) -> None:
        """Give `session` the child that it had with an earlier gateway."""
        under_way = self._hot_state.take_over(grant.lease) if self._hot_state is not None else UnderWay()
        relay = self._by_lease[grant.lease] = self._relay(session, grant, resumes=under_way)
        session.resume(relay)

    def let_go(self, grant: Grant, reason: Reason) -> None:
        """End a child that no session can have."""
        self._supervisor.release(grant.lease, reason, (grant.stdin, grant.stdout))

    def keep(self, session: Session, relay: Relay) -> None:
        """From now on another gateway could go on with `session`."""
        principal = session.principal
        owner = (principal.issuer, principal.subject)
        kept = Kept(VERSION, session.id, session.door.value, *owner, session.server, relay.version)
        relay.kept = True
        self._supervisor.keep(relay.lease, write(kept))

    # For Session and SessionSet.

    def add_to_set(self, session_set: SessionSet, server: str) -> Session:
        """A new session of a set; it has no id of its own that anybody could use."""
        self._check_configured(server)
        session = Session(self, session_set.id, session_set.principal, server, Door.REST, session_set)
        self._in_sets.add(session)
        return session

    async def spawn(self, session: Session) -> Relay:
        """A child for `session`. Raises GatewayError where none can be had."""
        if self._refusing is not None:
            raise GatewayError(self._refusing, "the gateway is shutting down")
        asked, within = anyio.current_time(), session.policy.start_timeout
        try:
            with anyio.fail_after(within):
                grant = await self._supervisor.open(session.server, masked(session.id), session.principal.handle)
        except TimeoutError:
            raise GatewayError(
                Reason.START_TIMEOUT, "the server could not be started in time", server=session.server
            ) from None
        except OpenRefused as no:
            raise refused(no.reason, no.message, no.retry_after, server=session.server) from None
        except SupervisorLost:
            raise errors.ended(Reason.SUPERVISOR_LOST, session.server) from None
        start_within = left_to_start(within, anyio.current_time() - asked)
        relay = self._relay(session, grant, start_within=start_within)
        if session.ended is not None:
            relay.end(session.ended)
            raise not_found(session.ended)
        self._by_lease[relay.lease] = relay
        return relay

    def remove(self, ended: Session | SessionSet, reason: Reason) -> None:
        """Take what has ended out of the table, and remember why."""
        if isinstance(ended, Session):
            self._in_sets.discard(ended)
            if (relay := ended.relay) is not None:
                self._by_lease.pop(relay.lease, None)
                self._dropped.update(relay.dropped)
                if reason is Reason.IDLE_TIMEOUT and relay.standing is not None:
                    self.afterlife.keep_stream(ended.id, relay.standing)
        if self._by_id.get(ended.id) is ended:
            del self._by_id[ended.id]
            self.afterlife.remember(ended.id, ended.owner, reason)

    def arm_unused(self, idle: Session | SessionSet) -> asyncio.TimerHandle:
        """End `idle` after UNUSED seconds, unless it is in use then."""
        # In a context of its own: the caller's holds the whole request.
        return asyncio.get_running_loop().call_later(UNUSED, self._end_unused, idle, context=Context())

    # Within.

    def _relay(
        self, session: Session, grant: Grant, *, start_within: float | None = None, resumes: UnderWay | None = None
    ) -> Relay:
        """The bridge between `session` and its child."""
        self.certificates.expect(grant.lease, session.principal)
        relay = Relay(
            self._supervisor,
            grant,
            session.server,
            session.policy,
            label=masked(session.id),
            answers_questions=session.door is not Door.REST,
            on_end=session.forget,
            start_within=start_within,
            notes=self._hot_state.slot(grant.lease) if self._hot_state is not None else None,
            resumes=resumes,
        )
        relay.calls = self.calls
        return relay

    @staticmethod
    def _end_unused(idle: Session | SessionSet) -> None:
        if not idle.in_use:
            idle.end(Reason.UNUSED)

    def _on_ending(self, message: Ending) -> None:
        self.certificates.announce(message.lease, message.certificate)
        if (relay := self._by_lease.get(message.lease)) is not None:
            relay.on_ending(message.reason, message.exit, message.certificate)

    def _on_gone(self, message: Gone) -> None:
        self.certificates.file(message.lease, message.certificate)

    def _new_id(self) -> str:
        return f"{self._node}.{secrets.token_urlsafe(_ID_BYTES)}"

    def _all(self) -> Iterator[Session]:
        yield from (each for each in self._by_id.values() if isinstance(each, Session))
        yield from self._in_sets

    def _check_configured(self, server: str) -> None:
        if server not in self.policies:
            raise _no_server(server)

    def _check_room(self) -> None:
        if self._refusing is not None:
            raise GatewayError(self._refusing, "the gateway is shutting down")
        if len(self._by_id) - len(self._by_lease) >= MAX_CHILDLESS:
            message = "too many session ids are waiting to be used; try again later"
            raise refused(Reason.MAX_SESSIONS, message, CHILDLESS_RETRY)
