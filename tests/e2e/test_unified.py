"""The unified API: what there is, a call by the tool's name, and one's own sessions."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from click.testing import CliRunner, Result

from gateway.cli import main
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, watching
from tests.support.rawmcp import Streamable
from tests.support.users import KEYS, OTHER, of

pytestmark = pytest.mark.slow

NEW, CALLED = "Mcp-Session-New", "Mcp-Server"
SERVERS = {
    "light": light(name="Light", tags=["quick", "tests"]),
    "twin": light(tags=["tests"]),
    "broken": {"command": "/bin/false"},
}
RULES = [
    {"allow": "*", "to": ["light", "broken"]},
    {"allow": "bearer:librechat", "to": ["twin"]},
    {"deny": "bearer:ci", "to": ["light:add", "broken"]},
]


@pytest.fixture(scope="module")
async def module(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with two servers that have the same tools, of which one caller may use one, and with a broken one."""
    path = tmp_path_factory.mktemp("gateway")
    async with running(SERVERS, tmp_path=path, access=RULES, **KEYS) as gateway:
        yield gateway


@pytest.fixture
async def gateway(module: Gateway) -> AsyncIterator[Gateway]:
    """The same, with connections that end with the test; afterwards nobody has a session."""
    async with module.connecting():
        yield module
        for whose in (OTHER, *map(of, ("ann", "bob"))):
            for each in (await listed(module, whose))["sessions"]:
                await module.http.delete(f"/api/v1/sessions/{each['handle']}", headers=whose)


async def get(gateway: Gateway, path: str, whose: dict[str, str], status: int = 200, **params: Any) -> Any:
    """What `whose` gets from `path`."""
    answer = await gateway.http.get(f"/api/v1{path}", headers=whose, params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


async def listed(gateway: Gateway, whose: dict[str, str]) -> Any:
    return await get(gateway, "/sessions", whose)


async def call(gateway: Gateway, whose: dict[str, str], tool: str, **more: Any) -> httpx2.Response:
    """A call by the tool's name."""
    return await gateway.http.post("/api/v1/tools/call", headers=whose, json={"tool": tool, **more})


async def text(gateway: Gateway, whose: dict[str, str], tool: str, **more: Any) -> Any:
    """What a call's text says."""
    answer = await call(gateway, whose, tool, **more)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["content"][0]["text"])


def refusal(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_whether_it_is_well_anybody_may_ask_and_the_rest_is_for_callers(gateway: Gateway) -> None:
    assert (await gateway.http.get("/api/v1/health")).json() == {"status": "ok"}
    assert (await gateway.http.get("/api/v1/health", headers=OTHER)).json().keys() > {"status", "version", "servers"}
    for path in ("/servers", "/servers/light", "/tools", "/sessions", "/sessions/x"):
        assert refusal(await gateway.http.get(f"/api/v1{path}")) == (401, "unauthenticated")
    assert refusal(await call(gateway, {}, "echo")) == (401, "unauthenticated")


async def test_the_servers_are_those_of_the_caller_and_a_broken_one_is_one_of_them(gateway: Gateway) -> None:
    anns = await get(gateway, "/servers", of("ann"))
    assert [(each["id"], each["name"], each["state"]) for each in anns["servers"]] == [
        ("light", "Light", "ready"),
        ("twin", "twin", "ready"),
        ("broken", "broken", "failing"),
    ]
    first, _, broken = anns["servers"]
    assert (first["tags"], first["serverInfo"]["name"], anns["total"]) == (["quick", "tests"], "light", 3)
    assert broken["failing"]["code"] == "child_exited"
    [theirs] = (await get(gateway, "/servers", OTHER))["servers"]
    assert theirs["toolCount"] == first["toolCount"] - 1
    one = await get(gateway, "/servers/light", of("ann"), refresh="true")
    assert one.items() > {name: first[name] for name in ("id", "tags", "state", "toolCount")}.items()
    assert one["asked"] > first["asked"]
    assert [tool["name"] for tool in one["tools"]] == sorted(tool["name"] for tool in one["tools"])
    for denied in ("twin", "nowhere"):
        said = await get(gateway, f"/servers/{denied}", OTHER, 404)
        assert said["error"]["message"] == f"there is no server '{denied}'"


async def test_the_tools_come_in_pages_and_by_server_tag_and_word(gateway: Gateway) -> None:
    ann = of("ann")
    whole = await get(gateway, "/tools", ann, limit=500)
    assert [each["server"] for each in whole["failing"]] == ["broken"]
    pages: list[Any] = []
    cursor: str | None = None
    while not pages or cursor:
        more: Any = {"cursor": cursor} if cursor else {}
        page = await get(gateway, "/tools", ann, limit=30, **more)
        pages += page["tools"]
        cursor = page["nextCursor"]
    assert pages == whole["tools"]
    assert len(pages) == whole["total"] == 2 * (await get(gateway, "/servers/light", ann))["toolCount"]
    assert {each["server"] for each in (await get(gateway, "/tools", ann, server="twin"))["tools"]} == {"twin"}
    assert {each["server"] for each in (await get(gateway, "/tools", ann, tag="quick"))["tools"]} == {"light"}
    found = await get(gateway, "/tools", ann, q="WHO", server=["light", "twin"])
    assert [(each["serverId"], each["serverName"], each["name"]) for each in found["tools"]] == [
        ("light", "Light", "whoami"),
        ("twin", "twin", "whoami"),
    ]
    theirs = await get(gateway, "/tools", OTHER, limit=500)
    assert {each["server"] for each in theirs["tools"]} == {"light"}
    assert "add" not in [each["name"] for each in theirs["tools"]]
    assert theirs["failing"] == []


@pytest.mark.parametrize(
    ("path", "params", "parameter"),
    [
        ("/tools", {"limit": "0"}, "limit"),
        ("/tools", {"limit": "501"}, "limit"),
        ("/tools", {"limit": ["1", "2"]}, "limit"),
        ("/tools", {"cursor": "x"}, "cursor"),
        ("/tools", {"refresh": "yes"}, "refresh"),
        ("/tools", {"tags": "x"}, "tags"),
        ("/servers", {"limit": "1"}, "limit"),
        ("/servers/light", {"x": ""}, "x"),
        ("/sessions", {"cursor": "WyJhIiwiYiJd"}, "cursor"),
        ("/sessions/x", {"sessionId": "x"}, "sessionId"),
    ],
)
async def test_what_is_wrong_with_a_query_is_named(gateway: Gateway, path: str, params: Any, parameter: str) -> None:
    said = await get(gateway, path, of("ann"), 400, **params)
    assert (said["error"]["code"], said["error"]["about"]) == ("bad_request", {"parameter": parameter})


async def test_a_tool_is_found_by_its_name_among_the_callers_servers(gateway: Gateway) -> None:
    answer = await call(gateway, OTHER, "echo", arguments={"text": "found"})
    assert answer.json()["content"][0]["text"] == "found"
    assert answer.headers[CALLED] == "light"
    ambiguous = await call(gateway, of("ann"), "echo", arguments={"text": "found"})
    assert refusal(ambiguous) == (409, "ambiguous_tool")
    assert ambiguous.json()["error"]["about"]["servers"] == ["light", "twin"]
    chosen = await call(gateway, of("ann"), "echo", server="twin", arguments={"text": "found"})
    assert (chosen.status_code, chosen.headers[CALLED]) == (200, "twin")


async def test_what_is_not_the_callers_is_called_like_what_is_not_there(gateway: Gateway) -> None:
    for tool in ("add", "ad"):  # the one is denied, the other is none
        answer = await call(gateway, OTHER, tool, arguments={"text": "x"})
        assert answer.status_code == 404
        assert answer.json()["error"]["about"] == {"tool": tool, "unknown": []}
    for server in ("twin", "nowhere"):
        assert refusal(await call(gateway, OTHER, "echo", server=server)) == (404, "server_not_found")
    assert refusal(await call(gateway, OTHER, "add", server="light")) == (404, "tool_not_found")
    assert refusal(await call(gateway, of("ann"), "echo", server="broken")) == (502, "child_exited")
    assert refusal(await call(gateway, of("ann"), "echo", sessionId="gw.nobodys")) == (404, "session_not_found")


async def test_health_counts_the_tools_that_its_caller_may_know_of(gateway: Gateway) -> None:
    counts = []
    for whose in (of("ann"), OTHER):
        server = await get(gateway, "/servers/light", whose)
        counts.append(server["toolCount"])
        assert (await get(gateway, "/health", whose))["servers"]["light"]["offer"]["tools"] == server["toolCount"]
    assert counts[0] == counts[1] + 1


async def test_a_path_or_a_body_that_is_none_is_said_so(gateway: Gateway) -> None:
    http, ann = gateway.http, of("ann")
    assert refusal(await http.post("/api/v1/nothing", headers=ann, json={})) == (404, "route_not_found")
    nothing = await http.get("/", headers=ann)
    assert "GET /openapi.json tells what there is" in nothing.json()["error"]["message"]
    assert refusal(await http.get("/api/v1/health/live", headers=ann)) == (404, "route_not_found")
    assert refusal(await http.get("/api/v1/tools/call", headers=ann)) == (405, "method_not_allowed")
    nowhere = await http.post("/api/v1/tools", headers=ann, json={})
    assert (*refusal(nowhere), nowhere.headers["Allow"]) == (405, "method_not_allowed", "GET")
    assert refusal(await http.get("/api/v1/tools/call", headers=ann)) == (405, "method_not_allowed")
    path = "/api/v1/tools/call"
    assert refusal(await http.post(path, headers=ann, content=b"{")) == (415, "unsupported_media_type")
    said = await http.post(path, headers=ann, json={"tol": "echo"})
    assert said.json()["error"]["message"] == "there is no member 'tol' here; did you mean 'tool'?"
    two = await http.post(f"{path}?sessionId=gw.a", headers=ann, json={"tool": "echo", "sessionId": "gw.b"})
    assert refusal(two) == (400, "session_id_twice")


async def test_each_user_has_a_session_of_their_own_that_lasts(gateway: Gateway) -> None:
    ann, bob = of("ann"), of("bob")
    first = await call(gateway, ann, "add", server="light", arguments={"text": "anns"})
    assert first.headers[NEW] == "true"
    again = await call(gateway, ann, "notes", server="light")
    assert NEW not in again.headers
    assert json.loads(again.json()["content"][0]["text"]) == ["anns"]
    assert await text(gateway, bob, "notes", server="light") == []
    assert await text(gateway, ann, "notes", server="twin") == []
    assert await text(gateway, OTHER, "notes") == []


async def test_the_first_calls_of_a_user_share_one_child(gateway: Gateway) -> None:
    pids = []

    async def ask() -> None:
        pids.append((await text(gateway, of("ann"), "whoami", server="light"))["pid"])

    async with anyio.create_task_group() as tasks:
        for _ in range(8):
            tasks.start_soon(ask)
    assert len(pids) == 8
    assert len(set(pids)) == 1


async def test_after_its_child_died_the_next_call_gets_a_fresh_one_and_says_so(gateway: Gateway) -> None:
    ann = of("ann")
    before = await text(gateway, ann, "whoami", server="light")
    died = await call(gateway, ann, "die", server="light")
    assert refusal(died) == (502, "child_exited")
    [session] = (await listed(gateway, ann))["sessions"]
    [at] = session["servers"]
    assert (at["state"], at["reason"]) == ("ended", "child_exited")
    assert at["certificate"] == died.json()["error"]["about"]["certificate"]
    fresh = await call(gateway, ann, "whoami", server="light")
    assert fresh.headers[NEW] == "true"
    assert json.loads(fresh.json()["content"][0]["text"])["instance"] != before["instance"]


async def test_a_session_that_is_named_is_the_one_that_is_called(gateway: Gateway) -> None:
    ann, bob = of("ann"), of("bob")
    id_ = (await gateway.http.get("/api/sessionid", headers=ann)).json()["sessionId"]
    answer = await call(gateway, ann, "add", server="light", sessionId=id_, arguments={"text": "named"})
    assert NEW not in answer.headers
    by_query = await gateway.http.post(
        "/api/v1/tools/call", headers=ann, params={"sessionId": id_}, json={"tool": "notes", "server": "light"}
    )
    assert json.loads(by_query.json()["content"][0]["text"]) == ["named"]
    assert await text(gateway, ann, "notes", server="light") == []
    assert refusal(await call(gateway, bob, "notes", server="light", sessionId=id_)) == (404, "session_not_found")


async def test_ones_sessions_through_all_doors_are_listed_without_an_id_that_could_be_used(gateway: Gateway) -> None:
    ann, bob = of("ann"), of("bob")
    gateway.http.headers.update(ann)
    streamable = await Streamable(gateway.http).open()
    pid = (await streamable.call(1, "whoami"))["pid"]
    id_ = (await gateway.http.get("/api/sessionid")).json()["sessionId"]
    await text(gateway, ann, "echo", server="light", arguments={"text": '""'})
    found = await listed(gateway, ann)
    assert [(each["door"], each["own"], each["state"]) for each in found["sessions"]] == [
        ("Streamable HTTP", False, "ready"),
        ("REST", False, "unused"),
        ("REST", True, "ready"),
    ]
    first = found["sessions"][0]
    [at] = first["servers"]
    assert (at["server"], at["pid"], first["calls"]["inFlight"]) == ("light", pid, 0)
    assert first["calls"]["total"] >= 2
    told = json.dumps(found)
    assert not [each for each in (streamable.headers["Mcp-Session-Id"], id_) if each in told]
    assert (await listed(gateway, bob))["sessions"] == []
    [named] = (await get(gateway, "/sessions", ann, sessionId=[id_, "gw.none"]))["sessions"]
    assert named["handle"] == found["sessions"][1]["handle"]
    assert (await get(gateway, "/sessions", bob, sessionId=id_))["total"] == 0
    page = await get(gateway, "/sessions", ann, limit=2)
    rest = await get(gateway, "/sessions", ann, cursor=page["nextCursor"])
    assert [each["handle"] for each in (*page["sessions"], *rest["sessions"])] == [
        each["handle"] for each in found["sessions"]
    ]
    assert rest["nextCursor"] is None


async def test_a_session_is_ended_by_its_handle_and_by_its_owner_alone(gateway: Gateway) -> None:
    ann, bob = of("ann"), of("bob")
    who = await text(gateway, ann, "whoami", server="light")
    [mine] = (await listed(gateway, ann))["sessions"]
    path = f"/api/v1/sessions/{mine['handle']}"
    assert (await get(gateway, f"/sessions/{mine['handle']}", ann))["servers"][0]["pid"] == who["pid"]
    unknown = await gateway.http.delete(f"/api/v1/sessions/{'0' * 32}", headers=ann)
    for method in ("GET", "DELETE"):
        answer = await gateway.http.request(method, path, headers=bob)
        assert (answer.status_code, answer.content) == (404, unknown.content)
    with watching(who["pid"]) as [child]:
        assert (await gateway.http.delete(path, headers=ann)).status_code == 204
        await child.ended()
    assert (await gateway.http.delete(path, headers=ann)).content == unknown.content
    assert (await call(gateway, ann, "whoami", server="light")).headers[NEW] == "true"


async def test_a_handle_is_no_id(gateway: Gateway) -> None:
    ann = of("ann")
    await text(gateway, ann, "whoami", server="light")
    [mine] = (await listed(gateway, ann))["sessions"]
    for id_ in (mine["handle"], f"gw.{mine['handle']}"):
        assert refusal(await call(gateway, ann, "notes", server="light", sessionId=id_)) == (404, "session_not_found")


@asynccontextmanager
async def in_a_thread() -> AsyncIterator[Callable[..., Any]]:
    """Runs the command line, as `ann` where nothing else is said."""
    environment = {"MCP_GATEWAY_TOKEN": "s3cret-of-librechat"}

    async def run(*arguments: str, **variables: str | None) -> Result:
        runner = CliRunner(env=environment | variables)
        with anyio.fail_after(PATIENCE):
            return await anyio.to_thread.run_sync(runner.invoke, main, arguments)

    yield run


async def test_on_a_terminal_sessions_are_listed_shown_and_ended(gateway: Gateway) -> None:
    ann = of("ann")
    pid = (await text(gateway, ann, "whoami", server="light"))["pid"]
    where = ("sessions", "--url", gateway.url, "-H", "X-Gateway-User: ${ANN}")
    async with in_a_thread() as run:
        rows = (await run(*where, ANN="ann")).output.splitlines()
        [row] = [line.split("\t") for line in rows]
        assert row[1:5] == ["REST, your own", "light", "ready", str(pid)]
        [mine] = json.loads((await run(*where, "--json", ANN="ann")).output)["sessions"]
        assert mine["handle"] == row[0]
        assert json.loads((await run(*where, "show", row[0][:10], "--json", ANN="ann")).output)["handle"] == row[0]
        assert "none of your sessions" in (await run(*where, "end", row[0][:10], ANN="bob")).output
        with watching(pid) as [child]:
            assert (await run(*where, "end", row[0][:10], ANN="ann")).output == f"{row[0]} has ended\n"
            await child.ended()
        gone = await run(*where, "end", row[0], ANN="ann")
        assert (gone.exit_code, gone.output.startswith("Error: there is no such session")) == (1, True)
        assert (await run(*where, ANN="ann")).output == "you have no sessions\n"
        wrong = await run("sessions", "--url", gateway.url, MCP_GATEWAY_TOKEN="s3cret-of-nobody")
        assert (wrong.exit_code, len(wrong.output.splitlines())) == (1, 1)
        assert "set MCP_GATEWAY_TOKEN" in wrong.output
        assert "s3cret" not in wrong.output


async def test_an_anonymous_call_has_a_child_for_itself_alone(one_gateway: Gateway) -> None:
    pids = []
    for _ in range(2):
        answer = await one_gateway.http.post("/api/v1/tools/call", json={"tool": "whoami"})
        assert NEW not in answer.headers
        pids.append(json.loads(answer.json()["content"][0]["text"])["pid"])
    assert len(set(pids)) == 2
    await one_gateway.said("ended: request_done", times=2)
    assert (await one_gateway.health())["sessions"] == 0


async def test_an_anonymous_call_with_a_key_ends_with_its_client_for_nobody_could_come_back(
    one_gateway: Gateway,
) -> None:
    async def hold() -> None:
        headers = {"Idempotency-Key": '"mine"'}
        await one_gateway.http.post("/api/v1/tools/call", json={"tool": "hold", "server": "light"}, headers=headers)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hold)
        await one_gateway.said("stderr: holding")
        tasks.cancel_scope.cancel()
    await one_gateway.quiet()


async def test_the_anonymous_are_shown_what_they_name_by_its_id_and_nothing_else(one_gateway: Gateway) -> None:
    http = one_gateway.http
    id_ = await one_gateway.session_id()
    await one_gateway.text(id_, "add", text="mine")
    assert (await http.get("/api/v1/sessions")).json() == {
        "sessions": [], "total": 0, "nextCursor": None, "unlisted": 1
    }  # fmt: skip
    streamable = await Streamable(http).open()
    found = (await http.get("/api/v1/sessions", params={"sessionId": id_})).json()
    assert (found["total"], found["unlisted"]) == (1, 1)
    handle = found["sessions"][0]["handle"]
    assert (await http.get(f"/api/v1/sessions/{handle}")).json()["servers"][0]["server"] == "light"
    assert (await http.delete(f"/api/v1/sessions/{handle}")).status_code == 204
    assert refusal(await one_gateway.call(id_, "notes")) == (404, "session_not_found")
    async with in_a_thread() as run:
        told = await run("sessions", "--url", one_gateway.url, MCP_GATEWAY_TOKEN=None)
    assert told.output.startswith("1 session is not listed: without `auth` everybody is the same caller")
    await streamable.delete()
