"""The sessions of clients that have none themselves: found by principal, server and key, made when there is none.

All that holds for other sessions holds for them: caps, idle timeout, lifetime, one child. The client never sees an id,
and is told nothing when a session ends: the next request gets another one, with a fresh child.
"""

from typing import Final, Protocol
from weakref import WeakValueDictionary

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.jsonrpc import request
from gateway.meta import OWN_ENVELOPE
from gateway.modern.conversation import OPENING
from gateway.rawjson import Members
from gateway.relay import Relay
from gateway.session import Door, Session

TRIES: Final = 3
"""How often a session is looked for that ends whenever it is found."""


class Table(Protocol):
    """What is needed of the table that they are all in (`gateway.sessions`)."""

    def open(self, who: Who, server: str, door: Door, key: str | None = None) -> Session:
        """A new session, without a child yet. Raises GatewayError where there can be none."""


class KeyedSessions:
    """Sessions by what they are found by. The table keeps them; here they are only known."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: WeakValueDictionary[tuple[Principal, str, str], Session] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"<KeyedSessions: {len(self._known)}>"

    def ephemeral(self, who: Who, server: str) -> Session:
        """A new session that nobody else finds; to be ended by who asked for it. Raises GatewayError."""
        return self._table.open(who, server, Door.STATELESS)

    def resume(self, session: Session) -> None:
        """Go on with a session that an earlier gateway had."""
        assert session.key is not None
        found_by = (session.principal, session.server, session.key)
        older = self._known.get(found_by)
        self._known[found_by] = session
        if older is not None:
            older.end(Reason.GATEWAY_LOST)

    async def start(self, who: Who, server: str, key: str, envelope: Members) -> Relay:
        """The bridge to the child for this key; who comes meanwhile waits for the same one.

        `envelope` says who asks, for the child to know where it is started by this. Raises GatewayError where no child
        can be had. Cancellation gives back what was being spawned, unless somebody else waits for it, too.
        """
        reason = Reason.CHILD_EXITED
        for _ in range(TRIES):
            session = self._find(who, server, key)
            try:
                return await begin(session, envelope)
            except GatewayError:
                if session.ended is None:
                    raise
                reason = session.ended  # it was on its way out, so there will be another one
        raise GatewayError(reason, "the server's process ends as soon as it is started", server=server)

    def is_live(self, principal: Principal, server: str, key: str) -> bool:
        """Whether there is a session with this key; its child may still be on its way."""
        session = self._known.get((principal, server, key))
        return session is not None and session.ended is None

    def end(self, principal: Principal, server: str, key: str) -> None:
        """End the session with this key, if there is one."""
        session = self._known.get((principal, server, key))
        if session is not None:
            session.end(Reason.CLIENT_CLOSED)

    def _find(self, who: Who, server: str, key: str) -> Session:
        found_by = (who.principal, server, key)
        session = self._known.get(found_by)
        if session is None or session.ended is not None:
            session = self._table.open(who, server, Door.STATELESS, key)
            self._known[found_by] = session
        return session


async def begin(session: Session, envelope: Members) -> Relay:
    """The bridge to the child of `session`, over which the conversation has been opened. Raises GatewayError.

    It is opened in the gateway's own name: a child that takes amiss what a client says of itself has not failed.
    """
    if session.relay is None:
        session.envelope = envelope
    relay = await session.start()
    if not relay.used:
        nobody = relay.new_outbox()
        relay.request(request(0, OPENING, {"_meta": OWN_ENVELOPE}), nobody, who=None)
        nobody.discard()
    return relay
