"""A regression in speed is caught by counting, for a clock would depend on the machine and on what else runs there.

The bounds are in `bounds.json`, a little above what is counted. Whoever makes a call cheaper lowers them.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.benchmarks.tracing import parse, system_calls
from tests.support.gateway import Gateway, running
from tests.support.processes import PATIENCE
from tests.support.rawmcp import BOTH, HELLO, call, notification, request

BOUNDS: dict[str, dict[str, int]] = json.loads((Path(__file__).parent / "bounds.json").read_text())
OF_CALLS = BOUNDS["system calls of the gateway for each call of a tool"]
CALLS = 200

SUMMARY = """% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000012           1        12           epoll_wait
 40.00    0.000008           1         8         2 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    0.000020           1        20         2 total
"""


def test_a_table_of_strace_is_read() -> None:
    assert parse(SUMMARY) == {"epoll_wait": 12, "recvfrom": 8}


class Keeper:
    """One connection that is kept, on which one request follows the other."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self._stream = stream
        self._rest = b""

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[bytes, bytes]:
        """The head and the body of the answer, which is not one in pieces."""
        data = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append("Content-Type: application/json")
        await self._stream.send("\r\n".join([*lines, "", ""]).encode() + data)
        head = await self._until(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0
        )
        while len(self._rest) < length:
            self._rest += await self._stream.receive()
        found, self._rest = self._rest[:length], self._rest[length:]
        return head, found

    async def _until(self, end: bytes) -> bytes:
        while end not in self._rest:
            self._rest += await self._stream.receive()
        head, _, self._rest = self._rest.partition(end)
        return head

    async def begin(self, path: str) -> None:
        """Ask for a stream; its events are read by `event`."""
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
        await self._stream.send(head.encode())

    async def event(self) -> bytes:
        """The data of the next event of a stream, whatever pieces it comes in."""
        while True:
            line = await self._until(b"\n")
            if line.startswith(b"data: "):
                return line.strip()[len(b"data: ") :]


@asynccontextmanager
async def connection(gateway: Gateway) -> AsyncIterator[Keeper]:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        with anyio.fail_after(PATIENCE):
            yield Keeper(stream)


async def streamable(gateway: Gateway, counted: Any) -> None:
    """CALLS calls through Streamable HTTP, `counted` in a context."""
    async with connection(gateway) as keeper:
        head, _ = await keeper.ask("POST", "/light/mcp", request(0, "initialize", HELLO), **BOTH)
        id_ = next(line for line in head.decode().split("\r\n") if line.lower().startswith("mcp-session-id"))
        headers = {**BOTH, "Mcp_Session_Id": id_.split(": ")[1]}
        await keeper.ask("POST", "/light/mcp", notification("notifications/initialized"), **headers)
        await keeper.ask("POST", "/light/mcp", call(1, "echo", text="before"), **headers)
        async with counted:
            for number in range(CALLS):
                _, body = await keeper.ask("POST", "/light/mcp", call(number, "echo", text="hello"), **headers)
                assert b"hello" in body


async def sse(gateway: Gateway, counted: Any) -> None:
    """The same through HTTP+SSE, the answers on a stream of their own."""
    async with connection(gateway) as stream, connection(gateway) as keeper:
        await stream.begin("/light/sse")
        path = "/light/" + (await stream.event()).decode()
        await keeper.ask("POST", path, request(0, "initialize", HELLO))
        await stream.event()
        await keeper.ask("POST", path, notification("notifications/initialized"))
        await keeper.ask("POST", path, call(1, "echo", text="before"))
        await stream.event()
        async with counted:
            for number in range(CALLS):
                await keeper.ask("POST", path, call(number, "echo", text="hello"))
                assert b"hello" in await stream.event()


async def rest(gateway: Gateway, counted: Any) -> None:
    """The same through REST."""
    async with connection(gateway) as keeper:
        _, body = await keeper.ask("GET", "/api/sessionid")
        path = f"/api/light/echo?sessionId={json.loads(body)['sessionId']}"
        await keeper.ask("POST", path, {"text": "before"})
        async with counted:
            for _ in range(CALLS):
                _, body = await keeper.ask("POST", path, {"text": "hello"})
                assert b"hello" in body


@pytest.mark.slow
@pytest.mark.parametrize(
    ("door", "calls"), [("Streamable HTTP", streamable), ("HTTP+SSE", sse), ("REST", rest)], ids=["mcp", "sse", "rest"]
)
async def test_a_call_makes_no_more_system_calls_than_it_did(door: str, calls: Any, tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        counter = system_calls(gateway.program("gateway"), tmp_path / "table")
        found: dict[str, int] = {}

        @asynccontextmanager
        async def counted() -> AsyncIterator[None]:
            async with counter as counts:
                yield
            found.update(counts)

        await calls(gateway, counted())
    each = sum(found.values()) / CALLS
    assert each <= OF_CALLS[door], {name: number / CALLS for name, number in found.items()}
