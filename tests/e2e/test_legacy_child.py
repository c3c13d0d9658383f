"""Clients of revision 2026-07-28 at a server that wants a handshake and asks by pushing: a real gateway, a real child."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import mcp_types as types
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.apart import gateway as front
from tests.support.apart import stop, supervisor
from tests.support.gateway import SERVERS, Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmodern import ASKABLE, Modern, call

pytestmark = pytest.mark.slow

# The SDK's servers speak both eras, but what they push they can push to a client with a handshake alone.
CURIOUS: dict[str, Any] = {"command": sys.executable, "args": [str(SERVERS / "curious.py")], "era": "legacy"}
ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret"]}}
PATH = "/curious/mcp"


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows two users, with a server that asks questions, and one that does not."""
    servers = {"curious": CURIOUS, "light": light()}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), auth=AUTH) as gateway:
        yield gateway


@pytest.fixture
async def http(shared: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """Connections of the test's own."""
    async with shared.connecting():
        yield shared.http


@asynccontextmanager
async def client_of(gateway: Gateway, user: dict[str, str], **options: Any) -> AsyncIterator[Client]:
    """The SDK's client, which says yes to every form, and has a model and a root."""

    async def fill_in(_context: Any, params: types.ElicitRequestParams) -> types.ElicitResult:
        return types.ElicitResult(action="accept", content={"said": f"yes: {params.message}"})

    async def think(_context: Any, _params: types.CreateMessageRequestParams) -> types.CreateMessageResult:
        text = types.TextContent(type="text", text="thought")
        return types.CreateMessageResult(role="assistant", model="m", content=text)

    async def roots(_context: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri="file:///home")])

    answers: dict[str, Any] = {
        "elicitation_callback": fill_in,
        "sampling_callback": think,
        "list_roots_callback": roots,
    }
    async with httpx2.AsyncClient(headers=user, timeout=PATIENCE) as http:
        transport = streamable_http_client(f"{gateway.url}{PATH}", http_client=http)
        async with Client(transport, **answers, **options) as client:
            assert client.protocol_version == "2026-07-28"
            yield client


def said(result: types.CallToolResult) -> Any:
    """What a tool says."""
    assert result.structured_content is not None
    return result.structured_content.get("result", result.structured_content)


async def test_a_modern_client_sees_a_modern_server_that_asks(shared: Gateway) -> None:
    async with client_of(shared, ALICE) as client:
        assert client.instructions == "Ask me, and I ask you."
        assert "interview" in [tool.name for tool in (await client.list_tools()).tools]
        three = {"name": "Ann", "questions": 3}
        assert said(await client.call_tool("interview", three)) == [f"yes: Ann {number}" for number in range(3)]
        assert said(await client.call_tool("survey", three)) == {
            f"Ann {number}": f"yes: Ann {number}" for number in range(3)
        }
        assert said(await client.call_tool("think", {"about": "life"})) == "thought"
        assert said(await client.call_tool("look_around")) == ["file:///home"]


async def test_progress_and_log_lines_reach_the_call_that_they_are_about(shared: Gateway) -> None:
    logged: list[object] = []
    steps: list[float] = []

    async def on_log(params: types.LoggingMessageNotificationParams) -> None:
        logged.append(params.data)

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        steps.append(progress)

    async with client_of(shared, ALICE, logging_callback=on_log, log_level="info") as client:
        await client.call_tool("climb", {"steps": 2}, progress_callback=on_progress)
        assert (steps, logged) == ([0, 1], ["step 0", "step 1"])
        steps.clear()
        await client.call_tool("climb_and_ask", progress_callback=on_progress)
        assert steps == [1, 2]


async def test_a_client_that_listens_hears_that_the_tools_have_changed(shared: Gateway) -> None:
    async with client_of(shared, ALICE) as client:
        with anyio.fail_after(PATIENCE):
            async with client.listen(tools_list_changed=True) as events:
                await client.call_tool("change")
                assert type(await anext(aiter(events))).__name__ == "ToolsListChanged"


async def test_six_calls_at_once_on_one_child_get_each_their_own_answers(shared: Gateway) -> None:
    heard: dict[str, list[str]] = {}

    async def interview(client: Client, name: str) -> None:
        heard[name] = said(await client.call_tool("interview", {"name": name, "questions": 3}))

    async with client_of(shared, ALICE) as client, anyio.create_task_group() as group:
        for number in range(6):
            group.start_soon(interview, client, f"client{number}")
    assert heard == {name: [f"yes: {name} {number}" for number in range(3)] for name in heard}
    assert len(heard) == 6


async def test_a_client_that_cannot_be_asked_is_told_what_it_lacks(http: httpx2.AsyncClient) -> None:
    answer = await Modern(http, PATH, **ALICE).post(call(1, "interview", name="Ann", questions=1))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["data"]) == (-32021, {"requiredCapabilities": {"elicitation": {"form": {}}}})


async def test_what_the_child_asked_is_for_one_user_one_call_and_one_answer(http: httpx2.AsyncClient) -> None:
    alice, bob = Modern(http, PATH, **ALICE), Modern(http, PATH, **BOB)
    asked = (await alice.post(call(1, "interview", ASKABLE, name="Ann", questions=1))).json()["result"]
    assert asked["resultType"] == "input_required"
    [key] = asked["inputRequests"]

    def again(id_: int, name: str = "Ann") -> dict[str, Any]:
        message = call(id_, "interview", ASKABLE, name=name, questions=1)
        answers = {key: {"action": "accept", "content": {"said": "yes"}}}
        message["params"].update({"requestState": asked["requestState"], "inputResponses": answers})
        return message

    async def refused(client: Modern, message: dict[str, Any]) -> str:
        answer = await client.post(message)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["message"] == "Invalid or expired requestState"
        return str(answer.json()["error"]["data"]["reason"])

    assert await refused(bob, again(2)) == "unknown"
    assert await refused(alice, again(3, "Eve")) == "mismatch"
    answer = (await alice.post(again(4))).json()
    assert answer["result"]["structuredContent"] == {"result": ["yes"]}
    assert await refused(alice, again(5)) == "used"


async def test_a_server_that_asks_nothing_is_served_as_well(http: httpx2.AsyncClient) -> None:
    alice, bob = Modern(http, "/light/mcp", **ALICE), Modern(http, "/light/mcp", **BOB)
    await alice.call(1, "add", text="mine")
    assert "mine" in await alice.call(1, "notes")
    assert "mine" not in await bob.call(1, "notes")


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_a_child_that_waits_for_an_answer_hears_from_the_next_gateway_that_none_comes(
    tmp_path: Path, end: signal.Signals
) -> None:
    async with supervisor(tmp_path, servers={"curious": CURIOUS}, auth=AUTH) as (_, path):
        async with front(path) as before:
            alice = Modern(before.http, PATH, **ALICE)
            asked = (await alice.post(call(1, "interview", ASKABLE, name="Ann", questions=1))).json()["result"]
            assert asked["resultType"] == "input_required"
            await stop(before, end)
        async with front(path) as after:
            alice = Modern(after.http, PATH, **ALICE)
            with anyio.fail_after(PATIENCE):
                told = (await alice.post(call(1, "never_answered", ASKABLE))).json()
            assert said(types.CallToolResult.model_validate(told["result"])) == ["Ann 0"]
