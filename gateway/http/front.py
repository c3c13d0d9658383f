"""`/{server}`: one URL for either kind of MCP client.

A client of HTTP+SSE begins with a GET, a client of Streamable HTTP with a POST; afterwards the one has its session's id
in the query, the other in a header. Who sends both is confused, and told so.
"""

from quart import Blueprint

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import quarted
from gateway.http.asked import Asked
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
        quarted.add(routes, "/<server:server>", "get", quarted.given(self.get), "GET")
        quarted.add(routes, "/<server:server>", "post", quarted.given(self.post), "POST")
        quarted.add(routes, "/<server:server>", "delete", quarted.given(self._streamable.delete), "DELETE")
        return routes

    async def get(self, asked: Asked, server: str) -> Reply:
        """What a GET is answered with."""
        if header_id(asked) is not None:
            return await self._streamable.get(asked, server)
        return await self._sse.get(asked, server, "")

    async def post(self, asked: Asked, server: str) -> Reply:
        """What a POST is answered with."""
        if query_id(asked) is None:
            return await self._streamable.post(asked, server)
        if header_id(asked) is not None:
            raise GatewayError(
                Reason.SESSION_ID_TWICE,
                f"expected one session id, not one in '?{SESSION_QUERY}=' and one in the header {SESSION_HEADER}",
            )
        return await self._sse.post(asked, server)
