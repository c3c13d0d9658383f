"""What a large result costs: `python -m benchmarks.large_results [--bytes 16777216] [--calls 300]`.

For each door a gateway of its own is started. One session has a light child (`benchmarks/light_child.py`) answer with a
text of so many bytes, several times, and what the gateway's memory has grown by at most is compared with that number:
resident memory at its peak (VmHWM of proc_pid_status(5), which is set back by proc_pid_clear_refs(5)) less what was
resident before the first of them, when it had only sent short answers.

Then a small session is called again and again: alone, then while large answers pass one after another beside the
gateway, through a relay that does nothing but pass on bytes (`benchmarks/empty_relay.py`), and then while they pass
through a door. The second is the control: the child that writes such an answer and the client that reads it need
processors too, and what the small session suffers from that is nothing that a gateway could spare it. Told are its
calls' times, and the longest step of the gateway's event loop (`benchmarks/loop_watch.py`), which is processor time of
its thread as well as time on the clock: on a machine that others use, too, only the former can be compared.

Large answers are read by a process of its own, so that reading them disturbs nobody's measurement.
"""

import argparse
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2

from benchmarks.loop_watch import NONE, Steps, Watch
from tests.support.gateway import Gateway, running

CHILD: Final[dict[str, Any]] = {
    "command": "/usr/bin/python3",
    "args": ["-I", "-S", str(Path(__file__).with_name("light_child.py"))],
    "max_message_bytes": "64MiB",
}
DOORS: Final = ("json", "event", "sse", "rest")
"""Streamable HTTP with a JSON answer; the same with an event stream; HTTP+SSE; REST."""
NAMES: Final = {"json": "Streamable, JSON", "event": "Streamable, SSE", "sse": "HTTP+SSE", "rest": "REST"}

CONTROL: Final = "beside"
"""No door: the same answers, through an empty relay and not through the gateway."""

LITTLE: Final = 1000
"""Bytes of an answer that is not large."""

_MIB: Final = 1024 * 1024
_TRUNK: Final = 262_144
_HELLO: Final = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "large", "version": "1"}}


@dataclass(frozen=True)
class Passing:
    """How small calls fared while something passed; all in seconds."""

    calls: Sequence[float]
    steps: Steps = NONE
    answers: int = 0

    @property
    def p50(self) -> float:
        return statistics.median(self.calls)

    @property
    def p99(self) -> float:
        return sorted(self.calls)[int(len(self.calls) * 0.99)]


@dataclass(frozen=True)
class Report:
    """What was measured, by door."""

    size: int
    growth: Mapping[str, int]
    """Bytes by which the gateway's resident memory grew at most, for one answer."""
    cpu: Mapping[str, float]
    """Seconds of processor time for one answer."""
    alone: Mapping[str, Passing]
    """Without any; by door, for each had a gateway of its own."""
    control: Mapping[str, Passing]
    """While they passed beside the gateway."""
    beside: Mapping[str, Passing]


# The client of large answers, in a process of its own.


class Large:
    """Asks for answers of `size` bytes through one door, and reads them without keeping them."""

    def __init__(self, url: str, door: str, size: int) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._door, self._size, self._id = door, size, 1
        self._buffer = memoryview(bytearray(_TRUNK))
        if door == CONTROL:
            self._plain = socket.create_connection((self._host, self._port))
            return
        self._connection = self._connect()
        self._headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if door == "rest":
            id_ = json.loads(self._said("GET", "/api/sessionid"))["sessionId"]
            self._path = f"/api/large/blob?sessionId={id_}"
            self._said("POST", f"/api/large/echo?sessionId={id_}", {"text": "hello"})
            return
        if door == "sse":
            self._stream = self._connect()
            self._stream.request("GET", "/large/sse", headers={"Accept": "text/event-stream"})
            self._events = self._stream.getresponse()
            self._path = "/large/" + self._event().decode()
        else:
            self._path = "/large/mcp"
        self._shake_hands()

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self._host, self._port, timeout=120)

    def _shake_hands(self) -> None:
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": _HELLO}
        self._said("POST", self._path, hello)
        if self._door == "sse":
            self._event()
        self._said("POST", self._path, {"jsonrpc": "2.0", "method": "notifications/initialized"})
        if self._door == "event":
            self._headers["Accept"] = "text/event-stream"

    def _said(self, method: str, path: str, body: object = None) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        if session := answer.headers.get("Mcp-Session-Id"):
            self._headers["Mcp-Session-Id"] = session
        assert answer.status < 300, (answer.status, answer.read(1000))
        return answer.read()

    def _event(self) -> bytes:
        data = b""
        while (line := self._events.readline()) != b"\n" or not data:
            if line.startswith(b"data: "):
                data = line[6:-1]
        return data

    def ask(self) -> int:
        """One answer; how many bytes it had. Raises AssertionError where it has too few."""
        arguments: dict[str, object] = {"bytes": self._size}
        call: dict[str, object] = {"name": "blob", "arguments": arguments}
        self._id += 1
        whole = {"jsonrpc": "2.0", "id": self._id, "method": "tools/call", "params": call}
        body = arguments if self._door == "rest" else whole
        if self._door == CONTROL:
            self._plain.sendall(json.dumps(whole).encode() + b"\n")
            return self._read_line()
        self._connection.request("POST", self._path, json.dumps(body), self._headers)
        answer = self._connection.getresponse()
        assert answer.status < 300, (answer.status, answer.read(1000))
        if self._door == "sse":
            answer.read()
            answer = self._events
        size = self._read(answer)
        assert size > self._size, f"{size} bytes came of {self._size}"
        return size

    def _read_line(self) -> int:
        size = 0
        while True:
            got = self._plain.recv_into(self._buffer)
            size += got
            if not got or self._buffer[got - 1] == ord("\n"):
                return size

    def _read(self, answer: http.client.HTTPResponse) -> int:
        """Read to the end of the answer, which is that of the event on a stream that goes on."""
        size = 0
        last = b""
        while True:
            # A stream goes on, so no more is asked for than is there.
            part = answer.read1(_TRUNK) if self._door == "sse" else self._buffer[: answer.readinto(self._buffer)]
            size += len(part)
            last = (last + bytes(part[-2:]))[-2:]
            if not part or (self._door == "sse" and size > self._size and last == b"\n\n"):
                return size


def ask(url: str, door: str, size: int) -> None:
    """Ask for one answer for each line on stdin; what it had goes to stdout."""
    large = Large(url, door, size)
    print("ready", flush=True)
    for _ in sys.stdin:
        print(large.ask(), flush=True)


@contextmanager
def relay() -> Iterator[str]:
    """The URL of an empty relay with such a child, which ends with its connection."""
    here = Path(__file__)
    command = [CHILD["command"], "-I", "-S", str(here.with_name("empty_relay.py")), CHILD["command"], *CHILD["args"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"


@contextmanager
def asking(url: str, door: str, size: int) -> Iterator["subprocess.Popen[str]"]:
    """That client, past its handshake."""
    command = [sys.executable, "-m", __spec__.name, "--ask", url, door, str(size)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.stdin.close()


def one(process: "subprocess.Popen[str]") -> int:
    """One large answer; how many bytes it had."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


# What is measured.


def resident(pid: int, what: str) -> int:
    """Bytes of `VmRSS` or `VmHWM`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(what)


def set_back(pid: int) -> None:
    """Let the peak begin anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def processor_time(pid: int) -> float:
    """Seconds that the program has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def grown(gateway: Gateway, door: str, size: int, times: int) -> tuple[int, float]:
    """By how many bytes memory grew at most, and the mean processor time of one answer, in seconds.

    What the program gives back to its allocator alone stays resident, so it is compared with what there was before any.
    """
    pid = gateway.program("gateway")
    with asking(gateway.url, door, LITTLE) as process:
        for _ in range(20):
            await anyio.to_thread.run_sync(one, process)
    with asking(gateway.url, door, size) as process:
        before, began = resident(pid, "VmRSS"), processor_time(pid)
        set_back(pid)
        for _ in range(times):
            await anyio.to_thread.run_sync(one, process)
        return resident(pid, "VmHWM") - before, (processor_time(pid) - began) / times


@asynccontextmanager
async def small_session(gateway: Gateway) -> AsyncIterator[httpx2.AsyncClient]:
    """A session of Streamable HTTP, as the headers of a client."""
    headers = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": _HELLO}
        answer = await client.post("/large/mcp", json=hello)
        client.headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"]
        await client.post("/large/mcp", json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        yield client


async def call_small(client: httpx2.AsyncClient, calls: int) -> list[float]:
    """The seconds that each of so many small calls took."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    body["params"] = {"name": "echo", "arguments": {"text": "hello"}}
    took = []
    for _ in range(calls):
        before = time.perf_counter()
        answer = await client.post("/large/mcp", json=body)
        took.append(time.perf_counter() - before)
        assert b"hello" in answer.content
    return took


async def beside(gateway: Gateway, watch: Watch, door: str | None, size: int, calls: int) -> Passing:
    """Small calls, while large answers pass through `door`, one after another; CONTROL is beside the gateway."""
    async with small_session(gateway) as client:
        await call_small(client, 10)
        if door is None:
            watch.reset()
            return Passing(await call_small(client, calls), watch.steps())
        with relay() if door == CONTROL else nullcontext(gateway.url) as url, asking(url, door, size) as process:
            await anyio.to_thread.run_sync(one, process)
            watch.reset()
            answers, over = 0, False

            async def pass_on() -> None:
                nonlocal answers
                while not over:
                    await anyio.to_thread.run_sync(one, process)
                    answers += 1

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(pass_on)
                took = await call_small(client, calls)
                over = True
            return Passing(took, watch.steps(), answers)


async def measure(size: int, calls: int, times: int, directory: Path, doors: Sequence[str] = DOORS) -> Report:
    """All of it; the gateway's files go to `directory`."""
    growth, cpu, alone, control, passing = {}, {}, {}, {}, {}
    for door in doors:
        place = directory / door
        place.mkdir()
        watch = Watch(place)
        servers, level = {"large": CHILD}, {"level": "info"}
        async with running(servers, tmp_path=place, env=watch.environment, debug=level) as gateway:
            growth[door], cpu[door] = await grown(gateway, door, size, times)
            alone[door] = await beside(gateway, watch, None, size, calls)
            control[door] = await beside(gateway, watch, CONTROL, size, calls)
            passing[door] = await beside(gateway, watch, door, size, calls)
    return Report(size, growth, cpu, alone, control, passing)


def shown(report: Report) -> Iterator[str]:
    """The report, line by line."""
    size = f"{report.size / _MIB:.1f} MiB"
    yield f"{size:18}memory, times   CPU, ms   others' p50, p99, max, ms   longest step: CPU, clock, ms   answers"
    for door, through in report.beside.items():
        rows = {"  nothing passes": report.alone[door], "  beside it": report.control[door], NAMES[door]: through}
        for name, passing in rows.items():
            is_it = passing is through
            cost = f"{report.growth[door] / report.size:13.2f} {report.cpu[door] * 1000:9.0f}" if is_it else " " * 23
            times = " ".join(f"{each * 1000:7.1f}" for each in (passing.p50, passing.p99, max(passing.calls)))
            steps = f"{passing.steps.cpu * 1000:14.2f} {passing.steps.clock * 1000:7.2f}"
            yield f"{name:18}{cost}   {times}   {steps} {passing.answers:17}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.large_results", description="What does a large result cost?"
    )
    parser.add_argument("--bytes", type=int, default=16 * _MIB, metavar="N", help="of one result (default: 16 MiB)")
    parser.add_argument("--calls", type=int, default=300, metavar="N", help="small calls beside each (default: 300)")
    parser.add_argument("--times", type=int, default=5, metavar="N", help="answers for memory (default: 5)")
    parser.add_argument("--ask", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.ask:
        url, door, size = arguments.ask
        ask(url, door, int(size))
        return 0
    with tempfile.TemporaryDirectory() as directory:
        report = anyio.run(measure, arguments.bytes, arguments.calls, arguments.times, Path(directory))
    print("\n".join(shown(report)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
