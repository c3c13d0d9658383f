"""How long it takes to open a session over HTTP (`initialize` until its answer), cold and from a spare.

    python -m benchmarks.warm_spares [COMMAND …]

Starts a gateway of its own with one server, which runs COMMAND (the tests' light server, if none is given), and prints
the median and the 99th percentile in milliseconds: of sessions one after the other, without and with a spare; of a burst
as large as the pool; and of ten arrivals a second, at odd intervals, with `warm: auto`.
"""

import asyncio
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
LIGHT: Final = [sys.executable, "-I", "-S", str(ROOT / "tests" / "servers" / "light.py")]
POOL: Final = 8
RATE: Final = 10.0
ARRIVALS: Final = 300
_INITIALIZE: Final = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}},
}


class Gateway:
    """One that runs, and what it used."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.process = process
        self.port = port

    async def ask(self, method: str, path: str, headers: str = "", body: bytes = b"") -> tuple[bytes, bytes]:
        """One request on a connection of its own; the head and the body of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n{headers}"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.read()
        writer.close()
        head_, _, rest = answer.partition(b"\r\n\r\n")
        return head_, rest

    async def open(self) -> tuple[float, str]:
        """Open a session; seconds until the answer was there, and the session's id."""
        headers = "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
        began = time.perf_counter()
        head, body = await self.ask("POST", "/bench/mcp", headers, json.dumps(_INITIALIZE).encode())
        took = time.perf_counter() - began
        found = re.search(rb"(?i)mcp-session-id: (\S+)", head)
        if found is None or b"serverInfo" not in body:
            raise RuntimeError(f"no session: {head!r} {body!r}")
        return took, found[1].decode()

    async def close(self, session: str) -> None:
        """End a session."""
        await self.ask("DELETE", "/bench/mcp", f"Mcp-Session-Id: {session}\r\n")

    async def spares(self) -> int:
        """How many there are."""
        _, body = await self.ask("GET", "/health")
        servers = json.loads(body[body.index(b"{") : body.rindex(b"}") + 1])["servers"]
        return int(servers["bench"].get("warm", 0))

    async def has(self, spares: int) -> None:
        """Wait until there are so many spares, and another moment, in which the last of them starts."""
        while await self.spares() < spares:  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.1)
        await asyncio.sleep(2.0)


@asynccontextmanager
async def gateway(command: list[str], **keys: object) -> AsyncIterator[Gateway]:
    """A gateway with one server that runs `command`."""
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.yaml"
        server = {"command": command[0], "args": command[1:]}
        settings = {"port": 0, "list_at_start": False, "runtime_dir": directory, **keys, "servers": {"bench": server}}
        config.write_text(json.dumps(settings))
        log = Path(directory) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
                [str(Path(sys.executable).with_name("mcp-gateway")), "serve", "--config", str(config)],
                stderr=file,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        try:
            while (found := re.search(r"http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
                await asyncio.sleep(0.1)
                if process.poll() is not None:
                    raise RuntimeError(log.read_text())
            yield Gateway(process, int(found[1]))
        finally:
            process.terminate()
            process.wait()


def tell(what: str, seconds: list[float]) -> None:
    """One line."""
    hundredths = statistics.quantiles(seconds, n=100, method="inclusive")
    print(f"{what:44} median {hundredths[49] * 1e3:7.1f} ms   p99 {hundredths[98] * 1e3:7.1f} ms   n {len(seconds)}")


async def one_by_one(command: list[str], number: int, warm: int) -> list[float]:
    """Sessions one after the other, each with a spare, if there are any."""
    took = []
    async with gateway(command, warm=warm) as here:
        for _ in range(number):
            if warm:
                await here.has(warm)
            seconds, session = await here.open()
            took.append(seconds)
            await here.close(session)
    return took


async def burst(command: list[str], times: int) -> list[float]:
    """As many sessions at once as there are spares."""
    took = []
    async with gateway(command, warm=POOL) as here:
        for _ in range(times):
            await here.has(POOL)
            opened = await asyncio.gather(*[here.open() for _ in range(POOL)])
            took += [seconds for seconds, _ in opened]
            for _, session in opened:
                await here.close(session)
    return took


async def arrivals(command: list[str], warm: object) -> list[float]:
    """Sessions that come as they like, and stay for a second."""
    took = []

    async with gateway(command, warm=warm) as here:

        async def one(counts: bool) -> None:
            seconds, session = await here.open()
            if counts:
                took.append(seconds)
            await asyncio.sleep(1.0)
            await here.close(session)

        tasks = []
        for number in range(ARRIVALS):
            tasks.append(asyncio.create_task(one(number >= ARRIVALS // 6)))
            await asyncio.sleep(random.expovariate(RATE))
        await asyncio.gather(*tasks)
    return took


async def main() -> None:
    """All of it."""
    if sys.argv[1:2] in (["-h"], ["--help"]):
        print(__doc__)
        return
    command = sys.argv[1:] or LIGHT
    number = 15 if sys.argv[1:] else 40
    tell("one after the other, cold", await one_by_one(command, number, 0))
    tell("one after the other, from a spare", await one_by_one(command, number, 2))
    tell(f"{POOL} at once on {POOL} spares", await burst(command, 6))
    if not sys.argv[1:]:
        tell(f"{RATE:g} arrivals a second, 'warm: auto'", await arrivals(command, "auto"))
        tell(f"{RATE:g} arrivals a second, cold", await arrivals(command, 0))


if __name__ == "__main__":
    asyncio.run(main())
