"""`mcp-gateway check` and `call`, and the ways of another project to start one, as a person uses them."""

import json
import os
import re
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner

from common.config.load import load
from gateway.cli import main
from tests.e2e.test_docs import blocks
from tests.support.gateway import (
    GATEWAY,
    LIGHT,
    NOTEPAD,
    QUICK,
    ROOT,
    SERVERS,
    Gateway,
    programs,
    running,
    write_config,
)
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-the-tests-0123456789"
EVERYTHING = {"command": sys.executable, "args": [str(SERVERS / "everything.py")]}
DIES = {"command": "/bin/sh", "args": ["-c", "echo 'no such database' >&2; exit 3"]}
NEEDS = {**LIGHT, "allow_shared_uid": True, "headers": ["X-Own"], "env": {"OWN": "${header:X-Own}"}}
GIVEN = {**LIGHT, "allow_shared_uid": True, "headers": ["X-Given"], "env": {"OWN": "${header:X-Given}"}}


@dataclass
class Said:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


async def command(*words: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Said:
    """Run `mcp-gateway` with `words` to its end."""
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process([GATEWAY, *words], check=False, cwd=cwd, env={**os.environ, **(env or {})})
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def free_port() -> int:
    """Nobody listens there."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> AsyncIterator[Gateway]:
    """One that asks for a token, with servers that are good to call."""
    servers = {"light": LIGHT, "everything": EVERYTHING, "notepad": NOTEPAD}
    auth = {"bearer": {"tokens": [{"name": "me", "token": TOKEN}]}}
    async with running(servers, tmp_path=tmp_path_factory.mktemp("gateway"), auth=auth) as started:
        yield started


async def here(*words: str, env: Mapping[str, str] | None = None) -> Said:
    """The same in this process, for what starts none: what it costs to import everything again is saved."""
    result = await anyio.to_thread.run_sync(partial(CliRunner().invoke, main, list(words), env=dict(env or {})))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


async def call(gateway: Gateway, *words: str, token: str = TOKEN) -> Said:
    return await here("call", "--url", gateway.url, *words, env={"MCP_GATEWAY_TOKEN": token})


async def test_the_page_prints_what_the_commands_print(tmp_path: Path, free_port: int) -> None:
    page = (ROOT / "docs" / "terminal.md").read_text()
    commands, outputs = blocks(page, "sh"), blocks(page, "text")
    assert len(commands) == len(outputs) == 3
    path = f"{Path(GATEWAY).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "MCP_GATEWAY_PORT": str(free_port)}
    for line, output in zip(commands, outputs, strict=True):
        with anyio.fail_after(PATIENCE):
            done = await anyio.run_process(["sh", "-ec", f"{line.strip()} 2>&1"], cwd=tmp_path, env=env)
        pattern = re.sub(r"\d\\\.\d\d", r"\\d\\.\\d\\d", re.escape(output)).replace("3000", str(free_port))
        assert re.fullmatch(pattern, done.stdout.decode().replace(" \n", "\n")), f"{done.stdout.decode()}\n{pattern}"


def test_the_sample_of_another_projects_file_loads(tmp_path: Path) -> None:
    [sample] = blocks((ROOT / "docs" / "dialects.md").read_text(), "yaml")
    path = tmp_path / "mcp-gateway.yml"
    path.write_text(sample)
    settings = load(path, {"AURA_KEY": "x" * 40})
    assert settings.notes == []
    assert settings.gateway.access is not None
    assert settings.gateway.servers["files"].request_timeout == 15


async def test_check_tells_of_each_server_and_fails_if_one_does(tmp_path: Path) -> None:
    servers = {"good": NOTEPAD, "dies": DIES, "off": {**LIGHT, "enabled": False}, "own": NEEDS, "given": GIVEN}
    servers["gone"] = {"command": "nope", "args": ["-x"]}
    write_config(tmp_path / "config.yaml", {**QUICK, "servers": servers})
    said = await command("check", "-H", "X-Given: ${MINE}", cwd=tmp_path, env={"MINE": "secret-of-mine"})
    assert said.status == 1
    assert "secret-of-mine" not in said.out + said.err
    heading, *rows = said.out.splitlines()
    assert heading.split() == ["server", "state", "tools", "resources", "prompts", "start"]
    assert [row.split()[:2] for row in rows[:6]] == [
        ["good", "ok"],
        ["dies", "failed"],
        ["off", "off"],
        ["own", "skipped"],
        ["given", "ok"],
        ["gone", "failed"],
    ]
    assert re.fullmatch(r"good +ok +4 +0 +0 +\d+\.\d\d s", rows[0].strip())
    assert rows[6:] == [
        "",
        "dies: child_exited: the server's process ended (exit status 3)",
        "    no such database",
        "own: needs each user's own header:X-Own: not started",
        "gone: command_not_found: the command of server 'gone' was not found: nope -x",
    ]
    assert max(map(len, said.out.splitlines())) <= 80
    assert "\x1b" not in said.out + said.err
    assert said.err == ""


async def test_check_tells_of_every_mistake_and_starts_nothing(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("prot: 3000\nservers:\n  a: {comand: x}\n")
    said = await here("check", "--config", str(path))
    assert (said.status, said.out) == (2, "")
    first, *_, last = said.err.splitlines()
    assert first == f"{path}:1: prot: unknown key; did you mean 'port'?"
    assert last == "3 mistakes in the configuration; no server was started"
    write_config(path, {"servers": {"light": LIGHT}})
    unknown = await here("check", "--config", str(path), "--server", "nosuch")
    assert "there is no server 'nosuch'; there is light" in unknown.err


async def test_call_asks_the_gateway_that_runs_and_leaves_no_session(gateway: Gateway) -> None:
    said = await call(gateway, "light", "echo", "text=hello")
    assert (said.status, said.out, said.err) == (0, "hello\n", "")
    raw = await call(gateway, "--raw", "notepad", "add", "--json", '{"text": "a"}')
    assert json.loads(raw.out)["structuredContent"] == {"result": "note 1 added"}
    await gateway.quiet()
    async with gateway.connecting():
        gateway.http.headers["Authorization"] = f"Bearer {TOKEN}"
        assert (await gateway.health())["sessions"] == 0


async def test_call_saves_what_is_no_text(gateway: Gateway, tmp_path: Path) -> None:
    output = tmp_path / "image.png"
    said = await call(gateway, "everything", "test_image_content", "--output", str(output))
    assert said.status == 0, said.err
    assert output.read_bytes().startswith(b"\x89PNG")
    none = await call(gateway, "light", "echo", "text=x", "--output", str(tmp_path / "none"))
    assert none.status == 1
    assert not (tmp_path / "none").exists()


async def test_call_says_in_a_line_what_went_wrong(gateway: Gateway) -> None:
    said = await call(gateway, "everything", "test_error_handling")
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("Error: ")
    assert len(said.err.splitlines()) == 1
    missing = await call(gateway, "light", "nosuch", "a=1")
    assert missing.err == "Error: server 'light' has no such tool\n"
    stranger = await call(gateway, "light", "echo", token="wrong")
    assert stranger.status == 1
    assert "MCP_GATEWAY_TOKEN" in stranger.err


async def test_call_starts_the_server_where_no_gateway_answers(tmp_path: Path) -> None:
    keys = {"auth": {"bearer": {"tokens": [TOKEN]}}, "access": [{"deny": "*", "to": "notepad"}]}
    path = write_config(tmp_path / "config.yaml", {**QUICK, **keys, "port": 0, "servers": {"notepad": NOTEPAD}})
    said = await command("call", "notepad", "add", "text=5", cwd=tmp_path)
    assert (said.status, said.out) == (0, "note 1 added\n"), said.err
    assert said.err == "no gateway answers: starting 'notepad' for this call\n"
    unknown = await here("call", "--config", str(path), "nosuch", "x")
    assert unknown.err == "Error: there is no server 'nosuch'; there is notepad\n"


async def test_a_file_of_another_project_starts_as_it_does_there(tmp_path: Path) -> None:
    text = {
        "port": 1,
        "auth": {"strategy": "api-key", "apiKeys": ["overridden"]},
        "dashboard": {"enabled": True},
        "servers": [{"id": "light", "name": "Light", "transport": "stdio", **LIGHT, "timeout": 30000}],
    }
    path = tmp_path / "mcp-gateway.json"
    path.write_text(json.dumps(text, indent="\t"))
    env = {"MCP_GATEWAY_HOST": "127.0.0.1", "MCP_GATEWAY_PORT": "2", "MCP_GATEWAY_API_KEYS": TOKEN}
    async with programs([GATEWAY, "start", "-c", str(path), "--port", "0"], env) as started:
        await started.said(re.escape(f"{path}:9: dashboard: falls away: there is no dashboard here"))
        started.url = (await started.said(r"listening on (http://127.0.0.1:\d+) for light"))[1]
        words = ("call", "--url", started.url, "light", "echo", "text=there")
        said = await here(*words, env={"MCP_GATEWAY_API_KEY": TOKEN})
        assert (said.status, said.out) == (0, "there\n"), said.err
        assert (await here(*words, env={"MCP_GATEWAY_API_KEY": "overridden"})).status == 1
