"""The TypeScript SDK's client, in a process of its own, and the servers from npm and PyPI that clients are tried on."""

import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.support.gateway import NOTEPAD, ROOT
from tests.support.processes import PATIENCE

PACKAGE = ROOT / "tests" / "e2e" / "node"
MODULES = PACKAGE / "node_modules"

LONGEST_ANSWER = 1024 * 1024
"""Bytes in a line that the client may print."""


def node() -> str:
    """Where Node is. Fails the test where it is not, or where what it needs from npm is not."""
    found = shutil.which("node")
    if found is None or not (MODULES / "@modelcontextprotocol").is_dir():
        pytest.fail("needs Node 20 and npm: run scripts/test, which installs them")
    return found


def real_servers(directory: Path) -> dict[str, Any]:
    """The specs of four servers that people use; the one of files keeps them in `directory`."""
    return {
        "notepad": NOTEPAD,
        "filesystem": _npm_server("mcp-server-filesystem", str(directory)),
        "everything": _npm_server("mcp-server-everything"),
        "time": {"command": str(Path(sys.executable).parent / "mcp-server-time")},
    }


def _npm_server(name: str, *args: str) -> dict[str, Any]:
    return {"command": node(), "args": [str(MODULES / ".bin" / name), *args]}


class TypeScriptError(Exception):
    """What the client threw, as it prints it."""


class TypeScriptClient:
    """A running client; one command at a time."""

    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._commands = process.stdin
        self._answers = BufferedByteReceiveStream(process.stdout)

    async def do(self, command: str, **params: Any) -> Any:
        """Carry out `command`: one of the script's own, else the method of the SDK's client that has this name.

        Raises TypeScriptError.
        """
        await self._commands.send(json.dumps({"command": command, "params": params}).encode() + b"\n")
        with anyio.fail_after(PATIENCE):
            answer = json.loads(await self._answers.receive_until(b"\n", LONGEST_ANSWER))
        if "error" in answer:
            raise TypeScriptError(answer["error"])
        return answer["result"]

    async def call(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """Call a tool; its result, and under `progress` all that it reported meanwhile."""
        result: dict[str, Any] = await self.do("callTool", name=tool, arguments=arguments)
        return result

    async def text(self, tool: str, /, **arguments: Any) -> str:
        """Call a tool; the text that it gives."""
        result = await self.call(tool, **arguments)
        assert not result.get("isError"), result
        return "\n".join(block["text"] for block in result["content"])

    async def names(self, command: str, of: str) -> set[str]:
        """The names in a listing, such as those of `tools` that `listTools` gives."""
        listing = await self.do(command)
        return {each["name"] for each in listing[of]}

    def crash(self) -> None:
        """Have it end without a word to the gateway."""
        self._process.kill()


@asynccontextmanager
async def node_process(*arguments: str) -> AsyncIterator[anyio.abc.Process]:
    """Node with these arguments, which leaves when its stdin ends."""
    async with await anyio.open_process([node(), *arguments], stderr=None) as process:
        try:
            yield process
            assert process.stdin is not None
            await process.stdin.aclose()
            with anyio.fail_after(PATIENCE):
                await process.wait()
        finally:
            if process.returncode is None:
                process.kill()


@asynccontextmanager
async def typescript_client(transport: str, url: str) -> AsyncIterator[TypeScriptClient]:
    """A client that is connected to `url` over `transport` (`sse`, `streamable`, `websocket`), and leaves politely."""
    # Node 20 has a WebSocket like a browser's, and hides it.
    async with node_process("--experimental-websocket", str(PACKAGE / "client.mjs"), transport, url) as process:
        client = TypeScriptClient(process)
        await client.do("connect")
        yield client
