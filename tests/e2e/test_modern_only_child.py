"""Clients with sessions, by the Python SDK and over REST, before a child that speaks revision 2026-07-28 alone."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import ClientSession
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    Root,
    TextContent,
)

from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import MODERN, Gateway, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import Streamable

pytestmark = [
    pytest.mark.slow,
    # It warns who asks for what 2026-07-28 has no more; our clients are of the time before.
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
]

Opening = Callable[..., AbstractAsyncContextManager[ClientSession]]


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with the server twice: what it speaks is to be found out, and is known."""
    servers = {"found": MODERN, "known": {**MODERN, "era": "modern"}}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.fixture(params=["found over sse", "found over mcp", "known over sse", "known over mcp"])
def opening(request: pytest.FixtureRequest, one_gateway: Gateway) -> Opening:
    """A session over either transport, for no longer than PATIENCE."""
    server, _, path = request.param.split(" ")
    url = f"{one_gateway.url}/{server}/{path}"

    @asynccontextmanager
    async def opened(**callbacks: Any) -> AsyncIterator[ClientSession]:
        transport = sse_client(url) if path == "sse" else streamable_http_client(url)
        with anyio.fail_after(PATIENCE):
            async with transport as streams, ClientSession(*streams, **callbacks) as session:
                await session.initialize()
                yield session

    return opened


async def ask(session: ClientSession, tool: str, /, **arguments: Any) -> str:
    """Call a tool; the text of its result."""
    result = await session.call_tool(tool, arguments)
    assert not result.is_error, result
    [block] = result.content
    assert isinstance(block, TextContent)
    return block.text


async def test_tools_are_listed_and_called(opening: Opening) -> None:
    async with opening() as session:
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert {"echo", "ask"} <= tools.keys()
        assert sum(tool.output_schema is not None for tool in tools.values()) == 1
        assert await ask(session, "echo", text="hello") == "hello"
        assert (await session.call_tool("number")).structured_content is None
        assert (await session.call_tool("structure")).structured_content == {"n": 42}
        assert session.server_info is not None
        assert session.server_info.name == "modern"


async def test_every_session_has_a_child_of_its_own(opening: Opening) -> None:
    async with opening() as one, opening() as two:
        assert await ask(one, "whoami") == await ask(one, "whoami") != await ask(two, "whoami")


async def test_the_child_hears_who_the_client_is_with_every_request(opening: Opening) -> None:
    async with opening() as session:
        said = await ask(session, "meta")
        assert '"io.modelcontextprotocol/protocolVersion": "2026-07-28"' in said
        assert '"io.modelcontextprotocol/clientInfo"' in said


async def test_questions_reach_the_client_round_after_round(opening: Opening) -> None:
    async def answer(_context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"value": params.message})

    async with opening(elicitation_callback=answer) as session:
        assert await ask(session, "ask") == '{"name": {"value": "your name"}, "colour": {"value": "your colour"}}'


async def test_questions_of_two_kinds_are_answered_at_once(opening: Opening) -> None:
    async def answer(_context: ClientRequestContext, _params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="decline")

    async def roots(_context: ClientRequestContext) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri="file:///here")])

    async with opening(elicitation_callback=answer, list_roots_callback=roots) as session:
        said = await ask(session, "ask_at_once")
        assert "file:///here" in said
        assert '"decline"' in said


async def test_concurrent_calls_with_questions_all_get_their_own_answers(opening: Opening) -> None:
    async def answer(_context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"value": params.message})

    async with opening(elicitation_callback=answer) as session, anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(ask, session, "ask")


@pytest.mark.parametrize("tool", ["ask", "ask_without_end", "odd"])
async def test_a_call_that_cannot_be_finished_is_an_error_and_the_session_goes_on(opening: Opening, tool: str) -> None:
    async with opening() as session:
        with pytest.raises(MCPError):
            await ask(session, tool)
        assert await ask(session, "echo", text="still here") == "still here"


async def test_a_child_that_wants_to_be_asked_again_is(opening: Opening) -> None:
    async with opening() as session:
        assert await ask(session, "wait") == "waited"


async def test_progress_and_log_lines_reach_the_client(opening: Opening) -> None:
    reports: list[float] = []
    lines: list[str] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        reports.append(progress)

    async def log(params: LoggingMessageNotificationParams) -> None:
        lines.append(params.data)

    async with opening(logging_callback=log) as session:
        await session.call_tool("report", {}, progress_callback=report)
        await ask(session, "log")
        assert lines == []
        await session.set_logging_level("info")
        await ask(session, "log")
        assert reports == [1, 2]
        assert lines == ["logged"]


async def test_news_of_lists_and_of_subscribed_resources_reach_the_client(opening: Opening) -> None:
    heard: list[str] = []
    news = anyio.Event()

    async def hear(message: IncomingMessage) -> None:
        nonlocal news
        if not isinstance(message, Exception):
            heard.append(type(message).__name__)
            news.set()
            news = anyio.Event()

    async with opening(message_handler=hear) as session:
        await session.subscribe_resource("note://1")
        await ask(session, "change")
        while len(heard) < 2:
            await news.wait()
        assert sorted(heard) == ["ResourceUpdatedNotification", "ToolListChangedNotification"]
        with pytest.raises(MCPError):
            await session.subscribe_resource("other://1")
        await session.unsubscribe_resource("note://1")


async def test_a_missing_resource_has_the_code_that_it_had_before(opening: Opening) -> None:
    async with opening() as session:
        with pytest.raises(MCPError) as caught:
            await session.read_resource("note://2")
        assert caught.value.error.code == -32002


async def test_a_cancelled_call_is_cancelled_at_the_child(one_gateway: Gateway, opening: Opening) -> None:
    async with opening() as session:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.call_tool, "hold")
            await one_gateway.said("stderr: holding")
            tasks.cancel_scope.cancel()
        assert await ask(session, "cancelled") != "[]"


async def test_rest_reaches_it_too(one_gateway: Gateway) -> None:
    http = one_gateway.http
    id_ = (await http.get("/api/sessionid")).json()["sessionId"]
    answer = await http.post("/api/found/echo", params={"sessionId": id_}, json={"text": "by REST"})
    assert answer.json()["content"][0]["text"] == "by REST"
    answer = await http.post("/api/found/ask", params={"sessionId": id_}, json={})
    for value in ("Ann", "blue"):
        assert answer.status_code == 409, answer.text
        way = answer.json()["error"]["about"]["answer"]["path"]
        answer = await http.post(way, json={"action": "accept", "content": {"value": value}})
    assert answer.status_code == 200, answer.text
    assert "blue" in answer.json()["content"][0]["text"]
    assert (await http.delete("/api/sessionid", params={"sessionId": id_})).status_code == 204


async def test_what_it_speaks_is_found_out_once_and_shown(one_gateway: Gateway, opening: Opening) -> None:
    async with opening():
        eras = (await one_gateway.health())["eras"]
    assert eras["known"] == {"era": "modern", "since": "configured"}
    assert eras.get("found", {"era": "modern"})["era"] == "modern"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_a_session_before_it_outlives_the_gateway(tmp_path: Path, end: signal.Signals) -> None:
    async with supervisor(tmp_path, {"light": MODERN}) as (_, path):
        async with gateway(path) as front:
            session = await Streamable(front.http).open()
            who = await session.call(1, "whoami")
            await stop(front, end)
        async with gateway(path) as front:
            session.http = front.http
            assert await session.call(2, "whoami") == who
            assert "2026-07-28" in str(await session.call(3, "meta"))
            assert (await session.delete()).status_code == 204
