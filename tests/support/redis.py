"""A real Redis for a test, on a Unix socket in a directory of the test's own."""

import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from anyio.streams.text import TextReceiveStream

from tests.support.processes import PATIENCE

MISSING = "there is no redis-server on this machine; on Debian, scripts/debian-packages installs it, as root"


@asynccontextmanager
async def redis(directory: Path) -> AsyncIterator[str]:
    """A Redis that keeps nothing and listens in `directory`; its URL, as the configuration has it."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail(MISSING)
    path = directory / "redis"
    options = ["--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(directory)]
    async with await anyio.open_process(
        [program, *options], stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        try:
            said = ""
            with anyio.fail_after(PATIENCE):
                async for text in TextReceiveStream(process.stdout, errors="replace"):
                    said += text
                    if "eady to accept connections" in said:
                        break
                else:
                    raise AssertionError(said)
            yield f"redis+unix://{path}"
        finally:
            with anyio.CancelScope(shield=True):
                if process.returncode is None:
                    process.kill()
                await process.wait()
