"""As much of an HTTP/1.1 client as a benchmark needs, and no more, so that what is measured is not the client.

A connection is kept alive and has one request on its way at a time, whose bytes are given whole. The answer is read by
its `Content-Length`, in chunks, or to the end of the connection. An event stream is read event by event.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

_END_OF_HEAD = b"\r\n\r\n"


class Closed(Exception):
    """The connection ended before the answer did."""


class Malformed(Exception):
    """This is not what HTTP/1.1 looks like."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: its status, its head as it came, and its body."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: bytes) -> bytes:
        """The value of the header `name`, which is given in lower case; empty where there is none."""
        return header(self.head, name)


def header(head: bytes, name: bytes) -> bytes:
    """The value of the header `name`, which is given in lower case, in a head; empty where there is none."""
    at = head.lower().find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    return head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


def post(path: str, body: bytes, headers: bytes = b"") -> bytes:
    """The bytes of a POST of JSON; `headers` are whole lines."""
    return (
        b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json, text/event-stream\r\n"
        b"Content-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b"
    ) % (path.encode(), headers, len(body), body)


def get(path: str, accept: bytes = b"application/json") -> bytes:
    """The bytes of a GET."""
    return b"GET %b HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: %b\r\n\r\n" % (path.encode(), accept)


def delete(path: str, headers: bytes = b"") -> bytes:
    """The bytes of a DELETE."""
    return b"DELETE %b HTTP/1.1\r\nHost: 127.0.0.1\r\n%b\r\n" % (path.encode(), headers)


def parse(data: bytes, *, ended: bool = False) -> tuple[Answer, bytes] | None:
    """The answer with which `data` begins and what follows it, or None as long as it is not whole.

    `ended` says that the connection has: an answer without a length is whole then. Raises Malformed.
    """
    end = data.find(_END_OF_HEAD)
    if end < 0:
        return None
    head, status = data[:end], _status(data)
    start = end + 4
    if status in (204, 304):
        return Answer(status, head, b""), data[start:]
    if length := header(head, b"content-length"):
        stop = start + int(length)
        return (Answer(status, head, data[start:stop]), data[stop:]) if len(data) >= stop else None
    if header(head, b"transfer-encoding") == b"chunked":
        reader = Chunks()
        body = reader.feed(data[start:])
        return (Answer(status, head, body), reader.rest) if reader.ended else None
    return (Answer(status, head, data[start:]), b"") if ended else None


def _status(data: bytes) -> int:
    if not data.startswith(b"HTTP/1.") or not data[9:12].isdigit():
        raise Malformed(repr(data[:40]))
    return int(data[9:12])


class Chunks:
    """Reads a chunked body, as it comes."""

    def __init__(self) -> None:
        self.rest = b""
        """What came and is no part of a whole chunk; after the end, what follows the body."""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """The content of all chunks that are whole by now. Raises Malformed."""
        self.rest += data
        content = []
        while not self.ended:
            line, found, after = self.rest.partition(b"\r\n")
            if not found:
                break
            try:
                size = int(line.split(b";")[0], 16)
            except ValueError:
                raise Malformed(repr(line[:40])) from None
            if len(after) < size + 2:
                break
            content.append(after[:size])
            self.rest = after[size + 2 :]
            self.ended = size == 0
        return b"".join(content)


class Events:
    """Reads an event stream, as it comes."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """The events that are whole by now: the name (`message` if there is none) and the data of each."""
        # No part of a line end is left behind for the next time, because all that waits is looked at again.
        *blocks, self._rest = (self._rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        return [event for block in blocks if (event := _event(block))]


def _event(block: bytes) -> tuple[bytes, bytes] | None:
    name, data = b"message", []
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return (name, b"\n".join(data)) if data else None


class Connection(asyncio.Protocol):
    """One connection, kept alive, and made again where the other side has closed it in between.

    `reconnects` counts how often that was.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.reconnects = 0
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._answer: asyncio.Future[Answer] | None = None

    async def request(self, data: bytes) -> Answer:
        """The answer to a request, as soon as it is whole. Raises Closed, Malformed, and OSError where nobody listens.

        A connection that was closed before anything was answered is made again, once: servers close idle ones, and the
        request may cross that on its way.
        """
        used = self._transport is not None
        try:
            return await self._request(data)
        except Closed:
            if not used or self._data:
                raise
            self.reconnects += 1
            return await self._request(data)

    async def _request(self, data: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        if self._transport is None or self._transport.is_closing():
            self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", self.port)
        self._data = b""
        self._answer = loop.create_future()
        self._transport.write(data)
        try:
            return await self._answer
        finally:
            self._answer = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._data += data
        self._look(ended=False)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._look(ended=True)
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(Closed("the connection was closed"))

    def _look(self, *, ended: bool) -> None:
        if self._answer is None or self._answer.done():
            return
        try:
            found = parse(self._data, ended=ended)
        except Malformed as error:
            self._answer.set_exception(error)
            return
        if found is not None:
            answer, self._data = found
            if answer.header(b"connection").lower() == b"close" and self._transport is not None:
                self._transport.close()
            self._answer.set_result(answer)


class Stream(asyncio.Protocol):
    """A GET whose answer is an event stream without end; `heard` is called with the name and the data of each event."""

    def __init__(self, heard: Callable[[bytes, bytes], None]) -> None:
        self._heard = heard
        self._transport: asyncio.Transport | None = None
        self._head = b""
        self._chunks: Chunks | None = None
        self._events = Events()
        self._begun: asyncio.Future[int] | None = None

    async def open(self, port: int, path: str) -> int:
        """Ask for the stream; its status, as soon as the head of the answer is there. Raises Closed and OSError."""
        loop = asyncio.get_running_loop()
        self._begun = loop.create_future()
        self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", port)
        self._transport.write(get(path, b"text/event-stream"))
        return await self._begun

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        assert self._begun is not None
        if not self._begun.done():
            self._head += data
            head, found, data = self._head.partition(_END_OF_HEAD)
            if not found:
                return
            if header(head, b"transfer-encoding") == b"chunked":
                self._chunks = Chunks()
            self._begun.set_result(_status(head))
        if self._chunks is not None:
            data = self._chunks.feed(data)
        for name, content in self._events.feed(data):
            self._heard(name, content)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._begun is not None and not self._begun.done():
            self._begun.set_exception(Closed("the stream was closed before it began"))
        self._heard(b"closed", b"")


def path_of(url: str) -> str:
    """The path and the query of a URL or of a path."""
    parts = urlsplit(url)
    return parts.path + (f"?{parts.query}" if parts.query else "")
