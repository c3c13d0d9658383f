"""Clients whose requests come in pieces, while something else happens."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import anyio.abc
import httpx2
import pytest

from common.reasons import Reason
from supervisor.protocol import Open, Refused, Renew
from tests.support.gateway import Gateway, light, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import HELLO, request
from tests.support.supervisor import played

pytestmark = pytest.mark.slow


@asynccontextmanager
async def connection(gateway: Gateway) -> AsyncIterator[anyio.abc.SocketStream]:
    """A connection to the gateway on which one writes what one likes."""
    parts = urlsplit(gateway.url)
    assert parts.hostname is not None
    assert parts.port is not None
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(parts.hostname, parts.port) as stream:
            yield stream


def head(gateway: Gateway, first: str, *headers: str) -> bytes:
    """The head of a request."""
    return "\r\n".join((f"{first} HTTP/1.1", f"Host: {urlsplit(gateway.url).netloc}", *headers, "", "")).encode()


async def test_a_call_whose_session_set_ends_before_its_body_came_spawns_nothing(one_gateway: Gateway) -> None:
    id_ = await one_gateway.session_id()
    spawned = len(one_gateway.lines)
    async with connection(one_gateway) as slow:
        call = f"POST /api/light/whoami?sessionId={id_}"
        await slow.send(
            head(one_gateway, call, "Content-Type: application/json", "Content-Length: 2", "Expect: 100-continue")
        )
        assert b"100" in await slow.receive()  # its head was read
        await slow.send(b"{")
        await one_gateway.health()
        await one_gateway.http.delete(f"/api/sessionid?sessionId={id_}")
        await slow.send(b"}")
        answer = await slow.receive()
    assert answer.startswith(b"HTTP/1.1 404"), answer
    assert not any("spawned" in line for line in one_gateway.lines[spawned:])


async def test_a_client_that_leaves_before_its_event_stream_begins_leaves_no_session(one_gateway: Gateway) -> None:
    async with connection(one_gateway) as client:
        await client.send(head(one_gateway, "GET /light/sse", "Content-Length: 5"))
        await one_gateway.said("spawned light")
        await one_gateway.health()  # the supervisor's answer to that comes behind the child
    await one_gateway.said("session .* ended: client_gone")
    await one_gateway.quiet()


async def test_who_takes_no_event_stream_gets_the_answer_to_initialize_and_nothing_else(tmp_path: Path) -> None:
    async with running({"light": light("--chatty")}, tmp_path=tmp_path) as gateway:
        json_only = {"Accept": "application/json"}
        answer = await gateway.http.post("/light/mcp", json=request(1, "initialize", HELLO), headers=json_only)
        assert answer.json()["result"]["serverInfo"]["name"] == "light"
        assert "mcp-session-id" in answer.headers


async def test_whoever_waits_for_a_child_that_is_refused_is_refused_alike() -> None:
    async with played() as (supervisor, gateway):

        async def later(_: Open) -> None:
            """Not yet."""

        supervisor.on_open = later
        id_ = await gateway.session_id()
        answers: list[httpx2.Response] = []

        async def call() -> None:
            answers.append(await gateway.call(id_, "whoami"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            opening = await supervisor.told(Open)
            tasks.start_soon(call)
            await gateway.health()
            supervisor.refuse(Reason.MAX_SESSIONS, "too many", 7)
            await supervisor.send(Refused(opening.ref, Reason.MAX_SESSIONS, "too many", 7))
        for answer in answers:
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "max_sessions"), answer.text
            assert answer.headers["retry-after"] == "7"


async def test_who_hangs_up_on_the_handshake_takes_nobody_along() -> None:
    async with played() as (supervisor, gateway):

        async def mute(request: Open) -> None:
            await supervisor.spawn(request, "--mute")

        supervisor.on_open = mute
        call = head(gateway, f"POST /api/light/echo?sessionId={await gateway.session_id()}", "Content-Length: 0")
        async with connection(gateway) as second:
            async with connection(gateway) as first:
                await first.send(call)
                await supervisor.told(Renew)  # it is in the middle of its handshake
                supervisor.on_open = supervisor.spawn
                await second.send(call)
                await gateway.health()
                await gateway.health()
            assert (await second.receive()).startswith(b"HTTP/1.1 200")
