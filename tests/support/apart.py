"""The two programs, each started by itself, with the control socket between them."""

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio

from tests.support.gateway import LIGHT, QUICK, Gateway, programs, write_config
from tests.support.processes import PATIENCE


@asynccontextmanager
async def supervisor(
    tmp_path: Path, servers: dict[str, Any] | None = None, **keys: Any
) -> AsyncIterator[tuple[Gateway, Path]]:
    """A supervisor that waits at a socket, and for another gateway longer than one takes to start on a busy machine."""
    keys = {"port": 0, **QUICK, "reattach_grace": "10m", "runtime_dir": str(tmp_path / "runtime"), **keys}
    config = write_config(tmp_path / "config.yaml", {**keys, "servers": servers or {"light": LIGHT}})
    path = tmp_path / "run" / "control.sock"
    command = [sys.executable, "-m", "supervisor", "--config", str(config), "--socket", str(path)]
    async with programs(command) as program:
        await program.said("waiting for the gateway")
        yield program, path


@asynccontextmanager
async def gateway(path: Path, *options: str) -> AsyncIterator[Gateway]:
    """A gateway that finds its supervisor at `path`."""
    async with programs([sys.executable, "-m", "gateway", "--socket", str(path), *options]) as program:
        program.url = (await program.said(r"listening on (\S+) for"))[1]
        async with program.connecting():
            yield program


async def stop(program: Gateway, number: signal.Signals) -> None:
    """Send `program` a signal that ends it, and wait for its end."""
    program.process.send_signal(number)
    with anyio.fail_after(PATIENCE):
        await program.process.wait()
