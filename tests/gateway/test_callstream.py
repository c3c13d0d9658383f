"""What a client is told of its call while it runs."""

import asyncio

import anyio
import pytest

from common.reasons import Reason
from gateway.errors import GatewayError
from gateway.hot.exchange import Reply
from gateway.http import callstream
from gateway.http.callstream import CallStream, event_of
from gateway.http.streams import afterwards
from gateway.jsonrpc import notification
from gateway.large import Result
from tests.support.processes import PATIENCE

LOUD = notification("notifications/message", {"level": "info", "data": "x" * 400_000})


async def said(reply: Reply) -> bytes:
    """All of its body."""
    assert not isinstance(reply.body, bytes)
    with anyio.fail_after(PATIENCE):
        async with reply.body as body:
            return b"".join([part async for part in body])


def future() -> "asyncio.Future[Result]":
    return asyncio.get_running_loop().create_future()


def test_only_what_is_about_a_call_is_told_and_on_one_line() -> None:
    progress = notification("notifications/progress", {"progressToken": 7, "progress": 1, "total": 2})
    assert event_of(progress) == b'event: progress\ndata: {"progress":1,"total":2}\n\n'
    assert event_of(notification("notifications/tools/list_changed")) == b""


async def test_an_error_before_the_child_was_asked_is_raised_and_one_afterwards_is_an_event() -> None:
    answer, error = future(), GatewayError(Reason.MAX_USER_CALLS, "too many")
    answer.set_exception(error)
    with pytest.raises(GatewayError, match="too many"):
        await CallStream().reply(answer, is_own=True)
    stream = CallStream()
    stream.asked()
    reply = await stream.reply(answer, is_own=True)
    assert await said(reply) == b": \n\nevent: error\ndata: " + error.rest_body() + b"\n\n"


async def test_a_client_that_takes_nothing_loses_the_stream_and_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callstream, "STALL", 0.01)
    for is_own in (True, False):
        stream, answer = CallStream(), future()
        stream.asked()
        await stream.reply(answer, is_own=is_own)
        with anyio.fail_after(PATIENCE):
            await stream.hear(LOUD)
        assert answer.cancelled() is is_own


async def test_what_is_taken_makes_room_for_more() -> None:
    stream, answer = CallStream(), future()
    stream.asked()
    reply = await stream.reply(answer, is_own=True)

    async def tell() -> None:
        for _ in range(10):
            await stream.hear(LOUD)
        answer.set_result(b"{}")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        assert len(await said(reply)) > 10 * 400_000


async def test_whatever_is_to_end_after_the_stream_ends_once() -> None:
    ended: list[str] = []
    stream, answer = CallStream(), future()
    stream.asked()
    reply = await stream.reply(answer, is_own=True)
    afterwards(reply.body, lambda: ended.append("stream"))
    assert not ended
    answer.set_result(b"{}")
    await said(reply)
    afterwards(b"", lambda: ended.append("at once"))
    assert ended == ["stream", "at once"]
