"""Starting: what is wrong is said in a line each, and nothing is started."""

import socket
import sys
from pathlib import Path

import pytest

from tests.support.gateway import LIGHT, NOTEPAD, ROOT, running, starting, write_config

pytestmark = pytest.mark.slow


async def test_every_mistake_in_the_configuration_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("prot: 3000\nservers:\n  fs:\n    comand: npx\n    args: -y\n")
    async with starting(path) as gateway:
        assert await gateway.process.wait() == 2
        await gateway.said("args")
        assert gateway.lines == [
            f"{path}:1: prot: unknown key; did you mean 'port'?",
            f"{path}:3: servers.fs.command: this key is missing; expected the program to start",
            f"{path}:4: servers.fs.comand: unknown key; did you mean 'command'?",
            f"{path}:5: servers.fs.args: expected a list",
        ]


async def test_a_missing_file_is_named(tmp_path: Path) -> None:
    async with starting(tmp_path / "nothing.yaml") as gateway:
        assert await gateway.process.wait() == 2
        await gateway.said("nothing.yaml: cannot be read: No such file or directory")


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path = write_config(tmp_path / "config.yaml", {"servers": {"light": LIGHT}})
        async with starting(path, "--port", str(port)) as gateway:
            assert await gateway.process.wait() == 1
            await gateway.said(f"ERROR .* cannot listen on 127.0.0.1 port {port}: Address already in use; .* --port")


async def test_the_configuration_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path / "other.yaml", {"servers": {"named": LIGHT}})
    monkeypatch.setenv("CONFIG_PATH", str(path))
    async with running({"light": LIGHT}, tmp_path=tmp_path) as gateway:
        # --config wins over CONFIG_PATH.
        assert (await gateway.call(await gateway.session_id(), "echo")).status_code == 200


async def test_a_file_of_acehoss_mcp_gateway_starts_unchanged(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    path = tmp_path / "config.yaml"
    path.write_text(
        f"""
hostname: "127.0.0.1"
port: 3000

debug:
  level: "verbose"

auth:
  basic:
    enabled: true
    credentials:
      - username: "admin"
        password: "your-secure-password"
  bearer:
    enabled: true
    tokens:
      - "your-secure-token"

servers:
  light:
    command: {sys.executable}
    args:
      - -I
      - -S
      - "{ROOT / "tests/servers/light.py"}"
    path: {tmp_path / "work"}
"""
    )
    async with starting(path) as gateway:
        gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
        async with gateway.connecting():
            gateway.http.headers["Authorization"] = "Bearer your-secure-token"
            id_ = await gateway.session_id()
            assert (await gateway.text(id_, "whoami"))["cwd"] == str(tmp_path / "work")


async def test_without_auth_it_says_so_and_stays_on_loopback(tmp_path: Path) -> None:
    async with running({"notepad": NOTEPAD}, tmp_path=tmp_path) as gateway:
        assert gateway.url.startswith("http://127.0.0.1:")
        await gateway.said("WARNING gateway no 'auth' is configured")


async def test_ipv6_is_spoken(tmp_path: Path) -> None:
    async with running(tmp_path=tmp_path, hostname="::1") as gateway:
        assert gateway.url.startswith("http://[::1]:")
        assert (await gateway.health())["status"] == "ok"
