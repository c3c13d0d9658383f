"""Counts what does not vary with the machine or its load: the system calls of a process, by strace(1)."""

import re
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.streams.text import TextReceiveStream

from tests.support.processes import PATIENCE

_ROW = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(?P<calls>\d+)(?:\s+\d+)?\s+(?P<name>[a-z]\w*)$")
"""Seconds, share and time of each are of no interest; how often it failed is a column that may be empty."""


def parse(summary: str) -> Counter[str]:
    """The calls in the table that `strace -c` writes, by name. Pure."""
    rows = (_ROW.match(line) for line in summary.splitlines())
    return Counter({row["name"]: int(row["calls"]) for row in rows if row is not None and row["name"] != "total"})


@asynccontextmanager
async def system_calls(pid: int, table: Path) -> AsyncIterator[Counter[str]]:
    """The system calls of process `pid` and all its threads while in the context; filled in on leaving.

    `table` is a file to write to. Raises FileNotFoundError where there is no strace.
    """
    found: Counter[str] = Counter()
    program = shutil.which("strace")
    if program is None:
        raise FileNotFoundError("strace is not installed; scripts/debian-packages installs it")
    command = [program, "-f", "-c", "-o", str(table), "-p", str(pid)]
    async with await anyio.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as tracer:
        try:
            with anyio.fail_after(PATIENCE):
                await _attached(tracer)
            yield found
            tracer.send_signal(signal.SIGINT)  # it lets go of the process, and writes the table
            with anyio.fail_after(PATIENCE):
                await tracer.wait()
        finally:
            if tracer.returncode is None:
                tracer.kill()
    found.update(parse(await anyio.Path(table).read_text()))


async def _attached(tracer: anyio.abc.Process) -> None:
    assert tracer.stderr is not None
    said = ""
    async for text in TextReceiveStream(tracer.stderr):
        said += text
        if "attached" in said:
            return
    raise AssertionError(f"strace cannot look at the process: {said}")
