"""What goes wrong behind LibreChat's back, and how it gets over it: it is told, or it does not even notice."""

import anyio
import psutil
import pytest

from tests.support.gateway import Gateway
from tests.support.librechat import ChatError, LibreChat

pytestmark = pytest.mark.slow


async def rebuilt(chat: LibreChat, user: str = "ann") -> None:
    """The connection is a second one, and nobody was kept away from the server for it."""
    state = await chat.state(user)
    assert (state["state"], len(state["sessions"])) == ("connected", 2)
    breaker = await chat.do("breaker")
    assert (breaker["trips"], breaker["failedRounds"]) == (0, 0)


async def test_r04_a_child_that_is_killed_in_mid_call_is_an_error_in_a_200_on_every_stream(
    chat: LibreChat, gateway: Gateway
) -> None:
    pid = (await chat.call("ann", "whoami"))["pid"]
    others = await chat.call("bob", "whoami")
    errors: list[str] = []
    async with anyio.create_task_group() as tasks:

        async def hold() -> None:
            with pytest.raises(ChatError) as caught:
                await chat.call("ann", "hold")
            errors.append(str(caught.value))

        for _ in range(3):
            tasks.start_soon(hold)
        await gateway.said("stderr: holding", times=3)
        await chat.seen(rpc="tools/call", type="text/event-stream", times=3)
        await anyio.run_process(["/bin/kill", "-KILL", str(pid)])
    assert len(errors) == 3
    assert all("MCP error -32000: the server's process ended" in each for each in errors)
    assert {each["status"] for each in await chat.journal(rpc="tools/call")} == {200}
    # LibreChat asks for its streams again, is told that the session is gone, and builds another one.
    await chat.seen(user="ann", rpc="initialize", status=200, times=2)
    await rebuilt(chat)
    assert (await chat.call("ann", "whoami"))["pid"] != pid
    assert await chat.call("bob", "whoami") == others


async def test_r04_what_a_tool_does_wrong_costs_no_session(chat: LibreChat) -> None:
    await chat.connect("ann")
    assert (await chat.result("ann", "fail"))["isError"]
    with pytest.raises(ChatError, match="refused on purpose"):
        await chat.call("ann", "refuse")
    state = await chat.state("ann")
    assert (state["state"], len(state["sessions"])) == ("connected", 1)


async def test_r06_a_session_that_is_not_there_is_a_404_by_every_method(chat: LibreChat, gateway: Gateway) -> None:
    await chat.connect("ann")
    [session] = (await chat.state("ann"))["sessions"]
    await chat.do("disconnect", user="ann")
    for id_ in (session, "gw.unknown"):
        headers = {"Mcp-Session-Id": id_, "Accept": "application/json, text/event-stream"}
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        answers = [
            await gateway.http.post("/light/mcp", json=ping, headers=headers),
            await gateway.http.get("/light/mcp", headers=headers),
            await gateway.http.delete("/light/mcp", headers=headers),
        ]
        assert [each.status_code for each in answers] == [404] * 3
        assert {each.json()["error"]["code"] for each in answers} == {-32001}


async def test_r06_a_message_without_a_session_is_a_400_that_starts_nothing(gateway: Gateway) -> None:
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert (await gateway.http.post("/light/mcp", json=listing)).status_code == 400
    assert (await gateway.health())["sessions"] == 0


async def test_r07_a_ping_is_the_gateways_to_answer_and_waits_for_no_child(chat: LibreChat) -> None:
    child = psutil.Process((await chat.call("ann", "whoami"))["pid"])
    await chat.do("minuteLater", user="ann")
    child.suspend()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(chat.call, "ann", "whoami")
        await chat.seen(rpc="ping", status=200, times=2)
        child.resume()
    assert len((await chat.state("ann"))["sessions"]) == 1


async def test_r07_a_dead_child_is_a_404_and_the_user_notices_nothing_a_minute_later(
    chat: LibreChat, gateway: Gateway
) -> None:
    first = await chat.call("ann", "whoami")
    await anyio.run_process(["/bin/kill", "-KILL", str(first["pid"])])
    await gateway.said("session .* on light ended: child_exited")
    await chat.do("minuteLater", user="ann")
    again = await chat.call("ann", "whoami")
    assert again["pid"] != first["pid"]
    breaker = await chat.do("breaker")
    assert (breaker["trips"], breaker["failedRounds"]) == (0, 0)


async def test_r07_within_the_minute_one_call_fails_and_the_session_is_built_again_behind_it(
    chat: LibreChat, gateway: Gateway
) -> None:
    first = await chat.call("ann", "whoami")
    await anyio.run_process(["/bin/kill", "-KILL", str(first["pid"])])
    await gateway.said("session .* on light ended: child_exited")
    with pytest.raises(ChatError, match="404|session"):
        await chat.call("ann", "whoami")
    await chat.seen(rpc="initialize", status=200, times=2)
    await rebuilt(chat)
    assert (await chat.call("ann", "whoami"))["pid"] != first["pid"]
