"""How LibreChat comes in: the order of its messages, over both transports, and what each of them is answered."""

from pathlib import Path

import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.librechat import OPERATORS, ChatError, Chats, LibreChat

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


async def test_the_order_of_messages_over_streamable_http(chat: LibreChat) -> None:
    assert await chat.call("ann", "echo", text="hello") == "hello"
    await chat.seen(http="GET", status=200)
    await chat.do("disconnect", user="ann")
    sent = [(each["rpc"] or each["http"], each["status"]) for each in await chat.journal()]
    assert sent[:2] == [("initialize", 200), ("notifications/initialized", 202)]
    assert set(sent[2:4]) == {("ping", 200), ("GET", 200)}
    assert sent[4:] == [("tools/list", 200), ("tools/list", 200), ("tools/call", 200), ("DELETE", 204)]
    assert (await chat.journal(rpc="initialize"))[0]["headers"]["accept"] == "application/json, text/event-stream"


async def test_the_order_of_messages_over_sse(gateway: Gateway, process: Chats) -> None:
    async with process.librechat(f"{gateway.url}/light/sse", type="sse") as chat:
        assert await chat.call("ann", "echo", text="hello") == "hello"
        sent = [(each["rpc"] or each["http"], each["status"]) for each in await chat.journal()]
        assert sent[:3] == [("GET", 200), ("initialize", 202), ("notifications/initialized", 202)]
        assert sent[3:] == [("ping", 202), ("tools/list", 202), ("tools/list", 202), ("tools/call", 202)]
        assert await chat.trips() == 0


async def test_an_entry_without_a_user_is_one_session_for_all(gateway: Gateway, process: Chats) -> None:
    headers = {"Authorization": "Bearer ${MCP_GATEWAY_TOKEN}"}
    async with process.librechat(f"{gateway.url}/light/mcp", headers=headers) as chat:
        assert not await chat.do("isPerUser")
        await chat.do("start")
        who = [await chat.call(user, "whoami") for user in ("ann", "bob")]
        assert who[0] == who[1]
        # The look at the start was a session of its own, which is gone.
        initialized = await chat.journal(rpc="initialize")
        assert len(initialized) == 2
        assert [each["status"] for each in await chat.journal(http="DELETE")] == [204]


async def test_the_documented_entry_is_a_session_for_each_user(chat: LibreChat) -> None:
    assert await chat.do("isPerUser")
    await chat.do("start")
    assert await chat.journal() == []
    who = [await chat.call(user, "whoami") for user in ("ann", "bob", "ann")]
    assert who[0] == who[2] != who[1]


async def test_r01_initialize_is_a_200_with_a_session_id_and_the_revision_that_was_asked_for(chat: LibreChat) -> None:
    assert await chat.connect("ann") == ["connected"]
    assert [each["status"] for each in await chat.journal(rpc="initialize")] == [200]
    [session] = (await chat.state("ann"))["sessions"]
    [ping] = await chat.journal(rpc="ping")
    assert ping["headers"]["mcp-session-id"] == session
    assert ping["headers"]["mcp-protocol-version"] == "2025-11-25"


async def test_r01_a_client_that_does_not_wait_for_initialize_leaves_no_child(process: Chats, tmp_path: Path) -> None:
    servers = {"light": light("--mute")}
    async with running(servers, tmp_path=tmp_path, **OPERATORS) as gateway:
        async with process.librechat(f"{gateway.url}/light/mcp", initTimeout=500) as chat:
            assert await chat.connect("ann") != ["connected"]
            await gateway.said("session .* on light ended: client_gone")
        await gateway.quiet()
        assert gateway.children() == set()


async def test_r02_notifications_and_answers_get_an_empty_202(chat: LibreChat, gateway: Gateway) -> None:
    await chat.call("ann", "wonder")
    await chat.seen(http="POST", rpc=None, status=202)  # no method: an answer
    told = [each for each in await chat.journal(http="POST") if each["id"] in (None, "w1")]
    assert [each["rpc"] for each in told] == ["notifications/initialized", None]
    assert {(each["status"], each["type"]) for each in told} == {(202, None)}


async def test_r09_the_probe_for_oauth_finds_none_and_opens_nothing(gateway: Gateway, process: Chats) -> None:
    spawned = len([line for line in gateway.lines if "supervisor spawned" in line])
    for path in ("/light/mcp", "/light/sse", "/light"):
        async with process.librechat(f"{gateway.url}{path}") as chat:
            assert await chat.do("wantsOAuth") is False
            assert [each["status"] for each in await chat.journal()] == [405, 401, 404]
    assert len([line for line in gateway.lines if "supervisor spawned" in line]) == spawned
    refused = await gateway.http.post("/light/mcp", content=b"{}", headers={**JSON, "Authorization": "Bearer wrong"})
    assert not refused.headers["WWW-Authenticate"].startswith("Bearer")
    # Past the door that body is no message, and a session is not opened for it either.
    assert (await gateway.http.post("/light/mcp", content=b"{}", headers=JSON)).status_code == 400
    assert (await gateway.health())["sessions"] == 0


async def test_r10_a_slash_at_the_end_makes_no_difference(gateway: Gateway, process: Chats) -> None:
    for path, kind in (("/light/mcp/", "streamable-http"), ("/light/", "streamable-http"), ("/light/sse/", "sse")):
        async with process.librechat(gateway.url + path, type=kind) as chat:
            assert await chat.call("ann", "echo", text=path) == path
            assert {each["status"] for each in await chat.journal()} <= {200, 202}


async def test_r11_sse_takes_any_accept_and_its_end_is_the_sessions(gateway: Gateway, process: Chats) -> None:
    async with process.librechat(f"{gateway.url}/light/sse", type="sse") as chat:
        await chat.call("ann", "echo", text="hello")
        assert all("accept" not in each["headers"] for each in await chat.journal())  # undici then says */*
        await chat.do("crash")
        await gateway.said("session .* on light ended: client_gone")


async def test_r16_the_ids_of_a_client_go_on_counting_in_its_next_session(chat: LibreChat, gateway: Gateway) -> None:
    await chat.connect("ann")
    with pytest.raises(ChatError, match="process ended"):
        await chat.call("ann", "die")
    await chat.seen(rpc="initialize", status=200, times=2)
    state = await chat.state("ann")
    assert (state["state"], len(state["sessions"])) == ("connected", 2)
    first, second = await chat.journal(rpc="initialize")
    assert (first["id"], second["id"] > 0) == (0, True)
    assert await chat.call("ann", "echo", text="on") == "on"


async def test_r17_the_child_hears_of_no_capability_that_librechat_has_not(chat: LibreChat, gateway: Gateway) -> None:
    greeting = await chat.call("ann", "greeting")
    assert greeting["capabilities"] == {}
    assert greeting["clientInfo"] == {"name": "@librechat/api-client", "version": "1.2.3"}
    assert await chat.call("ann", "ask", method="sampling/createMessage") == {
        "code": -32601,
        "message": "Method not found",
    }
    # A ping of the child's is the gateway's to answer, for LibreChat leaves pings unanswered.
    await chat.call("ann", "ask", method="ping")
