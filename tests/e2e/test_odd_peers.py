"""Clients and children that do what they should not, or what hardly anybody does: each has a defined outcome."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.rawmcp import BOTH, HELLO, Events, Streamable, call, notification, request, said, sse

JSON = "application/json"


@pytest.fixture
async def session(one_gateway: Gateway) -> AsyncIterator[Streamable]:
    """A session, which is ended afterwards."""
    session = await Streamable(one_gateway.http).open()
    yield session
    await session.delete()


async def dropped(gateway: Gateway, why: str) -> int:
    """How many messages were dropped for that reason so far."""
    return int((await gateway.health())["droppedMessages"].get(why, 0))


# Clients.


@pytest.mark.parametrize("accept", [None, "*/*", "application/json, */*;q=0.1", "application/*, text/*"])
async def test_a_client_that_says_not_or_hardly_what_it_takes_gets_json_and_streams(
    one_gateway: Gateway, accept: str | None
) -> None:
    http = one_gateway.http

    async def send(method: str, **more: Any) -> Any:
        built = http.build_request(method, "/light/mcp", **more)
        del built.headers["accept"]
        if accept is not None:
            built.headers["accept"] = accept
        return await http.send(built, stream=True)

    opened = await send("POST", json=request(1, "initialize", HELLO))
    assert json.loads(await opened.aread())["result"]["serverInfo"]["name"] == "light"
    id_ = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    slow = await send("POST", json=call(2, "log", text="first"), headers=id_)
    events = Events(slow)
    assert (await events.message())["params"]["data"] == "first"
    assert said(await events.message()) == "logged"
    standing = await send("GET", headers=id_)
    assert standing.headers["content-type"].startswith("text/event-stream")
    await standing.aclose()
    await http.delete("/light/mcp", headers=id_)


async def test_a_number_and_the_same_digits_as_text_are_two_requests_at_once(
    one_gateway: Gateway, session: Streamable
) -> None:
    answers: list[Any] = []

    async def ask(id_: int | str, text: str) -> None:
        answers.append((await session.post(call(id_, "hold", text=text))).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask, 1, "number")
        await one_gateway.said("stderr: holding")
        tasks.start_soon(ask, "1", "text")
        await one_gateway.said("stderr: holding", times=2)
        # Only the text is cancelled, and the number is answered.
        await session.post(notification("notifications/cancelled", {"requestId": "1"}))
        assert await session.call(2, "release") == 1
    [answered] = [each for each in answers if "result" in each]
    assert '"id":1,' in answered
    assert "number" in answered


async def test_of_ten_standing_streams_the_last_is_the_one(session: Streamable) -> None:
    async with AsyncExitStack() as streams:
        opened = [await streams.enter_async_context(session.listening()) for _ in range(10)]
        for replaced in opened[:-1]:
            assert await replaced.at_end()
        await session.call(1, "change")
        assert (await opened[-1].message())["method"] == "notifications/tools/list_changed"


@pytest.mark.parametrize("id_", ["1.5", "-0", "1e400", "9" * 400, '"' + "x" * 10_000 + '"', '""', "0"])
async def test_an_odd_id_comes_back_as_it_was(session: Streamable, id_: str) -> None:
    body = json.dumps(call(0, "echo", text="here")).replace('"id": 0', f'"id": {id_}', 1)
    headers = {**session.headers, "Content-Type": JSON}
    answer = await session.http.post(session.path, content=body.encode(), headers=headers)
    assert answer.status_code == 200
    assert answer.text.startswith('{"jsonrpc":"2.0","id":' + id_ + ',"result":')


@pytest.mark.parametrize("id_", ["null", "true", "[1]", "{}"])
async def test_what_cannot_be_an_id_is_a_400_and_the_session_goes_on(session: Streamable, id_: str) -> None:
    body = json.dumps(call(0, "echo")).replace('"id": 0', f'"id": {id_}', 1)
    headers = {**session.headers, "Content-Type": JSON}
    answer = await session.http.post(session.path, content=body.encode(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert await session.call(2, "echo", text="on") == "on"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\xff"}}', 400, -32700),
        (json.dumps(call(1, "echo", text="x" * 20_000_000)).encode(), 413, -32600),
    ],
    ids=["no UTF-8", "20 MB"],
)
async def test_a_body_that_cannot_be_passed_on_is_refused_and_the_session_goes_on(
    session: Streamable, body: bytes, status: int, code: int
) -> None:
    headers = {**session.headers, "Content-Type": JSON}
    answer = await session.http.post(session.path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await session.call(2, "echo", text="on") == "on"


async def test_over_sse_such_bodies_are_refused_alike(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        for body, status in ((b"\xff", 400), (b" " * 20_000_000, 413), (b'{"jsonrpc":"2.0","id":null}', 400)):
            answer = await session.http.post(session.url, content=body, headers={"Content-Type": JSON})
            assert answer.status_code == status
        assert said(await session.ask(call(1, "echo", text="on"))) == "on"


async def test_over_sse_the_child_asks_and_the_answer_comes_back(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        await session.post(call(1, "ask", method="roots/list"))
        question = await session.events.message()
        assert question["method"] == "roots/list"
        answered = await session.post({"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}})
        assert answered.status_code == 202
        assert said(await session.events.message()) == {"roots": []}


@pytest.mark.parametrize("version", ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18"])
async def test_another_revision_in_the_header_than_was_agreed_on_is_accepted(session: Streamable, version: str) -> None:
    session.headers["Mcp-Protocol-Version"] = version
    assert await session.call(1, "echo", text="on") == "on"
    async with session.listening():
        pass
    del session.headers["Mcp-Protocol-Version"]
    assert await session.call(1, "echo", text="on") == "on"


@pytest.mark.parametrize("version", ["", "1", "2025-11-26", "x" * 1000])
async def test_a_revision_that_there_is_not_is_a_400_on_every_method(session: Streamable, version: str) -> None:
    headers = {**session.headers, "Mcp-Protocol-Version": version}
    posted = await session.http.post(session.path, json=call(1, "echo"), headers=headers)
    got = await session.http.get(session.path, headers=headers)
    deleted = await session.http.delete(session.path, headers=headers)
    assert [posted.status_code, got.status_code, deleted.status_code] == [400, 400, 400]
    assert await session.call(1, "echo", text="on") == "on"


@pytest.mark.slow
async def test_a_stream_that_is_not_read_holds_up_others_for_a_bounded_time_and_keeps_its_answer(
    one_gateway: Gateway, session: Streamable
) -> None:
    before = await dropped(one_gateway, "event_dropped")
    params = {"name": "progress", "arguments": {"steps": 30_000}, "_meta": {"progressToken": "t" * 1000}}
    flood = request(1, "tools/call", params)
    async with session.http.stream("POST", session.path, json=flood, headers=session.headers) as unread:
        parts = unread.aiter_text()
        begin = (await anext(parts)).split("\n")[0].removeprefix("id: ")
        # 30 MiB, of which sockets and the gateway hold a few: the child is not read, until this client is given up.
        assert '"text": "on"' in (await session.post(call(2, "echo", text="on"))).text
        assert "does not keep up with a stream" in one_gateway.log
        async with session.listening(after=begin) as events:
            count, message = 0, await events.message()
            while "id" not in message:
                count, message = count + 1, await events.message()
    assert said(message) == "done"
    assert 0 < count < 3000
    assert await dropped(one_gateway, "event_dropped") > before


# Children.


async def test_of_two_answers_to_one_request_the_first_counts(one_gateway: Gateway, session: Streamable) -> None:
    before = await dropped(one_gateway, "answer_to_nobody")
    first = json.dumps({"jsonrpc": "2.0", "id": 2, "result": {"content": [{"type": "text", "text": "first"}]}})
    # Towards the child the ids are the gateway's own: initialize was 1, this call is 2.
    assert await session.call("c", "write", text=first + "\n") == "first"
    assert await session.call("d", "echo", text="on") == "on"
    assert await dropped(one_gateway, "answer_to_nobody") == before + 1


@pytest.mark.parametrize("id_", [77, "nobody", "2", 1.5, 10**30, -1])
async def test_an_answer_that_nobody_asked_for_is_dropped(one_gateway: Gateway, session: Streamable, id_: Any) -> None:
    before = await dropped(one_gateway, "answer_to_nobody")
    line = json.dumps({"jsonrpc": "2.0", "id": id_, "result": {}})
    assert await session.call(1, "write", text=line + "\n") == "written"
    assert await dropped(one_gateway, "answer_to_nobody") == before + 1


async def test_an_answer_of_20_mb_is_an_error_at_once_and_the_session_goes_on(
    one_gateway: Gateway, session: Streamable
) -> None:
    before = await dropped(one_gateway, "oversized")
    answer = (await session.post(call(1, "big", bytes=20_000_000))).json()
    assert (answer["id"], answer["error"]["code"]) == (1, -32603)
    assert "max_message_bytes" in answer["error"]["message"]
    assert await session.call(2, "echo", text="on") == "on"
    assert await dropped(one_gateway, "oversized") == before + 1


async def test_a_line_that_is_no_utf_8_is_dropped(one_gateway: Gateway, session: Streamable) -> None:
    before = await dropped(one_gateway, "noise")
    line = b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"\xff"}}\n'
    assert await session.call(1, "write_bytes", hex=line.hex()) == "written"
    assert await dropped(one_gateway, "noise") == before + 1


async def test_a_child_that_frames_by_content_length_fails_to_start(tmp_path: Path) -> None:
    servers = {"light": light("--content-length", start_timeout="500ms")}
    async with running(servers, tmp_path=tmp_path) as gateway:
        answer = await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=BOTH)
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (200, "start_timeout")
        await gateway.said("wrote what is no message .*Content-Length: ")
        assert await dropped(gateway, "noise") >= 1


async def test_a_child_that_talks_to_nobody_loses_what_is_too_much(one_gateway: Gateway, session: Streamable) -> None:
    before = await dropped(one_gateway, "message_for_nobody")
    json_alone = {**session.headers, "Accept": JSON}
    answer = await session.http.post(session.path, json=call(1, "flood", lines=5000), headers=json_alone)
    assert said(answer.json()) == "flooded"
    assert await dropped(one_gateway, "message_for_nobody") == before + 5000 - 64
    async with session.listening() as events:
        for _ in range(64):
            assert (await events.message())["method"] == "notifications/message"
