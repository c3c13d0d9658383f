"""The results as tables in Markdown. Pure.

A figure is the median of all rounds, with the least and the greatest round in brackets; then how many times ours it is,
at the same door: the median of the ratios within each round.
"""

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.children import CHILDREN
from benchmarks.programs import OURS, WAYS, Way
from benchmarks.spread import Spread, percentile, ratios, spread

Results = Mapping[str, Any]
Cell = Mapping[str, Any]
Pick = Callable[[Cell], float | None]

_BASE: Final = {"Streamable HTTP": "ours-http", "HTTP+SSE": "ours-sse", "REST": "ours-rest", "pipe": "ours-http"}
NOTHING: Final = "–"


# What is picked of a cell.


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
    """KiB of the bridge that each session has added to what it held with one; not below 0."""
    return _called(
        sessions, lambda calls: max(0.0, calls["added"][what]) / (sessions - 1) / 1024 if sessions > 1 else None
    )


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


def number(value: float) -> str:
    """A figure in as many digits as mean something."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}" if value < 1 else f"{value:.1f}"


def box(found: Figure | None) -> str:
    """A figure as the text of a box."""
    if found is None:
        return NOTHING
    middle, least, most = (number(each) for each in (found.spread.median, found.spread.least, found.spread.most))
    if found.rounds > 1:
        middle += f" ({least}–{most})"
    return middle if found.ratio is None else f"{middle} **{number(found.ratio)}×**"


# Tables.


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


def name_of(way: Way) -> str:
    """What a row is called; ours stand out."""
    title = f"{way.title}, with spares" if way.warm else way.title
    return f"**{title}**" if way.program == OURS else title


def rows(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---", *(["--:"] * (len(head) - 1))], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


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


def openings(results: Results) -> str:
    """How long it takes to open a session, by the child; only those that start a child are compared."""
    children = children_in(results)
    head = ["ms, the list of tools included", "a child for each session"]
    head += [f"{CHILDREN[child].title}{how}" for child in children for how in (", one at a time", ", four at once")]
    body = []
    for way in ways_in(results):
        boxes = [box(opened(results, way, child, how)) for child in children for how in ("alone", "four")]
        body.append([name_of(way), has_own_child(results, way), *boxes])
    return rows(head, body)


def opened(results: Results, way: Way, child: str, how: str) -> Figure | None:
    """The figure of an opening; it is compared with ours only where it starts a child, as ours does."""
    found = figure(results, way.name, child, opening(how))
    if found is None or has_own_child(results, way) != "no":
        return found
    return Figure(found.spread, found.rounds, None)


def at_counts(results: Results, unit: str, pick: Callable[[int], Pick], counts: Sequence[int]) -> str:
    """Something of the trivial child at numbers of sessions."""
    body = [
        [name_of(way), *(box(figure(results, way.name, "trivial", pick(count))) for count in counts)]
        for way in ways_in(results)
        if not way.warm
    ]
    return rows([unit, *(f"{count:,} session{'s' * (count > 1)}" for count in counts)], body)


def latencies(results: Results, sessions: int) -> str:
    """p50 and p99 of calls, by the child."""
    children = children_in(results)
    head = [
        f"ms, {sessions} sessions",
        *(f"{CHILDREN[child].title}, {what}" for child in children for what in ("p50", "p99")),
    ]
    body = [
        [
            name_of(way),
            *(
                box(figure(results, way.name, child, latency(what, sessions)))
                for child in children
                for what in ("p50", "p99")
            ),
        ]
        for way in ways_in(results)
        if not way.warm
    ]
    return rows(head, body)


def left(results: Results) -> str:
    """What is left behind."""
    body = []
    for row in results["left"]:
        way = WAYS[row["way"]]
        if "failure" in row:
            body.append([name_of(way), row["failure"], *[NOTHING] * 4])
            continue
        gone, killed = row["vanished"], row["killed"]
        boxes = (gone["most"], gone["processes"], gone["descriptors"], killed["most"], killed["processes"])
        body.append([name_of(way), *map(str, boxes)])
    head = [
        "",
        "processes for the sessions",
        "left of them",
        "descriptors left",
        "processes when it was killed",
        "left of them",
    ]
    return rows(head, body) if body else ""


def notes(results: Results) -> str:
    """What did not work, and what should not have: a line for each."""
    said = dict.fromkeys(_notes(results))
    return "".join(f"- {line}\n" for line in said)


def _notes(results: Results) -> Iterator[str]:
    for cell in results["cells"]:
        way, child = WAYS[cell["way"]], CHILDREN[cell["child"]].title
        title = name_of(way)
        if "failure" in cell:
            yield f"{title}, {child}: {cell['failure']}"
        elif "stopped" in cell:
            yield f"{title}, {child}: stopped at {cell['stopped']['at']}, because: {cell['stopped']['why']}"
    for way in ways_in(results):
        if any(
            calls["foreign"] for cell in results["cells"] if cell["way"] == way.name for calls in cell.get("calls", [])
        ):
            yield f"{name_of(way)}: sessions were sent the answers to other sessions' calls"


def about(results: Results) -> str:
    """What was run, on what."""
    facts = results["facts"]
    rounds = max((cell["round"] for cell in results["cells"]), default=0)
    versions = ", ".join(f"{program} {version}" for program, version in facts["versions"].items())
    return (
        f"{facts['date']}, {rounds} round{'s' * (rounds != 1)}, {facts['cores']} cores, Linux {facts['kernel']}, "
        f"Python {facts['python']}. {versions}.\n"
    )


def whole(results: Results) -> str:
    """All tables."""
    counts = counts_in(results)
    most = 10 if 10 in counts else max(counts, default=1)
    several = [count for count in counts if count > 1]
    parts = [
        about(results),
        "### Opening a session\n",
        openings(results),
        "### Processor time of the bridge for a call\n",
        at_counts(results, "ms", processor, counts),
        "### Calls per second\n",
        at_counts(results, "", rate, counts),
        "### How long a call takes\n",
        latencies(results, most),
        "### Memory of the bridge for each session\n",
        at_counts(results, "KiB", weight, several),
        "### What is left behind\n",
        left(results),
        "### What did not work\n",
        notes(results) or "Nothing.\n",
    ]
    return "\n".join(parts)


def summary(results: Results) -> str:
    """The few figures that the README shows: the trivial child but for openings, and the time server's there."""
    slow = "time" if "time" in children_in(results) else "trivial"
    counts = counts_in(results)
    ten = 10 if 10 in counts else max(counts, default=1)
    many = 100 if 100 in counts else ten
    head = [
        "",
        "a child for each session",
        f"open a session on {CHILDREN[slow].title}, ms",
        f"processor time for a call, {ten} sessions, ms",
        "calls per second",
        f"memory for each of {many} sessions, KiB",
    ]
    body = []
    for way in ways_in(results):
        picks = (processor(ten), rate(ten), weight(many))
        boxes = [_brief(opened(results, way, slow, "alone"))]
        boxes += [_brief(figure(results, way.name, "trivial", pick)) for pick in picks]
        body.append([name_of(way), has_own_child(results, way), *boxes])
    return rows(head, body)


def _brief(found: Figure | None) -> str:
    if found is None:
        return NOTHING
    middle = number(found.spread.median)
    return middle if found.ratio is None else f"{middle} ({number(found.ratio)}×)"


def quantile(results: Results, way: str, child: str, name: str, part: float) -> float | None:
    """Milliseconds that `part` of all openings of all rounds took at most."""
    times = [
        1000 * each
        for cell in results["cells"]
        if cell["way"] == way and cell["child"] == child
        for each in cell.get("open", {}).get(name, {}).get("times", [])
    ]
    return percentile(times, part)
