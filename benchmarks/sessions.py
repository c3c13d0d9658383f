"""What a session costs as there are more of them: `python -m benchmarks.sessions [--sessions 1000] [--active 50]`.

Sessions of a child that costs next to nothing (`benchmarks/light_child.py`) are opened over Streamable HTTP, one after
the other at a rate. All stay open, most of them idle; some then call a tool at a pace; at last all are deleted. Printed
is, for each tenth of the sessions, what opening and ending one costs the two programs in processor time, and what memory
each open one has; then how often the programs wake up while nobody does anything, and how long a call takes.

With `--streams` each session has a connection of its own, with its standing stream open. Processor time is the
program's own (utime and stime of proc_pid_stat(5)): it can be compared on a machine that others use, too. The verdict
is on errors, and on what is left behind.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import anyio
import httpx2

from common.limits import raise_open_files_limit
from tests.support.gateway import Gateway, running
from tests.support.processes import PATIENCE, open_files

CHILD: Final[dict[str, Any]] = {
    "command": "/usr/bin/python3",
    "args": ["-I", "-S", str(Path(__file__).with_name("light_child.py"))],
}
PROGRAMS: Final = ("supervisor", "gateway")
QUIET: Final = 5.0
"""Seconds for which wake-ups are counted while nobody does anything."""
GLANCE: Final = 0.02
"""Seconds between two looks at whether all trees are gone: the kernel tells nobody but their parent."""
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    sessions: int = 1000
    active: int = 50
    calls: int = 40
    """Of each active session."""
    pace: float = 0.2
    """Seconds between the beginnings of two calls of one session."""
    rate: float = 25.0
    """Sessions that are opened, or ended, in a second."""
    reaping: str = "namespace"
    streams: bool = False
    quiet: float = QUIET


@dataclass
class Report:
    """What came of it. Times in milliseconds, memory in KiB; pairs are of PROGRAMS."""

    opened: list[int] = field(default_factory=list)
    """How many sessions there were at the end of each step."""
    open_ms: list[float] = field(default_factory=list)
    """The median of each step."""
    open_cpu: list[tuple[float, ...]] = field(default_factory=list)
    """For each session of a step."""
    memory: list[tuple[float, ...]] = field(default_factory=list)
    """For each session that there is by then, more than without any."""
    wakeups: tuple[float, ...] = ()
    """A second."""
    idle_cpu: tuple[float, ...] = ()
    """Milliseconds a second."""
    call_ms: tuple[float, float] = (0.0, 0.0)
    """Median and 99th percentile."""
    end_cpu: list[tuple[float, ...]] = field(default_factory=list)
    """For each session of a step, the first one of which was among all of them."""
    errors: list[str] = field(default_factory=list)
    left: int = 0
    """Processes."""
    descriptors: tuple[int, ...] = ()
    """How many more than at first."""

    @property
    def wrong(self) -> list[str]:
        """What is wrong, in sentences; nothing if all is well."""
        said = [f"{len(self.errors)} errors, the first: {self.errors[0]}"] if self.errors else []
        if self.left:
            said.append(f"{self.left} processes are left")
        if any(each > 0 for each in self.descriptors):
            said.append(f"descriptors are left: {self.descriptors}")
        return said


class Connection:
    """One connection of a client's, which takes next to no time itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, url: str) -> "Connection":
        """A connection to the gateway."""
        there = httpx2.URL(url)
        return cls(*await asyncio.open_connection(there.host, there.port))

    def close(self) -> None:
        self._writer.close()

    async def ask(self, method: str, id_: str = "", message: object = None) -> tuple[int, str, bytes]:
        """Status, session id and body of one exchange."""
        status, headers = await self.begin(method, id_, message)
        return status, headers.get("mcp-session-id", id_), await self._body(headers)

    async def begin(self, method: str, id_: str = "", message: object = None) -> tuple[int, dict[str, str]]:
        """Status and headers of one exchange."""
        body = b"" if message is None else json.dumps(message).encode()
        session = f"Mcp-Session-Id: {id_}\r\n" if id_ else ""
        head = (
            f"{method} /light/mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Accept: application/json, text/event-stream\r\n{session}Content-Length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        return int(lines[0].split()[1]), headers

    async def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return await self._reader.readexactly(int(headers["content-length"]))
        pieces = []
        while headers.get("transfer-encoding") == "chunked":
            size = int(await self._reader.readline(), 16)
            pieces.append((await self._reader.readexactly(size + 2))[:size])
            if size == 0:
                break
        return b"".join(pieces)


@dataclass(frozen=True)
class Usage:
    """What the programs have used so far: seconds of processor time, how often they woke up, private bytes."""

    cpu: tuple[float, ...]
    wakeups: tuple[int, ...]
    memory: tuple[int, ...]

    @classmethod
    def of(cls, pids: Sequence[int]) -> "Usage":
        """Of the processes `pids`, now."""
        return cls(tuple(map(_cpu, pids)), tuple(map(_wakeups, pids)), tuple(map(_private, pids)))


def _cpu(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    fields = stat[stat.rindex(b")") + 2 :].split()
    return (int(fields[11]) + int(fields[12])) * _TICK


def _wakeups(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def _private(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Private_"))


class Run:
    """One run; `say` is given a line as soon as there is one."""

    def __init__(self, gateway: Gateway, plan: Plan, say: Callable[[str], None]) -> None:
        self.report = Report()
        self._gateway = gateway
        self._plan = plan
        self._say = say
        self._pids = [gateway.program(name) for name in PROGRAMS]
        self._ids: list[str] = []
        self._steps = max(1, plan.sessions // 10)
        self._open = AsyncExitStack()

    async def play(self) -> Report:
        """All of it, in turn."""
        async with self._open:
            self._line = await self._connect()
            await self._warm_up()
            descriptors = self._descriptors()
            await self._open_all()
            await self._be_quiet()
            await self._call()
            await self._end_all()
        await self._hung_up(descriptors)
        self.report.left = len(self._gateway.children())
        self.report.descriptors = tuple(now - then for now, then in zip(self._descriptors(), descriptors, strict=True))
        return self.report

    async def _connect(self) -> Connection:
        connection = await Connection.to(self._gateway.url)
        self._open.callback(connection.close)
        return connection

    def _descriptors(self) -> tuple[int, ...]:
        return tuple(map(open_files, self._pids))

    async def _warm_up(self) -> None:
        """What only the first session costs is nobody's."""
        for _ in range(5):
            await self._close(await self._open_one(self._line), self._line)
        await self._all_gone()

    async def _open_all(self) -> None:
        self._say(f"{'sessions':>8} {'open ms':>8} {'CPU ms an open':>18} {'KiB a session':>18}")
        first = before = Usage.of(self._pids)
        for end in range(self._steps, self._plan.sessions + 1, self._steps):
            took = []
            for _ in range(self._steps):
                began = time.monotonic()
                line = await self._connect() if self._plan.streams else self._line
                self._ids.append(await self._open_one(line))
                took.append(1000 * (time.monotonic() - began))
                await anyio.sleep(max(0.0, began + 1 / self._plan.rate - time.monotonic()))
            now = Usage.of(self._pids)
            self.report.opened.append(end)
            self.report.open_ms.append(statistics.median(took))
            self.report.open_cpu.append(_each(now.cpu, before.cpu, self._steps, 1000))
            self.report.memory.append(_each(now.memory, first.memory, end, 1 / 1024))
            self._say(f"{end:8d} {took[len(took) // 2]:8.1f} {_pair(self.report.open_cpu)} {_pair(self.report.memory)}")
            before = Usage.of(self._pids)

    async def _open_one(self, line: Connection) -> str:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}
        status, id_, body = await line.ask("POST", message=message)
        if status != 200 or b'"result"' not in body:
            self.report.errors.append(f"initialize: {status} {body[:200]!r}")
            return ""
        await line.ask("POST", id_, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        if self._plan.streams and line is not self._line:
            await line.begin("GET", id_)
        return id_

    async def _be_quiet(self) -> None:
        """Nobody does anything; the renewal of what was used last comes before."""
        await anyio.sleep(2.0)
        before = Usage.of(self._pids)
        await anyio.sleep(self._plan.quiet)
        now = Usage.of(self._pids)
        seconds = self._plan.quiet
        self.report.wakeups = _each(now.wakeups, before.wakeups, 1, 1 / seconds)
        self.report.idle_cpu = _each(now.cpu, before.cpu, 1, 1000 / seconds)
        rates = ", ".join(
            f"{name} {wakeups:.1f} ({cpu:.1f} ms)"
            for name, wakeups, cpu in zip(PROGRAMS, self.report.wakeups, self.report.idle_cpu, strict=True)
        )
        self._say(f"idle: wake-ups a second, and CPU: {rates}")

    async def _call(self) -> None:
        took: list[float] = []
        chosen = self._ids[:: max(1, len(self._ids) // self._plan.active)][: self._plan.active]
        before = Usage.of(self._pids)
        async with anyio.create_task_group() as tasks:
            for number, id_ in enumerate(chosen):
                tasks.start_soon(self._keep_calling, id_, number * self._plan.pace / len(chosen), took)
        cpu = _each(Usage.of(self._pids).cpu, before.cpu, len(took) or 1, 1000)
        took.sort()
        self.report.call_ms = (took[len(took) // 2], took[int(len(took) * 0.99)]) if took else (0.0, 0.0)
        median, worst = self.report.call_ms
        self._say(
            f"{len(took)} calls of {len(chosen)} sessions: median {median:.1f} ms, p99 {worst:.1f} ms; "
            f"CPU ms a call: supervisor {cpu[0]:.2f}, gateway {cpu[1]:.2f}"
        )

    async def _keep_calling(self, id_: str, delay: float, took: list[float]) -> None:
        line = await self._connect()
        await anyio.sleep(delay)
        for number in range(1, self._plan.calls + 1):
            params = {"name": "echo", "arguments": {"text": "here"}}
            message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}
            began = time.monotonic()
            status, _, body = await line.ask("POST", id_, message)
            took.append(1000 * (time.monotonic() - began))
            if status != 200 or b"here" not in body:
                self.report.errors.append(f"call: {status} {body[:200]!r}")
            await anyio.sleep(max(0.0, began + self._plan.pace - time.monotonic()))

    async def _end_all(self) -> None:
        self._line = await self._connect()  # the first one may have been silent for too long
        self._say(f"{'left':>8} {'':8} {'CPU ms an end':>18}")
        while self._ids:
            step, self._ids = self._ids[: self._steps], self._ids[self._steps :]
            before = Usage.of(self._pids)
            for id_ in step:
                began = time.monotonic()
                await self._close(id_, self._line)
                await anyio.sleep(max(0.0, began + 1 / self._plan.rate - time.monotonic()))
            await self._all_gone(len(self._ids))
            self.report.end_cpu.append(_each(Usage.of(self._pids).cpu, before.cpu, len(step), 1000))
            self._say(f"{len(self._ids):8d} {'':8} {_pair(self.report.end_cpu)}")

    async def _hung_up(self, before: tuple[int, ...]) -> None:
        """Wait until the gateway has noticed that its clients hung up; `_descriptors` says what it did not."""
        with anyio.move_on_after(PATIENCE):
            while any(now > then for now, then in zip(self._descriptors(), before, strict=True)):  # noqa: ASYNC110
                await anyio.sleep(GLANCE)

    async def _close(self, id_: str, line: Connection) -> None:
        status, _, body = await line.ask("DELETE", id_)
        if status != 204:
            self.report.errors.append(f"delete: {status} {body[:200]!r}")

    async def _all_gone(self, but: int = 0) -> None:
        """Wait until no more than `but` leaders are left."""
        with anyio.fail_after(PATIENCE):
            while len(self._leaders()) > but:  # noqa: ASYNC110 - see GLANCE
                await anyio.sleep(GLANCE)

    def _leaders(self) -> list[bytes]:
        supervisor = self._pids[0]
        return Path(f"/proc/{supervisor}/task/{supervisor}/children").read_bytes().split()


def _each(now: Sequence[float], before: Sequence[float], number: int, unit: float) -> tuple[float, ...]:
    return tuple((a - b) / number * unit for a, b in zip(now, before, strict=True))


def _pair(rows: list[tuple[float, ...]]) -> str:
    return "".join(f"{each:9.2f}" for each in rows[-1])


async def measure(plan: Plan, directory: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """What a run of `plan` measures; `directory` is for the gateway's files, `say` is given each line as it comes."""
    raise_open_files_limit()
    keys: dict[str, Any] = {
        "debug": {"level": "info"},
        "reaping": plan.reaping,
        "max_sessions": plan.sessions + 100,
    }
    async with running({"light": CHILD}, tmp_path=directory, **keys) as gateway:
        return await Run(gateway, plan, say).play()


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and print; the exit status is 1 where anything went wrong, or is left."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sessions", description="What does a session cost as there are more of them?"
    )
    default = Plan()
    parser.add_argument("--sessions", type=int, default=default.sessions, metavar="N")
    parser.add_argument("--active", type=int, default=default.active, metavar="N", help="how many of them call")
    parser.add_argument("--calls", type=int, default=default.calls, metavar="N", help="how often each of those calls")
    parser.add_argument(
        "--pace", type=float, default=default.pace, metavar="S", help="seconds between two calls of one"
    )
    parser.add_argument("--rate", type=float, default=default.rate, metavar="N", help="sessions opened in a second")
    parser.add_argument("--reaping", default=default.reaping, choices=("namespace", "tagged", "cgroup"))
    parser.add_argument("--streams", action="store_true", help="a connection and a standing stream for each session")
    plan = Plan(**vars(parser.parse_args(argv)))
    if min(plan.sessions, plan.active, plan.calls) < 1 or plan.rate <= 0:
        parser.error("--sessions, --active and --calls must be 1 or more, and --rate more than 0")
    with tempfile.TemporaryDirectory() as directory:
        report = anyio.run(measure, plan, Path(directory), print)
    print("\n".join(report.wrong) or "not one error, and nothing is left")
    return int(bool(report.wrong))


if __name__ == "__main__":
    sys.exit(main())
