"""A gateway within another program: this one, and others that do as the page says."""

import json
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import hypercorn.asyncio.run
import psutil
import pytest
from hypercorn.asyncio.tcp_server import TCPServer
from loguru import logger

from gateway import ConfigError, Gateway, create_app
from tests.e2e.test_docs import blocks
from tests.e2e.test_python_clients import over_sse, over_streamable_http
from tests.support.gateway import LIGHT, NOTEPAD, QUICK, ROOT, programs, write_config
from tests.support.processes import PATIENCE, tree_of, watching
from tests.support.processes import bearing as processes_bearing

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "embedding.md").read_text()
PROGRAMS = blocks(PAGE, "python")
COMMANDS = dict(zip(("hypercorn", "uvicorn"), blocks(PAGE, "sh"), strict=True))


def config(directory: Path, **keys: Any) -> dict[str, Any]:
    """A gateway with the light server, as a dict."""
    return {**QUICK, "runtime_dir": directory / "runtime", "servers": {"light": LIGHT}, **keys}


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=url, timeout=PATIENCE) as http:
        yield http


async def add(http: httpx2.AsyncClient, server: str) -> dict[str, str]:
    """A new session, with a note in it; its id as parameters."""
    id_ = (await http.get("/api/sessionid")).json()
    answer = await http.post(f"/api/{server}/add", params=id_, json={"text": "mine"})
    assert answer.status_code == 200, answer.text
    return dict(id_)


async def is_served(url: str, server: str) -> None:
    """A call over each transport, with the clients that people use."""
    async with client(url) as http:
        await add(http, server)
    for connect, door in ((over_streamable_http, "mcp"), (over_sse, "sse")):
        async with connect(f"{url}/{server}/{door}") as session:
            assert not (await session.call_tool("add", {"text": "mine"})).is_error


async def test_an_object_serves_from_start_to_stop_and_as_often_as_one_likes(tmp_path: Path) -> None:
    gateway = Gateway(config(tmp_path), port=0)
    with pytest.raises(RuntimeError, match="not started"):
        assert gateway.url
    await gateway.stop()
    for _ in range(2):
        await gateway.start()
        with pytest.raises(RuntimeError, match="stop it first"):
            await gateway.start()
        async with client(gateway.url) as http:
            await add(http, "light")
        await gateway.stop()
        await gateway.stop()
        assert not gateway.is_running
        assert psutil.Process().children() == []


async def test_two_in_one_program_know_nothing_of_each_other(tmp_path: Path) -> None:
    async with Gateway(config(tmp_path), port=0) as one, client(one.url) as http:
        id_ = await add(http, "light")
        (tmp_path / "other").mkdir()
        async with Gateway(config(tmp_path / "other"), port=0) as other:
            assert other.url != one.url
            async with client(other.url) as there:
                assert (await there.post("/api/light/notes", params=id_)).status_code == 404
        answer = await http.post("/api/light/notes", params=id_)
        assert json.loads(answer.json()["content"][0]["text"]) == ["mine"]


async def test_one_that_loses_its_supervisor_says_so_leaves_nothing_and_starts_again(tmp_path: Path) -> None:
    async with Gateway(config(tmp_path), port=0) as gateway, client(gateway.url) as http:
        id_ = await add(http, "light")
        [launcher] = psutil.Process().children()
        [supervisor] = launcher.children()
        with watching(*tree_of(launcher.pid)) as processes:
            os.kill(supervisor.pid, signal.SIGKILL)
            await gateway.lost()
            assert not gateway.is_running
            assert (await http.get("/health")).status_code == 503
            lost = await http.get("/api/sessionid")
            called = await http.post("/api/light/notes", params=id_)
            for each in processes:
                await each.ended()
        assert called.status_code in (404, 503)
        assert lost.status_code in (200, 503)
        await gateway.start()
        async with client(gateway.url) as http:
            await add(http, "light")


async def test_a_start_that_is_given_up_or_fails_leaves_nothing(tmp_path: Path) -> None:
    gateway = Gateway(config(tmp_path), port=0)
    for seconds in (0.0, 0.2):  # wherever the start is by then
        with anyio.move_on_after(seconds):
            await gateway.start()
        await gateway.stop()
        assert psutil.Process().children() == []
    async with Gateway(config(tmp_path), port=0) as first:
        (tmp_path / "other").mkdir()
        second = Gateway(config(tmp_path / "other"), port=int(first.url.rpartition(":")[2]))
        with pytest.raises(Exception, match="in use"):
            await second.start()
        assert not second.is_running
    with pytest.raises(ConfigError, match="did you mean 'servers'"):
        create_app({"server": {}})


MASKS = ("SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "NoNewPrivs")
"""Of /proc/PID/status; SigQ is what all processes of the user have pending."""


def properties_of_this_process() -> dict[str, object]:
    """What a library could change, and the program would not notice."""
    umask = os.umask(0)
    os.umask(umask)
    status = Path("/proc/self/status").read_text()
    return {
        "signals": {each: signal.getsignal(each) for each in signal.valid_signals()},
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in dir(resource) if "RLIMIT_" in name},
        "umask": umask,
        "masks": [line for line in status.splitlines() if line.startswith(MASKS)],
        "owner": Path("/proc/self/fd").stat().st_uid,
        "environment": dict(os.environ),
        "logging": list(logger._core.handlers),  # type: ignore[attr-defined] # there is no other way to look
    }


async def test_nothing_of_the_program_is_changed(tmp_path: Path) -> None:
    await anyio.to_thread.run_sync(bool)  # with a process's first thread, the C library takes a signal of its own
    before = properties_of_this_process()
    async with Gateway(config(tmp_path), port=0) as gateway:
        assert gateway.is_running
        assert properties_of_this_process() == before
        assert vars(hypercorn.asyncio.run)["TCPServer"] is TCPServer
    assert properties_of_this_process() == before


async def test_asking_for_nothing_imports_nothing_and_an_application_patches_no_server() -> None:
    code = (
        "import sys, gateway; assert not {'quart', 'ruamel.yaml', 'pydantic'} & sys.modules.keys();"
        "gateway.create_app; assert 'gateway.server' not in sys.modules"
    )
    assert (await anyio.run_process([sys.executable, "-c", code], check=False)).returncode == 0


async def test_an_application_that_nobody_started_says_what_to_do(tmp_path: Path) -> None:
    app: Any = create_app(config(tmp_path))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1") as http:
        answer = await http.get("/health")
        assert answer.status_code == 503
        assert "async with app.running()" in answer.json()["error"]["message"]
        async with app.running():
            assert (await http.get("/health")).json()["status"] == "ok"


def written(directory: Path, program: str) -> None:
    """A directory in which a program of the page can run."""
    write_config(directory / "config.yaml", {**QUICK, "runtime_dir": str(directory), "servers": {"notepad": NOTEPAD}})
    (directory / "program.py").write_text(program)


@pytest.mark.parametrize(("server", "program", "below"), [("hypercorn", 1, ""), ("uvicorn", 2, "/mcp")])
async def test_an_application_is_served_by_the_servers_that_the_page_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str, program: int, below: str
) -> None:
    written(tmp_path, PROGRAMS[program])
    monkeypatch.chdir(tmp_path)
    name, *options = COMMANDS[server].replace("3000", "0").split()
    env = {"PYTHONPATH": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path)}
    async with programs([str(Path(sys.executable).parent / name), *options], env) as host:
        url = (await host.said(r"unning on (http://\S+)"))[1]
        await is_served(url + below, "notepad")
        async with client(url) as http:
            document = (await http.get(f"{below}/openapi.json")).json()
            assert document["servers"] == [{"url": url + below}]
            assert (await http.get(f"{below}/docs/page.js")).status_code == 200
            if below:
                assert "/mcp/docs" in (await http.get("/")).text
                assert (await http.get(f"{below}/")).status_code == 404
        assert len(processes_bearing(host.marker)) > 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
async def test_however_the_program_ends_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    forks = "import os, signal\nif os.fork() == 0:\n    signal.pause()\n"
    body = PROGRAMS[3].replace("        await asyncio", f"        exec({forks!r})\n        await asyncio")
    written(tmp_path, body)
    monkeypatch.chdir(tmp_path)
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    async with programs([sys.executable, "-c", PRINTING_TO_STDERR], env) as host:
        url = (await host.said(r"the notepad is at (\S+)/notepad"))[1]
        async with client(url) as http:
            await add(http, "notepad")
        below = psutil.Process(host.process.pid).children()
        [fork] = [each for each in below if "launcher" not in " ".join(each.cmdline())]
        others = tree_of(host.process.pid) - {host.process.pid, fork.pid}
        assert len(others) >= 3
        with watching(*others) as processes:
            host.process.send_signal(number)
            for each in processes:
                await each.ended()
        fork.kill()
        await host.process.wait()
        await host.has_said_all.wait()
        host.lines = [line for line in host.lines if not line.startswith("Traceback")]  # Ctrl-C prints one


# A Python that was started in the background ignores Ctrl-C.
PRINTING_TO_STDERR = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.stdout = sys.stderr
sys.path.insert(0, '.')
import program
"""
