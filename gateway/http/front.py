"""`/{server}`: one URL for either kind of MCP client.

A client of HTTP+SSE begins with a GET, a client of Streamable HTTP with a POST; afterwards the one has its session's id
in the query, the other in a header. Who sends both is confused, and told so.
"""

from quart import Blueprint, Response

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.http.mcp import SESSION_HEADER, SESSION_QUERY, header_id, query_id
from gateway.http.sse import SseDoor
from gateway.http.streamable import StreamableDoor


class Front:
    """Finds out which door is meant."""

    def __init__(self, streamable: StreamableDoor, sse: SseDoor) -> None:
        self._streamable = streamable
        self._sse = sse

    def blueprint(self) -> Blueprint:
        """`/{server}`."""
        routes = Blueprint("front", __name__)
        routes.add_url_rule("/<server:server>", "get", self.get, methods=["GET"], provide_automatic_options=False)
        routes.add_url_rule("/<server:server>", "post", self.post, methods=["POST"], provide_automatic_options=False)
        delete = self._streamable.delete
        routes.add_url_rule("/<server:server>", "delete", delete, methods=["DELETE"], provide_automatic_options=False)
        return routes

    async def get(self, server: str) -> Response:
        """A standing stream of Streamable HTTP, or a new session of HTTP+SSE."""
        if header_id() is not None:
            return await self._streamable.get(server)
        return await self._sse.get(server, "")

    async def post(self, server: str) -> Response:
        """A message of either."""
        if query_id() is None:
            return await self._streamable.post(server)
        if header_id() is not None:
            raise GatewayError(
                Reason.SESSION_ID_TWICE,
                f"expected one session id, not one in '?{SESSION_QUERY}=' and one in the header {SESSION_HEADER}",
            )
        return await self._sse.post(server)
