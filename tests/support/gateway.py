"""A real gateway for a test: `mcp-gateway serve`, in a process of its own, on a port of its own."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel
import httpx2
import psutil
from anyio.streams.text import TextReceiveStream
from ruamel.yaml import YAML

from tests.support.processes import PATIENCE, bearing, tree_of

ROOT = Path(__file__).parents[2]
SERVERS = ROOT / "tests" / "servers"
GATEWAY = str(Path(sys.executable).parent / "mcp-gateway")

LIGHT: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "light.py")]}
"""The spec of the light server."""

MODERN: dict[str, Any] = {"command": sys.executable, "args": ["-I", "-S", str(SERVERS / "modern.py")]}
"""The spec of the server that knows no handshake."""

# The light server, as what an operator's wrapper script makes of it: a shell, and the server its child.
WRAPPED: dict[str, Any] = {
    "command": "/bin/sh",
    "args": ["-c", f'"{sys.executable}" -I -S "{SERVERS / "light.py"}"; exit $?'],
}
NOTEPAD: dict[str, Any] = {"command": "mcp-notepad"}


QUICK: dict[str, Any] = {"debug": {"level": "debug"}, "reaping": "tagged", "list_at_start": False}
"""What a test's configuration says unless told otherwise: in a namespace, pids would be other ones than we see."""


def light(*options: str, **keys: Any) -> dict[str, Any]:
    """The light server with options of its own and keys of a server entry."""
    return {**LIGHT, "args": [*LIGHT["args"], *options], **keys}


def for_anybody(directory: Path, **keys: Any) -> dict[str, Any]:
    """The light server in `directory`, as every user can start it: the tests' own Python may be somebody's."""
    return {"command": "/usr/bin/python3", "args": ["-I", "-S", str(directory / "light.py")], **keys}


NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of plain HTTP: one that reads the system's certificates takes longer to make than the calls do."""


class Gateway:
    """A running gateway, and what it has said."""

    def __init__(self, process: anyio.abc.Process, marker: str) -> None:
        self.process = process
        self.marker = marker
        self.url = ""
        self.http: httpx2.AsyncClient
        self.lines: list[str] = []
        self.has_said_all = anyio.Event()
        self._news = anyio.Event()
        self._mark = 0

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """An HTTP client, as `http`."""
        before = getattr(self, "http", None)
        async with httpx2.AsyncClient(base_url=self.url, timeout=PATIENCE, verify=NO_TLS) as self.http:
            yield
        if before is not None:
            self.http = before

    async def listen(self) -> None:
        """Keep what it says, line by line, until it has closed its stderr."""
        assert self.process.stderr is not None
        rest = ""
        async for text in TextReceiveStream(self.process.stderr, errors="replace"):
            *lines, rest = (rest + text).split("\n")
            self.lines += lines
            self._tell()
        self._tell()
        self.has_said_all.set()

    def _tell(self) -> None:
        self._news.set()
        self._news = anyio.Event()

    async def said(self, pattern: str, times: int = 1) -> re.Match[str]:
        """Wait until `times` lines since the last `quiet` match the expression `pattern`; the last of those."""
        with anyio.move_on_after(PATIENCE):
            while True:
                found = [match for line in self.lines[self._mark :] if (match := re.search(pattern, line))]
                if len(found) >= times:
                    return found[times - 1]
                await self._news.wait()
        raise AssertionError(f"{pattern!r} was not said {times} times:\n{self.log}")

    @property
    def log(self) -> str:
        """All that it has said so far."""
        return "\n".join(self.lines)

    @property
    def launcher(self) -> int:
        """The pid of the launcher."""
        return self.process.pid

    def program(self, name: str) -> int:
        """The pid of the `supervisor` or the `gateway`."""
        launcher = psutil.Process(self.launcher)
        for process in (launcher, *launcher.children()):
            if f" -m {name} " in " ".join(process.cmdline()):
                return process.pid
        raise LookupError(name)

    def children(self) -> set[int]:
        """The pids of all trees: everything below the supervisor."""
        supervisor = self.program("supervisor")
        return tree_of(supervisor) - {supervisor}

    async def health(self) -> dict[str, Any]:
        """What `/health` says."""
        answer = await self.http.get("/health")
        report: dict[str, Any] = answer.json()
        return report

    async def warm(self, server: str, spares: int) -> None:
        """Wait until so many spares of `server` stand ready; each look is a request."""
        with anyio.fail_after(PATIENCE):
            while (await self.health())["servers"][server].get("warm", 0) < spares:
                await anyio.lowlevel.checkpoint()

    async def gone(self, times: int) -> None:
        """Wait until `times` trees in all were verified empty."""
        await self.said(r"supervisor .* is gone: ", times)

    async def quiet(self) -> None:
        """Wait until every tree that was ever spawned was verified empty; `said` looks at what comes from then on."""
        with anyio.fail_after(PATIENCE):
            while self._count(r"supervisor spawned ") > self._count(r"supervisor .* is gone: "):
                await self._news.wait()
        self._mark = len(self.lines)

    async def unused(self) -> None:
        """Wait until no session is left; spares may be. `said` looks at what comes from then on."""
        with anyio.fail_after(PATIENCE):
            while (await self.health())["sessions"]:
                await anyio.lowlevel.checkpoint()
        self._mark = len(self.lines)

    def _count(self, pattern: str) -> int:
        return sum(re.search(pattern, line) is not None for line in self.lines)

    async def session_id(self) -> str:
        """A new REST session id."""
        answer = await self.http.get("/api/sessionid")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["sessionId"])

    async def call(self, id_: str, tool: str, server: str = "light", **arguments: Any) -> httpx2.Response:
        """One REST call."""
        return await self.http.post(f"/api/{server}/{tool}", params={"sessionId": id_}, json=arguments)

    async def text(self, id_: str, tool: str, server: str = "light", **arguments: Any) -> Any:
        """One REST call's text, decoded where it is JSON."""
        answer = await self.call(id_, tool, server, **arguments)
        assert answer.status_code == 200, answer.text
        text = answer.json()["content"][0]["text"]
        try:
            return json.loads(text)
        except ValueError:
            return text


def write_config(path: Path, config: Mapping[str, Any]) -> Path:
    """The configuration as a file."""
    with path.open("w") as file:
        YAML().dump(dict(config), file)
    return path


@asynccontextmanager
async def programs(command: list[str], env: Mapping[str, str] | None = None) -> AsyncIterator[Gateway]:
    """The gateway, or a part of it, as soon as it is started; on leaving it is stopped, and must leave nothing behind."""
    marker = f"test-{uuid.uuid4()}"
    environment = {**os.environ, "LC_TEST_MARKER": marker, **(env or {})}
    async with await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment
    ) as process:
        gateway = Gateway(process, marker)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(gateway.listen)
                try:
                    yield gateway
                    if process.returncode is None:
                        process.send_signal(signal.SIGTERM)
                        with anyio.fail_after(PATIENCE):
                            await process.wait()
                    with anyio.move_on_after(PATIENCE):  # whoever holds it open for longer is left behind
                        await gateway.has_said_all.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
                    tasks.cancel_scope.cancel()
        finally:
            left = bearing(marker)
            for each in left:
                with suppress(psutil.NoSuchProcess):
                    each.kill()
        assert not left, f"left behind: {left}\n{gateway.log}"
        # Not before its end, which is when much goes wrong.
        assert not any(line.startswith("Traceback") for line in gateway.lines), gateway.log


@asynccontextmanager
async def starting(config: Path, *options: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Gateway]:
    """`mcp-gateway serve` on `config`."""
    async with programs([GATEWAY, "serve", "--config", str(config), "--port", "0", *options], env) as gateway:
        yield gateway


@asynccontextmanager
async def running(
    servers: Mapping[str, Any] | None = None,
    *options: str,
    tmp_path: Path,
    env: Mapping[str, str] | None = None,
    **keys: Any,
) -> AsyncIterator[Gateway]:
    """A gateway that listens, with `servers` (the light one by default) and other `keys` of its configuration."""
    config = {**QUICK, "runtime_dir": str(tmp_path / "runtime"), **keys, "servers": dict(servers or {"light": LIGHT})}
    path = write_config(tmp_path / "config.yaml", config)
    async with starting(path, *options, env=env) as gateway:
        gateway.url = (await gateway.said(r"listening on (\S+) for"))[1]
        async with gateway.connecting():
            yield gateway
