"""The table of sessions: open, find (owner checked), end (with a reason).

Nothing but this module may assume that a session is served by this node; an id carries its node's name for the day when
there are more. Both kinds of id, a session's and a session set's, come from here: random bits behind the node's name.
What stands in the table: `gateway.session`, `gateway.session_sets`. Where their children come from: `gateway.leases`.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from loguru import logger

from common.config.amounts import Quotas as QuotaSettings
from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway.afterlife import Afterlife
from gateway.caller import ANSWERED, ASKABLE
from gateway.eras import Eras, remedy
from gateway.errors import no_server, refused
from gateway.hotstate import HotState
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.leases import Leases
from gateway.modern.keyed import KeyedSessions
from gateway.oversight import Oversight
from gateway.own import OwnSets
from gateway.personal import Personal, personal
from gateway.refusals import counting
from gateway.relay import Relay
from gateway.session import Door, Session, not_found
from gateway.session_sets import GET_AN_ID, SessionSet
from gateway.sharing.whose import key_of
from gateway.unnamed import UnnamedUsers
from supervisor.client import SupervisorClient

MAX_CHILDLESS: Final = 10_000
"""Ids without a child that may exist at once: each costs about a kilobyte, and anybody may ask for one."""

CHILDLESS_SHARE: Final = MAX_CHILDLESS // 4
"""How many of them one principal may have, where there are others: nobody else goes without because of it."""

CHILDLESS_RETRY: Final = 30.0
"""Seconds after which somebody who got no id because of that may try again."""

LEAVING_RETRY: Final = 2.0
"""Seconds after which there may be another gateway in the place of one that is leaving."""

_ID_BYTES: Final = 24


@dataclass(frozen=True)
class Counts:
    """What `/health` shows."""

    sessions: int
    children: int


class Sessions:
    """The table."""

    level = "INFO"

    def __init__(
        self,
        supervisor: SupervisorClient,
        policies: dict[str, ServerPolicy],
        node: str,
        hot_state: HotState | None = None,
        quotas: QuotaSettings | None = None,
        *,
        oversight: Oversight | None = None,
    ) -> None:
        self.oversight = oversight or Oversight()
        """Who may use what, and what is recorded of it."""
        self.policies = policies
        """What holds for new sessions."""
        self._retired: dict[str, ServerPolicy] = {}
        """Of servers that the configuration no longer has; their live sessions go on."""
        self.eras = Eras(policies)
        self.leases = Leases(supervisor, self.eras, self.oversight, hot_state, quotas)
        """The children of all of them."""
        self.quotas = self.leases.quotas
        self.quotas.heed(policies)
        self.calls = self.leases.calls
        self.certificates = self.leases.certificates
        self.afterlife = Afterlife()
        self.unnamed = UnnamedUsers()
        self.keyed = KeyedSessions(self)
        """Those of clients that have no session themselves."""
        self.own = OwnSets(self)
        """What callers of REST have that name no session."""
        self._node = node
        self._by_id: dict[str, Session | SessionSet] = {}
        self._in_sets: set[Session] = set()
        self._refusing: Reason | None = None

    def take_over(self, policies: dict[str, ServerPolicy]) -> None:
        """The servers are these now. Live sessions keep the policy that they began with."""
        known = {**self._retired, **self.policies}
        self.policies = policies
        self.eras.take_over(policies)
        self.quotas.heed(policies)
        self._retired = {name: known[name] for name in {each.server for each in self._all()} - policies.keys()}

    def refuse(self, reason: Reason) -> None:
        """Open no more sessions; those that there are go on."""
        self._refusing = reason

    @property
    def is_leaving(self) -> bool:
        """Whether there are to be no more sessions, because this gateway is about to end."""
        return self._refusing is not None

    def policy(self, server: str) -> ServerPolicy:
        """What holds for `server`. Raises GatewayError where there is none of that name, and no live session with it."""
        if server in self.policies:
            return self.policies[server]
        if server in self._retired and any(session.server == server for session in self._all()):
            return self._retired[server]
        raise no_server(server)

    def check(self, who: Who, server: str) -> None:
        """Raises GatewayError where `who` may not use `server`, the same as for one that there is not."""
        self.policy(server)
        self.oversight.check_server(who, server)

    def open(self, who: Who, server: str, door: Door, key: str | None = None) -> Session:
        """A new session, without a child yet. Raises GatewayError for an unknown server, or too many ids."""
        self._check_configured(server)
        self.oversight.check_server(who, server)
        self._check_room(who.principal)
        policy, principal = self.policies[server], who.principal
        own, share = personal(who, policy), key_of(who, policy)
        session = Session(self, self._new_id(), principal, server, door, policy, key=key, personal=own, share=share)
        self._add(session)
        self.oversight.opened(session)
        return session

    def open_set(self, who: Who, key: str | None = None) -> SessionSet:
        """A new session set, still empty. Raises GatewayError for too many ids."""
        self._check_room(who.principal)
        session_set = SessionSet(self, self._new_id(), who.principal, key)
        self._add(session_set)
        return session_set

    def find(self, id_: str, who: Who, server: str, door: Door) -> Session:
        """The session `id_`, if it is `who`'s, on `server`, through `door`; else GatewayError, always the same."""
        found = self._by_id.get(id_)
        owner = (who.principal, server, door)
        if not isinstance(found, Session) or found.owner != owner:
            raise not_found(self.afterlife.why(id_, owner))
        return found

    def find_set(self, id_: str, who: Who) -> SessionSet:
        """The session set `id_`, if it is `who`'s; else GatewayError, always the same."""
        found = self._by_id.get(id_)
        if not isinstance(found, SessionSet) or found.principal != who.principal:
            raise not_found(self.afterlife.why(id_, (who.principal,)), remedy=GET_AN_ID)
        return found

    def of(self, principal: Principal) -> list[Session | SessionSet]:
        """All that `principal` has, through every door."""
        return [each for each in self._by_id.values() if each.principal == principal]

    def named(self, id_: str, principal: Principal) -> Session | SessionSet | None:
        """What `principal` has under the id, through whichever door; None for anybody else's, too.

        Nobody who names what has a key can have been told its id.
        """
        found = self._by_id.get(id_)
        return found if found is not None and found.principal == principal and found.key is None else None

    def counts(self) -> Counts:
        """How many sessions there are, and how many of them have a child."""
        singles = sum(isinstance(each, Session) for each in self._by_id.values())
        in_sets = sum(session.relay is not None for session in self._in_sets)
        return Counts(singles + in_sets, len(self.leases))

    def dropped_messages(self) -> Counter[str]:
        """Messages that were dropped, in all sessions that there ever were, by why."""
        return self.leases.dropped_messages()

    def end_all(self, reason: Reason) -> None:
        """End every session, and open no more."""
        self._refusing = reason
        self.leases.shares.end_all(reason)
        self.leases.end_aside(reason)
        for each in tuple(self._by_id.values()):
            each.end(reason)
        self.afterlife.end()

    def end_of_others(self, is_admitted: Callable[[Principal], bool]) -> None:
        """End the sessions of those who are admitted no more: an open stream would let them go on."""
        for each in tuple(self._by_id.values()):
            if not is_admitted(each.principal):
                each.end(Reason.CREDENTIALS_REMOVED)

    # From one gateway to the next: see gateway.succession.

    def restore(
        self, id_: str, principal: Principal, server: str, door: Door, own: Personal, key: str | None = None
    ) -> Session | None:
        """A session that an earlier gateway had, still without its child; None where the id is another's.

        `own` is what its child was given of the user's own.
        """
        known = self._by_id.get(id_)
        if door is not Door.REST:
            if known is not None:
                return None
            policy = self.policies[server]
            session = Session(self, id_, principal, server, door, policy, key=key, personal=own)
            self._add(session)
            if key is not None:
                self.keyed.resume(session)
            return session
        session_set = known or SessionSet(self, id_, principal, key)
        if not isinstance(session_set, SessionSet) or session_set.principal != principal:
            return None
        if known is None:
            self._add(session_set)
            if key is not None:
                self.own.resume(session_set)
        session = self._add_to_set(session_set, server, own)
        session_set.resume(session)
        return session

    # For Session and SessionSet.

    def add_to_set(self, session_set: SessionSet, server: str, who: Who) -> Session:
        """A new session of a set; it has no id of its own that anybody could use."""
        self._check_configured(server)
        self.oversight.check_server(who, server)
        policy = self.policies[server]
        session = self._add_to_set(session_set, server, personal(who, policy), key_of(who, policy))
        self.oversight.opened(session)
        return session

    def _add_to_set(self, session_set: SessionSet, server: str, own: Personal, share: str | None = None) -> Session:
        policy, owner, rest = self.policies[server], session_set.principal, session_set.rest
        id_, key = session_set.id, session_set.key
        session = Session(
            self, id_, owner, server, Door.REST, policy, key=key, personal=own, share=share, on_forget=rest
        )
        session.hello, session.answers = ASKABLE, ANSWERED  # the gateway itself is its client, and passes questions on
        self._in_sets.add(session)
        return session

    async def spawn(self, session: Session) -> Relay:
        """A child for `session`. Raises GatewayError where none can be had."""
        self._refuse_if_leaving()
        with counting(self.quotas.refusals):
            return await self.leases.spawn(session)

    def keep(self, session: Session, relay: Relay) -> None:
        """From now on another gateway could go on with `session`."""
        self.leases.keep(session, relay)

    def remove(self, ended: Session, reason: Reason) -> None:
        """Take a session that has ended out of the table."""
        self._in_sets.discard(ended)
        self.oversight.ended(ended, reason)
        if reason is Reason.START_FAILED:
            self.eras.forget(ended.server)  # perhaps it was spoken to in the wrong one
            if found := remedy(ended.policy):
                logger.warning("server '{}' refused its first request{}", ended.server, found)
        if (relay := ended.relay) is not None:
            self.leases.remove(relay)
            if reason is Reason.IDLE_TIMEOUT and relay.standing is not None:
                self.afterlife.keep_stream(ended.id, relay.standing)
        self._remove(ended, reason)

    def remove_set(self, ended: SessionSet, reason: Reason) -> None:
        """Take a session set that has ended out of the table."""
        self.own.forget(ended)
        self._remove(ended, reason)

    # Within.

    def _add(self, opened: Session | SessionSet) -> None:
        self._by_id[opened.id] = opened
        self.quotas.sessions.take(opened.principal)

    def _remove(self, ended: Session | SessionSet, reason: Reason) -> None:
        if self._by_id.get(ended.id) is ended:
            del self._by_id[ended.id]
            self.quotas.sessions.give_back(ended.principal)
            self.afterlife.remember(ended.id, ended.owner, reason)

    def _new_id(self) -> str:
        return f"{self._node}.{secrets.token_urlsafe(_ID_BYTES)}"

    def _all(self) -> Iterator[Session]:
        yield from (each for each in self._by_id.values() if isinstance(each, Session))
        yield from self._in_sets

    def _check_configured(self, server: str) -> None:
        if server not in self.policies:
            raise no_server(server)

    def _check_room(self, principal: Principal) -> None:
        self._refuse_if_leaving()
        with counting(self.quotas.refusals):
            self.quotas.check_sessions(principal)
            self._check_childless(principal)

    def _check_childless(self, principal: Principal) -> None:
        if len(self._by_id) < CHILDLESS_SHARE:
            return
        childless = len(self._by_id) - self.leases.bridges
        if childless >= MAX_CHILDLESS:
            message = "too many session ids are waiting to be used; try again later"
            raise refused(Reason.MAX_SESSIONS, message, CHILDLESS_RETRY)
        # Counted only where it could be so. The anonymous are everybody, and have nobody to leave room for.
        if childless >= CHILDLESS_SHARE and principal.handle and self._unused_by(principal) >= CHILDLESS_SHARE:
            message = "too many of your session ids are waiting to be used; use them, or try again later"
            raise refused(Reason.MAX_USER_SESSIONS, message, CHILDLESS_RETRY)

    def _refuse_if_leaving(self) -> None:
        if self._refusing is not None:
            raise refused(self._refusing, "the gateway is shutting down", LEAVING_RETRY)

    def _unused_by(self, principal: Principal) -> int:
        return sum(each.principal == principal and not each.in_use for each in self._by_id.values())
