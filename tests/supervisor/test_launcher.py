"""What a killed supervisor leaves falls to the launcher, which ends it, however fast it multiplies or moves."""

import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import anyio.abc
import pytest

from supervisor.client import connect
from tests.support.gateway import LIGHT, QUICK, light, running, write_config
from tests.support.processes import PATIENCE, bearing
from tests.support.rawmcp import Streamable

pytestmark = pytest.mark.slow

UNLIMITED = {"tasks_max": None, "memory_max": None}


@pytest.mark.parametrize("tool", ["forker", "rabbit"])
@pytest.mark.parametrize("victim", ["supervisor", "gateway"])
async def test_below_a_killed_program_nothing_is_left(tmp_path: Path, tool: str, victim: str) -> None:
    async with running({"light": light(limits=UNLIMITED)}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        await session.call(1, tool)
        os.kill(gateway.program(victim), signal.SIGKILL)
        assert await gateway.process.wait() != 0
        assert bearing(gateway.marker) == []


@pytest.mark.parametrize("tool", ["forker", "rabbit"])
async def test_a_session_that_ends_takes_it_along(tmp_path: Path, tool: str) -> None:
    server = light(limits=UNLIMITED, stop_grace="100ms", terminate_grace="100ms")
    async with running({"light": server}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        await session.call(1, tool)
        await session.delete()
        await gateway.gone(1)
        assert gateway.children() == set()


async def test_beside_a_program_it_keeps_none_of_what_that_one_has_open(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "config.yaml", {**QUICK, "servers": {"light": LIGHT}, "runtime_dir": str(tmp_path / "runtime")}
    )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    heard, open_by_chance = os.pipe()
    beside = ["--beside", str(os.getpid()), str(theirs.fileno()), str(config)]
    command = [sys.executable, "-P", "-m", "supervisor.launcher", *beside]
    process = await anyio.open_process(command, pass_fds=[theirs.fileno(), open_by_chance], stdout=None, stderr=None)
    os.close(open_by_chance)
    theirs.close()
    try:
        async with connect(await anyio.abc.UNIXSocketStream.from_socket(ours)):
            with anyio.fail_after(PATIENCE):
                await anyio.wait_readable(heard)
            assert os.read(heard, 1) == b""
    finally:
        os.close(heard)
        await process.wait()
        await process.aclose()
