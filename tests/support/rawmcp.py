"""MCP over plain HTTP, message by message: for what no SDK's client would do."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2

from tests.support.processes import PATIENCE

BOTH = {"Accept": "application/json, text/event-stream"}
HELLO: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"sampling": {}, "elicitation": {}, "roots": {}},
    "clientInfo": {"name": "test", "version": "1"},
}


def request(id_: int | str, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params or {}}


def call(id_: int | str, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """A JSON-RPC request that calls a tool."""
    return request(id_, "tools/call", {"name": tool, "arguments": arguments})


def notification(method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
    """A JSON-RPC notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params or {}}


def said(message: dict[str, Any]) -> Any:
    """The text of a tool's result, decoded where it is JSON."""
    text = message["result"]["content"][0]["text"]
    try:
        return json.loads(text)
    except ValueError:
        return text


class Events:
    """A stream of server-sent events, read one by one."""

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.last_id = ""
        """The last event id, of a message or of an event without data."""
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, str]:
        """The next event and its data; comments are passed over. Raises StopAsyncIteration at the end."""
        event, data = "message", ""
        with anyio.fail_after(PATIENCE):
            async for line in self._lines:
                if line.startswith("event: "):
                    event = line.removeprefix("event: ")
                elif line.startswith("id: "):
                    self.last_id = line.removeprefix("id: ")
                elif line.startswith("data: "):
                    data = line.removeprefix("data: ")
                elif not line and data:
                    return event, data
        raise StopAsyncIteration

    async def primed(self) -> str:
        """The id of the event without data that comes next, before any message."""
        lines: list[str] = []
        with anyio.fail_after(PATIENCE):
            async for line in self._lines:
                if not line:
                    break
                lines.append(line)
        assert [each.partition(":")[0] for each in lines] == ["id", "retry", "data"], lines
        assert lines[2] == "data: "
        self.last_id = lines[0].removeprefix("id: ")
        return self.last_id

    async def message(self) -> dict[str, Any]:
        """The next JSON-RPC message; events of a type that clients do not know are passed over."""
        event, data = await self.next()
        while event == "place":
            event, data = await self.next()
        assert event == "message"
        message: dict[str, Any] = json.loads(data)
        return message

    async def at_end(self) -> bool:
        """Whether the server has closed the stream, without another event."""
        try:
            await self.next()
        except StopAsyncIteration:
            return True
        return False


class Answer(httpx2.Response):
    """What a POST of Streamable HTTP came to, read whole.

    An answer that takes longer than a moment comes as a stream: on a busy machine it may be any. What was said is the
    same, and whoever wants to know how, asks for the content type.
    """

    def __init__(self, response: httpx2.Response, *, is_batch: bool) -> None:
        super().__init__(response.status_code, headers=response.headers, content=response.content)
        self.is_batch = is_batch

    def json(self, **options: Any) -> Any:
        """The one message, or all that answer a batch; of a stream with more, the last one."""
        if not self.headers.get("content-type", "").startswith("text/event-stream"):
            return super().json(**options)
        lines = (line.removeprefix("data: ") for line in self.text.splitlines() if line.startswith("data: "))
        messages = [json.loads(line, **options) for line in lines if line]
        return messages if self.is_batch else messages[-1]


class Streamable:
    """A session of Streamable HTTP at `path`."""

    def __init__(self, http: httpx2.AsyncClient, path: str = "/light/mcp") -> None:
        self.http = http
        self.path = path
        self.headers = dict(BOTH)

    async def open(self, version: str = "2025-11-25") -> "Streamable":
        """Shake hands, and agree on the revision `version`."""
        answer = await self.post(request(0, "initialize", {**HELLO, "protocolVersion": version}))
        assert answer.status_code == 200, answer.text
        self.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        assert (await self.post(notification("notifications/initialized"))).status_code == 202
        return self

    async def post(self, message: object) -> Answer:
        """Post one message, or several as a batch; the answer, read whole."""
        response = await self.http.post(self.path, json=message, headers=self.headers)
        return Answer(response, is_batch=isinstance(message, list))

    async def call(self, id_: int | str, tool: str, /, **arguments: Any) -> Any:
        """Call a tool; the text that it gives."""
        message = (await self.post(call(id_, tool, **arguments))).json()
        assert message["id"] == id_, message
        return said(message)

    @asynccontextmanager
    async def streaming(self, message: object) -> AsyncIterator[Events]:
        """Post one message, and read the answer as it comes."""
        async with self.http.stream("POST", self.path, json=message, headers=self.headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), await response.aread()
            yield Events(response)

    @asynccontextmanager
    async def listening(self, after: str | None = None) -> AsyncIterator[Events]:
        """The standing stream, or what came after the event `after`."""
        headers = {**self.headers, "Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = after
        async with self.http.stream("GET", self.path, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            yield Events(response)

    async def delete(self) -> httpx2.Response:
        """End the session."""
        return await self.http.delete(self.path, headers=self.headers)


class Sse:
    """A session of HTTP+SSE, past its first event."""

    def __init__(self, http: httpx2.AsyncClient, events: Events, endpoint: str, url: str) -> None:
        self.http = http
        self.events = events
        self.endpoint = endpoint
        self.url = url

    async def post(self, message: object) -> httpx2.Response:
        """Post one message to the endpoint."""
        return await self.http.post(self.url, json=message)

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Post one request; the next message on the stream, which must be its answer."""
        answer = await self.post(message)
        assert (answer.status_code, answer.content) == (202, b"")
        received = await self.events.message()
        assert received["id"] == message["id"]
        return received


@asynccontextmanager
async def sse(http: httpx2.AsyncClient, path: str = "/light/sse", *, hello: bool = True) -> AsyncIterator[Sse]:
    """Open a session of HTTP+SSE at `path`, and shake hands unless told otherwise."""
    async with http.stream("GET", path, headers={"Accept": "*/*"}) as response:
        assert response.status_code == 200, await response.aread()
        events = Events(response)
        event, endpoint = await events.next()
        assert event == "endpoint"
        session = Sse(http, events, endpoint, str(response.url.join(endpoint)))
        if hello:
            await session.ask(request(0, "initialize", HELLO))
            await session.post(notification("notifications/initialized"))
        yield session
