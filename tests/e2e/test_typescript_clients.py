"""The TypeScript SDK's client, over SSE, Streamable HTTP and WebSocket, against servers that people use."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import LIGHT, Gateway, running
from tests.support.node import TypeScriptClient, TypeScriptError, real_servers, typescript_client
from tests.support.processes import watching

pytestmark = pytest.mark.slow

Opening = Callable[[str], AbstractAsyncContextManager[TypeScriptClient]]
"""Connects a client to the server of that name."""

DOORS = [("sse", "/sse"), ("sse", ""), ("streamable", "/mcp"), ("streamable", ""), ("websocket", "/ws")]
TRANSPORTS = [("sse", "/sse"), ("streamable", ""), ("websocket", "/ws")]
"""Each at one of its doors: what servers and clients say to each other is the transport's, whichever path it is at."""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the filesystem server may write."""
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
async def shared(
    tmp_path_factory: pytest.TempPathFactory, directory: Path, anyio_backend: str
) -> AsyncIterator[Gateway]:
    """A gateway with the four servers, and the light one."""
    async with running(
        {**real_servers(directory), "light": LIGHT}, tmp_path=tmp_path_factory.mktemp("gateway")
    ) as gateway:
        yield gateway


def at(door: tuple[str, str]) -> str:
    """What a test with this door is called."""
    transport, path = door
    return f"{transport} at server{path}"


@pytest.fixture(params=DOORS, ids=at)
def opening(request: pytest.FixtureRequest, one_gateway: Gateway) -> Opening:
    """Each of the doors."""
    transport, path = request.param
    return lambda server: typescript_client(transport, f"{one_gateway.url}/{server}{path}")


@pytest.fixture(params=TRANSPORTS, ids=at)
def crossing(request: pytest.FixtureRequest, one_gateway: Gateway) -> Opening:
    """Each of the transports."""
    transport, path = request.param
    return lambda server: typescript_client(transport, f"{one_gateway.url}/{server}{path}")


async def test_two_clients_have_two_notepads(opening: Opening) -> None:
    async with opening("notepad") as one, opening("notepad") as two:
        first, second = await _whoami(one), await _whoami(two)
        assert first["pid"] != second["pid"]
        assert first["instance"] != second["instance"]
        await one.call("add", text="mine")
        await two.call("add", text="yours")
        await one.call("add", text="mine, too")
        assert await _notes(one) == ["mine", "mine, too"]
        assert await _notes(two) == ["yours"]
        assert (await _whoami(one), await _whoami(two)) == (first, second)


async def _whoami(client: TypeScriptClient) -> Any:
    return (await client.call("whoami"))["structuredContent"]


async def _notes(client: TypeScriptClient) -> Any:
    return (await client.call("list"))["structuredContent"]["result"]


async def test_one_client_goes_on_when_the_other_has_left(opening: Opening, one_gateway: Gateway) -> None:
    async with opening("notepad") as one:
        await one.call("add", text="still here")
        async with opening("notepad") as two:
            await two.call("add", text="soon gone")
            await two.do("terminateSession")
            await two.do("close")
            await one_gateway.gone(1)
        assert await _notes(one) == ["still here"]
        assert one_gateway.children() == {(await _whoami(one))["pid"]}


@pytest.mark.parametrize("server", ["notepad", "filesystem", "everything", "time"])
async def test_clients_that_leave_leave_no_process_behind(crossing: Opening, one_gateway: Gateway, server: str) -> None:
    async with crossing(server) as one, crossing(server) as two:
        assert await one.do("listTools") == await two.do("listTools")
        assert len(one_gateway.children()) >= 2
    await one_gateway.gone(2)
    assert one_gateway.children() == set()


@pytest.mark.parametrize(("transport", "path"), [("sse", "/sse"), ("websocket", "/ws")])
async def test_a_client_that_crashes_leaves_no_process_behind(one_gateway: Gateway, transport: str, path: str) -> None:
    async with typescript_client(transport, f"{one_gateway.url}/everything{path}") as client:
        with watching(*one_gateway.children()) as [server]:
            client.crash()
            await server.ended()


async def test_two_sessions_write_and_read_the_same_files(crossing: Opening, directory: Path) -> None:
    async with crossing("filesystem") as one, crossing("filesystem") as two:
        await one.call("write_file", path=str(directory / "one.txt"), content="of one ☃\n")
        await two.call("write_file", path=str(directory / "two.txt"), content="of two\n")
        assert (directory / "one.txt").read_text() == "of one ☃\n"
        assert await two.text("read_text_file", path=str(directory / "one.txt")) == "of one ☃\n"
        assert await one.text("read_text_file", path=str(directory / "two.txt")) == "of two\n"
        assert set((await one.text("list_directory", path=str(directory))).splitlines()) >= {
            "[FILE] one.txt",
            "[FILE] two.txt",
        }


async def test_a_file_outside_the_directory_is_the_tools_own_error(crossing: Opening) -> None:
    async with crossing("filesystem") as client:
        result = await client.call("read_text_file", path="/etc/passwd")
        assert result["isError"]
        assert "outside allowed directories" in result["content"][0]["text"]


async def test_everything_has_tools_resources_and_prompts(crossing: Opening) -> None:
    async with crossing("everything") as client:
        assert await client.names("listTools", "tools") >= {"echo", "get-sum", "trigger-sampling-request"}
        assert await client.text("echo", message="hello") == "Echo: hello"
        assert await client.text("get-sum", a=2, b=3) == "The sum of 2 and 3 is 5."
        resources = (await client.do("listResources"))["resources"]
        read = await client.do("readResource", uri=resources[0]["uri"])
        assert read["contents"][0]["uri"] == resources[0]["uri"]
        assert "args-prompt" in await client.names("listPrompts", "prompts")
        prompt = await client.do("getPrompt", name="args-prompt", arguments={"city": "Oslo"})
        assert prompt["messages"][0]["content"]["text"] == "What's weather in Oslo?"
        assert await client.do("ping") == {}


async def test_progress_is_reported_before_the_answer(crossing: Opening) -> None:
    async with crossing("everything") as client:
        result = await client.call("trigger-long-running-operation", duration=1.2, steps=4)
        # When the last report and the answer arrive together, the SDK forgets whom to tell, over stdio as well.
        assert result["progress"][:3] == [{"progress": step, "total": 4} for step in (1, 2, 3)]
        assert result["content"][0]["text"].startswith("Long running operation completed.")


async def test_the_server_may_ask_the_client(crossing: Opening) -> None:
    async with crossing("everything") as client:
        sampled = await client.text("trigger-sampling-request", prompt="why?")
        assert "sampled: Resource trigger-sampling-request context: why?" in sampled
        assert "- Name: Ada" in await client.text("trigger-elicitation-request")


async def test_the_time_server_converts_times(crossing: Opening) -> None:
    async with crossing("time") as client:
        assert await client.names("listTools", "tools") == {"get_current_time", "convert_time"}
        arguments = {"source_timezone": "Asia/Tokyo", "time": "12:00", "target_timezone": "Asia/Kolkata"}
        converted = json.loads(await client.text("convert_time", **arguments))
        assert converted["time_difference"] == "-3.5h"
        assert "T08:30:00+05:30" in converted["target"]["datetime"]


async def test_twenty_calls_at_a_time_each_get_their_own_answer(opening: Opening) -> None:
    async with opening("light") as client:
        calls = [{"name": "echo", "arguments": {"text": f"number {number}"}} for number in range(20)]
        answers = await client.do("callTools", calls=calls)
        assert [each["content"][0]["text"] for each in answers] == [f"number {number}" for number in range(20)]


async def test_a_cancelled_call_ends_at_once_and_reaches_the_server(opening: Opening, one_gateway: Gateway) -> None:
    async with opening("light") as client:
        await client.do("beginTool", name="hold", arguments={})
        await one_gateway.said("holding")
        assert "no longer wanted" in await client.do("cancelTool")
        await one_gateway.said("cancelled")  # over HTTP+SSE, what the client says next may overtake it
        assert json.loads(await client.text("held"))["cancelled"] == 1


async def test_what_the_server_says_unasked_arrives(opening: Opening) -> None:
    async with opening("light") as client:
        await client.text("log", text="aside")
        await client.text("change")
        heard = await client.do("heard")
        while len(heard) < 2:
            heard = await client.do("heard")
        assert sorted(heard) == ["notifications/message", "notifications/tools/list_changed"]


async def test_an_unknown_server_is_refused(opening: Opening) -> None:
    # A browser's WebSocket keeps to itself how the handshake was answered.
    with pytest.raises(TypeScriptError, match=r"there is no server 'nowhere'|404|non-101 status code"):
        async with opening("nowhere"):
            pass
