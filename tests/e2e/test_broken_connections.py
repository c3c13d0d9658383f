"""Connections that are cut in the middle of a long call: the SDKs' clients get its answer all the same."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import ClientMessageMetadata
from mcp.types import CallToolRequest, CallToolRequestParams, CallToolResult, TextContent

from tests.e2e.test_python_clients import handshaken
from tests.support.gateway import LIGHT, Gateway, running
from tests.support.node import real_servers, typescript_client
from tests.support.proxy import Proxy, proxying
from tests.support.rawmcp import Streamable, call

pytestmark = pytest.mark.slow

LONG = "trigger-long-running-operation"
PRIMING = b"data: \n"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with real servers, and the light one."""
    directory = tmp_path_factory.mktemp("gateway")
    async with running({"light": LIGHT, **real_servers(Path(directory))}, tmp_path=directory) as gateway:
        yield gateway


@pytest.fixture
async def proxy(one_gateway: Gateway) -> AsyncIterator[Proxy]:
    """A proxy in front of the gateway."""
    async with proxying(one_gateway.url) as proxy:
        yield proxy


def same_session(proxy: Proxy, gateway: Gateway) -> Streamable:
    """The session that a client has opened through `proxy`, for somebody who is not cut off."""
    session = Streamable(gateway.http)
    found = re.search(rb"(?i)mcp-session-id: (\S+)", proxy.said)
    assert found is not None
    session.headers["Mcp-Session-Id"] = found[1].decode()
    return session


def text_of(result: CallToolResult) -> str:
    """The text of a result."""
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.mark.parametrize("released", ["while it is away", "when it is back"])
async def test_the_python_client_gets_the_answer_to_a_quiet_call(
    proxy: Proxy, one_gateway: Gateway, released: str
) -> None:
    results: list[CallToolResult] = []
    async with handshaken(streamable_http_client(f"{proxy.url}/light/mcp")) as session:

        async def ask() -> None:
            results.append(await session.call_tool("hold", {"text": "late"}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await one_gateway.said("stderr: holding")
            await proxy.carried(PRIMING, times=2)  # on the standing stream, and on that of the call
            assert proxy.cut() >= 1
            if released == "when it is back":
                await proxy.carried(PRIMING, times=4)
            await same_session(proxy, one_gateway).call(9, "release")
    assert [text_of(result) for result in results] == ["late"]


async def test_the_python_client_gets_the_progress_and_the_answer_of_a_long_call(proxy: Proxy) -> None:
    reports: list[float] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append(progress)
        if progress == 2:
            proxy.cut()

    async with handshaken(streamable_http_client(f"{proxy.url}/everything/mcp")) as session:
        result = await session.call_tool(LONG, {"duration": 3, "steps": 6}, progress_callback=report)
        assert text_of(result).startswith("Long running operation completed.")
    assert reports[:5] == [1, 2, 3, 4, 5]


async def test_the_python_client_comes_back_with_a_token_that_it_kept(proxy: Proxy, one_gateway: Gateway) -> None:
    tokens: list[str] = []

    async def keep(token: str) -> None:
        tokens.append(token)

    async with handshaken(streamable_http_client(f"{proxy.url}/light/mcp")) as session:
        other = same_session(proxy, one_gateway)
        async with other.streaming(call("kept", "hold", text="late")) as events:
            token = await events.primed()
        await other.call(9, "release")
        request = CallToolRequest(params=CallToolRequestParams(name="hold", arguments={}))
        metadata = ClientMessageMetadata(resumption_token=token, on_resumption_token_update=keep)
        assert text_of(await session.send_request(request, CallToolResult, metadata=metadata)) == "late"
        assert len(tokens) >= 1


async def test_the_typescript_client_gets_the_answer_of_a_long_call(proxy: Proxy) -> None:
    results: list[dict[str, Any]] = []
    async with typescript_client("streamable", f"{proxy.url}/everything/mcp") as client:

        async def ask() -> None:
            results.append(await client.call(LONG, duration=3, steps=6))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await proxy.carried(b"notifications/progress", times=2)
            assert proxy.cut() >= 1
    [result] = results
    assert result["content"][0]["text"].startswith("Long running operation completed.")
    assert [each["progress"] for each in result["progress"]][:5] == [1, 2, 3, 4, 5]


async def test_the_typescript_client_is_quiet_after_an_error_on_a_stream(proxy: Proxy, one_gateway: Gateway) -> None:
    async with typescript_client("streamable", f"{proxy.url}/light/mcp") as client:
        # The error comes on a stream, for something was said before it: the SDK comes back to that stream for more.
        other = same_session(proxy, one_gateway)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_fails, client)
            await one_gateway.said("stderr: holding")
            await proxy.carried(PRIMING, times=2)
            await other.call(9, "fail_held")
        await proxy.carried(PRIMING, times=3)
        # It got a stream that says nothing; the standing one is still the first.
        await other.call(10, "change")
        await proxy.carried(b"list_changed")
        assert proxy.said.count(PRIMING) == 3


async def _fails(client: Any) -> None:
    with pytest.raises(Exception, match="failed on purpose"):
        await client.call("hold")
