"""A program that runs, and the client that uses it: two processes, started, spoken to, and ended."""

import json
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final, cast

from benchmarks.children import ROOT, Child
from benchmarks.measure import Process, Tree, alive, kill, tree
from benchmarks.programs import Start, Way, a_port, environment, paths_of

START_PATIENCE: Final = 40.0
"""Seconds for a program to listen and to serve a first session."""

STOP_PATIENCE: Final = 10.0
"""Seconds for a program to end after SIGTERM."""

ORDER_PATIENCE: Final = 300.0
"""Seconds for the client to do one order; each has a shorter limit of its own."""


class Failed(Exception):
    """The program could not do it, and why, in a line."""


class Client:
    """The process that loads a program."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def do(self, what: str, **more: Any) -> dict[str, Any]:
        """Let the client do something (see `benchmarks.load`), and what came of it. Raises Failed if it is gone."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, **more}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise Failed("the client has ended") from None
        readable, _, _ = select.select([self._process.stdout], [], [], ORDER_PATIENCE)
        if not readable or not (line := self._process.stdout.readline()):
            raise Failed("the client did not answer")
        return cast("dict[str, Any]", json.loads(line))


class Running:
    """A program that listens."""

    def __init__(self, way: Way, child: Child, start: Start, process: "subprocess.Popen[bytes] | None") -> None:
        self.way, self.child, self.port, self._process = way, child, start.port, process
        self._marks = start.command[1:] if start.command[0] == child.command[0] else child.command[1:]
        self.seen: set[Process] = set()
        """All processes that were ever seen of it."""

    def tree(self) -> Tree:
        """Its processes now."""
        if self._process is None:
            return Tree(frozenset(), frozenset())
        found = tree(self._process.pid, self.child.program, self._marks)
        self.seen |= found.everybody
        return found

    def parts(self) -> set[Process]:
        """Its own processes but for those that it starts for a session."""
        if self._process is None:
            return set()
        own = self.tree().own
        return {each for each in own if each.pid == self._process.pid or self._is_part(each.pid)}

    def _is_part(self, pid: int) -> bool:
        with suppress(OSError):
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
            return "-m" in arguments and arguments[arguments.index("-m") + 1] in self.way.parts
        return False

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def target(self) -> dict[str, Any]:
        """What the client has to know of it."""
        return {
            "door": self.way.door,
            "port": self.port,
            "paths": list(paths_of(self.way, self.child)),
            "child": self.child.name,
            "tool": self.way.tool(self.child.tool),
        }


@contextmanager
def client() -> Iterator[Client]:
    """A client; at the end it hangs up."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Client(process)
        finally:
            with suppress(BrokenPipeError):
                process.communicate(timeout=STOP_PATIENCE)
            process.kill()


@contextmanager
def running(
    way: Way, child: Child, *, command: tuple[str, ...] | None = None, idle: int | None = None
) -> Iterator[Running]:
    """The program of `way`, as soon as it listens. At the end it is ended, and whatever is left of it.

    `command` is what it starts, if that is not the child's own; `idle` as in Start. Raises Failed and NotInstalled.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        start = Start(command or child.command, a_port(), directory, idle)
        if way.door == "pipe":
            yield Running(way, child, start, None)
            return
        with (directory / "log").open("w+b") as log:
            process = subprocess.Popen(
                way.command(start),
                cwd=directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
            program = Running(way, child, start, process)
            try:
                _wait_until_it_listens(program, log)
                yield program
            finally:
                _stop(program, process)


def _wait_until_it_listens(program: Running, log: IO[bytes]) -> None:
    until = time.monotonic() + START_PATIENCE
    while time.monotonic() < until:
        if program.ended():
            raise Failed(f"it ended at its start: {_last_words(log)}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", program.port), timeout=1):
            return
        time.sleep(0.05)
    raise Failed(f"it did not listen within {START_PATIENCE:.0f} s: {_last_words(log)}")


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip(" ╰─╯│")]
    return without_paths(lines[-1]) if lines else "it said nothing"


def without_paths(text: str) -> str:
    """The text in a line of at most 160 characters, which names no directory of this machine."""
    for place in (str(ROOT), str(Path.home()), tempfile.gettempdir()):
        text = text.replace(place, "…")
    return " ".join(text.split())[:160]


def _stop(program: Running, process: "subprocess.Popen[bytes]") -> None:
    program.tree()
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    # Its own children have their second to go, too; what is not gone then is ended.
    until = time.monotonic() + 1
    while alive(program.seen) and time.monotonic() < until:
        time.sleep(0.05)
    kill(program.seen)
