"""What the lane does not take is answered as Hypercorn alone answers it, byte for byte."""

import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import anyio
import pytest
from hypercorn.asyncio import serve
from hypercorn.config import Config

from gateway import server
from gateway.hot.exchange import Head
from gateway.lane import carrier
from gateway.lane.request import MAX_BODY
from tests.gateway.lane.served import Client, Doors, Served, plain, post, served
from tests.gateway.lane.test_request import DOUBTFUL

REST = 0.3
"""Seconds that a connection may rest here, for then it is known that nothing more comes."""

OTHERS = {
    "nothing": b"",
    "one that the hot doors do not want": post("/cold", b"{}"),
    "two of them": post("/cold", b"1") + post("/cold", b"2"),
    "the last of them": post("/cold", b"1", "Connection: close") + post("/cold", b"2"),
    "HTTP/1.0": b"GET /cold HTTP/1.0\r\n\r\n",
    "HTTP/1.0 that stays": b"GET /cold HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "chunks": b"POST /cold HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    + post("/cold"),
    "a word that is waited for": post("/cold", b"{}", "Expect: 100-continue"),
    "a HEAD": b"HEAD /cold HTTP/1.1\r\nHost: a\r\n\r\n",
    "percent signs": post("/c%6Fld%20%ff%zz%"),
    "garbage behind": post("/cold", b"{}") + b"\0\r\n\r\n",
    "half a head": post("/cold")[:-3],
    "a large body": DOUBTFUL["a large body"] + b"x" * (MAX_BODY + 1),
    "a client that waits for a word": DOUBTFUL["a client that waits for a word"] + b"x",
}

HTTP2 = {
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "an upgrade and more": DOUBTFUL["an upgrade and more"],
}


@asynccontextmanager
async def hypercorn_alone() -> AsyncIterator[Served]:
    config = Config()
    listener = socket.create_server(("127.0.0.1", 0))
    alone = Served(listener, Doors())
    config.bind = [f"fd://{listener.detach()}"]
    config.keep_alive_timeout = REST
    config.include_server_header = False
    config.errorlog = None
    started = anyio.Event()

    async def until() -> None:
        started.set()
        await alone.stop.wait()

    async def run() -> None:
        await serve(cast("Any", plain), config, shutdown_trigger=until)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await started.wait()
        yield alone
        alone.stop.set()


def undated(data: bytes) -> bytes:
    return re.sub(rb"date: [^\r]*", b"", data)


async def answered(here: Served, data: bytes) -> bytes:
    """All that comes, but for the time of day. It may come to an end while the client still sends."""
    async with await anyio.connect_tcp("127.0.0.1", here.port) as stream:
        client = Client(stream)
        try:
            await client.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            return b"broken"
        return undated(await client.rest())


async def test_every_answer_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "KEEP_ALIVE", REST)
    monkeypatch.setattr(carrier, "PATIENCE", REST / 3)
    monkeypatch.setattr(
        Doors, "takes", lambda doors, head: None if head.path.startswith("/c") else partial(doors.answer, head)
    )
    found: dict[str, list[bytes]] = {}
    asked = {name: data for name, data in {**DOUBTFUL, **OTHERS}.items() if name not in HTTP2}

    async def ask(name: str, where: Served) -> None:
        found.setdefault(name, []).append(await answered(where, asked[name]))

    async with served() as here, hypercorn_alone() as alone, anyio.create_task_group() as tasks:
        for name in asked:
            tasks.start_soon(ask, name, here)
            tasks.start_soon(ask, name, alone)
    assert {name: each for name, each in found.items() if len(set(each)) != 1} == {}
    assert found["two of them"][0].count(b"HTTP/1.1 200 ") == 2
    assert here.doors.heard == []


@pytest.mark.parametrize("data", HTTP2.values(), ids=HTTP2.keys())
async def test_http_2_is_hypercorns_and_stays_so(data: bytes) -> None:
    async with served() as here, hypercorn_alone() as alone, here.client() as client, alone.client() as other:
        for each in (client, other):
            await each.send(data)
        settings = [undated(await each.until(b"\0\0*\4\0\0\0\0\0")) for each in (client, other)]
        assert settings[0] == settings[1]
    assert here.doors.heard == []


@pytest.mark.parametrize("path", ["/cold", "/hot/echo"])
async def test_an_answer_has_the_headers_that_hypercorn_writes(path: str) -> None:
    async with served() as here, hypercorn_alone() as alone, here.client() as client, alone.client() as other:
        names = []
        for each in (client, other):
            await each.send(post(path))
            names.append({line.partition(b":")[0] for line in (await each.answer())[0].splitlines()})
    assert {*names[0]} - {b"x-path"} == names[1]


def test_a_head_of_nobody_is_none_of_theirs() -> None:
    assert not carrier.NothingHot().takes(Head("GET", "/", "", (), "", "1.1"))
