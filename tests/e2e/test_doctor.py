"""`mcp-gateway doctor` against gateways that are as they should be, and against one that is not."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.e2e.test_docs import blocks
from tests.support.gateway import GATEWAY, LIGHT, NOTEPAD, ROOT, SERVERS, Gateway, light, running, write_config
from tests.support.processes import PATIENCE

pytestmark = pytest.mark.slow

SECRET = "the-password-of-the-front"
AUTH = {"basic": {"credentials": [{"username": "librechat", "password": SECRET}]}}
FRONT: dict[str, Any] = {"auth": AUTH, "trust_user_header": "X-Gateway-User", "trusted_fronts": ["librechat"]}
QUICK_END = {"stop_grace": "200ms", "terminate_grace": "200ms", "kill_grace": "200ms"}


@dataclass
class Said:
    """What the doctor said, and its exit status."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, str]]:
        rows: list[dict[str, str]] = json.loads(self.out)
        return rows

    def of(self, check: str, server: str = "") -> dict[str, str]:
        """The one row about it."""
        [row] = [each for each in self.rows if (each["check"], each["server"]) == (check, server)]
        return row

    def results(self, server: str) -> dict[str, str]:
        return {each["check"]: each["result"] for each in self.rows if each["server"] == server}


async def doctor(*options: str) -> Said:
    """Run it to its end."""
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process([GATEWAY, "doctor", *options], check=False)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return Said(done.returncode, done.stdout.decode(), done.stderr.decode())


async def examined(gateway: Gateway, config: Path, *options: str) -> Said:
    return await doctor("--config", str(config), "--url", gateway.url, *options)


@pytest.fixture(scope="module")
async def behind_a_front(
    tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[tuple[Gateway, Path]]:
    """A gateway with a trusted front, and its configuration."""
    directory = tmp_path_factory.mktemp("front")
    async with running({"notepad": NOTEPAD, "light": LIGHT}, tmp_path=directory, **FRONT) as gateway:
        yield gateway, directory / "config.yaml"


APART = {
    "start": "ok",
    "process": "ok",
    "environment": "ok",
    "working directory": "ok",
    "state": "ok",
    "ids": "ok",
    "SSE ids": "ok",
    "crash": "ok",
    "nothing survives": "ok",
}


async def test_two_users_of_a_front_are_apart_in_everything(behind_a_front: tuple[Gateway, Path]) -> None:
    gateway, config = behind_a_front
    said = await examined(gateway, config, "--json", "--strict")
    assert said.results("notepad") == APART
    assert said.results("light") == {**APART, "state": "note"}
    assert {each["result"] for each in said.rows if not each["server"]} == {"ok"}
    assert said.status == 0
    assert SECRET not in said.out + said.err
    await gateway.quiet()
    assert gateway.children() == set()


async def test_a_server_that_does_not_start_is_a_row_and_the_others_go_on(tmp_path: Path) -> None:
    servers = {"broken": light("--die-at-start"), "light": light(path=str(tmp_path))}
    async with running(servers, tmp_path=tmp_path, **FRONT) as gateway:
        said = await examined(gateway, tmp_path / "config.yaml", "--json")
        assert said.status == 1
        assert said.results("broken") == {"start": "failed"}
        assert "child_exited" in said.of("start", "broken")["seen"]
        assert said.results("light") == {**APART, "state": "note", "working directory": "warning"}


async def test_without_auth_it_says_what_it_cannot_prove(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path) as gateway:
        config = tmp_path / "config.yaml"
        said = await examined(gateway, config, "--strict", "--json")
        assert said.status == 2
        assert said.results("light") == {**APART, "state": "note", "ids": "cannot tell", "SSE ids": "cannot tell"}
        assert said.of("ids", "light")["seen"].startswith("not provable: ")


async def test_its_table_fits_a_narrow_terminal(behind_a_front: tuple[Gateway, Path]) -> None:
    gateway, config = behind_a_front
    ours, theirs = pty.openpty()
    command = [GATEWAY, "doctor", "--config", str(config), "--url", gateway.url, "--server", "light"]
    async with await anyio.open_process(
        command, stdout=theirs, stderr=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "80", "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = await anyio.to_thread.run_sync(_read_all, ours)
        assert await process.wait() == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert any("nothing" in line and "light" in line and "ok" in line for line in lines)
    assert max(map(len, lines)) <= 80


def _read_all(fd: int) -> str:
    """All that is written to the other end of a terminal."""
    parts = []
    try:
        while part := os.read(fd, 65536):
            parts.append(part)
    except OSError:  # how a terminal says that nobody is there any more
        pass
    finally:
        os.close(fd)
    return b"".join(parts).decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopped_half_way_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    async with running({"mute": light("--mute"), "light": LIGHT}, tmp_path=tmp_path, **FRONT) as gateway:
        command = [GATEWAY, "doctor", "--config", str(tmp_path / "config.yaml"), "--url", gateway.url]
        for server, times in (("light", 2), ("mute", 1)):
            await gateway.quiet()
            async with await anyio.open_process([*command, "--server", server]) as process:
                await gateway.said(f"supervisor spawned {server} ", times)
                process.send_signal(number)
                with anyio.fail_after(PATIENCE):
                    assert await process.wait() == 130
        await gateway.quiet()
        assert gateway.children() == set()


@asynccontextmanager
async def careless(*command: str) -> AsyncIterator[str]:
    """The URL of a gateway that has one child for everybody."""
    argv = [sys.executable, str(SERVERS / "careless.py"), *command]
    async with await anyio.open_process(argv, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        port = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 20)
        yield f"http://127.0.0.1:{int(port)}"
        assert process.stdin is not None
        await process.stdin.aclose()
        await process.wait()


async def test_a_gateway_that_shares_a_child_among_all_users_fails(tmp_path: Path) -> None:
    notepad = str(Path(GATEWAY).parent / "mcp-notepad")
    settings: dict[str, Any] = {**FRONT, **QUICK_END, "servers": {"notepad": NOTEPAD}}
    config = write_config(tmp_path / "config.yaml", settings)
    async with careless(notepad) as url:
        said = await doctor("--config", str(config), "--url", url, "--json")
    assert said.status == 1
    failing = {**dict.fromkeys(APART, "failed"), "servers": "failed", "start": "ok"}
    assert said.results("notepad") == failing
    assert "POST" in said.of("ids", "notepad")["seen"]
    assert "DELETE" in said.of("ids", "notepad")["seen"]
    assert "live on" in said.of("nothing survives", "notepad")["seen"]
    assert said.of("version")["result"] == "warning"
    assert said.of("servers")["result"] == "failed"
    assert "3 processes outlived" in said.of("health")["seen"]


async def test_a_gateway_that_is_not_there_is_told(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.yaml", {"port": 1, "servers": {"light": LIGHT}})
    said = await doctor("--config", str(config), "--json")
    assert said.status == 1
    assert said.of("gateway")["result"] == "failed"
    assert said.results("light") == {}


async def test_a_configuration_with_mistakes_is_told_line_by_line(tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.yaml", {"portt": 1, "servers": {"light": LIGHT}})
    said = await doctor("--config", str(config), "--json")
    assert said.status == 1
    assert "did you mean 'port'" in said.of("configuration")["seen"]


async def test_a_librechat_file_is_held_against_the_tools_that_the_gateway_has(
    behind_a_front: tuple[Gateway, Path], tmp_path: Path
) -> None:
    gateway, config = behind_a_front
    headers = {"Authorization": "Basic ${GATEWAY}", "X-Gateway-User": "{{LIBRECHAT_USER_ID}}"}
    entry = {"type": "streamable-http", "url": f"{gateway.url}/light/mcp", "requiresOAuth": False, "headers": headers}
    allowed = {"allowedAddresses": [gateway.url.removeprefix("http://")]}
    librechat = write_config(tmp_path / "librechat.yaml", {"mcpSettings": allowed, "mcpServers": {"light": entry}})
    said = await examined(gateway, config, "--server", "light", "--librechat", str(librechat), "--json")
    of_file = {each["check"] for each in said.rows if each["seen"].startswith("line ")}
    assert of_file == {"tool names"}  # one of the light server's has a slash and a blank in it
    assert "'path/like tool'" in said.of("tool names", "light")["seen"]
    assert said.status == 1


async def test_a_librechat_file_can_be_looked_at_alone(tmp_path: Path) -> None:
    librechat = tmp_path / "librechat.yaml"
    librechat.write_text("mcpServers: {fs: {url: 'https://mcp.example.org/fs/mcp'}}")
    options = ("--offline", "--librechat", str(librechat))
    said = await doctor("--config", str(tmp_path / "none.yaml"), *options)
    assert said.status == 1
    assert "failed: one session for all [fs]: line 1: " in said.out
    librechat.write_text("mcpServers: [")
    assert "failed: librechat.yaml: line 1: bad YAML" in (await doctor("--config", "none.yaml", *options)).out


async def test_its_help_is_its_own() -> None:
    said = await doctor("--help")
    assert said.status == 0
    assert "Usage: mcp-gateway doctor [OPTIONS]" in said.out


async def test_the_commands_that_the_page_prints_work(behind_a_front: tuple[Gateway, Path], tmp_path: Path) -> None:
    gateway, config = behind_a_front
    [commands] = blocks((ROOT / "docs" / "doctor.md").read_text(), "sh")
    (tmp_path / "librechat.yaml").write_text("mcpServers: {}")
    settings = config.read_text().replace("runtime_dir", f"port: {gateway.url.rpartition(':')[2]}\nruntime_dir", 1)
    (tmp_path / "config.yaml").write_text(settings)
    script = commands.replace("mcp-gateway", GATEWAY).replace(
        "--config config.yaml", "--config config.yaml --server light"
    )
    with anyio.fail_after(PATIENCE):
        done = await anyio.run_process(["bash", "-euc", script], cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout.decode()


async def test_the_page_knows_every_option_and_every_check() -> None:
    page = (ROOT / "docs" / "doctor.md").read_text()
    help_ = (await doctor("--help")).out
    for option in set(re.findall(r"--[a-z-]+", help_)) - {"--help"}:
        assert f"`{option}" in page, option
    for check in APART:
        assert f"| `{check}` |" in page, check


async def test_rules_and_quotas_that_keep_its_users_out_are_no_faults(tmp_path: Path) -> None:
    keys: dict[str, Any] = {
        **FRONT,
        "access": [{"allow": "user:*", "to": "light"}, {"deny": "*", "to": "light:die"}],
        "quotas": {"user": {"sessions": 2, "calls_in_flight": 2}},
        "rate_limits": [{"per": "user", "limit": "500/minute"}],
        "audit": {"file": str(tmp_path / "audit.jsonl")},
    }
    async with running({"light": LIGHT, "hidden": LIGHT}, tmp_path=tmp_path, **keys) as gateway:
        said = await examined(gateway, tmp_path / "config.yaml", "--json")
    assert said.results("light") == {**APART, "state": "note"}
    assert said.of("servers")["result"] == "note"
    assert said.of("start", "hidden")["result"] == "cannot tell"
    assert said.status == 0
