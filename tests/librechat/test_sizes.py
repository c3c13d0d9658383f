"""Results of all sizes: what LibreChat cannot take becomes an error that says so, and its session goes on."""

from pathlib import Path

import anyio
import pytest

from tests.support.gateway import Gateway, running
from tests.support.librechat import ChatError, Chats, LibreChat
from tests.support.rawmodern import PREFIX, Modern, call

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


async def held(chat: LibreChat, size: int) -> int:
    """The length of a result that comes when the headers of its answer are out already."""
    lengths: list[int] = []
    async with anyio.create_task_group() as tasks:

        async def hold() -> None:
            lengths.append((await chat.result("ann", "hold", bytes=size))["length"])

        tasks.start_soon(hold)
        await chat.seen(rpc="tools/call", type="text/event-stream")
        await chat.call("ann", "release")
    return lengths[0]


async def same_session(chat: LibreChat) -> bool:
    """Whether it is all the same to the session."""
    assert await chat.call("ann", "echo", text="on") == "on"
    state = await chat.state("ann")
    return state["state"] == "connected" and len(state["sessions"]) == 1 and await chat.trips() == 0


@pytest.mark.parametrize("mebibytes", [4, 6, 14])
async def test_r03_a_long_result_that_comes_soon_arrives_whole(chat: LibreChat, mebibytes: int) -> None:
    assert (await chat.result("ann", "big", bytes=mebibytes * MIB))["length"] == mebibytes * MIB
    assert await same_session(chat)


async def test_r03_a_result_of_4_mib_arrives_on_a_stream_too(chat: LibreChat) -> None:
    await chat.connect("ann")
    assert await held(chat, 4 * MIB) == 4 * MIB
    assert await same_session(chat)


async def test_r03_a_result_of_6_mib_on_a_stream_is_an_error_that_names_size_and_limit(chat: LibreChat) -> None:
    await chat.connect("ann")
    with pytest.raises(ExceptionGroup) as caught:
        await held(chat, 6 * MIB)
    [error] = caught.value.exceptions
    assert "the server's answer has 6.00 MiB, and its client takes no more than 4.50 MiB in this place" in str(error)
    assert "max_event_bytes" in str(error)
    assert await same_session(chat)


@pytest.mark.parametrize(("bytes_", "name"), [(15.5, "max_result_bytes"), (17, "max_message_bytes")])
async def test_r03_a_result_of_more_than_15_mib_is_an_error_in_any_case(
    chat: LibreChat, bytes_: float, name: str
) -> None:
    with pytest.raises(ChatError, match=rf"has {bytes_:.2f} MiB, and ") as caught:
        await chat.result("ann", "big", bytes=int(bytes_ * MIB))
    # A machine that has much to do may take a second for it, and then it is a stream, which holds less.
    late = name == "max_result_bytes" and await chat.journal(rpc="tools/call", type="text/event-stream")
    assert ("max_event_bytes" if late else name) in str(caught.value)
    assert await same_session(chat)


async def test_r03_what_a_tool_logs_takes_no_room_from_its_result(chat: LibreChat) -> None:
    # 17 MiB of log lines, of which LibreChat wants none; with them the answer would be too long for it.
    await chat.connect("ann")
    assert (await chat.result("ann", "flood", lines=17 * 1024))["text"] == "flooded"
    assert await same_session(chat)


async def test_librechat_itself_loses_its_session_over_what_the_gateway_would_not_send(
    gateway: Gateway, process: Chats
) -> None:
    # Here its bound is below the gateway's, so an answer comes that it does not take.
    async with process.librechat(f"{gateway.url}/light/mcp", bounds={"maxResponseBytes": 2 * MIB}) as chat:
        with pytest.raises(ChatError, match="exceeds 2097152 bytes"):
            await chat.result("ann", "big", bytes=3 * MIB)
        await chat.seen(rpc="initialize", status=200, times=2)
        state = await chat.state("ann")
        assert (state["state"], len(state["sessions"])) == ("connected", 2)


async def test_r03_without_sessions_each_request_says_whose_limits_hold(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        client = Modern(gateway.http, "/light/mcp")
        for name, fails in (("@librechat/api-client", True), ("another", False)):
            meta = {f"{PREFIX}clientInfo": {"name": name, "version": "1"}}
            answer = await client.post(call(1, "big", meta, bytes=int(15.5 * MIB)))
            assert answer.status_code == 200
            assert ("error" in answer.json()) == fails
