"""A session that takes more than it may ends, says why, and takes nobody with it; where nothing but a look can tell."""

import os
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from tests.support.gateway import light, running
from tests.support.processes import PATIENCE, watching
from tests.support.rawmcp import Streamable, call

pytestmark = pytest.mark.slow

MIB = 1 << 20


async def ended_by(tool: str, tmp_path: Path, reason: str, limits: dict[str, Any], **arguments: Any) -> None:
    """A session whose call of `tool` is its last, for this `reason`; its neighbour lives on."""
    servers = {"light": light(limits=limits)}
    async with running(servers, tmp_path=tmp_path) as gateway:
        one, neighbour = [await Streamable(gateway.http).open() for _ in range(2)]
        pid = (await one.call(1, "whoami"))["pid"]
        before = await neighbour.call(1, "whoami")
        with watching(pid) as [server]:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(one.post, call(2, tool, **arguments))
                await server.ended()
        await gateway.said(f"is gone: {reason}")
        answer = await one.post(call(3, "echo", text="?"))
        assert answer.status_code == 404
        assert reason in answer.text
        assert await neighbour.call(2, "whoami") == before
        assert gateway.children() == {before["pid"]}


async def test_a_hog_ends_by_its_memory(tmp_path: Path) -> None:
    await ended_by("hog", tmp_path, "memory_max", {"memory_max": "100MiB"}, bytes=300 * MIB)


async def test_a_breeder_ends_by_its_tasks(tmp_path: Path) -> None:
    await ended_by("breed", tmp_path, "tasks_max", {"tasks_max": 20}, count=40)


async def test_who_writes_too_large_a_file_ends_by_its_size(tmp_path: Path) -> None:
    path = str(tmp_path / "file")
    await ended_by("grow", tmp_path, "file_size_max", {"file_size_max": "64KiB"}, path=path, bytes=MIB)
    assert (tmp_path / "file").stat().st_size == 1 << 16


async def test_the_error_of_a_call_in_flight_names_the_limit(tmp_path: Path) -> None:
    async with running({"light": light(limits={"memory_max": "100MiB"})}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.post, call(1, "hog", bytes=300 * MIB))
            answer = await session.post(call(2, "hold"))
        assert answer.json()["error"]["data"]["code"] == "memory_max"


async def test_who_uses_more_than_its_processors_gives_way(tmp_path: Path) -> None:
    async with running({"light": light(limits={"cpu_max": 0.1})}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        spinning = psutil.Process(await session.call(1, "spin"))
        with anyio.fail_after(PATIENCE):
            while os.getpriority(os.PRIO_PROCESS, spinning.pid) == 0:
                await session.call(2, "echo", text="still there")
        assert os.getpriority(os.PRIO_PROCESS, spinning.pid) == 19


async def test_a_child_may_open_no_more_files_than_it_may(tmp_path: Path) -> None:
    async with running({"light": light(limits={"open_files_max": 64})}, tmp_path=tmp_path) as gateway:
        session = await Streamable(gateway.http).open()
        pid = (await session.call(1, "whoami"))["pid"]
        assert psutil.Process(pid).rlimit(psutil.RLIMIT_NOFILE) == (64, 64)


async def test_nothing_below_the_supervisor_can_take_off_its_tag(tmp_path: Path) -> None:
    get_away = "prlimit --rttime=unlimited: true; ulimit -R unlimited 2>/dev/null; cat /proc/self/limits"
    async with running(tmp_path=tmp_path) as gateway:
        await gateway.said("tags are sealed")
        session = await Streamable(gateway.http).open()
        tried = await session.call(1, "run", script=get_away)
        assert "Operation not permitted" in tried["err"]
        tag = next(line.split()[3] for line in tried["out"].splitlines() if line.startswith("Max realtime timeout"))
        assert tag.isdecimal()


async def test_who_fills_its_own_directory_ends_by_its_size(tmp_path: Path) -> None:
    fill = 'head -c 400000 /dev/zero > "$HOME/file"'
    await ended_by("run", tmp_path, "dir_size_max", {"dir_size_max": "256KiB"}, script=fill)
