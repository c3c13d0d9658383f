"""`/api/v1/sessions`: one's own sessions, through whichever door they were opened.

They are listed by handles, which nobody can use in place of an id. Callers without a name are one principal, so nothing
of theirs is listed but what they name by its id.
"""

from collections.abc import Iterable
from typing import Final

from quart import Blueprint

from common.reasons import Reason
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies
from gateway.http.mcp import SESSION_QUERY
from gateway.http.quarted import add, asked
from gateway.http.v1.queries import answer, query
from gateway.session import not_found
from gateway.sessions import Sessions
from gateway.unified import listed, paging
from gateway.unified.listed import Handles, Listed

PARAMETERS: Final = paging.PARAMETERS | {SESSION_QUERY}
_REMEDY: Final = "GET /api/v1/sessions lists those that are yours"


class SessionsDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._handles = Handles()

    def blueprint(self) -> Blueprint:
        """`/api/v1/sessions`."""
        routes = Blueprint("v1_sessions", __name__, url_prefix="/api/v1/sessions")
        one = "/<handle>"
        add(routes, "", "index", self.index, "GET")
        add(routes, one, "show", self.show, "GET")
        add(routes, one, "end", self.end, "DELETE")
        return routes

    async def index(self) -> Reply:
        """A page of the caller's sessions, the oldest first."""
        wanted = query(PARAMETERS)
        page = paging.page_of(wanted, tuple[float, str])
        await admitted.admit_listing(asked(), "")
        every = self._sessions.of(asked().sender.principal)
        named = wanted.get(SESSION_QUERY, ())
        found = every if asked().sender.principal.subject and not named else self._named(named)
        by_handle = [(self._handles.of(each), each) for each in found]
        shown, cursor = paging.cut(by_handle, _key, page)
        body = {
            "sessions": [listed.view(each, handle) for handle, each in shown],
            "total": len(found),
            "nextCursor": cursor,
            "unlisted": len(every) - len(found),
        }
        return answer(body)

    async def show(self, handle: str) -> Reply:
        """One of them."""
        query(())
        return answer(listed.view(self._find(handle), handle))

    async def end(self, handle: str) -> Reply:
        """End it, and every child that it has."""
        query(())
        self._find(handle).end(Reason.CLIENT_CLOSED)
        return bodies.empty(204)

    def _find(self, handle: str) -> Listed:
        """Raises GatewayError, always the same, for somebody else's, too."""
        found = self._handles.find(handle, self._sessions.of(asked().sender.principal))
        if found is None:
            raise not_found(remedy=_REMEDY)
        return found

    def _named(self, ids: Iterable[str]) -> list[Listed]:
        found = {id_: self._sessions.named(id_, asked().sender.principal) for id_ in ids}
        return [each for each in found.values() if each is not None]


def _key(each: tuple[str, Listed]) -> tuple[float, str]:
    handle, session = each
    return session.since, handle
