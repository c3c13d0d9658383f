"""Spares over HTTP: a session is given one that nobody has used, and nothing of it outlives anybody."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.apart import gateway as gateway_at
from tests.support.apart import stop
from tests.support.apart import supervisor as supervisor_at
from tests.support.gateway import LIGHT, MODERN, ROOT, SERVERS, light, running, write_config
from tests.support.processes import watching
from tests.support.rawmcp import Streamable
from tests.support.users import KEYS, of

pytestmark = pytest.mark.slow

SETTLED = "a spare of {} has settled"
MODES: list[dict[str, Any]] = [
    {"reaping": "cgroup"},
    {"reaping": "namespace"},
    {"reaping": "tagged"},
    {"reaping": "tagged", "sandbox": {"kind": "bubblewrap", "writable": [str(ROOT)]}},
]


@pytest.mark.usefixtures("leaves_empty_cgroups")
@pytest.mark.parametrize("keys", MODES, ids=lambda keys: "-".join(keys) + "-" + keys["reaping"])
async def test_a_session_is_given_a_spare_and_its_tree_ends_with_it(keys: dict[str, Any], tmp_path: Path) -> None:
    async with running({"light": light(warm=1)}, tmp_path=tmp_path, **keys) as gateway:
        await gateway.said(SETTLED.format("light"))
        assert (await gateway.health())["servers"]["light"] == {"running": 0, "waiting": 0, "warm": 1}
        pids = gateway.children()
        with watching(*pids) as processes:
            session = await Streamable(gateway.http).open()
            await gateway.said(r"took a spare of light \(started \d+ s ago\) for session gw")
            await session.call(1, "echo", text="hello")
            await session.delete()
            for process in processes:
                await process.ended()


@pytest.mark.usefixtures("leaves_empty_cgroups")
@pytest.mark.parametrize("keys", MODES, ids=lambda keys: "-".join(keys) + "-" + keys["reaping"])
@pytest.mark.parametrize("end", ["supervisor", "gateway", "launcher"])
async def test_no_spare_outlives_a_program_that_is_killed(end: str, keys: dict[str, Any], tmp_path: Path) -> None:
    async with running({"light": light(warm=2)}, tmp_path=tmp_path, **keys) as gateway:
        await gateway.said(SETTLED.format("light"), 2)
        with watching(*gateway.children()) as processes:
            os.kill(gateway.launcher if end == "launcher" else gateway.program(end), signal.SIGKILL)
            await gateway.process.wait()
            for process in processes:
                await process.ended()


async def test_two_users_never_have_one_child(tmp_path: Path) -> None:
    async with running({"light": light(warm=2)}, tmp_path=tmp_path, **KEYS) as gateway:
        await gateway.said(SETTLED.format("light"), 2)
        whose = []
        for user in ("ann", "bob", "ann"):
            session = Streamable(gateway.http)
            session.headers.update(of(user))
            whose.append((await (await session.open()).call(1, "whoami"))["instance"])
        assert len(set(whose)) == 3
        await gateway.said("took a spare of light", 2)


async def test_a_spare_hears_nothing_before_its_session(tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    listens = {
        "command": "/bin/sh",
        "args": ["-c", f'tee -a "{heard}" | "{LIGHT["command"]}" -I -S "{SERVERS}/light.py"'],
    }
    async with running({"light": {**listens, "warm": 1}}, tmp_path=tmp_path) as gateway:
        await gateway.said(SETTLED.format("light"))
        assert heard.read_bytes() == b""
        session = await Streamable(gateway.http).open()
        await gateway.said("took a spare of light")
        await session.call(1, "echo", text="for one session")
        assert b'"initialize"' in heard.read_bytes().splitlines()[0]


async def test_what_a_server_speaks_is_found_out_on_a_spare(tmp_path: Path) -> None:
    async with running({"modern": {**MODERN, "warm": 1}}, tmp_path=tmp_path) as gateway:
        await gateway.said(SETTLED.format("modern"))
        session = await Streamable(gateway.http, "/modern/mcp").open()
        await gateway.said("took a spare of modern")
        assert (await gateway.health())["eras"]["modern"]["era"] == "modern"
        await session.delete()


async def test_what_a_spare_said_before_is_in_the_tail_of_its_session(tmp_path: Path) -> None:
    says = f'echo "I am here" >&2; exec "{LIGHT["command"]}" -I -S "{SERVERS}/light.py"'
    spec = {"command": "/bin/sh", "args": ["-c", says], "warm": 1}
    async with running({"light": spec}, tmp_path=tmp_path, stderr_files=True) as gateway:
        await gateway.said(SETTLED.format("light"))
        session = await Streamable(gateway.http).open()
        await gateway.said("took a spare of light")
        await session.call(1, "whoami")
        [file, *_] = sorted((tmp_path / "runtime" / "stderr").iterdir(), key=lambda path: path.stat().st_ctime)
        assert "I am here" in file.read_text()
        await session.delete()


async def test_a_reload_takes_over_how_many_there_are(tmp_path: Path) -> None:
    async with running({"light": light()}, tmp_path=tmp_path) as gateway:
        config = {"debug": {"level": "debug"}, "reaping": "tagged", "list_at_start": False, "port": 0}
        config |= {"runtime_dir": str(tmp_path / "runtime")}
        for warm in (2, 0):
            write_config(tmp_path / "config.yaml", {**config, "servers": {"light": light(warm=warm)}})
            os.kill(gateway.program("supervisor"), signal.SIGHUP)
            await gateway.said(SETTLED.format("light") if warm else "of session spare is gone: unused", 2)
            assert (await gateway.health())["servers"]["light"].get("warm", 0) == warm


async def test_spares_stay_with_the_supervisor_while_the_gateway_restarts(tmp_path: Path) -> None:
    async with supervisor_at(tmp_path, {"light": light(warm=1)}) as (program, path):
        async with gateway_at(path) as front:
            await program.said(SETTLED.format("light"))
            [spare] = program.children()
            await stop(front, signal.SIGTERM)
        async with gateway_at(path) as front:
            session = await Streamable(front.http).open()
            assert (await session.call(1, "whoami"))["pid"] == spare
            await stop(front, signal.SIGKILL)
        async with gateway_at(path) as front:
            session.http = front.http
            assert (await session.call(2, "whoami"))["pid"] == spare
