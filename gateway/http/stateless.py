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
from quart import Blueprint, Response, request
from werkzeug.http import dump_cookie

from common.config.model import ServerPolicy
from common.reasons import Reason
from gateway import sse
from gateway.admittance import CALL, use_of
from gateway.errors import GatewayError
from gateway.hot.exchange import Parts, Reply
from gateway.http import admitted, audited, bodies, quarted
from gateway.http.bodies import EVENT_STREAM, JSON
from gateway.http.streams import EventStream, event_stream
from gateway.identity.principal import ANONYMOUS
from gateway.jsonrpc import Notification, Request, decode
from gateway.jsonrpc import Response as RpcResponse
from gateway.large import Data, LargeAnswer
from gateway.meta import CLIENT_INFO, meta_of
from gateway.modern import cookies
from gateway.modern.affinity import Asked, heeds_cookies
from gateway.modern.conversation import LISTEN
from gateway.modern.cookies import Cookies
from gateway.modern.envelope import Envelope, Rejected, check, check_notification, has_envelope, has_modern_header, read
from gateway.modern.probe import Probe
from gateway.modern.reach import AnsweredHere, Reach, not_served
from gateway.modern.toolheaders import ToolHeaders
from gateway.outbox import Outbox
from gateway.personal import personal
from gateway.sessions import Sessions
from gateway.sizes import Fit, client_name
from gateway.specification import ERROR_CODE_HTTP_STATUS, LATEST_MODERN_VERSION

COMMIT: Final = 15.0
"""Seconds of silence after which an answer becomes an event stream, under the timeouts of proxies."""

_PATIENT: Final = 1e8
"""For a client that takes no event stream: as long as the request's own timeout lets it wait."""


class StatelessDoor:
    """The handler; `install` puts it in front of the other doors on their paths."""

    def __init__(self, sessions: Sessions, probe: Probe) -> None:
        self._sessions = sessions
        self._reach = Reach(sessions, probe)
        self._cookies = Cookies()
        self._tool_headers = ToolHeaders(lambda: asyncio.get_running_loop().time())

    def install(self, *routes: Blueprint) -> None:
        """Have every request to these routes seen here first."""
        for each in routes:
            each.before_request(self.take)

    async def take(self) -> Response | None:
        """The answer to a request of this era; None leaves it to the others."""
        reply = await self._taken()
        return quarted.response(reply) if reply is not None else None

    async def _taken(self) -> Reply | None:
        server = quarted.asked().server or ""
        is_modern = has_modern_header(quarted.asked().head.headers)
        try:
            if quarted.asked().head.method != "POST":
                return self._only_post(server) if is_modern else None
            if not is_modern and not await self._has_envelope(server):
                return None
            return await self._post(server)
        except Rejected as error:
            return bodies.json_reply(error.body(), error.status)
        except GatewayError as error:
            return _failed(error)

    def _only_post(self, server: str) -> Reply | None:
        policy = self._policy(server)
        if policy is None:
            return None
        if policy.modern == "off":
            raise not_served(b"null")
        error = GatewayError(Reason.METHOD_NOT_ALLOWED, f"revision {LATEST_MODERN_VERSION} knows POST alone")
        return bodies.json_reply(error.modern_body(), error.status, {"Allow": "POST"})

    async def _has_envelope(self, server: str) -> bool:
        """Whether the body is of this era. Whatever else is wrong with it is another door's to say."""
        policy = self._policy(server)
        if (
            policy is None
            or quarted.asked().mimetype != JSON
            or (quarted.asked().content_length or 0) > policy.max_message_bytes
        ):
            return False
        return has_envelope(await bodies.read_json(quarted.asked(), policy.max_message_bytes))

    def _policy(self, server: str) -> ServerPolicy | None:
        try:
            return self._sessions.policy(server)
        except GatewayError:
            return None

    async def _post(self, server: str) -> Reply:
        policy = self._sessions.policy(server)
        body = await bodies.read_json(quarted.asked(), policy.max_message_bytes)
        if not (quarted.asked().accepts(JSON) or quarted.asked().accepts(EVENT_STREAM)):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {JSON} and {EVENT_STREAM}")
        message = read(body)
        headers = list(quarted.asked().head.headers)
        if policy.modern == "off":
            raise not_served(message.id if isinstance(message, Request) else b"null")
        if isinstance(message, Notification):
            check_notification(headers)
            return bodies.empty(202)
        try:
            return await self._request(server, check(message, headers))
        except GatewayError as error:
            return _failed(error, message.id)

    async def _request(self, server: str, envelope: Envelope) -> Reply:
        """Pass one request on, and answer as it turns out."""
        if envelope.message.method == LISTEN and not quarted.asked().accepts(EVENT_STREAM):
            raise GatewayError(Reason.NOT_ACCEPTABLE, f"expected an Accept header with {EVENT_STREAM}")
        await admitted.admit(quarted.asked(), use_of(server, envelope.message))
        leaving = ExitStack()
        _when_over(leaving.close)
        asked = self._asked(server)
        try:
            reached = await self._reach(asked, server, envelope, leaving)
        except AnsweredHere as here:
            return _ready(here.answer)
        relay = reached.relay
        whose = (asked.who.principal, personal(asked.who, asked.policy).digest)
        relay.on_list_changed = lambda: self._tool_headers.forget(server, whose)
        await self._tool_headers.check(relay, server, whose, envelope)
        outbox = relay.new_outbox()
        leaving.callback(relay.hang_up, outbox)
        relay.calls.check(of_tool=envelope.message.method == CALL)
        relay.request(
            reached.message, outbox, who=quarted.asked().sender, can_carry_more=quarted.asked().accepts(EVENT_STREAM)
        )
        client = client_name(bytes(meta_of(envelope.message.params).get(CLIENT_INFO, b"")))
        fit = relay.fit(client, endless=envelope.message.method == LISTEN)
        reply = await _answer(outbox, reached.through, fit)
        if reached.is_ephemeral:
            self._offer_cookie(reply, server, asked)
        return reply

    def _asked(self, server: str) -> Asked:
        """What this request says of whose it is."""
        cookie = self._cookies.known(server, request.cookies.get(cookies.name(server)))
        return Asked(quarted.asked().sender, self._sessions.policy(server), cookie=cookie)

    def _offer_cookie(self, reply: Reply, server: str, asked: Asked) -> None:
        """Let a client that nothing tells apart from others be known again, if it likes.

        Strictly of this site and out of reach of scripts.
        """
        if heeds_cookies(asked.policy) and asked.cookie is None and asked.who.principal == ANONYMOUS:
            value = self._cookies.new(server)
            is_secure = request.is_secure
            cookie = dump_cookie(
                cookies.name(server), value, path="/", httponly=True, samesite="Strict", secure=is_secure
            )
            reply.headers.append(("Set-Cookie", cookie))


def _when_over(callback: Callable[[], None]) -> None:
    """Call `callback` once the exchange is over, however it ends.

    One task does all of it. The body of the answer is no place for that: where the client hangs up before it is begun,
    it is never left either.
    """
    task = asyncio.current_task()
    assert task is not None
    task.add_done_callback(lambda _: callback())


async def _answer(outbox: Outbox, through: Callable[[Data], Data], fit: Fit) -> Reply:
    """The answer in `outbox`: JSON if it comes soon and alone, else an event stream."""
    takes_stream = quarted.asked().accepts(EVENT_STREAM)
    if not await outbox.settle(COMMIT if takes_stream else _PATIENT) and takes_stream:
        return event_stream(EventStream(outbox, lambda: None, through=lambda data: fit.event(through(data))))
    try:
        data = fit.alone(through(await outbox.take(0) or b""))
    except anyio.EndOfStream:
        raise GatewayError(Reason.INTERNAL_ERROR, "the request ended without an answer") from None
    return _ready(data, outbox.failure.modern_status if outbox.failure is not None else _status(data))


def _ready(data: Data, status: int = 200) -> Reply:
    """An answer that is here, in whichever way the client takes it."""
    if status == 200 and not quarted.asked().accepts(JSON):
        named = [("Content-Type", EVENT_STREAM)]
        if isinstance(data, bytes):
            return Reply(200, sse.message(data), named)
        return Reply(200, Parts(sse.pieces(data)), named)
    return bodies.json_reply(data, status)


class _Error(msgspec.Struct):
    code: int = 0


def _status(answer: Data) -> int:
    """The status for what the child answered."""
    if isinstance(answer, LargeAnswer):
        if not answer.is_error:
            return 200
        answer = bytes(answer)
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


def _failed(error: GatewayError, id_: bytes = b"null") -> Reply:
    audited.refused(quarted.asked(), error)
    return bodies.json_reply(error.modern_body(id_), error.modern_status, error.headers)
