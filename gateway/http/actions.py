"""REST as LibreChat's Actions can use it: the same calls, but that every answer is a 200.

Of any other status LibreChat tells the model no more than the number. So whoever was let in reads here, in a body, what
went wrong and what to do; whoever was not is refused by the guards as everywhere, and learns nothing.
"""

from typing import Final

import msgspec
from quart import Blueprint, Response, g, request

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http import admitted, bodies
from gateway.http.calling import call_tool
from gateway.http.guards import asked
from gateway.http.mcp import SESSION_QUERY
from gateway.http.rest import read_arguments
from gateway.openapi.actions import BASE, GET_SESSION, SESSION_PARAMETERS
from gateway.personal import user_of
from gateway.session_sets import GET_AN_ID, SessionSet
from gateway.sessions import Sessions

_NAME: Final = "actions"


def is_action() -> bool:
    """Whether this request came to here, from somebody who was let in."""
    return asked().blueprint == _NAME and g.get("who") is not None


class ActionsDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def blueprint(self) -> Blueprint:
        """`/api/actions/sessionid` and `/api/actions/{server}/{tool}`."""
        routes = Blueprint(_NAME, __name__, url_prefix=BASE)
        routes.add_url_rule("/sessionid", "open", self.open, methods=["GET"], provide_automatic_options=False)
        call = "/<server:server>/<path:tool>"
        routes.add_url_rule(call, "call", self.call, methods=["POST"], provide_automatic_options=False)
        return routes

    async def open(self) -> Response:
        """A new session id. Nothing is spawned yet."""
        await admitted.admit_opening()
        session_set = self._sessions.open_set(g.who)
        return bodies.json_response(msgspec.json.encode({SESSION_QUERY: session_set.id}))

    async def call(self, server: str, tool: str) -> Response:
        """Call a tool; the answer is its result as MCP gives it, or an error."""
        try:
            return _as_200(await self._called(server, tool))
        except GatewayError as error:
            raise _for_a_model(error) from None

    async def _called(self, server: str, tool: str) -> Response:
        arguments = await read_arguments(self._sessions.policy(server).max_message_bytes)
        session_set = self._named()
        if session_set is not None:
            return await call_tool(session_set, server, tool, arguments)
        async with self._sessions.own.using(g.who) as own:
            return await call_tool(own, server, tool, arguments)

    def _named(self) -> SessionSet | None:
        """The set whose id came with the request; None for the caller's own, who stands for one person."""
        for parameter in reversed(SESSION_PARAMETERS):
            if id_ := request.args.get(parameter):
                return self._sessions.find_set(id_, g.who)
        if user_of(g.who.principal):
            return None
        message = f"call {GET_SESSION} first, and give the id that it answers with as the session id of each call"
        raise GatewayError(Reason.SESSION_ID_MISSING, message, parameter=SESSION_QUERY)


def _for_a_model(error: GatewayError) -> GatewayError:
    """The same, with a remedy that a model has: it knows no paths."""
    if GET_AN_ID not in error.message:
        return error
    message = error.message.replace(GET_AN_ID, f"call {GET_SESSION} for a new id")
    return GatewayError(error.reason, message, **error.about)


def _as_200(response: Response) -> Response:
    response.status_code = 200
    return response
