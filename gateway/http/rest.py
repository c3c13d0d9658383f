"""REST: a session id, then a POST for each call of a tool."""

import msgspec
from quart import Blueprint, Response, g, request

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http import admitted, bodies
from gateway.http.calling import call_tool
from gateway.http.mcp import SESSION_QUERY, query_id
from gateway.rest.arguments import NONE, read
from gateway.session_sets import SessionSet
from gateway.sessions import Sessions


class RestDoor:
    """The handlers."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def blueprint(self) -> Blueprint:
        """`/api/sessionid` and `/api/{server}/{tool}`."""
        routes = Blueprint("rest", __name__, url_prefix="/api")
        id_, call = "/sessionid", "/<server:server>/<path:tool>"
        routes.add_url_rule(id_, "open", self.open, methods=["GET"], provide_automatic_options=False)
        routes.add_url_rule(id_, "close", self.close, methods=["DELETE"], provide_automatic_options=False)
        routes.add_url_rule(call, "call", self.call, methods=["POST"], provide_automatic_options=False)
        return routes

    async def open(self) -> Response:
        """A new session id. Nothing is spawned yet."""
        await admitted.admit_opening()
        session_set = self._sessions.open_set(g.who)
        return bodies.json_response(msgspec.json.encode({SESSION_QUERY: session_set.id}))

    async def close(self) -> Response:
        """End all the sessions of an id."""
        self._find().end(Reason.CLIENT_CLOSED)
        return bodies.empty(204)

    async def call(self, server: str, tool: str) -> Response:
        """Call a tool; the answer is its result as MCP gives it."""
        policy = self._sessions.policy(server)
        session_set = self._find()
        return await call_tool(session_set, server, tool, await read_arguments(policy.max_message_bytes))

    def _find(self) -> SessionSet:
        id_ = query_id()
        if id_ is None:
            raise GatewayError(
                Reason.SESSION_ID_MISSING,
                f"expected '?{SESSION_QUERY}=…', with an id from GET /api/sessionid",
                parameter=SESSION_QUERY,
            )
        return self._sessions.find_set(id_, g.who)


async def read_arguments(limit: int) -> bytes:
    """The body, which is the JSON of an object; no body at all stands for no arguments. Raises GatewayError."""
    if request.content_length in (None, 0) and not request.mimetype:
        return NONE
    return read(
        await bodies.read_json(limit) or NONE
    )  # generated clients name the type of a body that they do not send
