"""The configuration is read again, and the programs are told to end, while every door is busy."""

import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from tests.support.gateway import QUICK, Gateway, light, running, write_config
from tests.support.rawmcp import Streamable, call, said, sse
from tests.support.storm import DOORS, session_of

pytestmark = pytest.mark.slow

SIZE = 16 << 20
READ = r"supervisor the configuration was read again"


def servers(generation: int) -> dict[str, Any]:
    """One server that changes with each generation, and has spares; one that has spares, and stays as it is."""
    return {
        "changing": light("--generation", str(generation), env={"GENERATION": str(generation)}, warm=2),
        "staying": light(warm=1),
    }


class Reloads:
    """Reads the configuration again and again, and knows which generation there is."""

    def __init__(self, gateway: Gateway, directory: Path) -> None:
        self.generation = 0
        self.is_over = False
        self.sessions = 0
        self._gateway = gateway
        self._directory = directory

    async def play(self, times: int) -> None:
        """So many reloads, each of which changes a server."""
        supervisor = self._gateway.program("supervisor")
        for number in range(1, times + 1):
            keys = {**QUICK, "runtime_dir": str(self._directory / "runtime"), "servers": servers(number)}
            write_config(self._directory / "config.yaml", keys)
            os.kill(supervisor, signal.SIGHUP)
            await self._gateway.said(READ, number)
            self.generation = number
        self.is_over = True

    async def use(self, server: str, door: str) -> None:
        """One session after the other: each is of one generation until its end, and of none that was over before."""
        while not self.is_over:
            before = self.generation
            async with session_of(door, self._gateway.http, server) as ask:
                seen = [await ask("environment") for _ in range(2)]
                assert await ask("echo", text=f"{server} {door}") == f"{server} {door}"
                again = self.generation
                while self.generation == again and not self.is_over:
                    assert await ask("add", text="one")
                seen.append(await ask("environment"))
            generations = {each.get("GENERATION", "none") for each in seen}
            assert len(generations) == 1, "a session has gone on with another child"
            if server == "changing":
                assert int(generations.pop()) >= before
            self.sessions += 1


async def test_fifty_reloads_under_load_cost_nobody_a_session_and_whoever_comes_later_has_the_new_server(
    tmp_path: Path,
) -> None:
    async with running(servers(0), tmp_path=tmp_path, debug={"level": "info"}) as gateway:
        reloads = Reloads(gateway, tmp_path)
        async with anyio.create_task_group() as tasks:
            for server in servers(0):
                for door in DOORS:
                    tasks.start_soon(reloads.use, server, door)
            await reloads.play(50)
        assert reloads.sessions >= 2 * len(DOORS)
        # And what stands ready by now is of the newest.
        await gateway.warm("changing", 2)
        async with session_of("streamable", gateway.http, "changing") as ask:
            assert (await ask("environment"))["GENERATION"] == "50"
        assert not [line for line in gateway.lines if " ERROR " in line]


async def test_told_to_end_in_the_midst_of_streams_and_of_a_long_answer_it_ends_in_order(tmp_path: Path) -> None:
    long = light(warm=2, max_message_bytes=SIZE + 1024)
    async with running({"light": long}, tmp_path=tmp_path, drain_timeout="3s") as gateway:
        session, other = [await Streamable(gateway.http).open() for _ in range(2)]
        outcomes: dict[str, Any] = {}
        begun = anyio.Event()

        async def read_the_long_one() -> None:
            message = call("long", "big", bytes=SIZE)
            data = b""
            try:
                async with gateway.http.stream("POST", "/light/mcp", json=message, headers=session.headers) as answer:
                    async for part in answer.aiter_bytes():
                        data += part
                        begun.set()
            except httpx2.TransportError as error:
                outcomes["long"] = error
            else:
                outcomes["long"] = len(said(json.loads(data.decode().rpartition("data: ")[2])))

        async def wait_for_what_never_comes() -> None:
            try:
                outcomes["held"] = (await other.post(call("held", "hold", text="x"))).json()
            except httpx2.TransportError as error:
                outcomes["held"] = error

        async with AsyncExitStack() as stack, anyio.create_task_group() as tasks:
            standing = await stack.enter_async_context(session.listening())
            await standing.primed()
            stream = await stack.enter_async_context(sse(gateway.http))
            tasks.start_soon(wait_for_what_never_comes)
            await gateway.said("stderr: holding")
            tasks.start_soon(read_the_long_one)
            await begun.wait()
            gateway.process.send_signal(signal.SIGTERM)
            assert await standing.at_end()
            assert await stream.events.at_end()
        await gateway.process.wait()
        assert gateway.process.returncode == 0
        assert outcomes["long"] == SIZE
        assert "error" in outcomes["held"], outcomes
