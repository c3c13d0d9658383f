"""The clients of the matrix: the SDK's own, held to one revision each, with what they are told and asked kept."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import mcp_types as types
from mcp import Client, ClientSession
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from tests.support.gateway import Gateway

MODERN: Final = "2026-07-28"
FIRST_WITH_ELICITATION: Final = "2025-06-18"


@dataclass
class Host:
    """The program around a client: it answers whatever it is asked, and keeps what it is told."""

    asked: list[str] = field(default_factory=list)
    """What it was asked, by capability."""
    lines: asyncio.Queue[object] = field(default_factory=asyncio.Queue)
    """The lines of the server's log."""
    news: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)
    """What is another now: the notification's method, and the resource's URI where it is about one."""

    async def elicit(self, _context: ClientRequestContext, _params: types.ElicitRequestParams) -> types.ElicitResult:
        self.asked.append("elicitation")
        return types.ElicitResult(action="accept", content={"username": "Ann", "email": "ann@example.org"})

    async def sample(
        self, _context: ClientRequestContext, _params: types.CreateMessageRequestParams
    ) -> types.CreateMessageResult:
        self.asked.append("sampling")
        return types.CreateMessageResult(role="assistant", model="m", content=types.TextContent(text="thought"))

    async def roots(self, _context: ClientRequestContext) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///home")])

    async def log(self, params: types.LoggingMessageNotificationParams) -> None:
        self.lines.put_nowait(params.data)

    async def hear(self, message: IncomingMessage) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.news.put_nowait((message.method, str(message.params.uri)))
        elif not isinstance(message, Exception) and message.method.endswith("/list_changed"):
            self.news.put_nowait((message.method, ""))

    def callbacks(self, *, askable: bool = True) -> dict[str, Any]:
        """As the SDK's clients take them."""
        told = {"logging_callback": self.log, "message_handler": self.hear}
        answers = {
            "elicitation_callback": self.elicit,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
        }
        return {**told, **(answers if askable else {})}


@dataclass
class Connection:
    """A client and its server. `again` connects another client of this kind, which may be one that cannot be asked."""

    gateway: Gateway
    peer: ClientSession | Client
    host: Host
    again: Callable[..., AbstractAsyncContextManager["Connection"]]

    async def call(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool; the text of its result."""
        return text_of(await self.peer.call_tool(tool, arguments))

    async def call_for_lines(self, tool: str, /, **arguments: Any) -> None:
        """Call a tool, and want to have its log lines."""
        raise NotImplementedError

    def listening(self, *uris: str) -> AbstractAsyncContextManager[object]:
        """Be told when a list changes, and when one of these resources does."""
        raise NotImplementedError


class Handshaken(Connection):
    """One of the revisions with a handshake."""

    peer: ClientSession

    async def call_for_lines(self, tool: str, /, **arguments: Any) -> None:
        await self.peer.set_logging_level("info")
        await self.call(tool, **arguments)

    @asynccontextmanager
    async def listening(self, *uris: str) -> AsyncIterator[None]:
        for uri in uris:
            await self.peer.subscribe_resource(uri)
        yield
        for uri in uris:
            await self.peer.unsubscribe_resource(uri)


class Stateless(Connection):
    """The revision without a handshake."""

    peer: Client

    async def call_for_lines(self, tool: str, /, **arguments: Any) -> None:
        level: Any = {types.LOG_LEVEL_META_KEY: "info"}
        await self.peer.call_tool(tool, arguments, meta=level)

    def listening(self, *uris: str) -> AbstractAsyncContextManager[object]:
        return self.peer.listen(
            tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True, resource_subscriptions=uris
        )


def text_of(result: types.CallToolResult) -> str:
    """The text of a result that is no error."""
    assert not result.is_error, result
    [block] = result.content
    assert isinstance(block, types.TextContent)
    return block.text


def connected(gateway: Gateway, client: str, server: str) -> AbstractAsyncContextManager[Connection]:
    """A client of this kind at this server."""
    url = f"{gateway.url}/{server}"
    if client == MODERN:
        return _stateless(gateway, url)
    if client == "sse":
        return _handshaken(gateway, partial(sse_client, f"{url}/sse"), "2024-11-05")
    return _handshaken(gateway, partial(streamable_http_client, f"{url}/mcp"), client)


@asynccontextmanager
async def _stateless(gateway: Gateway, url: str, *, askable: bool = True) -> AsyncIterator[Connection]:
    host = Host()
    async with Client(f"{url}/mcp", **host.callbacks(askable=askable)) as client:
        assert client.protocol_version == MODERN
        yield Stateless(gateway, client, host, partial(_stateless, gateway, url))


@asynccontextmanager
async def _handshaken(
    gateway: Gateway, transport: Callable[[], AbstractAsyncContextManager[Any]], version: str
) -> AsyncIterator[Connection]:
    host = Host()
    async with transport() as streams, ClientSession(*streams, **host.callbacks()) as session:
        await _shake_hands(session, version)
        yield Handshaken(gateway, session, host, partial(_handshaken, gateway, transport, version))


async def _shake_hands(session: ClientSession, version: str) -> None:
    """Agree on `version`; the SDK's own handshake offers the latest one alone."""
    capabilities = types.ClientCapabilities(sampling=types.SamplingCapability(), roots=types.RootsCapability())
    if version >= FIRST_WITH_ELICITATION:
        capabilities.elicitation = types.ElicitationCapability()
    params = types.InitializeRequestParams(
        protocol_version=version, capabilities=capabilities, client_info=types.Implementation(name="test", version="1")
    )
    result = await session.send_request(types.InitializeRequest(params=params), types.InitializeResult)
    assert result.protocol_version == version
    session.adopt(result)
    await session.send_notification(types.InitializedNotification())
