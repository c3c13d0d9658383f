"""WebSocket, the transport that LibreChat and the TypeScript SDK 1.x know, and the specification does not.

The connection is the session: each text frame is one JSON-RPC message, in either direction, and whoever ends the one
ends the other. The subprotocol is `mcp`. Whoever may not come in, or can have no child, hears so as an HTTP answer in
place of the upgrade, so the child is spawned first.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Final, NoReturn

import anyio
from quart import Blueprint, websocket

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.frames import LINK, Link, silence
from gateway.http import admitted
from gateway.http.asked import Asked
from gateway.http.mcp import parse
from gateway.http.quarted import add, asked
from gateway.jsonrpc import Notification, Request
from gateway.outbox import HIGH_WATER, LOW_WATER
from gateway.relay import Relay
from gateway.session import Door, Session
from gateway.sessions import Sessions

SUBPROTOCOL: Final = "mcp"

PING_EVERY: Final = 15.0
"""Seconds between two pings: under the timeouts of proxies."""

SILENCE: Final = 60.0
"""Seconds for which a client may leave pings unanswered. One that is busy for as long is as good as gone."""

CLOSING: Final = 2.0
"""Seconds that a client has for answering the end of a connection with its own; its child has been let go before."""

_CLOSE_CODES: Final = {
    Reason.SHUTDOWN: 1001,
    Reason.GATEWAY_RESTARTED: 1001,
    Reason.IDLE_TIMEOUT: 1001,
    Reason.MAX_LIFETIME: 1001,
    Reason.UNUSED: 1001,
    Reason.BAD_REQUEST: 1002,
    Reason.UNSUPPORTED_MEDIA_TYPE: 1003,
    Reason.INVALID_JSON: 1007,
    Reason.CREDENTIALS_EXPIRED: 1008,
    Reason.CREDENTIALS_REMOVED: 1008,
    Reason.CLIENT_GONE: 1008,
    Reason.CLIENT_STALLED: 1008,
    Reason.MESSAGE_TOO_LARGE: 1009,
}
_ANY_OTHER: Final = 1011
"""The child is to blame, or we are (RFC 6455, section 7.4.1)."""


def close_code(reason: Reason) -> int:
    """The code with which a connection ends whose session has ended for `reason`."""
    return _CLOSE_CODES.get(reason, _ANY_OTHER)


class WebSocketDoor:
    """The handler."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def blueprint(self) -> Blueprint:
        """`/{server}/ws`."""
        routes = Blueprint("websocket", __name__)
        routes.add_websocket("/<server:server>/ws", "connect", self.connect)
        add(routes, "/<server:server>/ws", "get", self.get, "GET")
        return routes

    async def get(self, server: str) -> NoReturn:
        """A request that asks for no upgrade, or has lost it on its way."""
        self._sessions.policy(server)
        raise GatewayError(
            Reason.BAD_REQUEST,
            "expected a WebSocket handshake; a proxy in between must pass on Upgrade and Connection",
            header="Upgrade",
        )

    async def connect(self, server: str) -> None:
        """Open a session, which lasts as long as the connection. Cancellation means that the client is gone."""
        self._sessions.policy(server)
        if SUBPROTOCOL not in websocket.requested_subprotocols:
            raise GatewayError(
                Reason.BAD_REQUEST,
                f"expected the WebSocket subprotocol '{SUBPROTOCOL}' in the header Sec-WebSocket-Protocol",
                header="Sec-WebSocket-Protocol",
            )
        link: Link | None = websocket.scope.get("state", {}).get(LINK)
        if link is None:
            raise GatewayError(
                Reason.ROUTE_NOT_FOUND, "there is no WebSocket here, for another server serves this gateway; use /mcp"
            )
        await admitted.admit_opening(asked(), server)
        session = self._sessions.open(asked().sender, server, Door.WEBSOCKET)
        try:
            relay = await session.start()
            link.begin(session.policy.max_message_bytes)
            await websocket.accept(subprotocol=SUBPROTOCOL)
            look = partial(self._sessions.unnamed.look, asked().sender, server)
            await _exchange(session, relay, link, look)
        except GatewayError as error:
            session.end(error.reason)
            raise
        except BaseException:
            session.end(Reason.CLIENT_CLOSED if link.said_goodbye else Reason.CLIENT_GONE)
            raise


async def _exchange(session: Session, relay: Relay, link: Link, look: Callable[[Request], None]) -> None:
    """Carry the messages of an accepted connection, and close it: no error can be answered any more."""
    try:
        session.end(await _Exchange(asked(), session, relay, link, look).run())
    except GatewayError as error:  # its child has ended just now
        session.end(error.reason)
    except Exception:
        session.end(Reason.INTERNAL_ERROR)
        await _say_goodbye(Reason.INTERNAL_ERROR)
        raise
    await _say_goodbye(session.ended or Reason.INTERNAL_ERROR)


class _Exchange:
    """The messages of one connection, both ways, until something ends it; each of its tasks waits for one such thing."""

    def __init__(
        self, asked: Asked, session: Session, relay: Relay, link: Link, look: Callable[[Request], None]
    ) -> None:
        self._asked = asked
        self._look = look
        self._session = session
        self._relay = relay
        self._link = link
        self._outbox = relay.new_outbox(stands=True)
        self._expired = anyio.Event()

    async def run(self) -> Reason:
        """Exchange messages; why it is over. Cancellation leaves the session as it is."""
        self._relay.stand(self._outbox)
        self._relay.hold()
        over: list[Reason] = []
        async with anyio.create_task_group() as tasks:

            async def say() -> None:
                over.append(await self._say())
                tasks.cancel_scope.cancel()

            async def wait_for(event: anyio.Event, reason: Reason) -> None:
                await event.wait()
                over.append(self._link.fault or reason)
                tasks.cancel_scope.cancel()

            async def watch() -> None:
                await silence(self._link, PING_EVERY, SILENCE)
                over.append(Reason.CLIENT_GONE)
                tasks.cancel_scope.cancel()

            tasks.start_soon(say, name="to the client")
            tasks.start_soon(self._hear, name="from the client")
            tasks.start_soon(wait_for, self._link.broken, Reason.BAD_REQUEST, name="a frame that is wrong")
            tasks.start_soon(wait_for, self._outbox.cut_off, Reason.CLIENT_STALLED, name="a client that does not read")
            tasks.start_soon(wait_for, self._expired, Reason.CREDENTIALS_EXPIRED, name="a token that has expired")
            tasks.start_soon(watch, name="a client that is silent")
        return over[0]

    async def _say(self) -> Reason:
        """Send what the child says until the session's end, whose reason it is."""
        while True:
            try:
                data = await self._outbox.take(SILENCE)
            except anyio.EndOfStream:
                return self._session.ended or Reason.CLIENT_STALLED
            if data is not None:
                await websocket.send(bytes(data).decode())
            if self._outbox.held <= LOW_WATER:
                self._link.resume()

    async def _hear(self) -> None:
        """Pass on what the client says.

        A client that asks what the gateway answers by itself, and does not read the answers, is not read either. Other
        doors hear of a token with each message; here it came with the handshake, so what comes after its end is the end.
        """
        while True:
            text = await websocket.receive()
            assert isinstance(text, str)  # the link has refused the others
            if time.time() >= self._asked.sender.until:
                self._expired.set()
                return
            held = self._outbox.held
            await self._pass_on(text.encode())
            if self._outbox.held > max(held, HIGH_WATER):
                self._link.pause()

    async def _pass_on(self, data: bytes) -> None:
        id_ = b"null"
        try:
            message = parse(data)
            if isinstance(message, Request):
                id_ = message.id
                self._look(message)
                refused = await admitted.refusal(self._asked, self._session, message)
                admitted.request(self._asked, self._relay, message, self._outbox, refused)
            elif isinstance(message, Notification):
                self._relay.notify(message)
            else:
                self._relay.respond(message)
        except GatewayError as error:
            self._outbox.put(error.rpc_body(id_))


async def _say_goodbye(reason: Reason) -> None:
    """Close the connection, and give the client a moment to do so, too; that, or its end, cancels this."""
    with anyio.move_on_after(CLOSING):
        await websocket.close(close_code(reason), reason.value)
        await anyio.sleep_forever()
