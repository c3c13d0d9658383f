"""Several messages in one body, which only the revision 2025-03-26 has."""

import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from tests.support.gateway import Gateway
from tests.support.rawmcp import BOTH, HELLO, Streamable, call, notification, request, said, sse

pytestmark = pytest.mark.slow


@pytest.fixture
async def session(one_gateway: Gateway) -> AsyncIterator[Streamable]:
    """A session of revision 2025-03-26, which is ended afterwards."""
    session = await Streamable(one_gateway.http).open("2025-03-26")
    yield session
    await session.delete()


async def test_quick_answers_come_as_one_array(session: Streamable) -> None:
    answer = await session.post([call(1, "echo", text="a"), notification("x"), call("1", "echo", text="b")])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert [(each["id"], said(each)) for each in answer.json()] == [(1, "a"), ("1", "b")]


async def test_an_array_of_one_is_answered_with_one(session: Streamable) -> None:
    answer = await session.post([request("p", "ping")])
    assert answer.json() == [{"jsonrpc": "2.0", "id": "p", "result": {}}]


async def test_slow_answers_come_on_one_stream_an_event_for_each(session: Streamable) -> None:
    batch = [call(1, "hold", text="slow"), call(2, "echo", text="quick")]
    async with session.streaming(batch) as events:
        assert said(await events.message()) == "quick"
        await session.call(3, "release")
        answer = await events.message()
        assert (answer["id"], said(answer)) == (1, "slow")
        assert await events.at_end()


async def test_what_the_child_says_before_its_answers_comes_on_the_same_stream(session: Streamable) -> None:
    params = {"name": "progress", "arguments": {"steps": 1}, "_meta": {"progressToken": "t"}}
    async with session.streaming([request(1, "tools/call", params), request(2, "ping")]) as events:
        messages = [await events.message() for _ in range(3)]
        assert await events.at_end()
    assert sorted(str(each.get("id")) for each in messages) == ["1", "2", "None"]


async def test_a_client_that_takes_json_alone_gets_an_array_however_long_it_takes(
    one_gateway: Gateway, session: Streamable
) -> None:
    answers: list[Any] = []
    headers = {**session.headers, "Accept": "application/json"}

    async def ask() -> None:
        batch = [call(1, "hold", text="slow"), call(2, "echo", text="quick")]
        answers.extend((await session.http.post(session.path, json=batch, headers=headers)).json())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await one_gateway.said("stderr: holding")
        await session.call(3, "release")
    assert {each["id"]: said(each) for each in answers} == {1: "slow", 2: "quick"}


async def test_a_member_that_is_cancelled_is_not_waited_for(one_gateway: Gateway, session: Streamable) -> None:
    answers: list[Any] = []

    async def ask() -> None:
        answers.append((await session.post([call(7, "hold"), request("p", "ping")])).text)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await one_gateway.said("stderr: holding")
        await session.post(notification("notifications/cancelled", {"requestId": 7}))
    assert answers[0].count('"id":"p"') == 1
    assert '"id":7' not in answers[0]


async def test_what_was_said_before_a_member_was_cancelled_is_no_answer_in_an_array(
    one_gateway: Gateway, session: Streamable
) -> None:
    answers: list[Any] = []

    async def ask() -> None:
        answers.append(await session.post([call(7, "hold"), request("p", "ping")]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await one_gateway.said("stderr: holding")
        json_alone = {**session.headers, "Accept": "application/json"}  # which cannot carry what the child says
        await session.http.post(session.path, json=call(8, "log", text="well"), headers=json_alone)
        await session.post(notification("notifications/cancelled", {"requestId": 7}))
    assert answers[0].headers["content-type"] == "text/event-stream"
    events = answers[0].text.split("\n\n")
    assert sum('"notifications/message"' in each for each in events) == 1
    assert sum('"id":"p"' in each for each in events) == 1


async def test_who_hangs_up_on_a_batch_may_come_back_for_it(session: Streamable) -> None:
    async with session.streaming([call(4, "hold", text="c"), call(5, "echo", text="d")]) as events:
        assert said(await events.message()) == "d"
        last = events.last_id
    await session.call(6, "release")
    async with session.listening(after=last) as events:
        assert said(await events.message()) == "c"
        assert await events.at_end()


async def test_notifications_alone_are_accepted_without_a_body(session: Streamable) -> None:
    answer = await session.post([notification("a"), notification("b")])
    assert (answer.status_code, answer.content) == (202, b"")


async def test_answers_of_the_client_may_come_together(session: Streamable) -> None:
    async with session.streaming(call(1, "ask", method="roots/list")) as events:
        question = await events.message()
        ids = (question["id"], "nobody")
        answers: list[Any] = [{"jsonrpc": "2.0", "id": id_, "result": {"roots": []}} for id_ in ids]
        assert (await session.post(answers)).status_code == 202
        assert said(await events.message()) == {"roots": []}


REFUSED: list[Any] = [
    [],
    [request(1, "ping"), request(2, "initialize", HELLO)],
    [request(1, "ping"), {"jsonrpc": "2.0", "id": 2, "result": {}}],
    [request(1, "ping"), 5],
    [request(1, "ping"), [request(2, "ping")]],
    [request(1, "ping"), {"jsonrpc": "2.0", "id": None, "method": "ping"}],
    [request(number, "ping") for number in range(101)],
]


@pytest.mark.parametrize("batch", REFUSED, ids=range(len(REFUSED)))
async def test_a_batch_that_is_wrong_anywhere_is_refused_whole(session: Streamable, batch: Any) -> None:
    answer = await session.post(batch)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert await session.call(9, "echo", text="on") == "on"


async def test_a_hundred_messages_are_not_too_many(session: Streamable) -> None:
    answer = await session.post([request(number, "ping") for number in range(100)])
    assert [each["id"] for each in answer.json()] == list(range(100))


@pytest.mark.parametrize("body", [b"[{]", b'[{"jsonrpc":"2.0","id":1,"method":"ping"}', b"[\xff]"])
async def test_an_array_that_is_not_json_is_refused_as_such(session: Streamable, body: bytes) -> None:
    headers = {**session.headers, "Content-Type": "application/json"}
    answer = await session.http.post(session.path, content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32700)


@pytest.mark.parametrize("version", ["2024-11-05", "2025-06-18", "2025-11-25"])
async def test_every_other_revision_refuses_an_array(one_gateway: Gateway, version: str) -> None:
    session = await Streamable(one_gateway.http).open(version)
    answer = await session.post([request(1, "ping")])
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert "2025-03-26" in answer.json()["error"]["message"]
    await session.delete()


async def test_initialize_in_an_array_opens_nothing(one_gateway: Gateway) -> None:
    answer = await one_gateway.http.post("/light/mcp", json=[request(1, "initialize", HELLO)], headers=BOTH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, -32600)
    assert one_gateway.children() == set()


async def test_over_sse_an_array_is_refused(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        answer = await session.post([request(1, "ping")])
        assert (answer.status_code, json.loads(answer.text)["error"]["code"]) == (400, -32600)
