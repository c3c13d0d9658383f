"""The programs that are compared: how each is started, where it listens, and what of its processes is its own.

All get the same child and the same environment, and are as quiet as they can be made. Otherwise they are as they come,
but for the idle timeout when it is asked what is left of clients that vanish.
"""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.children import NODE_MODULES, ROOT, Child
from common.config.load import load

RIVALS: Final = ROOT / ".cache" / "bench"
_SERVER: Final = "bench"
OURS: Final = "mcp-gateway"


class NotInstalled(Exception):
    """The program is not there, or cannot do this."""


@dataclass(frozen=True)
class Start:
    """What a program is started with."""

    command: tuple[str, ...]
    """The child's."""
    port: int
    directory: Path
    """Its own, for its configuration and what it keeps."""
    idle: int | None = None
    """Seconds after which a session that is silent may be ended; None for what is usual."""


@dataclass(frozen=True)
class Way:
    """A program by one of its doors."""

    name: str
    program: str
    door: str
    paths: tuple[str, ...]
    command: Callable[[Start], list[str]]
    version: Callable[[], str]
    main: bool = True
    """Whether it is measured with all servers and hundreds of sessions: one door of each program is, and all of ours."""
    warm: bool = False
    """Whether it keeps spares; then only openings are measured, with a pause before each."""
    tool: Callable[[str], str] = str
    """What it calls the child's tool."""
    parts: tuple[str, ...] = ()
    """An argument of each process that is a part of it, if it is more than one process."""

    @property
    def title(self) -> str:
        return f"{self.program}, {self.door}" if self.door != "pipe" else self.program


def _node(package: str) -> list[str]:
    """The command of a package from npm. Raises NotInstalled."""
    program = NODE_MODULES / ".bin" / package
    if shutil.which("node") is None or not program.exists():
        raise NotInstalled(f"{package} is not installed from npm")
    return ["node", str(program)]


def _node_version(package: str) -> str:
    with suppress(OSError, ValueError):
        return str(json.loads((NODE_MODULES / package / "package.json").read_text())["version"])
    return "?"


def _python(package: str) -> list[str]:
    """The command of a package from PyPI. Raises NotInstalled."""
    program = RIVALS / package / "bin" / package
    if not program.exists():
        raise NotInstalled(f"{package} is not installed from PyPI")
    return [str(program)]


def _python_version(package: str) -> str:
    name = package.replace("-", "_")
    for found in (RIVALS / package).glob(f"lib/python*/site-packages/{name}-*.dist-info"):
        return found.name.removesuffix(".dist-info").rpartition("-")[2]
    return "?"


def _file(start: Start, name: str, content: Mapping[str, Any]) -> str:
    path = start.directory / name
    path.write_text(json.dumps(content))
    return str(path)


def _servers(start: Start) -> dict[str, Any]:
    return {"mcpServers": {_SERVER: {"command": start.command[0], "args": list(start.command[1:])}}}


def _gateway(start: Start, warm: int = 0) -> list[str]:
    server: dict[str, Any] = {"command": start.command[0], "args": list(start.command[1:])}
    config: dict[str, Any] = {
        "hostname": "127.0.0.1",
        "port": start.port,
        "max_sessions": 2000,
        "runtime_dir": str(start.directory / "runtime"),
        "servers": {_SERVER: server},
    }
    if warm:
        server["warm"] = warm
    if start.idle is not None:
        config["idle_timeout"] = f"{start.idle}s"
    path = _file(start, "config.yaml", config)
    if warm:
        try:
            load(Path(path))
        except Exception as error:  # whatever it is, it is why there is no such row
            raise NotInstalled("this version keeps no spares") from error
    return [str(Path(sys.executable).parent / "mcp-gateway"), "serve", "--config", path]


def _gateway_version() -> str:
    with suppress(OSError, subprocess.CalledProcessError):
        commit = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return commit.stdout.strip()
    return "?"


def _supergateway(transport: str) -> Callable[[Start], list[str]]:
    def command(start: Start) -> list[str]:
        stateful = ["--stateful"] if transport == "streamableHttp" else []
        idle = ["--sessionTimeout", str(1000 * start.idle)] if stateful and start.idle is not None else []
        return [
            *_node("supergateway"),
            *("--stdio", shlex.join(start.command), "--outputTransport", transport, *stateful, *idle),
            *("--port", str(start.port), "--logLevel", "none"),
        ]

    return command


def _mcp_proxy_of_npm(start: Start) -> list[str]:
    idle = ["--sessionIdleTimeout", str(1000 * start.idle)] if start.idle is not None else []
    where = ["--host", "127.0.0.1", "--port", str(start.port)]
    return [*_node("mcp-proxy"), *where, *idle, "--", *start.command]


def _mcp_hub(start: Start) -> list[str]:
    return [*_node("mcp-hub"), "--port", str(start.port), "--config", _file(start, "hub.json", _servers(start))]


def _mcp_proxy_of_pypi(start: Start) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(start.port)]
    return [*_python("mcp-proxy"), "--pass-environment", "--log-level", "ERROR", *where, "--", *start.command]


def _mcpo(start: Start) -> list[str]:
    where = ["--host", "127.0.0.1", "--port", str(start.port)]
    return [*_python("mcpo"), "--log-level", "ERROR", *where, "--", *start.command]


def _streamable_proxy(start: Start) -> list[str]:
    idle = ["--timeout", str(start.idle)] if start.idle is not None else []
    where = ["--host", "127.0.0.1", "--port", str(start.port), "--log-level", "error"]
    return [*_python("mcp-streamablehttp-proxy"), *where, *idle, "--", *start.command]


def _fastmcp(start: Start) -> list[str]:
    where = ["--transport", "http", "--host", "127.0.0.1", "--port", str(start.port)]
    config = _file(start, "mcp.json", _servers(start))
    return [*_python("fastmcp"), "run", config, *where, "--no-banner", "--log-level", "ERROR"]


def _nothing(_: Start) -> list[str]:
    return []


_PARTS: Final = ("supervisor.launcher", "supervisor", "gateway")


def _ours(name: str, door: str, paths: tuple[str, ...], **more: Any) -> Way:
    more = {"command": _gateway, **more}
    return Way(name, OURS, door, paths, version=_gateway_version, parts=_PARTS, **more)


def _theirs(name: str, program: str, door: str, path: str, command: Callable[[Start], list[str]], **more: Any) -> Way:
    package = program.split()[0]
    version = _python_version if "PyPI" in program else _node_version
    return Way(name, program, door, (path,), command, lambda: version(package), **more)


WAYS: Final[Mapping[str, Way]] = {
    way.name: way
    for way in (
        Way("pipe", "the pipe itself, no gateway", "pipe", (), _nothing, lambda: ""),
        _ours("ours-http", "Streamable HTTP", (f"/{_SERVER}/mcp",)),
        _ours("ours-sse", "HTTP+SSE", (f"/{_SERVER}/sse",)),
        _ours("ours-rest", "REST", ("/api/sessionid", f"/api/{_SERVER}/{{tool}}?sessionId={{id}}")),
        _ours(
            "ours-warm", "Streamable HTTP", (f"/{_SERVER}/mcp",), warm=True, command=lambda start: _gateway(start, 4)
        ),
        _theirs(
            *("supergateway-http", "supergateway (npm)", "Streamable HTTP", "/mcp", _supergateway("streamableHttp"))
        ),
        _theirs("supergateway-sse", "supergateway (npm)", "HTTP+SSE", "/sse", _supergateway("sse"), main=False),
        _theirs("mcp-proxy-npm-http", "mcp-proxy (npm)", "Streamable HTTP", "/mcp", _mcp_proxy_of_npm),
        _theirs("mcp-proxy-npm-sse", "mcp-proxy (npm)", "HTTP+SSE", "/sse", _mcp_proxy_of_npm, main=False),
        _theirs("mcp-hub", "mcp-hub (npm)", "HTTP+SSE", "/mcp", _mcp_hub, tool=f"{_SERVER}__{{}}".format),
        _theirs("mcp-proxy-pypi-http", "mcp-proxy (PyPI)", "Streamable HTTP", "/mcp", _mcp_proxy_of_pypi),
        _theirs("mcp-proxy-pypi-sse", "mcp-proxy (PyPI)", "HTTP+SSE", "/sse", _mcp_proxy_of_pypi, main=False),
        _theirs(
            "streamablehttp-proxy",
            "mcp-streamablehttp-proxy (PyPI)",
            "Streamable HTTP",
            "/mcp",
            _streamable_proxy,
        ),
        _theirs("fastmcp", "fastmcp (PyPI), its proxy", "Streamable HTTP", "/mcp", _fastmcp),
        _theirs("mcpo", "mcpo (PyPI)", "REST", "/{tool}", _mcpo),
    )
}


def a_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def environment() -> dict[str, str]:
    """What every program finds: where programs are, and nothing of ours."""
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "PATH", "TMPDIR") if name in os.environ}
    # Where Node and Python write what they have compiled is not touched: it is the same for all of them.
    return {**kept, "NO_COLOR": "1", "NODE_ENV": "production"}


def paths_of(way: Way, child: Child) -> Sequence[str]:
    """The paths of `way`, as far as they depend on what the child's tool is called."""
    return [path.replace("{tool}", way.tool(child.tool)) for path in way.paths]
