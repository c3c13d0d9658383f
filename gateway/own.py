"""The caller's own session set: what a request gets that asks for a tool, and names no session.

Each named principal has one, made when it is first needed. The anonymous are everybody, so none of them has anything of
their own: they get a set for one request, and for as long as a call of theirs waits for the answer to a question.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from common.reasons import Reason
from gateway.identity.principal import Principal
from gateway.identity.who import Who
from gateway.session_sets import SessionSet


class OwnSets:
    """The sets that `open_set` makes."""

    def __init__(self, open_set: Callable[[Who], SessionSet]) -> None:
        self._open = open_set
        self._sets: dict[Principal, SessionSet] = {}

    def __repr__(self) -> str:
        return f"<OwnSets: {len(self._sets)}>"

    @asynccontextmanager
    async def using(self, who: Who) -> AsyncIterator[SessionSet]:
        """The set for a request of `who`, which ends with the context where it is nobody's own. Raises GatewayError."""
        if not who.principal.handle:
            session_set = self._open(who)
            try:
                yield session_set
            finally:
                session_set.end_when_done(Reason.REQUEST_DONE)
            return
        found = self._sets.get(who.principal)
        if found is None or found.ended is not None:
            found = self._sets[who.principal] = self._open(who)
        yield found
