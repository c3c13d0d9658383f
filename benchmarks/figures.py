"""Figures, as they are picked of the results of a run. Pure.

A figure is the median of all rounds, with the least and the greatest round; and how many times ours it is, at the same
door: the median of the ratios within each round.
"""

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.children import CHILDREN
from benchmarks.programs import WAYS, Way
from benchmarks.spread import Spread, ratios, spread

Results = Mapping[str, Any]
Cell = Mapping[str, Any]
Pick = Callable[[Cell], float | None]

_BASE: Final = {"Streamable HTTP": "ours-http", "HTTP+SSE": "ours-sse", "REST": "ours-rest", "pipe": "ours-http"}
NOTHING: Final = "–"

OPENING: Final = "opening.png"
PROCESSOR: Final = "processor.png"
MEMORY: Final = "memory.png"
PLOTS: Final = (OPENING, PROCESSOR, MEMORY)


def opening(name: str) -> Pick:
    """Milliseconds of an opening, the middle of those of a cell; `name` is `alone`, `four` or a number of sessions."""

    def pick(cell: Cell) -> float | None:
        times = cell.get("open", {}).get(name, {}).get("times", [])
        return 1000 * statistics.median(times) if times else None

    return pick


def _called(sessions: int, of: Callable[[Mapping[str, Any]], float | None]) -> Pick:
    def pick(cell: Cell) -> float | None:
        for calls in cell.get("calls", []):
            if calls["sessions"] == sessions and calls["calls"] and not calls["faults"]:
                return of(calls)
        return None

    return pick


def processor(sessions: int) -> Pick:
    """Milliseconds of processor time of the bridge for one call; None where there is no bridge."""
    return _called(sessions, lambda calls: 1000 * calls["processor"] / calls["calls"] if calls["own"]["pss"] else None)


def rate(sessions: int) -> Pick:
    """Calls a second."""
    return _called(sessions, lambda calls: calls["calls"] / calls["seconds"])


def latency(name: str, sessions: int) -> Pick:
    """Milliseconds of a call, `p50` or `p99`."""
    return _called(sessions, lambda calls: 1000 * calls[name])


def weight(sessions: int, what: str = "pss") -> Pick:
    """KiB of the bridge that each session has added to what it held with one; not below 0.

    `what` is `pss`, `uss`, or `lasting`: of those of its processes alone that are there without any session, too.
    """

    def added(calls: Mapping[str, Any]) -> float | None:
        # With one session there is nothing to compare with, and without a bridge nothing to weigh.
        if sessions == 1 or not calls["own"]["pss"] or what not in calls["added"]:
            return None
        return max(0.0, float(calls["added"][what])) / (sessions - 1) / 1024

    return _called(sessions, added)


def child_weight(sessions: int) -> Pick:
    """MiB of a child, what it shares with others shared out evenly."""
    return _called(sessions, lambda calls: calls["child"]["pss"] / (1 << 20) if calls["children"] else None)


@dataclass(frozen=True)
class Figure:
    """What one box of a table says."""

    spread: Spread
    rounds: int
    """Of how many."""
    ratio: float | None
    """To ours; None for ours itself, and where there is nothing to compare it with."""


def figure(results: Results, way: str, child: str, pick: Pick) -> Figure | None:
    """The figure of a way over all rounds, None where there is none.

    It is compared with ours at the same door.
    """
    theirs = by_round(results, way, child, pick)
    found = spread(theirs.values())
    if found is None:
        return None
    base = _BASE[WAYS[way].door]
    compared = [] if way == base else ratios(theirs, by_round(results, base, child, pick))
    return Figure(found, len(theirs), statistics.median(compared) if compared else None)


def by_round(results: Results, way: str, child: str, pick: Pick) -> dict[int, float]:
    """What is picked of each round's cell, where there is something."""
    found = {}
    for cell in results["cells"]:
        if cell["way"] == way and cell["child"] == child and (value := pick(cell)) is not None:
            found[int(cell["round"])] = value
    return found


def opened(results: Results, way: Way, child: str, how: str) -> Figure | None:
    """The figure of an opening; it is compared with ours only where it starts a child, as ours does."""
    found = figure(results, way.name, child, opening(how))
    if found is None or has_own_child(results, way) != "no":
        return found
    return Figure(found.spread, found.rounds, None)


def ways_in(results: Results) -> list[Way]:
    """Those that were run, in their order."""
    ran = {cell["way"] for cell in results["cells"]}
    return [way for way in WAYS.values() if way.name in ran]


def children_in(results: Results) -> list[str]:
    """The names of the children that were used, in their order."""
    used = {cell["child"] for cell in results["cells"]}
    return [name for name in CHILDREN if name in used]


def counts_in(results: Results) -> list[int]:
    """At how many sessions calls were made of the trivial child."""
    return sorted(
        {
            calls["sessions"]
            for cell in results["cells"]
            if cell["child"] == "trivial"
            for calls in cell.get("calls", [])
        }
    )


def has_own_child(results: Results, way: Way) -> str:
    """Whether each session had a child of its own, as it was counted."""
    if way.door == "pipe":
        return NOTHING
    if way.warm:
        return "yes"
    for cell in results["cells"]:
        if cell["way"] == way.name:
            for calls in reversed(cell.get("calls", [])):
                if calls["sessions"] > 1:
                    return "yes" if calls["children"] >= calls["sessions"] else "no"
    return "?"
