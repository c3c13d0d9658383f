"""Idle means idle: what holds the clock, and what is left of a session that idleness ended."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateway import Gateway, light, running
from tests.support.processes import watching
from tests.support.rawmcp import Streamable, call, sse

pytestmark = pytest.mark.slow

AUTH = {
    "basic": {
        "credentials": [{"username": "ann", "password": "s3cret-ann"}, {"username": "bob", "password": "s3cret-bob"}]
    }
}
ANN, BOB = ("ann", "s3cret-ann"), ("bob", "s3cret-bob")


async def idle_for_long(gateway: Gateway, times: int = 2) -> None:
    """The clock: sessions that nobody holds, one after another, each of which ends as idle."""
    for _ in range(times):
        id_ = await gateway.session_id()
        with watching((await gateway.text(id_, "whoami", "clock"))["pid"]) as [clock]:
            await clock.ended()


async def bid(session: Streamable, tool: str) -> None:
    """Call a tool whose answer can carry nothing else, so that what the child says meanwhile goes elsewhere."""
    headers = {**session.headers, "Accept": "application/json"}
    assert "result" in (await session.http.post(session.path, json=call(1, tool), headers=headers)).json()


QUICK = {
    "light": light(idle_timeout="300ms"),
    "hasty": light(idle_timeout="300ms", request_timeout="2s"),
    "clock": light(idle_timeout="300ms"),
}
"""Servers that are idle soon. The clock is what the others are measured by."""


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway with them."""
    async with running(QUICK, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


@pytest.mark.parametrize("listens", [True, False])
async def test_an_unanswered_question_of_the_child_holds_the_clock(one_gateway: Gateway, listens: bool) -> None:
    session = await Streamable(one_gateway.http).open()
    if listens:
        async with session.listening() as events:
            await bid(session, "wonder")
            assert (await events.message())["method"] == "roots/list"
            await idle_for_long(one_gateway)
    else:
        await bid(session, "wonder")
        await idle_for_long(one_gateway)
    answer = await session.post({"jsonrpc": "2.0", "id": "w1", "result": {"roots": []}})
    assert answer.status_code == 202
    await one_gateway.said("stderr: answered: ")
    await one_gateway.said("session .* on light ended: idle_timeout")


async def test_a_question_that_nobody_answers_holds_no_longer_than_a_request_may_take(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http, "/hasty/mcp").open()
    async with session.listening() as events:
        await bid(session, "wonder")
        question = await events.message()
        cancelled = await events.message()
        assert cancelled["method"] == "notifications/cancelled"
        assert cancelled["params"]["requestId"] == question["id"]
        await one_gateway.said(r"stderr: answered: .*-32005.*did not answer in time")
        await one_gateway.said("session .* on hasty ended: idle_timeout")


async def test_a_question_that_the_child_takes_back_holds_no_more(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    async with session.listening() as events:
        await bid(session, "wonder")
        await bid(session, "give_up")
        assert [(await events.message())["method"] for _ in range(2)] == ["roots/list", "notifications/cancelled"]
        await one_gateway.said("session .* on light ended: idle_timeout")


async def test_a_standing_stream_does_not_hold_and_outlives_its_session_in_silence(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    async with session.listening() as first:
        await one_gateway.said("session .* on light ended: idle_timeout")
        # A new one gets the same, and takes the place of the one before: which was open until then.
        async with session.listening() as second:
            assert await first.at_end()
            async for text in second.response.aiter_text():
                assert text == ": \n\n"
                break
            posted, deleted = await session.post(call(1, "echo")), await session.delete()
            assert (posted.status_code, deleted.status_code) == (404, 404)
            assert posted.json()["error"]["data"]["about"] == {"reason": "idle_timeout"}
    # The client recovers as from any other 404.
    again = await Streamable(one_gateway.http).open()
    assert await again.call(1, "echo", text="here") == "here"
    await again.delete()


async def test_a_stream_that_says_nothing_more_does_not_hold_and_ends_with_its_session(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    async with session.listening(after="o0-1-1-MQ") as silent:
        assert await silent.primed() == "o0-1-1-MQ"
        await one_gateway.said("session .* on light ended: idle_timeout")
        assert await silent.at_end()


@pytest.mark.parametrize("last", ["r0-1-3-MQ", "s0-2-1"])
async def test_who_comes_back_to_a_stream_of_an_idle_session_is_told_its_place(one_gateway: Gateway, last: str) -> None:
    session = await Streamable(one_gateway.http).open()
    await one_gateway.said("session .* on light ended: idle_timeout")
    async with session.listening(after=last) as events:
        assert (await events.next())[0] == "place"
        assert events.last_id == last


async def test_the_streams_of_idle_sessions_end_with_the_gateway(tmp_path: Path) -> None:
    async with running(QUICK, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        async with session.listening() as events:
            await gateway.said("session .* on light ended: idle_timeout")
            gateway.process.terminate()
            assert await events.at_end()
        await gateway.process.wait()


async def test_an_idle_session_is_its_owners_alone_and_of_its_own_door(tmp_path: Path) -> None:
    async with running(QUICK, tmp_path=tmp_path, auth=AUTH) as gateway:
        gateway.http.auth = ANN
        session = await Streamable(gateway.http).open()
        await gateway.said("session .* on light ended: idle_timeout")
        headers = {**session.headers, "Accept": "text/event-stream"}
        for path, auth in (("/light/mcp", BOB), ("/clock/mcp", ANN)):
            assert (await gateway.http.get(path, headers=headers, auth=auth)).status_code == 404
        async with session.listening():
            pass


async def test_a_session_that_ended_otherwise_has_no_stream(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    async with session.listening() as events:
        await session.post(call(1, "die"))
        assert await events.at_end()
    headers = {**session.headers, "Accept": "text/event-stream"}
    assert (await one_gateway.http.get(session.path, headers=headers)).status_code == 404


async def test_an_open_stream_of_http_sse_holds_the_clock(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        await idle_for_long(one_gateway)
        assert (await session.ask(call(1, "echo", text="on")))["id"] == 1
