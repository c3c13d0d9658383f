"""A gateway in this process, and its client in a thread: what is counted in the event loop's thread is the gateway's."""

import http.client
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

import anyio

from embedding.running import running
from gateway.server import StopAccepting, bind, serve_http
from tests.support.gateway import QUICK, ROOT, light, write_config
from tests.support.rawmcp import BOTH, HELLO, call, notification, request

_OURS = tuple(f"{ROOT / name}/" for name in ("common", "gateway", "supervisor"))


@asynccontextmanager
async def gateway_here(directory: Path) -> AsyncIterator[int]:
    """The port of a gateway in this process, whose one server is the light one, a real child for each session."""
    config = write_config(directory / "config.yaml", {**QUICK, "servers": {"light": light()}})
    with (directory / "supervisor.log").open("wb") as log:
        async with running(config, stderr=log) as gateway, anyio.create_task_group() as tasks:
            listener = bind("127.0.0.1", 0)
            port, enough = listener.getsockname()[1], anyio.Event()

            async def until(_: StopAccepting) -> None:
                await enough.wait()

            tasks.start_soon(serve_http, gateway.app, listener, until, gateway.app.extensions["hot"])
            try:
                yield port
            finally:
                enough.set()


class Client(Protocol):
    """One session, whose calls are made one after the other. All of it blocks."""

    def call(self) -> None:
        """Call a tool, and wait for its result."""

    def large(self, size: int) -> int:
        """Call a tool whose result is a text of `size` bytes; how many the answer has."""

    def close(self) -> None:
        """Hang up."""


class _Connection:
    def __init__(self, port: int) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[Any, bytes]:
        """The headers and the body of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else json.dumps(body).encode()
        self._http.request(method, path, data, named if data is None else {**named, "Content-Type": "application/json"})
        answer = self._http.getresponse()
        return answer.headers, answer.read()

    def close(self) -> None:
        self._http.close()


class Streamable:
    """Over Streamable HTTP."""

    def __init__(self, port: int) -> None:
        self._connection = _Connection(port)
        headers, _ = self._connection.ask("POST", "/light/mcp", request(0, "initialize", HELLO), **BOTH)
        self.headers = {**BOTH, "Mcp-Session-Id": headers["Mcp-Session-Id"], "Content-Type": "application/json"}
        self._connection.ask("POST", "/light/mcp", notification("notifications/initialized"), **self.headers)
        self.close = self._connection.close

    def call(self) -> None:
        _, body = self._connection.ask("POST", "/light/mcp", call(1, "echo", text="hello"), **self.headers)
        assert b"hello" in body

    def end(self) -> None:
        """End the session, and hang up."""
        self._connection.ask("DELETE", "/light/mcp", **self.headers)
        self.close()

    def as_events(self) -> None:
        """From now on take event streams alone."""
        self.headers["Accept"] = "text/event-stream"

    def large(self, size: int) -> int:
        return len(self._connection.ask("POST", "/light/mcp", call(1, "big", bytes=size), **self.headers)[1])


class Sse:
    """Over HTTP+SSE: the answers come on a stream of their own."""

    def __init__(self, port: int) -> None:
        self._connection = _Connection(port)
        self._stream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._stream.request("GET", "/light/sse", headers={"Accept": "text/event-stream"})
        self._events = self._stream.getresponse()
        self._path = "/light/" + self._event().decode()
        self._connection.ask("POST", self._path, request(0, "initialize", HELLO))
        self._event()
        self._connection.ask("POST", self._path, notification("notifications/initialized"))

    def _event(self) -> bytes:
        while True:
            line = self._events.readline()
            if line.startswith(b"data: "):
                return line.removeprefix(b"data: ").strip()
            assert line, "the stream has ended"

    def call(self) -> None:
        self._connection.ask("POST", self._path, call(1, "echo", text="hello"))
        assert b"hello" in self._event()

    def large(self, size: int) -> int:
        self._connection.ask("POST", self._path, call(1, "big", bytes=size))
        return len(self._event())

    def close(self) -> None:
        self._connection.close()
        self._events.close()
        self._stream.close()


class Rest:
    """Over REST."""

    def __init__(self, port: int) -> None:
        self._connection = _Connection(port)
        _, body = self._connection.ask("GET", "/api/sessionid")
        self._session = json.loads(body)["sessionId"]
        self._path = f"/api/light/echo?sessionId={self._session}"
        self.close = self._connection.close

    def large(self, size: int) -> int:
        return len(self._connection.ask("POST", f"/api/light/big?sessionId={self._session}", {"bytes": size})[1])

    def call(self) -> None:
        _, body = self._connection.ask("POST", self._path, {"text": "hello"})
        assert b"hello" in body


CLIENTS: dict[str, Callable[[int], Client]] = {"Streamable HTTP": Streamable, "HTTP+SSE": Sse, "REST": Rest}


@contextmanager
def function_calls(of: tuple[str, ...] = _OURS) -> Iterator[Counter[CodeType]]:
    """How often each of our own functions is called, or gone on with, in this thread meanwhile.

    `of` are the beginnings of the paths of other modules, whose functions are counted in place of ours.
    """
    found: Counter[CodeType] = Counter()

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(of):
            found[frame.f_code] += 1

    sys.setprofile(look)
    try:
        yield found
    finally:
        sys.setprofile(None)
