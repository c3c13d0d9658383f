"""Event streams that break, and clients that come back for the rest of them."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.rawmcp import Streamable, call, notification, request, said

pytestmark = pytest.mark.slow


@pytest.fixture
async def session(one_gateway: Gateway) -> AsyncIterator[Streamable]:
    """A session of revision 2025-11-25, which is ended afterwards."""
    session = await Streamable(one_gateway.http).open()
    yield session
    await session.delete()


async def held(session: Streamable, id_: int | str = 1, text: str = "late") -> str:
    """Call a tool that does not answer, and hang up on its stream; the id of the event that was the last to come."""
    async with session.streaming(call(id_, "hold", text=text)) as events:
        return await events.primed()


async def test_an_answer_that_comes_while_nobody_listens_is_there_for_who_comes_back(session: Streamable) -> None:
    last = await held(session)
    assert await session.call(2, "release") == 1
    async with session.listening(after=last) as events:
        answer = await events.message()
        assert (answer["id"], said(answer)) == (1, "late")
        assert await events.at_end()


async def test_who_comes_back_before_the_answer_waits_for_it_there(session: Streamable) -> None:
    last = await held(session)
    async with session.listening(after=last) as events:
        assert await events.primed() == last
        assert await session.call(2, "release") == 1
        assert said(await events.message()) == "late"
        assert await events.at_end()


async def test_who_comes_back_twice_takes_the_stream_from_itself(session: Streamable) -> None:
    last = await held(session)
    async with session.listening(after=last) as first, session.listening(after=last) as second:
        assert await first.at_end()
        assert await session.call(2, "release") == 1
        assert said(await second.message()) == "late"


async def test_what_came_after_the_named_event_is_given_again_and_nothing_of_another_stream(
    session: Streamable,
) -> None:
    params = {"name": "progress", "arguments": {"steps": 4}, "_meta": {"progressToken": "t"}}
    async with session.streaming(request(1, "tools/call", params)) as events:
        await events.message()
        second = await events.message()
        last = events.last_id
    other = await held(session, 2, "other")
    async with session.listening(after=last) as events:
        left = [await events.message() for _ in range(3)]
        assert await events.at_end()
    assert second["params"]["progress"] == 1
    assert [each["params"]["progress"] for each in left[:2]] == [2, 3]
    assert left[2]["id"] == 1
    async with session.listening(after=other) as events:
        await session.call(3, "release")
        assert said(await events.message()) == "other"


async def test_two_requests_with_one_id_are_two_streams(session: Streamable) -> None:
    first, second = await held(session, 1, "first"), await held(session, 1, "second")
    assert await session.call(2, "release") == 2
    for last, text in ((second, "second"), (first, "first")):
        async with session.listening(after=last) as events:
            assert said(await events.message()) == text


async def test_a_stream_that_has_nothing_left_says_nothing_and_is_no_standing_one(session: Streamable) -> None:
    async with session.streaming(call(1, "hold", text="late")) as events:
        await session.call(2, "release")
        assert said(await events.message()) == "late"
        last = events.last_id
        assert await events.at_end()
    async with session.listening() as standing, session.listening(after=last) as silent:
        assert silent.response.status_code == 200
        assert await silent.primed() == last
        await session.call(3, "change")
        assert (await standing.message())["method"] == "notifications/tools/list_changed"
        await session.delete()
        assert await silent.at_end()


async def test_the_standing_stream_goes_on_where_it_broke(session: Streamable) -> None:
    async with session.listening() as events:
        await session.call(2, "change")
        await events.message()
        seen = events.last_id
    json_alone = {**session.headers, "Accept": "application/json"}  # which cannot carry the news itself
    await session.http.post(session.path, json=call(3, "change"), headers=json_alone)
    async with session.listening(after=seen) as events:
        assert (await events.message())["method"] == "notifications/tools/list_changed"


async def test_what_was_sent_into_a_dead_connection_is_sent_again(session: Streamable) -> None:
    async with session.listening() as first:
        begin = await first.primed()
        for _ in range(3):
            await session.call(1, "change")
        # It was taken off our hands, but the client names an earlier event, so it has not come.
        assert [(await first.message())["method"] for _ in range(3)] == ["notifications/tools/list_changed"] * 3
        async with session.listening(after=begin) as again:
            assert [(await again.message())["method"] for _ in range(3)] == ["notifications/tools/list_changed"] * 3
            assert await first.at_end()
            await session.call(1, "change")
            assert (await again.message())["method"] == "notifications/tools/list_changed"


@pytest.mark.parametrize("last", ["nonsense", "s99-1-1", "s0-99-1", "☃".encode().decode("latin-1"), "1", "x" * 1000])
async def test_an_id_that_nobody_knows_gets_the_standing_stream(session: Streamable, last: str) -> None:
    headers = {**session.headers, "Accept": "text/event-stream"}
    raw = [(key.encode(), value.encode("latin-1")) for key, value in {**headers, "Last-Event-ID": last}.items()]
    async with session.http.stream("GET", session.path, headers=raw) as response:
        assert response.status_code == 200
        await session.call(1, "change")
        text = ""
        async for chunk in response.aiter_text():
            text += chunk
            if "list_changed" in text:
                break


@pytest.mark.parametrize("last", ["r99-1-0", "r0-99-5", "o0-1-1-MQ", "r0-1-7-e30"])
async def test_the_rest_of_a_stream_that_nobody_knows_is_silence(session: Streamable, last: str) -> None:
    async with session.listening() as standing, session.listening(after=last) as silent:
        assert silent.response.status_code == 200
        await session.call(1, "change")
        assert (await standing.message())["method"] == "notifications/tools/list_changed"
        await session.delete()
        assert await silent.at_end()


async def test_who_waits_for_an_answer_that_nobody_can_give_is_told_so_once(session: Streamable) -> None:
    async with session.listening(after="r7-3-0-ImEi") as events:  # of an earlier gateway, for the request "a"
        error = await events.message()
        assert (error["id"], error["error"]["code"]) == ("a", -32000)
        last = events.last_id
        assert await events.at_end()
    async with session.listening(after=last) as silent:
        assert await silent.primed() == last
        await session.delete()
        assert await silent.at_end()


async def test_a_cancelled_request_ends_the_stream_that_somebody_came_back_to(session: Streamable) -> None:
    last = await held(session, 7)
    async with session.listening(after=last) as events:
        await session.post(notification("notifications/cancelled", {"requestId": 7}))
        assert await events.at_end()


async def test_a_question_that_no_stream_could_carry_waits_for_who_comes_back(session: Streamable) -> None:
    last = await held(session)
    json_alone = {**session.headers, "Accept": "application/json"}
    await session.http.post(session.path, json=call(2, "wonder"), headers=json_alone)
    async with session.listening(after=last) as events:
        question = await events.message()
        assert question["method"] == "roots/list"
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": question["id"], "result": {"roots": []}}
        assert (await session.post(answer)).status_code == 202
        await session.call(3, "release")
        assert said(await events.message()) == "late"


async def test_a_question_is_asked_again_of_who_comes_back_and_its_answer_arrives(session: Streamable) -> None:
    async with session.streaming(call(1, "ask", method="roots/list")) as events:
        begin = await events.primed()
        asked = await events.message()
    async with session.listening(after=begin) as events:
        again = await events.message()
        assert again == asked
        await session.post({"jsonrpc": "2.0", "id": again["id"], "result": {"roots": []}})
        assert said(await events.message()) == {"roots": []}


async def test_a_child_that_dies_while_nobody_listens_leaves_a_404(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    last = await held(session)
    await session.post(call(2, "die", code=1))
    headers = {**session.headers, "Accept": "text/event-stream", "Last-Event-ID": last}
    assert (await session.http.get(session.path, headers=headers)).status_code == 404


async def test_another_client_cannot_come_back_in_ones_place(one_gateway: Gateway, session: Streamable) -> None:
    last = await held(session, 1, "secret")
    other = await Streamable(one_gateway.http).open()
    await session.call(2, "release")
    async with other.listening(after=last) as events:
        # Its own gateway, its own number of a stream: at most it is told that there is nothing of the kind.
        error = await events.message()
        assert error["error"]["code"] == -32000
    # Where it has a stream of that very name, it gets its own.
    assert await held(other, 1, "own") == last
    await other.call(2, "release")
    async with other.listening(after=last) as events:
        assert said(await events.message()) == "own"
    await other.delete()


async def test_another_principal_cannot_come_back_at_all(tmp_path: Path) -> None:
    tokens = ["s3cret-token-1", "s3cret-token-2"]
    async with running(tmp_path=tmp_path, auth={"bearer": {"enabled": True, "tokens": tokens}}) as gateway:
        session = Streamable(gateway.http)
        session.headers["Authorization"] = f"Bearer {tokens[0]}"
        last = await held(await session.open(), 1, "secret")
        await session.call(2, "release")
        headers = {**session.headers, "Accept": "text/event-stream", "Authorization": f"Bearer {tokens[1]}"}
        for more in ({}, {"Last-Event-ID": last}):
            assert (await session.http.get(session.path, headers={**headers, **more})).status_code == 404
        async with session.listening(after=last) as events:
            assert said(await events.message()) == "secret"


@pytest.mark.parametrize("version", ["2025-06-18", "2025-03-26"])
async def test_older_revisions_have_ids_but_no_event_without_data(one_gateway: Gateway, version: str) -> None:
    session = await Streamable(one_gateway.http).open(version)
    params = {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "t"}}
    text = (await session.post(request(1, "tools/call", params))).text
    assert text.startswith(": \n\n")
    assert "retry:" not in text
    assert "data: \n" not in text
    assert text.count("id: r") == 3
    await session.delete()


@pytest.mark.parametrize("silent", [False, True])
async def test_who_comes_back_in_an_older_revision_hears_where_it_is_in_an_event_that_clients_pass_over(
    one_gateway: Gateway, *, silent: bool
) -> None:
    # Else the TypeScript SDK, once the silence ends, takes the standing stream from itself, once a second for ever.
    session = await Streamable(one_gateway.http).open("2025-06-18")
    params = {"name": "progress", "arguments": {"steps": 2}, "_meta": {"progressToken": "t"}}
    async with session.streaming(request(1, "tools/call", params)) as events:
        for _ in range(3 if silent else 2):
            await events.message()
        last = events.last_id
    async with session.listening(after=last) as events:
        event, data = await events.next()
        assert (event, events.last_id) == ("place", last)
        assert set(json.loads(data)) == {"jsonrpc", "method"}
        if not silent:
            assert said(await events.message()) == "done"
    async with session.listening() as events:
        await session.call(2, "change")
        assert (await events.next())[0] == "message"
    await session.delete()


async def test_where_streams_are_not_resumable_they_have_no_ids_and_an_id_is_ignored(tmp_path: Path) -> None:
    async with running({"light": light(resumable=False)}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        async with session.streaming(call(1, "hold", text="late")) as events:
            await session.call(2, "release")
            assert said(await events.message()) == "late"
            assert events.last_id == ""
        async with session.listening(after="r0-1-0") as events:
            await session.call(3, "change")
            assert (await events.message())["method"] == "notifications/tools/list_changed"
            assert events.last_id == ""
