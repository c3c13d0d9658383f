"""A **session set**: what a REST id stands for, at most one session for each server."""

import time
from typing import Final, Protocol

from common.logs import masked
from common.reasons import Reason
from gateway.caller import Caller
from gateway.errors import GatewayError
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.personal import personal
from gateway.session import Session, not_found
from gateway.unused import Unused

GET_AN_ID: Final = "get a new id from GET /api/sessionid"
"""What somebody is told to do whose id is none, or no longer."""


class Table(Protocol):
    """What a session set needs of the table that it is in (`gateway.sessions`)."""

    def add_to_set(self, session_set: "SessionSet", server: str, who: Who) -> Session:
        """A new session of it. Raises GatewayError where `server` is not configured, or `who` may not use it."""

    def remove_set(self, ended: "SessionSet", reason: Reason) -> None:
        """It has ended."""


class SessionSet:
    """One principal's sessions under one REST id.

    One with a `key` is found by that, and its id is shown to nobody (`gateway.own`). Whoever uses it has named no
    session, so in the place of one that has ended there is another.
    """

    def __init__(self, table: Table, id_: str, principal: Principal, key: str | None = None) -> None:
        self.id = id_
        self.key = key
        self.since = time.monotonic()
        """When it was opened, or taken up."""
        self.principal = principal
        self.ended: Reason | None = None
        self._table = table
        self.owner: tuple[object, ...] = (principal,)
        self._by_server: dict[str, Session] = {}
        self._unused = Unused(self)
        self._calls = 0
        self._over: Reason | None = None

    def __repr__(self) -> str:
        return f"<SessionSet {masked(self.id)}: {sorted(self._by_server)}>"

    @property
    def in_use(self) -> bool:
        """Whether any of its sessions is."""
        return any(session.in_use for session in self._by_server.values())

    @property
    def sessions(self) -> tuple[Session, ...]:
        """Those that it has, and the last one with each server that has ended."""
        return tuple(self._by_server.values())

    def live(self, server: str) -> Session | None:
        """Its session with `server`, while there is one."""
        session = self._by_server.get(server)
        return session if session is not None and session.ended is None else None

    def session(self, server: str, who: Who) -> Session:
        """Its session with `server`, made for `who` asks if there is none yet.

        Raises GatewayError where the set has ended, perhaps while a request to it was still being read; and, unless the
        set has a key, where that session has: its state is lost, and a fresh child in its place would hide that.
        Also for what is missing or malformed of the user's own. What was changed of that the session's relay heeds,
        with each call.
        """
        if self.ended is not None:
            raise not_found(self.ended, remedy=GET_AN_ID)
        self.rest()
        session = self._by_server.get(server)
        if session is not None and session.ended is not None and session.had_a_caller and self.key is None:
            about = {"certificate": session.certificate} if session.certificate else {}
            raise not_found(session.ended, remedy=GET_AN_ID, server=server, **about)
        if session is None or session.ended is not None:
            session = self._table.add_to_set(self, server, who)
            self._by_server[server] = session
        personal(who, session.policy)
        return session

    def given(self, server: str, who: Who) -> bytes:
        """What stands for all that `who` gives the child of `server` of their own. Raises GatewayError, as `session`."""
        return personal(who, self.session(server, who).policy).digest

    async def caller(self, server: str, who: Who) -> Caller:
        """The gateway's own MCP client of its child of `server`. Raises GatewayError, as `session` and its `caller` do.

        Whoever waits for a child that another request began to start gets one of their own when that request's client
        hangs up, which ends what it began.
        """
        while True:
            session = self.session(server, who)
            try:
                return await session.caller()
            except GatewayError:
                if session.ended is not Reason.CLIENT_GONE:
                    raise

    def resume(self, session: Session) -> None:
        """Go on with a session of it that an earlier gateway had."""
        older = self._by_server.get(session.server)
        if older is not None:
            older.end(Reason.GATEWAY_LOST)
        self._by_server[session.server] = session

    def rest(self) -> None:
        """Let the time in which it must be used begin anew."""
        if self.ended is None:
            self._unused.begin_anew()

    def begin_call(self) -> None:
        """A call of it is made, which may go on after the request that made it was answered, with a question."""
        self._calls += 1

    def end_call(self) -> None:
        """One of them is over. It is called once for each `begin_call`."""
        self._calls -= 1
        if self._over is not None:
            self.end_when_done(self._over)

    def end_when_done(self, reason: Reason) -> None:
        """End all of it as soon as no call of it is left."""
        self._over = reason
        if not self._calls:
            self.end(reason)

    def end(self, reason: Reason) -> None:
        """End all of it. May be called again."""
        if self.ended is None:
            self.ended = reason
            self._unused.cancel()
            for session in tuple(self._by_server.values()):
                session.end(reason)
            self._table.remove_set(self, reason)
