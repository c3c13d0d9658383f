"""The Python SDK's clients at every door, against servers that people use; and no answer in the wrong hands."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import ClientSession
from mcp.client.client import Client
from mcp.client.session import ClientRequestContext, IncomingMessage
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp.types import (
    INVALID_PARAMS,
    CallToolResult,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequestParams,
    ElicitResult,
    ListRootsResult,
    LoggingMessageNotificationParams,
    Root,
    TextContent,
    ToolListChangedNotification,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from tests.support.gateway import LIGHT, Gateway, running
from tests.support.node import real_servers
from tests.support.processes import PATIENCE
from tests.support.rawmcp import Streamable, call, said, sse

pytestmark = pytest.mark.slow

CALLS = range(1, 21)
"""The ids of the calls that one session has in flight at once."""

RELEASE = 21
"""The id of the call that has them answered."""

Connected = AbstractAsyncContextManager[ClientSession]
Opening = Callable[..., Connected]
"""Connects a client to the server of that name; it takes the callbacks that ClientSession takes."""


@asynccontextmanager
async def handshaken(transport: AbstractAsyncContextManager[Any], **callbacks: Any) -> AsyncIterator[ClientSession]:
    """A session over `transport`, for no longer than PATIENCE."""
    with anyio.fail_after(PATIENCE):
        async with transport as streams, ClientSession(*streams, **callbacks) as session:
            await session.initialize()
            yield session


def over_sse(url: str, **callbacks: Any) -> Connected:
    """HTTP+SSE."""
    return handshaken(sse_client(url), **callbacks)


def over_streamable_http(url: str, **callbacks: Any) -> Connected:
    """Streamable HTTP."""
    return handshaken(streamable_http_client(url), **callbacks)


@asynccontextmanager
async def in_auto_mode(url: str, **callbacks: Any) -> AsyncIterator[ClientSession]:
    """Streamable HTTP by a client that asks first whether the server is of the era without sessions; it is told no."""
    with anyio.fail_after(PATIENCE):
        async with Client(url, **callbacks) as client:
            yield client.session


DOORS = [
    (over_sse, "/sse"),
    (over_sse, ""),
    (over_streamable_http, "/mcp"),
    (over_streamable_http, ""),
    (in_auto_mode, "/mcp"),
    (in_auto_mode, ""),
]
CLIENTS = [(over_sse, ""), (over_streamable_http, "/mcp"), (in_auto_mode, "")]
"""Each at one of its doors: what servers and clients say to each other is the transport's, whichever path it is at."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the filesystem server may write."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, directory: Path, anyio_backend: str
) -> AsyncIterator[Gateway]:
    """A gateway with the four servers, and the light one, for clients with sessions alone."""
    servers = {"light": LIGHT, **real_servers(directory)}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), modern="off") as gateway:
        yield gateway


def at(door: tuple[Opening, str]) -> str:
    """What a test with this door is called."""
    client, path = door
    return f"{client.__name__} at server{path}"


@pytest.fixture(params=DOORS, ids=at)
def opening(request: pytest.FixtureRequest, one_gateway: Gateway) -> Opening:
    """Each client at each door that it may use."""
    client, path = request.param
    return lambda server, **callbacks: client(f"{one_gateway.url}/{server}{path}", **callbacks)


@pytest.fixture(params=CLIENTS, ids=at)
def crossing(request: pytest.FixtureRequest, one_gateway: Gateway) -> Opening:
    """Each client."""
    client, path = request.param
    return lambda server, **callbacks: client(f"{one_gateway.url}/{server}{path}", **callbacks)


async def ask(session: ClientSession, tool: str, /, **arguments: Any) -> str:
    """Call a tool; the text of its result, which must not be an error."""
    result = await session.call_tool(tool, arguments)
    assert not result.is_error, result
    return _text(result)


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


async def ask_notepad(session: ClientSession, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """Call a tool of the notepad; its result as data."""
    content: dict[str, Any] | None = (await session.call_tool(tool, arguments)).structured_content
    assert content is not None
    return content


# The notepad.


async def test_two_clients_have_two_notepads(opening: Opening) -> None:
    async with opening("notepad") as one, opening("notepad") as two:
        first, second = await ask_notepad(one, "whoami"), await ask_notepad(two, "whoami")
        assert first["pid"] != second["pid"]
        assert first["instance"] != second["instance"]
        await ask(one, "add", text="mine")
        await ask(two, "add", text="yours")
        await ask(one, "add", text="mine, too")
        assert await ask_notepad(one, "list") == {"result": ["mine", "mine, too"]}
        assert await ask_notepad(two, "list") == {"result": ["yours"]}
        assert await ask_notepad(one, "whoami") == first
        assert await ask_notepad(two, "whoami") == second


async def test_one_client_goes_on_when_the_other_has_left(opening: Opening, one_gateway: Gateway) -> None:
    async with opening("notepad") as one:
        await ask(one, "add", text="still here")
        async with opening("notepad") as two:
            await ask(two, "add", text="soon gone")
        await one_gateway.gone(1)
        assert await ask_notepad(one, "list") == {"result": ["still here"]}
        assert one_gateway.children() == {(await ask_notepad(one, "whoami"))["pid"]}


# All four.


@pytest.mark.parametrize("server", ["notepad", "filesystem", "everything", "time"])
async def test_clients_that_leave_leave_no_process_behind(crossing: Opening, one_gateway: Gateway, server: str) -> None:
    async with crossing(server) as one, crossing(server) as two:
        assert (await one.list_tools()).tools == (await two.list_tools()).tools
        assert len(one_gateway.children()) >= 2
    await one_gateway.gone(2)
    assert one_gateway.children() == set()


async def test_the_probe_of_a_client_in_auto_mode_starts_no_process(one_gateway: Gateway) -> None:
    async with Client(f"{one_gateway.url}/notepad/mcp") as client:
        assert client.protocol_version == LATEST_HANDSHAKE_VERSION
        whoami = await client.call_tool("whoami")
        assert whoami.structured_content is not None
        assert one_gateway.children() == {whoami.structured_content["pid"]}
    await one_gateway.gone(1)


# The filesystem and the time.


async def test_two_sessions_write_and_read_the_same_files(crossing: Opening, directory: Path) -> None:
    one_file, two_file = directory / "one.txt", directory / "two.txt"
    async with crossing("filesystem") as one, crossing("filesystem") as two:
        await ask(one, "write_file", path=str(one_file), content="of one ☃\n")
        await ask(two, "write_file", path=str(two_file), content="of two\n")
        assert one_file.read_text() == "of one ☃\n"
        assert await ask(two, "read_text_file", path=str(one_file)) == "of one ☃\n"
        assert await ask(one, "read_text_file", path=str(two_file)) == "of two\n"


async def test_a_file_outside_the_directory_is_the_tools_own_error(crossing: Opening) -> None:
    async with crossing("filesystem") as session:
        result = await session.call_tool("read_text_file", {"path": "/etc/passwd"})
        assert result.is_error
        assert "outside allowed directories" in _text(result)


async def test_the_time_server_converts_times(crossing: Opening) -> None:
    arguments = {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}
    async with crossing("time") as session:
        converted = json.loads(await ask(session, "convert_time", **arguments))
        assert converted["time_difference"] == "-3.5h"
        assert "T08:30:00+05:30" in converted["target"]["datetime"]


async def test_an_error_of_the_server_reaches_the_client_as_it_is(crossing: Opening) -> None:
    async with crossing("time") as session:
        with pytest.raises(MCPError, match="Unknown tool: tell_fortune") as refusal:
            await session.call_tool("tell_fortune")
        assert refusal.value.code == INVALID_PARAMS


# Everything.


async def test_everything_has_tools_resources_and_prompts(crossing: Opening) -> None:
    async with crossing("everything") as session:
        assert {"echo", "get-sum"} <= {tool.name for tool in (await session.list_tools()).tools}
        assert await ask(session, "echo", message="hello") == "Echo: hello"
        assert await ask(session, "get-sum", a=2, b=3) == "The sum of 2 and 3 is 5."
        resource = (await session.list_resources()).resources[0]
        assert (await session.read_resource(resource.uri)).contents[0].uri == resource.uri
        assert "args-prompt" in {prompt.name for prompt in (await session.list_prompts()).prompts}
        prompt = await session.get_prompt("args-prompt", {"city": "Oslo"})
        assert prompt.messages[0].content == TextContent(text="What's weather in Oslo?")


async def test_progress_is_reported_before_the_answer(crossing: Opening) -> None:
    reports: list[tuple[float, float | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        reports.append((progress, total))

    async with crossing("everything") as session:
        result = await session.call_tool(
            "trigger-long-running-operation", {"duration": 1.2, "steps": 4}, progress_callback=on_progress
        )
        assert _text(result).startswith("Long running operation completed.")
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]


async def test_what_the_server_logs_reaches_the_client(crossing: Opening) -> None:
    heard = anyio.Event()

    async def on_log(params: LoggingMessageNotificationParams) -> None:
        assert str(params.data).endswith("message")
        heard.set()

    async with crossing("everything", logging_callback=on_log) as session:
        await ask(session, "toggle-simulated-logging")
        await heard.wait()
        await ask(session, "toggle-simulated-logging")


async def test_the_server_may_ask_for_a_sample(crossing: Opening) -> None:
    async def on_sampling(context: ClientRequestContext, params: CreateMessageRequestParams) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(text=f"{params.max_tokens}"), model="test")

    async with crossing("everything", sampling_callback=on_sampling) as session:
        assert '"text": "7"' in await ask(session, "trigger-sampling-request", prompt="why?", maxTokens=7)


async def test_the_server_may_ask_the_user(crossing: Opening) -> None:
    async def on_elicitation(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult(action="accept", content={"name": "Ada"})

    async with crossing("everything", elicitation_callback=on_elicitation) as session:
        assert "- Name: Ada" in await ask(session, "trigger-elicitation-request")


async def test_the_server_may_ask_for_roots_while_nothing_else_goes_on(crossing: Opening) -> None:
    asked = anyio.Event()

    async def on_list_roots(context: ClientRequestContext) -> ListRootsResult:
        asked.set()
        return ListRootsResult(roots=[Root(uri="file:///srv/project", name="project")])

    async with crossing("everything", list_roots_callback=on_list_roots) as session:
        # It does so by itself, a moment after the handshake.
        await asked.wait()
        assert "1. project\n   URI: file:///srv/project" in await ask(session, "get-roots-list")


async def test_news_of_the_tools_reaches_the_client(crossing: Opening) -> None:
    changed = anyio.Event()

    async def on_message(message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            changed.set()

    async with crossing("everything", message_handler=on_message):
        # After the handshake it adds those tools that need what this client can do.
        await changed.wait()


# No answer in the wrong hands: the same ids, twenty calls in flight, in each of two sessions.


async def test_two_clients_with_twenty_calls_in_flight_get_their_own_answers(
    opening: Opening, one_gateway: Gateway
) -> None:
    async with opening("light") as one, opening("light") as two:
        sessions = {"one": one, "two": two}

        async def hold(name: str, id_: int) -> str:
            return await ask(sessions[name], "hold", text=_own(name, id_))

        async def release(name: str) -> None:
            assert await ask(sessions[name], "release") == str(len(CALLS))

        await _each_gets_its_own(one_gateway, hold, release)


async def test_the_same_ids_in_two_streamable_sessions_get_their_own_answers(one_gateway: Gateway) -> None:
    sessions = {name: await Streamable(one_gateway.http).open() for name in ("one", "two")}

    async def hold(name: str, id_: int) -> str:
        message = _whole(await sessions[name].post(call(id_, "hold", text=_own(name, id_))))
        assert message["id"] == id_
        return str(said(message))

    async def release(name: str) -> None:
        assert said(_whole(await sessions[name].post(call(RELEASE, "release")))) == len(CALLS)

    await _each_gets_its_own(one_gateway, hold, release)
    for session in sessions.values():
        await session.delete()


async def test_the_same_ids_in_two_sse_sessions_get_their_own_answers(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as one, sse(one_gateway.http) as two:
        sessions = {"one": one, "two": two}
        for id_ in CALLS:
            for name, session in sessions.items():
                await session.post(call(id_, "hold", text=_own(name, id_)))
        for session in sessions.values():
            await session.post(call(RELEASE, "release"))
        for name, session in sessions.items():
            received = [await session.events.message() for _ in (*CALLS, RELEASE)]
            texts = {message["id"]: said(message) for message in received}
            assert texts == {**{id_: _own(name, id_) for id_ in CALLS}, RELEASE: len(CALLS)}


async def test_twenty_parallel_rest_calls_of_two_ids_get_their_own_answers(one_gateway: Gateway) -> None:
    ids = {name: await one_gateway.session_id() for name in ("one", "two")}

    async def hold(name: str, id_: int) -> str:
        assert await one_gateway.text(ids[name], "echo", text=_own(name, id_)) == _own(name, id_)
        return str(await one_gateway.text(ids[name], "hold", text=_own(name, id_)))

    async def release(name: str) -> None:
        assert await one_gateway.text(ids[name], "release") == len(CALLS)

    await _each_gets_its_own(one_gateway, hold, release)
    for id_ in ids.values():
        await one_gateway.http.delete("/api/sessionid", params={"sessionId": id_})


async def _each_gets_its_own(
    gateway: Gateway, hold: Callable[[str, int], Awaitable[str]], release: Callable[[str], Awaitable[None]]
) -> None:
    """Have all calls of both sessions in flight together, then have them answered."""
    answers: dict[tuple[str, int], str] = {}

    async def keep(name: str, id_: int) -> None:
        answers[name, id_] = await hold(name, id_)

    async with anyio.create_task_group() as tasks:
        for id_ in CALLS:
            for name in ("one", "two"):
                tasks.start_soon(keep, name, id_)
        await gateway.said("stderr: holding", times=2 * len(CALLS))
        assert answers == {}
        await release("two")
        await release("one")
    assert answers == {(name, id_): _own(name, id_) for name in ("one", "two") for id_ in CALLS}


def _own(name: str, id_: int) -> str:
    return f"call {id_} of session {name}"


def _whole(answer: httpx2.Response) -> Any:
    """The one message of an answer, which is JSON, or an event stream if it was not quick."""
    return json.loads(answer.text.rpartition("data: ")[2])
