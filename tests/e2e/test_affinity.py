"""Which child a client without a session gets: real gateways, real children, clients that share nothing but the URL."""

import os
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

from tests.support.gateway import MODERN, Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, Streamable
from tests.support.rawmcp import request as legacy_request
from tests.support.rawmodern import ASKABLE, META, PREFIX, Modern, at_once, call, client_of, headers_of, request

pytestmark = pytest.mark.slow

ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret"]}}
COOKIE = "mcp-gateway-affinity-plain"
HEADER = "X-Conversation"
SERVERS = {
    "plain": light(),
    "other": light(),
    "once": light(affinity_cookie=False),
    "shared": light(anonymous="shared"),
    "reject": light(anonymous="reject"),
    "header": light(affinity_header=HEADER, affinity_cookie=False),
    "modern": {**MODERN, "affinity_header": HEADER, "handles": "inject"},
    "relay": light(modern="relay"),
    "relayed": {**MODERN, "modern": "relay"},
    "off": light(modern="off"),
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


# Those who have a name.


async def test_a_principal_has_its_child_on_every_connection_and_nobody_else_has_it(shared: Gateway) -> None:
    async with client_of(shared, "plain", **ALICE) as alice, client_of(shared, "plain", **BOB) as bob:
        await alice.call(1, "add", text="mine")
        assert await bob.call(1, "notes") == "[]"
        assert "set-cookie" not in (await alice.post(call(2, "notes"))).headers
    assert await at_once(shared, "plain", "notes", **ALICE) == '["mine"]'
    assert await at_once(shared, "plain", "whoami", **ALICE) != await at_once(shared, "plain", "whoami", **BOB)
    assert await at_once(shared, "other", "notes", **ALICE) == "[]"


async def test_a_header_gives_one_principal_a_child_for_each_of_its_values(shared: Gateway) -> None:
    async with client_of(shared, "header", **ALICE) as alice, client_of(shared, "header", **BOB) as bob:
        pids = {
            await client.call(1, "whoami")
            for client in (alice, bob)
            for client.headers in ({**client.headers, HEADER: "one"}, {**client.headers, HEADER: "two"})
        }
        assert len(pids) == 4
        alice.headers[HEADER] = "one"
        assert await alice.call(1, "whoami") in pids
        assert await at_once(shared, "header", "whoami", **ALICE) not in pids


@pytest.mark.parametrize("value", ["", "{{LIBRECHAT_USER_ID}}", "x" * 257])
async def test_a_header_that_says_nothing_is_refused(shared: Gateway, value: str) -> None:
    async with client_of(shared, "header", **ALICE, **{HEADER: value}) as client:
        answer = await client.post(call(7, "whoami"))
    assert (answer.status_code, answer.json()["id"]) == (400, 7)
    assert answer.json()["error"]["message"].startswith(f"expected the header {HEADER} once, with a value of 1 to 256")


async def test_a_header_that_is_sent_twice_is_refused(shared: Gateway) -> None:
    message = call(7, "whoami")
    headers = [*headers_of(message).items(), *ALICE.items(), (HEADER, "one"), (HEADER, "two")]
    async with client_of(shared, "header") as client:
        answer = await client.http.post(client.path, json=message, headers=headers)
    assert (answer.status_code, answer.json()["id"]) == (400, 7)


async def test_a_child_with_a_handshake_is_for_clients_that_can_be_asked_the_same(shared: Gateway) -> None:
    async with client_of(shared, "plain", **ALICE) as client:
        one = (await client.post(call(1, "whoami"))).json()["result"]["content"]
        assert (await client.post(call(1, "whoami", ASKABLE))).json()["result"]["content"] != one
        alike = {**ASKABLE, f"{PREFIX}clientCapabilities": {"elicitation": {}, "experimental": {"x": {}}}}
        other = (await client.post(call(1, "whoami", ASKABLE))).json()["result"]["content"]
        assert (await client.post(call(1, "whoami", alike))).json()["result"]["content"] == other
        assert (await client.post(call(1, "whoami"))).json()["result"]["content"] == one


async def test_a_child_without_one_is_for_all_of_them(shared: Gateway) -> None:
    async with client_of(shared, "modern", **ALICE) as client:
        one = (await client.post(call(1, "whoami"))).json()["result"]["content"]
        assert (await client.post(call(1, "whoami", ASKABLE))).json()["result"]["content"] == one


async def test_what_a_child_asked_is_answered_by_who_has_that_child_alone(shared: Gateway) -> None:
    question = {"method": "elicitation/create", "params": {"message": "m", "requestedSchema": {"type": "object"}}}

    def retry(asked: dict[str, Any]) -> dict[str, Any]:
        message = call(2, "ask", ASKABLE, **question)
        answers = {key: {"action": "accept", "content": {}} for key in asked["inputRequests"]}
        message["params"] |= {"requestState": asked["requestState"], "inputResponses": answers}
        return message

    async with client_of(shared, "header", **ALICE, **{HEADER: "asks"}) as client:
        asked = (await client.post(call(1, "ask", ASKABLE, **question))).json()["result"]
        assert asked["resultType"] == "input_required"
        other = await client.post(retry(asked), **{HEADER: "other"})
        assert (other.status_code, other.json()["error"]["code"]) == (400, -32602)
        assert '"accept"' in (await client.post(retry(asked))).json()["result"]["content"][0]["text"].replace("\\", "")


async def test_a_cookie_is_no_credential_and_tells_nobody_apart_who_has_some(
    shared: Gateway, anonymous: Gateway
) -> None:
    async with client_of(anonymous, "plain") as client:
        cookie = (await client.post(call(1, "whoami"))).headers["set-cookie"].partition(";")[0]
    async with client_of(shared, "plain", Cookie=cookie) as client:
        assert (await client.post(call(1, "whoami"))).status_code == 401
    assert await at_once(shared, "plain", "whoami", **ALICE, Cookie=cookie) == await at_once(
        shared, "plain", "whoami", **ALICE
    )


# Those who have none.


async def test_without_a_cookie_each_request_has_a_child_of_its_own_that_is_gone_afterwards(tmp_path: Path) -> None:
    async with running({"once": light(affinity_cookie=False, era="legacy")}, tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http, "/once/mcp")
        answer = await client.post(call(1, "add", text="mine"))
        assert "set-cookie" not in answer.headers
        assert await client.call(1, "notes") == "[]"
        await gateway.said("ended: request_done", times=2)
        await gateway.gone(2)


async def test_the_sdks_client_sends_the_cookie_back_and_has_a_child_of_its_own(anonymous: Gateway) -> None:
    async def notes(client: Client) -> str:
        return str((await client.call_tool("notes")).content[0].text)  # type: ignore[union-attr]

    @asynccontextmanager
    async def sdk_client() -> AsyncIterator[Client]:
        async with httpx2.AsyncClient(timeout=PATIENCE) as http:
            transport = streamable_http_client(f"{anonymous.url}/plain/mcp", http_client=http)
            async with Client(transport) as client:
                assert client.protocol_version == "2026-07-28"
                yield client

    async with sdk_client() as one, sdk_client() as two:
        await one.call_tool("add", {"text": "mine"})
        assert await notes(one) == '["mine"]'
        assert await notes(two) == "[]"
    async with sdk_client() as again:
        assert await notes(again) == "[]"


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites_and_of_other_servers(
    anonymous: Gateway,
) -> None:
    async with client_of(anonymous, "plain") as client:
        first = await client.post(call(1, "whoami"))
        value, *attributes = first.headers["set-cookie"].split("; ")
        assert value.startswith(f"{COOKIE}=")
        assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
        assert "set-cookie" not in (await client.post(call(2, "whoami"))).headers
        client.path = "/other/mcp"
        assert "set-cookie" in (await client.post(call(3, "whoami"))).headers


async def test_only_a_cookie_that_this_run_gave_out_for_this_server_is_believed(
    anonymous: Gateway, tmp_path: Path
) -> None:
    async def cookie_of(gateway: Gateway, server: str) -> str:
        async with client_of(gateway, server) as client:
            return (await client.post(call(1, "whoami"))).headers["set-cookie"].partition(";")[0]

    async with running({"plain": light()}, tmp_path=tmp_path) as another:
        of_another = await cookie_of(another, "plain")
    of_other = f"{COOKIE}={(await cookie_of(anonymous, 'other')).partition('=')[2]}"
    good = await cookie_of(anonymous, "plain")
    forged = f"{COOKIE}={'a' * 32}.{'0' * 64}"
    for cookie in (of_another, of_other, forged, good[:-1], f"{COOKIE}="):
        assert await at_once(anonymous, "plain", "whoami", Cookie=cookie) != await at_once(
            anonymous, "plain", "whoami", Cookie=cookie
        ), cookie
        async with client_of(anonymous, "plain", Cookie=cookie) as client:
            assert "set-cookie" in (await client.post(call(1, "whoami"))).headers
    assert await at_once(anonymous, "plain", "whoami", Cookie=good) == await at_once(
        anonymous, "plain", "whoami", Cookie=good
    )


async def test_all_share_a_child_where_the_configuration_says_so_and_none_is_given_a_cookie(anonymous: Gateway) -> None:
    async with client_of(anonymous, "shared") as client:
        answer = await client.post(call(1, "add", text="ours"))
        assert "set-cookie" not in answer.headers
    assert await at_once(anonymous, "shared", "notes") == '["ours"]'


async def test_nobody_is_served_where_the_configuration_says_so_but_with_a_session(anonymous: Gateway) -> None:
    async with client_of(anonymous, "reject") as client:
        answer = await client.post(call(1, "whoami"))
        assert (answer.status_code, answer.json()["id"]) == (401, 1)
        assert "a revision with sessions" in answer.json()["error"]["message"]
        session = await Streamable(client.http, "/reject/mcp").open()
        assert "pid" in await session.call(1, "whoami")


async def test_a_trusted_header_tells_the_anonymous_apart(anonymous: Gateway) -> None:
    one = await at_once(anonymous, "header", "whoami", **{HEADER: "one"})
    assert await at_once(anonymous, "header", "whoami", **{HEADER: "one"}) == one
    assert await at_once(anonymous, "header", "whoami", **{HEADER: "two"}) != one
    assert await at_once(anonymous, "header", "whoami") != await at_once(anonymous, "header", "whoami")


# What the children speak.


async def test_relay_serves_this_revision_where_the_child_speaks_it_and_off_never(shared: Gateway) -> None:
    for server in ("relay", "off"):
        async with client_of(shared, server, **ALICE) as client:
            answer = await client.post(request(9, "server/discover"))
            assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, 9, -32600)
        async with httpx2.AsyncClient(headers=ALICE, timeout=PATIENCE) as http:
            transport = streamable_http_client(f"{shared.url}/{server}/mcp", http_client=http)
            async with Client(transport) as client_of_both:
                assert client_of_both.protocol_version == "2025-11-25"
                assert not (await client_of_both.call_tool("whoami")).is_error
    assert await at_once(shared, "relayed", "whoami", **ALICE)


async def test_what_a_client_says_of_itself_makes_no_difference_to_what_is_found_out(tmp_path: Path) -> None:
    async with running({"modern": MODERN, "light": light()}, tmp_path=tmp_path) as gateway:
        for server, era in (("modern", "modern"), ("light", "legacy")):
            odd = {f"{PREFIX}clientInfo": {"name": 7, "icons": "none"}}
            await Modern(gateway.http, f"/{server}/mcp").post(call(1, "whoami", odd))
            eras = (await gateway.health())["eras"]
            assert eras[server]["era"] == era


async def test_a_client_that_says_too_much_of_itself_does_the_gateway_no_harm(tmp_path: Path) -> None:
    async with running({"modern": MODERN, "light": light()}, tmp_path=tmp_path, auth=AUTH) as gateway:
        much = {"experimental": {"x": {"y": '"' * 2_000_000}}}
        told = {**META, f"{PREFIX}clientInfo": {"name": "x" * 900_000, "version": "1"}}
        for server in ("modern", "light"):
            client = Modern(gateway.http, f"/{server}/mcp", **ALICE)
            said = {**told, f"{PREFIX}clientCapabilities": much}
            assert (await client.post(call(1, "whoami", said))).status_code == 200
            hello = {**HELLO, "capabilities": much}
            legacy = {**BOTH, **BOB}
            answer = await gateway.http.post(
                f"/{server}/mcp", json=legacy_request(0, "initialize", hello), headers=legacy
            )
            assert answer.json()["result"]["protocolVersion"] == "2025-11-25"
            assert await at_once(gateway, server, "whoami", **BOB)
        await gateway.said("what there is to know of <Session .*> is too long to be kept for a later gateway")


async def test_where_no_child_can_be_had_to_be_asked_the_client_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with running({"light": light(max_sessions=1)}, tmp_path=tmp_path, queue_max=0) as gateway:
        await (await Streamable(gateway.http).open()).call(1, "whoami")
        answer = await Modern(gateway.http, "/light/mcp").post(call(7, "whoami"))
        assert (answer.status_code, answer.json()["id"]) == (429, 7)
        assert int(answer.headers["retry-after"]) >= 1


async def test_many_who_come_first_have_one_child_asked(tmp_path: Path) -> None:
    async with running({"light": light(anonymous="shared")}, tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http, "/light/mcp")
        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(client.call, number, "whoami")
        assert sum("supervisor spawned" in line for line in gateway.lines) == 2


async def test_a_child_that_is_modern_though_the_configuration_says_legacy_is_an_error_with_a_way_out(
    tmp_path: Path,
) -> None:
    async with running({"modern": {**MODERN, "era": "legacy"}}, tmp_path=tmp_path) as gateway:
        answer = await Modern(gateway.http, "/modern/mcp").post(call(1, "whoami"))
        error = answer.json()["error"]
        assert error["data"]["code"] == "start_failed"
        assert "it is configured with 'era: legacy'" in error["message"]
        await gateway.said("'modern' refused its first request; .*'era: auto' finds out")
        gateway.lines.clear()
        refused = await gateway.http.post("/modern/mcp", json=legacy_request(0, "initialize", HELLO), headers=BOTH)
        assert "error" in refused.json()
        await gateway.said("'modern' refused its first request; .*'era: auto' finds out")


async def test_after_a_reload_whoever_has_a_child_keeps_it_though_no_other_could_be_had(tmp_path: Path) -> None:
    servers = {"light": light(max_sessions=1), "modern": {**MODERN, "max_sessions": 1}}
    async with running(servers, tmp_path=tmp_path, auth=AUTH) as gateway:
        pids = {server: await at_once(gateway, server, "whoami", **ALICE) for server in servers}
        os.kill(gateway.program("supervisor"), signal.SIGHUP)
        await gateway.said("the servers for new sessions are now: light, modern")
        for server, pid in pids.items():
            assert await at_once(gateway, server, "whoami", **ALICE) == pid
