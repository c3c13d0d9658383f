"""This gateway and others side by side: `scripts/bench`, or `python -m benchmarks.compare` where all is installed.

Programs take turns within a round, in an order that is another one each round, and the same one in each run. After each
cell all that is known is written to `benchmarks/results`: a run that is interrupted still has a table.
"""

import argparse
import json
import os
import platform
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Final

from benchmarks import publish, table
from benchmarks.cell import Amounts, left_behind, measure
from benchmarks.children import CHILDREN, ROOT, Child
from benchmarks.programs import WAYS, Way

RESULTS: Final = ROOT / "benchmarks" / "results"
_SEED: Final = 20260728


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    rounds: int
    minutes: float
    """After which nothing further is begun, in the second round and later."""
    amounts: dict[str, Amounts]
    """By the child."""
    growth: tuple[int, ...]
    """Numbers of sessions beyond, in the first round, by the main ways."""
    left: int
    """So many sessions when it is looked what is left behind; 0 for not at all."""
    idle: int
    """Seconds after which a silent session may be ended then."""
    wait: float
    """Seconds until what is there is what clients have left behind; there are programs that look once a minute."""


FULL: Final = Plan(
    rounds=3,
    minutes=16,
    amounts={
        "trivial": Amounts(alone=5, counts=(1, 10, 100), calls=1000, warm_up=300, pause=0.3),
        "everything": Amounts(alone=4, counts=(10,), calls=400, warm_up=100, pause=1.0),
        "time": Amounts(alone=3, counts=(10,), calls=200, warm_up=50, pause=2.0),
    },
    growth=(500, 1000),
    left=20,
    idle=5,
    wait=75.0,
)
SMALL: Final = Plan(
    rounds=1,
    minutes=16,
    amounts={
        "trivial": Amounts(alone=2, counts=(1, 7), calls=40, warm_up=4, pause=0.1),
        "everything": Amounts(alone=1, counts=(6,), calls=12, warm_up=2, pause=0.2),
        "time": Amounts(alone=1, counts=(6,), calls=12, warm_up=2, pause=0.2),
    },
    growth=(),
    left=2,
    idle=1,
    wait=4.0,
)


def run(plan: Plan, ways: Sequence[Way], children: Sequence[Child], directory: Path) -> dict[str, Any]:
    """All cells, and what is left behind; `results.json`, the table and the plots are in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {"facts": facts(ways), "plan": asdict(plan), "cells": [], "left": []}
    until = time.monotonic() + 60 * plan.minutes
    # First, because it is soon done, and brings into memory what all of them need.
    if plan.left:
        _look_what_is_left(plan, ways, results)
    for number, child, way, amounts in _turns(plan, ways, children):
        begun = time.monotonic()
        if number > 1 and begun > until:
            print(f"round {number} is left, because {plan.minutes} minutes are over")
            break
        cell = {"round": number, **measure(way, child, amounts)}
        results["cells"].append(cell)
        print(
            f"round {number}  {child.name:<11}{way.name:<22}{time.monotonic() - begun:6.1f} s  {_briefly(cell)}",
            flush=True,
        )
        write(results, directory)
    write(results, directory)
    _draw(results, directory)
    return results


def _turns(plan: Plan, ways: Sequence[Way], children: Sequence[Child]) -> Iterator[tuple[int, Child, Way, Amounts]]:
    order = random.Random(_SEED)
    for number in range(1, plan.rounds + 1):
        for child in children:
            for way in order.sample(list(ways), len(ways)):
                if child.name != "trivial" and not way.main:
                    continue
                amounts = plan.amounts[child.name]
                if number == 1 and child.name == "trivial" and way.main:
                    amounts = replace(amounts, counts=(*amounts.counts, *plan.growth))
                yield number, child, way, amounts


def _look_what_is_left(plan: Plan, ways: Sequence[Way], results: dict[str, Any]) -> None:
    """Several at a time: nothing is timed here, and most of it is waiting."""
    child = CHILDREN["trivial"]
    asked = [way for way in ways if way.door != "pipe" and not way.warm]
    with ThreadPoolExecutor(6) as pool:
        for row in pool.map(lambda way: left_behind(way, child, plan.left, plan.idle, plan.wait), asked):
            results["left"].append(row)
            print(f"left behind          {row['way']:<22}{_briefly(row) or json.dumps(row['vanished'])}", flush=True)


def facts(ways: Sequence[Way]) -> dict[str, Any]:
    """When, on what, and which versions; nothing that names the machine."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {way.program: way.version() for way in ways if way.version()},
    }


def write(results: dict[str, Any], directory: Path) -> None:
    """What is known so far: `results.json` and `table.md`."""
    (directory / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (directory / "table.md").write_text(table.whole(results))


def _draw(results: dict[str, Any], directory: Path) -> None:
    from benchmarks import plots  # who asks for help, or mistypes a name, does not wait for matplotlib

    plots.draw(results, directory)


def _briefly(cell: dict[str, Any]) -> str:
    if "failure" in cell:
        return str(cell["failure"])
    return f"stopped at {cell['stopped']['at']}: {cell['stopped']['why']}" if "stopped" in cell else ""


def _ended(number: int, _: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _chosen(what: str, names: str, known: Sequence[str]) -> list[str]:
    chosen = [each for each in names.split(",") if each]
    if unknown := [each for each in chosen if each not in known]:
        raise SystemExit(f"there is no {what} {', '.join(unknown)}; there are {', '.join(known)}")
    return chosen


def options() -> argparse.ArgumentParser:
    """What the command may be told."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="This gateway and others, side by side.")
    parser.add_argument("--small", action="store_true", help="a minute, to see that it works: its figures say nothing")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"how often all take turns (default: {FULL.rounds})")
    parser.add_argument(
        "--minutes", type=float, metavar="M", help=f"after which no round goes on (default: {FULL.minutes})"
    )
    parser.add_argument("--only", default=",".join(WAYS), metavar="NAME,…", help="of: %(default)s")
    parser.add_argument("--children", default=",".join(CHILDREN), metavar="NAME,…", help="of: %(default)s")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIRECTORY", help="default: benchmarks/results")
    parser.add_argument("--again", action="store_true", help="no run: the table and plots of the last one again")
    parser.add_argument(
        "--publish", action="store_true", help="no run: the last table and plots into README.md and docs"
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and write; or write again, from what a run has left."""
    arguments = options().parse_args(argv)
    if arguments.again or arguments.publish:
        results = json.loads((arguments.output / "results.json").read_text())
        write(results, arguments.output)
        _draw(results, arguments.output)
        if arguments.publish:
            publish.publish(results, arguments.output)
        return 0
    plan = SMALL if arguments.small else FULL
    plan = replace(plan, rounds=arguments.rounds or plan.rounds, minutes=arguments.minutes or plan.minutes)
    ways = [WAYS[name] for name in _chosen("program", arguments.only, list(WAYS))]
    children = [CHILDREN[name] for name in _chosen("child", arguments.children, list(CHILDREN))]
    # However it is ended, it ends what it has started; a shell has jobs in the background ignore the first of these.
    signal.signal(signal.SIGINT, _ended)
    signal.signal(signal.SIGTERM, _ended)
    begun = time.monotonic()
    run(plan, ways, children, arguments.output)
    print(f"{arguments.output}/table.md, after {(time.monotonic() - begun) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
