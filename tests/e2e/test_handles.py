"""Sessions that a model opens and names itself: a real gateway, real children, and what the model is told."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.apart import gateway as gateway_at
from tests.support.apart import stop, supervisor
from tests.support.gateway import MODERN, Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmodern import ASKABLE, Modern, call, client_of, request

pytestmark = pytest.mark.slow

ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret"]}}
HEADER = "X-Conversation"
SERVERS = {
    "handles": light(handles="inject", affinity_cookie=False),
    "modern": {**MODERN, "affinity_header": HEADER, "handles": "inject"},
}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows two users."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("gateway"), auth=AUTH) as gateway:
        yield gateway


@pytest.fixture(scope="module")
async def anonymous(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows nobody."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("anonymous")) as gateway:
        yield gateway


class Model:
    """A model that uses handles, by way of a client that repeats them in the header."""

    def __init__(self, client: Modern) -> None:
        self.client = client

    async def use(self, tool: str, handle: str | None = None, /, **arguments: Any) -> dict[str, Any]:
        """The result of a tool, called with a handle."""
        if handle is not None:
            arguments["gateway_session"] = handle
        headers = {} if handle is None else {"Mcp-Param-Gateway-Session": handle}
        answer = await self.client.post(call(1, tool, **arguments), **headers)
        assert answer.status_code == 200, answer.text
        result: dict[str, Any] = answer.json()["result"]
        return result

    async def text(self, tool: str, handle: str | None = None, /, **arguments: Any) -> str:
        """What a tool says that does not fail."""
        result = await self.use(tool, handle, **arguments)
        assert "isError" not in result, result
        return str(result["content"][0]["text"])

    async def is_told(self, tool: str, handle: str, /) -> str:
        """What a call that fails says."""
        result = await self.use(tool, handle)
        assert result["isError"] is True
        return str(result["content"][0]["text"])

    async def open(self) -> str:
        """A handle."""
        return str((await self.use("session_open"))["structuredContent"]["gateway_session"])


@asynccontextmanager
async def model_of(gateway: Gateway, server: str = "handles", **headers: str) -> AsyncIterator[Model]:
    """A model with a client of its own."""
    async with client_of(gateway, server, **headers) as client:
        yield Model(client)


GONE = "the session has ended, or there never was one of that name; open another with 'session_open'"


@pytest.mark.parametrize("server", ["handles", "modern"])
async def test_every_tool_gets_the_argument_and_the_two_others_stand_on_the_first_page(
    shared: Gateway, server: str
) -> None:
    async with client_of(shared, server, **ALICE) as client:
        first = (await client.post(request(1, "tools/list"))).json()["result"]
        assert [tool["name"] for tool in first["tools"][:2]] == ["session_open", "session_close"]
        tools = first["tools"][1:]
        if cursor := first.get("nextCursor"):
            second = (await client.post(request(2, "tools/list", cursor=cursor))).json()["result"]
            assert not {"session_open", "session_close"} & {tool["name"] for tool in second["tools"]}
            tools += second["tools"]
        assert len(tools) > 2
        assert all(
            tool["inputSchema"]["properties"]["gateway_session"]["x-mcp-header"] == "Gateway-Session" for tool in tools
        )


async def test_each_handle_is_a_child_of_its_own_until_it_is_closed(shared: Gateway) -> None:
    async with model_of(shared, **ALICE) as model, model_of(shared, **ALICE) as elsewhere:
        one, two = await model.open(), await model.open()
        await model.text("add", one, text="one")
        assert await model.text("notes", two) == "[]"
        assert await model.text("notes") == "[]"
        assert await elsewhere.text("notes", one) == '["one"]'
        assert await model.text("session_close", one) == "the session has ended"
        for tool in ("notes", "session_close"):
            assert await model.is_told(tool, one) == GONE
        assert await model.text("notes", two) == "[]"


async def test_the_sdks_client_repeats_the_handle_in_the_header(shared: Gateway) -> None:
    async with httpx2.AsyncClient(headers=ALICE, timeout=PATIENCE) as http:
        transport = streamable_http_client(f"{shared.url}/handles/mcp", http_client=http)
        async with Client(transport) as client:
            await client.list_tools()
            opened = (await client.call_tool("session_open")).structured_content
            assert opened is not None
            assert not (await client.call_tool("add", {"text": "mine", **opened})).is_error
            notes = await client.call_tool("notes", opened)
            assert notes.content[0].text == '["mine"]'  # type: ignore[union-attr]
            assert not (await client.call_tool("session_close", opened)).is_error
            assert (await client.call_tool("notes", opened)).is_error


async def test_somebody_elses_handle_is_like_one_that_never_was(shared: Gateway) -> None:
    async with model_of(shared, **ALICE) as alice, model_of(shared, **BOB) as bob:
        handle = await alice.open()
        await alice.text("add", handle, text="mine")
        assert await bob.is_told("notes", handle) == GONE
        assert await bob.is_told("session_close", handle) == GONE
        assert await bob.is_told("notes", "made-up") == GONE
        assert await alice.text("notes", handle) == '["mine"]'
        alice.client.path = "/modern/mcp"
        assert await alice.is_told("whoami", handle) == GONE


async def test_a_handle_is_good_for_whom_the_header_names_alone(shared: Gateway) -> None:
    async with (
        model_of(shared, "modern", **ALICE, **{HEADER: "ann"}) as ann,
        model_of(shared, "modern", **ALICE, **{HEADER: "ben"}) as ben,
    ):
        used, unused = await ann.open(), await ann.open()
        pid = await ann.text("whoami", used)
        for handle in (used, unused):
            assert await ben.is_told("whoami", handle) == GONE
            assert await ben.is_told("session_close", handle) == GONE
        assert await ann.text("whoami", used) == pid
        assert await ann.text("whoami", unused) != pid


async def test_calls_at_once_with_a_new_handle_share_its_child(shared: Gateway) -> None:
    async with model_of(shared, **ALICE) as model:
        handle = await model.open()
        pids: list[str] = []

        async def ask() -> None:
            pids.append(await model.text("whoami", handle))

        async with anyio.create_task_group() as tasks:
            for _ in range(4):
                tasks.start_soon(ask)
        assert len(pids) == 4
        assert len(set(pids)) == 1


async def test_a_client_that_can_be_asked_other_things_is_told_so_and_the_session_lives(shared: Gateway) -> None:
    async with model_of(shared, **ALICE) as model:
        handle = await model.open()
        await model.text("add", handle, text="mine")
        message = call(1, "notes", ASKABLE, gateway_session=handle)
        answer = await model.client.post(message, Mcp_Param_Gateway_Session=handle)
        assert "can be asked other things" in answer.json()["result"]["content"][0]["text"]
        assert await model.text("notes", handle) == '["mine"]'


@pytest.mark.parametrize("tool", ["whoami", "session_close", "session_open"])
async def test_header_and_argument_must_agree(shared: Gateway, tool: str) -> None:
    async with model_of(shared, **ALICE) as model:
        handle = await model.open()
        other = await model.open()
        for headers in ({}, {"Mcp_Param_Gateway_Session": other}, {"Mcp_Param_Gateway_Session": ""}):
            answer = await model.client.post(call(3, tool, gateway_session=handle), **headers)
            assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, 3, -32020)
        answer = await model.client.post(call(3, tool), Mcp_Param_Gateway_Session=handle)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
        await model.text("whoami", handle)


async def test_the_argument_never_reaches_the_child(anonymous: Gateway) -> None:
    async with model_of(anonymous, "modern") as model:
        handle = await model.open()
        for argument in (handle, None):
            headers = {} if argument is None else {"Mcp-Param-Gateway-Session": argument}
            answer = await model.client.post(call(1, "arguments", gateway_session=argument, x=1), **headers)
            assert answer.json()["result"]["content"][0]["text"] == '{"x": 1}'


async def test_an_anonymous_model_has_sessions_by_handle_though_its_client_has_none(anonymous: Gateway) -> None:
    async with model_of(anonymous) as one, model_of(anonymous) as two:
        handle = await one.open()
        await one.text("add", handle, text="mine")
        assert await one.text("notes", handle) == '["mine"]'
        assert await one.text("notes") == "[]"
        other = await two.open()
        assert await two.text("notes", other) == "[]"
        await one.text("session_close", handle)
        assert await one.is_told("notes", handle) == GONE


async def test_a_handle_ends_with_its_child(tmp_path: Path) -> None:
    servers = {"handles": light(handles="inject", idle_timeout="1s")}
    async with running(servers, tmp_path=tmp_path, auth=AUTH) as gateway, model_of(gateway, **ALICE) as model:
        handle = await model.open()
        await model.text("add", handle, text="mine")
        await gateway.said("ended: idle_timeout")
        assert await model.is_told("notes", handle) == GONE


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_a_handle_outlives_its_gateway_with_its_child_and_else_ends_cleanly(
    tmp_path: Path, end: signal.Signals
) -> None:
    servers = {"handles": light(handles="inject", era="legacy")}
    async with supervisor(tmp_path, servers=servers, auth=AUTH) as (_, path):
        async with gateway_at(path) as front, model_of(front, **ALICE) as model:
            used, unused = await model.open(), await model.open()
            await model.text("add", used, text="mine")
            await stop(front, end)
        async with gateway_at(path) as front, model_of(front, **ALICE) as model, model_of(front, **BOB) as bob:
            await front.said("went on with 1 of 1 sessions")
            assert await bob.is_told("notes", used) == GONE
            assert await model.text("notes", used) == '["mine"]'
            assert await model.is_told("notes", unused) == GONE
            await model.text("session_close", used)
            assert await model.is_told("notes", used) == GONE
