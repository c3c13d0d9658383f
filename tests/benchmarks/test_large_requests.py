"""What a large request takes is free again once it is over, and no collector is waited for, which looks seldom."""

import gc
import http.client
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from tests.benchmarks.inside import Streamable, gateway_here
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

SIZE = 2 * 1024 * 1024
TIMES = 6
BODY = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {"x": "x" * SIZE}}).encode()


def answered(port: int, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/light/mcp", BODY, headers)
    assert json.loads(connection.getresponse().read())["result"] == {}
    connection.close()


def cut_off(port: int, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.putrequest("POST", "/light/mcp")
    for name, value in {**headers, "Content-Length": f"{len(BODY)}"}.items():
        connection.putheader(name, value)
    connection.endheaders(BODY[: SIZE // 2])
    connection.close()


@pytest.mark.parametrize("ask", [answered, cut_off])
def test_of_large_requests_that_are_over_nothing_is_held(
    ask: Callable[[int, dict[str, str]], None], tmp_path: Path
) -> None:
    async def counting() -> None:
        async with gateway_here(tmp_path) as port:
            session = await anyio.to_thread.run_sync(Streamable, port)

            def many() -> None:
                for _ in range(TIMES):
                    ask(port, session.headers)
                session.call()

            await anyio.to_thread.run_sync(many)
            gc.collect()
            gc.disable()
            tracemalloc.start()
            try:
                await anyio.to_thread.run_sync(many)
                held = SIZE
                with anyio.move_on_after(PATIENCE):  # the gateway may still be reading what was cut off
                    while held >= SIZE // 2:
                        await anyio.to_thread.run_sync(session.call)
                        held, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
                gc.enable()
                await anyio.to_thread.run_sync(session.close)
            assert held < SIZE // 2, f"{held} bytes are held of {TIMES} requests"

    anyio.run(counting)
