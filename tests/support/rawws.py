"""MCP over WebSocket, frame by frame: for what no SDK's client would do."""

import base64
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import httpx2
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage

from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, notification, request


class Refused(Exception):
    """The handshake was answered with something else than an upgrade."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(f"{status}: {body!r}")
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def error(self) -> Any:
        """The JSON-RPC error."""
        return json.loads(self.body)["error"]


class WebSocket:
    """A connection past its handshake, whose answer had the `headers`."""

    def __init__(self, stream: anyio.abc.SocketStream, headers: dict[str, str], rest: bytes) -> None:
        self.stream = stream
        self.headers = headers
        self.answers_pings = True
        self._frames = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._events: list[Event] = list(self._frames.events())
        self._parts: list[str] = []

    async def send(self, message: object) -> None:
        """One JSON-RPC message."""
        await self.send_text(json.dumps(message))

    async def send_text(self, text: str) -> None:
        """A text frame with anything."""
        await self.send_event(TextMessage(data=text))

    async def send_binary(self, data: bytes) -> None:
        """A binary frame."""
        await self.send_event(BytesMessage(data=data))

    async def send_event(self, event: Event) -> None:
        """Any frame that the library would send."""
        await self.send_bytes(self._frames.send(event))

    async def send_bytes(self, data: bytes) -> None:
        """Bytes that may not even be a frame."""
        with anyio.fail_after(PATIENCE):
            await self.stream.send(data)

    async def event(self) -> Event:
        """What comes next; a ping is answered, and counts as well. Raises EndOfStream where nothing does."""
        with anyio.fail_after(PATIENCE):
            while not self._events:
                self._frames.receive_data(await self.stream.receive())
                self._events += self._frames.events()
        event = self._events.pop(0)
        if isinstance(event, Ping) and self.answers_pings:
            await self.send_event(event.response())
        return event

    async def message(self) -> Any:
        """The next JSON-RPC message."""
        while True:
            event = await self.event()
            assert not isinstance(event, CloseConnection), event
            if isinstance(event, TextMessage):
                self._parts.append(event.data)
                if event.message_finished:
                    text = "".join(self._parts)
                    self._parts.clear()
                    return json.loads(text)

    async def ask(self, message: dict[str, Any]) -> Any:
        """Send one request; the next message, which must be its answer."""
        await self.send(message)
        received = await self.message()
        assert received["id"] == message["id"], received
        return received

    async def closed(self) -> tuple[int, str | None]:
        """The code and the text with which the gateway closes; it is answered, and the connection must end then."""
        while not isinstance(event := await self.event(), CloseConnection):
            pass
        await self.send_event(event.response())
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return event.code, event.reason

    async def open(self) -> "WebSocket":
        """Shake hands as MCP has it."""
        await self.ask(request(0, "initialize", HELLO))
        await self.send(notification("notifications/initialized"))
        return self


HANDSHAKE: Mapping[str, str | None] = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Protocol": "mcp",
}


def handshake(url: str, path: str, headers: Mapping[str, str | None]) -> bytes:
    """The request that asks for an upgrade; a header that is None is left out."""
    host = url.removeprefix("http://")
    key = base64.b64encode(os.urandom(16)).decode()
    all_headers = {"Host": host, "Sec-WebSocket-Key": key, **HANDSHAKE, **headers}
    lines = [f"{name}: {value}" for name, value in all_headers.items() if value is not None]
    return "\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode()


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[anyio.abc.SocketStream]:
    """A TCP connection to the server at `url`."""
    where = httpx2.URL(url)
    assert where.port is not None
    async with await anyio.connect_tcp(where.host, where.port) as stream:
        yield stream


async def upgrade(stream: anyio.abc.SocketStream, request: bytes) -> WebSocket:
    """Shake hands as WebSocket has it. Raises Refused."""
    with anyio.fail_after(PATIENCE):
        await stream.send(request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += await stream.receive()
        head, _, rest = received.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if re.match(r"HTTP/1.1 101 ", status):
            return WebSocket(stream, headers, rest)
        try:
            while True:
                rest += await stream.receive()
        except anyio.EndOfStream:
            raise Refused(int(status.split()[1]), headers, rest) from None


@asynccontextmanager
async def websocket(
    url: str, path: str = "/light/ws", headers: Mapping[str, str | None] | None = None, *, hello: bool = True
) -> AsyncIterator[WebSocket]:
    """Connect to `path`, and shake hands unless told otherwise; on leaving, the client hangs up without a word.

    `headers` are of the handshake; one that is None is left out. Raises Refused.
    """
    async with connected(url) as stream:
        opened = await upgrade(stream, handshake(url, path, headers or {}))
        yield await opened.open() if hello else opened
