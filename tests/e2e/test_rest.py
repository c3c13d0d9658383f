"""REST: a session id, then a POST for each call."""

from collections.abc import AsyncIterator
from typing import Any

import anyio
import httpx2
import pytest

from tests.support.gateway import LIGHT, Gateway, running
from tests.support.processes import watching


async def test_an_id_spawns_nothing_until_it_is_used(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    assert one_gateway.children() == set()
    whoami = await one_gateway.text(id_, "whoami")
    assert one_gateway.children() == {whoami["pid"]}
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_two_ids_have_two_processes_and_two_states(one_gateway: Gateway) -> None:
    one, two = await one_gateway.session_id(), await one_gateway.session_id()
    await one_gateway.text(one, "add", text="mine")
    assert await one_gateway.text(one, "notes") == ["mine"]
    assert await one_gateway.text(two, "notes") == []
    first, second = await one_gateway.text(one, "whoami"), await one_gateway.text(two, "whoami")
    assert first["pid"] != second["pid"]
    assert await one_gateway.text(one, "whoami") == first
    for id_ in (one, two):
        await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_one_id_may_have_a_session_with_each_of_several_servers(tmp_path: Any) -> None:
    async with running({"one": LIGHT, "two": LIGHT}, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()
        await gateway.text(id_, "add", "one", text="mine")
        assert await gateway.text(id_, "notes", "two") == []
        pids = [(await gateway.text(id_, "whoami", server))["pid"] for server in ("one", "two")]
        with watching(*pids) as servers:
            assert (await gateway.http.delete(f"/api/sessionid?sessionId={id_}")).status_code == 204
            for server in servers:
                await server.ended()


async def test_the_first_calls_of_a_session_share_one_child(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    pids = []

    async def ask() -> None:
        pids.append((await one_gateway.text(id_, "whoami"))["pid"])

    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(ask)
    assert len(pids) == 10
    assert len(set(pids)) == 1
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_a_tool_name_is_percent_decoded_and_may_hold_a_slash(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    for path in ("path/like%20tool", "path%2Flike%20tool"):
        answer = await one_gateway.http.post(f"/api/light/{path}?sessionId={id_}", json={"text": "found"})
        assert answer.json()["content"][0]["text"] == "found"
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_the_answer_is_the_result_as_mcp_gives_it(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    answer = await one_gateway.call(id_, "fail")
    assert answer.status_code == 200
    assert answer.json() == {"content": [{"type": "text", "text": "it did not work"}], "isError": True}
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_an_error_of_the_child_is_told_with_its_own_words(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    answer = await one_gateway.call(id_, "refuse")
    assert answer.status_code == 502
    about = {"server": "light", "code": -32000}
    assert answer.json()["error"] == {"code": "child_error", "message": "refused on purpose", "about": about}
    invalid = await one_gateway.call(id_, "refuse", code=-32602)
    assert (invalid.status_code, invalid.json()["error"]["code"]) == (400, "bad_request")
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_the_child_is_told_what_nobody_can_be_asked(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    refusal = await one_gateway.text(id_, "ask", method="roots/list")
    assert refusal["code"] == -32601
    greeting = await one_gateway.text(id_, "greeting")
    assert greeting["capabilities"] == {"elicitation": {"form": {}, "url": {}}, "sampling": {}}
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


@pytest.mark.parametrize("id_", ["randomSession12345", "gw.unknown", "../../etc/passwd", "gw." + "x" * 5000])
async def test_an_id_that_was_not_issued_is_a_404_that_names_where_to_get_one(one_gateway: Gateway, id_: str) -> None:
    for answer in (
        await one_gateway.call(id_, "echo"),
        await one_gateway.http.delete("/api/sessionid", params={"sessionId": id_}),
    ):
        assert answer.status_code == 404
        error = answer.json()["error"]
        assert error["code"] == "session_not_found"
        assert "/api/sessionid" in error["message"]


async def test_what_is_missing_or_unknown_is_named(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    http = one_gateway.http
    empty = await http.post("/api/light/echo?sessionId=", json={})
    assert (empty.status_code, empty.json()["error"]["code"]) == (400, "session_id_missing")
    no_id = await http.post("/api/light/echo", json={})
    assert (no_id.status_code, no_id.json()["error"]["code"]) == (400, "session_id_missing")
    no_server = await one_gateway.call(id_, "echo", server="nobody")
    assert (no_server.status_code, no_server.json()["error"]["about"]) == (404, {"server": "nobody"})
    no_tool = await one_gateway.call(id_, "no/such tool")
    assert no_tool.status_code == 404
    assert no_tool.json()["error"]["code"] == "tool_not_found"
    assert no_tool.json()["error"]["about"] == {"server": "light", "tool": "no/such tool"}
    nothing = await http.get("/api/nothing/here/at/all")
    assert nothing.status_code in (404, 405)
    await http.delete(f"/api/sessionid?sessionId={id_}")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"\xff", 400, "invalid_json"),
        (b'{"a": "\xff"}', 400, "invalid_json"),
        (b"[1]", 400, "bad_request"),
        (b'"text"', 400, "bad_request"),
        (b"null", 400, "bad_request"),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(
    one_gateway: Gateway, body: bytes, status: int, code: str
) -> None:
    id_ = await one_gateway.session_id()
    headers = {"Content-Type": "application/json"}
    answer = await one_gateway.http.post(f"/api/light/echo?sessionId={id_}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert one_gateway.children() == set()


async def test_no_body_stands_for_no_arguments_and_another_type_is_refused(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    url = f"/api/light/notes?sessionId={id_}"
    assert (await one_gateway.http.post(url)).status_code == 200
    form = await one_gateway.http.post(url, data={"a": "b"})
    assert (form.status_code, form.json()["error"]["code"]) == (415, "unsupported_media_type")
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")


async def test_a_body_over_the_limit_is_refused_and_the_refusal_arrives(tmp_path: Any) -> None:
    servers = {"light": {**LIGHT, "max_message_bytes": "64KiB"}, "large": LIGHT}
    async with running(servers, tmp_path=tmp_path) as gateway:
        id_ = await gateway.session_id()

        async def chunks(count: int) -> AsyncIterator[bytes]:
            for _ in range(count):
                yield b" " * 65536

        headers = {"Content-Type": "application/json"}
        url = f"/api/light/echo?sessionId={id_}"
        undeclared = await gateway.http.post(url, content=chunks(40), headers=headers)
        declared = await gateway.http.post(url, json={"text": "x" * 2_000_000})
        for answer in (undeclared, declared):
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "message_too_large")
            assert answer.json()["error"]["about"] == {"maxMessageBytes": 65536}
        assert await gateway.text(id_, "echo", "large", text="x" * 100_000) == "x" * 100_000


async def test_a_body_without_end_is_hung_up_on(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    headers = {"Content-Type": "application/json"}
    with pytest.raises(httpx2.TransportError):
        await one_gateway.http.post(f"/api/light/echo?sessionId={id_}", content=endless(), headers=headers)
    assert (await one_gateway.health())["status"] == "ok"


async def test_a_set_ends_with_its_id_and_says_so_afterwards(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    await one_gateway.text(id_, "whoami")
    await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")
    answer = await one_gateway.call(id_, "whoami")
    assert answer.status_code == 404
    assert answer.json()["error"]["about"] == {"reason": "client_closed"}


async def test_ids_are_not_to_be_stored(one_gateway: Gateway) -> None:
    answer = await one_gateway.http.get("/api/sessionid")
    assert answer.headers["cache-control"] == "no-store"
    assert len(answer.json()["sessionId"].removeprefix("gw.")) == 32
