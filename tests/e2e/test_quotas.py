"""Too much, at every door: who is told so, how, and that nobody else notices.

Rules R4 and R8 are LibreChat's: too many sessions are a 429 at `initialize`, where anything else stops all its users;
too many calls are an error in a 200, where anything else costs the session.
"""

import base64
import os
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.support.gateway import QUICK, Gateway, light, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, notification, request, said, sse
from tests.support.rawmodern import Modern
from tests.support.rawmodern import call as modern_call
from tests.support.rawws import Refused, WebSocket, websocket
from tests.support.redis import redis

pytestmark = pytest.mark.slow

NAMES = ("librechat", "ci")
KEYS: dict[str, Any] = {
    "auth": {"basic": {"credentials": [{"username": name, "password": "a-password"} for name in NAMES]}},
    "trust_user_header": "X-Gateway-User",
    "trusted_fronts": ["librechat"],
    "quotas": {"user": {"sessions": 4, "calls_in_flight": 3}, "keys": {"ci": {"children": 1}}},
    "rate_limits": [
        {"per": "user", "server": "rated", "limit": "6/year"},
        {"per": "user", "server": "rated", "tool": "e*", "limit": "2/year"},
        {"per": "user", "server": "flooded", "limit": "50/year"},
    ],
}
SERVERS = {name: light() for name in ("light", "rated", "flooded")}

NOT_SAID = re.compile(r"\d{3}|rate limit|too many requests|OAuth|authentication", re.IGNORECASE)
"""What LibreChat looks for in the text of an error, to take it for another."""


def key(name: str) -> str:
    """The header of one of the keys."""
    return "Basic " + base64.b64encode(f"{name}:a-password".encode()).decode()


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with limits; each test is a user of its own."""
    async with running(SERVERS, tmp_path=tmp_path_factory.mktemp("gateway"), **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def users(module: Gateway) -> AsyncIterator[Callable[[str], Awaitable[httpx2.AsyncClient]]]:
    """Connections of users of the front, whose sessions end with the test."""
    async with AsyncExitStack() as stack:

        async def client(name: str) -> httpx2.AsyncClient:
            headers = {"Authorization": key("librechat"), "X-Gateway-User": name}
            http = httpx2.AsyncClient(base_url=module.url, timeout=PATIENCE, headers=headers)
            return await stack.enter_async_context(http)

        yield client


def whose(http: httpx2.AsyncClient) -> dict[str, str]:
    """The headers that say for whom it asks."""
    return {name: http.headers[name] for name in ("Authorization", "X-Gateway-User")}


Users = Callable[[str], Awaitable[httpx2.AsyncClient]]


def code(answer: httpx2.Response) -> tuple[int, str]:
    """The status of an answer that is an error, and the error's code; it says when to come back, and no wrong word."""
    assert int(answer.headers["Retry-After"]) >= 1
    error = answer.json()["error"]
    assert not NOT_SAID.search(error["message"]), error
    return answer.status_code, error["data"]["code"] if "data" in error else error["code"]


@asynccontextmanager
async def holding(gateway: Gateway, http: httpx2.AsyncClient, count: int = 3) -> AsyncIterator[WebSocket]:
    """So many calls that are in flight, on a WebSocket."""
    async with websocket(gateway.url, headers=whose(http)) as socket:
        for id_ in range(count):
            await socket.send(call(id_, "hold"))
        assert (await socket.ask(request("p", "ping")))["result"] == {}  # they have been heard by now
        yield socket


async def initialize(http: httpx2.AsyncClient, server: str = "light") -> httpx2.Response:
    return await http.post(f"/{server}/mcp", json=request(0, "initialize", HELLO), headers=BOTH)


async def test_r8_one_session_too_many_is_a_429_at_initialize_and_no_other_users_affair(users: Users) -> None:
    ann, bob = await users("r8-ann"), await users("r8-bob")
    sessions = [await Streamable(ann).open() for _ in range(4)]
    assert code(await initialize(ann)) == (429, "max_user_sessions")
    await (await Streamable(bob).open()).delete()
    await sessions[0].delete()
    sessions[0] = await Streamable(ann).open()
    for session in sessions:
        assert await session.call(1, "echo", text="still there") == "still there"
        await session.delete()


async def test_one_session_too_many_is_refused_at_every_other_door(module: Gateway, users: Users) -> None:
    http = await users("doors")
    sessions = [await Streamable(http).open() for _ in range(4)]
    assert code(await http.get("/light/sse", headers={"Accept": "*/*"})) == (429, "max_user_sessions")
    assert code(await http.get("/api/sessionid")) == (429, "max_user_sessions")
    assert code(await Modern(http, "/light/mcp").post(modern_call(1, "echo", text="x"))) == (429, "max_user_sessions")
    with pytest.raises(Refused) as refused:
        async with websocket(module.url, headers=whose(http)):
            pass
    assert (refused.value.status, refused.value.error["data"]["code"]) == (429, "max_user_sessions")
    assert refused.value.headers["retry-after"] == "30"
    for session in sessions:
        await session.delete()
    id_ = (await http.get("/api/sessionid")).json()["sessionId"]
    assert (await http.delete("/api/sessionid", params={"sessionId": id_})).status_code == 204


async def test_r4_one_call_too_many_is_an_error_in_a_200_and_the_session_lives(module: Gateway, users: Users) -> None:
    ann, bob = await users("r4-ann"), await users("r4-bob")
    session, stranger = await Streamable(ann).open(), await Streamable(bob).open()
    async with holding(module, ann) as socket:
        answer = await session.post(call("more", "echo", text="x"))
        assert code(answer) == (200, "max_user_calls")
        assert answer.json()["id"] == "more"
        assert (await session.post(request("p", "ping"))).json()["result"] == {}
        assert await stranger.call(1, "echo", text="mine") == "mine"
        await socket.send(notification("notifications/cancelled", {"requestId": 1}))
        await socket.ask(request("p", "ping"))
        assert await session.call(4, "echo", text="room again") == "room again"
    await session.delete()
    await stranger.delete()


async def test_one_call_too_many_is_told_at_each_door_in_its_own_way(module: Gateway, users: Users) -> None:
    http = await users("calls")
    id_ = (await http.get("/api/sessionid")).json()["sessionId"]

    async def rest() -> httpx2.Response:
        return await http.post("/api/light/echo", params={"sessionId": id_}, json={"text": "x"})

    assert (await rest()).status_code == 200
    async with sse(http) as stream, holding(module, http) as socket:
        assert (await stream.ask(call(2, "echo", text="x")))["error"]["data"]["code"] == "max_user_calls"
        assert (await socket.ask(call(4, "echo", text="x")))["error"]["data"]["code"] == "max_user_calls"
        assert code(await rest()) == (429, "max_user_calls")
        modern = await Modern(http, "/light/mcp").post(modern_call(1, "echo", text="x"))
        assert code(modern) == (429, "max_user_calls")
        assert modern.json()["error"]["code"] == 1003
    await http.delete("/api/sessionid", params={"sessionId": id_})


@pytest.mark.parametrize("way", ["cancel", "hang up", "die", "answer"])
async def test_however_a_call_ends_there_is_room_for_another(module: Gateway, users: Users, way: str) -> None:
    http = await users(f"end-{way}")
    async with holding(module, http, 2 if way in ("die", "answer") else 3) as socket:
        if way == "cancel":
            for id_ in range(3):
                await socket.send(notification("notifications/cancelled", {"requestId": id_}))
            await socket.ask(request("p", "ping"))
        elif way == "die":
            await socket.send(call(3, "die"))
            assert ["error" in await socket.message() for _ in range(3)] == [True] * 3
        elif way == "answer":
            await socket.send(call(3, "release"))
            assert ["result" in await socket.message() for _ in range(3)] == [True] * 3
        if way != "hang up":
            async with holding(module, http) as other:
                assert "error" in await other.ask(call(4, "echo", text="x"))
    if way == "hang up":  # for a WebSocket that is the end of its session
        await module.said(r"session \S+ of basic:librechat for end-hang up on light ended")
        async with holding(module, http) as other:
            assert "error" in await other.ask(call(4, "echo", text="x"))


async def test_who_hangs_up_on_streamable_http_has_not_ended_the_call(module: Gateway, users: Users) -> None:
    http = await users("hang-up")
    session = await Streamable(http).open()
    async with holding(module, http, 2):
        async with session.streaming(call(1, "hold")):
            pass
        assert code(await session.post(call(2, "echo", text="x"))) == (200, "max_user_calls")
    await session.delete()


async def test_a_key_has_as_many_children_as_it_may_and_no_more(module: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=module.url, timeout=PATIENCE, headers={"Authorization": key("ci")}) as http:
        session = await Streamable(http).open()
        assert code(await initialize(http)) == (429, "max_key_sessions")
        await session.delete()
        await (await Streamable(http).open()).delete()


async def test_each_answer_says_how_near_its_user_is_to_the_nearest_limit(users: Users) -> None:
    session = await Streamable(await users("near"), "/rated/mcp").open()
    answers = [await session.post(call(1, "echo", text="x")), await session.post(call(2, "notes"))]
    limits = [(each.headers["X-RateLimit-Limit"], each.headers["X-RateLimit-Remaining"]) for each in answers]
    assert limits == [("2", "1"), ("6", "3")]
    assert int(answers[0].headers["X-RateLimit-Reset"]) >= 1
    for unlimited in (request(3, "ping"), notification("x")):
        assert "X-RateLimit-Limit" not in (await session.post(unlimited)).headers
    await session.delete()


async def test_a_live_session_over_its_rate_gets_errors_in_a_200_and_a_new_one_a_429(users: Users) -> None:
    http = await users("rated")
    session = await Streamable(http, "/rated/mcp").open()
    for id_ in (1, 2):
        await session.call(id_, "echo", text="x")
    refused = await session.post(call(3, "environment"))
    assert code(refused) == (200, "rate_limited")
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.json()["error"]["data"]["about"]["limit"] == "2 per 1 year"
    assert await session.call(4, "notes") == []
    # Six with `initialize` and the one that was refused, for the wider rule, which comes first, had let it pass.
    assert await session.call(5, "notes") == []
    assert code(await session.post(call(6, "notes"))) == (200, "rate_limited")
    assert code(await initialize(http, "rated")) == (429, "rate_limited")
    assert (await session.post(request("p", "ping"))).json()["result"] == {}
    others = await Streamable(await users("rated-other"), "/rated/mcp").open()
    assert await others.call(1, "echo", text="mine") == "mine"
    await session.delete()
    await others.delete()


async def test_each_member_of_a_batch_counts_and_is_refused_by_itself(users: Users) -> None:
    session = await Streamable(await users("batch"), "/rated/mcp").open("2025-03-26")
    answer = await session.post([call(id_, "echo", text=f"{id_}") for id_ in range(4)])
    assert answer.status_code == 200
    by_id = {each["id"]: each for each in answer.json()}
    assert [said(by_id[id_]) for id_ in (0, 1)] == [0, 1]
    assert [by_id[id_]["error"]["data"]["code"] for id_ in (2, 3)] == ["rate_limited"] * 2
    await session.delete()


async def test_the_other_doors_have_the_same_limits(module: Gateway, users: Users) -> None:
    http = await users("rated-doors")
    id_ = (await http.get("/api/sessionid")).json()["sessionId"]
    answers = [await http.post("/api/rated/echo", params={"sessionId": id_}, json={"text": "x"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [200, 200, 429]
    assert [each.headers["X-RateLimit-Remaining"] for each in answers] == ["1", "0", "0"]
    assert code(answers[2]) == (429, "rate_limited")
    modern = await Modern(http, "/rated/mcp").post(modern_call(1, "echo", text="x"))
    assert code(modern) == (429, "rate_limited")
    assert (modern.headers["X-RateLimit-Limit"], modern.headers["X-RateLimit-Remaining"]) == ("2", "0")
    async with sse(http, "/rated/sse", hello=False) as stream:
        assert "result" in await stream.ask(request(0, "initialize", HELLO))
        posted = await stream.post(call(1, "echo", text="x"))
        assert (posted.status_code, posted.headers["X-RateLimit-Remaining"]) == (202, "0")
        assert (await stream.events.message())["error"]["data"]["code"] == "rate_limited"
    # That was more than six with the stream: what is refused by a rule has passed those before it.
    answer = await http.get("/rated/sse", headers={"Accept": "*/*"})
    assert code(answer) == (429, "rate_limited")
    assert (answer.headers["X-RateLimit-Limit"], answer.headers["X-RateLimit-Remaining"]) == ("6", "0")
    with pytest.raises(Refused) as refused:
        async with websocket(module.url, "/rated/ws", headers=whose(http)):
            pass
    assert (refused.value.status, refused.value.headers["x-ratelimit-remaining"]) == (429, "0")
    await http.delete("/api/sessionid", params={"sessionId": id_})


async def test_a_flood_of_one_user_passes_up_to_the_limit_and_the_other_does_not_feel_it(users: Users) -> None:
    flooding, other = await users("flood"), await users("flood-other")
    session = await Streamable(flooding, "/flooded/mcp").open()
    calm = await Streamable(other, "/flooded/mcp").open()
    outcomes: list[str] = []

    async def ask(id_: int) -> None:
        message = (await session.post(call(id_, "notes"))).json()
        outcomes.append(message["error"]["data"]["code"] if "error" in message else "answered")

    async with anyio.create_task_group() as tasks:
        for id_ in range(200):
            tasks.start_soon(ask, id_)
        for id_ in range(10):
            assert await calm.call(id_, "echo", text=f"calm {id_}") == f"calm {id_}"
    assert len(outcomes) == 200
    assert set(outcomes) <= {"answered", "rate_limited", "max_user_calls"}
    assert outcomes.count("rate_limited") == 200 - 49  # `initialize` was the first of the fifty
    await session.delete()
    await calm.delete()


async def test_health_counts_refusals_and_names_nobody(module: Gateway, users: Users) -> None:
    http = await users("health-ann")
    sessions = [await Streamable(http).open() for _ in range(4)]
    before = (await http.get("/health")).json().get("refusals", {}).get("max_user_sessions", 0)
    await initialize(http)
    report = await http.get("/health")
    assert report.json()["refusals"]["max_user_sessions"] == before + 1
    assert report.json()["rateLimits"] == {"storage": "memory", "answers": True, "faults": 0}
    assert "health-ann" not in report.text
    async with module.connecting():
        assert (await module.http.get("/health")).json() == {"status": "ok"}
    for session in sessions:
        await session.delete()


async def test_with_redis_the_gateway_counts_there_and_says_nothing_of_where(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"rate_limits": [{"per": "user", "tool": "echo", "limit": "2/year"}]}
    async with redis(tmp_path) as url, running(tmp_path=tmp_path, **keys, rate_limit_storage=url) as gateway:
        id_ = await gateway.session_id()
        assert [(await gateway.call(id_, "echo", text="x")).status_code for _ in range(3)] == [200, 200, 429]
        assert (await gateway.health())["rateLimits"] == {"storage": "redis", "answers": True, "faults": 0}
        assert url not in gateway.log


async def test_other_limits_hold_from_a_reload_on_and_who_has_more_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    base: dict[str, Any] = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), "servers": {"light": light()}}
    limits: dict[str, Any] = {
        "quotas": {"user": {"sessions": 1}},
        "rate_limits": [{"per": "user", "tool": "echo", "limit": "1/year"}],
    }
    async with running(tmp_path=tmp_path) as gateway:
        sessions = [await Streamable(gateway.http).open() for _ in range(2)]
        for keys in (limits, {}):
            write_config(path, {**base, **keys})
            os.kill(gateway.program("supervisor"), signal.SIGHUP)
            await gateway.said("the configuration was read again.*changed for new requests: quotas, rate_limits")
            await gateway.said("the servers for new sessions are now", 1 if keys else 2)
            if not keys:
                assert await sessions[0].call(3, "echo", text="as before") == "as before"
                sessions.append(await Streamable(gateway.http).open())
                continue
            assert code(await initialize(gateway.http)) == (429, "max_user_sessions")
            assert [await each.call(1, "notes") for each in sessions] == [[], []]
            assert await sessions[0].call(1, "echo", text="one") == "one"
            assert code(await sessions[1].post(call(2, "echo", text="x"))) == (200, "rate_limited")
        for session in sessions:
            await session.delete()
