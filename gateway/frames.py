"""WebSocket connections, as this program wants them of Hypercorn.

Hypercorn 0.18 takes care of the handshake and of sending; what comes in is read here, because it has no answer to a
client that does not behave: after a frame that is wrong it hangs up without a word (1007), or goes on waiting for the
client (1009) while the application hears of neither; it counts characters for bytes; a compressed frame may become a
thousand times its size before anything is counted; its pings expect no answer, and keep a closed connection for as long
as one interval; and a client that speaks before the handshake is done, or does it wrongly, is never let go.

A door finds the `Link` to its connection in the scope's `state`, under LINK. Until the door says how long a message may
be, none is taken.
"""

from collections.abc import Awaitable, Callable
from copy import copy
from dataclasses import replace
from typing import Any, Final

import anyio
import hypercorn.protocol.h2
import hypercorn.protocol.h11
from hypercorn.config import Config
from hypercorn.protocol.events import Body, Data, Event, Request, StreamClosed
from hypercorn.protocol.ws_stream import ASGIWebsocketState, WSStream
from hypercorn.typing import ConnectionState
from wsproto.connection import ConnectionState as FrameState
from wsproto.events import BytesMessage, CloseConnection, Message, Ping
from wsproto.frame_protocol import CloseReason

from common.reasons import Reason

LINK: Final = "link"


class OwnConfig(Config):
    """The configuration of a server of ours: whatever else Hypercorn serves in this process stays as it is."""


_CLOSING: Final = frozenset({FrameState.REMOTE_CLOSING, FrameState.CLOSED})


class Link:
    """One connection, beside the messages that come over it.

    `ping` sends a ping, and returns when the client's side of the connection has room for it.
    """

    def __init__(self, ping: Callable[[], Awaitable[None]]) -> None:
        self.ping = ping
        self.max_message_bytes = 0
        self.heard = anyio.current_time()
        """When anything last came from the client, on the loop's clock."""
        self.fault: Reason | None = None
        """What was wrong with a frame; nothing more is heard after it."""
        self.broken = anyio.Event()
        """Set with `fault`."""
        self.said_goodbye = False
        """Whether the client closed the connection in order."""
        self._room = anyio.Event()
        self._room.set()

    def __repr__(self) -> str:
        return f"<Link: messages of up to {self.max_message_bytes} bytes, {self.fault or 'in order'}>"

    def begin(self, max_message_bytes: int) -> None:
        """From now on messages are taken."""
        self.max_message_bytes = max_message_bytes
        self.heard = anyio.current_time()

    def fail(self, fault: Reason) -> None:
        """A frame was wrong."""
        if self.fault is None:
            self.fault = fault
            self.broken.set()

    def pause(self) -> None:
        """Read no more of what the client sends, for now."""
        if self._room.is_set():
            self._room = anyio.Event()

    def resume(self) -> None:
        """Read on."""
        self._room.set()

    async def room(self) -> None:
        """Wait until what comes may be read."""
        await self._room.wait()


async def silence(link: Link, every: float, bound: float) -> None:
    """Ping the client `every` so many seconds; return once nothing was heard of it for `bound` seconds.

    Whatever comes counts as an answer. A ping that finds no room is given up, for the next one is due.
    """
    while anyio.current_time() - link.heard <= bound:
        await anyio.sleep(every)
        with anyio.move_on_after(every):
            await link.ping()


class FrameStream(WSStream):
    """Hypercorn's side of one connection."""

    def __init__(self, app: Any, config: Config, *rest: Any) -> None:
        # It puts what came into a queue that nobody empties once the door is through, so that queue may not be bounded;
        # `Link.pause` bounds instead, before anything is read.
        config = copy(config)
        config.max_app_queue_size = 0
        super().__init__(app, config, *rest)
        self.link = Link(self._ping)
        self._deaf = False
        """Whether the frames can be made sense of no more."""
        self._parts: list[str] = []
        self._size = 0

    async def handle(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, Request):
            await super().handle(self._prepared(event))
            if self.closed:  # it was no valid handshake
                await self.send(StreamClosed(stream_id=self.stream_id))
        elif not isinstance(event, (Body, Data)):
            await super().handle(event)
        elif self.handshake.accepted:
            await self._receive(event.data)
        elif self.state is ASGIWebsocketState.HANDSHAKE:
            await self._send_error_response(400)
            await self.send(StreamClosed(stream_id=self.stream_id))

    async def app_send(self, message: Any) -> None:
        if message is None:
            self.link.resume()  # whoever waits for room may go
        await super().app_send(message)

    def _prepared(self, event: Request) -> Request:
        """The handshake, with the link where the door finds it, and without an offer to compress."""
        headers = [each for each in event.headers if each[0].lower() != b"sec-websocket-extensions"]
        return replace(event, headers=headers, state=ConnectionState({**event.state, LINK: self.link}))

    async def _receive(self, data: bytes) -> None:
        self.link.heard = anyio.current_time()
        await self.link.room()
        if not (self._deaf or self.closed):
            self.connection.receive_data(data)
            await self._handle_events()

    async def _handle_events(self) -> None:
        for event in self.connection.events():
            if isinstance(event, Message):
                await self._hear(event)
            elif isinstance(event, Ping):
                await self._send_wsproto_event(event.response())
            elif isinstance(event, CloseConnection) and self.connection.state not in _CLOSING:
                self._deaf = True
                not_text = event.code == CloseReason.INVALID_FRAME_PAYLOAD_DATA
                self.link.fail(Reason.INVALID_JSON if not_text else Reason.BAD_REQUEST)
            elif isinstance(event, CloseConnection):
                self.link.said_goodbye = True
                if self.connection.state is FrameState.REMOTE_CLOSING:
                    await self._send_wsproto_event(event.response())
                await self.send(StreamClosed(stream_id=self.stream_id))

    async def _hear(self, part: Message[Any]) -> None:
        """A part of a message. One that comes after the end was decided upon is only taken off the line."""
        if self.link.fault is not None or self.state is not ASGIWebsocketState.CONNECTED:
            return
        if isinstance(part, BytesMessage):
            self.link.fail(Reason.UNSUPPORTED_MEDIA_TYPE)
            return
        self._size += len(part.data) if part.data.isascii() else len(part.data.encode())
        if self._size > self.link.max_message_bytes:
            self._parts.clear()
            self.link.fail(Reason.MESSAGE_TOO_LARGE)
            return
        self._parts.append(part.data)
        if part.message_finished:
            text = "".join(self._parts)
            self._parts.clear()
            self._size = 0
            assert self.app_put is not None
            await self.app_put({"type": "websocket.receive", "bytes": None, "text": text})

    async def _ping(self) -> None:
        if not self.closed:
            await self._send_wsproto_event(Ping())


def _stream(app: Any, config: Config, *rest: Any) -> WSStream:
    kind = FrameStream if isinstance(config, OwnConfig) else WSStream
    return kind(app, config, *rest)


def install() -> None:
    """Have Hypercorn use this for our own servers; there is no other way in."""
    for protocol in (hypercorn.protocol.h11, hypercorn.protocol.h2):
        vars(protocol)["WSStream"] = _stream
