"""Sessions that are forked from a zygote, below a real supervisor, whose tags are sealed."""

import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.gateway import light, running
from tests.support.processes import watching
from tests.support.rawmcp import Streamable

pytestmark = pytest.mark.slow


async def test_a_forked_session_bears_a_tag_of_its_own_that_it_cannot_take_off(tmp_path: Path) -> None:
    get_away = "prlimit --rttime=unlimited: true; cat /proc/self/limits"
    async with running({"light": light(zygote=True)}, tmp_path=tmp_path) as gateway:
        await gateway.said("tags are sealed")
        zygote = int((await gateway.said(r"zygote pid (\d+) is ready"))[1])
        its_tag = psutil.Process(zygote).rlimit(psutil.RLIMIT_RTTIME)[0]
        tags, pids = {its_tag}, set()
        sessions = [await Streamable(gateway.http).open() for _ in range(2)]
        for session in sessions:
            whoami = await session.call(1, "whoami")
            pids.add(whoami["pid"])
            assert whoami["ppid"] == gateway.program("supervisor")
            assert psutil.Process(whoami["pid"]).cmdline() == psutil.Process(zygote).cmdline()
            tried = await session.call(2, "run", script=get_away)
            assert "Operation not permitted" in tried["err"]
            line = next(line for line in tried["out"].splitlines() if line.startswith("Max realtime timeout"))
            tags.add(int(line.split()[3]))
        assert len(tags) == 3
        for session in sessions:
            await session.delete()
        await gateway.gone(2)
        # What is left is the zygote, and the fork that waits for the next session.
        left = gateway.children()
        assert zygote in left
        assert not pids & left
        assert {psutil.Process(pid).rlimit(psutil.RLIMIT_RTTIME)[0] for pid in left if psutil.pid_exists(pid)} == {
            its_tag
        }


@pytest.mark.parametrize("victim", ["supervisor", "gateway"])
async def test_whoever_dies_nothing_is_left_of_zygote_and_session(tmp_path: Path, victim: str) -> None:
    async with running({"light": light(zygote=True)}, tmp_path=tmp_path) as gateway:
        zygote = int((await gateway.said(r"zygote pid (\d+) is ready"))[1])
        session = await Streamable(gateway.http).open()
        pids = [(await session.call(1, "whoami"))["pid"], await session.call(2, "helper"), zygote]
        with watching(*pids) as processes:
            os.kill(gateway.program(victim), signal.SIGKILL)
            for process in processes:
                await process.ended()
        await gateway.process.wait()


async def test_a_reload_that_changes_a_server_makes_its_zygote_anew(tmp_path: Path) -> None:
    async with running({"light": light(zygote=True)}, tmp_path=tmp_path) as gateway:
        zygote = int((await gateway.said(r"zygote pid (\d+) is ready"))[1])
        before = await Streamable(gateway.http).open()
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text().replace("zygote: true", "zygote: true\n    env: {WORD: new}"))
        with watching(zygote) as [old]:
            gateway.process.send_signal(signal.SIGHUP)
            await old.ended()
        await gateway.said(r"zygote pid \d+ is ready", times=2)
        after = await Streamable(gateway.http).open()
        assert (await after.call(1, "run", script="echo $WORD"))["out"] == "new\n"
        assert (await before.call(1, "run", script="echo $WORD"))["out"] == "\n"
        for session in (before, after):
            await session.delete()
