"""A hundred sessions at once, each with a process of its own, and nothing left of them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil
import pytest

from tests.support.gateway import Gateway, running
from tests.support.processes import PATIENCE, open_files
from tests.support.rawmcp import Streamable, call, said, sse

pytestmark = pytest.mark.slow

HUNDRED = 100

LIGHT_ENOUGH = 10 * 1024 * 1024
"""Bytes of memory that are a light server's own (USS), so that they are gone when it ends.

Its resident size (RSS) is more, for that counts in each process the interpreter that all of them share.
"""

Whoami = Callable[[], Awaitable[Any]]
"""Asks the server of a session who it is."""


@asynccontextmanager
async def over_streamable_http(http: httpx2.AsyncClient) -> AsyncIterator[Whoami]:
    """A session of Streamable HTTP."""
    session = await Streamable(http).open()
    yield lambda: session.call(1, "whoami")
    assert (await session.delete()).status_code == 204


@asynccontextmanager
async def over_sse(http: httpx2.AsyncClient) -> AsyncIterator[Whoami]:
    """A session of HTTP+SSE."""
    async with sse(http) as session:

        async def whoami() -> Any:
            return said(await session.ask(call(1, "whoami")))

        yield whoami


@asynccontextmanager
async def over_rest(http: httpx2.AsyncClient) -> AsyncIterator[Whoami]:
    """A REST session id."""
    params = (await http.get("/api/sessionid")).json()

    async def whoami() -> Any:
        answer = await http.post("/api/light/whoami", params=params)
        return said({"result": answer.json()})

    yield whoami
    assert (await http.delete("/api/sessionid", params=params)).status_code == 204


@pytest.mark.parametrize("door", [over_streamable_http, over_sse, over_rest])
async def test_a_hundred_sessions_have_a_hundred_processes_and_leave_nothing(
    door: Callable[[httpx2.AsyncClient], AbstractAsyncContextManager[Whoami]], tmp_path: Path
) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        assert (await gateway.health())["sessions"] == 0
        before = _descriptors(gateway)
        async with _connections(gateway) as http, AsyncExitStack() as stack:
            sessions = [await stack.enter_async_context(door(http)) for _ in range(HUNDRED)]
            pids: set[int] = set()
            async with anyio.create_task_group() as tasks:
                for whoami in sessions:
                    tasks.start_soon(_meet, whoami, pids)
            assert len(pids) == HUNDRED
            assert gateway.children() == pids
            assert (await gateway.health())["sessions"] == HUNDRED
            assert max(psutil.Process(pid).memory_full_info().uss for pid in pids) <= LIGHT_ENOUGH
        await gateway.gone(HUNDRED)
        await gateway.said(r"supervisor wiped ", HUNDRED)  # which goes on after a tree is gone
        assert gateway.children() == set()
        report = await gateway.health()
        assert (report["sessions"], report["children"]) == (0, {"running": 0, "ending": 0, "waiting": 0})
        await _back_to(before, gateway)


async def test_a_connection_that_its_client_has_closed_is_closed(one_gateway: Gateway) -> None:
    url = httpx2.URL(one_gateway.url)
    assert url.port is not None
    with anyio.fail_after(PATIENCE):
        async with await anyio.connect_tcp(url.host, url.port) as connection:
            await connection.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await connection.receive()).startswith(b"HTTP/1.1 200")
            await connection.send_eof()
            async for _ in connection:
                pass  # until the gateway, too, has closed it


@asynccontextmanager
async def _connections(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """As many connections as it takes, and none of them kept afterwards."""
    limits = httpx2.Limits(max_connections=None)
    async with httpx2.AsyncClient(base_url=gateway.url, timeout=PATIENCE, limits=limits) as http:
        yield http


async def _meet(whoami: Whoami, pids: set[int]) -> None:
    pids.add((await whoami())["pid"])


def _descriptors(gateway: Gateway) -> dict[str, int]:
    """How many descriptors each of the two programs has."""
    return {name: open_files(gateway.program(name)) for name in ("supervisor", "gateway")}


async def _back_to(before: dict[str, int], gateway: Gateway) -> None:
    """Wait until both programs have as many descriptors as before.

    The kernel tells nobody when another process closes its end of a connection, so the gateway is asked something, and
    the descriptors are counted again once it has answered.
    """
    with anyio.move_on_after(PATIENCE):
        while _descriptors(gateway) != before:
            await gateway.health()
    assert _descriptors(gateway) == before
