"""HTTP+SSE, the transport of revision 2024-11-05 (specification: basic/transports, HTTP with SSE).

The stream is the session: it opens with the URL to post to, carries all that the child says, and its end is the child's.
The URL is relative to the stream's own, so a path prefix that a proxy puts in front does no harm.
"""

from quart import Blueprint

from common.reasons import Reason
from gateway import sse
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import admitted, bodies, quarted
from gateway.http.asked import Asked
from gateway.http.bodies import EVENT_STREAM
from gateway.http.mcp import SESSION_QUERY, come_again, query_id, read_message
from gateway.http.streams import EventStream, event_stream
from gateway.jsonrpc import Notification, Request
from gateway.session import Door, not_found
from gateway.sessions import Sessions


class SseDoor:
    """The handlers; `blueprint` gives them their own paths, and `front` the shared one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def blueprint(self) -> Blueprint:
        """`/{server}/sse` and `/{server}/message`."""
        routes = Blueprint("sse", __name__)
        quarted.add(routes, "/<server:server>/sse", "get", quarted.given(self.get_sse), "GET")
        quarted.add(routes, "/<server:server>/message", "post", quarted.given(self.post), "POST")
        return routes

    async def get_sse(self, asked: Asked, server: str) -> Reply:
        """A stream at `/{server}/sse`; one posts to its neighbour."""
        return await self.get(asked, server, "../message" if asked.head.path.endswith("/") else "message")

    async def get(self, asked: Asked, server: str, post_to: str) -> Reply:
        """Open a session, whose stream this is; `post_to` is the path to post to, relative to it."""
        self._sessions.policy(server)
        if not asked.accepts(EVENT_STREAM):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {EVENT_STREAM}")
        await admitted.admit_opening(asked, server)
        try:
            session = self._sessions.open(asked.sender, server, Door.SSE)
        except GatewayError as error:
            return come_again(error)
        try:
            relay = await session.start()
        except GatewayError as error:
            session.end(error.reason)
            return come_again(error)
        except BaseException:
            session.end(Reason.CLIENT_GONE)
            raise
        outbox = relay.new_outbox(stands=True)
        relay.stand(outbox)
        relay.hold()
        where = sse.endpoint(f"{post_to}?{SESSION_QUERY}={session.id}")
        return event_stream(EventStream(outbox, lambda: session.end(Reason.CLIENT_GONE), opening=where))

    async def post(self, asked: Asked, server: str) -> Reply:
        """One message of the client; what answers it comes on the stream."""
        policy = self._sessions.policy(server)
        id_ = query_id(asked)
        if id_ is None:
            raise GatewayError(
                Reason.SESSION_ID_MISSING,
                f"expected '?{SESSION_QUERY}=…', from the first event of the stream at GET /{server}/sse; "
                f"Streamable HTTP is at POST /{server}/mcp",
                parameter=SESSION_QUERY,
            )
        session = self._sessions.find(id_, asked.sender, server, Door.SSE)
        message = await read_message(asked, policy.max_message_bytes)
        refused = await admitted.refusal(asked, session, message)
        relay = session.relay
        if relay is None or relay.standing is None or relay.ended is not None:
            raise not_found(session.ended)
        if isinstance(message, Request):
            self._sessions.unnamed.look(asked.sender, server, message)
            admitted.request(asked, relay, message, relay.standing, refused)
        elif isinstance(message, Notification):
            relay.notify(message)
        else:
            relay.respond(message)
        return bodies.empty(202)
