"""Where the programs' time goes while sessions call tools: `python -m benchmarks.flames [--doors http,rest,sse]`.

For each door the gateway is started, sessions of a server that costs nothing are opened, and all of them call, one call
after the other. Meanwhile py-spy looks at the stacks of the gateway and of the supervisor, native frames included, 200
times a second. Printed is which part of a program was at work (see `benchmarks.stacks`), in percent and in processor time
for each call. The stacks are written as files: `.raw` has a line for each, with how often it was seen, and is what
viewers of flame graphs read; `.svg` is a flame graph, of a second recording.

A program that is preempted within a system call would seem to spend its time there. So the two programs have real-time
priority while they are looked at (sched(7)): then what is seen is what they use. Both take root.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.cell import settle, why_of
from benchmarks.children import CHILDREN
from benchmarks.measure import Process, processor_seconds
from benchmarks.programs import WAYS, NotInstalled, Way
from benchmarks.running import Client, Failed, Running, client, running
from benchmarks.stacks import by_part, parse, table

DOORS: Final = {"http": "ours-http", "rest": "ours-rest", "sse": "ours-sse"}
PROGRAMS: Final = ("gateway", "supervisor")
RATE: Final = 200
"""Looks in a second."""

MARGIN: Final = 60.0
"""Seconds that py-spy is given to read symbols and to write, beyond those for which it looks."""

BATCH: Final = 200
"""Calls after which it is looked whether the recording is over."""


@dataclass(frozen=True)
class Plan:
    """What is recorded, and where it is written."""

    sessions: int
    seconds: int
    directory: Path
    gateway: Path | None = None
    """The command `mcp-gateway` of another version."""
    graphs: bool = True


@dataclass(frozen=True)
class Profile:
    """What was seen of one program."""

    parts: Mapping[str, float]
    """For each part of it, its share of what was seen."""
    per_call: float
    """Milliseconds of processor time."""


def profile(door: str, plan: Plan) -> dict[str, Profile]:
    """The profile of each program under a steady load by `door`. Raises Failed and NotInstalled, with the reason."""
    with running(_way(door, plan), CHILDREN["trivial"]) as program, client() as load:
        settle(program, load)
        load.do("open", count=plan.sessions - 1, at_once=4)
        _call(load, 5 * BATCH, plan.sessions)  # what is done at the first calls alone is done
        processes = {name: _find(program, name) for name in PROGRAMS}
        with _ahead([each.pid for each in processes.values()]):
            per_call = _record(door, "raw", plan, load, processes)
            if plan.graphs:
                _record(door, "svg", plan, load, processes)
    seen = {name: parse((plan.directory / f"{door}-{name}.raw").read_text()) for name in PROGRAMS}
    return {name: Profile(by_part(seen[name]), per_call[name]) for name in PROGRAMS}


def _way(door: str, plan: Plan) -> Way:
    way = WAYS[DOORS[door]]
    if plan.gateway is None:
        return way
    return replace(way, command=lambda start: [str(plan.gateway), *way.command(start)[1:]])


def _find(program: Running, name: str) -> Process:
    for each in program.parts():
        arguments = Path(f"/proc/{each.pid}/cmdline").read_bytes().decode().split("\0")
        if "-m" in arguments and arguments[arguments.index("-m") + 1] == name:
            return each
    raise Failed(f"there is no process of the {name}")


@contextmanager
def _ahead(pids: Collection[int]) -> Iterator[None]:
    """Real-time priority for processes, which their children do not inherit. Raises Failed."""
    try:
        for pid in pids:
            os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        raise Failed("no process may be given real-time priority here (sched(7)): it takes CAP_SYS_NICE") from None
    try:
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))


def _record(door: str, kind: str, plan: Plan, load: Client, processes: Mapping[str, Process]) -> Mapping[str, float]:
    """Let all sessions call while both programs are recorded; milliseconds of processor time of each for a call."""
    with _spies({processes[name].pid: plan.directory / f"{door}-{name}.{kind}" for name in PROGRAMS}, plan) as spies:
        before, calls = _used(processes), 0
        while any(each.poll() is None for each in spies):
            calls += _call(load, BATCH, plan.sessions)
        used = _used(processes)
        for each in spies:
            said, _ = each.communicate()
            if each.returncode:
                raise Failed(why_not(said))
    return {name: 1000 * (used[name] - before[name]) / calls for name in PROGRAMS}


@contextmanager
def _spies(files: Mapping[int, Path], plan: Plan) -> Iterator[list["subprocess.Popen[str]"]]:
    """py-spy for each process, until all have written their files; whatever happens, none is left."""
    spies = []
    try:
        for pid, file in files.items():
            how = "flamegraph" if file.suffix == ".svg" else "raw"
            what = ["--pid", str(pid), "--rate", str(RATE), "--duration", str(plan.seconds), "--format", how]
            command = [str(py_spy()), "record", *what, "--native", "--full-filenames", "--output", str(file)]
            spies.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        yield spies
    finally:
        for each in spies:
            if each.poll() is None:
                each.send_signal(signal.SIGINT)  # it lets the process go on
            with each:
                each.wait(MARGIN)


def py_spy() -> Path:
    """The program. Raises NotInstalled."""
    found = Path(sys.executable).with_name("py-spy")
    if not found.exists():
        raise NotInstalled("py-spy is not installed; it is in the environment dev: scripts/test makes it")
    return found


def why_not(said: str) -> str:
    """Why py-spy has failed, in a line, from what it said."""
    if "ermission" in said:
        return "py-spy may not look into other processes here (ptrace(2)): it takes root, or CAP_SYS_PTRACE"
    lines = [line for line in said.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("Error: ")), lines[-1] if lines else "py-spy said nothing")


def _used(processes: Mapping[str, Process]) -> dict[str, float]:
    return {name: processor_seconds([each]) for name, each in processes.items()}


def _call(load: Client, count: int, at_once: int) -> int:
    done = load.do("call", count=count, at_once=at_once)
    if done["faults"]:
        raise Failed(why_of(done["faults"]))
    return int(done["calls"])


def options() -> argparse.ArgumentParser:
    """What the command may be told."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flames", description="Where the programs' time goes.")
    parser.add_argument("--doors", default=",".join(DOORS), metavar="DOOR,…", help="of: %(default)s")
    parser.add_argument(
        "--sessions", type=int, default=10, metavar="N", help="that call at once (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=int, default=10, metavar="S", help="of each recording (default: %(default)s)")
    parser.add_argument("--gateway", type=Path, metavar="FILE", help="the command mcp-gateway of another version")
    parser.add_argument("--output", type=Path, default=Path(".cache/flames"), metavar="DIRECTORY", help="%(default)s")
    parser.add_argument("--no-graphs", action="store_true", help="no flame graphs, in half the time")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Record, and print what was at work."""
    arguments = options().parse_args(argv)
    doors = arguments.doors.split(",")
    if unknown := [each for each in doors if each not in DOORS]:
        raise SystemExit(f"there is no door {', '.join(unknown)}; there are {', '.join(DOORS)}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    plan = Plan(
        arguments.sessions, arguments.seconds, arguments.output.resolve(), arguments.gateway, not arguments.no_graphs
    )
    try:
        profiles = {door: profile(door, plan) for door in doors}
    except (Failed, NotInstalled) as error:
        print(error, file=sys.stderr)
        return 1
    for name in PROGRAMS:
        of_doors = {door: (each[name].parts, each[name].per_call) for door, each in profiles.items()}
        print(f"\n{table(name, of_doors)}")
    print(f"\nthe stacks are in {arguments.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
