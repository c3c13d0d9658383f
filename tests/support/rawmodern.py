"""Revision 2026-07-28 over plain HTTP, message by message: for what no SDK's client would do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from tests.support.gateway import NO_TLS, Gateway
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, Events
from tests.support.rawmcp import request as plain_request

VERSION = "2026-07-28"
PREFIX = "io.modelcontextprotocol/"
META: dict[str, Any] = {f"{PREFIX}protocolVersion": VERSION, f"{PREFIX}clientCapabilities": {}}
ASKABLE: dict[str, Any] = {**META, f"{PREFIX}clientCapabilities": {"elicitation": {"form": {}}}}


def request(id_: int | str, method: str, /, meta: dict[str, Any] | None = None, **params: Any) -> dict[str, Any]:
    """A request with its envelope; `meta` adds to it."""
    return plain_request(id_, method, {**params, "_meta": {**META, **(meta or {})}})


def call(id_: int | str, tool: str, /, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """A request that calls a tool."""
    return request(id_, "tools/call", meta, name=tool, arguments=arguments)


def listen(id_: int | str, **notifications: Any) -> dict[str, Any]:
    """A request that subscribes."""
    return request(id_, "subscriptions/listen", notifications=notifications)


def headers_of(message: dict[str, Any]) -> dict[str, str]:
    """The headers that go with `message`."""
    params = message.get("params", {})
    headers = {**BOTH, "MCP-Protocol-Version": VERSION, "Mcp-Method": message["method"]}
    name = params.get("uri") if message["method"] == "resources/read" else params.get("name")
    return {**headers, "Mcp-Name": name} if name else headers


class Modern:
    """A client of `path`; `headers` go with each of its requests."""

    def __init__(self, http: httpx2.AsyncClient, path: str = "/dual/mcp", **headers: str) -> None:
        self.http = http
        self.path = path
        self.headers = headers

    async def post(self, message: Any, /, **headers: str) -> httpx2.Response:
        """Post one message; the answer, read whole."""
        own = headers_of(message) if isinstance(message, dict) and "method" in message else BOTH
        all_headers = {**own, **self.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.http.post(self.path, json=message, headers=all_headers)

    async def call(self, id_: int | str, tool: str, /, **arguments: Any) -> str:
        """Call a tool that answers quickly; the text that it gives."""
        answer = await self.post(call(id_, tool, **arguments))
        assert answer.status_code == 200, answer.text
        message = answer.json()
        assert message["id"] == id_
        return str(message["result"]["content"][0]["text"])

    @asynccontextmanager
    async def streaming(self, message: dict[str, Any]) -> AsyncIterator[Events]:
        """Post one message, and read the answer as it comes."""
        headers = {**headers_of(message), **self.headers}
        async with self.http.stream("POST", self.path, json=message, headers=headers) as response:
            assert response.headers["content-type"].startswith("text/event-stream"), await response.aread()
            yield Events(response)


@asynccontextmanager
async def client_of(gateway: Gateway, server: str, **headers: str) -> AsyncIterator[Modern]:
    """A client with connections and cookies of its own."""
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, verify=NO_TLS) as http:
        yield Modern(http, f"/{server}/mcp", **headers)


async def at_once(gateway: Gateway, server: str, tool: str, **headers: str) -> str:
    """What a tool says to a client that is there for this alone."""
    async with client_of(gateway, server, **headers) as client:
        return await client.call(1, tool)
