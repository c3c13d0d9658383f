"""Who may use what, at every door: a real gateway, with two users, one of whom may not use everything."""

import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.gateway import LIGHT, MODERN, Gateway, light, running, write_config
from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, Streamable, call, notification, request, said, sse
from tests.support.rawmodern import Modern, headers_of
from tests.support.rawmodern import call as modern_call
from tests.support.rawmodern import request as modern_request
from tests.support.rawws import Refused, websocket
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, token

pytestmark = pytest.mark.slow

SERVERS = {"light": LIGHT, "modern": {**MODERN, "handles": "inject"}, "secret": LIGHT, "old": light(modern="off")}
AUTH: dict[str, Any] = {
    "basic": {"credentials": [{"username": each, "password": f"{each}-secret"} for each in ("ann", "bob")]},
    "jwt": [{"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET, "groups_claim": "realm.roles"}],
}
ACCESS: list[dict[str, Any]] = [
    {"allow": "basic:ann", "to": ["*"]},
    {"allow": "basic:*", "to": ["light", "old:*", "modern:e*", "modern:session_open"]},
    {"deny": "basic:bob", "to": ["light:who*", "l*:path/like tool", "*:die"]},
    {"allow": "group:staff", "to": ["light"]},
    {"allow": "claim:level=3", "to": ["old"]},
    {"deny": f"{ISSUER}:mallory", "to": "*"},
]
DENIED = {"whoami", "path/like tool", "die"}


def as_(name: str) -> dict[str, str]:
    """The credentials of a user."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{name}-secret".encode()).decode()}


def unknown(tool: str, id_: int | str = 1) -> dict[str, Any]:
    """What is said of a tool that there is not."""
    error = {"code": -32602, "message": f"Unknown tool: {tool}"}
    return {"jsonrpc": "2.0", "id": id_, "error": error}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows two users."""
    where = tmp_path_factory.mktemp("gateway")
    async with running(SERVERS, tmp_path=where, auth=AUTH, access=ACCESS) as gateway:
        yield gateway


@pytest.fixture
async def bob(shared: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """Bob's connections."""
    async with httpx2.AsyncClient(base_url=shared.url, timeout=PATIENCE, headers=as_("bob")) as http:
        yield http


@pytest.fixture
async def ann(shared: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """Ann's connections."""
    async with httpx2.AsyncClient(base_url=shared.url, timeout=PATIENCE, headers=as_("ann")) as http:
        yield http


async def listed(ask: Any) -> list[str]:
    """The tools on all pages of a list; `ask` gets the params of each request."""
    names: list[str] = []
    params: dict[str, Any] = {}
    while True:
        result = (await ask(params))["result"]
        names += [tool["name"] for tool in result["tools"]]
        if "nextCursor" not in result:
            return names
        params = {"cursor": result["nextCursor"]}


async def test_with_streamable_http_a_denied_tool_is_on_no_page_and_is_none(
    ann: httpx2.AsyncClient, bob: httpx2.AsyncClient
) -> None:
    async def all_of(session: Streamable) -> list[str]:
        async def ask(params: Any) -> Any:
            return (await session.post(request(1, "tools/list", params))).json()

        return await listed(ask)

    anns, bobs = await Streamable(ann).open(), await Streamable(bob).open()
    everything = await all_of(anns)
    assert set(everything) > DENIED
    assert await all_of(bobs) == [each for each in everything if each not in DENIED]
    for tool in DENIED:
        answer = await bobs.post(call(1, tool))
        assert (answer.status_code, answer.json()) == (200, unknown(tool))
    assert await bobs.call(2, "echo", text="mine") == "mine"
    assert "pid" in await anns.call(2, "whoami")
    await anns.delete()
    await bobs.delete()


async def test_nothing_that_is_written_oddly_gets_past(bob: httpx2.AsyncClient) -> None:
    session = await Streamable(bob).open()
    odd = [
        b'{"name":"echo","Name":"whoami","arguments":{}}',
        b'{"NAME":"whoami","name":"echo","arguments":{}}',
        b'{"name":"echo","arguments":{},"name":"whoami"}',
        b'{"name":"who\\u0061mi","arguments":{}}',
        b'{"name":["whoami"]}',
        b"{}",
        b"[]",
    ]
    for params in odd:
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % params
        headers = {**session.headers, "Content-Type": "application/json"}
        answer = (await bob.post(session.path, content=body, headers=headers)).json()
        assert answer["error"]["message"].startswith("Unknown tool: "), (params, answer)
    # The one that counts is the one that the child gets.
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"echo"}}'
    assert said((await bob.post(session.path, content=body, headers=headers)).json()) == ""
    assert (
        await session.post(notification("tools/call", {"name": "add", "arguments": {"text": "x"}}))
    ).status_code == 202
    assert await session.call(2, "notes") == []
    await session.delete()


async def test_in_a_batch_each_request_is_looked_at(bob: httpx2.AsyncClient) -> None:
    session = await Streamable(bob).open("2025-03-26")
    batch = [call(1, "whoami"), call(2, "echo", text="b"), request(3, "tools/list")]
    answers = {each["id"]: each for each in (await session.post(batch)).json()}
    assert answers[1] == unknown("whoami")
    assert said(answers[2]) == "b"
    assert not DENIED & {tool["name"] for tool in answers[3]["result"]["tools"]}
    await session.delete()


async def test_with_http_sse_and_websocket_it_is_the_same(shared: Gateway, bob: httpx2.AsyncClient) -> None:
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(sse(bob))
        other = await stack.enter_async_context(websocket(shared.url, headers=as_("bob")))
        for session in (one, other):

            async def ask(params: Any, session: Any = session) -> Any:
                return await session.ask(request(1, "tools/list", params))

            names = await listed(ask)
            assert not DENIED & set(names)
            assert "echo" in names
            assert await session.ask(call(1, "whoami")) == unknown("whoami")
            assert said(await session.ask(call(2, "echo", text="mine"))) == "mine"


async def test_a_client_without_sessions_hears_the_same(ann: httpx2.AsyncClient, bob: httpx2.AsyncClient) -> None:
    async def all_of(http: httpx2.AsyncClient, server: str) -> list[str]:
        client = Modern(http, f"/{server}/mcp")

        async def ask(params: Any) -> Any:
            answer = (await client.post(modern_request(1, "tools/list", **params))).json()
            assert answer["result"]["cacheScope"] == "private" or http is ann
            return answer

        return await listed(ask)

    for server in ("light", "modern"):
        everything = await all_of(ann, server)
        allowed = [each for each in everything if each not in DENIED]
        if server == "modern":
            allowed = [each for each in allowed if each[0] == "e" or each == "session_open"]
            assert "session_close" in everything
        assert await all_of(bob, server) == allowed
    for server, tool in (("light", "whoami"), ("modern", "session_close"), ("modern", "whoami"), ("modern", "nothing")):
        message = modern_call(1, tool, gateway_session="x")
        for headers in ({}, {"Mcp-Param-Gateway-Session": "wrong"}):  # the check of which shows what schemas there are
            answer = await bob.post(f"/{server}/mcp", json=message, headers={**headers_of(message), **headers})
            assert answer.json() == unknown(tool)
            assert answer.status_code == 400
    assert await Modern(bob, "/light/mcp").call(1, "echo", text="mine") == "mine"
    assert await Modern(bob, "/modern/mcp").call(1, "echo", text="mine") == "mine"


async def test_over_rest_a_denied_tool_is_none(shared: Gateway, bob: httpx2.AsyncClient) -> None:
    id_ = (await bob.get("/api/sessionid")).json()["sessionId"]

    async def ask(tool: str) -> httpx2.Response:
        return await bob.post(f"/api/light/{tool}", params={"sessionId": id_}, json={})

    none = await ask("nothing")
    assert none.status_code == 404
    for tool in DENIED:
        answer = await ask(tool)
        assert (answer.status_code, answer.text) == (404, none.text.replace("nothing", tool))
        assert answer.headers.keys() == none.headers.keys()
    assert (await ask("echo")).status_code == 200
    await bob.delete("/api/sessionid", params={"sessionId": id_})


ROUTES = [
    ("GET", "/{}", {}),
    ("POST", "/{}", request(1, "initialize", HELLO)),
    ("DELETE", "/{}", {}),
    ("POST", "/{}/mcp", request(1, "initialize", HELLO)),
    ("POST", "/{}/mcp", modern_request(1, "tools/list")),
    ("POST", "/{}/mcp", modern_request(1, "server/discover")),
    ("GET", "/{}/mcp", {}),
    ("DELETE", "/{}/mcp", {}),
    ("GET", "/{}/sse", {}),
    ("POST", "/{}/message?sessionId=x", {}),
    ("GET", "/{}/ws", {}),
    ("POST", "/api/{}/echo", {}),
    ("POST", "/api/actions/{}/echo", {}),
    ("GET", "/api/{}/openapi.json", {}),
    ("GET", "/api/v1/servers/{}", {}),
    ("GET", "/api/v1/tools?server={}", {}),
    ("POST", "/api/v1/tools/call", {"tool": "echo", "server": "{}"}),
    ("GET", "/api/v1/servers/{}/resources", {}),
    ("GET", "/api/v1/servers/{}/resource-templates?sessionId=x", {}),
    ("GET", "/api/v1/servers/{}/resources/read", {}),
    ("GET", "/api/v1/servers/{}/prompts", {}),
    ("GET", "/api/v1/servers/{}/prompts/x", {}),
    ("POST", "/api/v1/servers/{}/prompts/x", {"a": 1}),
]
"""Each route that names a server."""


@pytest.mark.parametrize(("method", "path", "message"), ROUTES)
async def test_a_denied_server_is_none_on_any_route(
    bob: httpx2.AsyncClient, method: str, path: str, message: dict[str, Any]
) -> None:
    for accept in ("application/json, text/event-stream", "text/plain"):
        headers = {**(headers_of(message) if "_meta" in json.dumps(message) else {}), "Accept": accept}
        answers = []
        for server in ("secret", "absent"):
            url = path.format(server)
            named = {name: server if value == "{}" else value for name, value in message.items()}
            answer = await bob.request(method, url, json=named if method == "POST" else None, headers=headers)
            answers.append((answer.status_code, answer.text.replace(server, "?"), sorted(answer.headers.keys())))
        assert answers[0] == answers[1]
        assert answers[0][0] == (200 if path.startswith("/api/actions/") else 404)
        assert "server_not_found" in answers[0][1]


async def test_a_denied_server_is_none_for_a_websocket_and_not_in_health(
    shared: Gateway, ann: httpx2.AsyncClient, bob: httpx2.AsyncClient
) -> None:
    with pytest.raises(Refused) as refused:
        async with websocket(shared.url, "/secret/ws", headers=as_("bob")):
            pass
    assert (refused.value.status, refused.value.error["data"]["code"]) == (404, "server_not_found")
    [for_ann, for_bob] = [(await http.get("/health")).json() for http in (ann, bob)]
    assert for_ann["servers"].keys() == SERVERS.keys()
    assert for_bob["servers"].keys() == SERVERS.keys() - {"secret"}
    assert "secret" not in json.dumps(for_bob)


def bearing(sub: str, *roles: str, **claims: Any) -> dict[str, str]:
    """The credentials of somebody with a token, in whose `realm.roles` are these."""
    return {"Authorization": f"Bearer {token(SECRET, 'HS256', sub=sub, realm={'roles': roles}, **claims)}"}


async def test_groups_and_claims_are_those_of_the_token_that_the_request_bears(shared: Gateway) -> None:
    async with httpx2.AsyncClient(base_url=shared.url, timeout=PATIENCE) as http:

        async def may(headers: dict[str, str]) -> set[str]:
            return set((await http.get("/health", headers=headers)).json()["servers"])

        assert await may(bearing("cyd", "staff")) == {"light"}
        assert await may(bearing("cyd", "staff", level=3)) == {"light", "old"}
        assert await may(bearing("mallory", "staff", level=3)) == set()
        for without in (bearing("cyd"), bearing("cyd", "Staff"), bearing("cyd", groups=["staff"], level="30")):
            assert await may(without) == set()
        http.headers.update(bearing("cyd", "staff"))
        session = await Streamable(http).open()
        assert await session.call(1, "echo", text="in") == "in"
        # Whoever loses the group loses with the next token what it allowed, also in a session; and has it again.
        http.headers.update(bearing("cyd", "guests"))
        answer = await session.post(call(2, "echo", text="out"))
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (404, "server_not_found")
        http.headers.update(bearing("cyd", "staff", "guests"))
        assert await session.call(3, "echo", text="in again") == "in again"
        await session.delete()


async def test_new_rules_hold_for_the_next_request_of_a_live_session(tmp_path: Path) -> None:
    async with (
        running({"light": LIGHT}, tmp_path=tmp_path, auth=AUTH, access=_only(None)) as gateway,
        httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, headers=as_("bob")) as http,
        websocket(gateway.url, headers=as_("bob")) as socket,
    ):
        session = await Streamable(http).open()
        assert await session.call(1, "echo", text="yes") == "yes"
        await _reload(gateway, tmp_path, _only("light:echo"))
        assert (await session.post(call(1, "echo"))).json() == unknown("echo")
        assert await socket.ask(call(1, "echo")) == unknown("echo")
        assert await session.call(2, "notes") == []
        await _reload(gateway, tmp_path, _only("light"))
        assert (await session.post(call(1, "notes"))).status_code == 404
        answer = await socket.ask(request(1, "prompts/list"))
        assert answer["error"]["data"] == {"code": "server_not_found", "about": {"server": "light"}}
        await _reload(gateway, tmp_path, _only(None))
        assert await session.call(3, "echo", text="yes") == "yes"


def _only(denied: str | None) -> list[dict[str, Any]]:
    """Everything is allowed but that."""
    rules = [{"allow": "*", "to": "*"}]
    return rules if denied is None else [*rules, {"deny": "basic:bob", "to": denied}]


async def _reload(gateway: Gateway, where: Path, rules: list[dict[str, Any]]) -> None:
    config = {"debug": {"level": "debug"}, "reaping": "tagged", "runtime_dir": str(where / "runtime")}
    write_config(where / "config.yaml", {**config, "auth": AUTH, "access": rules, "servers": {"light": LIGHT}})
    before = sum("the servers for new sessions are now" in line for line in gateway.lines)
    os.kill(gateway.program("supervisor"), signal.SIGHUP)
    await gateway.said("the servers for new sessions are now", before + 1)
