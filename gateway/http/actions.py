"""REST as LibreChat's Actions can use it: the same calls, but that every answer is a 200.

Of any other status LibreChat tells the model no more than the number. So whoever was let in reads here, in a body, what
went wrong and what to do; whoever was not is refused by the guards as everywhere, and learns nothing.
"""

import msgspec
from quart import Blueprint

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies
from gateway.http.asked import ACTIONS
from gateway.http.calling import ToolCalls
from gateway.http.mcp import SESSION_QUERY
from gateway.http.quarted import add, asked
from gateway.http.rest import read_arguments
from gateway.openapi.actions import BASE, GET_SESSION, SESSION_PARAMETERS
from gateway.personal import user_of
from gateway.session_sets import GET_AN_ID, SessionSet
from gateway.sessions import Sessions


class ActionsDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, calls: ToolCalls) -> None:
        self._sessions = sessions
        self._calls = calls

    def blueprint(self) -> Blueprint:
        """`/api/actions/sessionid` and `/api/actions/{server}/{tool}`."""
        routes = Blueprint(ACTIONS, __name__, url_prefix=BASE)
        add(routes, "/sessionid", "open", self.open, "GET")
        call = "/<server:server>/<path:tool>"
        add(routes, call, "call", self.call, "POST")
        return routes

    async def open(self) -> Reply:
        """A new session id. Nothing is spawned yet."""
        await admitted.admit_opening(asked())
        session_set = self._sessions.open_set(asked().sender)
        return bodies.json_reply(msgspec.json.encode({SESSION_QUERY: session_set.id}))

    async def call(self, server: str, tool: str) -> Reply:
        """Call a tool; the answer is its result as MCP gives it, or an error."""
        try:
            return _as_200(await self._called(server, tool))
        except GatewayError as error:
            raise _for_a_model(error) from None

    async def _called(self, server: str, tool: str) -> Reply:
        arguments = await read_arguments(asked(), self._sessions.policy(server).max_message_bytes)
        session_set = self._named()
        if session_set is not None:
            return await self._calls.call(asked(), session_set, server, tool, arguments)
        async with self._sessions.own.using(asked().sender) as own:
            return await self._calls.call(asked(), own, server, tool, arguments)

    def _named(self) -> SessionSet | None:
        """The set whose id came with the request; None for the caller's own, who stands for one person."""
        for parameter in reversed(SESSION_PARAMETERS):
            if id_ := asked().query.get(parameter):
                return self._sessions.find_set(id_, asked().sender)
        if user_of(asked().sender.principal):
            return None
        message = f"call {GET_SESSION} first, and give the id that it answers with as the session id of each call"
        raise GatewayError(Reason.SESSION_ID_MISSING, message, parameter=SESSION_QUERY)


def _for_a_model(error: GatewayError) -> GatewayError:
    """The same, with a remedy that a model has: it knows no paths."""
    if GET_AN_ID not in error.message:
        return error
    message = error.message.replace(GET_AN_ID, f"call {GET_SESSION} for a new id")
    return GatewayError(error.reason, message, **error.about)


def _as_200(reply: Reply) -> Reply:
    reply.status = 200
    return reply
