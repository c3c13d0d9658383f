"""Play the chaos by hand, and print its table, or have a storm of kills: `python -m tests.chaos --help`.

It needs what the tests need (`scripts/test` makes the environment), about 500 processes and half a gigabyte of memory
for a few seconds a row. It starts gateways of its own on ports of their own, and touches no other process.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import anyio

from tests.support.chaos import MODES, SCENARIOS, Row, play, table
from tests.support.storm import ENDS, Tally, rage


def main(argv: Sequence[str] | None = None) -> int:
    """Play, and print; the exit status is 1 where anything was left."""
    arguments = _parse(argv)
    if arguments.storm is not None:
        return anyio.run(_storms, arguments)
    rows: list[Row] = []
    try:
        anyio.run(_play_all, arguments, rows)
    finally:
        print("\n".join(table(rows, each_kind=arguments.kinds)))
    return int(any(row.left for row in rows))


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Sessions of servers that misbehave on purpose are ended in every way; how many processes were "
        "started, and how many are left? Anything but 0 in the last column is a fault, and the exit status is 1.",
        epilog="Scenarios: " + "; ".join(scenario.name for scenario in SCENARIOS) + ".",
    )
    parser.add_argument("--mode", choices=MODES, action="append", help="play in this mode (default: in each)")
    parser.add_argument("--scenario", metavar="WORDS", default="", help="only scenarios whose names contain WORDS")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="play all of it N times (default: 1)")
    parser.add_argument("--kinds", action="store_true", help="a row for each kind of server")
    parser.add_argument(
        "--storm",
        type=float,
        metavar="SECONDS",
        help="instead, kill processes at random moments for so long, below sessions of all doors and of servers with "
        "spares and zygotes; then the programs, in each way; the exit status is 1 where anything is wrong or left",
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the first storm (default: 1)")
    arguments = parser.parse_args(argv)
    # What plays nothing would end well.
    if not any(arguments.scenario in scenario.name for scenario in SCENARIOS):
        parser.error(f"no scenario's name contains {arguments.scenario!r}")
    if arguments.rounds < 1:
        parser.error("--rounds must be 1 or more")
    return arguments


async def _storms(arguments: argparse.Namespace) -> int:
    tallies: list[Tally] = []
    for number in range(arguments.rounds):
        for mode in arguments.mode or MODES:
            for programs in ENDS:
                with tempfile.TemporaryDirectory() as directory:
                    seed = arguments.seed + number
                    tallies.append(await rage(mode, Path(directory), seed, arguments.storm, *programs))
                print(f"{mode}, then {' and '.join(programs) or 'none'} killed: {tallies[-1]}")
                print("".join(f"  {line}\n" for line in (*tallies[-1].wrong, *tallies[-1].left)), end="")
    return int(any(each.wrong or each.left for each in tallies))


async def _play_all(arguments: argparse.Namespace, rows: list[Row]) -> None:
    for _ in range(arguments.rounds):
        for mode in arguments.mode or MODES:
            for scenario in SCENARIOS:
                if arguments.scenario in scenario.name:
                    print(f"playing: {scenario.name} ({mode})", file=sys.stderr)
                    with tempfile.TemporaryDirectory() as directory:
                        rows += await play(scenario, mode, Path(directory))


if __name__ == "__main__":
    sys.exit(main())
