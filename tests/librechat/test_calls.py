"""LibreChat's calls while all is well: slow ones, stopped ones, several at once; and what comes without being asked."""

import anyio
import pytest

from gateway.http import streams
from tests.support.gateway import Gateway
from tests.support.librechat import ChatError, Chats, LibreChat
from tests.support.rawmcp import Streamable, call

pytestmark = pytest.mark.slow


async def as_it_was(chat: LibreChat, user: str = "ann") -> None:
    """The user's connection is the first that there was, and nobody is kept away."""
    state = await chat.state(user)
    assert (state["state"], len(state["sessions"])) == ("connected", 1)
    assert await chat.trips() == 0


async def test_r03_a_call_that_takes_long_has_its_headers_early_and_outlives_its_clients_timeout(
    gateway: Gateway, process: Chats
) -> None:
    # undici gives up a request whose headers do not come within the same two seconds, and LibreChat the session with it.
    async with process.librechat(f"{gateway.url}/light/mcp", timeout=2000, bodyTimeout=60_000) as chat:
        who = await chat.call("ann", "whoami")
        with pytest.raises(ChatError, match="-32001: Request timed out"):
            await chat.call("ann", "hold")
        call = (await chat.journal(rpc="tools/call"))[-1]
        assert (call["status"], call["type"].partition(";")[0]) == (200, "text/event-stream")
        # The child is told, the answer that comes too late is dropped, and the session and its child are the same.
        await chat.seen(rpc="notifications/cancelled", status=202)
        await gateway.said("stderr: cancelled")
        assert await chat.call("ann", "held") == {"held": 0, "cancelled": 1}
        assert await chat.call("ann", "whoami") == who
        await as_it_was(chat)


async def test_r03_what_a_stream_begins_with_keeps_proxies_from_holding_it_back(gateway: Gateway) -> None:
    session = await Streamable(gateway.http).open()
    async with session.streaming(call(1, "hold")) as events:
        headers = events.response.headers
        assert headers["X-Accel-Buffering"] == "no"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert "Content-Encoding" not in headers
    assert streams.KEEP_ALIVE <= 15
    await session.delete()


async def test_r03_an_error_on_a_stream_brings_a_stray_get_which_is_answered(chat: LibreChat) -> None:
    async with anyio.create_task_group() as tasks:

        async def hold() -> None:
            with pytest.raises(ChatError, match="failed on purpose"):
                await chat.call("ann", "hold")

        await chat.connect("ann")
        tasks.start_soon(hold)
        await chat.seen(rpc="tools/call", status=200, type="text/event-stream")
        await chat.call("ann", "fail_held")
    stray = await chat.seen(http="GET", status=200, times=2)
    assert "last-event-id" in stray["headers"]
    await as_it_was(chat)


async def test_r05_a_second_get_takes_the_place_of_the_first(chat: LibreChat, gateway: Gateway) -> None:
    await chat.connect("ann")
    session = Streamable(gateway.http)
    session.headers |= (await chat.seen(http="GET", status=200))["headers"]
    async with session.listening() as second:
        await second.primed()  # something is sent at once
        # The first has ended, so LibreChat comes for it again, and takes the place in turn. It is no reason to rebuild.
        await chat.seen(http="GET", status=200, times=2)
        assert await second.at_end()
    assert await chat.call("ann", "echo", text="on") == "on"
    await as_it_was(chat)


async def test_r15_who_presses_stop_cancels_the_childs_work_and_keeps_the_session(
    chat: LibreChat, gateway: Gateway
) -> None:
    await chat.connect("ann")
    async with anyio.create_task_group() as tasks:

        async def hold() -> None:
            with pytest.raises(ChatError, match="stopped by the user"):
                await chat.result("ann", "hold", label="mine")

        tasks.start_soon(hold)
        await gateway.said("stderr: holding")
        await chat.do("stop", label="mine")
    await gateway.said("stderr: cancelled")
    assert await chat.call("ann", "held") == {"held": 0, "cancelled": 1}
    assert await chat.call("ann", "release") == 0
    await as_it_was(chat)


async def test_r16_calls_of_one_session_run_side_by_side_and_each_gets_its_own_answer(chat: LibreChat) -> None:
    await chat.connect("ann")
    answers: dict[str, str] = {}
    async with anyio.create_task_group() as tasks:

        async def ask(tool: str, text: str) -> None:
            answers[text] = await chat.call("ann", tool, text=text)

        texts = [f"text {number}." for number in range(20)]
        for number, text in enumerate(texts):
            tasks.start_soon(ask, "hold" if number % 4 == 0 else "echo", text)
        await chat.seen(rpc="tools/call", status=200, type="application/json", times=15)
        await chat.seen(rpc="tools/call", status=200, type="text/event-stream", times=5)
        await chat.call("ann", "release")
    assert answers == {text: text for text in texts}
    # Lists are asked for twice, and more often; each is answered.
    assert {each["status"] for each in await chat.journal(rpc="tools/list")} == {200}
    await as_it_was(chat)


async def test_r18_news_of_the_tools_come_on_the_get_and_have_them_listed_again(chat: LibreChat) -> None:
    await chat.connect("ann")
    await chat.seen(http="GET", status=200)
    await chat.seen(rpc="tools/list", status=200, times=2)
    await chat.call("ann", "change")
    await chat.seen(rpc="tools/list", status=200, times=4)
    await as_it_was(chat)
