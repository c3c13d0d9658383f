"""Revision 2026-07-28, message by message: a real gateway, and a child that speaks it."""

import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.support.apart import gateway, stop, supervisor
from tests.support.gateway import SERVERS, Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, notification
from tests.support.rawmodern import ASKABLE, PREFIX, VERSION, Modern, call, headers_of, listen, request

pytestmark = pytest.mark.slow

DUAL: dict[str, Any] = {"command": sys.executable, "args": [str(SERVERS / "dual.py")], "era": "dual"}
ALICE, BOB = {"Authorization": "Bearer alice-secret"}, {"Authorization": "Bearer bob-secret"}
AUTH = {"bearer": {"tokens": ["alice-secret", "bob-secret"]}}


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway that knows two users, with one server for modern clients, one for legacy ones, one that ends quickly."""
    servers = {"dual": DUAL, "off": {**DUAL, "modern": "off"}, "light": light()}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), auth=AUTH) as gateway:
        yield gateway


@pytest.fixture
async def http(shared: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """Connections of the test's own."""
    async with shared.connecting():
        yield shared.http


@pytest.fixture
def alice(http: httpx2.AsyncClient) -> Modern:
    """One user."""
    return Modern(http, **ALICE)


@pytest.fixture
def bob(http: httpx2.AsyncClient) -> Modern:
    """Another."""
    return Modern(http, **BOB)


async def test_a_principals_requests_share_a_child_and_no_other_principals_reach_it(alice: Modern, bob: Modern) -> None:
    await alice.call(1, "add", text="mine")
    assert "mine" in await alice.call(1, "notes")
    assert "mine" not in await bob.call(1, "notes")
    assert await alice.call(1, "whoami") != await bob.call(1, "whoami")


async def test_many_first_requests_at_once_start_one_child(tmp_path: Path) -> None:
    async with running({"dual": DUAL}, tmp_path=tmp_path, auth=AUTH) as gateway:
        client = Modern(gateway.http, **ALICE)
        pids: list[str] = []

        async def ask() -> None:
            pids.append(await client.call(1, "whoami"))

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(ask)
        assert len(pids) == 8
        assert len(set(pids)) == 1
        assert sum("supervisor spawned" in line for line in gateway.lines) == 1


async def test_no_session_id_is_given_and_none_is_heeded(alice: Modern) -> None:
    answer = await alice.post(call(1, "whoami"), Mcp_Session_Id="gw.whatever", Last_Event_ID="7")
    assert answer.status_code == 200
    assert "mcp-session-id" not in answer.headers
    assert answer.headers["content-type"] == "application/json"


async def test_discover_is_answered_by_the_child_with_the_clients_id(alice: Modern) -> None:
    message = (await alice.post(request("d", "server/discover"))).json()
    assert message["id"] == "d"
    assert message["result"]["supportedVersions"] == [VERSION]


@pytest.mark.parametrize("path", ["/dual", "/dual/mcp", "/dual/mcp/"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_get_and_delete_are_not_allowed(alice: Modern, path: str, method: str) -> None:
    headers = {**alice.headers, "MCP-Protocol-Version": VERSION, "Accept": "text/event-stream"}
    answer = await alice.http.request(method, path, headers=headers)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_either_path_serves_a_client_of_either_era(alice: Modern) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    legacy = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}
    for path in ("/dual", "/dual/mcp"):
        alice.path = path
        assert await alice.call(1, "notes") is not None
        answer = await alice.http.post(path, json=legacy, headers={**BOTH, **alice.headers})
        assert '"protocolVersion":"2025-11-25"' in answer.text
        headers = {**alice.headers, "Mcp-Session-Id": answer.headers["mcp-session-id"]}
        assert (await alice.http.delete(path, headers=headers)).status_code == 204


async def test_progress_comes_on_the_stream_with_the_clients_token(alice: Modern) -> None:
    async with alice.streaming(call(1, "walk", {"progressToken": "mine"})) as events:
        assert events.response.headers["x-accel-buffering"] == "no"
        reports = [await events.message(), await events.message()]
        assert [each["params"]["progressToken"] for each in reports] == ["mine", "mine"]
        assert [each["params"]["progress"] for each in reports] == [1, 2]
        assert (await events.message())["id"] == 1
        assert await events.at_end()


async def test_a_log_line_comes_to_who_asked_for_log_lines_alone(alice: Modern) -> None:
    async with alice.streaming(call(1, "tell", {f"{PREFIX}logLevel": "info"}, text="hear")) as events:
        line = await events.message()
        assert (line["method"], line["params"]["data"]) == ("notifications/message", "hear")
        assert (await events.message())["id"] == 1
    answer = await alice.post(call(2, "tell", text="hear not"))
    assert answer.headers["content-type"] == "application/json"


async def test_a_client_without_event_streams_gets_the_answer_alone(alice: Modern) -> None:
    answer = await alice.post(call(1, "walk", {"progressToken": "mine"}), Accept="application/json")
    assert answer.json()["result"]["content"][0]["text"] == "there"
    refused = await alice.post(listen(2, toolsListChanged=True), Accept="application/json")
    assert refused.status_code == 406


async def test_two_listen_at_once_and_each_is_told_under_its_own_id(alice: Modern, bob: Modern) -> None:
    one, two = listen(7, toolsListChanged=True), listen("7", toolsListChanged=True)
    async with alice.streaming(one) as first, alice.streaming(two) as second:
        for events, id_ in ((first, 7), (second, "7")):
            acknowledged = await events.message()
            assert acknowledged["method"] == "notifications/subscriptions/acknowledged"
            assert acknowledged["params"]["_meta"] == {f"{PREFIX}subscriptionId": id_}
        await bob.call(1, "change")
        await alice.call(1, "change")
        for events, id_ in ((first, 7), (second, "7")):
            changed = await events.message()
            assert changed["method"] == "notifications/tools/list_changed"
            assert changed["params"]["_meta"] == {f"{PREFIX}subscriptionId": id_}


async def test_a_childs_death_is_an_error_in_flight_and_the_end_of_what_listens_and_it_is_replaced(bob: Modern) -> None:
    pid = await bob.call(1, "whoami")
    async with bob.streaming(listen(5, toolsListChanged=True)) as events:
        await events.message()
        answer = await bob.post(call(2, "die"))
        assert answer.status_code == 200
        assert (answer.json()["id"], answer.json()["error"]["code"]) == (2, 1000)
        end = await events.message()
        assert end["id"] == 5
        assert end["result"] == {"resultType": "complete", "_meta": {f"{PREFIX}subscriptionId": 5}}
        assert await events.at_end()
    assert await bob.call(3, "whoami") != pid


async def test_hanging_up_cancels(alice: Modern) -> None:
    async with alice.streaming(call(1, "wait", {"progressToken": 1}, name="hung-up")) as events:
        await events.message()
    with anyio.fail_after(PATIENCE):
        while "hung-up" not in await alice.call(2, "cancelled"):
            pass


async def test_hanging_up_before_a_word_of_the_answer_cancels(shared: Gateway, alice: Modern) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(alice.post, call(1, "wait", name="in-silence"))
        await shared.said("stderr: waiting in-silence")
        tasks.cancel_scope.cancel()
    with anyio.fail_after(PATIENCE):
        while "in-silence" not in await alice.call(2, "cancelled"):
            pass


async def test_a_silent_answer_becomes_an_event_stream_before_a_proxy_gives_it_up(alice: Modern) -> None:
    async with alice.streaming(call(1, "wait", name="long")) as events:
        # The headers are here after COMMIT seconds, and nothing else.
        assert events.response.status_code == 200
        assert events.response.headers["x-accel-buffering"] == "no"


async def test_one_id_in_flight_many_times_is_answered_each_time_with_its_own_answer(alice: Modern) -> None:
    answers: list[tuple[str, str]] = []

    async def ask(region: str) -> None:
        answer = await alice.post(call(1, "route", region=region), Mcp_Param_Region=region)
        answers.append((region, answer.json()["result"]["content"][0]["text"]))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(ask, f"region-{number}")
    assert len(answers) == 20
    assert all(asked == answered for asked, answered in answers)


async def test_a_question_to_a_principal_bears_the_childs_own_state(alice: Modern) -> None:
    first = (await alice.post(call(1, "ask_name", ASKABLE))).json()["result"]
    assert first["resultType"] == "input_required"
    retry = call(2, "ask_name", ASKABLE)
    answers = {"who": {"action": "accept", "content": {"name": "Ann"}}}
    retry["params"] |= {"inputResponses": answers, "requestState": first["requestState"]}
    said = (await alice.post(retry)).json()["result"]["content"][0]["text"]
    assert said.startswith(f"Ann {await alice.call(3, 'whoami')} ")


async def test_the_childs_errors_have_their_status(alice: Modern) -> None:
    unknown = await alice.post(request("x", "no/such"))
    assert (unknown.status_code, unknown.json()["id"], unknown.json()["error"]["code"]) == (404, "x", -32601)
    wrong = await alice.post(request(2, "tools/list", cursor=7))
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (400, -32602)


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe"])
async def test_methods_of_earlier_revisions_are_gone(alice: Modern, method: str) -> None:
    answer = await alice.post(request(1, method))
    assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (404, 1, -32601)


async def test_headers_must_agree_with_the_body(alice: Modern) -> None:
    for wrong in (
        {"Mcp_Method": "tools/list"},
        {"Mcp_Name": "notes"},
        {"MCP_Protocol_Version": "2025-11-25"},
        {"Mcp_Name": "=?base64?!?="},
    ):
        answer = await alice.post(call(3, "whoami"), **wrong)
        assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, 3, -32020), wrong
    message = call(3, "whoami")
    twice = [*headers_of(message).items(), *ALICE.items(), ("Mcp-Method", "tools/call")]
    answer = await alice.http.post(alice.path, json=message, headers=twice)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32020)
    encoded = await alice.post(call(3, "whoami"), Mcp_Name="=?base64?d2hvYW1p?=")
    assert encoded.status_code == 200


async def test_an_unknown_version_is_told_the_known_ones(alice: Modern) -> None:
    message = call(1, "whoami", {f"{PREFIX}protocolVersion": "2099-01-01"})
    answer = await alice.post(message, MCP_Protocol_Version="2099-01-01")
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32022)
    assert error["data"] == {"supported": [VERSION], "requested": "2099-01-01"}


async def test_what_is_no_request_is_refused(alice: Modern) -> None:
    headers = {"MCP_Protocol_Version": VERSION}
    for body in ([call(1, "whoami")], {"jsonrpc": "2.0", "id": 1, "result": {}}, {"jsonrpc": "1.0", "id": 1}):
        answer = await alice.post(body, **headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600), body
    raw = {**BOTH, **alice.headers, "MCP-Protocol-Version": VERSION, "Content-Type": "application/json"}
    answer = await alice.http.post(alice.path, content=b"{", headers=raw)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["id"]) == (400, -32700, None)
    bare = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": {}}}
    answer = await alice.post(bare)
    assert (answer.status_code, answer.json()["id"], answer.json()["error"]["code"]) == (400, 1, -32602)
    assert (await alice.post(notification("notifications/cancelled", {"requestId": 1}))).status_code == 202


async def test_arguments_that_stand_in_headers_must_agree_with_them(alice: Modern) -> None:
    right = await alice.post(call(1, "route", region="north"), Mcp_Param_Region="north")
    assert right.json()["result"]["content"][0]["text"] == "north"
    for headers in ({}, {"Mcp_Param_Region": "south"}):
        wrong = await alice.post(call(2, "route", region="north"), **headers)
        assert (wrong.status_code, wrong.json()["id"], wrong.json()["error"]["code"]) == (400, 2, -32020)
    message = call(3, "route", region="north")
    once = [*headers_of(message).items(), *ALICE.items(), ("Mcp-Param-Region", "north")]
    assert (await alice.http.post(alice.path, json=message, headers=once)).status_code == 200
    twice = await alice.http.post(alice.path, json=message, headers=[*once, ("mcp-param-region", "south")])
    assert (twice.status_code, twice.json()["error"]["code"]) == (400, -32020)


async def test_off_sends_a_client_of_both_eras_back_to_initialize(alice: Modern) -> None:
    alice.path = "/off/mcp"
    answer = await alice.post(request(9, "server/discover"))
    error = answer.json()["error"]
    assert (answer.status_code, answer.json()["id"], error["code"]) == (400, 9, -32600)
    assert "Unsupported protocol version: 2026-07-28 (supported: 2024-11-05" in error["message"]


async def test_too_many_sessions_is_a_429(tmp_path: Path) -> None:
    async with running({"dual": {**DUAL, "max_sessions": 1}}, tmp_path=tmp_path, auth=AUTH, queue_max=0) as gateway:
        alice, bob = Modern(gateway.http, **ALICE), Modern(gateway.http, **BOB)
        await alice.call(1, "whoami")
        refused = await bob.post(call(2, "whoami"))
        assert (refused.status_code, refused.json()["id"], refused.json()["error"]["code"]) == (429, 2, 1003)
        assert "retry-after" in refused.headers


async def test_a_child_that_is_not_what_the_configuration_says_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with running({"light": light(era="modern")}, tmp_path=tmp_path, auth=AUTH) as gateway:
        client = Modern(gateway.http, "/light/mcp", **ALICE)
        answer = await client.post(call(1, "whoami"))
        error = answer.json()["error"]
        assert (answer.status_code, answer.json()["id"], error["code"]) == (200, 1, 1000)
        assert error["data"]["code"] == "start_failed"
        assert error["message"].startswith("the server refused its first request; it is configured with 'era: modern'")
        await gateway.said("'light' refused its first request; .*'era: auto' finds out")


async def test_an_idle_child_ends_unseen_and_the_next_request_has_another(tmp_path: Path) -> None:
    async with running({"dual": {**DUAL, "idle_timeout": "1s"}}, tmp_path=tmp_path, auth=AUTH) as gateway:
        client = Modern(gateway.http, **ALICE)
        pid = await client.call(1, "whoami")
        await gateway.gone(1)
        assert await client.call(1, "whoami") != pid


async def test_anonymous_requests_share_a_child_where_the_configuration_says_so(tmp_path: Path) -> None:
    async with running({"dual": {**DUAL, "anonymous": "shared"}}, tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http)
        assert await client.call(1, "whoami") == await client.call(1, "whoami")


async def test_a_question_keeps_an_anonymous_child_until_the_answer(tmp_path: Path) -> None:
    async with running({"dual": DUAL}, tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http)
        first = (await client.post(call(1, "ask_name", ASKABLE))).json()["result"]
        assert first["resultType"] == "input_required"
        handle = first["requestState"]
        assert handle != "mine"
        answers = {"who": {"action": "accept", "content": {"name": "Ann"}}}
        again = {"inputResponses": answers, "requestState": handle}
        other = call(2, "ask_name", ASKABLE, spoilt=1)
        other["params"] |= again
        assert (await client.post(other)).json()["error"]["data"] == {"reason": "of_another_request"}
        retry = call(2, "ask_name", ASKABLE)
        retry["params"] |= again
        said = (await client.post(retry)).json()["result"]["content"][0]["text"]
        name, _pid, notes = said.split(" ")
        assert (name, notes) == ("Ann", "asked,mine")
        answer = await client.post(retry)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32602)
        await gateway.gone(1)


async def test_a_question_on_an_event_stream_keeps_its_child_too(tmp_path: Path) -> None:
    async with running({"dual": DUAL}, tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http)
        meta = {**ASKABLE, "progressToken": "p"}
        async with client.streaming(call(1, "ask_name", meta)) as events:
            assert (await events.message())["params"]["progressToken"] == "p"
            state = (await events.message())["result"]["requestState"]
            assert await events.at_end()
        retry = call(2, "ask_name", ASKABLE)
        answers = {"who": {"action": "accept", "content": {"name": "Ann"}}}
        retry["params"] |= {"inputResponses": answers, "requestState": state}
        answer = await client.post(retry, Accept="text/event-stream")
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "Ann " in answer.text
        await gateway.gone(1)


async def test_the_sdks_client_finds_out_that_this_server_is_modern(shared: Gateway) -> None:
    async with httpx2.AsyncClient(headers=ALICE, timeout=PATIENCE) as http:
        transport = streamable_http_client(f"{shared.url}/dual/mcp", http_client=http)
        async with Client(transport) as client:
            assert client.session.discover_result is not None
            tools = await client.list_tools()
            assert "route" in {tool.name for tool in tools.tools}
            result = await client.call_tool("route", {"region": "north west ☃"})
            assert result.content[0].text == "north west ☃"  # type: ignore[union-attr]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
async def test_a_session_by_key_outlives_its_gateway(tmp_path: Path, end: signal.Signals) -> None:
    async with supervisor(tmp_path, servers={"dual": DUAL}, auth=AUTH) as (_, path):
        async with gateway(path) as front:
            pid = await Modern(front.http, **ALICE).call(1, "whoami")
            await stop(front, end)
        async with gateway(path) as front:
            await front.said("went on with 1 of 1 sessions")
            assert await Modern(front.http, **ALICE).call(1, "whoami") == pid
            assert await Modern(front.http, **BOB).call(1, "whoami") != pid


async def test_a_restart_ends_what_listens_and_fails_what_waits_and_the_child_is_told(tmp_path: Path) -> None:
    async with supervisor(tmp_path, servers={"dual": DUAL}, auth=AUTH) as (program, path):
        async with gateway(path, "--port", "0") as front:
            client = Modern(front.http, **ALICE)
            waits = call(2, "wait", {"progressToken": 1}, name="restarted")
            async with (
                client.streaming(listen(1, toolsListChanged=True)) as listens,
                client.streaming(waits) as waiting,
            ):
                await listens.message()
                await waiting.message()
                front.process.send_signal(signal.SIGTERM)
                failed = await waiting.message()
                assert (failed["id"], failed["error"]["data"]["code"]) == (2, "gateway_restarted")
                assert (await listens.message())["result"]["resultType"] == "complete"
                assert await listens.at_end()
            with anyio.fail_after(PATIENCE):
                await front.process.wait()
        async with gateway(path) as front:
            client = Modern(front.http, **ALICE)
            with anyio.fail_after(PATIENCE):
                while "restarted" not in await client.call(1, "cancelled"):
                    pass
        assert program.process.returncode is None
