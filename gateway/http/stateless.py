"""Streamable HTTP of revision 2026-07-28 (specification: basic/transports, Streamable HTTP).

Every request is a POST that carries all that there is to know, and nothing is left of it afterwards but the child, which
waits for the next one with the same key. `GET`, `DELETE`, `Mcp-Session-Id` and `Last-Event-ID` mean nothing here.

The status says what went wrong for as long as it can: an answer becomes an event stream only when the child says
something before it answers, or is silent for COMMIT seconds. The stream is the request's life: whoever closes it, at any
time, has cancelled the request.

Clients of both eras come to the same paths, so this door looks at each request before the others do, and takes those
that are its own: by the version in the header, or in the body's `_meta`.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final

import anyio
import msgspec
from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import INVALID_REQUEST
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, LATEST_MODERN_VERSION
from quart import Blueprint, Response, g, request

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway import sse
from gateway.errors import GatewayError
from gateway.http import bodies
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.streams import EventStream, event_stream
from gateway.jsonrpc import Notification, Request, decode
from gateway.jsonrpc import Response as RpcResponse
from gateway.modern.affinity import affinity
from gateway.modern.conversation import LISTEN
from gateway.modern.envelope import Envelope, Rejected, check, check_notification, has_envelope, has_modern_header, read
from gateway.modern.keyed import begin
from gateway.modern.meta import envelope_of
from gateway.modern.rounds import Rounds
from gateway.modern.toolheaders import ToolHeaders
from gateway.outbox import Outbox
from gateway.relay import Relay
from gateway.session import Session
from gateway.sessions import Sessions

COMMIT: Final = 15.0
"""Seconds of silence after which an answer becomes an event stream, under the timeouts of proxies."""

_PATIENT: Final = 1e8
"""For a client that takes no event stream: as long as the request's own timeout lets it wait."""

_FALL_BACK: Final = (
    f"Bad Request: Unsupported protocol version: {LATEST_MODERN_VERSION} "
    f"(supported: {', '.join(HANDSHAKE_PROTOCOL_VERSIONS)})"
)
"""No error of this era, so that a client of both goes back to `initialize` (specification: versioning)."""


class StatelessDoor:
    """The handler; `install` puts it in front of the other doors on their paths."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self._rounds = Rounds()
        self._tool_headers = ToolHeaders(lambda: asyncio.get_running_loop().time())

    def install(self, *routes: Blueprint) -> None:
        """Have every request to these routes seen here first."""
        for each in routes:
            each.before_request(self.take)

    async def take(self) -> Response | None:
        """The answer to a request of this era; None leaves it to the others."""
        server = str((request.view_args or {}).get("server", ""))
        if request.method != "POST":
            return self._only_post(server) if has_modern_header(request.headers.items()) else None
        if not has_modern_header(request.headers.items()) and not await self._has_envelope(server):
            return None
        try:
            return await self._post(server)
        except Rejected as error:
            return bodies.json_response(error.body(), error.status)
        except GatewayError as error:
            return _failed(error)

    def _only_post(self, server: str) -> Response | None:
        policy = self._policy(server)
        if policy is None or not self._serves(server, policy):
            return None
        error = GatewayError(Reason.METHOD_NOT_ALLOWED, f"revision {LATEST_MODERN_VERSION} knows POST alone")
        return bodies.json_response(error.modern_body(), error.status, {"Allow": "POST"})

    async def _has_envelope(self, server: str) -> bool:
        """Whether the body is of this era. Whatever else is wrong with it is another door's to say."""
        policy = self._policy(server)
        if policy is None or request.mimetype != JSON or (request.content_length or 0) > policy.max_message_bytes:
            return False
        return has_envelope(await bodies.peek_json(policy.max_message_bytes))

    def _policy(self, server: str) -> ServerPolicy | None:
        try:
            return self._sessions.policy(server)
        except GatewayError:
            return None

    def _serves(self, server: str, policy: ServerPolicy) -> bool:
        """Whether clients of this era are served, and not sent back to `initialize`."""
        return policy.modern != "off" and self._sessions.eras.modern(server) is True

    async def _post(self, server: str) -> Response:
        policy = self._sessions.policy(server)
        body = await bodies.read_json(policy.max_message_bytes)
        if not (bodies.accepts(JSON) or bodies.accepts(EVENT_STREAM)):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {JSON} and {EVENT_STREAM}")
        message = read(body)
        headers = list(request.headers.items())
        if not self._serves(server, policy):
            raise Rejected(INVALID_REQUEST, _FALL_BACK, id_=message.id if isinstance(message, Request) else b"null")
        if isinstance(message, Notification):
            check_notification(headers)
            return bodies.empty(202)
        try:
            return await self._request(server, check(message, headers))
        except GatewayError as error:
            return _failed(error, message.id)

    async def _request(self, server: str, envelope: Envelope) -> Response:
        """Pass one request on, and answer as it turns out."""
        if envelope.message.method == LISTEN and not bodies.accepts(EVENT_STREAM):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {EVENT_STREAM}")
        leaving = ExitStack()
        _when_over(leaving.close)
        relay, message, through = await self._reach(server, envelope, leaving)
        await self._tool_headers.check(relay, server, g.principal, envelope)
        outbox = relay.new_outbox()
        leaving.callback(relay.hang_up, outbox)
        relay.request(message, outbox, can_carry_more=bodies.accepts(EVENT_STREAM))
        return await _answer(outbox, through)

    async def _reach(
        self, server: str, envelope: Envelope, leaving: ExitStack
    ) -> tuple[Relay, Request, Callable[[bytes], bytes]]:
        """The bridge to the child that this request is for, the request as that child gets it, and what becomes of its
        answer. Raises GatewayError, or Rejected for a retry of nothing.
        """
        message, who = envelope.message, envelope_of(envelope.message.params)
        whose = affinity(g.principal, server, self._sessions.policy(server), envelope)
        if not whose.ephemeral:
            relay = await self._sessions.keyed.start(g.principal, server, whose.key, who)
            self._watch(relay, server)
            return relay, message, bytes
        claimed = self._rounds.claim((g.principal.issuer, g.principal.subject, server), envelope)
        session, message = claimed or (self._sessions.keyed.ephemeral(g.principal, server), message)
        leaving.callback(self._leave, session)
        relay = await begin(session, who)
        self._watch(relay, server)
        return relay, message, lambda answer: self._rounds.keep(session, envelope, answer)

    def _watch(self, relay: Relay, server: str) -> None:
        principal = g.principal
        relay.on_list_changed = lambda: self._tool_headers.forget(server, principal)

    def _leave(self, session: Session) -> None:
        """The request is over that `session` was for."""
        if not self._rounds.keeps(session):
            session.end(Reason.REQUEST_DONE)


def _when_over(callback: Callable[[], None]) -> None:
    """Call `callback` once the exchange is over, however it ends.

    One task does all of it. The body of the answer is no place for that: where the client hangs up before it is begun,
    it is never left either.
    """
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: callback())


async def _answer(outbox: Outbox, through: Callable[[bytes], bytes]) -> Response:
    """The answer in `outbox`: JSON if it comes soon and alone, else an event stream."""
    takes_stream = bodies.accepts(EVENT_STREAM)
    if not await outbox.settle(COMMIT if takes_stream else _PATIENT) and takes_stream:
        return event_stream(EventStream(outbox, lambda: None, through=through))
    try:
        data = through(await outbox.take(0) or b"")
    except anyio.EndOfStream:
        raise GatewayError(Reason.INTERNAL_ERROR, "the request ended without an answer") from None
    status = outbox.failure.modern_status if outbox.failure is not None else _status(data)
    if status == 200 and not bodies.accepts(JSON):
        return Response(sse.message(data), content_type=EVENT_STREAM)
    return bodies.json_response(data, status)


class _Error(msgspec.Struct):
    code: int = 0


def _status(answer: bytes) -> int:
    """The status for what the child answered."""
    if b'"error":' not in answer:
        return 200
    message = decode(answer)
    if not isinstance(message, RpcResponse) or not message.error:
        return 200
    try:
        code = msgspec.json.decode(message.error, type=_Error).code
    except msgspec.MsgspecError:
        return 200
    return ERROR_CODE_HTTP_STATUS.get(code, 200)


def _failed(error: GatewayError, id_: bytes = b"null") -> Response:
    return bodies.json_response(error.modern_body(id_), error.modern_status, error.headers)
