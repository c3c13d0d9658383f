"""One child for whom: real gateways, real children, several sessions of one user and of two."""

import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.support.gateway import QUICK, Gateway, light, running, write_config
from tests.support.rawmcp import HELLO, Events, Streamable, call, notification, request, said, sse
from tests.support.rawws import websocket

pytestmark = pytest.mark.slow

ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
FRONT = {"Authorization": "Bearer front-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret", {"name": "front", "token": "front-secret"}]}}
USERS: dict[str, Any] = {"trust_user_header": "X-Gateway-User", "trusted_fronts": ["front"]}
HEADER = "X-Conversation-Id"
SERVERS = {
    "light": light(isolation="user"),
    "brief": light(isolation="user", linger="300ms"),
    "chat": light(isolation=["user", f"header:{HEADER}"]),
    "alone": light(),
    "mute": light("--mute", isolation="user", start_timeout="1s"),
    "silent": light("--mute", isolation="user"),
    "grim": light("--refuse", isolation="user"),
    "idle": light(isolation="user", idle_timeout="1500ms", linger="100ms"),
}


@pytest.fixture(scope="module")
async def gateway_of_all(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows two users."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("gateway"), auth=AUTH, **USERS) as gateway:
        yield gateway


@pytest.fixture
async def shared(gateway_of_all: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections of the test's own."""
    async with gateway_of_all.connecting():
        yield gateway_of_all


async def counts(gateway: Gateway, server: str = "light") -> tuple[int, int]:
    """How many sessions there are, and how many children of `server`."""
    health = (await gateway.http.get("/health", headers=ALICE)).json()
    return health["sessions"], health["servers"][server]["running"]


@asynccontextmanager
async def session(
    gateway: Gateway,
    who: Mapping[str, str],
    server: str = "light",
    hello: dict[str, Any] | None = None,
    conversation: str | None = None,
) -> AsyncIterator[Streamable]:
    """A session of Streamable HTTP, ended afterwards."""
    one = Streamable(gateway.http, f"/{server}/mcp")
    one.headers |= {**who, **({HEADER: conversation} if conversation is not None else {})}
    answer = await one.post(request(0, "initialize", {**HELLO, **(hello or {})}))
    assert answer.status_code == 200, answer.text
    assert "result" in answer.json(), answer.text
    one.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
    assert (await one.post(notification("notifications/initialized"))).status_code == 202
    try:
        yield one
    finally:
        await one.delete()


@asynccontextmanager
async def both(one: Streamable, two: Streamable, message: dict[str, Any]) -> AsyncIterator[tuple[Events, Events]]:
    """The streams of two sessions that ask the same."""
    async with one.streaming(message) as first, two.streaming(message) as second:
        yield first, second


async def test_two_sessions_of_one_user_share_a_process_and_its_state(shared: Gateway) -> None:
    async with session(shared, ALICE) as one, session(shared, ALICE) as two:
        assert one.headers["Mcp-Session-Id"] != two.headers["Mcp-Session-Id"]
        await one.call(1, "add", text="mine")
        assert "mine" in await two.call(1, "notes")
        assert await one.call(2, "whoami") == await two.call(2, "whoami")
        sessions, children = await counts(shared)
        assert (sessions, children) == (2, 1)


async def test_never_across_principals_whatever_the_key(shared: Gateway) -> None:
    for server, conversation in (("light", None), ("chat", "one"), ("chat", None)):
        async with (
            session(shared, ALICE, server, conversation=conversation) as alice,
            session(shared, BOB, server, conversation=conversation) as bob,
        ):
            await alice.call(1, "add", text="hers")
            assert await bob.call(1, "notes") == []
            assert (await alice.call(2, "whoami"))["pid"] != (await bob.call(2, "whoami"))["pid"]
            thief = Streamable(shared.http, bob.path)
            thief.headers = {**bob.headers, "Mcp-Session-Id": alice.headers["Mcp-Session-Id"]}
            assert (await thief.post(call(3, "notes"))).status_code == 404


async def test_two_users_of_one_front_never_share_a_child(shared: Gateway) -> None:
    users = [{**FRONT, "X-Gateway-User": user} for user in ("ann", "ben")]
    async with (
        session(shared, users[0]) as ann,
        session(shared, users[1]) as ben,
        session(shared, users[0]) as ann_again,
        session(shared, FRONT) as nobody,
    ):
        await ann.call(1, "add", text="hers")
        assert await ann_again.call(1, "notes") == ["hers"]
        pids = {(await each.call(2, "whoami"))["pid"] for each in (ann, ben, ann_again, nobody)}
        assert len(pids) == 3


async def test_who_hangs_up_on_initialize_takes_it_from_nobody_else(shared: Gateway) -> None:
    one = Streamable(shared.http, "/silent/mcp")
    one.headers |= BOB
    opening = request(0, "initialize", HELLO)
    async with shared.http.stream("POST", one.path, json=opening, headers=one.headers):
        async with shared.http.stream("POST", one.path, json=opening, headers=one.headers):
            assert await counts(shared, "silent") == (2, 1)
        await shared.said("on silent ended: client_gone")
        assert await counts(shared, "silent") == (1, 1)
    await shared.said(r"silent pid \d+ .* is gone: client_gone")
    assert (await counts(shared, "silent"))[0] == 0


async def test_a_websocket_shares_it_too(shared: Gateway) -> None:
    async with (
        session(shared, ALICE) as one,
        websocket(shared.url, headers=ALICE) as two,
        websocket(shared.url, headers=BOB) as bobs,
    ):
        pid = (await one.call(1, "whoami"))["pid"]
        assert said(await two.ask(call(1, "whoami")))["pid"] == pid
        assert said(await bobs.ask(call(1, "whoami")))["pid"] != pid
        await one.post(call(2, "change"))
        assert (await two.message())["method"] == "notifications/tools/list_changed"


async def test_a_conversation_has_a_child_of_its_own_and_so_has_the_user_without_one(shared: Gateway) -> None:
    async with (
        session(shared, ALICE, "chat", conversation="one") as first,
        session(shared, ALICE, "chat", conversation="one") as again,
        session(shared, ALICE, "chat", conversation="two") as second,
        session(shared, ALICE, "chat") as without,
    ):
        pids = [(await each.call(1, "whoami"))["pid"] for each in (first, again, second, without)]
        assert pids[0] == pids[1]
        assert len(set(pids)) == 3


@pytest.mark.parametrize("value", ["", "{{LIBRECHAT_BODY_CONVERSATIONID}}"])
async def test_a_conversation_that_cannot_be_meant_is_refused(shared: Gateway, value: str) -> None:
    one = Streamable(shared.http, "/chat/mcp")
    one.headers |= {**ALICE, HEADER: value}
    answer = await one.post(request(0, "initialize", HELLO))
    assert answer.status_code == 400
    assert answer.json()["error"]["data"] == {"code": "bad_request", "about": {"header": HEADER}}


async def test_twenty_sessions_at_once_wait_for_one_child(shared: Gateway) -> None:
    pids: list[int] = []

    async def use() -> None:
        async with session(shared, BOB, "brief") as one:
            pids.append((await one.call(1, "whoami"))["pid"])
            await everybody.wait()

    everybody = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(use)
        while len(pids) < 20:
            await anyio.lowlevel.checkpoint()
        everybody.set()
    assert len(set(pids)) == 1
    await shared.said(rf"supervisor .*{pids[0]}.* is gone: ")


async def test_every_session_has_its_own_ids_and_progress(shared: Gateway) -> None:
    asks = {**call(7, "progress", steps=2)}
    asks["params"]["_meta"] = {"progressToken": "t"}
    async with session(shared, ALICE) as one, session(shared, ALICE) as two, both(one, two, asks) as streams:
        for events in streams:
            for step in range(2):
                assert (await events.message())["params"] == {"progressToken": "t", "progress": step}
            assert said(await events.message()) == "done"
            assert await events.at_end()


async def test_an_answer_goes_to_who_asked_under_the_same_id(shared: Gateway) -> None:
    async with (
        session(shared, ALICE) as one,
        session(shared, ALICE) as two,
        session(shared, ALICE) as three,
        one.streaming(call(7, "hold", text="one")) as first,
        two.streaming(call(7, "hold", text="two")) as second,
    ):
        assert await three.call(7, "release") == 2
        assert said(await first.message()) == "one"
        assert said(await second.message()) == "two"


async def test_a_question_goes_to_the_session_whose_call_is_in_flight(shared: Gateway) -> None:
    async with (
        session(shared, ALICE) as one,
        session(shared, ALICE) as two,
        two.listening() as quiet,
        one.streaming(call(7, "ask", method="roots/list")) as events,
    ):
        question = await events.message()
        assert question["method"] == "roots/list"
        stranger = await two.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": ["stolen"]}})
        assert stranger.status_code == 202
        await one.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}})
        assert said(await events.message()) == {"roots": []}
        await one.post(call(8, "change"))
        assert (await quiet.message())["method"] == "notifications/tools/list_changed"  # and nothing before it


async def test_a_question_that_might_be_anothers_is_declined(shared: Gateway) -> None:
    async with session(shared, ALICE) as one, session(shared, ALICE) as two, two.streaming(call(7, "hold")):
        answer = await one.call(7, "ask", method="elicitation/create")
        assert answer["code"] == -32601
        await one.call(8, "release")


async def test_who_cannot_be_asked_shares_no_child_with_who_can(shared: Gateway) -> None:
    async with session(shared, ALICE) as one, session(shared, ALICE, hello={"capabilities": {}}) as other:
        assert (await one.call(1, "whoami"))["pid"] != (await other.call(1, "whoami"))["pid"]


async def test_news_of_the_server_reach_every_session(shared: Gateway) -> None:
    async with (
        session(shared, ALICE) as one,
        session(shared, ALICE) as two,
        one.listening() as first,
        two.listening() as second,
    ):
        await one.call(1, "change")
        for events in (first, second):
            assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_a_second_handshake_is_answered_from_the_first(shared: Gateway) -> None:
    async with session(shared, ALICE, "alone") as alone, session(shared, BOB) as one:
        hello = {**HELLO, "protocolVersion": "2025-06-18"}
        later = Streamable(shared.http)
        later.headers |= BOB
        answer = await later.post(request("later", "initialize", hello))
        result = answer.json()
        assert (result["id"], result["result"]["protocolVersion"]) == ("later", "2025-11-25")
        later.headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
        assert (await later.call(1, "whoami"))["pid"] == (await one.call(1, "whoami"))["pid"]
        assert (await later.call(1, "whoami"))["pid"] != (await alone.call(1, "whoami"))["pid"]
        await later.delete()


async def test_who_cancels_cancels_their_own(shared: Gateway) -> None:
    async with session(shared, ALICE) as one, session(shared, ALICE) as two:
        before = (await one.call(1, "held"))["cancelled"]
        async with one.streaming(call(7, "hold")) as first, two.streaming(call(7, "hold", text="stays")) as second:
            await one.post(notification("notifications/cancelled", {"requestId": 7}))
            assert await first.at_end()
            assert await one.call(8, "held") == {"held": 1, "cancelled": before + 1}
            assert await one.call(9, "release") == 1
            assert said(await second.message()) == "stays"


async def test_a_session_that_ends_takes_its_calls_with_it_and_nothing_else(shared: Gateway) -> None:
    async with session(shared, ALICE) as stays:
        before = (await stays.call(1, "held"))["cancelled"]
        async with session(shared, ALICE) as one, one.streaming(call(7, "hold")) as events:
            assert (await one.delete()).status_code == 204
            assert (await events.message())["error"]["data"]["code"] == "client_closed"
            assert (await one.post(call(8, "echo"))).status_code == 404
        assert await stays.call(2, "held") == {"held": 0, "cancelled": before + 1}


async def test_a_child_outlives_its_last_session_by_its_linger(shared: Gateway) -> None:
    async with session(shared, ALICE, "brief") as one:
        pid = (await one.call(1, "whoami"))["pid"]
    async with session(shared, ALICE, "brief") as again:
        assert (await again.call(1, "whoami"))["pid"] == pid
    await shared.said(rf"{pid} .*lingered")
    async with session(shared, ALICE, "brief") as fresh:
        assert (await fresh.call(1, "whoami"))["pid"] != pid


async def test_streams_and_rest_and_streamable_share_one_child(shared: Gateway) -> None:
    as_over_rest: dict[str, Any] = {"capabilities": {"elicitation": {"form": {}, "url": {}}, "sampling": {}}}
    http = httpx2.AsyncClient(base_url=shared.url, headers=BOB)
    async with http, session(shared, BOB, hello=as_over_rest) as one:
        pid = (await one.call(1, "whoami"))["pid"]
        async with sse(http, hello=False) as stream:
            assert "result" in await stream.ask(request(0, "initialize", {**HELLO, **as_over_rest}))
            await stream.post(notification("notifications/initialized"))
            assert said(await stream.ask(call(1, "whoami")))["pid"] == pid
            set_ = (await http.get("/api/sessionid")).json()["sessionId"]
            answer = await http.post("/api/light/whoami", params={"sessionId": set_}, json={})
            assert f'"pid": {pid}' in answer.json()["content"][0]["text"]
            assert (await http.delete("/api/sessionid", params={"sessionId": set_})).status_code == 204
            assert said(await stream.ask(call(2, "whoami")))["pid"] == pid
        assert (await one.call(2, "whoami"))["pid"] == pid  # also after the stream has broken


async def test_the_end_of_the_child_is_the_end_of_all_its_sessions_and_of_no_others(shared: Gateway) -> None:
    async with session(shared, BOB) as other, session(shared, ALICE) as one, session(shared, ALICE) as two:
        pid = (await one.call(1, "whoami"))["pid"]
        async with one.streaming(call(2, "hold")) as first, two.streaming(call(2, "hold")) as second:
            os.kill(pid, signal.SIGKILL)
            for events in (first, second):
                error = (await events.message())["error"]["data"]
                assert (error["code"], error["about"]["signal"]) == ("child_exited", signal.SIGKILL)
                answer = await shared.http.get(f"/api/certificates/{error['about']['certificate']}", headers=ALICE)
                assert answer.json()["signal"] == signal.SIGKILL
        for each in (one, two):
            assert (await each.post(call(3, "echo"))).status_code == 404
        assert await other.call(1, "echo", text="alive") == "alive"
        async with session(shared, ALICE) as fresh:
            assert (await fresh.call(1, "whoami"))["pid"] != pid


async def test_a_child_that_refuses_or_does_not_answer_does_so_for_all(shared: Gateway) -> None:
    answers: list[dict[str, Any]] = []

    async def open_one(server: str) -> None:
        one = Streamable(shared.http, f"/{server}/mcp")
        one.headers |= ALICE
        answers.append((await one.post(request(0, "initialize", HELLO))).json())

    for server, code in (("grim", -32000), ("mute", -32001)):
        answers.clear()
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(open_one, server)
        assert len(answers) == 3
        assert all("error" in each for each in answers), (code, answers)
    assert (await counts(shared))[0] == 0


async def test_a_session_is_idle_on_its_own_while_others_use_the_child(shared: Gateway) -> None:
    async with session(shared, ALICE, "idle") as forgotten, session(shared, ALICE, "idle") as used:
        pid = (await used.call(1, "whoami"))["pid"]
        async with used.streaming(call(2, "hold")) as events:
            await shared.said("idle ended: idle_timeout")
            assert (await forgotten.post(call(1, "echo"))).status_code == 404
            assert await used.call(3, "release") == 1
            assert said(await events.message()) == ""
        assert (await used.call(4, "whoami"))["pid"] == pid


async def test_after_a_reload_nobody_joins_a_child_that_was_started_otherwise(tmp_path: Path) -> None:
    servers = {"light": light(isolation="user"), "same": light(isolation="user")}
    config = {"port": 0, **QUICK, "runtime_dir": str(tmp_path / "runtime"), "auth": AUTH}
    async with (
        running(servers, tmp_path=tmp_path, auth=AUTH) as gateway,
        session(gateway, ALICE) as one,
        session(gateway, ALICE, "same") as kept,
    ):
        pids = [(await each.call(1, "whoami"))["pid"] for each in (one, kept)]
        later = {**servers, "light": light("--another", isolation="user")}
        write_config(tmp_path / "config.yaml", {**config, "servers": later})
        os.kill(gateway.program("supervisor"), signal.SIGHUP)
        await gateway.said("the servers for new sessions are now")
        async with session(gateway, ALICE) as two, session(gateway, ALICE) as three:
            fresh = (await two.call(1, "whoami"))["pid"]
            assert fresh != pids[0]
            assert (await three.call(1, "whoami"))["pid"] == fresh
            assert (await one.call(2, "whoami"))["pid"] == pids[0]
        async with session(gateway, ALICE, "same") as another:
            assert (await another.call(1, "whoami"))["pid"] == pids[1]
