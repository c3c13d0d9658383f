"""The caller's own session set: what a request gets that asks for a tool, and names no session.

Each named principal has one, made when it is first needed, and another one when that has ended. It stands in the table
like any other, so it is counted, ends by itself when nobody makes use of it, and ends with its owner's credentials; but
nobody is told its id. A later gateway finds it again by its `key`.

The anonymous are everybody, so none of them has anything of their own: they get a set for one request, and for as long
as a call of theirs waits for the answer to a question.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

from common.reasons import Reason
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.session_sets import SessionSet

KEY: Final = "own"
"""By which it is known for what it is, beside its principal."""


class Table(Protocol):
    """What is needed of the table that they are all in (`gateway.sessions`)."""

    def open_set(self, who: Who, key: str | None = None) -> SessionSet:
        """A new session set, still empty. Raises GatewayError where there can be none."""


class OwnSets:
    """The sets by whose they are. The table keeps them; here they are only known."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._sets: dict[Principal, SessionSet] = {}

    def __repr__(self) -> str:
        return f"<OwnSets: {len(self._sets)}>"

    def take(self, who: Who) -> SessionSet:
        """The set for a request of `who`, to be left when that is answered. Raises GatewayError."""
        if not who.principal.subject:
            return self._table.open_set(who)
        found = self._sets.get(who.principal)
        if found is None:
            found = self._sets[who.principal] = self._table.open_set(who, KEY)
        found.rest()  # its time begins anew: it must not end while the request is on its way
        return found

    def leave(self, session_set: SessionSet) -> None:
        """The request is answered; a set that is nobody's own ends once no call of it runs. May be called again."""
        if session_set.key is None:
            session_set.end_when_done(Reason.REQUEST_DONE)

    @asynccontextmanager
    async def using(self, who: Who) -> AsyncIterator[SessionSet]:
        """The set for a request of `who`, which is answered within the context. Raises GatewayError."""
        session_set = self.take(who)
        try:
            yield session_set
        finally:
            self.leave(session_set)

    def resume(self, session_set: SessionSet) -> None:
        """Go on with a set that an earlier gateway had."""
        older = self._sets.get(session_set.principal)
        self._sets[session_set.principal] = session_set
        if older is not None:
            older.end(Reason.GATEWAY_LOST)

    def forget(self, ended: SessionSet) -> None:
        """It has ended. Nothing happens where it is none of these, or another has taken its place."""
        if self._sets.get(ended.principal) is ended:
            del self._sets[ended.principal]
