"""Results of many megabytes, through each door: nothing is lost, and nobody else is held up."""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc
import httpx2
import pytest

from benchmarks.large_results import measure, shown
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE, watching
from tests.support.rawmcp import Streamable, call, said, sse
from tests.support.rawws import websocket

MIB = 1024 * 1024
SIZE = 16 * MIB
WHOLE = hashlib.sha256(b"x" * SIZE).hexdigest()

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """A gateway whose light server may say a little more than that."""
    servers = {"light": light(max_message_bytes=SIZE + MIB)}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway")) as gateway:
        yield gateway


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def test_it_arrives_as_json(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    session.headers["Accept"] = "application/json"
    answer = await session.post(call("mine", "big", bytes=SIZE))
    assert answer.headers["content-type"] == "application/json"
    assert int(answer.headers["content-length"]) == len(answer.content)
    message = json.loads(answer.content)
    assert (message["id"], digest(message["result"]["content"][0]["text"])) == ("mine", WHOLE)
    assert await session.call(2, "echo", text="still here") == "still here"
    await session.delete()


async def test_it_arrives_as_an_event(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    session.headers["Accept"] = "text/event-stream"
    async with session.streaming(call("mine", "big", bytes=SIZE)) as events:
        message = await events.message()
        assert (message["id"], digest(said(message))) == ("mine", WHOLE)
        assert await events.at_end()
    await session.delete()


async def test_it_arrives_on_the_stream_of_a_session(one_gateway: Gateway) -> None:
    async with sse(one_gateway.http) as session:
        for number in range(1, 4):
            assert digest(said(await session.ask(call(number, "big", bytes=SIZE)))) == WHOLE
        assert said(await session.ask(call(4, "echo", text="behind it"))) == "behind it"


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream", "text/plain"])
async def test_it_arrives_over_rest(one_gateway: Gateway, accept: str) -> None:
    id_ = await one_gateway.session_id()
    path, params, headers = "/api/light/big", {"sessionId": id_}, {"Accept": accept}
    answer = await one_gateway.http.post(path, params=params, json={"bytes": SIZE}, headers=headers)
    assert answer.status_code == 200
    text = answer.content.decode()
    if accept == "text/event-stream":
        text = text[text.index("event: result\ndata: ") + len("event: result\ndata: ") :].rstrip()
    if accept != "text/plain":
        text = json.loads(text)["content"][0]["text"]
    assert digest(text) == WHOLE
    await one_gateway.http.delete("/api/sessionid", params=params)


async def test_it_arrives_from_a_child_that_is_shared(tmp_path: Path) -> None:
    shared = light(isolation="user", max_message_bytes=SIZE + MIB)
    auth = {"bearer": {"tokens": ["alice-secret"]}}
    async with running({"light": shared}, tmp_path=tmp_path, auth=auth) as gateway:
        gateway.http.headers["Authorization"] = "Bearer alice-secret"
        session = await Streamable(gateway.http).open()
        assert digest(await session.call(1, "big", bytes=SIZE)) == WHOLE
        await session.delete()


async def test_it_arrives_over_a_websocket(one_gateway: Gateway) -> None:
    async with websocket(one_gateway.url) as session:
        assert digest(said(await session.ask(call(1, "big", bytes=SIZE)))) == WHOLE


@asynccontextmanager
async def asking(gateway: Gateway, session: Streamable, size: int) -> AsyncIterator[anyio.abc.SocketStream]:
    """A connection on which so much was asked for, and nothing has been read; its receive buffer is small."""
    url = httpx2.URL(gateway.url)
    assert url.port is not None
    body = json.dumps(call(1, "big", bytes=size)).encode()
    headers = {
        "Accept": "application/json",
        "Mcp-Session-Id": session.headers["Mcp-Session-Id"],
        "Content-Type": "application/json",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    head = f"POST /light/mcp HTTP/1.1\r\nHost: localhost\r\n{''.join(lines)}Content-Length: {len(body)}\r\n\r\n"
    async with await anyio.connect_tcp(url.host, url.port) as connection:
        await connection.send(head.encode() + body)
        yield connection


async def test_who_hangs_up_in_the_middle_leaves_a_session_that_goes_on(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    for _ in range(3):
        async with asking(one_gateway, session, SIZE) as connection:
            assert (await connection.receive()).startswith(b"HTTP/1.1 200")
    assert await session.call(2, "echo", text="still here") == "still here"
    await session.delete()


async def test_who_reads_slowly_holds_up_nobody_and_loses_nothing(one_gateway: Gateway) -> None:
    session, other = await Streamable(one_gateway.http).open(), await Streamable(one_gateway.http).open()
    async with asking(one_gateway, session, SIZE) as connection:
        received = [await connection.receive()]
        with anyio.fail_after(PATIENCE):
            for number in range(20):
                assert await other.call(number, "echo", text="quick") == "quick"
                assert await session.call(f"{number}", "echo", text="of the same child") == "of the same child"
        head = received[0].partition(b"\r\n\r\n")[0].decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        with anyio.fail_after(PATIENCE):
            while sum(map(len, received)) < length + len(head) + 4:
                received.append(await connection.receive())
    message = json.loads(b"".join(received).partition(b"\r\n\r\n")[2])
    assert digest(said(message)) == WHOLE
    await session.delete()
    await other.delete()


async def test_a_child_that_dies_in_the_middle_of_a_line_ends_its_own_session_alone(one_gateway: Gateway) -> None:
    session, other = await Streamable(one_gateway.http).open(), await Streamable(one_gateway.http).open()
    with watching((await session.call(1, "whoami"))["pid"]) as [child]:
        begun = '{"jsonrpc":"2.0","id":1,"result":{"text":"' + "x" * MIB
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.post, call(2, "hold"))
            await one_gateway.said("stderr: holding")
            await session.post(call(3, "begin_and_die", text=begun))
        await child.ended()
    assert await other.call(4, "echo", text="still here") == "still here"
    await other.delete()


async def test_a_long_line_that_is_no_message_is_noise(one_gateway: Gateway) -> None:
    session = await Streamable(one_gateway.http).open()
    before = (await one_gateway.health())["droppedMessages"].get("noise", 0)
    assert await session.call(1, "write", text="x" * MIB + "\n") == "written"
    assert await session.call(2, "echo", text="still here") == "still here"
    assert (await one_gateway.health())["droppedMessages"]["noise"] == before + 1
    await session.delete()


async def test_a_large_request_and_its_echo_pass_too(tmp_path: Path) -> None:
    async with running({"light": light()}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        text = 'é\n\\"😀' * (MIB // 2)
        assert await session.call(1, "echo", text=text) == text
        await session.delete()


async def test_it_costs_no_more_than_twice_its_bytes(tmp_path: Path) -> None:
    report = await measure(SIZE, 5, 2, tmp_path, doors=("json", "rest"))
    assert max(report.growth.values()) < 2.2 * SIZE
    assert len(list(shown(report))) == 7
