"""Runs the suite: `@modelcontextprotocol/conformance`, a program of Node's, in a process of its own."""

import functools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
from anyio.streams.text import TextReceiveStream
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY

from tests.conformance.counts import Findings, count
from tests.conformance.legs import DIRECT, MODERN, SPECS, Leg, expected
from tests.support.gateway import SERVERS, running
from tests.support.processes import PATIENCE

PACKAGE = Path(__file__).parent / "node"
MODULES = PACKAGE / "node_modules"
SUITE = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

OLDEST_NODE = 22
"""The suite's own demand."""

AT_ONCE = 2
"""Legs that are run at a time. Most of the time of a leg is that of starting its children."""

SCENARIO_TIMEOUT = 60
"""Seconds: the suite's bound for a scenario. None is expected to take near as long."""


class NoSuiteError(Exception):
    """The suite, or a Node that can run it, is not installed."""


@functools.cache
def node() -> str:
    """A Node that is new enough: the machine's, or else the one from npm. Raises NoSuiteError."""
    if not SUITE.is_file():
        raise NoSuiteError("the conformance suite is not installed: run scripts/conformance or scripts/test")
    for found in (shutil.which("node"), shutil.which("node", path=str(MODULES / ".bin"))):
        if found is not None and _major(found) >= OLDEST_NODE:
            return found
    raise NoSuiteError(
        f"the conformance suite needs Node {OLDEST_NODE} or newer, and npm brings one for Linux on x64 only"
    )


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.match(r"v(\d+)\.", said)
    return int(found[1]) if found else 0


async def run_all(
    legs: Sequence[Leg], directory: Path, tell: Callable[[Leg, Findings], None] = lambda leg, found: None
) -> dict[Leg, Findings]:
    """Run `legs`, all at one gateway; what came of each. Files go below `directory`. Raises NoSuiteError."""
    node()
    found: dict[Leg, Findings] = {}
    limiter = anyio.CapacityLimiter(AT_ONCE)

    async def run_one(leg: Leg, url: str) -> None:
        async with limiter:
            found[leg] = await run(leg, url, directory / leg.name)
            tell(leg, found[leg])

    async with _servers(directory) as urls, anyio.create_task_group() as tasks:
        # The scenarios of 2026-07-28 look at a stream for a second at most. They come first, before the machine is full
        # of children that start.
        for leg in sorted(legs, key=lambda leg: leg.version != MODERN):
            tasks.start_soon(run_one, leg, urls[leg.server])
    return {leg: found[leg] for leg in legs}


@asynccontextmanager
async def _servers(directory: Path) -> AsyncIterator[dict[str, str]]:
    """Everything that a leg may ask, running; the URLs."""
    async with running(SPECS, tmp_path=directory) as gateway, _direct() as url:
        yield {**{name: f"{gateway.url}/{name}/mcp" for name in SPECS}, DIRECT: url}


@asynccontextmanager
async def _direct() -> AsyncIterator[str]:
    """The server of both eras, over HTTP without the gateway."""
    command = [sys.executable, str(SERVERS / "everything_http.py")]
    async with await anyio.open_process(command, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            with anyio.fail_after(PATIENCE):
                url = await TextReceiveStream(process.stdout).receive()
            yield url.strip()
        finally:
            process.terminate()
            with anyio.CancelScope(shield=True):
                await process.wait()


async def run(leg: Leg, url: str, directory: Path) -> Findings:
    """Run the suite on `url` at the leg's revision, with what is expected to fail there."""
    results = directory / "results"
    results.mkdir(parents=True)
    baseline = directory / "expected-failures.yml"
    baseline.write_text(json.dumps({"server": list(expected().get(leg.name, {}))}))
    command = [
        *(node(), str(SUITE), "server", "--url", url, "--suite", "all", "--spec-version", leg.version),
        *("--expected-failures", str(baseline), "--output-dir", str(results)),
        *("--timeout", str(SCENARIO_TIMEOUT * 1000)),
    ]
    if leg.version == MODERN:
        await _wake(url)
    done = await anyio.run_process(command, check=False, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors="replace")
    (directory / "output.txt").write_text(output)
    counts, complaints = count({scenario_of(path): path.read_bytes() for path in results.glob("*/checks.json")})
    return Findings(counts, complaints, done.returncode != 0, output)


async def _wake(url: str) -> None:
    """Have the children running that the suite gives less time for an answer than a Python takes to start: 0.6 seconds.

    A child of the old era is told once and for all what its client can do, so that each set of capabilities has its own.
    """
    headers = {
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": MODERN,
        "Mcp-Method": "tools/call",
        "Mcp-Name": "test_simple_text",
    }
    async with httpx2.AsyncClient(headers=headers, timeout=PATIENCE) as http:
        sets: list[dict[str, Any]] = [{}, {"elicitation": {}}]
        for capabilities in sets:
            meta = {PROTOCOL_VERSION_META_KEY: MODERN, CLIENT_CAPABILITIES_META_KEY: capabilities}
            params = {"name": "test_simple_text", "arguments": {}, "_meta": meta}
            call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
            answer = await http.post(url, json=call)
            assert answer.status_code == 200, answer.text


def scenario_of(path: Path) -> str:
    """The scenario of a file of checks: its directory is `server-SCENARIO-TIME`."""
    return re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", path.parent.name)
