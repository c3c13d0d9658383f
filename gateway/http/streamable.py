"""Streamable HTTP, revisions 2025-03-26 to 2025-11-25 (specification: basic/transports, Streamable HTTP).

`POST` carries one message of the client. A request is answered as it turns out: with JSON when the child is quick and
says nothing else meanwhile, else with an event stream whose headers go out early, so that no proxy and no client takes
the silence for a death. Faults of the child or the gateway in a live session are JSON-RPC errors in a 200, because a
client such as LibreChat gives up the session over any other status.

A request belongs to the session and not to the HTTP exchange: a client that hangs up has not cancelled it. The one
exception is `initialize`: who hangs up before its answer never learns the session's id, so the session ends.
"""

from http import HTTPStatus
from typing import Final

from quart import Blueprint

from common.reasons import Reason
from gateway import sse
from gateway.afterlife import Afterlife
from gateway.errors import GatewayError
from gateway.events import Kind, read_id, write_id
from gateway.hot.exchange import Reply
from gateway.http import admitted, audited, bodies, quarted, spared
from gateway.http.answers import QUICK, answer, answer_batch, opening
from gateway.http.asked import Asked
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.mcp import LAST_EVENT_ID, SESSION_HEADER, come_again, header_id, is_to_come, parse, parse_batch
from gateway.http.streams import EventStream, event_stream
from gateway.jsonrpc import Message, Notification, Request, is_batch
from gateway.personal import FAULTS
from gateway.relay import Relay
from gateway.session import Door, Session, not_found
from gateway.sessions import Sessions
from gateway.specification import HANDSHAKE_PROTOCOL_VERSIONS

BATCHES: Final = "2025-03-26"
"""The one revision in which a body may be an array of messages."""


_REVISIONS: Final = frozenset({*HANDSHAKE_PROTOCOL_VERSIONS, "2024-10-07"})
"""What the header may name: also the oldest one of all, on which the TypeScript SDK still agrees with an old child."""


class StreamableDoor:
    """The handlers; `blueprint` gives them their own path, and `front` the shared one."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def blueprint(self) -> Blueprint:
        """`/{server}/mcp`."""
        routes = Blueprint("streamable", __name__)
        path = "/<server:server>/mcp"
        quarted.add(routes, path, "post", quarted.given(self.post), "POST")
        quarted.add(routes, path, "get", quarted.given(self.get), "GET")
        quarted.add(routes, path, "delete", quarted.given(self.delete), "DELETE")
        return routes

    async def post(self, asked: Asked, server: str) -> Reply:
        """What one message of the client is answered with."""
        if not (asked.accepts(JSON) or asked.accepts(EVENT_STREAM)):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {JSON} and {EVENT_STREAM}")
        policy = self._sessions.policy(server)
        body = await bodies.read_json(asked, policy.max_message_bytes)
        if is_batch(body) and header_id(asked) is not None:
            _check_version(asked)
            return await self._batch(asked, server, body)
        message = parse(body)
        _check_version(asked)
        starts = isinstance(message, Request) and message.method == "initialize"
        if header_id(asked) is None and starts:
            assert isinstance(message, Request)
            return await self._initialize(asked, server, message)
        session = self._find(asked, server)
        if starts:
            raise GatewayError(Reason.INVALID_MESSAGE, "this session is initialized; open another without its id")
        return await self._pass_on(asked, session, message)

    async def get(self, asked: Asked, server: str) -> Reply:
        """The standing stream of a session, or what is left of a stream that broke: Last-Event-ID says which.

        A second one takes the place of the first. Whatever the header says, the answer to it is never a 4xx: LibreChat
        gives up a session over that.
        A session that ended as idle has one still, on which nothing comes (`gateway.afterlife`).
        """
        self._sessions.policy(server)
        _check_version(asked)
        id_, afterlife = _id(asked), self._sessions.afterlife
        over = afterlife.was_idle(id_, (asked.sender.principal, server, Door.STREAMABLE))
        session = None if over else self._find(asked, server)
        if not asked.accepts(EVENT_STREAM):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {EVENT_STREAM}")
        last = asked.header(LAST_EVENT_ID)
        if session is None:
            return _silence(afterlife, id_, last)
        relay = _relay_of(session)
        resumed = relay.listen(last)

        def leave() -> None:
            relay.hang_up(resumed.outbox)
            afterlife.leave(id_, resumed.outbox)

        begins = opening(relay, resumed.id, comes_back=last is not None)
        return event_stream(EventStream(resumed.outbox, leave, begins, through=relay.fit(endless=True).event))

    async def delete(self, asked: Asked, server: str) -> Reply:
        """End a session."""
        self._sessions.policy(server)
        _check_version(asked)
        session = self._find(asked, server)
        session.end(Reason.CLIENT_CLOSED)
        return bodies.empty(204)

    def _find(self, asked: Asked, server: str) -> Session:
        """The session that the header names. Raises GatewayError: 400 without one, 404 for one that is not there."""
        return self._sessions.find(_id(asked), asked.sender, server, Door.STREAMABLE)

    async def _initialize(self, asked: Asked, server: str, message: Request) -> Reply:
        """Open a session, and answer with its id, unless its child refuses."""
        await admitted.admit_opening(asked, server)
        try:
            session = self._sessions.open(asked.sender, server, Door.STREAMABLE)
        except GatewayError as error:
            if error.reason in FAULTS:
                audited.refused(asked, error)
                return bodies.json_reply(error.rpc_body(message.id), spared.status(asked, error, HTTPStatus.OK))
            return come_again(error, message.id)
        self._sessions.unnamed.look(asked.sender, server, message)
        session.hello = message.params

        def hung_up() -> None:
            if session.relay is None or not session.relay.initialized:
                session.end(Reason.CLIENT_GONE)

        try:
            relay = await session.start()
            outbox = relay.new_outbox()
            relay.request(message, outbox, who=asked.sender, can_carry_more=asked.accepts(EVENT_STREAM))
            # A stream's status is out before it is known whether the child refuses its user.
            quick = session.policy.start_timeout if spared.concerns(asked, session) else QUICK
            reply = await answer(asked, relay, outbox, on_hang_up=hung_up, quick=quick)
        except GatewayError as error:
            session.end(error.reason)
            if error.status == HTTPStatus.TOO_MANY_REQUESTS or is_to_come(error):
                return come_again(error, message.id)
            status = HTTPStatus.FORBIDDEN if spared.concerns(asked, session) else HTTPStatus.OK
            return bodies.json_reply(error.rpc_body(message.id), status, error.headers)
        except BaseException:
            session.end(Reason.CLIENT_GONE)
            raise
        if session.ended is None:
            reply.put(SESSION_HEADER, session.id)
        elif spared.concerns(asked, session):
            reply.status = HTTPStatus.FORBIDDEN
        return reply

    async def _batch(self, asked: Asked, server: str, body: bytes) -> Reply:
        """Several messages together, from a client whose revision has that."""
        session = self._find(asked, server)
        relay = _relay_of(session)
        if relay.version != BATCHES:
            message = f"expected one JSON-RPC message, not an array of them, which only the revision {BATCHES} has"
            raise GatewayError(Reason.INVALID_MESSAGE, message)
        messages = parse_batch(body)
        if any(isinstance(each, Request) and each.method == "initialize" for each in messages):
            raise GatewayError(Reason.INVALID_MESSAGE, "'initialize' may not be in a batch")
        ids = [each.id for each in messages if isinstance(each, Request)]
        refused = [await admitted.refusal(asked, session, each) for each in messages]
        try:
            return await answer_batch(asked, relay, messages, refused)
        except GatewayError as error:
            if error.reason is not Reason.GATEWAY_RESTARTED or not ids:
                raise
            return bodies.json_reply(b"[%b]" % b",".join(map(error.rpc_body, ids)))  # the session is alive

    async def _pass_on(self, asked: Asked, session: Session, message: Message) -> Reply:
        refused = await admitted.refusal(asked, session, message)
        relay = _relay_of(session)
        if isinstance(message, Request):
            outbox = relay.new_outbox()
            try:
                admitted.request(asked, relay, message, outbox, refused, can_carry_more=asked.accepts(EVENT_STREAM))
            except GatewayError as error:
                if error.reason is not Reason.GATEWAY_RESTARTED:
                    raise
                return bodies.json_reply(error.rpc_body(message.id))  # the session is alive
            return await answer(asked, relay, outbox, message.id)
        if isinstance(message, Notification):
            relay.notify(message)
        else:
            relay.respond(message)
        return bodies.empty(202)


def _id(asked: Asked) -> str:
    id_ = header_id(asked)
    if id_ is None:
        raise GatewayError(
            Reason.SESSION_ID_MISSING,
            f"expected the header {SESSION_HEADER}, with the id that the answer to 'initialize' bore",
            header=SESSION_HEADER,
        )
    return id_


def _silence(afterlife: Afterlife, id_: str, last_event_id: str | None) -> Reply:
    """A stream of a session that ended as idle. Who comes back to one is told its place, to come back there again."""
    place = read_id(last_event_id or "")
    number = place.stream if place is not None and place.kind is not Kind.STANDING else None
    silent = afterlife.new_stream(id_, number)
    begins = sse.COMMENT if place is None else sse.place(write_id(place))
    return event_stream(EventStream(silent, lambda: afterlife.leave(id_, silent, number), begins))


def _relay_of(session: Session) -> Relay:
    if session.relay is None:
        raise not_found()
    return session.relay


def _check_version(asked: Asked) -> None:
    """A revision that has no sessions is refused in the words that send a client of both kinds back to `initialize`."""
    version = asked.header("mcp-protocol-version")
    if version is not None and version not in _REVISIONS:
        supported = ", ".join(HANDSHAKE_PROTOCOL_VERSIONS)
        raise GatewayError(
            Reason.UNSUPPORTED_VERSION,
            f"Bad Request: Unsupported protocol version: {version[:32]} (supported: {supported})",
            header="Mcp-Protocol-Version",
        )
