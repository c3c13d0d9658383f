"""A server whose hot doors, and whose application, are a test's own; and a client that counts every byte."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import anyio
import anyio.abc
import anyio.lowlevel
from quart import Quart

from gateway.hot.exchange import Answering, Head, Reply
from gateway.server import StopAccepting, bind, serve_http
from tests.support.processes import PATIENCE


class Doors:
    """Hot doors: what a path answers is a method. They count what becomes of each request."""

    def __init__(self) -> None:
        self.heard: list[tuple[Head, bytes]] = []
        self.begun = anyio.Event()
        self.may_answer = anyio.Event()
        self.cancelled = anyio.Event()
        self.next_part = anyio.Semaphore(0)
        self.made = 0
        self.entered = self.left = 0

    def takes(self, head: Head) -> Answering | None:
        return partial(self.answer, head) if head.path.startswith("/hot/") else None

    async def answer(self, head: Head, body: bytes) -> Reply | None:
        self.heard.append((head, body))
        answer: Reply | None = await getattr(self, "on_" + head.path.removeprefix("/hot/"))(head, body)
        return answer

    async def on_echo(self, head: Head, body: bytes) -> Reply:
        return Reply(200, body, [("X-Path", head.path)])

    async def on_wait(self, head: Head, body: bytes) -> Reply:
        self.begun.set()
        try:
            await self.may_answer.wait()
        except anyio.get_cancelled_exc_class():
            self.cancelled.set()
            raise
        return Reply(200, b"waited")

    async def on_none(self, head: Head, body: bytes) -> None:
        return None

    async def on_last(self, head: Head, body: bytes) -> Reply:
        return Reply(200, b"last", [("connection", "Close")])

    async def on_fault(self, head: Head, body: bytes) -> Reply:
        raise RuntimeError("a fault of ours")

    async def on_split(self, head: Head, body: bytes) -> Reply:
        return Reply(200, self._parts(), [("X-A", "b\r\nX-C: d")])

    async def on_large(self, head: Head, body: bytes) -> Reply:
        return Reply(200, b"x" * int(body))

    async def on_stream(self, head: Head, body: bytes) -> Reply:
        return Reply(200, self._parts(), [("Content-Type", "text/event-stream")])

    async def on_flood(self, head: Head, body: bytes) -> Reply:
        return Reply(200, self._parts(b"x" * 65536, waiting=False))

    async def on_promised(self, head: Head, body: bytes) -> Reply:
        return Reply(200, self._parts(b"x" * 65536, waiting=False), length=1_000_000_000)

    async def on_announced(self, head: Head, body: bytes) -> Reply:
        @asynccontextmanager
        async def parts() -> AsyncIterator[AsyncIterator[bytes]]:
            async def each() -> AsyncIterator[bytes]:
                for part in (b"12", b"", b"345"):
                    yield part

            yield each()

        return Reply(200, parts(), length=int(body))

    async def on_broken(self, head: Head, body: bytes) -> Reply:
        return Reply(200, self._parts(waiting=False, fault=True))

    @asynccontextmanager
    async def _parts(
        self, part: bytes = b"part", *, waiting: bool = True, fault: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        async def parts() -> AsyncIterator[bytes]:
            while True:
                if waiting:
                    await self.next_part.acquire()
                    if self.may_answer.is_set():
                        return
                self.made += 1
                yield part
                yield b""
                if fault:
                    raise RuntimeError("a fault of ours")
                await anyio.lowlevel.checkpoint()

        self.entered += 1
        self.begun.set()
        try:
            yield parts()
        finally:
            self.left += 1
            self.cancelled.set()


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """What is not hot: it says which body came to which path."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message["body"]
        more = message["more_body"]
    answer = b"cold " + scope["path"].encode() + b" " + body
    length = (b"content-length", b"%d" % len(answer))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": answer})


class Client:
    """One connection, as bytes."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self._unread = b""

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def until(self, end: bytes) -> bytes:
        """All that comes up to and with `end`."""
        with anyio.fail_after(PATIENCE):
            while end not in self._unread:
                self._unread += await self.stream.receive()
        found, _, self._unread = self._unread.partition(end)
        return found + end

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        with anyio.fail_after(PATIENCE):
            try:
                while True:
                    self._unread += await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                rest, self._unread = self._unread, b""
                return rest

    async def answer(self) -> tuple[bytes, bytes]:
        """The head of an answer, in lower case, and its body, which has a length."""
        head = (await self.until(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        with anyio.fail_after(PATIENCE):
            while len(self._unread) < length:
                self._unread += await self.stream.receive()
        body, self._unread = self._unread[:length], self._unread[length:]
        return head, body

    async def body(self) -> bytes:
        """The body of an answer."""
        return (await self.answer())[1]


def post(path: str, body: bytes = b"", *lines: str) -> bytes:
    length = f"Content-Length: {len(body)}"
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: a", length, *lines, "", "")).encode() + body


class Served:
    """The server, which `stop` ends."""

    def __init__(self, listener: socket.socket, doors: Doors) -> None:
        self.port: int = listener.getsockname()[1]
        self.doors = doors
        self.stop = anyio.Event()
        self.stop_accepting: StopAccepting
        self.over = anyio.Event()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with await anyio.connect_tcp("127.0.0.1", self.port) as stream:
            yield Client(stream)


@asynccontextmanager
async def served(app: Callable[..., Any] = plain) -> AsyncIterator[Served]:
    """A server, which is stopped in order at the end."""
    listener = bind("127.0.0.1", 0)
    server = Served(listener, Doors())
    ready = anyio.Event()

    async def until(stop_accepting: StopAccepting) -> None:
        server.stop_accepting = stop_accepting
        ready.set()
        await server.stop.wait()

    async def serve() -> None:
        await serve_http(cast("Quart", app), listener, until, server.doors)
        server.over.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await ready.wait()
        yield server
        server.stop.set()
