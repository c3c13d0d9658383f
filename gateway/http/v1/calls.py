"""`POST /api/v1/tools/call`: a call of a tool by its name, wherever it is."""

from typing import Final

from quart import Blueprint

from common.reasons import Reason
from gateway.catalog.catalog import Catalog
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import bodies
from gateway.http.calling import ToolCalls
from gateway.http.mcp import SESSION_QUERY, query_id
from gateway.http.own import call_own
from gateway.http.quarted import add, asked
from gateway.sessions import Sessions
from gateway.unified import body
from gateway.unified.routing import Router

CALLED: Final = "Mcp-Server"
"""The header that says which server the tool was called on."""


class CallsDoor:
    """The handler."""

    def __init__(self, sessions: Sessions, catalog: Catalog, calls: ToolCalls) -> None:
        self._sessions = sessions
        self._calls = calls
        self._router = Router(sessions, catalog)

    def blueprint(self) -> Blueprint:
        """`/api/v1/tools/call`."""
        routes = Blueprint("v1_calls", __name__, url_prefix="/api/v1")
        add(routes, "/tools/call", "call", self.call, "POST")
        return routes

    async def call(self) -> Reply:
        """Call a tool, in the session that is named, or in the caller's own; the answer is its result as MCP gives it."""
        wanted = body.read(await bodies.read_json(asked(), self._longest + body.WRAPPING))
        id_ = _session_of(wanted)
        session_set = self._sessions.find_set(id_, asked().sender) if id_ is not None else None
        server = await self._server(wanted)
        if session_set is not None:
            reply = await self._calls.call(asked(), session_set, server, wanted.tool, wanted.arguments)
        else:
            reply = await call_own(asked(), self._calls, self._sessions.own, server, wanted.tool, wanted.arguments)
        reply.put(CALLED, server)
        return reply

    @property
    def _longest(self) -> int:
        return max(policy.max_message_bytes for policy in self._sessions.policies.values())

    async def _server(self, wanted: body.Wanted) -> str:
        """The server that is called. Raises GatewayError where it is not known, or the arguments are too long for it."""
        if wanted.server is not None:
            self._sessions.check(asked().sender, wanted.server)
            server = wanted.server
        else:
            server = await self._router.server_of(wanted.tool, asked().sender)
        limit = self._sessions.policy(server).max_message_bytes
        if len(wanted.arguments) > limit:
            raise bodies.too_large(limit)
        return server


def _session_of(wanted: body.Wanted) -> str | None:
    """The id of the session that the request names, in its query or its body. Raises GatewayError for two."""
    named = query_id(asked())
    if named is not None and wanted.session is not None and named != wanted.session:
        message = f"'{SESSION_QUERY}' in the query and in the body are two; expected one of them"
        raise GatewayError(Reason.SESSION_ID_TWICE, message, parameter=SESSION_QUERY)
    return named or wanted.session
