"""What a killed supervisor leaves falls to the launcher, which ends it, however fast it multiplies or moves."""

import os
import signal
from pathlib import Path

import pytest

from tests.support.gateway import light, running
from tests.support.processes import bearing
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
