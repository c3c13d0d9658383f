"""REST: a session id, then a POST for each call of a tool."""

import msgspec
from quart import Blueprint

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies, quarted
from gateway.http.asked import Asked
from gateway.http.calling import ToolCalls
from gateway.http.mcp import SESSION_QUERY, query_id
from gateway.rest.arguments import NONE, read
from gateway.session_sets import SessionSet
from gateway.sessions import Sessions


class RestDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions, calls: ToolCalls) -> None:
        self._sessions = sessions
        self._calls = calls

    def blueprint(self) -> Blueprint:
        """`/api/sessionid` and `/api/{server}/{tool}`."""
        routes = Blueprint("rest", __name__, url_prefix="/api")
        id_, call = "/sessionid", "/<server:server>/<path:tool>"
        quarted.add(routes, id_, "open", quarted.given(self.open), "GET")
        quarted.add(routes, id_, "close", quarted.given(self.close), "DELETE")
        quarted.add(routes, call, "call", quarted.given(self.call), "POST")
        return routes

    async def open(self, asked: Asked) -> Reply:
        """A new session id. Nothing is spawned yet."""
        await admitted.admit_opening(asked)
        session_set = self._sessions.open_set(asked.sender)
        return bodies.json_reply(msgspec.json.encode({SESSION_QUERY: session_set.id}))

    async def close(self, asked: Asked) -> Reply:
        """End all the sessions of an id."""
        self._find(asked).end(Reason.CLIENT_CLOSED)
        return bodies.empty(204)

    async def call(self, asked: Asked, server: str, tool: str) -> Reply:
        """Call a tool; the answer is its result as MCP gives it."""
        policy = self._sessions.policy(server)
        session_set = self._find(asked)
        arguments = await read_arguments(asked, policy.max_message_bytes)
        return await self._calls.call(asked, session_set, server, tool, arguments)

    def _find(self, asked: Asked) -> SessionSet:
        id_ = query_id(asked)
        if id_ is None:
            raise GatewayError(
                Reason.SESSION_ID_MISSING,
                f"expected '?{SESSION_QUERY}=…', with an id from GET /api/sessionid",
                parameter=SESSION_QUERY,
            )
        return self._sessions.find_set(id_, asked.sender)


async def read_arguments(asked: Asked, limit: int) -> bytes:
    """The body, which is the JSON of an object; no body at all stands for no arguments. Raises GatewayError."""
    if asked.content_length in (None, 0) and not asked.mimetype:
        return NONE
    return read(
        await bodies.read_json(asked, limit) or NONE
    )  # generated clients name the type of a body that they do not send
