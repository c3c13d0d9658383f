"""Streamable HTTP, message by message."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.processes import watching
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, notification, request, said, sse


@pytest.fixture
async def session(one_gateway: Gateway) -> AsyncIterator[Streamable]:
    """A session, which is ended afterwards."""
    session = await Streamable(one_gateway.http).open()
    yield session
    await session.delete()


second_session = session


@pytest.mark.parametrize("path", ["/light", "/light/", "/light/mcp", "/light/mcp/"])
async def test_a_session_lives_from_initialize_to_delete(one_gateway: Gateway, path: str) -> None:
    session = await Streamable(one_gateway.http, path).open()
    whoami = await session.call(1, "whoami")
    with watching(whoami["pid"]) as [server]:
        assert (await session.delete()).status_code == 204
        await server.ended()
    assert (await session.post(call(2, "whoami"))).status_code == 404
    assert (await session.delete()).status_code == 404


async def test_two_sessions_have_two_processes_and_two_states(session: Streamable, second_session: Streamable) -> None:
    one, two = session, second_session
    assert one.headers["Mcp-Session-Id"] != two.headers["Mcp-Session-Id"]
    await one.call(1, "add", text="mine")
    assert await one.call(2, "notes") == ["mine"]
    assert await two.call(2, "notes") == []
    assert (await one.call(3, "whoami"))["pid"] != (await two.call(3, "whoami"))["pid"]


async def test_the_same_id_may_be_in_flight_twice(one_gateway: Gateway, session: Streamable) -> None:
    answers: dict[str, str] = {}

    async def ask(text: str) -> None:
        answer = await session.post(call(1, "hold", text=text))
        answers[text] = said(answer.json())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, "a")
        tasks.start_soon(ask, "b")
        await one_gateway.said("stderr: holding", times=2)
        await session.call(2, "release")
    assert answers == {"a": "a", "b": "b"}


async def test_number_and_text_ids_are_two_ids(session: Streamable) -> None:
    for id_ in (1, "1", -7, "a b", "☃"):
        assert await session.call(id_, "echo", text=str(id_)) == (id_ if isinstance(id_, int) else _decoded(id_))


def _decoded(text: str) -> object:
    return int(text) if text.isdigit() else text


async def test_a_slow_answer_gets_an_event_stream_with_early_headers(session: Streamable) -> None:
    async with session.streaming(call(1, "hold", text="late")) as events:
        # The headers are here, the answer is not.
        assert events.response.headers["x-accel-buffering"] == "no"
        assert events.response.headers["cache-control"] == "no-cache, no-transform"
        await session.call(2, "release")
        assert said(await events.message()) == "late"
        assert await events.at_end()


async def test_progress_comes_on_the_stream_of_its_request(session: Streamable) -> None:
    params = {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "t1"}}
    async with session.streaming(request(1, "tools/call", params)) as events:
        first, second, answer = await events.message(), await events.message(), await events.message()
    assert [first["params"]["progress"], second["params"]["progress"]] == [0, 1]
    assert first["params"]["progressToken"] == "t1"
    assert answer["id"] == 1


async def test_the_child_asks_and_the_client_answers(session: Streamable) -> None:
    async with session.streaming(call(1, "ask", method="roots/list")) as events:
        question = await events.message()
        assert question["method"] == "roots/list"
        roots = {"roots": [{"uri": "file:///tmp"}]}
        answer = await session.post({"jsonrpc": "2.0", "id": question["id"], "result": roots})
        assert (answer.status_code, answer.content) == (202, b"")
        assert said(await events.message()) == roots


async def test_news_of_the_server_come_on_the_standing_stream(session: Streamable) -> None:
    async with session.listening() as events:
        await session.call(1, "change")
        assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_what_is_said_before_the_client_listens_waits_for_it(session: Streamable) -> None:
    # A client that takes JSON alone has no stream on which anything but the answer could come.
    headers = {**session.headers, "Accept": "application/json"}
    answer = await session.http.post("/light/mcp", json=call(1, "log", text="early"), headers=headers)
    assert said(answer.json()) == "logged"
    async with session.listening() as events:
        assert (await events.message())["params"]["data"] == "early"


async def test_a_second_standing_stream_takes_the_place_of_the_first(session: Streamable) -> None:
    async with session.listening() as first, session.listening() as second:
        assert await first.at_end()
        await session.call(1, "change")
        assert (await second.message())["method"] == "notifications/tools/list_changed"


async def test_a_cancelled_request_reaches_the_child_and_closes_its_stream(session: Streamable) -> None:
    async with session.streaming(call(7, "hold")) as events:
        await session.post(notification("notifications/cancelled", {"requestId": 7, "reason": "enough"}))
        assert await events.at_end()
    assert await session.call(8, "held") == {"held": 0, "cancelled": 1}


async def test_a_request_cancelled_before_it_streams_ends_without_a_body(
    one_gateway: Gateway, session: Streamable
) -> None:
    answers = []

    async def ask() -> None:
        answers.append(await session.post(call(7, "hold")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await one_gateway.said("stderr: holding")
        await session.post(notification("notifications/cancelled", {"requestId": 7}))
    assert "jsonrpc" not in answers[0].text  # where it took a second, it is a stream that said nothing


async def test_who_hangs_up_has_not_cancelled(session: Streamable) -> None:
    async with session.streaming(call(7, "hold")):
        pass
    assert await session.call(8, "held") == {"held": 1, "cancelled": 0}
    assert await session.call(9, "release") == 1


async def test_who_hangs_up_on_initialize_leaves_no_process(tmp_path: Path) -> None:
    async with running({"light": light("--mute")}, tmp_path=tmp_path) as gateway:
        headers = dict(BOTH)
        async with gateway.http.stream("POST", "/light/mcp", json=request(1, "initialize", HELLO), headers=headers):
            assert len(gateway.children()) == 1
        await gateway.gone(1)
        assert gateway.children() == set()
        assert (await gateway.health())["sessions"] == 0


async def test_ping_is_answered_by_the_gateway(session: Streamable) -> None:
    answer = await session.post(request("p", "ping"))  # the light server knows no ping
    assert answer.json() == {"jsonrpc": "2.0", "id": "p", "result": {}}


async def test_a_message_may_be_spread_over_lines(session: Streamable) -> None:
    message = call(1, "echo", text="two\nlines")
    body = json.dumps(message, indent=1).replace("\n", "\r\n")
    headers = {**session.headers, "Content-Type": "application/json"}
    answer = await session.http.post("/light/mcp", content=body, headers=headers)
    assert said(answer.json()) == "two\nlines"


@pytest.mark.parametrize(
    ("body", "code", "reason"),
    [
        (b"{", -32700, "invalid_json"),
        (b"\xff\xfe", -32700, "invalid_json"),
        (b"{}", -32600, "invalid_message"),
        (b"5", -32600, "invalid_message"),
        (b'[{"jsonrpc":"2.0","id":1,"method":"initialize"}]', -32600, "invalid_message"),
        (b'{"jsonrpc":"2.0","id":{},"method":"initialize"}', -32600, "invalid_message"),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}', -32600, "session_id_missing"),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', -32600, "session_id_missing"),
    ],
)
async def test_what_opens_no_session_is_a_400_and_spawns_nothing(
    one_gateway: Gateway, body: bytes, code: int, reason: str
) -> None:
    headers = {**BOTH, "Content-Type": "application/json"}
    answer = await one_gateway.http.post("/light/mcp", content=body, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["data"]["code"]) == (code, reason)
    assert "mcp-session-id" not in answer.headers
    assert one_gateway.children() == set()


async def test_a_session_id_that_is_not_ones_own_is_a_404_on_every_method(one_gateway: Gateway) -> None:
    session = Streamable(one_gateway.http)
    async with sse(one_gateway.http) as other:
        foreign = [other.endpoint.partition("=")[2], await one_gateway.session_id(), "gw.unknown", "randomSession12345"]
        for id_ in foreign:
            session.headers["Mcp-Session-Id"] = id_
            headers = {**session.headers, "Accept": "text/event-stream"}
            posted, got = await session.post(call(1, "echo")), await one_gateway.http.get("/light/mcp", headers=headers)
            deleted = await session.delete()
            assert [posted.status_code, got.status_code, deleted.status_code] == [404, 404, 404]
            assert posted.json()["error"]["code"] == -32001
            assert id_ not in posted.text


async def test_methods_and_types_that_are_not_for_a_path_are_said_so(one_gateway: Gateway) -> None:
    http = one_gateway.http
    put = await http.put("/light/mcp", json={})
    assert (put.status_code, put.headers["allow"]) == (405, "DELETE, GET, POST")
    plain = await http.post("/light/mcp", content=b"{}", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    picky = await http.post("/light/mcp", json=request(1, "initialize", HELLO), headers={"Accept": "text/html"})
    assert picky.status_code == 406
    unknown = await http.post("/nobody/mcp", json=request(1, "initialize", HELLO), headers=BOTH)
    assert unknown.status_code == 404
    assert unknown.json()["error"]["data"] == {"code": "server_not_found", "about": {"server": "nobody"}}


async def test_head_opens_nothing(one_gateway: Gateway) -> None:
    for path in ("/light", "/light/mcp", "/light/sse", "/api/sessionid", "/health"):
        answer = await one_gateway.http.head(path)
        assert answer.status_code == 405
    assert (await one_gateway.health())["sessions"] == 0
    assert one_gateway.children() == set()


async def test_both_ids_at_once_are_a_400(one_gateway: Gateway) -> None:
    headers = {**BOTH, "Mcp-Session-Id": "x"}
    answer = await one_gateway.http.post("/light?sessionId=y", json=call(1, "echo"), headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["data"]["code"] == "session_id_twice"


async def test_initialize_in_a_session_is_refused_and_the_session_goes_on(session: Streamable) -> None:
    assert (await session.post(request(5, "initialize", HELLO))).status_code == 400
    assert await session.call(6, "echo", text="on") == "on"
